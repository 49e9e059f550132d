"""Scores of classifiers against figures worked out by hand and by scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn_metrics

from rnnkit.errors import ArgumentError
from rnnkit.metrics import ClassificationScore, mean_interval, paired_difference


def random_score(count: int = 300, num_labels: int = 4) -> ClassificationScore:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(count, num_labels)) * 2
    log_probs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    targets = np.where(rng.random(count) < 0.6, logits.argmax(1), rng.integers(0, num_labels - 1, count))
    return ClassificationScore(log_probs, targets)


def test_the_scores_are_scikit_learns() -> None:
    score = random_score()
    predicted = score.log_probs.argmax(1)
    assert score.accuracy == pytest.approx(sklearn_metrics.accuracy_score(score.targets, predicted))
    assert score.nats == pytest.approx(
        sklearn_metrics.log_loss(score.targets, np.exp(score.log_probs), labels=range(4))
    )
    assert np.array_equal(score.confusion, sklearn_metrics.confusion_matrix(score.targets, predicted, labels=range(4)))
    wanted = sklearn_metrics.precision_recall_fscore_support(score.targets, predicted, labels=range(4))
    ours = [[row[key] for row in score.per_label()] for key in ("precision", "recall", "f1", "count")]
    np.testing.assert_allclose(ours, np.array(wanted), rtol=1e-12)
    assert score.to_dict()["macro_f1"] == pytest.approx(np.mean(wanted[2]))


@pytest.mark.parametrize(("hits", "count"), [(300, 300), (0, 7), (13, 20), (950, 1000)])
def test_the_interval_is_wilsons(hits: int, count: int) -> None:
    log_probs = np.log(np.where(np.arange(count)[:, None] < hits, [[0.9, 0.1]], [[0.1, 0.9]]))
    wanted = stats.binomtest(hits, count).proportion_ci(method="wilson")
    assert ClassificationScore(log_probs, np.zeros(count, int)).interval == pytest.approx((wanted.low, wanted.high))


@pytest.mark.parametrize(("only_ours", "only_theirs"), [(12, 3), (3, 12), (5, 5), (0, 0), (900, 700)])
def test_the_paired_test_is_the_exact_binomial_one(only_ours: int, only_theirs: int) -> None:
    ours = np.array([True] * only_ours + [False] * only_theirs + [True, False] * 50)
    theirs = np.array([False] * only_ours + [True] * only_theirs + [True, False] * 50)
    found = paired_difference(ours, theirs)
    total = only_ours + only_theirs
    wanted = stats.binomtest(only_ours, total).pvalue if total else 1.0
    assert found["p_value"] == pytest.approx(wanted, rel=1e-9)
    assert found["difference"] == pytest.approx(np.mean(ours) - np.mean(theirs))
    assert found["difference_low"] <= found["difference"] <= found["difference_high"]


def test_nothing_to_score_is_refused() -> None:
    with pytest.raises(ArgumentError, match="N of at least 1"):
        ClassificationScore(np.zeros((0, 2)), np.zeros(0, int))


def test_the_interval_over_seeds_is_students() -> None:
    mean, low, high = mean_interval([0.8, 0.82, 0.81])
    reference = stats.t.interval(0.95, 2, loc=0.81, scale=stats.sem([0.8, 0.82, 0.81]))
    assert (mean, low, high) == pytest.approx((0.81, *reference), abs=1e-5)
    with pytest.raises(ArgumentError, match="1 values have no interval"):
        mean_interval([0.8])
