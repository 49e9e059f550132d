"""Cutting a text that comes in pieces only where no word is cut, so that pieces encode as the whole does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def whole_words(pieces: Iterable[str]) -> Iterator[str]:
    """The same text cut anew: every piece but the last ends with whitespace.

    A word is held in memory until its end has come, so text without any whitespace becomes one piece.
    """
    held: list[str] = []
    for piece in pieces:
        end = _after_last_whitespace(piece)
        if end:
            yield "".join(held) + piece[:end]
            held = []
        if end < len(piece):
            held.append(piece[end:])
    if held:
        yield "".join(held)


def normalise_whitespace(text: str) -> str:
    """What a word tokeniser keeps of whitespace: line ends, and one space between two words of a line."""
    return "\n".join(" ".join(line.split()) for line in text.split("\n"))


def _after_last_whitespace(text: str) -> int:
    """The position behind the last whitespace, 0 when there is none."""
    words = text.rsplit(None, 1)  # splits at what str.split splits at, which is what a word tokeniser does
    if text[-1:].isspace() or not text:
        return len(text)
    return len(text) - len(words[-1])
