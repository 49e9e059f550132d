"""Judge decisions on several labels at once: each is there or not; all right together, F1 over all, thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnkit.errors import ArgumentError
from rnnkit.metrics.classification import ClassificationScore, per_label_scores, share_interval
from rnnkit.metrics.table import Column

HALF = 0.5
_SURE = 1e-7  # a probability is at least so far from 0 and 1, that −log of it is a number


@dataclass(frozen=True, eq=False)
class MultiLabelScore:
    """How well probabilities of C labels, each by itself, fit which of them N sequences have.

    Args:   log_probs: [N, C], natural logarithms of each label's probability.  targets: [N, C] of 0 and 1.
            thresholds: [C], the probability from which a label is taken to be there; None: 0.5.
    Raises: ArgumentError for nothing to score, or shapes that do not fit.
    """

    log_probs: np.ndarray
    targets: np.ndarray
    thresholds: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.log_probs.ndim != 2 or self.targets.shape != self.log_probs.shape or not len(self.targets):
            raise ArgumentError(
                f"log_probs {list(self.log_probs.shape)} and targets {list(self.targets.shape)} must both be [N, C], "
                "with N of at least 1"
            )

    @property
    def decided(self) -> np.ndarray:
        """[N, C] bool: the labels that each sequence is taken to have."""
        return decided(self.log_probs, self.thresholds)

    @property
    def is_correct(self) -> np.ndarray:
        """[N] bool: every label right."""
        return (self.decided == (self.targets != 0)).all(1)

    @property
    def accuracy(self) -> float:
        """The share of sequences with every label right (subset accuracy)."""
        return float(self.is_correct.mean())

    @property
    def nats(self) -> float:
        """Mean −log p of what a sequence has and has not, summed over its labels."""
        there = np.clip(np.exp(self.log_probs.astype(np.float64)), _SURE, 1 - _SURE)
        return float(-np.where(self.targets != 0, np.log(there), np.log1p(-there)).sum(1).mean())

    @property
    def counts(self) -> np.ndarray:
        """[C, 3] of each label: how often rightly found, found where it is not, and missed."""
        found, there = self.decided, self.targets != 0
        return np.stack([(found & there).sum(0), (found & ~there).sum(0), (~found & there).sum(0)], axis=1)

    def per_label(self) -> list[dict[str, float]]:
        """For each label precision, recall, their harmonic mean F1, and how often it is there; 0 where undefined."""
        hits, wrong, missed = self.counts.T
        return per_label_scores(hits, taken=hits + wrong, there=hits + missed)

    def to_dict(self) -> dict[str, Any]:
        """The figures, for metrics.json.

        micro_f1 counts the decisions on all labels together, macro_f1 is the mean of the labels' F1; labels_wrong is
        the share of all decisions that is wrong (Hamming loss).
        """
        low, high = share_interval(self.accuracy, len(self.targets))
        hits, wrong, missed = self.counts.sum(0).tolist()
        total = 2 * hits + wrong + missed
        return {
            "accuracy": self.accuracy,
            "accuracy_low": low,
            "accuracy_high": high,
            "micro_f1": 2 * hits / total if total else 0.0,
            "macro_f1": float(np.mean([row["f1"] for row in self.per_label()])),
            "labels_wrong": (wrong + missed) / self.targets.size,
            "nats": self.nats,
            "num_sequences": len(self.targets),
        }


def score_of(
    log_probs: np.ndarray, targets: np.ndarray, thresholds: np.ndarray | None = None
) -> ClassificationScore | MultiLabelScore:
    """The score of one label each, targets [N], or of several, [N, C]. Args: thresholds: of several."""
    if targets.ndim == 2:
        return MultiLabelScore(log_probs, targets, thresholds)
    return ClassificationScore(log_probs, targets)


def decided(log_probs: np.ndarray, thresholds: np.ndarray | None = None) -> np.ndarray:
    """Which labels are there, [N, C] bool: those whose probability is at least their threshold; None: 0.5."""
    wanted = np.full(log_probs.shape[1], HALF) if thresholds is None else np.asarray(thresholds, np.float64)
    return np.exp(log_probs.astype(np.float64)) >= wanted


def best_thresholds(log_probs: np.ndarray, targets: np.ndarray, *, shared: bool = True) -> np.ndarray:
    """The thresholds [C] with the highest F1 on what they are chosen by: one for all labels, or one for each.

    Args:    log_probs: [N, C].  targets: [N, C] of 0 and 1.
             shared: one for all, by micro F1; else each by its label's own F1, and 0.5 for a label that is never there.
    Returns: half way between the last probability that is taken and the next one.
    Cost:    a sort of all probabilities.
    Source:  Yang 2001, "A study of thresholding strategies for text categorization" (SCut); she warns of those for
             rare labels.
    """
    shares, there = np.exp(log_probs.astype(np.float64)), targets != 0
    if shared:
        return np.full(log_probs.shape[1], _best_threshold(shares.reshape(-1), there.reshape(-1)))
    return np.array([_best_threshold(column, own) for column, own in zip(shares.T, there.T, strict=True)])


def _best_threshold(shares: np.ndarray, there: np.ndarray) -> float:
    if not there.any():
        return HALF
    order = np.argsort(-shares, kind="stable")
    shares, there = shares[order], there[order]
    f1 = 2 * np.cumsum(there) / (np.arange(1, len(there) + 1) + there.sum())
    is_last = np.append(shares[1:] < shares[:-1], True)  # of equal probabilities all are taken or none
    at = int(np.where(is_last, f1, -1.0).argmax())
    return float((shares[at] + shares[at + 1]) / 2) if at + 1 < len(shares) else float(shares[at] / 2)


MULTI_LABEL_COLUMNS = (
    Column("micro_f1", "micro F1", ".2%", better="higher"),
    Column("macro_f1", "macro F1", ".2%", better="higher"),
    Column("accuracy", "all labels right", ".2%", better="higher"),
    Column("accuracy_low", "95 % from", ".2%"),
    Column("accuracy_high", "to", ".2%"),
    Column("labels_wrong", "decisions wrong", ".2%", better="lower"),
    Column("nats", "nats", ".4f", better="lower"),
    Column("seeds_mean", "mean of seeds", ".2%"),
    Column("seeds_low", "95 % from", ".2%"),
    Column("seeds_high", "to", ".2%"),
    Column("p_value", "p (paired)", ".2g"),
    Column("train_seconds", "train s", ",.1f"),
)
"""The columns of a table of classifiers that give several labels; the keys are those of metrics.json."""
