"""Languages that go by a name: those of Tomita, parity, brackets, counting."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rnnkit.automata.dfa import Dfa
from rnnkit.automata.language import Language
from rnnkit.errors import ArgumentError

_BRACKETS = ("()", "[]", "{}", "<>")


class Dyck(Language):
    """Balanced brackets of up to four kinds; not regular.

    Args: kinds: of brackets, 1 to 4: (), [], {}, <>.
    """

    def __init__(self, kinds: int) -> None:
        if not 1 <= kinds <= len(_BRACKETS):
            raise ArgumentError(f"dyck-{kinds}: there are 1 to {len(_BRACKETS)} kinds of brackets")
        self.kinds = kinds
        self.symbols = "".join(_BRACKETS[:kinds])

    def accepts(self, text: str) -> bool:
        """By a stack of the brackets that are open."""
        waiting: list[str] = []
        for symbol in text:
            at = self.symbols.find(symbol)
            if at < 0:
                return False
            if at % 2 == 0:
                waiting.append(self.symbols[at + 1])
            elif not waiting or waiting.pop() != symbol:
                return False
        return not waiting

    def draw(self, length: int, *, count: int, generator: np.random.Generator) -> list[str]:
        """Of one kind, no deeper than half the length, they are regular: so drawn, then each pair gets a kind."""
        deepest = length // 2
        table = np.full((deepest + 2, 2), deepest + 1)  # states: the depth; the last one: out
        table[:deepest, 0] = np.arange(1, deepest + 1)
        table[1:-1, 1] = np.arange(deepest)
        is_accepting = np.arange(deepest + 2) == 0
        shapes = Dfa("()", table, is_accepting).draw(length, count=count, generator=generator)
        texts = []
        for shape in shapes:
            kinds = iter(generator.integers(self.kinds, size=deepest).tolist())
            text, waiting = "", []
            for symbol in shape:
                if symbol == "(":
                    waiting.append(next(kinds))
                    text += _BRACKETS[waiting[-1]][0]
                else:
                    text += _BRACKETS[waiting.pop()][1]
            texts.append(text)
        return texts


class EqualRuns(Language):
    """aⁿbⁿ: some a, then as many b; not regular."""

    symbols = "ab"

    def accepts(self, text: str) -> bool:
        half = len(text) // 2
        return text == "a" * half + "b" * half

    def draw(self, length: int, *, count: int, generator: np.random.Generator) -> list[str]:
        """The one of an even length; none of an odd one."""
        return [] if length % 2 else ["a" * (length // 2) + "b" * (length // 2)] * count


def _binary(rows: list[tuple[int, int]], accepting: set[int]) -> Callable[[], Dfa]:
    """By its states: where 0 and where 1 lead; the start is the first."""
    return lambda: Dfa("01", np.array(rows), np.array([state in accepting for state in range(len(rows))]))


# Tomita 1982, "Dynamic construction of finite automata from examples using hill-climbing".
_MAKERS: dict[str, Callable[[], Language]] = {
    "tomita-1": _binary([(1, 0), (1, 1)], {0}),  # 1*
    "tomita-2": _binary([(2, 1), (0, 2), (2, 2)], {0}),  # (10)*
    # After a run of an odd number of 1s comes none of an odd number of 0s.
    "tomita-3": _binary([(0, 1), (2, 0), (3, 4), (2, 1), (4, 4)], {0, 1, 3}),
    "tomita-4": _binary([(1, 0), (2, 0), (3, 0), (3, 3)], {0, 1, 2}),  # no 000
    "tomita-5": _binary([(1, 2), (0, 3), (3, 0), (2, 1)], {0}),  # an even number of 0s, and of 1s
    "tomita-6": _binary([(2, 1), (0, 2), (1, 0)], {0}),  # as many 1s as 0s, modulo 3
    "tomita-7": _binary([(0, 1), (2, 1), (2, 3), (4, 3), (4, 4)], {0, 1, 2, 3}),  # 0*1*0*1*
    "parity": _binary([(0, 1), (1, 0)], {0}),  # an even number of 1s
    **{f"dyck-{kinds}": (lambda kinds=kinds: Dyck(kinds)) for kinds in range(1, len(_BRACKETS) + 1)},
    "anbn": EqualRuns,
}
NAMES = tuple(_MAKERS)
"""tomita-1 … tomita-7 and parity, which are regular (a `Dfa`); dyck-1 … dyck-4 and anbn, which are not."""


def named(name: str) -> Language:
    """A language by its name, one of `NAMES`. Raises: ArgumentError."""
    if name not in _MAKERS:
        raise ArgumentError(f"there is no grammar {name!r}; choose one of {', '.join(NAMES)}")
    return _MAKERS[name]()
