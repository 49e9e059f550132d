"""The likeliest label sequence, and each label's probability, under scores that depend on neighbours; float32 NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rnnkit.metrics.spans import Scheme, allowed


class Chain(NamedTuple):
    """Scores between labels: −inf where one may not stand.

    start: [C], of the first label. transition: [C, C], from the row's label to the column's. end: [C], of the last.
    """

    start: np.ndarray
    transition: np.ndarray
    end: np.ndarray


def held_to(labels: Sequence[str], scheme: Scheme | None, scores: Chain | None) -> Chain | None:
    """Scores between labels, with −inf where the scheme of spans allows nothing; None: neither is given.

    Raises: DataError for a label that is no tag of the scheme.
    """
    if scheme is None:
        return scores
    may = allowed(labels, scheme)
    if scores is None:
        scores = Chain(*(np.zeros(part.shape, np.float32) for part in may))
    return Chain(*(np.where(is_fine, part, np.float32(-np.inf)) for is_fine, part in zip(may, scores, strict=True)))


def best_path(scores: np.ndarray, chain: Chain) -> np.ndarray:
    """As `best_paths`, of one sequence: scores [T, C] -> int64 [T]."""
    return best_paths(scores[:, None], np.array([len(scores)]), chain)[:, 0]


def best_paths(scores: np.ndarray, lengths: np.ndarray, chain: Chain) -> np.ndarray:
    """argmax over y of Σ_t scores[t, y_t] + start[y_1] + Σ transition[y_{t-1}, y_t] + end[y_T], int64 [T, B].

    Args: scores: [T, B, C]. lengths: [B]; behind a row's length its last label is repeated.
    Cost: T·B·C² additions.  Source: Viterbi 1967.
    """
    T, B, C = scores.shape
    paths = np.zeros((T, B), np.int64)
    if not T:
        return paths
    came_from = np.empty((T, B, C), np.int64)
    best = scores[0] + chain.start
    for t in range(1, T):
        ways = best[:, :, None] + chain.transition
        is_there = (t < lengths)[:, None]
        came_from[t] = np.where(is_there, ways.argmax(1), np.arange(C))
        best = np.where(is_there, ways.max(1) + scores[t], best)
    paths[-1] = (best + chain.end).argmax(1)
    rows = np.arange(B)
    for t in range(T - 1, 0, -1):
        paths[t - 1] = came_from[t, rows, paths[t]]
    return paths


def log_marginals(scores: np.ndarray, chain: Chain) -> np.ndarray:
    """log p(y_t = c | x) for every step and label, float32 [T, C]; forward and backward sums.

    Source: Rabiner 1989, section III.
    """
    if not len(scores):
        return np.zeros_like(scores)
    forward, backward = np.empty_like(scores), np.empty_like(scores)
    forward[0], backward[-1] = scores[0] + chain.start, chain.end
    for t in range(1, len(scores)):
        forward[t] = _log_sum(forward[t - 1][:, None] + chain.transition, axis=0) + scores[t]
    for t in range(len(scores) - 2, -1, -1):
        backward[t] = _log_sum(chain.transition + (scores[t + 1] + backward[t + 1])[None], axis=1)
    total = forward + backward
    return total - _log_sum(total, axis=1)[:, None]


def _log_sum(values: np.ndarray, *, axis: int) -> np.ndarray:
    largest = values.max(axis, keepdims=True)
    largest = np.where(np.isfinite(largest), largest, 0).astype(np.float32)
    with np.errstate(divide="ignore"):
        return np.log(np.exp(values - largest).sum(axis)) + largest.squeeze(axis)
