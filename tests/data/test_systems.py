"""Records of systems: tables and arrays read alike; what cannot be used is named by row and column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnnkit.data import SystemColumns, read_systems
from rnnkit.errors import DataError


def written(path: Path, text: str) -> Path:
    (path / "my.csv").write_text(text, encoding="utf-8")
    return path / "my.csv"


def test_rows_of_several_records_in_a_table(tmp_path: Path) -> None:
    file = written(tmp_path, "episode,force,place,speed\na,1,2,3\nb,4,5,6\na,7,,9\n")
    found = read_systems(file, columns=SystemColumns(["force"], ["place", "speed"], "episode"))
    assert [name.rsplit(" ", 1)[1] for name in found.names] == ["a", "b"]
    assert [len(u) for u in found.u] == [2, 1]
    assert np.array_equal(found.y[0], [[2, 3], [np.nan, 9]], equal_nan=True)
    assert found.sample_rate is None


def test_arrays_of_npz_and_mat_are_read_as_tables_are(tmp_path: Path) -> None:
    scipy = pytest.importorskip("scipy.io")
    u, y = np.arange(12.0).reshape(2, 6), np.arange(12.0).reshape(2, 6) / 3
    np.savez(tmp_path / "two.npz", u=u, y=y, lengths=[6, 4])
    scipy.savemat(tmp_path / "one.mat", {"u": u[0], "y": y[0]})
    two, one = read_systems(tmp_path / "two.npz"), read_systems(tmp_path / "one.mat", sample_rate=100)
    assert [len(of) for of in two.u] == [6, 4]
    assert np.array_equal(two.u[1][:, 0], u[1, :4]) and np.array_equal(two.y[1][:, 0], y[1, :4])
    assert np.array_equal(one.u[0], two.u[0]) and np.array_equal(one.y[0], two.y[0])
    assert one.sample_rate == 100
    both = read_systems([tmp_path / "two.npz", tmp_path / "one.mat"])
    assert len(both) == 3 and both.sample_rate is None


def test_parquet_and_frames_are_read_as_csv(tmp_path: Path) -> None:
    pyarrow, pandas = pytest.importorskip("pyarrow"), pytest.importorskip("pandas")
    from pyarrow import parquet

    table = {"u": [1.0, 2.0, 3.0], "y": [4.0, None, 6.0]}
    parquet.write_table(pyarrow.table(table), tmp_path / "my.parquet")
    text = read_systems(written(tmp_path, "u,y\n1,4\n2,nan\n3,6\n"))
    for other in (tmp_path / "my.parquet", pandas.DataFrame(table)):
        found = read_systems(other)
        assert np.array_equal(found.u[0], text.u[0]) and np.array_equal(found.y[0], text.y[0], equal_nan=True)


def test_even_times_tell_the_sample_rate(tmp_path: Path) -> None:
    columns = SystemColumns(time="t")
    file = written(tmp_path, "t,u,y\n" + "".join(f"{k / 610.35:.8f},{k},0\n" for k in range(50)))
    assert read_systems(file, columns=columns).sample_rate == pytest.approx(610.35, rel=1e-4)
    for times in ("0\n1\n2.5\n3.5\n4.5", "0\n1\n2\n2\n3", "0\n1\n\n2\n3"):
        file = written(tmp_path, "t,u,y\n" + "".join(f"{time},1,0\n" for time in times.split("\n")))
        with pytest.raises(DataError, match=r"my.csv, line [45], column 't'"):
            read_systems(file, columns=columns)
    with pytest.raises(DataError, match="different sample rates, 1 Hz, 2 Hz"):
        read_systems(written(tmp_path, "t,u,y\n0,1,0\n1,1,0\n"), columns=columns, sample_rate=2)


@pytest.mark.parametrize(
    ("text", "columns", "match"),
    [
        ("u,y\n1,2\nhigh,2\n", {}, r"my.csv, line 3, column 'u': 'high' is no number"),
        ("u,y\n1,2\n1,low\n", {}, r"my.csv, line 3, column 'y': 'low' is no number"),
        ("u,y\n1,2\n,2\n", {}, r"my.csv, line 3, column 'u': an input is missing"),
        ("u,y\n1,2\ninf,2\n", {}, r"my.csv, line 3, column 'u': inf is not finite"),
        ("u,z\n1,2\n", {}, r"its header: no column 'y' among u, z"),
        ("u,y\n", {}, "there is no record"),
        ("u,y\n1,2\n", {"outputs": ["u"]}, "the column 'u' is an input and an output"),
        ("u,y\n1,2,3\n", {}, "my.csv, line 2: 3 cells, the header has 2"),
    ],
)
def test_what_cannot_be_used_is_named_in_one_line(
    tmp_path: Path, text: str, columns: dict[str, Any], match: str
) -> None:
    with pytest.raises(DataError, match=match) as caught:
        read_systems(written(tmp_path, text), columns=SystemColumns(**columns))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({"u": [1.0, 2.0]}, "no array 'y' among u"),
        ({"u": [1.0, 2.0], "y": [1.0]}, r"'y' is float64 \[1\]; wanted are numbers, \[2\] as of 'u'"),
        ({"u": ["a"], "y": [1.0]}, "'u' is <U1"),
        ({"u": [1.0, np.nan], "y": [1.0, 2.0]}, "step 1 of 'u' is nan"),
        ({"u": [1.0, 2.0], "y": [1.0, np.inf]}, "step 1 of 'y' is inf"),
        ({"u": [[1.0, 2.0]], "y": [[1.0, 2.0]], "lengths": [3]}, r"lengths must be 1 integers in 1..2"),
    ],
)
def test_arrays_that_cannot_be_used_are_named(tmp_path: Path, arrays: dict[str, Any], match: str) -> None:
    np.savez(tmp_path / "my.npz", **arrays)
    with pytest.raises(DataError, match=match):
        read_systems(tmp_path / "my.npz")


def test_outputs_need_not_be_there_to_simulate(tmp_path: Path) -> None:
    found = read_systems(written(tmp_path, "u\n1\n2\n"), with_outputs=False)
    assert np.isnan(found.y[0]).all() and found.y[0].shape == (2, 1)


def test_roll_outs_and_cuts_are_whole_pieces(tmp_path: Path) -> None:
    file = written(tmp_path, "e,u,y\n" + "".join(f"{k > 6},{k},{k}\n" for k in range(10)))
    found = read_systems(file, columns=SystemColumns(record="e"))
    pieces = found.rollouts(3)
    assert [of[:, 0].tolist() for of in pieces.u] == [[0, 1, 2], [3, 4, 5], [7, 8, 9]]
    assert [len(u) for u in found.cut(0.5, 1.0).u] == [4, 2]
