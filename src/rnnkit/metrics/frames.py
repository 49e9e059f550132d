"""Judge what is said of every frame where that is several labels, or numbers: figures, intervals, paired tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from rnnkit.errors import ArgumentError
from rnnkit.metrics.resampling import interval, paired
from rnnkit.metrics.table import SEEDS_COLUMNS, Column

TargetKind = Literal["label", "labels", "numbers"]
"""What every frame has: one label of several, any of several labels, or numbers."""
BLOCK = 32  # frames resampled together: neighbours are alike, and each alone would say more than it does

Outputs = Sequence[np.ndarray]
"""[T, K] for each recording."""


class LabelsScore:
    """How well probabilities of K labels, each there or not, fit what frames have.

        nats of a frame = −Σ_k log p(y_k);  a label is taken to be there where p > ½

    Args:   gold: 0 or 1.  log_probs: natural logarithms of the probability of a 1.
    Raises: ArgumentError for recordings that do not fit together, or none.
    """

    def __init__(self, gold: Outputs, log_probs: Outputs) -> None:
        _check(gold, log_probs)
        self.gold = [np.asarray(of_one) > 0.5 for of_one in gold]
        self.predicted = [of_one > np.log(0.5) for of_one in log_probs]
        self.nats_per_frame = [
            -np.where(is_on, of_one, log_of_rest(of_one)).sum(1)
            for is_on, of_one in zip(self.gold, map(_float64, log_probs), strict=True)
        ]
        """For each recording [T]."""
        pairs = list(zip(self.gold, self.predicted, self.nats_per_frame, strict=True))
        rows = [
            np.stack([nats, np.ones(len(nats)), (on & mine).sum(1), mine.sum(1), on.sum(1), (on == mine).all(1)], 1)
            for on, mine, nats in pairs
        ]
        self.parts = _blocks(rows)
        """[N, 6], of blocks of at most 32 frames: nats, frames, labels found, predicted, there; frames all right."""

    @property
    def nats(self) -> float:
        """Mean nats per frame, summed over the labels."""
        return float(_mean(self.parts.sum(0)[None])[0])

    def per_label(self) -> list[dict[str, float]]:
        """Precision, recall, F1 and count of each label."""
        on, mine = np.concatenate(self.gold), np.concatenate(self.predicted)
        counts = zip((on & mine).sum(0).tolist(), mine.sum(0).tolist(), on.sum(0).tolist(), strict=True)
        return [_f1(*of_label) for of_label in counts]

    def to_dict(self) -> dict[str, Any]:
        """The figures, for metrics.json; `low` and `high` hold the middle 95 % of nats over resampled blocks."""
        low, high = interval(self.parts, _mean)
        _, frames, found, mine, there, right = self.parts.sum(0).tolist()
        counts = _f1(found, mine, there)
        figures = {"nats": self.nats, "low": low, "high": high, "f1": counts["f1"]}
        figures |= {"precision": counts["precision"], "recall": counts["recall"], "frames_right": right / frames}
        return figures | {"num_frames": int(frames), "num_sequences": len(self.gold)}

    def paired(self, other: LabelsScore) -> dict[str, float]:
        """By how many nats this one is above another: see `metrics.resampling.paired`."""
        return paired(self.parts, other.parts, _mean)


class NumbersScore:
    """How far K predicted numbers are from those of frames.

        scaled RMSE = √(mean over frames and targets of ((predicted − gold) / deviation)²)
        R² of a target = 1 − Σ (predicted − gold)² / Σ (gold − their mean)²;  R² = its mean over targets that change

    Args:   deviation: [K], of the training frames: what errors are divided by, so that targets of any unit count alike.
    Raises: ArgumentError for recordings that do not fit together, or none.
    """

    def __init__(self, gold: Outputs, predicted: Outputs, *, deviation: np.ndarray) -> None:
        _check(gold, predicted)
        pairs = zip(map(_float64, gold), map(_float64, predicted), strict=True)
        self.errors = [mine - wanted for wanted, mine in pairs]
        self.scaled_squares = [((of_one / deviation) ** 2).mean(1) for of_one in self.errors]
        """For each recording [T]: the mean over targets."""
        self.parts = _blocks([np.stack([of_one, np.ones(len(of_one))], 1) for of_one in self.scaled_squares])
        """[N, 2], of blocks of at most 32 frames: scaled squared errors, frames."""
        self._gold = _float64(np.concatenate(gold))

    @property
    def scaled_rmse(self) -> float:
        return float(_root(self.parts.sum(0)[None])[0])

    def per_target(self) -> list[dict[str, float | None]]:
        """RMSE, MAE in the target's own unit, and R², None of a target that never changes."""
        errors = np.concatenate(self.errors)
        squares, spread = (errors**2).mean(0), self._gold.var(0)
        return [
            {"rmse": float(np.sqrt(square)), "mae": float(off), "r2": float(1 - square / var) if var > 0 else None}
            for square, off, var in zip(squares, np.abs(errors).mean(0), spread, strict=True)
        ]

    def to_dict(self) -> dict[str, Any]:
        """The figures, for metrics.json; `low` and `high` hold the middle 95 % of scaled RMSE over resampled blocks."""
        low, high = interval(self.parts, _root)
        per_target = self.per_target()
        known = [row["r2"] for row in per_target if row["r2"] is not None]
        figures: dict[str, Any] = {"scaled_rmse": self.scaled_rmse, "low": low, "high": high}
        figures["r2"] = float(np.mean(known)) if known else None
        if len(per_target) == 1:
            figures |= {"rmse": per_target[0]["rmse"], "mae": per_target[0]["mae"]}
        return figures | {"num_frames": sum(map(len, self.errors)), "num_sequences": len(self.errors)}

    def paired(self, other: NumbersScore) -> dict[str, float]:
        """By how much scaled RMSE this one is above another: see `metrics.resampling.paired`."""
        return paired(self.parts, other.parts, _root)


def log_of_rest(log_probs: np.ndarray) -> np.ndarray:
    """log(1 − p) of log p, exact also where p is next to 1; at least log of the smallest float32."""
    tiny = float(np.finfo(np.float32).smallest_subnormal)
    return np.log(np.maximum(-np.expm1(log_probs.astype(np.float64)), tiny))


def _check(gold: Outputs, found: Outputs) -> None:
    shapes = [[np.shape(of_one) for of_one in outputs] for outputs in (gold, found)]
    if shapes[0] != shapes[1] or not sum(shape[0] for shape in shapes[0]):
        raise ArgumentError(
            f"outputs of {sum(s[0] for s in shapes[1])} frames do not fit targets of {sum(s[0] for s in shapes[0])}; "
            "give [T, K] of each for every recording, of one frame at least"
        )


def _float64(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, np.float64)


def _blocks(recordings: Sequence[np.ndarray]) -> np.ndarray:
    """[T, C] each -> their sums over blocks of frames, [N, C]."""
    return np.concatenate([np.add.reduceat(one, np.arange(0, len(one), BLOCK)) for one in recordings if len(one)])


def _f1(found: float, predicted: float, there: float) -> dict[str, float]:
    return {
        "precision": found / predicted if predicted else 0.0,
        "recall": found / there if there else 0.0,
        "f1": 2 * found / (predicted + there) if predicted + there else 0.0,
        "count": int(there),
    }


def _mean(sums: np.ndarray) -> np.ndarray:
    return sums[:, 0] / sums[:, 1]


def _root(sums: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(_mean(sums), 0))


_SEEDS = tuple(dataclasses.replace(column, format=".4f") for column in SEEDS_COLUMNS)
LABELS_COLUMNS = (
    Column("nats", "nats/frame", ".4f", better="lower"),
    Column("low", "95 % from", ".4f"),
    Column("high", "to", ".4f"),
    Column("nats_after_first", "after the first", ".4f", better="lower"),
    Column("f1", "micro F1", ".2%", better="higher"),
    Column("precision", "precision", ".2%", better="higher"),
    Column("recall", "recall", ".2%", better="higher"),
    Column("frames_right", "frames right", ".2%", better="higher"),
    Column("p_value", "p (paired)", ".2g"),
    *_SEEDS,
    Column("train_seconds", "train s", ",.1f"),
)
"""The columns of a table where frames have several labels; the keys are those of metrics.json."""

NUMBERS_COLUMNS = (
    Column("scaled_rmse", "scaled RMSE", ".4f", better="lower"),
    Column("low", "95 % from", ".4f"),
    Column("high", "to", ".4f"),
    Column("rmse", "RMSE", ".4g", better="lower"),
    Column("mae", "MAE", ".4g", better="lower"),
    Column("r2", "R²", ".4f", better="higher"),
    Column("p_value", "p (paired)", ".2g"),
    *_SEEDS,
    Column("train_seconds", "train s", ",.1f"),
)
"""Likewise where they have numbers."""
