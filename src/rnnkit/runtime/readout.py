"""What a decision reads of a layer's outputs: the last, the largest, the mean or the attended one, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np

from rnnkit.kernels import heads
from rnnkit.kernels.recurrent import Precision

# What of the steps so far each readout keeps, and how wide it is; None: as the outputs. Zeros before the first step.
PARTS: dict[str, dict[str, int | None]] = {
    "last": {},
    "max": {"largest": None},
    "mean": {"total": None},
    "attention": {"top_score": 1, "weight": 1, "attended": None},
    "states": {},
}
STEPS = "steps"  # how many those are, int64 [B, 1], where anything is kept

Kept = tuple[np.ndarray, ...]


class Readout:
    """The readouts of `rnnkit.models.Acceptor`, kept up to date from step to step in one order of operations.

    So a whole sequence, its chunks and its steps give the same bits. Attention's softmax is carried as the largest
    score m, Σ exp(s − m) and Σ exp(s − m) h, rescaled when m grows (Milakov and Gimelshein 2018, arXiv:1805.02867).
    """

    def __init__(
        self, kinds: Sequence[str], width: int, weights: Mapping[str, np.ndarray], precision: Precision
    ) -> None:
        self._kinds = tuple(kinds)
        kept = dict(chain.from_iterable(PARTS[kind].items() for kind in kinds))
        self.parts = tuple((name, size or width) for name, size in ({STEPS: 1} | kept if kept else kept).items())
        """Name and width of what is kept."""
        if "attention" in self._kinds:
            self._keys = heads.PackedLinear(weights["attention.weight"], weights["attention.bias"], precision=precision)
            self._scores = heads.PackedLinear(weights["attention.score"], precision=precision)

    def initial(self, batch: int) -> Kept:
        """What is kept of no steps."""
        return tuple(np.zeros((batch, w), np.int64 if name == STEPS else np.float32) for name, w in self.parts)

    def advance(self, hidden: np.ndarray, kept: Kept, lengths: np.ndarray) -> Kept:
        """What is kept after steps [T, B, F] more, of which row b takes the first lengths[b]."""
        if not kept:
            return kept
        T, B, F = hidden.shape
        after = {name: array for (name, _), array in zip(self.parts, kept, strict=True)}
        steps = after[STEPS]
        after[STEPS] = steps + lengths[:, None]
        if "largest" in after:
            behind = (np.arange(T)[:, None] >= lengths)[..., None]
            among = np.where(behind, np.float32(-np.inf), hidden).max(0, initial=-np.inf)
            largest = np.maximum(among, np.where(steps == 0, np.float32(-np.inf), after["largest"]))
            after["largest"] = np.where(after[STEPS] == 0, np.float32(0), largest) + np.float32(0)  # -0 becomes 0
        if "total" in after:  # 0 is added behind a row's length; accumulate keeps to the order of steps, a sum need not
            after["total"] = np.add.accumulate(np.concatenate([after["total"][None], hidden]), axis=0)[-1]
        if "attended" in after:
            scores = self._scores(np.tanh(self._keys(hidden.reshape(T * B, F)))).reshape(T, B, 1)
            own = tuple(after[name] for name in PARTS["attention"])
            for t, (h, score) in enumerate(zip(hidden, scores, strict=True)):
                is_alive = (t < lengths)[:, None]
                own = _attended(h, score, own, is_first=steps + t == 0, is_alive=is_alive)
            after |= zip(PARTS["attention"], own, strict=True)
        return tuple(after.values())

    def features(self, last: np.ndarray, kept: Kept, states: Sequence[np.ndarray] = ()) -> np.ndarray:
        """What the decision reads, the readouts side by side [B, …]. Of no steps max, mean and attention are 0.

        Args: last: the last outputs [B, F].  states: every part [B, …] of all layers' states.
        """
        named = {name: array for (name, _), array in zip(self.parts, kept, strict=True)}
        found = []
        for kind in self._kinds:
            if kind == "last":
                found.append(last)
            elif kind == "states":
                found.extend(states)
            elif kind == "max":
                found.append(named["largest"])
            elif kind == "mean":
                found.append(named["total"] / np.maximum(named[STEPS], 1).astype(np.float32))
            else:
                found.append(named["attended"] / np.where(named[STEPS] == 0, np.float32(1), named["weight"]))
        return np.concatenate(found, axis=1)


def _attended(h: np.ndarray, score: np.ndarray, before: Kept, *, is_first: np.ndarray, is_alive: np.ndarray) -> Kept:
    """The parts of attention after one step more, h [B, F] with its score [B, 1]."""
    top_score, weight, attended = before
    top = np.where(is_first, score, np.maximum(top_score, score))
    scale, share = np.exp(np.where(is_first, top, top_score) - top), np.exp(score - top)
    after = (top, scale * weight + share, scale * attended + share * h)
    return tuple(np.where(is_alive, new, old) for new, old in zip(after, before, strict=True))
