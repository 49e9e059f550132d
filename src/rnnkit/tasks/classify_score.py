"""The rows of a classification table; torch-free, for the table of a run and for `rnnkit eval`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnkit.metrics import paired_difference, score_of
from rnnkit.text import WordReader

LAYERS, NGRAMS = "layers", "ngrams"
"""What the rows of a classifier's two parts are called, each of which decides alone there."""


@dataclass(frozen=True, eq=False)
class Judged:
    """A system's log-probabilities [N, C] of all labels for the same sequences, and what its row says besides.

    thresholds: of one that gives several labels, see `rnnkit.metrics.MultiLabelScore`.
    """

    name: str
    log_probs: np.ndarray
    own: dict[str, Any]
    thresholds: np.ndarray | None = None


def read_by_baselines(sequences: Sequence[np.ndarray], words: WordReader | None) -> list[np.ndarray]:
    """Sequences as baselines read them: of words whose spelling is read, too, the ids alone."""
    return [*sequences] if words is None else [rows[:, 0] for rows in sequences]


def rows_of(judged: Sequence[Judged], targets: np.ndarray) -> list[dict[str, Any]]:
    """One row for each system, the model's first: its scores, and of a baseline the paired difference to the model."""
    scores = [score_of(system.log_probs, targets, system.thresholds) for system in judged]
    rows = []
    for system, score in zip(judged, scores, strict=True):
        row = {"name": system.name, **score.to_dict(), **system.own}
        if score is not scores[0]:
            row |= paired_difference(scores[0].is_correct, score.is_correct)
        rows.append(row)
    return rows
