"""Tables of time series: long and wide, files and frames, clocks told by their times, and every fault by its place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnnkit.data.forecast_tables import Columns, frame_like, read_panel, shown
from rnnkit.data.frequency import Frequency
from rnnkit.errors import ArgumentError, DataError

DATA = Path(os.environ.get("RNNKIT_DATA", Path(__file__).parents[3] / "shared" / "data")) / "timeseries"


def written(path: Path, *lines: str) -> Path:
    file = path / "table.csv"
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return file


LONG = ("unique_id,ds,y", "b,2024-01-03,5", "a,2024-01-01,1", "a,2024-01-03,3", "b,2024-01-01,4", "a,2024-01-04,")


def test_a_long_table_in_any_order_with_gaps_and_an_open_end(tmp_path: Path) -> None:
    panel = read_panel(written(tmp_path, *LONG, "b,2024-01-02,nan", "b,2024-01-04,6"))
    assert panel.ids == ["b", "a"]
    assert np.array_equal(panel.values[0], [4, np.nan, 5, 6], equal_nan=True)
    assert np.array_equal(panel.values[1], [1, np.nan, 3], equal_nan=True)  # it ends at its last number
    assert panel.frequency.name == "D"
    assert shown(panel.times(1, np.array([0, 3]))) == ["2024-01-01", "2024-01-04"]


@pytest.mark.parametrize(
    ("times", "name", "season", "after"),
    [
        (["2024-01-01 22:00", "2024-01-01 23:00", "2024-01-02 00:00"], "h", 24, "2024-01-02 01:00:00"),
        (["2024-01-01 22:15", "2024-01-01 22:30", "2024-01-01 22:45"], "15min", 96, "2024-01-01 23:00:00"),
        (["2024-02-27", "2024-02-28", "2024-02-29"], "D", 7, "2024-03-01"),
        (["2024-02-15", "2024-02-22", "2024-02-29"], "W", 52, "2024-03-07"),
        (["2024-01-31", "2024-02-29", "2024-03-31"], "M", 12, "2024-04-30"),
        (["2024-01-15", "2024-02-15", "2024-04-15"], "M", 12, "2024-05-15"),
        (["2023-03-31", "2023-06-30", "2023-09-30"], "Q", 4, "2023-12-31"),
        (["2021", "2022", "2023"], "Y", 1, "2024-01-01"),
        (["1949-01", "1949-02", "1949-03"], "M", 12, "1949-04-01"),
        (["10000", "10002", "10004"], "2int", 1, "10006"),
        (["999", "1000", "1001"], "int", 1, "1002"),  # not all of them may be years
        (["2018/10/15", "2018/10/16", "2018/10/17"], "D", 7, "2018-10-18"),
    ],
)
def test_the_clock_is_told_by_the_times(tmp_path: Path, times: list[str], name: str, season: int, after: str) -> None:
    panel = read_panel(written(tmp_path, "ds,y", *(f"{time},{n}" for n, time in enumerate(times))))
    assert (panel.frequency.name, panel.frequency.season) == (name, season)
    assert shown(panel.times(0, np.array([len(panel.values[0])])))[0] == after
    if not name.endswith("int"):
        assert Frequency.named(name).size == panel.frequency.size


def test_rows_are_steps_whatever_lies_between_them(tmp_path: Path) -> None:
    file = written(tmp_path, "Date,A,B", "2024-01-05,1,7", "2024-01-02,0,5", "2024-01-08,2,6")
    panel = read_panel(file, frequency="rows")
    assert panel.ids == ["A", "B"]
    assert panel.values[1].tolist() == [5, 7, 6]
    only = read_panel(file, frequency="rows", columns=Columns(series_columns=["B"]))
    assert only.ids == ["B"]


def test_covariates_are_read_ahead_and_filled(tmp_path: Path) -> None:
    lines = ("unique_id,ds,y,sold,holiday,size", "a,1,10,1,0,3", "a,2,11,,1,3", "a,3,,,0,3", "a,4,,,1,3")
    columns = Columns(past=["sold"], future=["holiday"], static=["size"])
    panel = read_panel(written(tmp_path, *lines), columns=columns)
    assert panel.past[0].tolist() == [[1], [1]]
    assert panel.future[0].tolist() == [[0], [1], [0], [1]]
    assert panel.static.tolist() == [[3]]
    wide = read_panel(written(tmp_path, "ds,u,v,h", "1,1,2,0", "2,3,4,1"), columns=Columns(future=["h"]))
    assert wide.ids == ["u", "v"]
    assert wide.future[1].tolist() == [[0], [1]]


FAULTS: dict[str, tuple[tuple[str, ...], str]] = {
    "twice": (("unique_id,ds,y", "a,1,2", "a,2,3", "a,2,4"), r"line 4: series 'a': the time 2 stands twice"),
    "text": (("unique_id,ds,y", "a,1,2", "a,2,many"), r"line 3: series 'a', column 'y': 'many' is no number"),
    "infinite": (("unique_id,ds,y", "a,1,2", "a,2,inf"), r"line 3: series 'a', column 'y': inf is not finite"),
    "no time": (("unique_id,ds,y", "a,1,2", "a,soon,3"), r"line 3: series 'a': 'soon' is no time"),
    "mixed kinds": (("ds,y", "2024-01-01,2", "10,3"), r"line 3: series 'y': '10' among times of another kind"),
    "other clock": (
        ("unique_id,ds,y", *(f"a,2024-01-0{d},1" for d in range(1, 5)), "b,2024-01-01 00:00,1", "b,2024-01-01 01:00,2",
         *(f"c,2024-01-0{d},1" for d in range(1, 5))),
        r"line 6: series 'b' has the frequency h, most rows have D"),
    "mixed in one": (
        ("ds,y", "2024-01-01 00:00,1", "2024-01-01 01:00,2", *(f"2024-01-{d:02} 00:00,3" for d in range(2, 9))),
        r"series 'y': the step to .* is 24 times as long as others"),
    "empty": (("unique_id,ds,y", "a,1,2", "a,2,3", "b,1,", "b,2,nan"), r"line 4: series 'b' has no number at all"),
    "alone": (("ds,y", "2024-01-01,1"), r"line 2: series 'y' is a single row, which tells no frequency"),
    "no rows": (("ds,y",), "no row below its header"),
    "no time column": (("when,y", "1,2"), "no column ds or date or"),
    "static": (("unique_id,ds,y,s", "a,1,2,3", "a,2,3,4"), r"line 3: series 'a': a static covariate is missing or"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_refused_in_one_line_by_series_and_row(tmp_path: Path, fault: str) -> None:
    lines, message = FAULTS[fault]
    columns = Columns(static=["s"]) if fault == "static" else None
    with pytest.raises(DataError, match=message) as caught:
        read_panel(written(tmp_path, *lines), columns=columns)
    assert "\n" not in str(caught.value)


def test_a_time_between_steps_of_a_named_clock_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path, "ds,y", "2024-01-01 00:00,1", "2024-01-01 01:00,2", "2024-01-01 01:30,2")
    with pytest.raises(DataError, match="line 4: series 'y': the time 2024-01-01 01:30 lies between two steps of h"):
        read_panel(file, frequency="h")
    assert read_panel(file).frequency.name == "30min"
    with pytest.raises(ArgumentError, match="frequency '7x' is not known"):
        read_panel(file, frequency="7x")


def test_a_frame_gives_the_series_of_its_file(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is absent")
    file = written(tmp_path, *LONG)
    frame = pandas.read_csv(file, parse_dates=["ds"])
    one, other = read_panel(file), read_panel(frame)
    assert one.fingerprint == other.fingerprint
    frame.loc[1, "ds"] = frame.loc[2, "ds"]
    with pytest.raises(DataError, match=r"row 2: series 'a': the time .* stands twice"):
        read_panel(frame)


def test_a_polars_frame_gives_the_series_of_its_file_and_gets_one_back(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars", reason="polars is absent")
    file = written(tmp_path, *LONG)
    frame = polars.read_csv(file, try_parse_dates=True)
    assert read_panel(frame).fingerprint == read_panel(file).fingerprint
    said = frame_like(frame, {"unique_id": ["a"], "forecast": [1.5]})
    assert isinstance(said, polars.DataFrame)
    assert said["forecast"].to_list() == [1.5]
    twice = polars.concat([frame, frame[:1]])
    with pytest.raises(DataError, match="stands twice"):
        read_panel(twice)
    as_text = frame.with_columns(polars.col("y").cast(polars.String).fill_null("oops"))
    with pytest.raises(DataError, match="oops"):
        read_panel(as_text)


def test_a_parquet_file_gives_the_series_of_the_csv(tmp_path: Path) -> None:
    arrow: Any = pytest.importorskip("pyarrow", reason="pyarrow is absent: pip install '.[parquet]'")
    from pyarrow import parquet

    rows = [line.split(",") for line in LONG[1:]]
    columns = {"unique_id": [r[0] for r in rows], "ds": [r[1] for r in rows]}
    columns["y"] = [float(r[2]) if r[2] else None for r in rows]
    parquet.write_table(arrow.table(columns), tmp_path / "table.parquet")
    assert read_panel(tmp_path / "table.parquet").fingerprint == read_panel(written(tmp_path, *LONG)).fingerprint


@pytest.mark.parametrize("name", ["ett/ETTh1.csv", "monthly-sunspots.csv", "airline-passengers.csv"])
def test_real_tables_are_read_as_they_are(name: str) -> None:
    if not (DATA / name).exists():
        pytest.skip(f"{DATA / name} is absent; point RNNKIT_DATA at the data folder")
    panel = read_panel(DATA / name)
    assert not any(np.isnan(values).any() for values in panel.values)
    assert panel.frequency.name == ("h" if "ETT" in name else "M")
