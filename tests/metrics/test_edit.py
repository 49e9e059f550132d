"""Edit distances: the textbook's table for every pair, any lengths, and rates over several references."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnkit.errors import ArgumentError
from rnnkit.metrics.edit import edit_counts, edit_distances, rate

TEXTS = st.lists(st.tuples(*[st.lists(st.integers(0, 3), max_size=12)] * 2), min_size=1, max_size=20)


def naive(a: list[int], b: list[int]) -> int:
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, start=1):
        before, row[0] = row[0], i
        for j, right in enumerate(b, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (left != right))
    return row[-1]


@given(TEXTS)
def test_every_distance_is_that_of_the_plain_table(pairs: list[tuple[list[int], list[int]]]) -> None:
    wanted = [naive(a, b) for a, b in pairs]
    ours, theirs = ([np.array(pair[side], np.int64) for pair in pairs] for side in (0, 1))
    assert edit_distances(ours, theirs).tolist() == wanted


def test_more_pairs_than_are_worked_on_at_once_and_very_unequal_lengths() -> None:
    generator = np.random.default_rng(0)
    ours, theirs = ([generator.integers(0, 5, generator.integers(0, 30)) for _ in range(2_500)] for _ in range(2))
    wanted = [naive(a.tolist(), b.tolist()) for a, b in zip(ours, theirs, strict=True)]
    assert edit_distances(ours, theirs).tolist() == wanted
    assert edit_distances([np.arange(3)], [np.arange(1000)]).tolist() == [997]
    assert edit_distances([], []).tolist() == []


def test_the_nearest_reference_counts_and_of_equally_near_ones_the_longest() -> None:
    counts = edit_counts(["a b c", "", "x"], [["a b", "a c d e"], ["a"], ["x y", "x z w", "q"]], unit="word")
    assert counts.tolist() == [[1, 2], [1, 1], [1, 2]]
    assert rate(counts.sum(0)[None]).tolist() == [3 / 5]
    assert edit_counts(["häuser ☂"], [["hauser"]], unit="character").tolist() == [[3, 6]]
    with pytest.raises(ArgumentError, match="unit 'phone'; choose word or character"):
        edit_counts(["a"], [["a"]], unit="phone")
    with pytest.raises(ArgumentError, match="1 sequences and 0 do not pair up"):
        edit_distances([np.arange(2)], [])
