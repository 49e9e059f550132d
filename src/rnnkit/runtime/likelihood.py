"""What every token of a text costs a model, in bounded memory and with the state carried from token to token."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnkit.errors import ArgumentError, DtypeError, ShapeError

if TYPE_CHECKING:
    from rnnkit.runtime.model import NextTokenModel
    from rnnkit.state import State

_SCORE_BYTES = 64 << 20  # [rows, V] held at a time
_MAX_ROWS = 4096
_MAX_BATCH = 32  # documents side by side


def nll(model: NextTokenModel, ids: Any, *, document_starts: Any, state: State | None) -> np.ndarray:
    """See `NextTokenModel.nll`."""
    ids = np.asanyarray(ids)
    out = np.empty(ids.shape, np.float64)
    for places, values in _windows(model, ids, document_starts, state):
        out[places] = values
    return out


def total_nll(model: NextTokenModel, ids: Any, *, document_starts: Any) -> float:
    """See `NextTokenModel.total_nll`."""
    windows = _windows(model, np.asanyarray(ids), document_starts, None)
    return sum((float(values.sum()) for _, values in windows), 0.0)


def _windows(
    model: NextTokenModel, ids: np.ndarray, document_starts: Any, state: State | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield places in `ids` and the nats of the tokens there, each place once; `ids` is read window by window."""
    starts, ends = documents(ids, document_starts)
    rows = row_limit(model.vocab_size)
    if state is not None and len(ids):  # the first document has a state of its own
        yield from _score(model, ids, starts[:1], ends[:1], state, rows)
        starts, ends = starts[1:], ends[1:]
    for group in side_by_side(ends - starts, rows):
        yield from _score(model, ids, starts[group], ends[group], model.initial_state(len(group)), rows)


def documents(ids: np.ndarray, document_starts: Any) -> tuple[np.ndarray, np.ndarray]:
    """Where every document begins and ends. Raises: ShapeError, DtypeError, ArgumentError."""
    if ids.ndim != 1:
        raise ShapeError(f"ids must have one axis [N], got the shape {list(ids.shape)}")
    if ids.dtype.kind not in "iu" and ids.size:
        raise DtypeError(f"ids must be integers, got {ids.dtype}; encode text with model.tokenizer.encode")
    starts = _checked_starts(document_starts, len(ids))
    return starts, np.append(starts[1:], len(ids))[: len(starts)]


def side_by_side(lengths: np.ndarray, rows: int) -> Iterator[np.ndarray]:
    """Yield which documents are read together: of similar lengths, longest first, so that rows end from the last on.

    Args: rows: as of `row_limit`.
    """
    order, batch = np.argsort(-lengths, kind="stable"), min(_MAX_BATCH, rows)
    for first in range(0, len(order), batch):
        yield order[first : first + batch]


def row_limit(vocab_size: int) -> int:
    """How many rows of scores over V tokens are held at a time."""
    return max(1, min(_MAX_ROWS, _SCORE_BYTES // (4 * vocab_size)))


def _score(
    model: NextTokenModel,
    ids: np.ndarray,  # [N]
    starts: np.ndarray,  # [B], of documents from the longest to the shortest
    ends: np.ndarray,
    state: State,
    rows: int,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    parts = model._checked(state, len(starts))
    window = max(1, rows // len(starts))
    for offset in range(0, int(ends[0] - starts[0]), window):
        B = int((ends - starts > offset).sum())  # the rows that go on
        if len(parts[0][0]) > B:
            parts = [tuple(array[:B] for array in arrays) for arrays in parts]
        lengths = np.minimum(ends[:B] - starts[:B] - offset, window)
        inputs = np.zeros((int(lengths[0]), B), np.int64)
        targets = np.zeros_like(inputs)
        for row, (start, length) in enumerate(zip(starts[:B] + offset, lengths, strict=True)):
            targets[:length, row] = ids[start : start + length]
            inputs[1:length, row] = targets[: length - 1, row]
            inputs[0, row] = ids[start - 1] if offset else model.begin_id
        counts = np.arange(len(inputs))[:, None] < lengths
        wanted = checked_range(targets[counts], model.vocab_size)
        features, parts = model._forward(inputs, parts, lengths=lengths)
        log_probs = model._softmax.log_probs(features[counts])
        places = (starts[:B] + offset + np.arange(len(inputs))[:, None])[counts]
        yield places, -log_probs[np.arange(len(wanted)), wanted].astype(np.float64)


def checked_range(ids: np.ndarray, vocab_size: int) -> np.ndarray:
    """Ids of the vocabulary, one at least. Raises: ArgumentError."""
    if ids.min() < 0 or ids.max() >= vocab_size:
        raise ArgumentError(f"ids must lie in 0..{vocab_size - 1}, got {ids.min()}..{ids.max()}")
    return ids


def _checked_starts(document_starts: Any, size: int) -> np.ndarray:
    starts = np.asarray([] if document_starts is None else document_starts, np.int64).reshape(-1)
    if len(starts) and (starts[0] < 0 or starts[-1] >= size or (np.diff(starts) <= 0).any()):
        raise ArgumentError(f"document_starts must rise strictly within 0..{size - 1}")
    if size and (not len(starts) or starts[0] > 0):
        starts = np.concatenate([[0], starts])
    return starts
