"""N-grams of ids as numbers: what bags of them count, and what a classifier adds up token by token."""

from __future__ import annotations

import numpy as np

from rnnkit.errors import ArgumentError

_LARGEST = 2**63
NOTHING = 0  # the digit of a place before a sequence's first token


class NgramNumbers:
    """Every n-gram of up to `order` tokens as one number, its digits to the base V + 2 the tokens' ids + 1.

    A text may have a token of its own at both its ends, V + 1, so that an n-gram says where it stands. No digit of an
    n-gram is 0, so two of different lengths have different numbers.

    Raises: ArgumentError for numbers that do not fit 64 bits.
    """

    def __init__(self, order: int, vocab_size: int) -> None:
        self.order, self.base = order, vocab_size + 2
        self.end = vocab_size + 1
        """The digit of a text's ends."""
        if self.base ** max(order, 1) >= _LARGEST:
            raise ArgumentError(
                f"{order}-grams over {vocab_size} tokens do not fit 64 bits; lower their order, or the vocabulary"
            )

    def __call__(self, digits: np.ndarray) -> np.ndarray:
        """The n-grams that end at each token.

        Args:    digits: int64 [order - 1 + T, …]; before a row's first token `NOTHING`.
        Returns: int64 [T, order, …], the shortest first; -1 where a row has not so many tokens yet.
        """
        T = len(digits) - self.order + 1
        number, found = np.zeros_like(digits[:T]), []
        for n in range(self.order):
            first = digits[self.order - 1 - n :][:T]
            number = number + first * self.base**n
            found.append(np.where(first == NOTHING, -1, number))
        return np.stack(found, axis=1)

    def of(self, ids: np.ndarray, *, with_ends: bool) -> np.ndarray:
        """All n-grams of a text of ids [T], as often as they occur."""
        end = [self.end] * with_ends
        digits = [[NOTHING] * (self.order - 1), end, np.asarray(ids, np.int64) + 1, end]
        numbers = self(np.concatenate(digits).astype(np.int64)).reshape(-1)
        return numbers[numbers >= 0]
