"""What a forecaster's bundle knows of its series: read back as written; anything else is refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from rnnkit.bundle.series import NAME, SeriesFacts
from rnnkit.errors import BundleError, DataError, JsonError, MissingFileError, SchemaError

FACTS = SeriesFacts(["a", "b"], np.array([[0.1, 2], [3, 4]], "f4"), np.array([[5], [7]], "f4"), ("months", 3, 1, 0),
                    {"past": [], "future": ["f"], "static": ["s"]})  # fmt: skip


def test_it_is_read_back_as_it_was_written() -> None:
    again = SeriesFacts.from_files({NAME: FACTS.to_bytes()}, num_static=1)
    assert (again.ids, again.frequency, again.names) == (FACTS.ids, FACTS.frequency, FACTS.names)
    assert np.array_equal(again.scaler, FACTS.scaler)
    assert np.array_equal(again.static, FACTS.static)


def test_rows_are_of_known_series_where_that_matters() -> None:
    assert FACTS.rows(["b"], None, is_scaled_by=True).tolist() == [[3, 4, 7]]
    assert FACTS.rows(["new"], np.array([[9.0]]), is_scaled_by=False).tolist() == [[0, 1, 9]]
    for static, is_scaled_by in ((None, False), (np.array([[9.0]]), True)):
        with pytest.raises(DataError, match="series 'new' was not trained on"):
            FACTS.rows(["new"], static, is_scaled_by=is_scaled_by)


CHANGES: dict[str, dict[str, Any]] = {
    "one id twice": {"ids": ["a", "a"]},
    "an id that is no text": {"ids": ["a", 1]},
    "a row too few": {"scaler": [[0, 1]]},
    "a deviation of 0": {"scaler": [[0, 1], [0, 0]]},
    "a column too many": {"static": [[1, 2], [1, 2]]},
    "a text for a number": {"static": [["x"], [1]]},
    "no such unit": {"frequency": ["days", 1, 0, 1]},
    "a size below 0": {"frequency": ["seconds", -1, 0, 1]},
    "a day that is none": {"frequency": ["months", 1, 0, 32]},
    "names of another kind": {"names": {"past": [], "future": []}},
    "names that are none": {"names": {"past": [1], "future": [], "static": []}},
    "a key too many": {"more": 1},
}


@pytest.mark.parametrize("change", CHANGES)
def test_anything_else_is_refused(change: str) -> None:
    value = json.loads(FACTS.to_bytes()) | CHANGES[change]
    with pytest.raises(SchemaError, match=NAME):
        SeriesFacts.from_files({NAME: json.dumps(value).encode()}, num_static=1)


def test_a_missing_or_broken_file_is_refused() -> None:
    with pytest.raises(MissingFileError, match=NAME):
        SeriesFacts.from_files({}, num_static=1)
    for data in (b"{", b"[]", b'{"ids": NaN}'):
        with pytest.raises((JsonError, BundleError)):
            SeriesFacts.from_files({NAME: data}, num_static=1)
