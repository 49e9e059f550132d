"""A regular expression over the tokens of a model: which of them may come next, so that the text will match."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np

from rnnkit.automata import ByteAutomaton, compile_regex
from rnnkit.errors import ArgumentError
from rnnkit.text import Tokenizer

_ROW_BYTES = 64 << 20  # of rows [V] that are remembered
_FAR = 1 << 30  # tokens: no text of tokens leads to a match


class Grammar:
    """An automaton over tokens. Its states are numbers; a token leads from one to another, or to 0: out of the regex.

    A state is twice one of `compile_regex`, and one more at the start of a line of words, where no space precedes the
    next. Special tokens and the unknown one are no text, and lead out.

    Raises: ArgumentError for a regular expression that is not understood.
    Cost:   what `compile_regex` costs, and for every state that is met one pass over the bytes of the vocabulary.
    """

    def __init__(self, regex: str, tokenizer: Tokenizer) -> None:
        self._automaton: ByteAutomaton = compile_regex(regex)
        self._tokenizer = tokenizer
        self._begins_lines = tokenizer.kind == "word"
        self._spelled = [_Spelled(tokenizer, is_line_start=flag) for flag in (False, True)[: 1 + self._begins_lines]]
        self._rows: OrderedDict[int, np.ndarray] = OrderedDict()
        self._most_rows = max(4, _ROW_BYTES // (4 * tokenizer.vocab_size))
        size = 2 * len(self._automaton.table)
        self._successors: dict[int, np.ndarray] = {}  # of the states met so far
        self._distance = np.full(size, _FAR, np.int64)  # tokens from a state to a match, at least

    def start(self, prompt_ids: np.ndarray, prefix: str) -> int:
        """The state behind a prefix of the text, from which a match can be reached.

        Args:   prompt_ids: of prompt and prefix.
        Raises: ArgumentError naming the place: for a prefix that leaves the regular expression, and for one that no
            tokens of this model can match.
        """
        automaton, regex = self._automaton, self._automaton.regex
        state = 1
        for place, character in enumerate(prefix):
            state = automaton.run(character.encode(), state)
            if not state:
                raise ArgumentError(
                    f"prefix {prefix!r} leaves the regex {regex!r} at its character {place}, {character!r}; change one"
                )
        is_line_start = not len(prompt_ids) or prompt_ids[-1] == self._tokenizer.begin_id
        state = 2 * state + (self._begins_lines and bool(is_line_start))
        self._explore(state)
        if self._distance[state] == _FAR:
            place = max(automaton.places[other // 2] for other in self._reached(state))
            raise ArgumentError(
                f"regex {regex!r} is impossible at its character {place}, {regex[place : place + 1]!r}: "
                "no token of this model goes on there; allow what its vocabulary can spell"
            )
        return state

    def distance(self, state: int) -> int:
        """How many tokens a match takes from here, at least."""
        return int(self._distance[state])

    def is_match(self, state: int) -> bool:
        """Whether the text so far matches."""
        return bool(self._automaton.is_accepting[state // 2])

    def after(self, state: int) -> np.ndarray:
        """The state after each token, int32 [V]."""
        if state in self._rows:
            self._rows.move_to_end(state)
            return self._rows[state]
        spelled = self._spelled[state % 2]
        row = 2 * spelled.run(self._automaton.table, state // 2)
        if self._begins_lines:
            newline = self._tokenizer.begin_id
            row[newline] += row[newline] > 0
        self._rows[state] = row
        if len(self._rows) > self._most_rows:
            self._rows.popitem(last=False)
        return row

    def goes_on(self, state: int, left: int) -> np.ndarray:
        """The tokens after which a match can still be reached with `left` tokens, this one among them; bool [V]."""
        after = self.after(state)
        return (after > 0) & (self._distance[after] < left)

    def _explore(self, state: int) -> None:
        """Meet all states that tokens lead to, and work out how far each is from a match."""
        if state in self._successors:
            return
        waiting = [state]
        while waiting:
            state = waiting.pop()
            if state not in self._successors:
                self._successors[state] = np.setdiff1d(self.after(state), [0])
                waiting += self._successors[state].tolist()
        before: dict[int, list[int]] = {}
        for first, successors in self._successors.items():
            for second in successors.tolist():
                before.setdefault(second, []).append(first)
        front = [state for state in self._successors if self.is_match(state)]
        self._distance[:] = _FAR
        self._distance[front] = 0
        while front:
            reached = []
            for second in front:
                for first in before.get(second, ()):
                    if self._distance[first] > self._distance[second] + 1:
                        self._distance[first] = self._distance[second] + 1
                        reached.append(first)
            front = reached

    def _reached(self, state: int) -> set[int]:
        out, waiting = {state}, [state]
        while waiting:
            new = set(self._successors[waiting.pop()].tolist()) - out
            out |= new
            waiting += new
        return out


class _Spelled:
    """What each token of a vocabulary adds to a text, as bytes side by side: [V] lengths and [longest, V] bytes."""

    def __init__(self, tokenizer: Tokenizer, *, is_line_start: bool) -> None:
        spellings = [_spelling(tokenizer, token, is_line_start) for token in range(tokenizer.vocab_size)]
        lengths = np.array([len(spelling) for spelling in spellings])
        self._order = np.argsort(-lengths, kind="stable")  # the longest first: those that end are the last ones
        self._counts = (lengths[:, None] > np.arange(lengths.max(initial=0))).sum(axis=0)  # [longest] tokens that long
        self._bytes = np.zeros((len(self._counts), len(spellings)), np.uint8)
        for column, token in enumerate(self._order):
            spelling = np.frombuffer(spellings[token], np.uint8)
            self._bytes[: len(spelling), column] = spelling
        self._is_silent = lengths == 0

    def run(self, table: np.ndarray, state: int) -> np.ndarray:
        """The state after each token's bytes, [V]; 0 after a token that spells nothing."""
        states = np.full(len(self._order), state, np.int32)
        for column, count in zip(self._bytes, self._counts, strict=True):
            states[:count] = table[states[:count], column[:count]]
        out = np.empty_like(states)
        out[self._order] = states
        out[self._is_silent] = 0
        return out


def _spelling(tokenizer: Tokenizer, token: int, is_line_start: bool) -> bytes:
    if token == tokenizer.unk_id:
        return b""
    if tokenizer.kind in ("byte", "bpe"):
        return tokenizer.decode_bytes([token])  # type: ignore[attr-defined]
    decoder = tokenizer.stream_decoder()
    decoder.is_line_start = is_line_start
    return decoder.push(token).encode()
