"""What n-grams say of a text's labels, beside what its layers say: added up token by token."""

from __future__ import annotations

import numpy as np

from rnnkit.bundle.ngrams import NgramList, check
from rnnkit.text.ngrams import NOTHING, NgramNumbers

CONTEXT, SCORES = "last_tokens", "ngram_scores"

Kept = tuple[np.ndarray, ...]


class Ngrams:
    """Σ_g count(g)·weight[g] over a text's n-grams, kept up to date from token to token in one order of additions.

    So a whole text, its chunks and its steps give the same bits. Kept are the scores so far and, for n-grams of more
    than one token, the last order − 1, as ids + 1 and 0 before the first one: a fresh state is zeros. Where a text's
    ends are tokens, the last is read each time scores are asked for: they are those of a text that ends there. An
    n-gram without a weight counts for nothing.

    Args:   known: the n-grams that have a weight.  weight: float32 [G, C].
    Raises: SchemaError for n-grams that have not these weights; ArgumentError for numbers that do not fit 64 bits.
    """

    def __init__(self, known: NgramList, weight: np.ndarray, *, order: int, vocab_size: int) -> None:
        self._numbers = NgramNumbers(order, vocab_size)
        check(known, num_ngrams=len(weight), below=self._numbers.base**order, end=self._numbers.end)
        self._grams, self._has_ends = known
        self._weight = np.concatenate([weight, np.zeros((1, weight.shape[1]), np.float32)])  # of all others
        self._window = order - 1
        context = ((CONTEXT, self._window),) if self._window else ()
        self.parts = (*context, (SCORES, weight.shape[1]))
        """Name and width of what is kept."""

    def initial(self, batch: int) -> Kept:
        """What is kept of no tokens."""
        scores = np.zeros((batch, self._weight.shape[1]), np.float32)
        return (np.full((batch, self._window), NOTHING, np.int64), scores) if self._window else (scores,)

    def advance(self, ids: np.ndarray, kept: Kept, lengths: np.ndarray) -> Kept:
        """What is kept after ids [T, B] more, of which row b takes the first lengths[b]."""
        return self._read(ids.astype(np.int64) + 1, kept, lengths)

    def scores(self, kept: Kept) -> np.ndarray:
        """The sums, float32 [B, C]."""
        if not self._has_ends:
            return kept[-1]
        end = np.full((1, len(kept[-1])), self._numbers.end, np.int64)
        return self._read(end, kept, np.ones(end.shape[1], np.int64))[-1]

    def _read(self, digits: np.ndarray, kept: Kept, lengths: np.ndarray) -> Kept:
        """As `advance`, of digits [T, B]."""
        T, B = digits.shape
        digits = np.concatenate([kept[0].T if self._window else digits[:0], digits])
        after = np.take_along_axis(digits, lengths + np.arange(self._window)[:, None], axis=0)
        if self._has_ends and self._window:  # the place before the first token is that of the text's begin
            is_before = digits[: self._window] == NOTHING
            is_begin = is_before & np.concatenate([~is_before[1:], np.ones((1, B), bool)])
            digits[: self._window][is_begin] = self._numbers.end
        numbers = self._numbers(digits)  # [T, order, B]
        at = np.minimum(np.searchsorted(self._grams, numbers), len(self._grams) - 1)
        is_known = (self._grams[at] == numbers) & (np.arange(T)[:, None, None] < lengths)
        at = np.where(is_known, at, len(self._grams))
        scores = kept[-1]
        for row in at.reshape(T * self._numbers.order, B):
            scores = scores + self._weight[row]
        return (np.ascontiguousarray(after.T), scores) if self._window else (scores,)
