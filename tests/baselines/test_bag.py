"""Linear baselines of a classifier: scored here as scikit-learn scores them, saved and read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB

from rnnkit.baselines import BagOfNgrams
from rnnkit.errors import ArgumentError, DataError

METHODS = {"naive-bayes": MultinomialNB(), "logistic-regression": LogisticRegression(max_iter=1000)}


def make(num_labels: int, count: int = 120) -> tuple[list[np.ndarray], np.ndarray]:
    rng = np.random.default_rng(1)
    labels = np.arange(count) % num_labels
    return [rng.integers(label, label + 9, rng.integers(1, 8)) for label in labels], labels


@pytest.mark.parametrize("num_labels", [2, 3])
@pytest.mark.parametrize("method", METHODS)
def test_a_bag_scores_as_scikit_learn_does_on_its_own_counts(method: str, num_labels: int) -> None:
    sequences, labels = make(num_labels)
    ours = BagOfNgrams.fit(method, sequences[:90], labels[:90], num_labels=num_labels, vocab_size=12, order=2)
    texts = [" ".join(f"w{token}" for token in sequence) for sequence in sequences]
    counts = CountVectorizer(ngram_range=(1, 2))
    reference = METHODS[method].fit(counts.fit_transform(texts[:90]), labels[:90])
    wanted = reference.predict_log_proba(counts.transform(texts[90:]))
    np.testing.assert_allclose(wanted, ours.log_probs(sequences[90:]), atol=2e-3 if method[0] == "l" else 1e-9)


def test_marked_ends_tell_a_beginning_from_an_end() -> None:
    sequences = [np.array([1, 2, 2]), np.array([2, 2, 1])] * 10
    labels = np.arange(20) % 2
    shares = [
        np.exp(BagOfNgrams.fit("naive-bayes", sequences, labels, num_labels=2, vocab_size=3, order=2, with_ends=ends)
               .log_probs(sequences[:1]))[0, 0] for ends in (False, True)
    ]  # fmt: skip
    assert shares[1] > shares[0] > 0.5


def test_the_majority_is_the_share_of_each_label() -> None:
    sequences, _ = make(2, count=4)
    model = BagOfNgrams.fit("majority", sequences, np.array([1, 1, 0, 1]), num_labels=2, vocab_size=12)
    np.testing.assert_allclose([[0.25, 0.75]] * 4, np.exp(model.log_probs(sequences)))


@pytest.mark.parametrize("method", ["majority", *METHODS])
def test_it_comes_back_as_it_was_saved(method: str, tmp_path: Path) -> None:
    sequences, labels = make(3)
    model = BagOfNgrams.fit(method, sequences, labels, num_labels=3, vocab_size=12, with_ends=True)
    model.save(tmp_path)
    assert np.array_equal(model.log_probs(sequences), BagOfNgrams.load(tmp_path).log_probs(sequences))
    data = bytearray((tmp_path / "bag.npz").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "bag.npz").write_bytes(data)
    with pytest.raises(DataError, match=r"bag\.npz is damaged"):
        BagOfNgrams.load(tmp_path)
    with pytest.raises(DataError, match=r"bag\.json: No such file"):
        BagOfNgrams.load(tmp_path / "nothing")


def test_ngrams_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ArgumentError, match="8-grams over 300 tokens do not fit 64 bits"):
        BagOfNgrams.fit("naive-bayes", *make(2), num_labels=2, vocab_size=300, order=8)
