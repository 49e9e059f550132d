"""Records of a system: what went in and what came out, step by step, from tables, .npz and .mat files.

The rules: an input must be there at every step; an output may be missing (an empty cell, NaN): it is neither learned
from nor judged, and where it would be read what the model says stands in. Rows of a record stand in the order of time.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, Self, cast

import numpy as np

from rnnkit.data.forecast_tables import number_of, table_of
from rnnkit.errors import DataError, MissingExtraError

INPUTS, OUTPUTS = ("u",), ("y",)  # what columns are called where nothing else is said
_UNEVEN = 1e-3  # of a step, by which times may be off; of a sample rate, by which records may differ
_ARRAYS = (".npz", ".mat")


class SystemColumns(NamedTuple):
    """Which columns are what.

    Attributes:
        inputs, outputs: of numbers.  record: whose record a row is of; None: a file is one.
        time: seconds, in even steps, by which the sample rate is told; None: none.
    """

    inputs: Sequence[str] = INPUTS
    outputs: Sequence[str] = OUTPUTS
    record: str | None = None
    time: str | None = None


@dataclass(frozen=True, eq=False)
class Systems:
    """Records of one system.

    Attributes:
        names:   what they are called.
        u, y:    float64 [T, I] and [T, O] of each; y is NaN where it is missing.
        inputs, outputs: what their columns are called.
        sample_rate: steps in a second, None where nothing tells it.
    """

    names: list[str]
    u: list[np.ndarray]
    y: list[np.ndarray]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    sample_rate: float | None = None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def num_steps(self) -> int:
        return sum(map(len, self.u))

    def take(self, rows: Sequence[int]) -> Self:
        """These records."""
        of = {name: [getattr(self, name)[row] for row in rows] for name in ("names", "u", "y")}
        return replace(self, **of)

    def cut(self, share_from: float, share_to: float) -> Self:
        """Of every record the steps between two shares of it; records that have none there are left out."""
        places = [(int(len(u) * share_from), int(len(u) * share_to)) for u in self.u]
        cut: Any = {name: [of[a:b] for of, (a, b) in zip(getattr(self, name), places, strict=True)] for name in "uy"}
        return replace(self, **cut).take([row for row, (a, b) in enumerate(places) if b > a])

    def rollouts(self, size: int) -> Self:
        """Every record in pieces of `size` steps, each a record of its own; a shorter last one is left out."""
        found: dict[str, list[Any]] = {"names": [], "u": [], "y": []}
        for name, u, y in zip(self.names, self.u, self.y, strict=True):
            for begin in range(0, len(u) - size + 1, size):
                found["names"].append(f"{name}, step {begin}")
                found["u"].append(u[begin : begin + size])
                found["y"].append(y[begin : begin + size])
        return replace(self, **found)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what they hold."""
        total = hashlib.sha256(repr((self.names, self.inputs, self.outputs, self.sample_rate)).encode())
        for one in (*self.u, *self.y):
            total.update(np.ascontiguousarray(one, "<f8").tobytes())
        return total.hexdigest()


def is_same_rate(one: float | None, other: float | None) -> bool:
    """Whether two sample rates agree, an unknown one with all."""
    return one is None or other is None or abs(one / other - 1) <= _UNEVEN


def read_systems(
    sources: Any,
    *,
    columns: SystemColumns | None = None,
    sample_rate: float | None = None,
    encoding: str = "utf-8",
    with_outputs: bool = True,
) -> Systems:
    """The records of files or frames.

    Args:
        sources: .csv, .tsv (also as .gz), .parquet, a pandas or polars frame; .npz or .mat, whose arrays are named as
            columns are, [T] each, or [N, T] of N records, with `lengths` [N] where these differ; or several of them.
        columns: which are what.  sample_rate: in Hz; None: told by a time column, or unknown.
        encoding: of text files.  with_outputs: False: outputs need not be there, and are then missing.
    Raises: DataError naming row and column: a text in a column of numbers, an input that is missing, times in uneven
        steps; naming the column that is missing; MissingExtraError without scipy for .mat.
    """
    columns = columns or SystemColumns()
    if both := {*columns.inputs} & {*columns.outputs}:
        raise DataError(f"the column {min(both)!r} is an input and an output; name it once")
    found: list[tuple[str, np.ndarray, np.ndarray]] = []
    rates: set[float] = set() if sample_rate is None else {float(sample_rate)}
    is_one = isinstance(sources, str | Path) or hasattr(sources, "columns")
    for one in cast("Sequence[Any]", [sources] if is_one else sources):
        is_array = isinstance(one, str | Path) and Path(one).suffix.lower() in _ARRAYS
        read = _array_records if is_array else _table_records
        for name, u, y, rate in read(one, columns, encoding, with_outputs):
            if not len(u):
                raise DataError(f"{name}: a record without a step; leave it out")
            found.append((name, u, y))
            rates |= {rate} if rate is not None else set()
    if not found:
        raise DataError("there is no record; give at least one row below the header")
    if rates and not is_same_rate(min(rates), max(rates)):
        shown = ", ".join(f"{rate:g} Hz" for rate in sorted(rates))
        raise DataError(f"records of different sample rates, {shown}; give those of one")
    names, u, y = (list(of) for of in zip(*found, strict=True))
    rate = min(rates) if rates else None
    return Systems(names, u, y, tuple(columns.inputs), tuple(columns.outputs), rate)


_Found = Iterator[tuple[str, np.ndarray, np.ndarray, float | None]]


def _table_records(source: Any, columns: SystemColumns, encoding: str, with_outputs: bool) -> _Found:
    header, rows, name = table_of(source, encoding)
    outputs = [one for one in columns.outputs if with_outputs or one in header]
    wanted = [*columns.inputs, *outputs, *(one for one in (columns.record, columns.time) if one is not None)]
    if absent := [one for one in wanted if one not in header]:
        raise DataError(
            f"{name}, its header: no column {absent[0]!r} among {', '.join(header)[:200]}; name one that is there"
        )
    at = {one: index for index, one in enumerate(header)}
    held: dict[str, list[list[float]]] = {}
    places: dict[str, list[str]] = {}
    for values, place in rows:
        whose = name if columns.record is None else f"{name}, record {values[at[columns.record]]}"
        row = [number_of(values[at[one]], f"{place}, column {one!r}") for one in (*columns.inputs, *outputs)]
        for one, value in zip(columns.inputs, row, strict=False):
            if np.isnan(value):
                raise DataError(f"{place}, column {one!r}: an input is missing; fill it in, or take the record out")
        if columns.time is not None:
            row.append(number_of(values[at[columns.time]], f"{place}, column {columns.time!r}"))
        held.setdefault(whose, []).append(row)
        places.setdefault(whose, []).append(place)
    for whose, of in held.items():
        array, rate = np.array(of, np.float64), None
        if columns.time is not None:
            rate = _rate(array[:, -1], places[whose], columns.time)
        I = len(columns.inputs)
        y = np.full((len(array), len(columns.outputs)), np.nan)
        for index, one in enumerate(columns.outputs):
            if one in outputs:
                y[:, index] = array[:, I + outputs.index(one)]
        yield whose, array[:, :I], y, rate


def _rate(times: np.ndarray, places: Sequence[str], column: str) -> float | None:
    if len(times) < 2:
        return None
    steps = np.diff(times)
    usual = float(np.nanmedian(steps))
    off = np.flatnonzero(~(np.abs(steps - usual) <= _UNEVEN * abs(usual)) | ~(steps > 0))
    if len(off):
        raise DataError(
            f"{places[off[0] + 1]}, column {column!r}: a step of {steps[off[0]]:g} among steps of {usual:g}; give even "
            "steps that rise, or leave the time column out"
        )
    return float(f"{1 / usual:.9g}")  # times are written in so many digits


def _array_records(source: str | Path, columns: SystemColumns, encoding: str, with_outputs: bool) -> _Found:
    path = str(source)
    del encoding  # arrays are no text
    for what, one in (("record", columns.record), ("time", columns.time)):
        if one is not None:
            raise DataError(f"{path}: a {what} column goes with tables; of arrays [N, T] every row is a record")
    arrays = _mat(path) if path.lower().endswith(".mat") else _npz(path)
    outputs = [one for one in columns.outputs if with_outputs or one in arrays]
    shape: tuple[int, ...] | None = None
    for one in (*columns.inputs, *outputs):
        if one not in arrays:
            raise DataError(f"{path}: no array {one!r} among {', '.join(sorted(arrays))[:200]}; name one that is there")
        array = arrays[one] = np.asarray(arrays[one])
        if array.ndim == 2 and path.lower().endswith(".mat") and 1 in array.shape:  # there a line is a matrix, too
            array = arrays[one] = array.reshape(-1)
        if array.dtype.kind not in "fiu" or array.ndim not in (1, 2) or (shape is not None and array.shape != shape):
            raise DataError(
                f"{path}: {one!r} is {array.dtype} {list(array.shape)}; wanted are numbers, "
                + ("[T], or [N, T] of N records" if shape is None else f"{list(shape)} as of {columns.inputs[0]!r}")
            )
        shape = array.shape
    assert shape is not None
    N, T = (1, *shape) if len(shape) == 1 else shape
    lengths = np.asarray(arrays.get("lengths", np.full(N, T))).reshape(-1)
    if lengths.shape != (N,) or lengths.dtype.kind not in "iu" or ((lengths < 1) | (lengths > T)).any():
        raise DataError(f"{path}: lengths must be {N} integers in 1..{T}")
    for row, length in enumerate(lengths.tolist()):
        name = path if len(shape) == 1 else f"{path}, row {row}"
        u, y = np.empty((length, len(columns.inputs))), np.full((length, len(columns.outputs)), np.nan)
        for into, names in ((u, columns.inputs), (y, columns.outputs)):
            for index, one in enumerate(names):
                if one in columns.inputs or one in outputs:
                    into[:, index] = arrays[one].reshape(N, T)[row, :length]
        for of, names, is_wrong in ((u, columns.inputs, ~np.isfinite(u)), (y, columns.outputs, np.isinf(y))):
            if is_wrong.any():
                step, index = np.argwhere(is_wrong)[0]
                raise DataError(f"{name}, step {step} of {names[index]!r} is {of[step, index]}; fill it in")
        yield name, u, y, None


def _npz(path: str) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: cannot be read as .npz ({error}); write it with numpy.savez, no objects") from None


def _mat(path: str) -> dict[str, Any]:
    try:
        reader = import_module("scipy.io")
    except ImportError as error:
        raise MissingExtraError("a .mat file needs `scipy`, which scikit-learn brings", extra="train") from error
    try:
        return {name: of for name, of in reader.loadmat(path).items() if not name.startswith("__")}
    except (OSError, ValueError, NotImplementedError, TypeError) as error:
        raise DataError(f"{path}: cannot be read as .mat ({error}); save it with -v7, or as .npz") from None
