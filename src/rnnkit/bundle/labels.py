"""The labels that a classifier's outputs stand for, in their order: a file of its bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rnnkit.bundle import strict_json
from rnnkit.errors import MissingFileError, SchemaError

NAME = "labels.json"
_MAX_BYTES = 1 << 26


def to_bytes(labels: Sequence[str], thresholds: Sequence[float] | None = None) -> bytes:
    """The file. Args: thresholds: the probability from which each label is there, where a sequence may have several."""
    own = {} if thresholds is None else {"thresholds": [float(one) for one in thresholds]}
    return strict_json.dumps({"labels": list(labels), **own})


def from_files(files: Mapping[str, bytes], *, num_labels: int) -> tuple[list[str], list[float] | None]:
    """The labels that a bundle keeps, and the threshold of each, None: it keeps none.

    Raises: MissingFileError; JsonError, SchemaError for a file that is not exactly that.
    """
    if NAME not in files:
        raise MissingFileError(f"the bundle of a classifier lists no {NAME}; write it again with its labels")
    value: Any = strict_json.loads(files[NAME], what=NAME, max_bytes=_MAX_BYTES)
    is_known = isinstance(value, dict) and {"labels"} <= value.keys() <= {"labels", "thresholds"}
    labels = value["labels"] if is_known else None
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise SchemaError(f"{NAME} must hold labels, a list of texts; write the bundle again")
    if len(labels) != num_labels or len(set(labels)) != num_labels:
        raise SchemaError(f"{NAME} holds {len(set(labels))} different labels, the model has {num_labels} outputs")
    thresholds = value.get("thresholds")
    if "thresholds" in value and not (
        isinstance(thresholds, list)
        and len(thresholds) == num_labels
        and all(type(one) in (int, float) and 0 <= one <= 1 for one in thresholds)
    ):
        raise SchemaError(f"{NAME}: thresholds must be {num_labels} numbers from 0 to 1; write the bundle again")
    return labels, thresholds
