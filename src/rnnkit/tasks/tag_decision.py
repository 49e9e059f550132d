"""From a tagger's scores to tags: the best path, and how much the score of O is lowered for it; torch-free.

Where spans are rare and new, as names in tweets are, the likeliest path says O too often for a good F1: the F1 loses by
a span that is missed what it loses by one that is wrong, however much likelier O is. A lower score of O moves that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rnnkit.metrics.chain import Chain, best_paths
from rnnkit.metrics.spans import OUTSIDE
from rnnkit.metrics.tagging import TaggingScore, Tags

BIASES = tuple(step / 4 for step in range(-4, 17))
"""What is tried: −1 to 4 nats."""


@dataclass(frozen=True, eq=False)
class Scored:
    """A model's scores of sequences.

    Args:
        rows: which they are, in the order of the groups.
        groups: scores [T, B, C] of B of them side by side, and their lengths [B].
        labels: what the columns stand for.
        chain: scores between labels; None: each step is decided by itself.
    """

    rows: Sequence[int]
    groups: Sequence[tuple[np.ndarray, np.ndarray]]
    labels: list[str]
    chain: Chain | None


def decided(scored: Scored, *, outside_bias: float = 0.0) -> list[np.ndarray]:
    """The best label of every step, int64 [T] for each of `rows`. Args: outside_bias: what O's score is lowered by."""
    found = []
    for scores, lengths in scored.groups:
        if outside_bias:
            scores = scores.copy()
            scores[..., scored.labels.index(OUTSIDE)] -= np.float32(outside_bias)
        paths = scores.argmax(2) if scored.chain is None else best_paths(scores, lengths, scored.chain)
        found += [paths[:length, column] for column, length in enumerate(lengths)]
    return found


def fitted_outside(scored: Scored, gold: Tags) -> float:
    """Which of `BIASES` gives the best F1 over spans; of equal ones the nearest to 0. Args: gold: of `rows`."""

    def f1(bias: float) -> float:
        predicted = [[scored.labels[best] for best in path] for path in decided(scored, outside_bias=bias)]
        return TaggingScore(gold, predicted, of_spans=True).figure

    return max(sorted(BIASES, key=abs), key=f1)
