"""Edit distances of many texts at once, and the error rates that are made of them; NumPy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rnnkit.errors import ArgumentError

_ROWS = 1024  # pairs of similar length that are worked on together


def edit_distances(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> np.ndarray:
    """The fewest insertions, deletions and substitutions that turn each of `ours` into its partner, int64 [N].

    Args:   integer ids [T] each.
    Cost:   O(T·T') numbers for a pair, in NumPy steps of a thousand pairs; memory of two rows of T' for each of those.
    Source: Wagner and Fischer 1974; a row's insertions are a running minimum of d[j] − j.
    """
    if len(ours) != len(theirs):
        raise ArgumentError(f"{len(ours)} sequences and {len(theirs)} do not pair up; give as many of both")
    lengths = np.array([[len(a), len(b)] for a, b in zip(ours, theirs, strict=True)], np.int64).reshape(-1, 2)
    found = np.empty(len(lengths), np.int64)
    order = np.argsort(lengths.max(1, initial=0), kind="stable")
    for first in range(0, len(order), _ROWS):
        rows = order[first : first + _ROWS]
        found[rows] = _distances([ours[row] for row in rows], [theirs[row] for row in rows], lengths[rows])
    return found


def edit_counts(outputs: Sequence[str], references: Sequence[Sequence[str]], *, unit: str) -> np.ndarray:
    """Of every output the edits to its nearest reference and that reference's length, int64 [N, 2].

    Of references as near the longest counts. The error rate is Σ edits / Σ lengths (`rate`), and may exceed 1.

    Args: references: at least one for each output.  unit: "word", between spaces; or "character", spaces included.
    """
    if unit not in ("word", "character"):
        raise ArgumentError(f"there is no unit {unit!r}; choose word or character")
    owner = np.repeat(np.arange(len(outputs)), list(map(len, references)))
    known: dict[str, int] = {}

    def ids(text: str) -> np.ndarray:
        parts = text.split() if unit == "word" else text
        return np.array([known.setdefault(part, len(known)) for part in parts], np.int64)

    ours, theirs = [ids(output) for output in outputs], [ids(one) for own in references for one in own]
    edits = edit_distances([ours[row] for row in owner], theirs)
    lengths = np.array([len(one) for one in theirs], np.int64)
    order = np.lexsort((-lengths, edits, owner))
    first = order[np.unique(owner[order], return_index=True)[1]]
    return np.stack([edits[first], lengths[first]], axis=1)


def rate(sums: np.ndarray) -> np.ndarray:
    """[R, 2] sums of counts and of what they are a share of -> [R]; 0 of nothing is 0."""
    return sums[:, 0] / np.maximum(sums[:, 1], 1)


def _distances(ours: list[np.ndarray], theirs: list[np.ndarray], lengths: np.ndarray) -> np.ndarray:
    longest_ours, longest = lengths.max(0)
    a, b = (np.full((len(lengths), size), fill, np.int64) for size, fill in ((longest_ours, -1), (longest, -2)))
    for row, (left, right) in enumerate(zip(ours, theirs, strict=True)):
        a[row, : len(left)], b[row, : len(right)] = left, right
    at = np.arange(longest + 1)
    d = np.tile(at, (len(lengths), 1))  # d[j]: from the first i of ours to the first j of theirs
    found = np.where(lengths[:, 0] == 0, lengths[:, 1], 0)
    for i in range(1, longest_ours + 1):
        new = d + 1
        np.minimum(new[:, 1:], d[:, :-1] + (b != a[:, i - 1 : i]), out=new[:, 1:])
        d = np.minimum.accumulate(new - at, axis=1) + at
        ends = lengths[:, 0] == i
        found[ends] = d[ends, lengths[ends, 1]]
    return found
