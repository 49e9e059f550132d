"""What every language can be asked: whether a text belongs, and for texts that do and that do not, drawn by length."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Protocol

import numpy as np

from rnnkit.errors import ArgumentError

_TRIES = 64  # draws for every text that is wanted; of one that is not found within them, too few come back
_MOST_EDITS = 3


class Language(ABC):
    """A set of texts over a few characters.

    Attributes:
        symbols: the characters, each once; no text with another one belongs.
    """

    symbols: str

    @abstractmethod
    def accepts(self, text: str) -> bool:
        """Whether a text belongs to the language."""

    @abstractmethod
    def draw(self, length: int, *, count: int, generator: np.random.Generator) -> list[str]:
        """`count` texts of the language of that length, each as likely as any other; [] where there is none."""

    def draw_rejected(self, length: int, *, count: int, generator: np.random.Generator) -> list[str]:
        """As `draw`, texts over the same characters that do not belong; fewer where they are too rare to be met."""
        found: list[str] = []
        for _ in range(_TRIES):
            rows = generator.integers(len(self.symbols), size=(count - len(found), length))
            texts = ("".join(self.symbols[at] for at in row) for row in rows.tolist())
            found += [text for text in texts if not self.accepts(text)]
            if len(found) == count:
                break
        return found


def near_misses(language: Language, texts: Sequence[str], *, generator: np.random.Generator) -> list[str]:
    """Texts one to three edits away from those given that do not belong; none for a text where none is found.

    An edit replaces, inserts or removes a character, or exchanges two neighbours.
    """
    found = []
    for text in texts:
        for _ in range(_TRIES):
            edited = text
            for _ in range(int(generator.integers(1, _MOST_EDITS + 1))):
                edited = _edited(edited, language.symbols, generator)
            if not language.accepts(edited):
                found.append(edited)
                break
    return found


def balanced(
    language: Language,
    lengths: Sequence[int],
    *,
    count: int,
    seed: int,
    near_share: float = 0.5,
    short_bias: float = 0.0,
) -> list[tuple[str, bool]]:
    """Texts, and whether they belong: half of them do, shuffled; some may be there more than once.

    In both halves a length n of `lengths` at which there are texts is drawn in proportion to (n + 1)^-short_bias, then
    every text of that length is equally likely. Of those that do not belong the share `near_share` are near misses: one
    to three edits away from texts that belong, and so up to three characters longer or shorter.

    Args:   lengths: characters.  count: texts in all.  short_bias: 0: no length more often than another.
    Raises: ArgumentError where no text of these lengths belongs, or none does not.
    Cost:   for a `Dfa` per length about length · states · symbols, and the same for each text.
    """
    if count < 2 or not lengths or min(lengths) < 0 or not 0 <= near_share <= 1:
        raise ArgumentError(
            f"count {count}, lengths {list(lengths)[:4]}, near_share {near_share}: wanted are at least 2 texts, "
            "lengths of at least 0, and a share between 0 and 1"
        )
    generator = np.random.Generator(np.random.Philox(seed))
    half = count // 2
    draw = partial(_by_length, lengths=lengths, short_bias=short_bias, generator=generator)
    inside = draw(language.draw, count=half)
    if not inside:
        raise ArgumentError(f"no text of {_range(lengths)} belongs to the language; ask for longer ones")
    num_near = round(near_share * (count - half))
    source = draw(language.draw, count=num_near) if num_near else []
    outside = near_misses(language, source, generator=generator)
    outside += draw(language.draw_rejected, count=count - half - len(outside))
    if not outside:
        raise ArgumentError(f"every text of {_range(lengths)} belongs to the language; ask for others, or more symbols")
    while len(outside) < count - half:  # too rare to be met so often: the same ones again
        outside += outside[: count - half - len(outside)]
    rows = [(text, True) for text in inside] + [(text, False) for text in outside]
    return [rows[at] for at in generator.permutation(len(rows))]


class _Draw(Protocol):
    def __call__(self, length: int, /, *, count: int, generator: np.random.Generator) -> list[str]: ...


def _by_length(
    draw: _Draw, *, lengths: Sequence[int], count: int, short_bias: float, generator: np.random.Generator
) -> list[str]:
    """Texts of lengths drawn from those at which there are any."""
    there = [length for length in lengths if draw(length, count=1, generator=generator)]
    if not there:
        return []
    weights = (np.array(there) + 1.0) ** -short_bias
    wanted = generator.multinomial(count, weights / weights.sum())
    texts: list[str] = []
    for length, number in zip(there, wanted.tolist(), strict=True):
        if number:
            texts += draw(length, count=number, generator=generator)
    return texts


def _edited(text: str, symbols: str, generator: np.random.Generator) -> str:
    kind, at = int(generator.integers(4)), int(generator.integers(len(text) + 1))
    symbol = symbols[int(generator.integers(len(symbols)))]
    if kind == 0 or at == len(text):
        return text[:at] + symbol + text[at:]
    if kind == 1:
        return text[:at] + text[at + 1 :]
    if kind == 2:
        return text[:at] + symbol + text[at + 1 :]
    return text[:at] + text[at + 1 : at + 2] + text[at] + text[at + 2 :]


def _range(lengths: Sequence[int]) -> str:
    return f"{min(lengths)} to {max(lengths)} characters"
