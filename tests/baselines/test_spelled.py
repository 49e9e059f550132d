"""Naive Bayes on how words are spelled: equal to scikit-learn's on the same n-grams, and summed up word by word."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.naive_bayes import MultinomialNB

from rnnkit.baselines.spelled import ngrams_of, spelled_weights

WORDS = [None, "rise", "rising", "fall", "falling", "stay", "a"]


def make(several: bool) -> tuple[list[np.ndarray], np.ndarray]:
    rng = np.random.default_rng(0)
    sequences = [rng.integers(0, 5, rng.integers(0, 6)) for _ in range(40)]  # of "stay" and "a" there is no text
    return sequences, rng.integers(0, 2, (40, 3)) if several else rng.integers(0, 3, 40)


def test_ngrams_have_their_words_ends() -> None:
    assert ngrams_of("") == []
    assert ngrams_of("a") == ["\na\n"]
    assert ngrams_of("ab") == ["\nab", "ab\n", "\nab\n"]
    assert max(map(len, ngrams_of("abcdefgh"))) == 6 and "cdefgh" in ngrams_of("abcdefgh")


@pytest.mark.parametrize("several", [False, True])
def test_weights_are_those_of_naive_bayes_on_the_ngrams_of_known_words(several: bool) -> None:
    sequences, targets = make(several)
    ours = spelled_weights(sequences, targets, WORDS, num_labels=3)
    counts = CountVectorizer(analyzer=ngrams_of, vocabulary=sorted({g for w in WORDS if w for g in ngrams_of(w)}))
    of_word = counts.transform([word or "" for word in WORDS]).toarray()
    of_text = np.stack([of_word[ids].sum(0) for ids in sequences])
    if several:
        fits = [MultinomialNB().fit(of_text, targets[:, label]).feature_log_prob_ for label in range(3)]
        wanted = np.stack([of_word @ (there - absent) for absent, there in fits], axis=1)
    else:
        wanted = of_word @ MultinomialNB().fit(of_text, targets).feature_log_prob_.T
    np.testing.assert_allclose(wanted, ours, rtol=1e-9, atol=1e-9)
    assert not ours[0].any() and np.ptp(ours[5]) > 0  # a word without text speaks by what it shares with others
