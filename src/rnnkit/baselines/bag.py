"""What a classifier must beat: the commonest label, and linear models of how often each n-gram occurs.

Naive Bayes and logistic regression both score a sequence by a sum over its n-grams, log p(label) = W·counts + b, then
normalised. scikit-learn fits W and b; scoring needs NumPy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from rnnkit.baselines.archive import read_arrays, write_arrays
from rnnkit.errors import ArgumentError, MissingExtraError
from rnnkit.text.ngrams import NgramNumbers

_METHODS = ("naive-bayes", "logistic-regression")


def require_scikit_learn() -> None:
    """Raises: MissingExtraError where the baselines cannot be fitted. Cost: imports it, a second or two."""
    try:
        import sklearn.linear_model
        import sklearn.naive_bayes
    except ImportError as error:
        raise MissingExtraError("naive Bayes and logistic regression need scikit-learn", extra="train") from error
    del sklearn


class BagOfNgrams:
    """A linear classifier on the counts of all n-grams up to `order`.

    log p(label) = log_softmax(Σ_g count(g)·weight[g] + bias);  order 0: the bias alone, the commonest label.

    Args:
        grams: int64 [G], ascending: n-grams as numbers, see `fit`.  weight: float64 [G, C].  bias: float64 [C].
        order: tokens in the longest n-gram.  vocab_size: V of the ids.
        with_ends: whether a sequence has a begin and an end token of its own around it, for characters.
        has_several: each label is there or not, by itself: log p(label) = log σ(Σ_g count(g)·weight[g] + bias).
    """

    def __init__(
        self,
        grams: np.ndarray,
        weight: np.ndarray,
        bias: np.ndarray,
        *,
        order: int,
        vocab_size: int,
        with_ends: bool,
        has_several: bool = False,
    ) -> None:
        self._numbers = NgramNumbers(order, vocab_size)
        self.grams, self.weight, self.bias = grams, weight, bias
        self.order, self.vocab_size, self.with_ends, self.has_several = order, vocab_size, with_ends, has_several

    @classmethod
    def fit(
        cls,
        method: str,
        sequences: Sequence[np.ndarray],
        labels: np.ndarray,
        *,
        num_labels: int,
        vocab_size: int,
        order: int = 2,
        with_ends: bool = False,
    ) -> Self:
        """Fit one on training sequences.

        Args:   method: "majority" (order 0), "naive-bayes" (multinomial, add-one) or "logistic-regression" (L2, C = 1).
                sequences: ids [T] each.  labels: [N] integers in 0..num_labels-1, each of them there; or [N, C] of 0
                and 1, and one is fitted for each label against the rest.
        Raises: ArgumentError; MissingExtraError without scikit-learn.
        Cost:   logistic regression: some hundred passes over the counts.
        Source: Manning, Raghavan and Schütze 2008, chapter 13 (naive Bayes).
        """
        several = labels.ndim == 2
        if method == "majority":
            bias = log_odds(labels) if several else np.log(np.bincount(labels, minlength=num_labels) / len(labels))
            empty = np.zeros(0, np.int64)
            return cls(
                empty,
                np.zeros((0, num_labels)),
                bias,
                order=0,
                vocab_size=vocab_size,
                with_ends=False,
                has_several=several,
            )
        if method not in _METHODS:
            raise ArgumentError(f"there is no method {method!r}; choose majority, {', '.join(_METHODS)}")
        require_scikit_learn()
        from scipy.sparse import csr_matrix

        probe = cls(np.zeros(0, np.int64), np.zeros((0, 1)), np.zeros(1), order=order, vocab_size=vocab_size,
                    with_ends=with_ends)  # fmt: skip
        rows = [probe._grams_of(sequence) for sequence in sequences]
        grams = np.unique(np.concatenate(rows)) if rows else np.zeros(0, np.int64)
        ends = np.cumsum([0, *map(len, rows)])
        columns = np.searchsorted(grams, np.concatenate(rows))
        counts = csr_matrix((np.ones(len(columns)), columns, ends), shape=(len(rows), max(len(grams), 1)))
        counts.sum_duplicates()
        if several:
            parts = [_against_the_rest(method, counts, labels[:, label]) for label in range(num_labels)]
            weight, bias = np.stack([part[0] for part in parts], axis=1), np.array([part[1] for part in parts])
        else:
            weight, bias = _fitted(method, counts, labels)
        weight = np.ascontiguousarray(weight[: len(grams)])
        return cls(grams, weight, bias, order=order, vocab_size=vocab_size, with_ends=with_ends, has_several=several)

    def log_probs(self, sequences: Sequence[np.ndarray]) -> np.ndarray:
        """Natural logarithms, float64 [N, C]; an n-gram that was not trained on counts for nothing."""
        scores = self.scores(sequences)
        if self.has_several:
            return -np.logaddexp(0.0, -scores)
        scores -= scores.max(1, keepdims=True)
        return scores - np.log(np.exp(scores).sum(1, keepdims=True))

    def scores(self, sequences: Sequence[np.ndarray]) -> np.ndarray:
        """What is normalised to `log_probs`: Σ_g count(g)·weight[g] + bias, float64 [N, C]."""
        scores = np.tile(self.bias, (len(sequences), 1))
        if len(self.grams):
            for row, sequence in enumerate(sequences):
                grams = self._grams_of(sequence)
                at = np.minimum(np.searchsorted(self.grams, grams), len(self.grams) - 1)
                scores[row] += self.weight[at[self.grams[at] == grams]].sum(0)
        return scores

    def _grams_of(self, ids: np.ndarray) -> np.ndarray:
        return self._numbers.of(ids, with_ends=self.with_ends) if self.order else np.zeros(0, np.int64)

    @property
    def num_bytes(self) -> int:
        """What its arrays take."""
        return self.grams.nbytes + self.weight.nbytes + self.bias.nbytes

    def save(self, folder: str | Path) -> None:
        """Write `bag.npz` and `bag.json`. Raises: SaveError."""
        head = {"order": self.order, "vocab_size": self.vocab_size, "with_ends": self.with_ends}
        head |= {"has_several": True} if self.has_several else {}
        write_arrays(folder, "bag", head, {"grams": self.grams, "weight": self.weight, "bias": self.bias})

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote. Raises: DataError naming the file, for anything that is not exactly that."""

        def make(head: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
            model = cls(**arrays, **head)
            if model.weight.shape != (len(model.grams), len(model.bias)):
                raise ValueError("the sizes of bag.npz do not fit together")
            return model

        return read_arrays(folder, "bag", make)


def _fitted(method: str, counts: Any, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """weight [G, C] and bias [C] of counts [N, G] and labels [N]."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import MultinomialNB

    if method == "naive-bayes":
        model: Any = MultinomialNB().fit(counts, labels)
        return model.feature_log_prob_.T, model.class_log_prior_
    model = LogisticRegression(max_iter=1000).fit(counts, labels)
    weight, bias = model.coef_.T, model.intercept_
    if weight.shape[1] == 1:  # of two labels scikit-learn gives the second one's
        weight, bias = np.concatenate([-weight, weight], axis=1) / 2, np.concatenate([-bias, bias]) / 2
    return weight, bias


def _against_the_rest(method: str, counts: Any, is_there: np.ndarray) -> tuple[np.ndarray, float]:
    """weight [G] and bias of one label, there or not [N]; of one that every sequence has the bias alone."""
    if is_there.all():
        return np.zeros(counts.shape[1]), float(log_odds(is_there[:, None])[0])
    weight, bias = _fitted(method, counts, is_there)
    return weight[:, 1] - weight[:, 0], float(bias[1] - bias[0])


def log_odds(is_there: np.ndarray) -> np.ndarray:
    """log p/(1 − p) of how often each label is there, [N, C] -> [C], as if it were once more there and not, by half."""
    count = is_there.sum(0, dtype=np.float64)
    return np.log((count + 0.5) / (len(is_there) - count + 0.5))
