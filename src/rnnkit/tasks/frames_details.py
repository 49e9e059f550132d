"""Where a model of several labels or numbers a frame is right and where it is not, as figures; torch-free."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnkit.data import Framed
from rnnkit.metrics.frames import LabelsScore, NumbersScore
from rnnkit.tasks.frames_score import LabelledBy

_NUM_WORST = 20
_NUM_BUCKETS = 4
_SHOWN_FRAMES = 200
_SHOWN_TARGETS = 128


def details(system: LabelledBy, framed: Framed, *, labels: list[str], deviation: np.ndarray | None) -> dict[str, Any]:
    """The figures of the report on one part.

    Args:    system: the model's.  deviation: of numbers, as of `NumbersScore`.
    Returns: per_tag: precision, recall, f1, count of each label; or per_target: RMSE, MAE, R² of each number. worst:
             the frames of most nats, or of the largest error in deviations. by_length: nats or that error in four
             buckets of recordings of equal count. example: the begin of the first recording, as it is (`gold`) and
             as it is said (`said`, of labels probabilities), [T][K], of at most 200 frames and 128 targets.
    """
    if framed.kind == "labels":
        score: Any = LabelsScore(framed.tags, system.log_probs)  # type: ignore[arg-type]
        per_frame, per_target = score.nats_per_frame, score.per_label()
    else:
        assert deviation is not None
        score = NumbersScore(framed.tags, system.log_probs, deviation=deviation)  # type: ignore[arg-type]
        per_frame, per_target = [np.sqrt(one) for one in score.scaled_squares], score.per_target()
    return {
        "per_tag" if framed.kind == "labels" else "per_target": dict(zip(labels, per_target, strict=True)),
        "worst": _worst(system, framed, per_frame, labels),
        "by_length": _by_length(per_frame, is_squared=framed.kind == "numbers"),
        "example": _example(system, framed),
    }


def _worst(system: LabelledBy, framed: Framed, per_frame: list[np.ndarray], labels: list[str]) -> list[dict[str, Any]]:
    lost = np.concatenate(per_frame)
    ends = np.cumsum([len(one) for one in per_frame])
    rows = []
    for flat in np.argsort(-lost, kind="stable")[:_NUM_WORST].tolist():
        number = int(np.searchsorted(ends, flat, side="right"))
        frame = flat - int(ends[number]) + len(per_frame[number])
        gold, said = np.asarray(framed.tags[number])[frame], system.log_probs[number][frame]
        shown = [_named(gold > 0.5, labels), _named(said > np.log(0.5), labels)]
        if framed.kind == "numbers":
            off = int(np.abs(said - gold).argmax()) if len(labels) > 1 else 0
            shown = [f"{labels[off]} {gold[off]:.4g}", f"{labels[off]} {said[off]:.4g}"]
        place = framed.place(number, frame)
        rows.append({"place": place, "is": shown[0], "said": shown[1], "lost": float(lost[flat])})
    return rows


def _named(is_there: np.ndarray, labels: list[str]) -> str:
    return " ".join(labels[at] for at in np.flatnonzero(is_there)) or "none"


def _by_length(per_frame: list[np.ndarray], *, is_squared: bool) -> list[dict[str, Any]]:
    lengths = np.array([len(one) for one in per_frame])
    found = []
    for rows in np.array_split(np.argsort(lengths, kind="stable"), _NUM_BUCKETS):
        values = np.concatenate([per_frame[row] for row in rows]) if len(rows) else np.zeros(0)
        if len(values):
            mean = float(np.sqrt((values**2).mean()) if is_squared else values.mean())
            found.append(
                {"from": int(lengths[rows[0]]), "to": int(lengths[rows[-1]]), "count": len(rows), "lost": mean}
            )
    return found


def _example(system: LabelledBy, framed: Framed) -> dict[str, Any]:
    gold = np.asarray(framed.tags[0])[:_SHOWN_FRAMES, :_SHOWN_TARGETS]
    said = system.log_probs[0][:_SHOWN_FRAMES, :_SHOWN_TARGETS]
    said = np.exp(said) if framed.kind == "labels" else said
    return {"place": framed.place(0), "gold": _rounded(gold), "said": _rounded(said)}


def _rounded(values: np.ndarray) -> list[list[float]]:
    return [[float(f"{value:.4g}") for value in row] for row in values.tolist()]
