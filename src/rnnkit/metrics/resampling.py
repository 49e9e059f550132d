"""Intervals and paired tests of figures that are made of sums over parts: sentences, or blocks of frames."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

NUM_RESAMPLES = 2_000

Figure = Callable[[np.ndarray], np.ndarray]
"""From sums [R, C] to figures [R]."""


def interval(parts: np.ndarray, figure: Figure) -> tuple[float, float]:
    """The middle 95 % of a figure over resampled parts (bootstrap). Args: parts: [N, C], what is summed."""
    low, high = np.quantile(figure(_draws(len(parts)) @ parts), (0.025, 0.975)).tolist()
    return low, high


def paired(ours: np.ndarray, theirs: np.ndarray, figure: Figure) -> dict[str, float]:
    """By how much one system's figure is above another's on the same parts, [N, C] each, and how surely.

    The interval is the middle 95 % of the differences over resampled parts (bootstrap); p is the share of 2,000 random
    swaps of the two outputs, part by part, that differ at least as much (approximate randomisation).

    Returns: difference, difference_low, difference_high, p_value.
    Source:  Noreen 1989; Yeh 2000, "More accurate tests for the statistical significance of result differences".
    """
    draws, found = _draws(len(ours)), float((figure(ours.sum(0)[None]) - figure(theirs.sum(0)[None]))[0])
    low, high = np.quantile(figure(draws @ ours) - figure(draws @ theirs), (0.025, 0.975)).tolist()
    swaps = np.random.Generator(np.random.Philox(1)).integers(0, 2, (NUM_RESAMPLES, len(ours)))
    moved = swaps @ (theirs - ours)
    apart = np.abs(figure(ours.sum(0) + moved) - figure(theirs.sum(0) - moved))
    p_value = (1 + int((apart >= abs(found) - 1e-12).sum())) / (1 + NUM_RESAMPLES)
    return {"difference": found, "difference_low": low, "difference_high": high, "p_value": p_value}


def _draws(count: int) -> np.ndarray:
    """How often each of N parts stands in each resampled set, [R, N]."""
    return np.random.Generator(np.random.Philox(0)).multinomial(count, np.full(count, 1 / count), NUM_RESAMPLES)
