"""Measure how much of a generated sample is copied from the training text."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rnnkit.errors import ArgumentError

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Memorization:
    """What of a sample stands verbatim in the training text, in the sample's own units (characters or tokens)."""

    longest_span: int
    longest_start: int  # where in the sample the first such span begins
    ngram_share: float  # share of the sample's n-grams found in the training text; 0 if it has none
    n: int

    def to_dict(self) -> dict[str, float | int]:
        return asdict(self)


def memorization(sample: str | ArrayLike, training: str | ArrayLike, *, n: int = 8) -> Memorization:
    """Compare a sample with the text that its model was trained on.

    Args:
        sample: a string (measured in characters) or the ids of its tokens.
        training: the same kind: a string or ids of the same tokenizer.
        n: length of the n-grams that are looked up.
    Raises: ArgumentError for n below 1.
    Cost:   about 2 log2(longest span) binary searches per training token, and 40 bytes of memory.
    """
    if n < 1:
        raise ArgumentError(f"n is {n}, wanted at least 1; 8 is usual")
    ours, theirs = _ids(sample), _ids(training)
    pairs = {1: _match(ours, theirs)}  # length -> the class of each n-gram of that length in sample and training
    longest, span = 0, pairs[1]
    if (span[1] >= 0).any():  # double the length while the sample still shares a span of it with the training text
        length = 1
        while (span[1] >= 0).any():
            longest = length
            span = pairs[2 * length] = _join(span, span, length)
            length *= 2
        span = pairs[longest]
        for half in sorted((h for h in pairs if h < longest), reverse=True):  # then fill in the lower binary digits
            longer = _join(span, pairs[half], longest)
            if (longer[1] >= 0).any():
                longest, span = longest + half, longer
    found = np.flatnonzero(np.isin(span[0], span[1])) if longest else np.array([0])
    grams = _of_length(n, pairs)
    share = float(np.isin(grams[0], grams[1]).mean()) if len(grams[0]) else 0.0
    return Memorization(longest, int(found[0]), share, n)


def _ids(text: str | ArrayLike) -> Ints:
    if isinstance(text, str):
        return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.int64)
    return np.asarray(text, dtype=np.int64).reshape(-1)


def _match(ours: Ints, theirs: Ints) -> tuple[Ints, Ints]:
    """Number the different values of `ours` from 0; the same numbers for `theirs`, -1 for what `ours` lacks."""
    values, ours = np.unique(ours, return_inverse=True)
    if not len(values):
        return ours, np.full(len(theirs), -1, dtype=np.int64)
    rows = np.minimum(np.searchsorted(values, theirs), len(values) - 1)
    return ours, np.where(values[rows] == theirs, rows, -1)


def _join(left: tuple[Ints, Ints], right: tuple[Ints, Ints], length: int) -> tuple[Ints, Ints]:
    """Classes of the n-grams made of a `left` n-gram of `length` and the `right` n-gram behind it."""
    factor = len(right[0]) + 1  # above any class on the right
    joined = []
    for a, b in zip(left, right, strict=True):
        b = b[length:]
        a = a[: len(b)]
        b = b[: len(a)]
        joined.append(np.where((a >= 0) & (b >= 0), a * factor + b, -1))
    return _match(*joined)


def _of_length(n: int, pairs: dict[int, tuple[Ints, Ints]]) -> tuple[Ints, Ints]:
    """The classes of n-grams of length n, from those whose lengths are powers of two."""
    length, span = 1, pairs[1]
    for digit in bin(n)[3:]:
        span = _join(span, span, length)
        length *= 2
        if digit == "1":
            span = _join(span, pairs[1], length)
            length += 1
    return span
