"""Batches: whole sequences with a label, or with one for every step, those of similar length together, resumable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from rnnkit.errors import ArgumentError

_POOL = 32  # batches that are sorted by length together


@dataclass(frozen=True, eq=False)
class Batch:
    """B whole sequences.

    Attributes:
        inputs: [T, B] int64 ids, [T, B, I] float32 frames, or uint8 pictures [T, B, height, width, channels]; 0 beyond
            a row's length. T is the longest.
        targets: [1, B] int64: the labels; or [T, B], a label for every step, −1 beyond a row's length; or [T, B, K]
            float32, numbers for every step, NaN beyond a row's length.
        lengths: [B] int64.
        weights: [1, B] or [T, B] as targets, float32: how much each counts in the loss; 0 beyond a row's length.
        reset: [B] bool, all True: every row starts from the initial state.
    """

    inputs: np.ndarray
    targets: np.ndarray
    lengths: np.ndarray
    weights: np.ndarray
    reset: np.ndarray


class Batches:
    """Every sequence once in each epoch, in an order that follows from the seed and the epoch alone.

    An epoch's random order is cut into pools of 32 batches; a pool is sorted by length and cut into batches, so that a
    batch has little padding; then the batches are shuffled. As with `Streams`, an iteration is one epoch.

    Args:
        sequences: ids [T] or frames [T, I] each.
        labels: [N] integers; or for each sequence integers [T], a label for every step, or float32 [T, K].
        weights: [N] how much each sequence's labels count, None: 1.
        batch_size: sequences B in a batch; the last one of a pool may have fewer.
        seed: of the order.
    Raises: ArgumentError.
    """

    def __init__(
        self,
        sequences: Sequence[np.ndarray],
        labels: np.ndarray | Sequence[np.ndarray],
        *,
        batch_size: int,
        seed: int,
        weights: np.ndarray | None = None,
    ) -> None:
        if not len(sequences):
            raise ArgumentError("there is no sequence to make batches of; give at least one")
        if batch_size < 1:
            raise ArgumentError(f"batch_size is {batch_size}; at least 1 is wanted")
        self.sequences, self.labels, self.batch_size, self.seed = sequences, labels, batch_size, seed
        self.weights = np.ones(len(sequences), np.float32) if weights is None else np.asarray(weights, np.float32)
        self._lengths = np.array([len(sequence) for sequence in sequences])
        self._begin_epoch(0)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        rows = self._next_rows()
        inputs, lengths = padded([self.sequences[row] for row in rows])
        targets, weights = self._targets(rows, lengths)
        return Batch(inputs, targets, lengths, weights, np.ones(len(rows), bool))

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return len(self._order)

    def state_dict(self) -> dict[str, Any]:
        """Where they stand, JSON-able: a resumed run gets the same batches."""
        return {**self._settings(), "epoch": self.epoch, "batches_done": self.batches_done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken. Raises: ArgumentError naming a setting that differs."""
        for name, value in self._settings().items():
            if state.get(name) != value:
                raise ArgumentError(
                    f"the batches were saved with {name} {state.get(name)}, now it is {value}; resume with the former"
                )
        self._begin_epoch(int(state["epoch"]))
        self.batches_done = int(state["batches_done"])

    def _next_rows(self) -> np.ndarray:
        """Those of the next batch. Raises: StopIteration at the end of an epoch."""
        if self.batches_done == len(self._order):
            self._begin_epoch(self.epoch + 1)
            raise StopIteration
        self.batches_done += 1
        return self._order[self.batches_done - 1]

    def _targets(self, rows: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if isinstance(self.labels, np.ndarray):
            return self.labels[rows][None], self.weights[rows][None]
        is_there = np.arange(int(lengths.max()))[:, None] < lengths
        targets, _ = padded([self.labels[row] for row in rows])
        targets[~is_there] = np.nan if targets.dtype.kind == "f" else -1
        return targets, np.where(is_there, self.weights[rows], np.float32(0))

    def _settings(self) -> dict[str, Any]:
        return {"batch_size": self.batch_size, "seed": self.seed, "num_sequences": len(self.sequences)}

    def _begin_epoch(self, epoch: int) -> None:
        self.epoch, self.batches_done = epoch, 0
        generator = np.random.Generator(np.random.Philox(key=[self.seed, epoch]))
        batches = self._cut(generator.permutation(len(self.sequences)))
        self._order = [batches[index] for index in generator.permutation(len(batches))]

    def _cut(self, order: np.ndarray) -> list[np.ndarray]:
        """The rows of an epoch in their random order, as those of its batches."""
        batches: list[np.ndarray] = []
        for first in range(0, len(order), _POOL * self.batch_size):
            pool = order[first : first + _POOL * self.batch_size]
            pool = pool[np.argsort(self._lengths[pool], kind="stable")]
            batches += [pool[at : at + self.batch_size] for at in range(0, len(pool), self.batch_size)]
        return batches


def padded(sequences: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """([T, B] ids, [T, B, 1 + W] spelled words, [T, B, I] frames or pictures, 0 behind each end; lengths int64 [B])."""
    lengths = np.array([len(sequence) for sequence in sequences], np.int64)
    first = sequences[0]
    dtype = np.uint8 if first.dtype == np.uint8 else np.float32 if first.dtype.kind == "f" else np.int64
    inputs = np.zeros((int(lengths.max()), len(sequences), *first.shape[1:]), dtype)
    for row, sequence in enumerate(sequences):
        inputs[: len(sequence), row] = sequence
    return inputs, lengths
