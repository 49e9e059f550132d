"""SequenceClassifier keeps scikit-learn's contract, on texts and on series."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import rnnkit
from rnnkit.errors import ArgumentError, ConfigError, DataError

SMALL: dict[str, Any] = {"hidden_size": 6, "embedding_size": 5, "epochs": 25, "lr": 0.03, "batch_size": 8, "threads": 1}


def texts(count: int = 60) -> tuple[list[str], np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 3 * 10 - 10  # as texts they sort otherwise: -10, 0, 10
    words = [" ".join([*rng.choice(list("abcde"), rng.integers(1, 5)), f"w{label}"]) for label in labels]
    return words, labels


def test_it_learns_and_its_columns_are_the_sorted_classes() -> None:
    X, y = texts()
    model = rnnkit.SequenceClassifier(**SMALL)
    with pytest.raises(NotFittedError):
        model.predict(X)
    assert model.fit(X, y) is model
    assert model.classes_.tolist() == [-10, 0, 10]
    shares = model.predict_proba(X)
    np.testing.assert_allclose(np.ones(60), shares.sum(1), rtol=1e-5)
    assert np.array_equal(model.classes_[shares.argmax(1)], model.predict(X))
    assert model.score(X, y) == np.mean(model.predict(X) == y) > 0.9


def test_parameters_go_in_and_out_and_a_clone_fits_to_the_same_bits() -> None:
    X, y = texts(30)
    model = rnnkit.SequenceClassifier(**(SMALL | {"epochs": 2}))
    assert {key: model.get_params()[key] for key in SMALL} == SMALL | {"epochs": 2}
    first = model.fit(X, y).predict_proba(X)
    assert np.array_equal(first, clone(model).fit(X, y).predict_proba(X))
    other = clone(model).set_params(random_state=1).fit(X, y)
    assert not np.array_equal(first, other.predict_proba(X))


def test_it_goes_into_pipelines_and_cross_validation() -> None:
    X, y = texts()
    lower = FunctionTransformer(lambda texts: [text.lower() for text in texts])
    model = make_pipeline(lower, rnnkit.SequenceClassifier(**SMALL, tokenizer="word"))
    assert cross_val_score(model, np.array(X, object), y, cv=2).mean() > 0.8


def test_series_are_learned_too() -> None:
    rng = np.random.default_rng(0)
    y = np.array(["up", "down"] * 25)
    X = [rng.normal(size=(rng.integers(3, 9), 2)) + np.where(label == "up", 1.5, -1.5) for label in y]
    model = rnnkit.SequenceClassifier(**SMALL).fit(X, y)
    assert model.score(X, y) > 0.9
    assert model.predict(X[:2]).tolist() == ["up", "down"]


def test_what_cannot_be_fitted_is_refused_by_name() -> None:
    X, y = texts(6)
    for given, wanted, error, message in (
        (X, y[:5], ArgumentError, "X has 6 sequences, y 5 labels"),
        (X, np.zeros(6), DataError, r"X\[\d\] and on: every label is '0.0'"),
        ([np.zeros(3)] * 6, y, ArgumentError, r"X\[0\] has the shape \[3\]; wanted is a text, or frames"),
        ([*X[:5], np.zeros((2, 2))], y, DataError, r"X\[5\]: frames of 2 among text"),
    ):
        with pytest.raises(error, match=message):
            rnnkit.SequenceClassifier(**SMALL).fit(given, wanted)
    with pytest.raises(ConfigError, match="did you mean 'lstm'"):
        rnnkit.SequenceClassifier(cell="lstn").fit(X, y)


def test_with_characters_unseen_words_differ_by_their_spelling() -> None:
    texts = [f"{stem}{end}" for stem in ("walk", "talk", "jump", "land", "hunt", "melt") for end in ("ing", "ed")]
    labels = [text.endswith("ing") for text in texts]
    unseen = ["lifting", "lifted"]
    shares = {
        flag: rnnkit.SequenceClassifier(characters=flag, hidden_size=8, epochs=3, threads=1).fit(texts, labels)
        for flag in (True, False)
    }
    assert shares[True].model_.words is not None
    assert np.ptp(shares[True].predict_proba(unseen), axis=0).max() > 0
    assert np.ptp(shares[False].predict_proba(unseen), axis=0).max() == 0


def test_ngrams_decide_with_the_layers() -> None:
    X, y = texts()
    plain, counted = (rnnkit.SequenceClassifier(**SMALL, ngrams=order).fit(X, y) for order in (0, 2))
    assert not np.array_equal(plain.predict_proba(X), counted.predict_proba(X))
    assert counted.model_.config["model"]["ngram_order"] == 2 and counted.score(X, y) > 0.9
