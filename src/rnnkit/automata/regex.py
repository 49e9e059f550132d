r"""A regular expression as a deterministic automaton over the bytes of UTF-8, for texts that have to match it.

    automaton = compile_regex(r"[A-Z][a-z]+( \d{1,3})?")
    automaton.is_accepting[automaton.run("Abc 12".encode())]

What is understood means what it means to Python's `re.fullmatch(…, flags=re.ASCII)`:

    x \. \n \t \r \f \v \0 \x41 \u00e9 \U0001f600   one character
    .                                              any character but a newline
    [a-z_] [^"\n] \d \w \s \D \W \S                 one of many; the letters of \d, \w and \s are ASCII's
    AB  A|B  (A)  (?:A)  A*  A+  A?  A{3}  A{2,}  A{,5}  A{2,5}

Anchors are refused (all of a text has to match), and so are lazy repetition, look-around, back references and flags.

Source: Thompson 1968, "Regular expression search algorithm"; Rabin and Scott 1959 for the subsets.

Over 400 lines because the grammar above and the parser that holds it to Python's are read side by side.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from rnnkit.errors import ArgumentError, DtypeError

MAX_STATES = 4096
_MAX_PARTS = 20_000  # states before subsets are taken
_MAX_REPEATS = 1000
_MAX_DEPTH = 50  # of groups
_LAST = 0x10FFFF
_SURROGATES = (0xD800, 0xDFFF)
_LENGTHS = (0x7F, 0x7FF, 0xFFFF)  # the last characters that take 1, 2 and 3 bytes in UTF-8

Ranges = list[tuple[int, int]]  # of code points, both ends included

_CLASSES: dict[str, Ranges] = {
    "d": [(48, 57)],
    "w": [(48, 57), (65, 90), (95, 95), (97, 122)],
    "s": [(9, 13), (32, 32)],
}
_CONTROLS = {"n": 10, "t": 9, "r": 13, "f": 12, "v": 11, "0": 0}
_HEX = {"x": 2, "u": 4, "U": 8}  # digits


@dataclass(frozen=True, eq=False)
class ByteAutomaton:
    """What `compile_regex` makes. State 0 has no way out, state 1 is the start."""

    regex: str
    table: np.ndarray  # int32 [S, 256], the next state
    is_accepting: np.ndarray  # [S]
    places: tuple[int, ...]  # [S] how far into `regex`: the last character that what follows can come from

    def run(self, data: bytes, state: int = 1) -> int:
        """The state after some bytes."""
        for byte in data:
            state = int(self.table[state, byte])
        return state


def compile_regex(regex: str) -> ByteAutomaton:
    """The automaton that accepts the UTF-8 of exactly the texts that match.

    Raises: ArgumentError naming the character and the remedy, for what is not understood or takes more than 4096
        states; DtypeError for what is no str.
    Cost:   tens of microseconds a state.
    """
    if not isinstance(regex, str):
        raise DtypeError(f"regex must be a str, got {type(regex).__name__}; pass its pattern")
    tree = _Parser(regex).parse()
    nfa = _Nfa(regex)
    first, last = nfa.add(tree)
    return _subsets(nfa, first, last)


def _fault(regex: str, place: int, what: str) -> ArgumentError:
    shown = f"character {place}, {regex[place]!r}" if place < len(regex) else "at its end"
    return ArgumentError(f"regex {regex!r}, {shown}: {what}")


# ---- from text to a tree -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _One:
    ranges: Ranges
    place: int


@dataclass(frozen=True)
class _Row:
    parts: list[_Tree]
    place: int


@dataclass(frozen=True)
class _Either:
    parts: list[_Tree]
    place: int


@dataclass(frozen=True)
class _Repeat:
    part: _Tree
    least: int
    most: int | None
    place: int


_Tree = _One | _Row | _Either | _Repeat


class _Parser:
    def __init__(self, regex: str) -> None:
        self._regex, self._at, self._depth = regex, 0, 0

    def parse(self) -> _Tree:
        tree = self._either()
        if self._at < len(self._regex):
            raise self._fault("no group is open here; write '\\)' for the character")
        return tree

    def _fault(self, what: str, place: int | None = None) -> ArgumentError:
        return _fault(self._regex, self._at if place is None else place, what)

    def _peek(self) -> str:
        return self._regex[self._at : self._at + 1]

    def _take(self, text: str) -> bool:
        if is_there := self._regex.startswith(text, self._at):
            self._at += len(text)
        return is_there

    def _either(self) -> _Tree:
        place, parts = self._at, [self._row()]
        while self._take("|"):
            parts.append(self._row())
        return _Either(parts, place)

    def _row(self) -> _Tree:
        place, parts = self._at, []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._repeated())
        return _Row(parts, place)

    def _repeated(self) -> _Tree:
        place = self._at
        if self._peek() in ("*", "+", "?", "{"):
            raise self._fault(f"nothing to repeat; write '\\{self._peek()}' for the character")
        atom = self._atom()
        bounds = self._bounds()
        if bounds is None:
            return atom
        if self._peek() in ("*", "+", "?", "{"):
            raise self._fault("a repetition is neither repeated nor lazy; leave it out, or put a group around")
        return _Repeat(atom, *bounds, place)

    def _bounds(self) -> tuple[int, int | None] | None:
        for mark, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._take(mark):
                return bounds
        place = self._at
        if not self._take("{"):
            return None
        least = self._number()
        most = self._number() if self._take(",") else least
        if not self._take("}") or (least is None and most is None):
            raise self._fault("a repetition looks like {3}, {2,}, {,5} or {2,5}; write '\\{' for the character", place)
        for number in (least or 0, most or 0):
            if number > _MAX_REPEATS:
                raise self._fault(f"{number} repetitions are too many; at most {_MAX_REPEATS}", place)
        if most is not None and (least or 0) > most:
            raise self._fault(f"at least {least} and at most {most} cannot be; exchange them", place)
        return least or 0, most

    def _number(self) -> int | None:
        digits = ""
        while self._peek() and self._peek() in "0123456789" and len(digits) < 9:
            digits += self._peek()
            self._at += 1
        return int(digits) if digits else None

    def _atom(self) -> _Tree:
        place, character = self._at, self._peek()
        if self._take("("):
            if self._take("?") and not self._take(":"):
                raise self._fault("of groups with '?' only (?:…) is understood; leave the rest out", place)
            self._depth += 1
            if self._depth > _MAX_DEPTH:
                raise self._fault(f"groups nest deeper than {_MAX_DEPTH}; take some out", place)
            tree = self._either()
            self._depth -= 1
            if not self._take(")"):
                raise self._fault("this group is not closed; add ')', or write '\\(' for the character", place)
            return tree
        if self._take("["):
            return _One(self._one_of(place), place)
        if character in ("^", "$"):
            raise self._fault(f"all of the text has to match anyway; leave it out, or write '\\{character}'")
        if self._take("."):
            return _One(_others([(10, 10)]), place)
        if character == "\\":
            return _One(self._escaped(), place)
        self._at += 1
        return _One([self._code(character, place)], place)

    def _one_of(self, place: int) -> Ranges:
        """What stands between brackets, from behind the first one on."""
        is_negated = self._take("^")
        ranges: Ranges = []
        is_first = True
        while is_first or self._peek() != "]":
            start = self._at
            low = self._member(place)
            is_first = False
            if self._regex[self._at : self._at + 1] == "-" and self._regex[self._at + 1 : self._at + 2] not in (
                "]",
                "",
            ):
                self._at += 1
                high = self._member(place)
                if not _is_single(low) or not _is_single(high) or low[0][0] > high[0][0]:
                    raise self._fault("a range goes from a character to a later one; write '\\-' for the minus", start)
                low = [(low[0][0], high[0][0])]
            ranges += low
        self._at += 1
        return _others(ranges) if is_negated else _merged(ranges)

    def _member(self, place: int) -> Ranges:
        character = self._peek()
        if not character:
            raise self._fault("these brackets are not closed; add ']', or write '\\[' for the character", place)
        if character == "\\":
            return self._escaped()
        self._at += 1
        return [self._code(character, self._at - 1)]

    def _escaped(self) -> Ranges:
        place = self._at
        letter = self._regex[place + 1 : place + 2]
        self._at += 2
        if letter.lower() in _CLASSES:
            ranges = _CLASSES[letter.lower()]
            return ranges if letter.islower() else _others(ranges)
        if letter in _HEX:
            digits = self._regex[self._at : self._at + _HEX[letter]]
            self._at += _HEX[letter]
            if len(digits) == _HEX[letter] and all(digit in "0123456789abcdefABCDEF" for digit in digits):
                code = int(digits, 16)
                if code <= _LAST and not _SURROGATES[0] <= code <= _SURROGATES[1]:
                    return [(code, code)]
            raise self._fault(f"\\{letter} wants {_HEX[letter]} hexadecimal digits that name a character", place)
        if letter == "0" and self._peek() and self._peek() in "0123456789":
            raise self._fault("octal escapes are not understood; write \\x and two hexadecimal digits", place)
        if letter in _CONTROLS:
            return [(_CONTROLS[letter], _CONTROLS[letter])]
        if not letter or (letter.isascii() and letter.isalnum()):
            raise self._fault(
                "this escape is not understood; write the character itself, or \\x and two hexadecimal digits", place
            )
        return [self._code(letter, place)]

    def _code(self, character: str, place: int) -> tuple[int, int]:
        code = ord(character)
        if _SURROGATES[0] <= code <= _SURROGATES[1]:
            raise self._fault("a lone surrogate is no character; take it out", place)
        return code, code


def _is_single(ranges: Ranges) -> bool:
    return len(ranges) == 1 and ranges[0][0] == ranges[0][1]


def _merged(ranges: Ranges) -> Ranges:
    """The same characters in rising ranges that do not touch, without surrogates."""
    out: Ranges = []
    for low, high in sorted(ranges):
        if out and low <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(out[-1][1], high))
        else:
            out.append((low, high))
    cut: Ranges = []
    for low, high in out:
        if low < _SURROGATES[0] and high > _SURROGATES[1]:
            cut += [(low, _SURROGATES[0] - 1), (_SURROGATES[1] + 1, high)]
        else:
            cut.append((max(low, _SURROGATES[1] + 1) if _SURROGATES[0] <= low <= _SURROGATES[1] else low, high))
    return [(low, high) for low, high in cut if low <= high]


def _others(ranges: Ranges) -> Ranges:
    """All the characters that are not in `ranges`."""
    out, after = [], 0
    for low, high in _merged(ranges):
        out.append((after, low - 1))
        after = high + 1
    return _merged([(low, high) for low, high in [*out, (after, _LAST)] if low <= high])


# ---- from the tree to states -------------------------------------------------------------------------------------


class _Nfa:
    """States with edges that take a byte of a range, and edges that take none."""

    def __init__(self, regex: str) -> None:
        self.regex = regex
        self.free: list[list[int]] = []  # [states] where one gets without a byte
        self.edges: list[list[tuple[int, int, int]]] = []  # [states] of (first byte, last byte, state)
        self.places: list[int] = []  # [states] the character of the regex that the edges come from

    def add(self, tree: _Tree) -> tuple[int, int]:
        """States for a tree: the first and the last of them."""
        first = self._state(tree.place)
        match tree:
            case _One(ranges, place):
                last = self._state(place)
                for low, high in ranges:
                    for row in _byte_ranges(low, high):
                        at = first
                        for number, (start, end) in enumerate(row, start=1):
                            after = last if number == len(row) else self._state(place)
                            self.edges[at].append((start, end, after))
                            at = after
            case _Row(parts):
                last = first
                for part in parts:
                    last = self._append(last, part)
            case _Either(parts, place):
                last = self._state(place)
                for part in parts:
                    self.free[self._append(first, part)].append(last)
            case _Repeat(part, least, most, place):
                last = first
                for _ in range(least):
                    last = self._append(last, part)
                if most is None:
                    hub = self._state(place)
                    self.free[last].append(hub)
                    self.free[self._append(hub, part)].append(hub)
                    last = hub
                else:
                    end = self._state(place)
                    for _ in range(most - least):
                        self.free[last].append(end)
                        last = self._append(last, part)
                    self.free[last].append(end)
                    last = end
        return first, last

    def _append(self, state: int, part: _Tree) -> int:
        first, last = self.add(part)
        self.free[state].append(first)
        return last

    def _state(self, place: int) -> int:
        if len(self.free) == _MAX_PARTS:
            raise _fault(self.regex, place, "from here on it is too large; repeat less often")
        self.free.append([])
        self.edges.append([])
        self.places.append(place)
        return len(self.free) - 1


def _byte_ranges(low: int, high: int) -> list[list[tuple[int, int]]]:
    """The UTF-8 of a range of characters: rows of byte ranges, of which any combination is one of them."""
    for last in _LENGTHS:
        if low <= last < high:
            return _byte_ranges(low, last) + _byte_ranges(last + 1, high)
    for bits in (6, 12, 18):  # of the continuation bytes: all of their values, or one value of the bytes before
        tail = (1 << bits) - 1
        if high > 0x7F and low & ~tail != high & ~tail:
            if low & tail:
                return _byte_ranges(low, low | tail) + _byte_ranges((low | tail) + 1, high)
            if high & tail != tail:
                return _byte_ranges(low, (high & ~tail) - 1) + _byte_ranges(high & ~tail, high)
    return [list(zip(chr(low).encode(), chr(high).encode(), strict=True))]


def _subsets(nfa: _Nfa, first: int, last: int) -> ByteAutomaton:
    """The deterministic automaton: a state for every set of states that some text leads to."""

    def closed(states: set[int]) -> frozenset[int]:
        stack, out = list(states), set(states)
        while stack:
            for state in nfa.free[stack.pop()]:
                if state not in out:
                    out.add(state)
                    stack.append(state)
        return frozenset(state for state in out if nfa.edges[state] or state == last)

    start = closed({first})
    numbers: dict[frozenset[int], int] = {frozenset(): 0, start: 1}
    rows, found = [np.zeros(256, np.int32)], [start]
    for subset in found:  # grows on the way
        edges = [edge for state in subset for edge in nfa.edges[state]]
        cuts = sorted({0, 256} | {low for low, _, _ in edges} | {high + 1 for _, high, _ in edges})
        row = np.zeros(256, np.int32)
        for begin, end in pairwise(cuts):
            targets = {state for low, high, state in edges if low <= begin <= high}
            after = closed(targets) if targets else frozenset()
            if after not in numbers:
                if len(numbers) == MAX_STATES:
                    place = max(nfa.places[state] for state in after)
                    raise _fault(nfa.regex, place, f"it takes more than {MAX_STATES} states; repeat less often")
                numbers[after] = len(numbers)
                found.append(after)
            row[begin:end] = numbers[after]
        rows.append(row)
    places = tuple(max((nfa.places[state] for state in subset if nfa.edges[state]), default=0) for subset in found)
    return ByteAutomaton(
        nfa.regex, np.stack(rows), np.array([False, *(last in subset for subset in found)]), (0, *places)
    )
