"""What a language model makes of whole texts: a vector for each, to compare, search or cluster them by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnkit.errors import ArgumentError, DtypeError
from rnnkit.runtime.bundled import integers
from rnnkit.runtime.likelihood import checked_range
from rnnkit.runtime.reader import ROWS, padded
from rnnkit.runtime.readout import Readout

if TYPE_CHECKING:
    from rnnkit.runtime.bidirectional import BidirectionalLanguageModel
    from rnnkit.runtime.language_model import LanguageModel

READOUTS = ("last", "mean", "max")


def embed(
    model: LanguageModel | BidirectionalLanguageModel, texts: Sequence[Any], readout: str | Sequence[str]
) -> np.ndarray:
    """See `LanguageModel.embed`."""
    kinds = (readout,) if isinstance(readout, str) else tuple(readout)
    if not kinds or len(set(kinds)) < len(kinds) or set(kinds) - set(READOUTS):
        raise ArgumentError(
            f"readout {', '.join(map(str, kinds))!r} must be one or more of {', '.join(READOUTS)}, each once"
        )
    if isinstance(texts, str | bytes):
        raise DtypeError("texts is a single text; put it in a list: [text]")
    begin = np.array([model.begin_id])
    arrays = [
        np.concatenate([begin, model.tokenizer.encode(text) if isinstance(text, str | bytes) else _ids(model, text)])
        for text in texts
    ]
    order = sorted(range(len(arrays)), key=lambda row: len(arrays[row]))
    width = model._output_size
    vectors = np.empty((len(arrays), len(kinds) * width), np.float32)
    reader = Readout(kinds, width, {}, model.precision)
    for first in range(0, len(order), ROWS):
        rows = order[first : first + ROWS]
        ids, lengths = padded([arrays[row] for row in rows])
        hidden = model._outputs(ids, lengths)
        kept = reader.advance(hidden, reader.initial(len(rows)), lengths)
        vectors[rows] = reader.features(hidden[lengths - 1, np.arange(len(rows))], kept)
    return vectors


def _ids(model: LanguageModel | BidirectionalLanguageModel, text: Any) -> np.ndarray:
    ids = integers(text, "ids", rank=1)
    return checked_range(ids, model.vocab_size) if len(ids) else ids
