"""Time series out of tables: long (unique_id, ds, y) or wide, files or pandas and polars frames, on one clock.

The rules, for every series: its rows may come in any order; a time that stands twice, a time between two steps of the
clock and a text where a number belongs are refused. Steps without a row, and rows without a number, are missing: they
are read as the value before them, and are neither learned from nor judged. Missing values at the beginning are left
out. A series ends at its last number: rows below it may hold future covariates.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from rnnkit.data.frequency import Frequency, shown
from rnnkit.data.parquet import SUFFIX as PARQUET
from rnnkit.data.parquet import parquet_rows
from rnnkit.data.readers import read_documents
from rnnkit.data.tables import SEPARATORS, cells_of, column_of
from rnnkit.errors import DataError

ID_COLUMNS = ("unique_id",)
TIME_COLUMNS = ("ds", "date", "time", "timestamp", "datetime", "month")
TARGET_COLUMNS = ("y",)
_MISSING = ("", "nan", "na", "n/a", "null", "none")
_MOST_GAPS = 0.5  # of the steps of a series whose clock is told by its times: beyond that they are of two clocks


@dataclass(frozen=True, eq=False)
class Panel:
    """Series on one clock.

    Attributes:
        ids:    what they are called.
        values: float64 [T] each, NaN where missing; neither the first nor the last is.
        first:  int64 [N], the step of each one's first value, as of `Frequency.clocks`.
        frequency: of the clock.
        places: where each one's first row stands, for messages.
        past, future: float64 [T, P] and [T + what lies ahead, F] each; missing ones are as the one before.
        static: float64 [N, S].
        names:  of the columns of past, future and static.
    """

    ids: list[str]
    values: list[np.ndarray]
    first: np.ndarray
    frequency: Frequency
    places: list[str]
    past: list[np.ndarray]
    future: list[np.ndarray]
    static: np.ndarray
    names: dict[str, list[str]]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> np.ndarray:
        """Steps of each series, int64 [N]."""
        return np.array([len(one) for one in self.values], np.int64)

    def times(self, series: int, steps: np.ndarray) -> np.ndarray:
        """The times of steps of a series, counted from its first value; they may lie ahead."""
        return self.frequency.times(self.first[series] + steps)

    def until(self, ends: np.ndarray) -> Self:
        """The first ends[n] steps of each series n; covariates that lie ahead stay."""
        cut = [one[:end] for one, end in zip(self.values, ends.tolist(), strict=True)]
        past = [one[:end] for one, end in zip(self.past, ends.tolist(), strict=True)]
        return replace(self, values=cut, past=past)

    def __getitem__(self, rows: Sequence[int]) -> Self:
        kept = {name: [getattr(self, name)[row] for row in rows] for name in _OF_SERIES}
        return replace(self, **kept, first=self.first[rows], static=self.static[rows])

    def place(self, series: int) -> str:
        return f"{self.places[series]}: series {self.ids[series]!r}"

    @property
    def fingerprint(self) -> str:
        """SHA-256 of names, clock, values and covariates."""
        total = hashlib.sha256(repr((self.ids, self.first.tolist(), tuple(self.frequency), self.names)).encode())
        for arrays in (self.values, self.past, self.future, [self.static]):
            for one in arrays:
                total.update(np.ascontiguousarray(one, "<f8").tobytes())
        return total.hexdigest()


_OF_SERIES = ("ids", "values", "places", "past", "future")


class Columns(NamedTuple):
    """Which columns of a table are what; None: told by their names.

    Attributes:
        id_column: whose series a row is of: unique_id.  time_column: ds, date, time, timestamp, datetime or month.
        target_column: y. A table without it is wide: each of its columns but the time's and the covariates' is a
            series.  series_columns: those of a wide table, None: all.
        past, future, static: covariates: known up to now, known ahead, and one value for all of a series.
    """

    id_column: str | None = None
    time_column: str | None = None
    target_column: str | None = None
    series_columns: Sequence[str] | None = None
    past: Sequence[str] = ()
    future: Sequence[str] = ()
    static: Sequence[str] = ()


class _Row(NamedTuple):
    time: Any
    value: float
    past: list[float]
    future: list[float]
    static: list[float]
    place: str


def read_panel(
    source: Any, *, columns: Columns | None = None, frequency: str | None = None, encoding: str = "utf-8"
) -> Panel:
    """The series of a table.

    Args:
        source: .csv, .tsv (also as .gz) or .parquet; several of them are read one after the other; or a pandas or
            polars frame.
        columns: which are what.
        frequency: of the clock, see `Frequency.named`; None: told by the times, the same for all series. "rows": rows
            are steps in the order of their times, whatever lies between these.
        encoding: of text files.
    Raises: DataError naming series and row: a time that cannot be read, stands twice or lies between steps, a text in a
        column of numbers, a series without a number, series of different clocks; naming the column that is missing.
    """
    columns = columns or Columns()
    by_series: dict[str, list[_Row]] = {}
    sources = [source] if isinstance(source, str | Path) or hasattr(source, "columns") else source
    for one in sources:
        for series, row in _rows_of(one, columns, encoding):
            by_series.setdefault(series, []).append(row)
    clock = Frequency.named(frequency) if frequency is not None else None
    names = {kind: list(getattr(columns, kind)) for kind in ("past", "future", "static")}
    as_years = frequency is None and all(_is_year(row.time) for rows in by_series.values() for row in rows)
    found = [_in_order(series, rows, as_years=as_years) for series, rows in by_series.items()]
    if not found:
        raise DataError("the table has no row below its header; give at least one")
    if clock is None:
        clock = _common_clock(found)
    elif clock.name != "rows":
        if (clock.unit == "steps") != (found[0][1].dtype.kind != "M"):
            raise DataError(f"{found[0][2][0].place}: times and frequency {frequency!r} are of different kinds")
        clock = clock.anchored(found[0][1])
    return _on_clock(found, clock, names, is_told=frequency is None)


# ---- tables ----------------------------------------------------------------------------------------------------------


def _rows_of(source: Any, columns: Columns, encoding: str) -> Iterator[tuple[str, _Row]]:
    """The name of a series, and one of its rows."""
    header, rows, name = table_of(source, encoding)
    place = f"{name}, its header"
    for kind in ("past", "future", "static", "series_columns"):
        if absent := [one for one in getattr(columns, kind) or () if one not in header]:
            raise DataError(f"{place}: no column {absent[0]!r} among {', '.join(header)[:200]}; name one that is there")
    time = column_of(header, columns.time_column, TIME_COLUMNS, "--time-column", place)
    is_long = columns.series_columns is None and (columns.target_column is not None or "y" in header)
    target = column_of(header, columns.target_column, TARGET_COLUMNS, "--target-column", place) if is_long else None
    named = columns.id_column
    if named is None and is_long:
        named = next((one for one in ID_COLUMNS if one in header), None)
    if named is not None and (named not in header or not is_long):
        why = "a wide table has a column for each series" if named in header else f"no such column in {name}"
        raise DataError(f"{place}: --id-column {named}: {why}; leave it out, or name the --target-column")
    taken = {time, *columns.past, *columns.future, *columns.static}
    wide = [] if is_long else list(columns.series_columns or (one for one in header if one not in taken))
    if not is_long and not wide:
        raise DataError(f"{place}: no column is left for a series beside {', '.join(sorted(taken))}")
    if columns.static and not is_long:
        raise DataError(f"{place}: static covariates need a long table, with unique_id, ds and y")
    at = {one: index for index, one in enumerate(header)}
    for values, place in rows:
        whose = str(values[at[named]]) if named is not None else str(target) if is_long else ""

        def number(column: str, series: str, values: Any = values, place: str = place) -> float:
            return number_of(values[at[column]], f"{place}: series {series!r}, column {column!r}")

        covariates = {
            kind: [number(one, whose) for one in getattr(columns, kind)] for kind in ("past", "future", "static")
        }
        for series in [whose] if is_long else wide:
            value = number(target or series, series)
            yield series, _Row(values[at[time]], value, **covariates, place=place)


def table_of(source: Any, encoding: str) -> tuple[list[str], Iterator[tuple[Sequence[Any], str]], str]:
    """Header, rows with their places, and what it is called."""
    if hasattr(source, "columns"):  # a frame
        header = [str(name) for name in source.columns]
        arrays = [np.asarray(source[name].to_numpy()) for name in source.columns]
        held = [array if array.dtype.kind == "M" else array.tolist() for array in arrays]
        return header, ((row, f"row {number}") for number, row in enumerate(zip(*held, strict=True))), "the frame"
    path = str(source)
    if path.endswith(PARQUET):
        (document,) = read_documents([path], as_bytes=True)  # names a file that is not there
        del document
        header = []

        def all_of(names: list[str], _: str) -> Sequence[str | None]:
            header.extend(names)
            return names

        rows = [(values, place) for values, _, place in parquet_rows(path, all_of, with_nulls=True)]
        return header, iter(rows), path
    suffix = Path(path.removesuffix(".gz")).suffix.lower()
    if suffix not in SEPARATORS and Path(path).exists():
        raise DataError(f"{path}: cannot tell its format by the name; it must end in .csv, .tsv or {PARQUET}")
    (document,) = read_documents([path], encoding=encoding)
    assert isinstance(document.text, str)
    cells = cells_of(document.name, document.text, SEPARATORS.get(suffix, ","))
    header, _ = next(cells)
    return [name.strip() for name in header], cells, document.name


def number_of(value: Any, place: str) -> float:
    if value is None or (isinstance(value, str) and value.strip().lower() in _MISSING):
        return math.nan
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise DataError(f"{place}: {str(value)[:40]!r} is no number; write one, or leave the cell empty") from None
    if math.isinf(number):
        raise DataError(f"{place}: {number} is not finite; write a number, or leave the cell empty")
    return number


# ---- clocks ----------------------------------------------------------------------------------------------------------


def _is_year(value: Any) -> bool:
    """Whether a whole number may be one: where all of a table may, they are."""
    text = str(value).strip()
    return len(text) == 4 and text.isdigit() and 1500 <= int(text) < 2200


def _in_order(series: str, rows: list[_Row], *, as_years: bool) -> tuple[str, np.ndarray, list[_Row]]:
    """Times and rows of a series, rising. Raises: DataError for a time that cannot be read or stands twice."""
    written = [f"{str(row.time).strip()}-01" if as_years else row.time for row in rows]
    read = [_time(time, f"{row.place}: series {series!r}") for time, row in zip(written, rows, strict=True)]
    kinds = {isinstance(one, int) for one in read}
    if len(kinds) > 1:
        odd = next(number for number, one in enumerate(read) if isinstance(one, int) != isinstance(read[0], int))
        raise DataError(f"{rows[odd].place}: series {series!r}: {rows[odd].time!r} among times of another kind")
    times = np.array(read, np.int64 if kinds == {True} else "datetime64[s]")
    order = np.argsort(times, kind="stable")
    times, rows = times[order], [rows[row] for row in order]
    if len(twice := np.flatnonzero(times[1:] == times[:-1])):
        at = rows[int(twice[0]) + 1]
        raise DataError(f"{at.place}: series {series!r}: the time {at.time} stands twice; leave one of the rows out")
    return series, times, rows


def _time(value: Any, place: str) -> Any:
    """An integer, or datetime64[s]."""
    if isinstance(value, bool) or value is None:
        raise DataError(f"{place}: {value!r} is no time; write a date, a date with its time, or a whole number")
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    try:
        if isinstance(value, str):
            text = value.strip().replace("/", "-").removesuffix("Z")
            if text.lstrip("-").isdigit():
                return int(text)
            time = np.datetime64(text)
        else:
            time = np.datetime64(value)  # type: ignore[call-overload]
    except (ValueError, TypeError):
        time = np.datetime64("NaT")
    if np.isnat(time):
        raise DataError(f"{place}: {str(value)[:40]!r} is no time; write it as 2024-05-31, 2024-05-31 14:00 or 17")
    return time.astype("datetime64[s]")


_Found = list[tuple[str, np.ndarray, list[_Row]]]


def _common_clock(found: _Found) -> Frequency:
    """What the times of most rows say. A series of whole multiples of it has gaps.

    Raises: DataError naming the first series of another clock.
    """
    told = [(series, clock, rows) for series, times, rows in found if (clock := Frequency.inferred(times)) is not None]
    if not told:
        series, _, rows = found[0]
        raise DataError(f"{rows[0].place}: series {series!r} is a single row, which tells no frequency; name it")
    counts: dict[str, int] = {}
    for _, clock, rows in told:
        counts[clock.name] = counts.get(clock.name, 0) + len(rows)
    usual = next(clock for _, clock, _ in told if counts[clock.name] == max(counts.values()))
    for series, clock, rows in told:
        is_coarser = (clock.unit, usual.unit) == ("months", "seconds")
        if not is_coarser and (clock.unit != usual.unit or clock.size % usual.size):
            raise DataError(
                f"{rows[0].place}: series {series!r} has the frequency {clock.name}, most rows have {usual.name}; give "
                "series of one frequency, or name it with --frequency"
            )
    return usual


def _on_clock(found: _Found, clock: Frequency, names: dict[str, list[str]], *, is_told: bool) -> Panel:
    parts: dict[str, list[Any]] = {name: [] for name in (*_OF_SERIES, "first", "static")}
    for series, times, rows in found:
        place = f"{rows[0].place}: series {series!r}"
        if clock.name == "rows":
            steps = np.arange(len(rows))
        else:
            if times.dtype.kind != found[0][1].dtype.kind:
                raise DataError(f"{place} has times of another kind than series {found[0][0]!r}; give all alike")
            steps, behind = clock.clocks(times).T
            if len(off := np.flatnonzero(behind)):
                at = rows[int(off[0])]
                raise DataError(
                    f"{at.place}: series {series!r}: the time {at.time} lies between two steps of {clock.name}; move "
                    "it to one, or name the --frequency"
                )
            if is_told and len(steps) > 2 and len(steps) < (1 - _MOST_GAPS) * (steps[-1] - steps[0] + 1):
                at = rows[int(np.diff(steps).argmax()) + 1]
                raise DataError(
                    f"{at.place}: series {series!r}: the step to {at.time} is {np.diff(steps).max()} times as long as "
                    "others, and most steps have no row: mixed frequencies? Name the --frequency"
                )
        values = np.full(int(steps[-1] - steps[0]) + 1, np.nan)
        values[steps - steps[0]] = [row.value for row in rows]
        there = np.flatnonzero(~np.isnan(values))
        if not len(there):
            raise DataError(f"{place} has no number at all; leave it out")
        begin, end = int(there[0]), int(there[-1]) + 1
        covariates = {}
        for kind in ("past", "future"):
            columns = np.full((len(values), len(names[kind])), np.nan)
            columns[steps - steps[0]] = np.array([getattr(row, kind) for row in rows]).reshape(len(rows), -1)
            covariates[kind] = _filled(columns)
            if np.isnan(covariates[kind]).any():
                raise DataError(f"{place} has no number in a column of {kind} covariates; leave that out")
        static = np.array([row.static for row in rows]).reshape(len(rows), -1)
        if len(static) and (static != static[0]).any():
            off = int(np.flatnonzero((static != static[0]).any(1))[0])
            raise DataError(f"{rows[off].place}: series {series!r}: a static covariate is missing or changes")
        own = {"ids": series, "values": values[begin:end], "places": rows[0].place, "first": steps[0] + begin}
        own |= {"past": covariates["past"][begin:end], "future": covariates["future"][begin:], "static": static[0]}
        for name, value in own.items():
            parts[name].append(value)
    arrays = {"first": np.array(parts.pop("first"), np.int64), "static": np.array(parts.pop("static"), np.float64)}
    return Panel(frequency=clock, names=names, **arrays, **parts)  # type: ignore[arg-type]


def _filled(values: np.ndarray) -> np.ndarray:
    """[T, P]: missing ones as the one before; those at the beginning as the first that is there."""
    for column in range(values.shape[1]):
        there = np.flatnonzero(~np.isnan(values[:, column]))
        if len(there):
            last = np.searchsorted(there, np.arange(len(values)), side="right") - 1
            values[:, column] = values[there[np.maximum(last, 0)], column]
    return values


def frame_like(source: Any, columns: Mapping[str, Sequence[Any]]) -> Any:
    """A table as a frame of the kind that `source` is, or as a dict of lists where it is none."""
    if hasattr(source, "columns"):
        make: Callable[[Any], Any] = type(source)
        return make({name: list(values) for name, values in columns.items()})
    return {name: list(values) for name, values in columns.items()}


__all__ = ["Columns", "Panel", "frame_like", "number_of", "read_panel", "shown", "table_of"]
