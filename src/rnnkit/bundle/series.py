"""What a forecaster knows of the series it was trained on: a file of its bundle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import numpy as np

from rnnkit.bundle import strict_json
from rnnkit.errors import DataError, MissingFileError, SchemaError

NAME = "series.json"
_MAX_BYTES = 1 << 28
_UNITS = ("seconds", "months", "steps")


class SeriesFacts(NamedTuple):
    """Attributes:
    ids:       what they are called.
    scaler:    float32 [N, 2]: mean and deviation of each one's training values.
    static:    float32 [N, S]: static covariates.
    frequency: of their clock: unit, count, phase, day, as of `rnnkit.data.frequency.Frequency`.
    names:     of past, future and static covariates.
    """

    ids: list[str]
    scaler: np.ndarray
    static: np.ndarray
    frequency: tuple[str, int, int, int]
    names: dict[str, list[str]]

    def rows(self, ids: list[str], static: np.ndarray | None, *, is_scaled_by: bool) -> np.ndarray:
        """Of series mean, deviation and static covariates, float32 [B, 2 + S], as a state keeps them.

        Args:   static: of these series, [B, S] or the first columns of it; None: as they were in training.
                is_scaled_by: whether the model scales by them, so that each must be known.
        Raises: DataError naming a series that was not trained on, where that matters.
        """
        known = {name: row for row, name in enumerate(self.ids)}
        for name in ids:
            if name not in known and (
                is_scaled_by or (0 if static is None else static.shape[1]) < self.static.shape[1]
            ):
                what = "scales each by its training values" if is_scaled_by else "tells the series apart"
                raise DataError(
                    f"series {name!r} was not trained on, and this model {what}; give one that was, or train with "
                    "model.scale=window, model.level=mean and without model.series_id"
                )
        found = np.zeros((len(ids), 2 + self.static.shape[1]), np.float32)
        found[:, 1] = 1
        for row, name in enumerate(ids):
            if name in known:
                found[row] = np.concatenate([self.scaler[known[name]], self.static[known[name]]])
        if static is not None:
            found[:, 2 : 2 + static.shape[1]] = static
        return found

    def to_bytes(self) -> bytes:
        """The file."""
        value = {
            "ids": self.ids,
            "scaler": _written(self.scaler),
            "static": _written(self.static),
            "frequency": list(self.frequency),
            "names": self.names,
        }
        return strict_json.dumps(value)

    @classmethod
    def from_files(cls, files: Mapping[str, bytes], *, num_static: int) -> Self:
        """What a bundle keeps. Raises: MissingFileError; JsonError, SchemaError for a file that is not exactly that."""
        if NAME not in files:
            raise MissingFileError(f"the bundle of a forecaster lists no {NAME}; write it again with it")
        value: Any = strict_json.loads(files[NAME], what=NAME, max_bytes=_MAX_BYTES)
        if not isinstance(value, dict) or value.keys() != {"ids", "scaler", "static", "frequency", "names"}:
            raise SchemaError(f"{NAME} must hold ids, scaler, static, frequency and names; write the bundle again")
        ids, names, frequency = value["ids"], value["names"], value["frequency"]
        if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids) or len({*ids}) != len(ids):
            raise SchemaError(f"{NAME}: ids must be different texts")
        is_named = isinstance(names, dict) and names.keys() == {"past", "future", "static"}
        if not is_named or not all(
            isinstance(of, list) and all(isinstance(n, str) for n in of) for of in names.values()
        ):
            raise SchemaError(f"{NAME}: names must hold lists of texts for past, future and static")
        is_clock = isinstance(frequency, list) and len(frequency) == 4 and all(type(n) is int for n in frequency[1:])
        if not is_clock or frequency[0] not in _UNITS or frequency[1] < 0 or not 0 <= frequency[3] <= 31:
            raise SchemaError(f"{NAME}: frequency must be a unit of {', '.join(_UNITS)}, and three whole numbers")
        scaler, static = _table(value["scaler"], len(ids), 2), _table(value["static"], len(ids), num_static)
        if (scaler[:, 1] <= 0).any():
            raise SchemaError(f"{NAME}: deviations must be above 0")
        return cls(ids, scaler, static, tuple(frequency), names)


def _written(values: np.ndarray) -> list[list[float]]:
    """Numbers for JSON: of a float32 the fewest digits that give it."""
    return [[float(str(number)) for number in row] for row in values.astype(np.float32)]


def _table(value: Any, rows: int, columns: int) -> np.ndarray:
    is_fine = isinstance(value, list) and len(value) == rows and all(
        isinstance(row, list) and len(row) == columns and all(type(n) in (int, float) and math.isfinite(n) for n in row)
        for row in value
    )  # fmt: skip
    if not is_fine:
        raise SchemaError(f"{NAME}: scaler and static must be {rows} rows of {columns} finite numbers")
    return np.array(value, np.float32).reshape(rows, columns)
