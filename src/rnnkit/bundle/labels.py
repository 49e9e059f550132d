"""The labels that a classifier's outputs stand for, in their order: a file of its bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rnnkit.bundle import strict_json
from rnnkit.errors import MissingFileError, SchemaError

NAME = "labels.json"
_MAX_BYTES = 1 << 26


def to_bytes(labels: Sequence[str]) -> bytes:
    """The file."""
    return strict_json.dumps({"labels": list(labels)})


def from_files(files: Mapping[str, bytes], *, num_labels: int) -> list[str]:
    """The labels that a bundle keeps.

    Raises: MissingFileError; JsonError, SchemaError for a file that is not exactly that.
    """
    if NAME not in files:
        raise MissingFileError(f"the bundle of a classifier lists no {NAME}; write it again with its labels")
    value: Any = strict_json.loads(files[NAME], what=NAME, max_bytes=_MAX_BYTES)
    labels = value.get("labels") if isinstance(value, dict) and value.keys() == {"labels"} else None
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise SchemaError(f"{NAME} must hold labels, a list of texts; write the bundle again")
    if len(labels) != num_labels or len(set(labels)) != num_labels:
        raise SchemaError(f"{NAME} holds {len(set(labels))} different labels, the model has {num_labels} outputs")
    return labels
