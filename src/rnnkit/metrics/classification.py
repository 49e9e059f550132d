"""Judge decisions: accuracy with its interval, scores for each label, and whether two classifiers really differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnkit.errors import ArgumentError
from rnnkit.metrics.table import SEEDS_COLUMNS, Column

NUM_RESAMPLES = 10_000
_Z = 1.959964  # 95 % of a normal distribution lie within so many deviations
_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)  # of Student's, 1 … 10 degrees of freedom


@dataclass(frozen=True, eq=False)
class ClassificationScore:
    """How well log-probabilities over C labels fit what N sequences are.

    Args:   log_probs: [N, C], natural logarithms.  targets: [N] integers in 0..C-1.
    Raises: ArgumentError for nothing to score, or shapes that do not fit.
    """

    log_probs: np.ndarray
    targets: np.ndarray

    def __post_init__(self) -> None:
        if self.log_probs.ndim != 2 or self.targets.shape != self.log_probs.shape[:1] or not len(self.targets):
            raise ArgumentError(
                f"log_probs {list(self.log_probs.shape)} and targets {list(self.targets.shape)} must be [N, C] and "
                "[N], with N of at least 1"
            )

    @property
    def is_correct(self) -> np.ndarray:
        """[N] bool."""
        return self.log_probs.argmax(1) == self.targets

    @property
    def accuracy(self) -> float:
        """The share that is right."""
        return float(self.is_correct.mean())

    @property
    def nats(self) -> float:
        """Mean −log p(target), per sequence."""
        return float(0.0 - self.log_probs[np.arange(len(self.targets)), self.targets].mean(dtype=np.float64))

    @property
    def confusion(self) -> np.ndarray:
        """[C, C] counts: the label it is by the label it was taken for."""
        size = self.log_probs.shape[1]
        flat = np.bincount(self.targets * size + self.log_probs.argmax(1), minlength=size * size)
        return flat.reshape(size, size)

    def per_label(self) -> list[dict[str, float]]:
        """For each label precision, recall, their harmonic mean F1, and its number of sequences; 0 where undefined."""
        counts = self.confusion
        return per_label_scores(counts.diagonal(), taken=counts.sum(0), there=counts.sum(1))

    @property
    def interval(self) -> tuple[float, float]:
        """Between which accuracies the true one lies with 95 % confidence; see `share_interval`."""
        return share_interval(self.accuracy, len(self.targets))

    def to_dict(self) -> dict[str, Any]:
        """The figures, for metrics.json."""
        low, high = self.interval
        return {
            "accuracy": self.accuracy,
            "accuracy_low": low,
            "accuracy_high": high,
            "macro_f1": float(np.mean([row["f1"] for row in self.per_label()])),
            "nats": self.nats if math.isfinite(self.nats) else None,  # of what decides without probabilities
            "num_sequences": len(self.targets),
        }


def per_label_scores(hits: np.ndarray, *, taken: np.ndarray, there: np.ndarray) -> list[dict[str, float]]:
    """For each label precision, recall, their harmonic mean F1 and `count`; 0 where undefined.

    Args: hits, taken, there: [C] counts: rightly found, found, and how many there are.
    """
    rows = []
    for hit, of_taken, of_there in zip(hits.tolist(), taken.tolist(), there.tolist(), strict=True):
        total = of_taken + of_there
        rows.append(
            {
                "precision": hit / of_taken if of_taken else 0.0,
                "recall": hit / of_there if of_there else 0.0,
                "f1": 2 * hit / total if total else 0.0,
                "count": of_there,
            }
        )
    return rows


def share_interval(share: float, count: int) -> tuple[float, float]:
    """Between which shares the true one lies with 95 % confidence (Wilson's score interval).

    ((p + z²/2N) ± z·sqrt(p(1 − p)/N + z²/4N²)) / (1 + z²/N), z = 1.96; unlike a bootstrap's it is no point where
    everything is right.  Source: Wilson 1927; Brown, Cai and DasGupta 2001.
    """
    middle, spread = share + _Z**2 / (2 * count), _Z * math.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2))
    scale = 1 + _Z**2 / count
    return min((middle - spread) / scale, share), max((middle + spread) / scale, share)  # rounding crosses 0 or 1


def paired_difference(ours: np.ndarray, theirs: np.ndarray, *, seed: int = 0) -> dict[str, float]:
    """How much more often one classifier is right than another on the same sequences, and how surely.

    With b the sequences that only ours has right and c those that only theirs has, p is the probability of a split at
    least as uneven of b + c tosses of a fair coin (McNemar's exact test, two-sided); the interval is the middle 95 % of
    the differences on resampled test sets (bootstrap).

    Args:    ours, theirs: [N] bool, what was right.
    Returns: difference (b − c) / N, difference_low, difference_high, p_value.
    Source:  McNemar 1947; Dietterich 1998, "Approximate statistical tests for comparing supervised classification
             learning algorithms", section 3.1.
    """
    count, b, c = len(ours), int((ours & ~theirs).sum()), int((~ours & theirs).sum())
    generator = np.random.Generator(np.random.Philox(seed))
    drawn = generator.multinomial(count, [b / count, c / count, 1 - (b + c) / count], NUM_RESAMPLES)
    low, high = np.quantile((drawn[:, 0] - drawn[:, 1]) / count, (0.025, 0.975))
    tail = [_log_choose(b + c, k) - (b + c) * math.log(2) for k in range(min(b, c) + 1)]
    return {
        "difference": (b - c) / count,
        "difference_low": float(low),
        "difference_high": float(high),
        "p_value": min(1.0, 2 * math.fsum(map(math.exp, tail))),
    }


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """(mean, low, high): of what runs from different seeds gave, and between which values its expectation lies.

    mean ± t·s/√n with s the deviation of the n values (n − 1) and t of Student's distribution, 95 %.

    Raises: ArgumentError for a single value, which says nothing about others.
    """
    count = len(values)
    if count < 2:
        raise ArgumentError(f"{count} values have no interval; give two or more")
    mean, t = float(np.mean(values)), _T[min(count - 1, len(_T)) - 1]
    spread = t * float(np.std(values, ddof=1)) / math.sqrt(count)
    return mean, mean - spread, mean + spread


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


CLASSIFICATION_COLUMNS = (
    Column("accuracy", "accuracy", ".2%", better="higher"),
    Column("accuracy_low", "95 % from", ".2%"),
    Column("accuracy_high", "to", ".2%"),
    Column("macro_f1", "macro F1", ".2%", better="higher"),
    Column("nats", "nats", ".4f", better="lower"),
    *SEEDS_COLUMNS,
    Column("p_value", "p (paired)", ".2g"),
    Column("train_seconds", "train s", ",.1f"),
)
"""The columns of every classifier's table; the keys are those of metrics.json."""
