"""What a text costs a model of its tokens in all, and the sizes to divide that by."""

from __future__ import annotations

import re
from typing import Any, Protocol

import numpy as np

from rnnkit.text import Tokenizer


class Scored(Protocol):
    """A language model, of either kind."""

    tokenizer: Tokenizer

    def total_nll(self, ids: Any, document_starts: Any = None) -> float: ...


def measured(model: Scored, text: str | bytes, *, reset_per_line: bool) -> dict[str, Any]:
    """The arguments of `rnnkit.metrics.LanguageModelScore` or `PseudoLikelihoodScore` for a text.

    An unknown token costs `tokenizer.unknown_nats` beside its own probability, so that vocabularies compare.

    Args:   reset_per_line: whether each line is a document of its own.
    Raises: DataError for text that does not encode.
    """
    tokenizer = model.tokenizer
    encoded = [tokenizer.encode(piece) for piece in (_lines(text) if reset_per_line else [text])]
    encoded = [piece for piece in encoded if len(piece)]
    ids = np.concatenate([np.zeros(0, np.int32), *encoded])
    starts = np.cumsum([0, *(len(piece) for piece in encoded)])[:-1]
    num_unknown = 0 if tokenizer.unk_id is None else int((ids == tokenizer.unk_id).sum())
    return {
        "nll": model.total_nll(ids, starts) + num_unknown * tokenizer.unknown_nats,
        "num_tokens": len(ids),
        "num_characters": len(text.decode("utf-8", "replace") if isinstance(text, bytes) else text),
        "num_bytes": len(text if isinstance(text, bytes) else text.encode()),
        "unit": tokenizer.kind,
    }


def _lines(text: str | bytes) -> list[str] | list[bytes]:
    """The lines of a text with their "\n"; other line separators stay inside a line, as they do in training."""
    return re.findall(rb"[^\n]*\n|[^\n]+", text) if isinstance(text, bytes) else re.findall(r"[^\n]*\n|[^\n]+", text)
