"""N-grams as numbers: one for each, at every length, and the same whether a text is read whole or side by side."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from rnnkit.errors import ArgumentError
from rnnkit.text.ngrams import NOTHING, NgramNumbers


def test_every_ngram_has_a_number_of_its_own() -> None:
    numbers = NgramNumbers(3, vocab_size=3)
    found = {}
    for length in (1, 2, 3):
        for ids in itertools.product(range(4), repeat=length):  # 3 stands for the end, whose digit is V + 1
            *_, last = numbers(np.array([NOTHING] * 2 + [i + 1 for i in ids]))
            found.setdefault(int(last[length - 1]), set()).add(ids)
    assert all(len(of) == 1 for of in found.values())
    assert len(found) == 4 + 16 + 64 and -1 not in found


@pytest.mark.parametrize("with_ends", [False, True])
@pytest.mark.parametrize("order", [1, 2, 4])
def test_a_texts_ngrams_are_all_its_runs_of_tokens(order: int, with_ends: bool) -> None:
    ids = np.array([2, 0, 0, 1, 2, 0])
    numbers = NgramNumbers(order, vocab_size=3)
    tokens = [4, *(ids + 1).tolist(), 4] if with_ends else (ids + 1).tolist()
    wanted = [
        sum(digit * 5**place for place, digit in enumerate(reversed(tokens[first : first + n])))
        for n in range(1, order + 1)
        for first in range(len(tokens) - n + 1)
    ]
    assert sorted(wanted) == sorted(numbers.of(ids, with_ends=with_ends).tolist())


def test_a_text_shorter_than_its_ngrams_has_the_shorter_ones() -> None:
    numbers = NgramNumbers(3, vocab_size=3)
    assert numbers.of(np.zeros(0, np.int64), with_ends=False).tolist() == []
    assert numbers.of(np.array([1]), with_ends=False).tolist() == [2]
    assert len(numbers.of(np.zeros(0, np.int64), with_ends=True)) == 3  # both ends, and one behind the other


def test_rows_side_by_side_have_the_numbers_of_each_alone() -> None:
    rng = np.random.default_rng(0)
    digits = rng.integers(1, 6, (2 + 9, 4))
    digits[:2, 1], digits[0, 2] = NOTHING, NOTHING
    numbers = NgramNumbers(3, vocab_size=5)
    for row in range(4):
        assert np.array_equal(numbers(digits[:, row]), numbers(digits)[..., row])
    assert (numbers(digits)[0, :, 1] >= 0).tolist() == [True, False, False]
    assert (numbers(digits)[0, :, 2] >= 0).tolist() == [True, True, False]


def test_numbers_that_do_not_fit_are_refused() -> None:
    NgramNumbers(4, vocab_size=50_000)
    with pytest.raises(ArgumentError, match="4-grams over 60000 tokens do not fit 64 bits; lower their order"):
        NgramNumbers(4, vocab_size=60_000)
