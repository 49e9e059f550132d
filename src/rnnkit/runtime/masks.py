"""Which tokens may not come next."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rnnkit.errors import ArgumentError


def repeating(ids: Sequence[int], size: int) -> np.ndarray:
    """The tokens that would complete a run of `size` tokens which `ids` already hold; `size` 0: none.

    Source: Paulus, Xiong, Socher 2017, arXiv:1705.04304, section 2.5 (there for trigrams).
    """
    array = np.asarray(ids, np.int64)
    if not 0 < size <= len(array):
        return array[:0]
    runs = np.lib.stride_tricks.sliding_window_view(array, size)
    is_repeated = (runs[:, :-1] == array[len(array) - size + 1 :]).all(axis=1)
    return np.unique(runs[is_repeated, -1])


def refuse_nothing_left(*, prompt: int, num_drawn: int, size: int) -> ArgumentError:
    """The error for a prompt after which every token would repeat something."""
    return ArgumentError(
        f"prompt {prompt}, new token {num_drawn}: every token would repeat a run of {size}; "
        "ask for fewer tokens, or raise no_repeat_ngram_size"
    )
