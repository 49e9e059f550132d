"""The rows of a table of frames; torch-free, for the table of a run and for `rnnkit eval`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnkit.metrics import ClassificationScore
from rnnkit.metrics.tagging import Tags
from rnnkit.tasks.tag_score import TaggedBy, tagging_rows

PEER = "frame-cnn"  # the neural peer of videos, which trains as the model does but starts anew at every frame
BLOCK = 32  # frames resampled together: neighbours are alike, and each alone would say more than it does


@dataclass(frozen=True, eq=False)
class LabelledBy(TaggedBy):
    """A system's labels of all frames, and its log-probabilities [T, C] of each recording."""

    log_probs: Sequence[np.ndarray]


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
