"""The neural peer of a labeller of videos: the same network, which starts anew at every frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from rnnkit.runtime.transducer import Transducer


class FrameByFrame:
    """A Transducer that reads every frame from the initial state, so that it knows of no other.

    Args: model: of pictures.
    """

    def __init__(self, model: Transducer) -> None:
        self.model = model

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Of a bundle. Raises: BundleError, by its subclasses."""
        return cls(Transducer.load(folder))

    @property
    def num_parameters(self) -> int:
        return self.model.num_parameters

    def log_probs(self, recordings: Sequence[Any]) -> list[np.ndarray]:
        """As `Transducer.log_probs`, float32 [T, C] for every recording."""
        empty = np.empty((0, len(self.model.labels)), np.float32)
        found = (self.model.log_probs([one[t : t + 1] for t in range(len(one))]) for one in map(np.asarray, recordings))
        return [np.concatenate([empty, *frames]) for frames in found]

    def predict(self, recordings: Sequence[Any]) -> list[list[str]]:
        """The likeliest label of every frame."""
        return [[self.model.labels[best] for best in scores.argmax(1)] for scores in self.log_probs(recordings)]
