"""What a labeller of frames must beat: the commonest label, and networks that read one frame or a fixed window.

scikit-learn fits them; scoring needs NumPy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from rnnkit.baselines.archive import read_arrays, write_arrays
from rnnkit.baselines.bag import require_scikit_learn

FrameBaselineName = Literal["majority", "frame-mlp", "window-mlp"]
_HIDDEN = 100


class FrameMlp:
    """A layer of rectified units on a fixed window around each frame; the ends of a recording stand in for what is
    beyond them. Without a layer: the commonest label.

        x_t = (frame_{t−before} … frame_{t+after} − mean) / deviation
        log p(label_t) = log_softmax(V·max(W·x_t + b, 0) + c)

    Args:
        labels: [C] what the outputs stand for.
        layers: W, b, V, c and so on, float64; of the commonest label c alone.
        mean, deviation: of a frame, [I].  before, after: frames of the window beside its own.
    """

    def __init__(
        self,
        labels: Sequence[str],
        layers: Sequence[np.ndarray],
        mean: np.ndarray,
        deviation: np.ndarray,
        *,
        before: int,
        after: int,
    ) -> None:
        self.labels, self.layers = list(labels), [np.asarray(layer, np.float64) for layer in layers]
        self.mean, self.deviation, self.before, self.after = mean, deviation, before, after

    @classmethod
    def fit(
        cls,
        kind: FrameBaselineName,
        recordings: Sequence[np.ndarray],
        labels: Sequence[Sequence[str]],
        *,
        before: int,
        after: int,
    ) -> Self:
        """Fit one on training recordings, float32 [T, I] each, and a label for every frame, of two or more.

        Args:   before, after: of "window-mlp", the other kinds read no window.
        Raises: MissingExtraError without scikit-learn.
        Cost:   at most 200 passes over all windows; a tenth of the frames decides when to stop.
        """
        frames = np.concatenate(recordings).astype(np.float64)
        deviation = frames.std(0)
        scale = (frames.mean(0), np.where(deviation > 0, deviation, 1.0))
        names, targets, counts = np.unique(np.concatenate(labels), return_inverse=True, return_counts=True)
        if kind == "majority":
            return cls(names.tolist(), [np.log(counts / counts.sum())], *scale, before=0, after=0)
        require_scikit_learn()
        from sklearn.neural_network import MLPClassifier

        window = {"before": before, "after": after} if kind == "window-mlp" else {"before": 0, "after": 0}
        model = cls(names.tolist(), [], *scale, **window)
        fitted: Any = MLPClassifier((_HIDDEN,), early_stopping=True, random_state=0)
        fitted.fit(np.concatenate([model._windows(one) for one in recordings]), targets)
        for weight, bias in zip(fitted.coefs_, fitted.intercepts_, strict=True):
            model.layers += [weight.T, bias]
        if len(names) == 2:  # of two labels scikit-learn gives the second one's
            weight, bias = model.layers[-2:]
            model.layers[-2:] = [np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2]
        return model

    def log_probs(self, recordings: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Natural logarithms, float64 [T, C] for every recording."""
        return [self._scores(recording) for recording in recordings]

    def predict(self, recordings: Sequence[np.ndarray]) -> list[list[str]]:
        """The likeliest label of every frame."""
        return [[self.labels[best] for best in scores.argmax(1)] for scores in self.log_probs(recordings)]

    def _scores(self, recording: np.ndarray) -> np.ndarray:
        if len(self.layers) == 1:
            return np.tile(self.layers[0], (len(recording), 1))
        x = self._windows(recording)
        for number in range(0, len(self.layers), 2):
            weight, bias = self.layers[number : number + 2]
            x = (np.maximum(x, 0) if number else x) @ weight.T + bias
        x -= x.max(1, keepdims=True)
        return x - np.log(np.exp(x).sum(1, keepdims=True))

    def _windows(self, recording: np.ndarray) -> np.ndarray:
        """[T, I] -> [T, (before + 1 + after)·I]."""
        at = np.arange(len(recording))[:, None] + np.arange(-self.before, self.after + 1)
        scaled = (np.asarray(recording, np.float64) - self.mean) / self.deviation
        return scaled[at.clip(0, max(len(recording) - 1, 0))].reshape(len(recording), -1)

    @property
    def num_bytes(self) -> int:
        """What its arrays take."""
        return sum(array.nbytes for array in (*self.layers, self.mean, self.deviation))

    def save(self, folder: str | Path) -> None:
        """Write `frames.npz` and `frames.json`. Raises: SaveError."""
        head = {"labels": self.labels, "before": self.before, "after": self.after}
        arrays = {f"layer_{number}": layer for number, layer in enumerate(self.layers)}
        write_arrays(folder, "frames", head, {"mean": self.mean, "deviation": self.deviation, **arrays})

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote. Raises: DataError naming the file, for anything that is not exactly that."""

        def make(head: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
            layers = [arrays[f"layer_{number}"] for number in range(len(arrays) - 2)]
            model = cls(head["labels"], layers, arrays["mean"], arrays["deviation"], before=head["before"],
                        after=head["after"])  # fmt: skip
            if model._scores(np.zeros((1, len(model.mean)))).shape != (1, len(model.labels)):
                raise ValueError("the sizes of frames.npz do not fit together")
            return model

        return read_arrays(folder, "frames", make)
