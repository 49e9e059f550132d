"""Dropout for sequences: masks that stay for a whole sequence, drop rows of a table, or drop words.

Source: Gal and Ghahramani 2016, arXiv:1512.05287 (locked); Merity, Keskar and Socher 2018, arXiv:1708.02182
(embedding); Bowman et al. 2016, arXiv:1511.06349 (words).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rnnkit.errors import ConfigError


def check_probability(name: str, value: float) -> float:
    """`value` as a float in 0 ≤ value < 1. Raises: ConfigError."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
        raise ConfigError(f"{name}={value!r} must be a probability in 0 <= p < 1, for example 0.2")
    return float(value)


def dropout(x: Tensor, p: float) -> Tensor:
    """Zero each element with probability p, in steps of 2⁻¹⁶; the rest is scaled by 1/(1−p). `x` itself when p is 0.

    What `torch.nn.functional.dropout` does, from other random numbers: there drawing them took more than a third of the
    training step of a small model (docs/decisions/0027).
    """
    if p == 0:
        return x
    return x * keep_mask(p, *x.shape, like=x)


def locked_dropout(x: Tensor, p: float) -> Tensor:
    """Zero each unit with probability p, the same units at every step of a row; the rest is scaled by 1/(1−p).

    Args: x: `[T, B, H]`. Returns: the same shape; `x` itself when p is 0.
    """
    if p == 0:
        return x
    return x * keep_mask(p, 1, *x.shape[1:], like=x)


def embedding_dropout(table: Tensor, p: float) -> Tensor:
    """Zero whole rows of an embedding table `[V, E]` with probability p: a word is absent wherever it occurs."""
    if p == 0:
        return table
    return table * keep_mask(p, table.shape[0], 1, like=table)


def word_dropout(ids: Tensor, p: float, *, replacement: int) -> Tensor:
    """Replace each id with probability p by `replacement`, each occurrence on its own."""
    if p == 0:
        return ids
    return ids.masked_fill(torch.rand(ids.shape, device=ids.device) < p, replacement)


def drop_mask(p: float, *shape: int, like: Tensor) -> Tensor:
    """A bool mask that is True with probability p, in steps of 2⁻¹⁶, from torch's generator."""
    return _uniform(*shape, like=like) < _share(p)


def keep_mask(p: float, *shape: int, like: Tensor) -> Tensor:
    """What a dropout multiplies by: 0 with probability p, in steps of 2⁻¹⁶, else 1/(1−p); of `like`'s dtype."""
    share = _share(p)
    return (_uniform(*shape, like=like) >= share).to(like.dtype).mul_(2**16 / (2**15 - share))


def _share(p: float) -> int:
    """The number that a share p < 1 of all int16 lie below."""
    return min(round(p * 2**16), 2**16 - 1) - 2**15


def _uniform(*shape: int, like: Tensor) -> Tensor:
    """Uniform int16: four for each number that torch draws, a tenth of the time of its `bernoulli_`."""
    # All of int64 but one value; `random_` gives that too, but compilers cannot trace it.
    words = torch.randint(-(2**63), 2**63 - 1, ((math.prod(shape) + 3) // 4,), device=like.device)
    return words.view(torch.int16)[: math.prod(shape)].view(shape)
