"""Several labels and numbers for every frame: figures as others compute them, exact at the edges, paired tests."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from rnnkit.bundle import schema
from rnnkit.errors import ArgumentError
from rnnkit.metrics.frames import LabelsScore, NumbersScore, TargetKind, log_of_rest
from rnnkit.models import transducer

metrics = pytest.importorskip("sklearn.metrics")


def labels(seed: int, lengths: tuple[int, ...] = (70, 1, 33)) -> tuple[list[np.ndarray], list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    gold = [(rng.random((length, 5)) < 0.3).astype(np.float32) for length in lengths]
    return gold, [np.log(rng.random(one.shape) * 0.98 + 0.01).astype(np.float32) for one in gold]


def test_the_kinds_of_targets_are_the_same_everywhere() -> None:
    assert get_args(TargetKind) == schema.TARGETS == transducer.TARGETS


def test_figures_of_labels_are_those_of_scikit_learn() -> None:
    gold, log_probs = labels(0)
    found = LabelsScore(gold, log_probs).to_dict()
    y, p = np.concatenate(gold), np.exp(np.concatenate(log_probs).astype(np.float64))
    assert found["f1"] == pytest.approx(metrics.f1_score(y, p > 0.5, average="micro"))
    assert found["precision"] == pytest.approx(metrics.precision_score(y, p > 0.5, average="micro"))
    assert found["frames_right"] == pytest.approx(metrics.accuracy_score(y, p > 0.5))
    per_label = [metrics.log_loss(y[:, k], p[:, k]) for k in range(5)]
    assert found["nats"] == pytest.approx(sum(per_label))
    assert found["low"] < found["nats"] < found["high"]
    assert (found["num_frames"], found["num_sequences"]) == (104, 3)
    of_labels = LabelsScore(gold, log_probs).per_label()
    assert [row["f1"] for row in of_labels] == pytest.approx(metrics.f1_score(y, p > 0.5, average=None).tolist())


def test_nats_are_exact_where_a_label_is_nearly_sure_and_finite_where_it_is_wrong() -> None:
    logits = np.array([-200.0, -20, 0, 20, 80], np.float32)
    of_presence = -np.logaddexp(np.float32(0), -logits)
    np.testing.assert_allclose(
        log_of_rest(of_presence), -np.logaddexp(0, logits.astype(np.float64)), rtol=1e-6, atol=1e-12
    )
    wrong = LabelsScore([np.zeros((1, 1))], [np.zeros((1, 1), np.float32)])
    assert 80 < wrong.nats < 120


def test_figures_of_numbers_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    gold = [rng.normal(size=(length, 3)) * [1, 10, 0] for length in (40, 2)]
    said = [one + rng.normal(size=one.shape) for one in gold]
    deviation = np.array([1.0, 10.0, 1.0])
    score = NumbersScore(gold, said, deviation=deviation)
    y, mine = np.concatenate(gold), np.concatenate(said)
    per_target = score.per_target()
    for k, row in enumerate(per_target):
        assert row["rmse"] == pytest.approx(metrics.root_mean_squared_error(y[:, k], mine[:, k]))
        assert row["mae"] == pytest.approx(metrics.mean_absolute_error(y[:, k], mine[:, k]))
    assert per_target[2]["r2"] is None  # it never changes
    assert per_target[1]["r2"] == pytest.approx(metrics.r2_score(y[:, 1], mine[:, 1]))
    found = score.to_dict()
    assert found["scaled_rmse"] == pytest.approx(np.sqrt((((mine - y) / deviation) ** 2).mean()))
    assert found["r2"] == pytest.approx((per_target[0]["r2"] + per_target[1]["r2"]) / 2)  # type: ignore[operator]
    assert "rmse" not in found  # of three units none is the table's
    single = NumbersScore([y[:, :1]], [mine[:, :1]], deviation=np.ones(1)).to_dict()
    assert single["rmse"] == pytest.approx(per_target[0]["rmse"])


def test_a_better_system_is_below_and_surely_so_and_one_is_no_better_than_itself() -> None:
    gold, log_probs = labels(2, (400, 400))
    better = [np.where(one > 0.5, np.log(0.9), np.log(0.1)) for one in gold]
    ours, theirs = LabelsScore(gold, better), LabelsScore(gold, log_probs)
    apart = ours.paired(theirs)
    assert apart["difference"] == pytest.approx(ours.nats - theirs.nats)
    assert apart["difference_low"] < apart["difference"] < apart["difference_high"] < 0
    assert apart["p_value"] < 0.01
    same = ours.paired(ours)
    assert (same["difference"], same["p_value"]) == (0.0, 1.0)


def test_what_does_not_fit_together_is_refused() -> None:
    gold, log_probs = labels(0)
    with pytest.raises(ArgumentError, match="outputs of 71 frames do not fit targets of 104"):
        LabelsScore(gold, log_probs[:2])
    with pytest.raises(ArgumentError, match="one frame at least"):
        NumbersScore([np.zeros((0, 2))], [np.zeros((0, 2))], deviation=np.ones(2))
