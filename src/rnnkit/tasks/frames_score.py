"""The rows of a table of frames; torch-free, for the table of a run and for `rnnkit eval`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnkit.data import Framed
from rnnkit.metrics import ClassificationScore
from rnnkit.metrics.frames import BLOCK, LabelsScore, NumbersScore
from rnnkit.metrics.tagging import Tags
from rnnkit.tasks.tag_score import TaggedBy, tagging_rows

PEER = "frame-cnn"  # the neural peer of videos, which trains as the model does but starts anew at every frame


@dataclass(frozen=True, eq=False)
class LabelledBy(TaggedBy):
    """What a system says of all frames: labels, where frames have one; of each recording log-probabilities [T, C], or
    numbers [T, K].
    """

    log_probs: Sequence[np.ndarray]


def said_by(name: str, system: Any, own: dict[str, Any], *, framed: Framed) -> LabelledBy:
    """What a model or a baseline says of recordings. Args: own: what its row says besides."""
    recordings = framed.sentences
    if framed.kind == "numbers":
        return LabelledBy(name, [], own, system.predict(recordings))
    tags = system.predict(recordings) if framed.kind == "label" else []
    return LabelledBy(name, tags, own, system.log_probs(recordings))


def rows_of(
    systems: Sequence[LabelledBy],
    framed: Framed,
    *,
    labels: Sequence[str],
    deviation: np.ndarray | None = None,
    is_next: bool = False,
) -> list[dict[str, Any]]:
    """One row for each system, the model's first: its scores, and of a baseline the paired difference to the model.

    Args: labels: what the outputs stand for.  deviation: [K] of numbers, see `NumbersScore`.
          is_next: every frame is said from those before it; of labels figures without each recording's first one, of
          which nothing is known, stand beside those of all.
    """
    if framed.kind == "label":
        return frame_rows(systems, framed.tags, labels=labels)
    scores: list[Any] = []
    for system in systems:
        if framed.kind == "labels":
            scores.append(LabelsScore(framed.tags, system.log_probs))  # type: ignore[arg-type]
        else:
            assert deviation is not None
            scores.append(NumbersScore(framed.tags, system.log_probs, deviation=deviation))  # type: ignore[arg-type]
    rows = []
    for system, score in zip(systems, scores, strict=True):
        row = {"name": system.name, **score.to_dict(), **system.own}
        if isinstance(score, NumbersScore):
            row["per_target"] = dict(zip(labels, score.per_target(), strict=True))
        elif is_next and len(rest := np.concatenate([nats[1:] for nats in score.nats_per_frame])):
            row["nats_after_first"] = float(rest.mean())
        if score is not scores[0]:
            row |= scores[0].paired(score)
        rows.append(row)
    return rows


def frame_rows(systems: Sequence[LabelledBy], gold: Tags, *, labels: Sequence[str]) -> list[dict[str, Any]]:
    """As `tagging_rows`, over blocks of at most 32 frames; macro F1 and nats per frame come from the log-probabilities.

    Args: labels: what the columns of log-probabilities stand for.
    """
    ids = {label: index for index, label in enumerate(labels)}
    targets = np.array([ids[label] for of_one in gold for label in of_one], np.int64)
    in_blocks = [TaggedBy(system.name, _blocks(system.tags), system.own) for system in systems]
    rows = tagging_rows(in_blocks, _blocks(gold), of_spans=False)
    for row, system in zip(rows, systems, strict=True):
        score = ClassificationScore(np.concatenate(system.log_probs), targets)
        row |= {"macro_f1": score.to_dict()["macro_f1"], "nats": score.nats}
        row |= {"num_frames": row.pop("num_words"), "num_sequences": len(gold)}
        for of_sentences in ("num_sentences", "sentences_right"):
            del row[of_sentences]
    return rows


def _blocks(tags: Tags) -> list[Sequence[str]]:
    return [of_one[first : first + BLOCK] for of_one in tags for first in range(0, len(of_one), BLOCK)]
