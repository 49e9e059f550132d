"""An n-gram model of another tool, read from an ARPA file, that scores the tokens of one of our tokenisers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rnnkit.baselines.arpa import read_arpa
from rnnkit.baselines.backoff import BackoffModel, Floats, Ints, checked_tokens
from rnnkit.errors import DataError
from rnnkit.text import Tokenizer


class ArpaModel(BackoffModel):
    """A file's words are matched with the tokeniser's by `token_text`, as `write_arpa` wrote them.

    Tokens that the file does not list share the probability of its <unk> evenly. Where it does not list the newline,
    its "</s>" ends a line, and `has_sentences` is True: such a model was made of lines, each from a fresh "<s>".

    Raises: DataError naming file, line and remedy.
    """

    def __init__(self, path: str | Path, tokenizer: Tokenizer) -> None:
        model, texts = read_arpa(path)
        ids = {text: number for number, text in enumerate(texts)}
        own_begin = tokenizer.token_text(tokenizer.begin_id)
        begin_id = model.begin_id
        if own_begin in ids and not _is_context(model, begin_id):  # our own files begin with the tokeniser's token
            begin_id = ids[own_begin]
        super().__init__(model.levels, begin_id=begin_id)
        self.path, self._texts = Path(path), [tokenizer.token_text(token) for token in range(tokenizer.vocab_size)]
        unknown = ids.get("<unk>", -1)
        self._ids = np.array([ids.get(text, unknown) for text in self._texts])
        self.has_sentences = False
        for token, text in enumerate(self._texts):
            if text not in ids and "</s>" in ids and tokenizer.decode([token]) == "\n":
                self._ids[token], self.has_sentences = ids["</s>"], True
        self._is_shared = self._ids == unknown
        self._shared_nats = math.log(max(1, np.count_nonzero(self._is_shared)))

    def _own_ids(self, tokens: NDArray[np.integer]) -> Ints:
        tokens = checked_tokens(tokens, len(self._ids))
        ids = self._ids[tokens]
        if (ids < 0).any():
            text = self._texts[tokens[int((ids < 0).argmax())]]
            raise DataError(f"{self.path} lists neither {text!r} nor <unk>; make it with <unk>, or of the same words")
        return ids

    def _nll_chunks(
        self, tokens: NDArray[np.integer], document_starts: ArrayLike | None
    ) -> Iterator[tuple[int, int, Floats]]:
        for first, stop, values in super()._nll_chunks(tokens, document_starts):
            yield first, stop, values + self._shared_nats * self._is_shared[tokens[first:stop]]


def _is_context(model: BackoffModel, token: int) -> bool:
    """Whether any listed n-gram begins with this token."""
    if model.order == 1:
        return False
    first, stop = np.searchsorted(model.levels[1].keys, [token * model.vocab_size, (token + 1) * model.vocab_size])
    return bool(stop > first)
