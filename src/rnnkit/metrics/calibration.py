"""Does a probability of 0.8 come true four times in five? How far off a model is, and the temperature that mends it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

NUM_BINS = 10
_COLDEST, _HOTTEST = math.log(0.05), math.log(20.0)
_NUM_HALVINGS = 60
_NUM_SHARES = 20
_GOLDEN = (math.sqrt(5) - 1) / 2


def reliability(certainty: np.ndarray, is_right: np.ndarray) -> tuple[list[dict[str, Any]], float]:
    """How often what was claimed with each certainty is right.

    Args:    certainty: [N], probabilities.  is_right: [N] bool.
    Returns: of every one of ten bins that holds any its mean certainty, its accuracy and its count; and the mean
             distance of the two, weighted by the counts (expected calibration error, ECE).
    Source:  Naeini, Cooper and Hauskrecht 2015, "Obtaining well calibrated probabilities using Bayesian binning".
    """
    at = np.minimum((certainty * NUM_BINS).astype(int), NUM_BINS - 1)
    bins, ece = [], 0.0
    for number in range(NUM_BINS):
        rows = at == number
        if rows.any():
            sure, right = float(certainty[rows].mean()), float(is_right[rows].mean())
            bins.append({"certainty": sure, "accuracy": right, "count": int(rows.sum())})
            ece += rows.mean() * abs(sure - right)
    return bins, float(ece)


def fit_shares(logits: np.ndarray, others: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
    """The a, b ≥ 0 with the fewest nats of softmax(a·logits + b·others), or of sigmoid(…) of several labels.

    Both are first divided by their own temperatures; then one has the share s, the other 1 − s, and their sum a
    temperature of its own.

    Args:    logits, others: [N, C], of two models; log-probabilities serve as well under softmax.  targets: as of
             `fit_temperature`.
    Returns: a and b; s is a multiple of 1/20, so that one of them may be 0.
    Cost:    23 times `fit_temperature`.
    Source:  Heskes 1998, "Selecting weighting factors in logarithmic opinion pools".
    """
    own, its = 1 / fit_temperature(logits, targets), 1 / fit_temperature(others, targets)
    best = (np.inf, 0.0, 0.0)
    for share in np.arange(_NUM_SHARES + 1) / _NUM_SHARES:
        mixed = (1 - share) * own * logits.astype(np.float64) + share * its * others.astype(np.float64)
        temperature = fit_temperature(mixed, targets)
        best = min(
            best, (_nats(mixed / temperature, targets), (1 - share) * own / temperature, share * its / temperature)
        )
    return float(best[1]), float(best[2])


def fit_temperature(logits: np.ndarray, targets: np.ndarray) -> float:
    """The T > 0 with the fewest nats of softmax(logits / T), or of sigmoid(logits / T) of several labels.

    Args:    logits: [N, C]; log-probabilities serve as well under softmax.  targets: [N] integers; or [N, C]
             of 0 and 1.
    Returns: T in 0.05 … 20, to five digits; above 1 where the model was too sure. No decision by the largest changes.
    Cost:    60 passes over the logits (a search by the golden section: the nats are convex in 1/T).
    Source:  Guo et al. 2017, "On calibration of modern neural networks", arXiv:1706.04599, section 4.2.
    """
    scores = logits.astype(np.float64)

    def nats(log_temperature: float) -> float:
        return _nats(scores * math.exp(-log_temperature), targets)

    low, high = _COLDEST, _HOTTEST
    inner, outer = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    of_inner, of_outer = nats(inner), nats(outer)
    for _ in range(_NUM_HALVINGS):
        if of_inner <= of_outer:
            high, outer, of_outer = outer, inner, of_inner
            inner = high - _GOLDEN * (high - low)
            of_inner = nats(inner)
        else:
            low, inner, of_inner = inner, outer, of_outer
            outer = low + _GOLDEN * (high - low)
            of_outer = nats(outer)
    return round(math.exp((low + high) / 2), 5)


def _nats(logits: np.ndarray, targets: np.ndarray) -> float:
    """In all, of softmax(logits) or, of several labels, of sigmoid(logits)."""
    if targets.ndim == 2:
        return float(np.logaddexp(0.0, np.where(targets != 0, -logits, logits)).sum())
    top = logits.max(1)
    normaliser = top + np.log(np.exp(logits - top[:, None]).sum(1))
    return float((normaliser - logits[np.arange(len(targets)), targets]).sum())
