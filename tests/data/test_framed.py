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


# ---- several labels, numbers, the next frame -------------------------------------------------------------------------

ROLL = np.array([[[0, 1, 0], [1, 1, 0], [0, 0, 0]], [[1, 0, 0], [0, 0, 1], [0, 0, 0]]])
TABLE = "t,x,u,v\n1,10,0,1\n2,20,1,1\n3,30,0,0\n"


@pytest.mark.parametrize(
    ("y", "kind"),
    [
        (ROLL, "labels"),
        (ROLL.astype(bool), "labels"),
        (ROLL.astype(float), "labels"),
        (ROLL * 2, "numbers"),
        (ROLL + 0.5, "numbers"),
        (ROLL[:, :, 0] + 0.5, "numbers"),
        (ROLL[:, :, 0], "label"),
    ],
)
def test_arrays_say_what_a_frame_has(y: np.ndarray, kind: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X=np.ones((2, 3, 4)), y=y, lengths=[3, 2])
    framed = data.read_framed(tmp_path / "a.npz")
    assert framed.kind == kind
    if kind != "label":
        wanted = y.reshape(2, 3, -1)
        assert framed.names == tuple(map(str, range(wanted.shape[2])))
        assert [one.tolist() for one in framed.tags] == [wanted[0].tolist(), wanted[1, :2].tolist()]
        assert framed.tags[0].dtype == np.float32


def test_a_choice_of_targets_stands_above_what_the_values_look_like(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X=np.ones((2, 3, 4)), y=ROLL)
    assert data.read_framed(tmp_path / "a.npz", targets="numbers").kind == "numbers"
    np.savez(tmp_path / "b.npz", X=np.ones((2, 3, 4)), y=ROLL * 2)
    with pytest.raises(DataError, match=r"row 0, frame 0: '1' is 2; a label is there or not, 1 or 0"):
        data.read_framed(tmp_path / "b.npz", targets="labels")
    with pytest.raises(DataError, match=r"frame 0: several labels or numbers, the choice of targets wants one label"):
        data.read_framed(tmp_path / "b.npz", targets="label")
    np.savez(tmp_path / "c.npz", X=X, y=Y, lengths=[4, 2])
    with pytest.raises(DataError, match=r"frame 0: a label, where others or the choice of targets want numbers"):
        data.read_framed(tmp_path / "c.npz", targets="numbers")
    with pytest.raises(DataError, match=r"c\.npz, row 0, frame 0: a label, where others .* want numbers"):
        data.read_framed([tmp_path / "a.npz", tmp_path / "c.npz"])


def test_columns_of_tables_are_chosen_by_name(tmp_path: Path) -> None:
    file = table(tmp_path / "a.csv", TABLE)
    framed = data.read_framed(file, target_columns=["v", "u"])
    assert (framed.kind, framed.names, framed.columns) == ("labels", ("v", "u"), ("t", "x"))
    assert framed.tags[0].tolist() == [[1, 0], [1, 1], [0, 0]]
    framed = data.read_framed(file, target_columns=["x"], feature_columns=["v", "t"])
    assert (framed.kind, framed.sentences[0].tolist()) == ("numbers", [[1, 1], [1, 2], [0, 3]])
    bare = data.read_framed(file, target_columns=["x"], feature_columns=["v", "t"], labelled=False)
    assert bare.sentences[0].tolist() == framed.sentences[0].tolist()
    without = table(tmp_path / "b.csv", "t,v\n1,1\n")
    assert data.read_framed(without, target_columns=["x"], labelled=False).sentences[0].tolist() == [[1, 1]]
    assert data.read_framed(file, label_column="u", feature_columns=["x"]).sentences[0].tolist() == [[10], [20], [30]]


def test_the_next_frame_is_said_from_the_one_before(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X=ROLL.astype(bool), lengths=[3, 1])
    framed = data.read_framed(tmp_path / "a.npz", next_frame=True)
    assert framed.kind == "labels"
    assert framed.sentences[0].tolist() == [[0, 0, 0], *ROLL[0, :2].tolist()]
    assert framed.tags[0].tolist() == ROLL[0].tolist()
    assert framed.tags[1].tolist() == ROLL[1, :1].tolist()
    ahead = data.read_framed(tmp_path / "a.npz", next_frame=True, targets="labels", labelled=False)
    assert ahead.sentences[0].tolist() == [[0, 0, 0], *ROLL[0].tolist()]
    assert ahead.place(0, 3).endswith("row 0, frame 3")

    file = table(tmp_path / "a.csv", TABLE)
    framed = data.read_framed(file, next_frame=True, feature_columns=["x", "t"])
    assert (framed.kind, framed.names) == ("numbers", ("x", "t"))
    assert framed.sentences[0].tolist() == [[10, 1], [20, 2]]
    assert framed.tags[0].tolist() == [[20, 2], [30, 3]]
    assert framed.place(0).endswith("line 3")
    ahead = data.read_framed(file, next_frame=True, feature_columns=["x", "t"], targets="numbers", labelled=False)
    assert ahead.sentences[0].tolist() == [[10, 1], [20, 2], [30, 3]]
    assert [ahead.place(0, frame) for frame in (0, 2)] == [f"{file}, line 3", f"{file}, line 5"]
    cut = data.read_framed(file, next_frame=True, feature_columns=["x"], window_frames=2)
    assert [one.tolist() for one in cut.sentences] == [[[10]]]  # of a window of one frame nothing can be said


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"label_column": "u", "target_columns": ["v"]}, "both say what a frame has"),
        ({"targets": "label", "target_columns": ["v"]}, "target_columns are labels or numbers"),
        ({"targets": "numbers", "label_column": "v"}, "label_column names one label"),
        ({"targets": "label", "next_frame": True}, "a next frame is no label"),
        ({"next_frame": True, "target_columns": ["v"]}, "next_frame has the frames themselves for targets"),
        ({"target_columns": ["v", "v"]}, r"target_columns are \['v', 'v'\]; give each column once"),
        ({"target_columns": ["v"], "feature_columns": ["t", "v"]}, "'v' is both feature and target"),
        ({"next_frame": True, "labelled": False}, "say whether the next frame is labels or numbers"),
    ],
)
def test_choices_that_exclude_each_other_are_refused(how: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=message):
        data.read_framed(table(tmp_path / "a.csv", TABLE), **how)


def test_tables_with_columns_in_another_order_are_refused_and_naming_them_reads_them(tmp_path: Path) -> None:
    """Else the one's speed would be read as the other's height."""
    first = table(tmp_path / "a.csv", "t,x,label\n1,10,up\n2,20,up\n")
    turned = table(tmp_path / "b.csv", "x,label,t\n30,up,3\n")
    other = table(tmp_path / "c.csv", "t,y,label\n1,10,up\n")
    for file, columns in ((turned, "x, t"), (other, "t, y")):
        with pytest.raises(DataError, match=rf"line 2: the columns {columns}, where others are t, x; give the same"):
            data.read_framed([first, file])
    named = data.read_framed([first, turned], feature_columns=["x", "t"])
    assert [one.tolist() for one in named.sentences] == [[[10, 1], [20, 2]], [[30, 3]]]
    np.savez(tmp_path / "d.npz", X=np.ones((1, 2, 2)), y=np.array([["up", "down"]]))
    assert len(data.read_framed([first, tmp_path / "d.npz"])) == 2  # arrays have no names


def test_no_source_is_refused() -> None:
    with pytest.raises(DataError, match="no source was named"):
        data.read_framed([])


def test_missing_columns_and_wrong_sizes_are_named(tmp_path: Path) -> None:
    file = table(tmp_path / "a.csv", TABLE)
    for flag, how in (
        ("target", {"target_columns": ["w"]}),
        ("feature", {"feature_columns": ["w"], "label_column": "u"}),
    ):
        with pytest.raises(
            DataError, match=f"line 1: no column w among t, x, u, v; name it with --{flag}-columns NAME"
        ):
            data.read_framed(file, **how)  # type: ignore[arg-type]
    bad = table(tmp_path / "b.csv", "t,v\n1,1\n2,oops\n")
    with pytest.raises(DataError, match=r"b\.csv, line 3, column 'v': 'oops' is no finite number"):
        data.read_framed(bad, target_columns=["v"])
    np.savez(tmp_path / "a.npz", X=np.ones((2, 3, 4)), y=ROLL + 0.5)
    np.savez(tmp_path / "b.npz", X=np.ones((2, 3, 4)), y=ROLL[:, :, :2] + 0.5)
    with pytest.raises(DataError, match=r"b\.npz, row 0, frame 0: 2 numbers for each frame among those of 3"):
        data.read_framed([tmp_path / "a.npz", tmp_path / "b.npz"])
    with pytest.raises(ArgumentError, match="no column 'x': its frames are the array X"):
        data.read_framed(tmp_path / "a.npz", feature_columns=["x"])
    y = (ROLL + 0.5).astype(float)
    y[1, 2, 0] = np.inf
    np.savez(tmp_path / "c.npz", X=np.ones((2, 3, 4)), y=y)
    with pytest.raises(DataError, match=r"row 1 of y: step 2 of dimension 0 is inf"):
        data.read_framed(tmp_path / "c.npz")


def test_batches_keep_numbers_to_the_last_bit() -> None:
    rng = np.random.default_rng(0)
    targets = [rng.normal(size=(length, 2)).astype(np.float32) for length in (3, 1)]
    batch = next(data.Batches([np.ones((len(one), 1), np.float32) for one in targets], targets, batch_size=2, seed=0))
    for column, length in enumerate(batch.lengths):
        wanted = next(one for one in targets if len(one) == length)
        assert np.array_equal(batch.targets[:length, column], wanted)
        assert np.isnan(batch.targets[length:, column]).all()
        assert batch.weights[:, column].tolist() == [1.0] * length + [0.0] * (len(batch.weights) - length)
