"""Batches of pairs of sequences, as many as hold a number of tokens, those of similar length together, resumable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnkit.data.batches import Batches, padded
from rnnkit.errors import ArgumentError

_POOL = 1 << 15  # pairs that are sorted by length together


@dataclass(frozen=True, eq=False)
class PairBatch:
    """B pairs of whole sequences.

    Attributes:
        inputs: sources int64 [S, B], 0 behind a row's end; their lengths int64 [B]; and what stands before each target
            token, int64 [T, B]: the begin token, then the target without its last.
        targets: int64 [T, B], 0 behind a row's end.
        lengths: of the targets, int64 [B].
        weights: float32 [T, B], 1 within a target and 0 behind it.
        reset: [B] bool, all True: every row starts from its own source.
    """

    inputs: tuple[np.ndarray, np.ndarray, np.ndarray]
    targets: np.ndarray
    lengths: np.ndarray
    weights: np.ndarray
    reset: np.ndarray


class PairBatches(Batches):
    """Every pair once in each epoch, in an order that follows from the seed and the epoch alone.

    A pool of an epoch's random order is sorted by the lengths of both sides and cut into batches, each as long as its
    rows times its longest source and longest target together are at most `batch_tokens`; then the batches are shuffled.

    Args:
        sources, targets: ids each, ends included. begin_id: what stands before a target.
        batch_tokens: of a batch, padding included; a pair that alone has more is a batch of its own.
        seed: of the order.
    Raises: ArgumentError.
    """

    def __init__(
        self,
        sources: Sequence[np.ndarray],
        targets: Sequence[np.ndarray],
        *,
        begin_id: int,
        batch_tokens: int,
        seed: int,
    ) -> None:
        if len(sources) != len(targets):
            raise ArgumentError(
                f"{len(sources)} sources and {len(targets)} targets do not pair up; give as many of both"
            )
        self.begin_id, self._target_lengths = begin_id, np.array([len(target) for target in targets])
        super().__init__(sources, targets, batch_size=batch_tokens, seed=seed)

    def __next__(self) -> PairBatch:  # type: ignore[override]
        return pair_batch(*self._next_pairs(), begin_id=self.begin_id)

    def _next_pairs(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        rows = self._next_rows()
        return [self.sequences[row] for row in rows], [self.labels[row] for row in rows]

    def _settings(self) -> dict[str, Any]:
        settings = super()._settings()
        return {"batch_tokens": settings.pop("batch_size"), **settings}

    def _cut(self, order: np.ndarray) -> list[np.ndarray]:
        batches = []
        for first in range(0, len(order), _POOL):
            pool = order[first : first + _POOL]
            pool = pool[np.lexsort((self._lengths[pool], self._target_lengths[pool]))]
            batches += self._filled(pool)
        return batches

    def _filled(self, pool: np.ndarray) -> list[np.ndarray]:
        """A pool in its order, cut where one pair more would be too much."""
        batches, start, source, target = [], 0, 0, 0
        lengths = zip(self._lengths[pool].tolist(), self._target_lengths[pool].tolist(), strict=True)
        for at, (own_source, own_target) in enumerate(lengths):
            source, target = max(source, own_source), max(target, own_target)
            if at > start and (at - start + 1) * (source + target) > self.batch_size:
                batches.append(pool[start:at])
                start, source, target = at, own_source, own_target
        return [*batches, pool[start:]]


def pair_batch(sources: Sequence[np.ndarray], targets: Sequence[np.ndarray], *, begin_id: int) -> PairBatch:
    """These pairs as one batch."""
    ids, source_lengths = padded(sources)
    wanted, lengths = padded(targets)
    previous = np.concatenate([np.full((1, len(targets)), begin_id), wanted[:-1]])
    weights = (np.arange(len(wanted))[:, None] < lengths).astype(np.float32)
    return PairBatch((ids, source_lengths, previous), wanted, lengths, weights, np.ones(len(targets), bool))
