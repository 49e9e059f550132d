"""Labelled recordings: what tables and arrays may look like, and what is said of those that are wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnnkit import data
from rnnkit.errors import ArgumentError, DataError

X = np.arange(24, dtype=np.float64).reshape(2, 4, 3)
Y = np.array([["a", "b", "b", "a"], ["b", "a", "", ""]])


def table(path: Path, content: str) -> Path:
    path.write_bytes(content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "separator", "end"), [("a.csv", ",", "\n"), ("a.tsv", "\t", "\r\n"), ("a.csv", ",", "\r")]
)
def test_a_table_is_one_recording(name: str, separator: str, end: str, tmp_path: Path) -> None:
    rows = (("x", "Label", "y"), ("1", "rest", "-2"), ("0.5", "step", "1e3"))
    file = table(tmp_path / name, end.join(separator.join(row) for row in rows) + end)
    framed = data.read_framed([file, file])
    assert len(framed) == 2
    assert framed.sentences[1].tolist() == [[1, -2], [0.5, 1000]]
    assert framed.sentences[1].dtype == np.float32
    assert framed.tags[0] == ["rest", "step"]
    assert framed.place(1, 1) == f"{file}, line 3"
    bare = data.read_framed(file, labelled=False)
    assert bare.tags == [["", ""]]
    assert bare.sentences[0].tolist() == framed.sentences[0].tolist()


def test_arrays_are_recordings_of_any_length(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X=X, y=Y, lengths=[4, 2])
    framed = data.read_framed(tmp_path / "a.npz")
    assert [frames.shape for frames in framed.sentences] == [(4, 3), (2, 3)]
    assert framed.tags == [["a", "b", "b", "a"], ["b", "a"]]
    assert framed.place(1, 1) == f"{tmp_path / 'a.npz'}, row 1, frame 1"
    np.savez(tmp_path / "b.npz", X=X)
    assert data.read_framed(tmp_path / "b.npz", labelled=False).sentences[1].tolist() == X[1].tolist()


def test_windows_lie_end_to_end_and_keep_their_places(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X=X, y=np.arange(8).reshape(2, 4))
    whole = data.read_framed(tmp_path / "a.npz")
    cut = whole.cut(3)
    assert [frames.shape for frames in cut.sentences] == [(3, 3), (1, 3), (3, 3), (1, 3)]
    assert cut.tags == [["0", "1", "2"], ["3"], ["4", "5", "6"], ["7"]]
    assert cut.place(3).endswith("row 1, frame 3")
    assert whole.cut(None) is whole
    assert cut.fingerprint != whole.fingerprint
    assert cut[np.array([3])].tags == [["7"]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x,label\n1,a\nnan,b\n", r"line 3, column 'x': 'nan' is no finite number; fill it in"),
        ("x,label\n1,a\n,b\n", r"line 3, column 'x': '' is no finite number"),
        ("x,label\n1,a\n2\n", r"line 3: 1 cells, the header has 2"),
        ("x,label\n1,a\n2,\n", r"line 3: the label is empty"),
        ("x,phase\n1,a\n", r"line 1: no column label or .* among x, phase; name it with --label-column NAME"),
        ("label\na\n", r"line 1: no column beside the label"),
        ("x,label\n", r"holds no frame"),
    ],
)
def test_faults_of_tables_are_named_by_row(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        data.read_framed(table(tmp_path / "a.csv", content))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": X, "y": Y[:, :3]}, r"X is float64 \[2, 4, 3\], y <U1 \[2, 3\]; wanted are .* texts \[N, T\]"),
        ({"X": X}, "holds X; wanted are X, y"),
        ({"X": np.where(X == 7, np.nan, X), "y": Y}, r"row 0: step 2 of dimension 1 is nan"),
        ({"X": X, "y": Y}, r"row 1, frame 2: the label is empty"),
        ({"X": X, "y": Y, "lengths": [4, 5]}, r"lengths must be 2 integers in 0\.\.4"),
    ],
)
def test_faults_of_arrays_are_named(arrays: dict[str, Any], message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=message):
        data.read_framed(tmp_path / "a.npz")


def test_what_is_no_file_of_frames_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"must end in \.csv, \.tsv or \.npz"):
        data.read_framed(table(tmp_path / "a.ts", "@data\n"))
    np.savez(tmp_path / "a.npz", X=X, y=Y, lengths=[4, 2])
    with pytest.raises(ArgumentError, match="its labels are the array y"):
        data.read_framed(tmp_path / "a.npz", label_column="z")
    other = table(tmp_path / "b.csv", "x,label\n1,a\n")
    with pytest.raises(DataError, match=r"b\.csv, line 2: frames of 1 numbers among frames of 3"):
        data.read_framed([tmp_path / "a.npz", other])
