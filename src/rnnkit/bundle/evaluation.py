"""The few thousand held-out tokens that a bundle keeps, so that what a precision or a file costs can be measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnkit.bundle import strict_json
from rnnkit.errors import SchemaError

NAME = "evaluation.json"
MAX_TOKENS = 4096
_MAX_BYTES = 1 << 20


def to_bytes(ids: np.ndarray, document_starts: np.ndarray) -> bytes:
    """The file of the first tokens of a held-out text; ids [N], the places where its documents begin."""
    ids = np.asarray(ids[:MAX_TOKENS])
    starts = np.asarray(document_starts)
    return strict_json.dumps({"ids": ids.tolist(), "document_starts": starts[starts < len(ids)].tolist()})


def from_files(files: Mapping[str, bytes], *, vocab_size: int) -> tuple[np.ndarray, np.ndarray] | None:
    """(ids int64 [N], document starts) that a bundle keeps; None for one that keeps none.

    Raises: JsonError, SchemaError for a file that is not exactly that.
    """
    if NAME not in files:
        return None
    value: Any = strict_json.loads(files[NAME], what=NAME, max_bytes=_MAX_BYTES)
    if not isinstance(value, dict) or value.keys() != {"ids", "document_starts"}:
        raise SchemaError(f"{NAME} must hold ids and document_starts; write the bundle again")
    ids, starts = (_integers(value[key], key) for key in ("ids", "document_starts"))
    if not 0 < len(ids) <= MAX_TOKENS or ids.min() < 0 or ids.max() >= vocab_size:
        raise SchemaError(f"{NAME}: ids must be 1 to {MAX_TOKENS} integers in 0..{vocab_size - 1}")
    if len(starts) and (starts[0] < 0 or starts[-1] >= len(ids) or (np.diff(starts) <= 0).any()):
        raise SchemaError(f"{NAME}: document_starts must rise within 0..{len(ids) - 1}")
    return ids, starts


def _integers(value: Any, key: str) -> np.ndarray:
    if not isinstance(value, list) or not all(type(item) is int and 0 <= item < 2**31 for item in value):
        raise SchemaError(f"{NAME}: {key} must be a list of integers in 0..2^31 - 1")
    return np.array(value, np.int64)
