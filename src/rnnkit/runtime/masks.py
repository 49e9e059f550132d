"""Which tokens may follow a prompt: none that completes a run a second time, none that leaves a regular expression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from rnnkit.errors import ArgumentError

if TYPE_CHECKING:
    from rnnkit.runtime.grammar import Grammar


class Mask:
    """What is asked of one prompt's new tokens. `start` is the place in the regular expression before the first one.

    Args:   prompt_ids: of prompt and prefix.  number: of the prompt, for messages.
    Raises: ArgumentError for a regular expression that nothing, or nothing short enough, can match.
    """

    def __init__(
        self,
        prompt_ids: np.ndarray,
        *,
        number: int,
        vocab_size: int,
        ngram_size: int,
        grammar: Grammar | None,
        prefix: str,
        max_new_tokens: int,
    ) -> None:
        self._prompt_ids, self._number, self._vocab_size = prompt_ids.tolist(), number, vocab_size
        self._ngram_size, self._grammar, self._most = ngram_size, grammar, max_new_tokens
        self.start = 0
        if grammar is not None:
            self.start = grammar.start(prompt_ids, prefix)
            if (least := grammar.distance(self.start)) > max_new_tokens:
                raise ArgumentError(
                    f"max_new_tokens is {max_new_tokens}, and the shortest text that matches the regex takes {least} "
                    f"tokens after prompt {number}; raise it"
                )

    def may_follow(self, place: int, ids: Sequence[int]) -> np.ndarray:
        """The tokens that go on after new ones `ids`, which led to `place`; bool [V]."""
        if self._grammar is None:
            allowed = np.ones(self._vocab_size, np.bool_)
        else:
            allowed = self._grammar.goes_on(place, self._most - len(ids))
        if self._ngram_size:
            allowed[repeating([*self._prompt_ids, *ids], self._ngram_size)] = False
        return allowed

    def ends_at(self, place: int) -> np.ndarray:
        """The tokens before which a text ends that matches at `place`: those that do not go on with it; bool [V]."""
        if self._grammar is None or not self._grammar.is_match(place):
            return np.zeros(self._vocab_size, np.bool_)
        return self._grammar.after(place) == 0

    def is_whole(self, place: int, ids: Sequence[int]) -> bool:
        """Whether the text matches and no token goes on."""
        return self._grammar is not None and self._grammar.is_match(place) and not self.may_follow(place, ids).any()

    def after(self, place: int, token: int) -> int:
        """The place after one more token."""
        return 0 if self._grammar is None else int(self._grammar.after(place)[token])

    def nothing_left(self, ids: Sequence[int]) -> ArgumentError:
        """The error where no token may follow."""
        way = f"every token would repeat a run of {self._ngram_size}"
        if self._grammar is not None:
            way += " or leave the regex"
        return ArgumentError(
            f"prompt {self._number}, new token {len(ids)}: {way}; ask for fewer tokens, or raise no_repeat_ngram_size"
        )


def repeating(ids: Sequence[int], size: int) -> np.ndarray:
    """The tokens that would complete a run of `size` tokens which `ids` already hold.

    Source: Paulus, Xiong, Socher 2017, arXiv:1705.04304, section 2.5 (there for three tokens).
    """
    array = np.asarray(ids, np.int64)
    if size > len(array):
        return array[:0]
    runs = np.lib.stride_tricks.sliding_window_view(array, size)
    is_repeated = (runs[:, :-1] == array[len(array) - size + 1 :]).all(axis=1)
    return runs[is_repeated, -1]
