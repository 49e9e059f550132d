"""Judge taggers: words and spans right, intervals over sentences, and whether two taggers really differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnkit.errors import ArgumentError
from rnnkit.metrics.resampling import interval, paired
from rnnkit.metrics.spans import SpanScore, f1_of
from rnnkit.metrics.table import SEEDS_COLUMNS, Column

Tags = Sequence[Sequence[str]]


class TaggingScore:
    """How well predicted tags are gold ones.

    Args:   gold, predicted: tags of the same sentences.  of_spans: they mark spans, in a scheme that `spans_of` reads.
    Raises: ArgumentError for sentences that do not fit together, or none.
    """

    def __init__(self, gold: Tags, predicted: Tags, *, of_spans: bool) -> None:
        lengths = [list(map(len, tags)) for tags in (gold, predicted)]
        if lengths[0] != lengths[1] or not sum(lengths[0]):
            raise ArgumentError(f"{sum(lengths[0])} gold tags and {sum(lengths[1])} predicted ones do not fit together")
        self.is_correct = [
            np.array([a == b for a, b in zip(*pair, strict=True)], bool) for pair in zip(gold, predicted, strict=True)
        ]
        """For each sentence [T] bool."""
        self.spans = SpanScore(gold, predicted) if of_spans else None
        right = np.array([int(row.sum()) for row in self.is_correct])
        words = np.array(lengths[0])
        self.counts = np.stack([right, words, words], axis=1) if self.spans is None else self.spans.per_sequence
        """[N, 3]: of each sentence the right, predicted and gold spans, or words."""
        self._words = int(words.sum())

    @property
    def accuracy(self) -> float:
        """The share of words that is right."""
        return float(sum(int(row.sum()) for row in self.is_correct) / self._words)

    @property
    def figure(self) -> float:
        """What taggers are compared by: F1 over spans, or the accuracy."""
        return f1_of(self.counts)

    def to_dict(self) -> dict[str, Any]:
        """The figures, for metrics.json; `low` and `high` hold the middle 95 % of `figure` over resampled sentences."""
        low, high = interval(self.counts, _f1)
        figures: dict[str, Any] = {"accuracy": self.accuracy}
        if self.spans is not None:
            figures |= {"f1": self.spans.f1, "precision": self.spans.precision, "recall": self.spans.recall}
        return figures | {
            "low": low,
            "high": high,
            "sentences_right": float(np.mean([row.all() for row in self.is_correct])),
            "num_sentences": len(self.is_correct),
            "num_words": self._words,
        }


def paired_taggers(ours: TaggingScore, theirs: TaggingScore) -> dict[str, float]:
    """How much better one tagger's figure is than another's on the same sentences, and how surely: see `paired`."""
    return paired(ours.counts, theirs.counts, _f1)


def _f1(sums: np.ndarray) -> np.ndarray:
    """[R, 3] -> [R]; 0 where there are no spans."""
    return 2 * sums[:, 0] / np.maximum(sums[:, 1] + sums[:, 2], 1)


TAGGING_COLUMNS = (
    Column("f1", "F1", ".2%", better="higher"),
    Column("precision", "precision", ".2%", better="higher"),
    Column("recall", "recall", ".2%", better="higher"),
    Column("accuracy", "accuracy", ".2%", better="higher"),
    Column("low", "95 % from", ".2%"),
    Column("high", "to", ".2%"),
    Column("macro_f1", "macro F1", ".2%", better="higher"),
    Column("nats", "nats", ".4f", better="lower"),
    Column("sentences_right", "sentences right", ".2%", better="higher"),
    *SEEDS_COLUMNS,
    Column("p_value", "p (paired)", ".2g"),
    Column("train_seconds", "train s", ",.1f"),
)
"""The columns of every tagger's table; the keys are those of metrics.json."""
