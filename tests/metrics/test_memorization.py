import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnkit.errors import ArgumentError
from rnnkit.metrics import memorization

TEXT = st.text(alphabet="abc", max_size=30)


@given(sample=TEXT, training=TEXT, n=st.integers(1, 10))
def test_spans_and_shares_are_those_of_plain_search(sample, training, n):
    spans = {
        (stop - start, -start)
        for start in range(len(sample))
        for stop in range(start + 1, len(sample) + 1)
        if sample[start:stop] in training
    }
    length, start = max(spans, default=(0, 0))
    grams = [sample[i : i + n] in training for i in range(len(sample) - n + 1)]
    got = memorization(sample, training, n=n)
    assert (got.longest_span, got.longest_start, got.n) == (length, -start, n)
    assert got.ngram_share == (np.mean(grams) if grams else 0)


def test_ids_are_measured_in_tokens():
    got = memorization(np.array([5, 7, 8, 9, 5]), np.array([1, 7, 8, 9, 2, 5], dtype=np.uint16), n=2)
    assert (got.longest_span, got.longest_start, got.ngram_share) == (3, 1, 0.5)
    assert got.to_dict()["longest_span"] == 3


def test_any_character_counts_as_one():
    assert memorization("😀\ud800é", "x😀\ud800é").longest_span == 3


def test_a_copy_is_wholly_memorized():
    got = memorization("to be or not to be", "whether to be or not to be, that")
    assert (got.longest_span, got.longest_start, got.ngram_share) == (18, 0, 1.0)


def test_an_ngram_of_no_length_is_refused():
    with pytest.raises(ArgumentError, match="n is 0"):
        memorization("a", "a", n=0)
