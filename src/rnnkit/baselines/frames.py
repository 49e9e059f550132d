"""What a labeller of frames must beat: the commonest label, and networks that read one frame or a fixed window.

Of several labels each one's frequency; of numbers their mean; of the next frame also the last one. scikit-learn fits
the networks; scoring needs NumPy only.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from rnnkit.baselines.archive import read_arrays, write_arrays
from rnnkit.baselines.bag import log_odds, require_scikit_learn
from rnnkit.metrics.frames import TargetKind

FrameBaselineName = Literal["majority", "mean", "last-value", "frame-mlp", "window-mlp"]
_HIDDEN = 100
_PASSES, _PATIENCE = 200, 10


class FrameMlp:
    """A layer of rectified units on a fixed window around each frame; the ends of a recording stand in for what is
    beyond them. Without a layer: the commonest label.

        x_t = (frame_{t−before} … frame_{t+after} − mean) / deviation
        z_t = V·max(W·x_t + b, 0) + c, or without hidden units V·x_t + c, or c alone
        log p(label_t) = log_softmax(z_t);  of several labels log σ(z_t), each there or not;  of numbers z_t itself

    Args:
        labels: [C] what the outputs stand for.
        layers: W, b, V, c and so on, float64; of what reads nothing c alone.
        mean, deviation: of a frame, [I].  before, after: frames of the window beside its own.
        targets: what the outputs are.
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
        targets: TargetKind = "label",
    ) -> None:
        self.labels, self.layers = list(labels), [np.asarray(layer, np.float64) for layer in layers]
        self.mean, self.deviation, self.before, self.after = mean, deviation, before, after
        self.targets = targets

    @classmethod
    def fit(
        cls,
        kind: FrameBaselineName,
        recordings: Sequence[np.ndarray],
        labels: Sequence[Any],
        *,
        before: int,
        after: int,
        targets: TargetKind = "label",
        names: Sequence[str] = (),
    ) -> Self:
        """Fit one on training recordings, float32 [T, I] each, and what every frame has.

        Args:   kind: "majority" of labels, or "mean" of numbers; "last-value" where what is read is what was said one
                frame before: numbers as they were, of labels the frequency of each after itself and after its absence.
                labels: a label for every frame, of two or more; or [T, K] of several (0 or 1) or of numbers.
                before, after: of "window-mlp", the other kinds read no window.
                names: of the K targets.
        Raises: MissingExtraError without scikit-learn.
        Cost:   at most 200 passes over all windows; a tenth of the frames decides when to stop.
        """
        frames = np.concatenate(recordings).astype(np.float64)
        deviation = frames.std(0)
        scale = (frames.mean(0), np.where(deviation > 0, deviation, 1.0))
        if targets == "labels" and ((frames == 0) | (frames == 1)).all():
            scale = (np.zeros(frames.shape[1]), np.ones(frames.shape[1]))  # a label seldom there would shout
        if targets == "label":
            found, wanted, counts = np.unique(np.concatenate(labels), return_inverse=True, return_counts=True)
            names, constant = found.tolist(), np.log(counts / counts.sum())
        else:
            wanted = np.concatenate(labels).astype(np.float64)
            constant = wanted.mean(0) if targets == "numbers" else log_odds(wanted)
        if kind in ("majority", "mean"):
            return cls(names, [constant], *scale, before=0, after=0, targets=targets)
        if kind == "last-value":
            return cls._last_value(names, frames, wanted, targets)
        window = {"before": before, "after": after} if kind == "window-mlp" else {"before": 0, "after": 0}
        model = cls(names, [], *scale, **window, targets=targets)
        model._fit_layers(np.concatenate([model._windows(one) for one in recordings]), wanted)
        return model

    @classmethod
    def _last_value(cls, names: Sequence[str], frames: np.ndarray, wanted: np.ndarray, targets: TargetKind) -> Self:
        """z_t = V·frame_t + c, of numbers the frame itself."""
        size = len(names)
        weight, bias = np.eye(size), np.zeros(size)
        if targets == "labels":
            was_there = frames > 0.5
            bias, there = (
                np.concatenate([log_odds(wanted[rows, k : k + 1]) for k, rows in enumerate(chosen.T)])
                for chosen in (~was_there, was_there)
            )
            weight = np.diag(there - bias)
        unscaled = (np.zeros(size), np.ones(size))
        return cls(names, [weight, bias], *unscaled, before=0, after=0, targets=targets)

    def _fit_layers(self, windows: np.ndarray, wanted: np.ndarray) -> None:
        require_scikit_learn()
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPClassifier, MLPRegressor

        if self.targets == "labels":
            self._fit_several(MLPClassifier((_HIDDEN,), random_state=0), windows, wanted)
            return
        is_numbers = self.targets == "numbers"
        kind: Any = MLPRegressor if is_numbers else MLPClassifier
        fitted = kind(hidden_layer_sizes=(_HIDDEN,), early_stopping=True, random_state=0)
        mean, deviation = wanted.mean(0), wanted.std(0)
        deviation = np.where(deviation > 0, deviation, 1.0)
        given = (wanted - mean) / deviation if is_numbers else wanted
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # 200 passes are what it gets
            fitted.fit(windows, given[:, 0] if given.ndim == 2 and given.shape[1] == 1 else given)
        for weight, bias in zip(fitted.coefs_, fitted.intercepts_, strict=True):
            self.layers += [weight.T, bias]
        weight, bias = self.layers[-2:]
        if is_numbers:
            self.layers[-2:] = [weight * deviation[:, None], bias * deviation + mean]
        elif self.targets == "label" and len(self.labels) == 2:  # of two labels scikit-learn gives the second one's
            self.layers[-2:] = [np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2]

    def _fit_several(self, fitted: Any, windows: np.ndarray, wanted: np.ndarray) -> None:
        """Keep the pass of fewest nats on a tenth of the frames, until ten in a row are no better: scikit-learn's own
        early stopping counts the frames whose labels are all right, of which there may be none.
        """
        is_held = np.random.Generator(np.random.Philox(0)).random(len(windows)) < 0.1
        held, classes = np.flatnonzero(is_held), np.arange(max(wanted.shape[1], 2))
        if len(held) in (0, len(windows)):
            held, is_held = np.arange(len(windows)), np.zeros(len(windows), bool)
        given = wanted[~is_held, 0] if wanted.shape[1] == 1 else wanted[~is_held]
        best, waited = np.inf, 0
        for _ in range(_PASSES):
            fitted.partial_fit(windows[~is_held], given, classes=classes)
            layers = [part.T for pair in zip(fitted.coefs_, fitted.intercepts_, strict=True) for part in pair]
            logits = _through(layers, windows[held])
            nats = np.logaddexp(0, np.where(wanted[held] > 0.5, -logits, logits)).sum(1).mean()
            waited += 1
            if nats < best - 1e-4:
                best, waited, self.layers = nats, 0, [layer.copy() for layer in layers]
            if waited == _PATIENCE:
                break

    def log_probs(self, recordings: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Natural logarithms, float64 [T, C] for every recording; of several labels, that each is there."""
        return [self._scores(recording) for recording in recordings]

    def predict(self, recordings: Sequence[np.ndarray]) -> list[Any]:
        """The likeliest label of every frame; of several a list of those there; or numbers [T, K]."""
        scored = [self._scores(recording) for recording in recordings]
        if self.targets == "numbers":
            return scored
        if self.targets == "labels":
            return [[[self.labels[at] for at in np.flatnonzero(row > np.log(0.5))] for row in one] for one in scored]
        return [[self.labels[best] for best in scores.argmax(1)] for scores in scored]

    def _scores(self, recording: np.ndarray) -> np.ndarray:
        """Log-probabilities, or numbers."""
        x = self._logits(recording)
        if self.targets == "numbers":
            return x
        if self.targets == "labels":
            return -np.logaddexp(0, -x)
        x -= x.max(1, keepdims=True)
        return x - np.log(np.exp(x).sum(1, keepdims=True))

    def _logits(self, recording: np.ndarray) -> np.ndarray:
        if len(self.layers) == 1:
            return np.tile(self.layers[0], (len(recording), 1))
        return _through(self.layers, self._windows(recording))

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
        head = {"labels": self.labels, "before": self.before, "after": self.after, "targets": self.targets}
        arrays = {f"layer_{number}": layer for number, layer in enumerate(self.layers)}
        write_arrays(folder, "frames", head, {"mean": self.mean, "deviation": self.deviation, **arrays})

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote. Raises: DataError naming the file, for anything that is not exactly that."""

        def make(head: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
            layers = [arrays[f"layer_{number}"] for number in range(len(arrays) - 2)]
            targets = head.get("targets", "label")  # those of older runs say nothing of it
            model = cls(head["labels"], layers, arrays["mean"], arrays["deviation"], before=head["before"],
                        after=head["after"], targets=targets)  # fmt: skip
            if model._scores(np.zeros((1, len(model.mean)))).shape != (1, len(model.labels)):
                raise ValueError("the sizes of frames.npz do not fit together")
            return model

        return read_arrays(folder, "frames", make)


def _through(layers: Sequence[np.ndarray], x: np.ndarray) -> np.ndarray:
    """Rectified units between layers W, b, V, c and so on."""
    for number in range(0, len(layers), 2):
        weight, bias = layers[number : number + 2]
        x = (np.maximum(x, 0) if number else x) @ weight.T + bias
    return x
