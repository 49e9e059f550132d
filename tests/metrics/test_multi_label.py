"""Scores of several labels at once, thresholds and temperatures, against scikit-learn and against a plain search."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from rnnkit.errors import ArgumentError
from rnnkit.metrics import MultiLabelScore, best_thresholds, fit_shares, fit_temperature, reliability, score_of
from rnnkit.metrics.multi_label import decided


def drawn(count: int = 200, num_labels: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(count, num_labels)) * 2 - 1
    return logits, (rng.random((count, num_labels)) < 1 / (1 + np.exp(-logits))).astype(int)


def log_sigmoid(logits: np.ndarray) -> np.ndarray:
    return -np.logaddexp(0, -logits)


def test_the_scores_are_scikit_learns() -> None:
    logits, targets = drawn()
    thresholds = np.array([0.5, 0.3, 0.7, 0.5, 0.1])
    score = MultiLabelScore(log_sigmoid(logits), targets, thresholds)
    predicted = (1 / (1 + np.exp(-logits)) >= thresholds).astype(int)
    figures = score.to_dict()
    assert figures["accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(targets, predicted))
    assert figures["labels_wrong"] == pytest.approx(sklearn_metrics.hamming_loss(targets, predicted))
    for average in ("micro", "macro"):
        wanted = sklearn_metrics.f1_score(targets, predicted, average=average)
        assert figures[f"{average}_f1"] == pytest.approx(wanted)
    wanted = sklearn_metrics.precision_recall_fscore_support(targets, predicted)
    ours = [[row[key] for row in score.per_label()] for key in ("precision", "recall", "f1", "count")]
    np.testing.assert_allclose(ours, np.array(wanted), rtol=1e-12)
    by_hand = -np.where(targets == 1, log_sigmoid(logits), log_sigmoid(-logits)).sum(1).mean()
    assert figures["nats"] == pytest.approx(by_hand)
    assert figures["accuracy_low"] < figures["accuracy"] < figures["accuracy_high"]


def test_a_certain_mistake_costs_a_finite_number() -> None:
    score = MultiLabelScore(np.array([[0.0, -np.inf]]), np.array([[0, 1]]))
    assert 30 < score.nats < 40


@pytest.mark.parametrize("shared", [True, False])
def test_no_other_thresholds_give_a_higher_f1(shared: bool) -> None:
    logits, targets = drawn()
    log_probs = np.round(log_sigmoid(logits), 2)  # many are equal

    def f1(thresholds: np.ndarray) -> np.ndarray:
        found = decided(log_probs, thresholds)
        if shared:
            return np.array([sklearn_metrics.f1_score(targets, found, average="micro")])
        return np.array(sklearn_metrics.f1_score(targets, found, average=None, zero_division=0))

    best = f1(best_thresholds(log_probs, targets, shared=shared))
    for threshold in np.linspace(0.01, 0.99, 197):
        assert (f1(np.full(5, threshold)) <= best + 1e-12).all()
    assert (best > f1(np.full(5, 0.5))).any()


def test_a_label_that_is_never_there_keeps_the_half() -> None:
    logits, targets = drawn()
    targets[:, 2] = 0
    assert best_thresholds(log_sigmoid(logits), targets, shared=False)[2] == 0.5


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"log_probs \[3, 2\] and targets \[3, 4\] must both be \[N, C\]"):
        score_of(np.zeros((3, 2)), np.zeros((3, 4), int))
    with pytest.raises(ArgumentError, match="N of at least 1"):
        score_of(np.zeros((0, 2)), np.zeros((0, 2), int))


@pytest.mark.parametrize("several", [True, False])
@pytest.mark.parametrize("wanted", [0.4, 1.0, 3.0])
def test_the_temperature_that_logits_were_multiplied_by_is_found_again(wanted: float, several: bool) -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(20_000, 4)) * 1.5
    if several:
        targets = (rng.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(int)
    else:
        shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        targets = (rng.random((len(logits), 1)) > shares.cumsum(1)).sum(1)
    assert fit_temperature(logits * wanted, targets) == pytest.approx(wanted, rel=0.05)


def test_a_model_that_is_always_right_gets_the_coldest_temperature_and_no_error() -> None:
    assert fit_temperature(np.eye(3), np.arange(3)) == pytest.approx(0.05, rel=1e-3)


def test_reliability_is_the_distance_of_claim_and_outcome() -> None:
    certainty = np.repeat([0.95, 0.65, 1.0], [100, 100, 50])
    is_right = np.concatenate([np.arange(100) < 75, np.arange(100) < 65, np.full(50, True)])
    bins, ece = reliability(certainty, is_right)
    assert [row["count"] for row in bins] == [100, 150]
    assert ece == pytest.approx((100 * 0.0 + 150 * abs((95 + 50) / 150 - 125 / 150)) / 250)


@pytest.mark.parametrize("has_several", [False, True])
def test_shares_are_those_of_the_fewest_nats(has_several: bool) -> None:
    """Labels drawn from a sum of two models' logits give its weights back; what says nothing has none."""
    rng = np.random.default_rng(4)
    one, other = rng.normal(size=(2, 20_000, 3)) * [[[2.0]], [[0.5]]]
    mixed = 0.6 * one + 3.0 * other
    if has_several:
        targets = (rng.random(mixed.shape) < 1 / (1 + np.exp(-mixed))).astype(np.int64)
    else:
        targets = (mixed + rng.gumbel(size=mixed.shape)).argmax(1)
    assert fit_shares(one, other, targets) == pytest.approx((0.6, 3.0), rel=0.1)
    assert fit_shares(other, one, targets) == pytest.approx((3.0, 0.6), rel=0.1)
    own, none = fit_shares(one, rng.normal(size=one.shape), (one + rng.gumbel(size=one.shape)).argmax(1))
    assert (own, none) == (pytest.approx(1, rel=0.1), pytest.approx(0, abs=0.05))
