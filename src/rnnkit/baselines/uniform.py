"""What a model without baselines of its own is judged beside: every token as likely as every other."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from rnnkit.baselines.backoff import Floats, token_array
from rnnkit.errors import ArgumentError


class UniformModel:
    """p = 1 / V for every token, whatever came before.

    Args: vocab_size: V, at least 1.
    """

    def __init__(self, vocab_size: int) -> None:
        if vocab_size < 1:
            raise ArgumentError(f"vocab_size is {vocab_size}; give at least 1")
        self.vocab_size = vocab_size

    def nll(self, tokens: ArrayLike, document_starts: ArrayLike | None = None) -> Floats:
        """log V for each of the tokens [N], in nats."""
        return np.full(len(token_array(tokens)), math.log(self.vocab_size))

    def total_nll(self, tokens: ArrayLike, document_starts: ArrayLike | None = None) -> float:
        """The sum of `nll`."""
        return len(token_array(tokens)) * math.log(self.vocab_size)
