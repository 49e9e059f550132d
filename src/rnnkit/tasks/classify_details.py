"""Where a classifier is right and where it is not, as figures for its report; torch-free."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from rnnkit.metrics import ClassificationScore

if TYPE_CHECKING:
    from rnnkit.tasks.classify import Part

SHARES_SEEN = tuple(tenth / 10 for tenth in range(1, 11))
_NUM_WORST = 20
_NUM_BUCKETS = 4
_NUM_BINS = 10
_SHOWN = 200  # characters of a text


class Decides(Protocol):
    """A model of the run half."""

    def log_probs(self, sequences: list[np.ndarray], /) -> np.ndarray: ...


def details(model: Decides, log_probs: np.ndarray, part: Part, labels: list[str]) -> dict[str, Any]:
    """The figures of the report on one part.

    Args:    log_probs: [N, C], the model's for all of `part`.
    Returns: confusion, [C][C] counts, the label it is by the label it was taken for; per_label; worst, the mistakes of
             the lowest probability; seen, the accuracy from the first tenth, two tenths … of every sequence's steps;
             by_length, in four buckets of equal count; calibration, accuracy by certainty in ten bins, and their mean
             distance `ece` (Naeini et al. 2015).
    Cost:    decides on the part 4.5 times more.
    """
    score = ClassificationScore(log_probs, part.targets)
    bins, ece = _calibration(score)
    return {
        "confusion": score.confusion.tolist(),
        "per_label": dict(zip(labels, score.per_label(), strict=True)),
        "worst": _worst(score, part, labels),
        "seen": [_seen(model, part, share) for share in SHARES_SEEN[:-1]]
        + [{"share": 1.0, "accuracy": score.accuracy}],
        "by_length": _by_length(score, part),
        "calibration": bins,
        "ece": ece,
    }


def _worst(score: ClassificationScore, part: Part, labels: list[str]) -> list[dict[str, Any]]:
    of_target = score.log_probs[np.arange(len(part)), part.targets]
    mistakes = np.flatnonzero(~score.is_correct)
    rows = []
    for row in mistakes[np.argsort(of_target[mistakes], kind="stable")][:_NUM_WORST].tolist():
        sequence = part.examples.inputs[row]
        rows.append(
            {
                "place": part.examples.places[row],
                "text": sequence[:_SHOWN] if isinstance(sequence, str) else f"{len(sequence)} frames",
                "label": labels[part.targets[row]],
                "predicted": labels[int(score.log_probs[row].argmax())],
                "probability": math.exp(of_target[row]),
            }
        )
    return rows


def _seen(model: Decides, part: Part, share: float) -> dict[str, float]:
    begun = [sequence[: math.ceil(share * len(sequence))] for sequence in part.sequences]
    return {"share": share, "accuracy": ClassificationScore(model.log_probs(begun), part.targets).accuracy}


def _by_length(score: ClassificationScore, part: Part) -> list[dict[str, Any]]:
    lengths = np.array([len(sequence) for sequence in part.sequences])
    order = np.argsort(lengths, kind="stable")
    buckets = [rows for rows in np.array_split(order, _NUM_BUCKETS) if len(rows)]
    return [
        {
            "from": int(lengths[rows[0]]),
            "to": int(lengths[rows[-1]]),
            "count": len(rows),
            "accuracy": float(score.is_correct[rows].mean()),
        }
        for rows in buckets
    ]


def _calibration(score: ClassificationScore) -> tuple[list[dict[str, Any]], float]:
    certainty = np.exp(score.log_probs.max(1).astype(np.float64))
    at = np.minimum((certainty * _NUM_BINS).astype(int), _NUM_BINS - 1)
    bins, ece = [], 0.0
    for number in range(_NUM_BINS):
        rows = at == number
        if rows.any():
            sure, right = float(certainty[rows].mean()), float(score.is_correct[rows].mean())
            bins.append({"certainty": sure, "accuracy": right, "count": int(rows.sum())})
            ece += rows.mean() * abs(sure - right)
    return bins, float(ece)
