"""A deterministic finite automaton as a value: run, minimise, combine and compare it, draw from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

from rnnkit.automata.language import Language
from rnnkit.automata.regex import compile_regex
from rnnkit.errors import ArgumentError, DataError

_FORMAT = 1
_FIELDS = {"format", "symbols", "start", "accepting", "transitions"}
_MAX_STATES = 1 << 16
_PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))


@dataclass(frozen=True, eq=False)
class Dfa(Language):
    """For each state and each character the next state: every text leads to one state, which accepts it or not.

        Dfa.from_regex("(ab)*").complement().accepts("aba")       # True
        left.counterexample(right)                                 # the shortest text on which they differ, or None

    Args:   symbols: A different characters.  table: int32 [S, A], the next state.
            is_accepting: bool [S].  start: a state.
    Raises: ArgumentError naming the part that does not fit.
    """

    symbols: str
    table: np.ndarray
    is_accepting: np.ndarray
    start: int = 0

    def __post_init__(self) -> None:
        table, is_accepting = np.asarray(self.table, np.int32), np.asarray(self.is_accepting, bool)
        object.__setattr__(self, "table", table)
        object.__setattr__(self, "is_accepting", is_accepting)
        if not self.symbols or len(set(self.symbols)) < len(self.symbols):
            raise ArgumentError(f"symbols {self.symbols!r} must be at least one character, and each of them once")
        size = len(is_accepting)
        if table.shape != (size, len(self.symbols)) or not size:
            raise ArgumentError(
                f"table {list(table.shape)} must be [{size}, {len(self.symbols)}]: a row for each of is_accepting, "
                "a column for each of symbols"
            )
        if table.min() < 0 or table.max() >= size or not 0 <= self.start < size:
            raise ArgumentError(f"table and start must hold states 0 to {size - 1}, and nothing else")

    @classmethod
    def from_regex(cls, regex: str, symbols: str | None = None) -> Self:
        """The smallest automaton for `rnnkit.automata.compile_regex`'s regular expressions.

        Args:   symbols: what texts are made of; None: the printable ASCII characters, and others that the expression
                spells out, that stand in at least one match.
        Raises: ArgumentError, also where no text matches.
        """
        automaton = compile_regex(regex)
        candidates = dict.fromkeys(
            _PRINTABLE + "".join(sorted(set(regex) - set(_PRINTABLE))) if symbols is None else symbols
        )
        rows: list[list[int]] = []
        numbers, found = {1: 0}, [1]
        for state in found:  # grows on the way
            rows.append([])
            for symbol in candidates:
                after = automaton.run(symbol.encode(), state)
                if after not in numbers:
                    numbers[after] = len(found)
                    found.append(after)
                rows[-1].append(numbers[after])
        smallest = cls("".join(candidates), np.array(rows), automaton.is_accepting[found]).minimized()
        if symbols is not None:
            return smallest
        is_live = smallest.log_counts(len(smallest.table)).max(0) > -np.inf
        if not is_live[smallest.start]:
            raise ArgumentError(f"regex {regex!r} matches no text of printable characters; name others as symbols")
        is_used = is_live[smallest.table[is_live]].any(0)
        if not is_used.any():
            raise ArgumentError(
                f"regex {regex!r} matches the empty text alone; name the symbols that texts are made of"
            )
        return smallest._over("".join(np.array(list(smallest.symbols))[is_used])).minimized()

    # ---- running -----------------------------------------------------------------------------------------------------

    def run(self, text: str, state: int | None = None) -> int:
        """The state after some characters, from `state` or the start. Raises: ArgumentError for a foreign character."""
        state = self.start if state is None else state
        for place, symbol in enumerate(text):
            if symbol not in self._columns:
                raise ArgumentError(f"character {place}, {symbol!r}, is none of the symbols {self.symbols!r}")
            state = int(self.table[state, self._columns[symbol]])
        return state

    def accepts(self, text: str) -> bool:
        """Whether the text ends in an accepting state; one with a foreign character does not."""
        return all(symbol in self._columns for symbol in text) and bool(self.is_accepting[self.run(text)])

    def accepts_all(self, texts: Sequence[str]) -> np.ndarray:
        """As `accepts` of each text, all side by side: bool [N]."""
        order = sorted(range(len(texts)), key=lambda row: -len(texts[row]))
        lengths = np.array([len(texts[row]) for row in order], np.int64)
        out = len(self.table)  # where a foreign character leads
        table = np.pad(self.table, ((0, 1), (0, 1)), constant_values=out)
        columns = np.full((len(texts), lengths.max(initial=0)), len(self.symbols))
        for row, text in enumerate(texts[at] for at in order):
            columns[row, : len(text)] = [self._columns.get(symbol, len(self.symbols)) for symbol in text]
        states = np.full(len(texts), self.start)
        for place, count in enumerate((lengths[:, None] > np.arange(columns.shape[1])).sum(0)):
            states[:count] = table[states[:count], columns[:count, place]]
        accepted = np.empty(len(texts), bool)
        accepted[order] = np.append(self.is_accepting, False)[states]
        return accepted

    @cached_property
    def _columns(self) -> dict[str, int]:
        return {symbol: column for column, symbol in enumerate(self.symbols)}

    # ---- drawing -----------------------------------------------------------------------------------------------------

    def log_counts(self, length: int) -> np.ndarray:
        """ln of how many texts of 0, 1, … `length` characters lead from each state to acceptance, [length + 1, S].

        N_0(s) = 1 where s accepts, else 0;  N_n(s) = Σ_a N_{n-1}(table[s, a])
        """
        counts = np.empty((length + 1, len(self.table)))
        with np.errstate(divide="ignore"):
            counts[0] = np.log(self.is_accepting)
            for n in range(1, length + 1):
                after = counts[n - 1][self.table]
                largest = np.maximum(after.max(1), -1e300)[:, None]  # of no text at all -inf − -inf would be NaN
                counts[n] = np.log(np.exp(after - largest).sum(1)) + largest[:, 0]
        return counts

    def draw(self, length: int, *, count: int, generator: np.random.Generator) -> list[str]:
        """`count` accepted texts of a length, all equally likely: p(a | s) = N_{n-1}(table[s, a]) / N_n(s)."""
        if length >= len(self._counts[0]):
            self._counts[0] = self.log_counts(2 * length)
        counts = self._counts[0]
        if counts[length, self.start] == -np.inf:
            return []
        states = np.full(count, self.start)
        drawn = np.empty((count, length), np.int64)
        for place in range(length):
            after = counts[length - place - 1][self.table[states]]  # [count, A]
            shares = np.exp(after - after.max(1, keepdims=True)).cumsum(1)
            drawn[:, place] = (shares <= generator.random((count, 1)) * shares[:, -1:]).sum(1)
            states = self.table[states, drawn[:, place]]
        return ["".join(self.symbols[column] for column in row) for row in drawn.tolist()]

    def draw_rejected(self, length: int, *, count: int, generator: np.random.Generator) -> list[str]:
        """As `draw`, of the complement."""
        return self._complement.draw(length, count=count, generator=generator)

    @cached_property
    def _counts(self) -> list[np.ndarray]:
        """The longest `log_counts` that was asked for."""
        return [self.log_counts(0)]

    @cached_property
    def _complement(self) -> Self:
        return self.complement()

    # ---- algebra -----------------------------------------------------------------------------------------------------

    def complement(self) -> Self:
        """Accepts those texts over the same symbols that this one does not."""
        return type(self)(self.symbols, self.table, ~self.is_accepting, self.start)

    def product(self, other: Dfa, is_accepting: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Self:
        """Both at once, over the symbols of either: a text is accepted as `is_accepting` says of what both say.

        Args: is_accepting: of two arrays of bool: np.logical_and for the intersection, np.logical_or for the union,
              np.logical_xor for the difference.
        """
        symbols = "".join(dict.fromkeys(self.symbols + other.symbols))
        left, right = self._over(symbols), other._over(symbols)
        numbers = {(left.start, right.start): 0}
        found, rows = [*numbers], []
        for first, second in found:  # grows on the way
            row = []
            for pair in zip(left.table[first].tolist(), right.table[second].tolist(), strict=True):
                if pair not in numbers:
                    numbers[pair] = len(found)
                    found.append(pair)
                row.append(numbers[pair])
            rows.append(row)
        firsts, seconds = np.array(found).T
        return type(self)(symbols, np.array(rows), is_accepting(left.is_accepting[firsts], right.is_accepting[seconds]))

    def counterexample(self, other: Dfa) -> str | None:
        """The shortest text that only one of both accepts, of several the first by order of symbols; or None."""
        return self.product(other, np.logical_xor).shortest()

    def shortest(self) -> str | None:
        """The shortest accepted text, of several the first by order of symbols; None where there is none."""
        came: dict[int, tuple[int, str]] = {self.start: (-1, "")}
        for state in (found := [self.start]):
            if self.is_accepting[state]:
                text = ""
                while state != self.start:
                    state, symbol = came[state]
                    text = symbol + text
                return text
            for symbol, after in zip(self.symbols, self.table[state].tolist(), strict=True):
                if after not in came:
                    came[after] = (state, symbol)
                    found.append(after)
        return None

    def minimized(self) -> Self:
        """The smallest automaton that accepts the same texts; equal languages over equal symbols give equal arrays.

        States are numbered as they are met from the start, level by level, in the order of the symbols.

        Cost:   O(S · A · log S).
        Source: Hopcroft 1971, "An n log n algorithm for minimizing states in a finite automaton".
        """
        met = self._met(self.table, self.start)
        table = np.full(len(self.table), -1)
        table[met] = np.arange(len(met))
        table = table[self.table[met]]  # of reachable states only
        blocks = _coarsest(np.unique(table, axis=1), self.is_accepting[met])
        first = np.unique(blocks, return_index=True)[1]
        merged, is_accepting = blocks[table[first]], self.is_accepting[met][first]
        order = self._met(merged, int(blocks[0]))  # the start was met first
        numbers = np.empty(len(order), np.int64)
        numbers[order] = np.arange(len(order))
        return type(self)(self.symbols, numbers[merged[order]], is_accepting[order])

    @staticmethod
    def _met(table: np.ndarray, start: int) -> np.ndarray:
        """The states that texts lead to, as they are met level by level."""
        found = {start: None}
        waiting = [start]
        for state in waiting:
            for after in table[state].tolist():
                if after not in found:
                    found[after] = None
                    waiting.append(after)
        return np.array(waiting)

    def _over(self, symbols: str) -> Self:
        """The same texts, as far as they are made of these symbols; a new one leads to a state of no return."""
        if symbols == self.symbols:
            return self
        dead = len(self.table)
        table = np.full((dead + 1, len(symbols)), dead)
        for column, symbol in enumerate(symbols):
            if symbol in self._columns:
                table[:dead, column] = self.table[:, self._columns[symbol]]
        return type(self)(symbols, table, np.append(self.is_accepting, False), self.start)

    # ---- files -------------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """As in a file; the states are called by their numbers. See `from_dict`."""
        names = [str(state) for state in range(len(self.table))]
        return {
            "format": _FORMAT,
            "symbols": self.symbols,
            "start": names[self.start],
            "accepting": [name for name, accepts in zip(names, self.is_accepting, strict=True) if accepts],
            "transitions": {
                name: {symbol: names[after] for symbol, after in zip(self.symbols, row, strict=True)}
                for name, row in zip(names, self.table.tolist(), strict=True)
            },
        }

    @classmethod
    def from_dict(cls, value: Any, *, what: str = "the automaton") -> Self:
        """Read what a JSON file holds.

            {"format": 1, "symbols": "01", "start": "even", "accepting": ["even"],
             "transitions": {"even": {"0": "even", "1": "odd"}, "odd": {"0": "odd", "1": "even"}}}

        States have any names. A character without an entry leads to a state of no return.

        Args:   what: how messages name it.
        Raises: DataError naming the key, for anything that is not exactly that.
        """
        if not isinstance(value, Mapping) or set(value) != _FIELDS or value["format"] != _FORMAT:
            raise DataError(f"{what}: wanted is an object with the keys {', '.join(sorted(_FIELDS))}, format {_FORMAT}")
        symbols, start, accepting, transitions = (
            value[key] for key in ("symbols", "start", "accepting", "transitions")
        )
        if not isinstance(symbols, str) or not symbols or len(set(symbols)) < len(symbols):
            raise DataError(f"{what}, key 'symbols': {symbols!r} must be a text of one or more characters, each once")
        if not isinstance(transitions, Mapping) or not 0 < len(transitions) < _MAX_STATES:
            raise DataError(f"{what}, key 'transitions': wanted is an object with 1 to {_MAX_STATES - 1} states")
        numbers = {name: number for number, name in enumerate(transitions)}
        if not isinstance(start, str) or start not in numbers:
            raise DataError(f"{what}, key 'start': {start!r} is none of the states in transitions; add it there")
        if not isinstance(accepting, list):
            raise DataError(f"{what}, key 'accepting': wanted is a list of states")
        is_accepting, table = np.zeros(len(numbers) + 1, bool), np.full((len(numbers) + 1, len(symbols)), len(numbers))
        for name in accepting:
            if not isinstance(name, str) or name not in numbers:
                raise DataError(f"{what}, key 'accepting': {name!r} is none of the states in transitions; add it there")
            is_accepting[numbers[name]] = True
        for name, row in transitions.items():
            if not isinstance(row, Mapping):
                raise DataError(f"{what}, state {name!r}: wanted is an object of characters and the states after them")
            for symbol, after in row.items():
                if len(symbol) != 1 or symbol not in symbols:
                    raise DataError(f"{what}, state {name!r}: {symbol!r} is no character of symbols; add it there")
                if not isinstance(after, str) or after not in numbers:
                    raise DataError(f"{what}, state {name!r}, character {symbol!r}: {after!r} is none of the states")
                table[numbers[name], symbols.index(symbol)] = numbers[after]
        is_complete = (table[:-1] < len(numbers)).all()
        return (
            cls(symbols, table[:-1], is_accepting[:-1], numbers[start])
            if is_complete
            else cls(symbols, table, is_accepting, numbers[start])
        )


def _coarsest(table: np.ndarray, is_accepting: np.ndarray) -> np.ndarray:
    """The block [S] of every state, in the coarsest partition by acceptance that all symbols keep."""
    before: list[dict[int, list[int]]] = []  # for each symbol: the states that lead to a state
    for column in table.T.tolist():
        found: dict[int, list[int]] = {}
        for state, after in enumerate(column):
            found.setdefault(after, []).append(state)
        before.append(found)
    block_of = is_accepting.astype(np.int64)
    members = [set(np.flatnonzero(~is_accepting).tolist()), set(np.flatnonzero(is_accepting).tolist())]
    if not all(members):
        return np.zeros(len(is_accepting), np.int64)
    waiting = {0 if len(members[0]) <= len(members[1]) else 1}
    while waiting:
        splitter = list(members[waiting.pop()])
        for found in before:
            leading: dict[int, set[int]] = {}
            for after in splitter:
                for state in found.get(after, ()):
                    leading.setdefault(int(block_of[state]), set()).add(state)
            for block, inside in leading.items():
                if len(inside) == len(members[block]):
                    continue
                members[block] -= inside
                members.append(inside)
                block_of[list(inside)] = new = len(members) - 1
                if block in waiting or len(inside) <= len(members[block]):
                    waiting.add(new)
                else:
                    waiting.add(block)
    return block_of
