"""The nearest neighbour under dynamic time warping: what a classifier of numeric series must beat."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from rnnkit.baselines.archive import read_arrays, write_arrays


class NearestSeries:
    """A series gets the label of the training series that it can be warped onto at the least cost.

    D(i, j) = |x_i − y_j|² + min(D(i−1, j), D(i, j−1), D(i−1, j−1)), over all dimensions at once, without a window.

    Args:   series: float32 [T, I] each.  labels: [N] integers in 0..num_labels-1.
    Cost:   of each series N·T² in arrays of N·T.
    Source: Sakoe and Chiba 1978; as a baseline (DTW_D): Bagnall et al. 2018, arXiv:1811.00075.
    """

    def __init__(self, series: Sequence[np.ndarray], labels: np.ndarray, *, num_labels: int) -> None:
        self.labels, self.num_labels = np.asarray(labels, np.int64), num_labels
        self.lengths = np.array([len(one) for one in series], np.int64)
        self.series = np.zeros((len(series), max(int(self.lengths.max()), 1), series[0].shape[1]), np.float32)
        for row, one in enumerate(series):
            self.series[row, : len(one)] = one

    def log_probs(self, series: Sequence[np.ndarray]) -> np.ndarray:
        """0 for the label decided on and −inf for every other: it gives no probabilities, [N, C]."""
        result = np.full((len(series), self.num_labels), -np.inf)
        for row, one in enumerate(series):
            result[row, self.labels[self._distances(one).argmin()]] = 0.0
        return result

    def _distances(self, x: np.ndarray) -> np.ndarray:
        """The cost of warping x [n, I] onto every training series, [N]; infinite onto or from one without a step."""
        N, m, _ = self.series.shape
        n = len(x)
        result = np.full(N, np.inf)
        if not n:
            return result
        costs = ((x[None, :, None] - self.series[:, None]) ** 2).sum(3)  # [N, n, m]
        before = older = np.full((N, n + 1), np.inf)  # of the two diagonals before, by i + 1
        for diagonal in range(n + m - 1):
            i = np.arange(max(0, diagonal - m + 1), min(n - 1, diagonal) + 1)
            least = np.minimum(np.minimum(before[:, i], before[:, i + 1]), older[:, i])
            now = np.full((N, n + 1), np.inf)
            now[:, i + 1] = costs[:, i, diagonal - i] + (least if diagonal else 0.0)
            ends = self.lengths - 1 == diagonal - (n - 1)
            result[ends] = now[ends, n]
            older, before = before, now
        return result

    @property
    def num_bytes(self) -> int:
        """What its arrays take: it keeps every training series."""
        return self.series.nbytes + self.labels.nbytes + self.lengths.nbytes

    def save(self, folder: str | Path) -> None:
        """Write `series.npz` and `series.json`. Raises: SaveError."""
        arrays = {"series": self.series, "labels": self.labels, "lengths": self.lengths}
        write_arrays(folder, "series", {"num_labels": self.num_labels}, arrays)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote. Raises: DataError naming the file."""

        def make(head: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
            kept = [one[:length] for one, length in zip(arrays["series"], arrays["lengths"], strict=True)]
            return cls(kept, arrays["labels"], num_labels=int(head["num_labels"]))

        return read_arrays(folder, "series", make)
