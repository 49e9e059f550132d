"""The n-grams that a classifier counts beside its layers, as numbers in ascending order: a file of its bundle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from rnnkit.bundle import strict_json
from rnnkit.errors import MissingFileError, SchemaError

NAME = "ngrams.json"
_MAX_BYTES = 1 << 28


class NgramList(NamedTuple):
    """`grams`: int64 [G], ascending, as `rnnkit.text.ngrams`; `with_ends`: whether a text's ends are tokens of them."""

    grams: np.ndarray
    with_ends: bool


def to_bytes(ngrams: NgramList) -> bytes:
    """The file."""
    return strict_json.dumps({"with_ends": ngrams.with_ends, "grams": ngrams.grams.tolist()})


def from_files(files: Mapping[str, bytes]) -> NgramList:
    """Those that a bundle keeps; whether they are the model's says `check`.

    Raises: MissingFileError; JsonError, SchemaError for a file that is not exactly that.
    """
    if NAME not in files:
        raise MissingFileError(f"the bundle of a classifier with n-grams lists no {NAME}; write it again with them")
    value: Any = strict_json.loads(files[NAME], what=NAME, max_bytes=_MAX_BYTES)
    if not isinstance(value, dict) or value.keys() != {"with_ends", "grams"} or type(value["with_ends"]) is not bool:
        raise SchemaError(f"{NAME} must hold with_ends, true or false, and grams; write the bundle again")
    grams = value["grams"]
    if not isinstance(grams, list) or not all(type(gram) is int and abs(gram) < 2**63 for gram in grams):
        raise SchemaError(f"{NAME}: grams must be a list of integers; write the bundle again")
    return NgramList(np.array(grams, np.int64), value["with_ends"])


def check(ngrams: NgramList, *, num_ngrams: int, below: int, end: int) -> None:
    """Raises: SchemaError for other than so many rising numbers in 1..below - 1; for a text's `end` alone among them,
    which says nothing.
    """
    grams = ngrams.grams
    if len(grams) != num_ngrams:
        raise SchemaError(f"there are {len(grams)} n-grams, the model has {num_ngrams}; take both from one run")
    if grams[0] < 1 or grams[-1] >= below or (np.diff(grams) <= 0).any() or end in grams:
        raise SchemaError(f"{NAME}: grams must rise within 1..{below - 1}, without {end}; write the bundle again")
