"""Where a classifier is right and where it is not, as figures for its report; torch-free."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from rnnkit.metrics import ClassificationScore, MultiLabelScore, reliability, score_of

if TYPE_CHECKING:
    from rnnkit.tasks.classify import Part

SHARES_SEEN = tuple(tenth / 10 for tenth in range(1, 11))
_NUM_WORST = 20
_NUM_BUCKETS = 4
_SHOWN = 200  # characters of a text


class Decides(Protocol):
    """A model of the run half."""

    thresholds: np.ndarray | None

    def log_probs(self, sequences: list[np.ndarray], /) -> np.ndarray: ...

    def named(self, log_probs: np.ndarray, /) -> list[Any]: ...


Score = ClassificationScore | MultiLabelScore


def details(
    model: Decides, log_probs: np.ndarray, part: Part, labels: list[str], *, temperature: float | None = None
) -> dict[str, Any]:
    """The figures of the report on one part.

    Args:    log_probs: [N, C], the model's for all of `part`.  temperature: that its logits were divided by, if any.
    Returns: confusion, [C][C] counts, the label it is by the label it was taken for (of several labels `counts`: of
             each how often it was rightly found, wrongly found, and missed); per_label; worst, the mistakes of the
             lowest probability; seen, the accuracy from the first tenth, two tenths … of every sequence's steps;
             by_length, in four buckets of equal count; calibration, accuracy by certainty in ten bins, and their mean
             distance `ece` (Naeini et al. 2015), of several labels over all decisions; with a temperature it too, and
             both as they were before it, under `uncalibrated`.
    Cost:    decides on the part 4.5 times more.
    """
    score = score_of(log_probs, part.targets, model.thresholds)
    is_single = isinstance(score, ClassificationScore)
    bins, ece = _calibration(score)
    return {
        **({"confusion": score.confusion.tolist()} if is_single else {"counts": score.counts.tolist()}),
        "per_label": dict(zip(labels, score.per_label(), strict=True)),
        "worst": _worst(model, score, part, labels),
        "seen": [_seen(model, part, share) for share in SHARES_SEEN[:-1]]
        + [{"share": 1.0, "accuracy": score.accuracy}],
        "by_length": _by_length(score, part),
        "calibration": bins,
        "ece": ece,
        **({} if temperature is None else _uncalibrated(score, temperature)),
    }


def _worst(model: Decides, score: Score, part: Part, labels: list[str]) -> list[dict[str, Any]]:
    if isinstance(score, ClassificationScore):
        of_target = score.log_probs[np.arange(len(part)), part.targets]
    else:
        of_target = np.array([-score_of(score.log_probs[[n]], part.targets[[n]]).nats for n in range(len(part))])
    mistakes = np.flatnonzero(~score.is_correct)
    rows = []
    for row in mistakes[np.argsort(of_target[mistakes], kind="stable")][:_NUM_WORST].tolist():
        sequence = part.examples.inputs[row]
        rows.append(
            {
                "place": part.examples.places[row],
                "text": sequence[:_SHOWN] if isinstance(sequence, str) else f"{len(sequence)} frames",
                "label": _shown(part.examples.labels[row]),
                "predicted": _shown(model.named(score.log_probs[[row]])[0]),
                "probability": math.exp(of_target[row]),
            }
        )
    return rows


def _seen(model: Decides, part: Part, share: float) -> dict[str, float]:
    begun = [sequence[: math.ceil(share * len(sequence))] for sequence in part.sequences]
    return {"share": share, "accuracy": score_of(model.log_probs(begun), part.targets, model.thresholds).accuracy}


def _shown(labels: str | Sequence[str]) -> str:
    return labels if isinstance(labels, str) else ", ".join(labels) or "none"


def _by_length(score: Score, part: Part) -> list[dict[str, Any]]:
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


def _calibration(score: Score) -> tuple[list[dict[str, Any]], float]:
    if isinstance(score, ClassificationScore):
        return reliability(np.exp(score.log_probs.max(1).astype(np.float64)), score.is_correct)
    there = np.exp(score.log_probs.astype(np.float64))
    certainty, is_right = np.maximum(there, 1 - there), (there >= 0.5) == (score.targets != 0)
    return reliability(certainty.reshape(-1), is_right.reshape(-1))


def _uncalibrated(score: Score, temperature: float) -> dict[str, Any]:
    """The temperature, and what was measured without it."""
    if isinstance(score, ClassificationScore):
        scores = score.log_probs.astype(np.float64) * temperature
        before: Score = ClassificationScore(scores - np.logaddexp.reduce(scores, axis=1, keepdims=True), score.targets)
    else:
        there = np.clip(score.log_probs.astype(np.float64), -700, -1e-12)
        logits = (there - np.log(-np.expm1(there))) * temperature
        before = MultiLabelScore(-np.logaddexp(0, -logits), score.targets)
    bins, ece = _calibration(before)
    return {"temperature": temperature, "uncalibrated": {"calibration": bins, "ece": ece, "nats": before.nats}}
