"""Dropout for sequences: masks that stay for a whole sequence, drop rows of a table, or drop words.

Source: Gal and Ghahramani 2016, arXiv:1512.05287 (locked); Merity, Keskar and Socher 2018, arXiv:1708.02182
(embedding); Bowman et al. 2016, arXiv:1511.06349 (words).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from rnnkit.errors import ConfigError


def check_probability(name: str, value: float) -> float:
    """`value` as a float in 0 ≤ value < 1. Raises: ConfigError."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
        raise ConfigError(f"{name}={value!r} must be a probability in 0 <= p < 1, for example 0.2")
    return float(value)


def locked_dropout(x: Tensor, p: float) -> Tensor:
    """Zero each unit with probability p, the same units at every step of a row; the rest is scaled by 1/(1−p).

    Args: x: `[T, B, H]`. Returns: the same shape; `x` itself when p is 0.
    """
    if p == 0:
        return x
    return x * F.dropout(x.new_ones(1, *x.shape[1:]), p)


def embedding_dropout(table: Tensor, p: float) -> Tensor:
    """Zero whole rows of an embedding table `[V, E]` with probability p: a word is absent wherever it occurs."""
    if p == 0:
        return table
    return table * F.dropout(table.new_ones(table.shape[0], 1), p)


def word_dropout(ids: Tensor, p: float, *, replacement: int) -> Tensor:
    """Replace each id with probability p by `replacement`, each occurrence on its own."""
    if p == 0:
        return ids
    return ids.masked_fill(torch.rand(ids.shape, device=ids.device) < p, replacement)


def zoneout_mask(p: float, *shape: int, like: Tensor) -> Tensor:
    """A bool mask that is True with probability p, in steps of 2⁻¹⁶, from torch's generator: 16 bits for each element.

    A tenth of the time of `bernoulli_`, which would cost a small layer a third of its own.
    """
    if torch.compiler.is_compiling():  # which cannot trace `random_` over all of int64: other numbers, the same shares
        return torch.rand(shape, device=like.device) < p
    words = torch.empty((math.prod(shape) + 3) // 4, dtype=torch.int64, device=like.device).random_(-(2**63), None)
    return (words.view(torch.int16)[: math.prod(shape)] < round(p * 2**16) - 2**15).view(shape)


def recurrent_mask(p: float, *shape: int, like: Tensor) -> Tensor:
    """A mask `[B, H]` of 0, with probability p, and 1/(1−p)."""
    return F.dropout(like.new_ones(shape), p)
