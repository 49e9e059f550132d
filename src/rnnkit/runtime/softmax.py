"""From features to the scores of every token: full, tied and adaptive softmax."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnkit.kernels.heads import PackedLinear, log_softmax
from rnnkit.kernels.recurrent import Precision


class FullSoftmax:
    """log p = log_softmax(W (P x) + b), where P is there only when tying to a narrower embedding."""

    def __init__(
        self, weight: np.ndarray, bias: np.ndarray, projection: np.ndarray | None = None, *, precision: Precision
    ) -> None:
        self.scores = PackedLinear(weight, bias, precision=precision)
        self.projection = None if projection is None else PackedLinear(projection, precision=precision)

    def logits(self, x: np.ndarray) -> np.ndarray:
        """[N, F] -> [N, V]."""
        return self.scores(x if self.projection is None else self.projection(x))

    def log_probs(self, x: np.ndarray) -> np.ndarray:
        """[N, F] -> [N, V], natural logarithms."""
        return log_softmax(self.logits(x))


class AdaptiveSoftmax:
    """log p(w) = log p(cluster of w | x) + log p(w | cluster, x); the first cluster is scored with the choice itself.

    Source: Grave et al. 2017, arXiv:1609.04309.
    """

    def __init__(self, cutoffs: list[int], tensors: Mapping[str, np.ndarray], *, precision: Precision) -> None:
        self._shortlist = cutoffs[0]
        self._head = PackedLinear(tensors["head.head.weight"], precision=precision)
        self._tails = [
            tuple(PackedLinear(tensors[f"head.tail.{index}.{part}.weight"], precision=precision) for part in (0, 1))
            for index in range(len(cutoffs))
        ]

    def log_probs(self, x: np.ndarray) -> np.ndarray:
        """[N, F] -> [N, V], natural logarithms."""
        choice = log_softmax(self._head(x))
        parts = [choice[:, : self._shortlist]]
        for index, (project, score) in enumerate(self._tails):
            parts.append(log_softmax(score(project(x))) + choice[:, self._shortlist + index, None])
        return np.concatenate(parts, axis=1)

    logits = log_probs


Softmax = FullSoftmax | AdaptiveSoftmax


def build_softmax(model: Mapping[str, Any], tensors: Mapping[str, np.ndarray], precision: Precision) -> Softmax:
    """The softmax that a configuration's `model` names."""
    if model["softmax"] == "adaptive":
        return AdaptiveSoftmax(list(model["cutoffs"]), tensors, precision=precision)
    if model.get("tied"):
        projection = tensors.get("projection.weight")
        return FullSoftmax(tensors["embedding.weight"], tensors["head.bias"], projection, precision=precision)
    return FullSoftmax(tensors["head.weight"], tensors["head.bias"], precision=precision)
