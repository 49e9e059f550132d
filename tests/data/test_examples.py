"""Labelled sequences: what tables and folders may look like, and what is said of those that are wrong."""

from __future__ import annotations

import csv
import gzip
import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from rnnkit import data
from rnnkit.errors import ArgumentError, DataError, MissingExtraError

ROWS = [("good", 'a "fine", warm film'), ("bad", "dull\nin two lines"), ("good", "one"), ("bad", "☂ wet")]


def write(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


def table(path: Path, header: tuple[str, str] = ("label", "text")) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writerows([header, *ROWS])
    return path


@pytest.mark.parametrize(("texts", "kind"), [(["ann", "bo", "ann lee"], "char"), (["ann", "a b", "c d"], "word")])
def test_texts_of_single_words_are_read_by_character(texts: list[str], kind: str) -> None:
    examples = data.Examples([*texts], ["x"] * 3, ["here"] * 3)
    assert data.tokenizer_of(examples, None).kind == kind
    assert data.tokenizer_of(examples, "byte").kind == "byte"


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_a_table_is_read_as_it_was_written(name: str, tmp_path: Path) -> None:
    found = data.read_examples(table(tmp_path / name))
    assert list(zip(found.labels, found.inputs, strict=True)) == ROWS
    assert [place.rpartition(" ")[2] for place in found.places] == ["2", "3", "5", "6"]


def test_jsonl_and_gzip_and_a_folder_give_the_same(tmp_path: Path) -> None:
    lines = '{"label": 1, "text": "a", "more": []}\n\n{"text": "b c", "label": 0}\n'
    plain = data.read_examples(write(tmp_path / "a.jsonl", lines))
    assert (plain.labels, plain.inputs) == (["1", "0"], ["a", "b c"])
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    assert data.read_examples(tmp_path / "a.jsonl.gz").fingerprint == plain.fingerprint
    folder = tmp_path / "folder"
    folder.mkdir()
    write(folder / "1.txt", "a\n")
    write(folder / "0.txt", "\nb c")
    found = data.read_examples(folder)
    assert (found.labels, found.inputs) == (["0", "1"], ["b c", "a"])
    assert found.places[0].endswith("0.txt, line 2")


def test_columns_are_found_by_usual_names_or_given(tmp_path: Path) -> None:
    assert len(data.read_examples(table(tmp_path / "a.csv", ("Class", "Sentence")))) == 4
    path = table(tmp_path / "b.csv", ("stars", "body"))
    with pytest.raises(DataError, match=r"b\.csv, line 1: no column label or .*stars, body; name it with --label-col"):
        data.read_examples(path)
    with pytest.raises(DataError, match=r"no column text or .*stars, body; call it text"):
        data.read_examples(path, labelled=False)
    assert data.read_examples(path, label_column="stars", text_column="body").labels[0] == "good"
    with pytest.raises(DataError, match=r"more than one column label or class .*--label-column"):
        data.read_examples(write(tmp_path / "c.csv", "label,class,text\na,b,c\n"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "label,text\nx,one\ny,two,three\n", r"a\.csv, line 3: 3 cells, the header has 2; put double quotes"),
        ("a.csv", "label,text\n,one\n", r"line 2: the label is empty"),
        ("a.csv", "label,text\nx,one\nx, \n", r"line 3: the text is empty"),
        ("a.csv", 'label,text\nx,"one\n', r"a\.csv, line 2: unexpected end of data; .*written twice"),
        ("a.csv", "label,text\n", r"a\.csv: holds no examples"),
        (
            "a.jsonl",
            '{"label": "x", "text": "t"}\n[1]\n',
            r"a\.jsonl, line 2: holds a list; every line holds one object",
        ),
        ("a.jsonl", '{"label": "x"}\n', r"a\.jsonl, line 1: no column text or"),
        ("a.jsonl", '{"label": "x", "text": 7}\n', r"line 1, key 'text': a int where text is wanted"),
        ("a.jsonl", '{"label": 0.5, "text": "t"}\n', r"line 1, key 'label': a float is no label"),
        ("a.jsonl", "{\n", r"a\.jsonl, line 1: is no JSON"),
        ("a.txt", "x\n", r"a\.txt: cannot tell its format by the name; it must end in \.csv, \.tsv, .*\.npz, or"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_its_place(
    name: str, content: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        data.read_examples(write(tmp_path / name, content))
    assert "\n" not in str(caught.value)


def test_a_cell_longer_than_the_csv_modules_limit_is_read_and_the_limit_stays(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    found = data.read_examples(write(tmp_path / "a.csv", f"label,text\nx,{'ab ' * 60_000}\n"))
    assert len(found.inputs[0]) == 180_000
    assert csv.field_size_limit() == before


def test_a_folder_has_no_columns(tmp_path: Path) -> None:
    write(tmp_path / "x.txt", "a\n")
    with pytest.raises(ArgumentError, match="has no column 'stars'"):
        data.read_examples(tmp_path, label_column="stars")


# ---- Parquet ---------------------------------------------------------------------------------------------------------


def parquet(path: Path, **columns: list[object]) -> Path:
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    importlib.import_module("pyarrow.parquet").write_table(pyarrow.table(columns), path, row_group_size=3)
    return path


def test_parquet_gives_what_the_table_gives_whatever_else_is_in_it(tmp_path: Path) -> None:
    labels, texts = (list(part) for part in zip(*ROWS, strict=True))
    found = data.read_examples(parquet(tmp_path / "a.parquet", more=[None] * 4, text=texts, label=labels))
    assert found.fingerprint == data.read_examples(table(tmp_path / "a.csv")).fingerprint
    assert [place.rpartition(", ")[2] for place in found.places] == ["row 0", "row 1", "row 2", "row 3"]
    assert data.is_table("a.parquet")
    numbers = data.read_examples(parquet(tmp_path / "b.parquet", stars=[5, 1], text=["x", "y"]), label_column="stars")
    assert numbers.labels == ["5", "1"]
    assert data.read_examples(tmp_path / "b.parquet", labelled=False).labels == ["", ""]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label": ["x"], "body": ["t"]}, r"a\.parquet: no column text or .*; name it with --text-column"),
        ({"label": ["x"] * 4 + [None], "text": ["t"] * 5}, r"a\.parquet, row 4, column 'label': is null; fill it in"),
        ({"label": ["x", "x"], "text": ["t", None]}, r"row 1, column 'text': is null"),
        ({"label": ["x", "x"], "text": ["t", " "]}, r"row 1: the text is empty"),
        ({"label": ["x"], "text": [b"t"]}, r"row 0, key 'text': a bytes where text is wanted"),
        ({"label": [0.5], "text": ["t"]}, r"row 0, key 'label': a float is no label"),
    ],
)
def test_what_is_wrong_in_parquet_is_said_with_its_row(
    columns: dict[str, list[object]], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        data.read_examples(parquet(tmp_path / "a.parquet", **columns))
    assert "\n" not in str(caught.value)


def test_what_is_no_parquet_is_refused_in_one_line(tmp_path: Path) -> None:
    good = parquet(tmp_path / "good.parquet", label=["x"] * 50, text=["t"] * 50).read_bytes()
    for content in (b"PAR1", b"label,text\n", good[:40], good[:-9], b"\0" * 8 + good[8:]):
        (tmp_path / "a.parquet").write_bytes(content)
        with pytest.raises(DataError, match=r"a\.parquet") as caught:
            data.read_examples(tmp_path / "a.parquet")
        assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match=r"no such file"):
        data.read_examples(tmp_path / "b.parquet")
    (tmp_path / "a.parquet.gz").write_bytes(gzip.compress(good))
    with pytest.raises(DataError, match="compressed inside"):
        data.read_examples(tmp_path / "a.parquet.gz")


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = parquet(tmp_path / "a.parquet", label=["x"], text=["t"])
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtraError, match=r"needs `pyarrow`; .*\[parquet\]"):
        data.read_examples(path)


# ---- several labels --------------------------------------------------------------------------------------------------

SEVERAL = [("love", "comedy"), (), ("crime",), ("comedy", "love")]


def test_lists_are_several_labels_and_a_cell_is_cut_when_asked_to(tmp_path: Path) -> None:
    lines = "".join(json.dumps({"label": labels, "text": f"t{n}"}) + "\n" for n, labels in enumerate(SEVERAL))
    found = data.read_examples(write(tmp_path / "a.jsonl", lines))
    assert (found.labels, found.has_several) == (SEVERAL, True)
    rows = "".join(f"{'|'.join(labels)},t{n}\n" for n, labels in enumerate(SEVERAL))
    cut = data.read_examples(write(tmp_path / "a.csv", "label,text\n" + rows), multi_label=True, label_separator="|")
    assert cut.fingerprint == found.fingerprint
    own = data.read_examples(
        parquet(tmp_path / "a.parquet", label=[[*labels] for labels in SEVERAL], text=[f"t{n}" for n in range(4)])
    )
    assert own.fingerprint == found.fingerprint
    twice = data.read_examples(write(tmp_path / "b.csv", 'label,text\n"a, b,a",t\n'), multi_label=True)
    assert twice.labels == [("a", "b")]
    assert twice.fingerprint != data.read_examples(write(tmp_path / "c.csv", 'label,text\n"a, b",t\n')).fingerprint
    assert data.known_labels(found) == ["comedy", "crime", "love"]
    assert data.label_ids(found, ["comedy", "crime", "love"]).tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 0, 1]]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            '{"label": ["a"], "text": "t"}\n{"label": "a", "text": "t"}',
            r"line 2: one label among sequences with several",
        ),
        ('{"label": "a", "text": "t"}\n{"label": ["a"], "text": "t"}', r"line 2: several labels among .* with one"),
        ('{"label": ["a", " "], "text": "t"}', r"line 1: a label of several is empty"),
        ('{"label": ["a", 0.5], "text": "t"}', r"line 1, key 'label': a float is no label; .* or a list of them"),
    ],
)
def test_what_is_wrong_with_several_labels_is_said_with_its_place(lines: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        data.read_examples(write(tmp_path / "a.jsonl", lines))


def test_a_split_of_several_labels_keeps_each_about_as_frequent() -> None:
    rng = np.random.default_rng(0)
    shares = {"common": 0.5, "usual": 0.2, "rare": 0.04}
    labels = [tuple(label for label, share in shares.items() if rng.random() < share) for _ in range(1000)]
    whole = data.Examples([f"t{n}" for n in range(1000)], labels, [f"line {n}" for n in range(1000)])
    train, held = data.split_examples(whole, 0.2, seed=1)
    assert sorted(train.inputs + held.inputs) == sorted(whole.inputs)
    for label in shares:
        total = sum(label in own for own in labels)
        assert sum(label in own for own in held.labels) == pytest.approx(0.2 * total, abs=0.02 * 1000 * 0.5)
    assert sum("rare" in own for own in held.labels) == round(0.2 * sum("rare" in own for own in labels))
    assert data.split_examples(whole, 0.2, seed=1)[1] == held != data.split_examples(whole, 0.2, seed=2)[1]
    with pytest.raises(DataError, match="no sequence has a label"):
        data.known_labels(data.Examples(["t"], [()], ["line 1"]))


def examples(labels: list[str]) -> data.Examples:
    return data.Examples(
        [f"text {n}" for n in range(len(labels))], labels, [f"f, line {n}" for n in range(len(labels))]
    )


def test_a_split_takes_the_share_of_every_label_at_random_by_its_seed() -> None:
    whole = examples(["a"] * 50 + ["b"] * 10 + ["c", "c", "d"])
    train, held = data.split_examples(whole, 0.2, seed=3)
    assert sorted(train.inputs + held.inputs) == sorted(whole.inputs)
    assert {label: held.labels.count(label) for label in "abcd"} == {"a": 10, "b": 2, "c": 1, "d": 0}
    assert data.split_examples(whole, 0.2, seed=3)[1] == held
    assert data.split_examples(whole, 0.2, seed=4)[1] != held
    with pytest.raises(DataError, match="every label has a single example"):
        data.split_examples(examples(["a", "b"]), 0.2, seed=0)


def test_labels_are_those_of_training_and_an_unseen_one_is_named() -> None:
    assert data.known_labels(examples(["b", "a", "b"])) == ["a", "b"]
    assert data.label_ids(examples(["b", "a"]), ["a", "b"]).tolist() == [1, 0]
    with pytest.raises(DataError, match=r"f, line 1: the label 'c' is not among those trained on \('a', 'b'\)"):
        data.label_ids(examples(["b", "c"]), ["a", "b"])
    with pytest.raises(DataError, match="every label is 'a'"):
        data.known_labels(examples(["a", "a"]))


# ---- series ---------------------------------------------------------------------------------------------------------

HEADER = "# a comment\n@problemName tiny\n@timeStamps false\n@dimensions 2\n@classLabel true a b\n@data\n"


def test_a_ts_file_gives_its_series_as_frames(tmp_path: Path) -> None:
    found = data.read_examples(write(tmp_path / "a.ts", HEADER + "1,2,3:4,5,6:a\n0.5:-1:b\n"))
    assert found.labels == ["a", "b"]
    assert found.inputs[0].tolist() == [[1, 4], [2, 5], [3, 6]]
    assert found.inputs[1].tolist() == [[0.5, -1]]
    assert (found.input_size, found.places[1].rpartition(" ")[2]) == (2, "8")


def test_an_npz_file_gives_the_same_and_lengths_cut(tmp_path: Path) -> None:
    X = np.arange(12.0).reshape(2, 3, 2)
    np.savez(tmp_path / "a.npz", X=X, y=np.array(["a", "b"]), lengths=np.array([3, 1]))
    found = data.read_examples(tmp_path / "a.npz")
    assert found.labels == ["a", "b"]
    assert [one.tolist() for one in found.inputs] == [X[0].tolist(), X[1, :1].tolist()]
    np.savez(tmp_path / "b.npz", X=X[:, :, 0], y=np.array([7, 8]))
    found = data.read_examples(tmp_path / "b.npz")
    assert (found.labels, found.inputs[1].tolist()) == (["7", "8"], X[1, :, :1].tolist())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEADER + "1,?:1,2:a\n", r"a\.ts, line 7: could not convert .*a missing one must be filled in"),
        (HEADER + "1,2:1:a\n", r"line 7: the dimensions have \[1, 2\] values"),
        (HEADER + "1,nan:1,2:a\n", r"line 7: step 1 of dimension 0 is nan"),
        (HEADER + "1:1:\n", r"line 7: no label after the last colon"),
        (HEADER + "1:1:a\n1:b\n", r"line 8: frames of 1 among frames of 2"),
        (HEADER.replace("true a b", "false") + "1:1\n", r"line 6: the header says that there are no labels"),
        (HEADER.replace("@timeStamps false", "@timeStamps true"), r"line 6: the series have timestamps"),
        ("1,2:a\n", r"line 1: a header line begins with @"),
    ],
)
def test_a_series_that_cannot_be_read_is_named(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        data.read_examples(write(tmp_path / "a.ts", content))


def test_an_npz_file_of_other_arrays_or_of_objects_is_refused(tmp_path: Path) -> None:
    path, X, y = tmp_path / "a.npz", np.zeros((2, 3, 1)), np.zeros(2, int)
    for arrays, message in (
        ({"X": X}, "holds X; wanted are X, y"),
        ({"X": X, "y": y[:1]}, r"X is float64 \[2, 3, 1\], y int64 \[1\]"),
        ({"X": X, "y": y, "lengths": y + 4}, r"lengths must be 2 integers in 0\.\.3"),
        ({"X": X, "y": np.array([None, 1])}, "without objects"),
    ):
        np.savez(path, **arrays)
        with pytest.raises(DataError, match=message):
            data.read_examples(path)
    for name in ("missing.npz", "missing.csv", "missing"):
        with pytest.raises(DataError, match="no such file"):
            data.read_examples(tmp_path / name)


# ---- batches --------------------------------------------------------------------------------------------------------


def make_batches(**options: int) -> data.Batches:
    rng = np.random.default_rng(0)
    sequences = [np.full(length, number) for number, length in enumerate(rng.integers(1, 40, 150))]
    return data.Batches(sequences, np.arange(150), **({"batch_size": 4, "seed": 7} | options))


def test_an_epoch_has_every_sequence_once_and_little_padding() -> None:
    batches = make_batches()
    epoch = list(batches)
    assert len(epoch) == len(batches)
    assert sorted(np.concatenate([batch.targets[0] for batch in epoch]).tolist()) == list(range(150))
    for batch in epoch:
        for row, (length, target) in enumerate(zip(batch.lengths, batch.targets[0], strict=True)):
            assert (batch.inputs[:length, row] == target).all()
            assert not batch.inputs[length:, row].any()
    cells = sum(batch.inputs.size for batch in epoch)
    assert cells < 1.15 * sum(int(batch.lengths.sum()) for batch in epoch)


def test_the_order_follows_from_seed_and_epoch() -> None:
    def order(batches: data.Batches) -> list[int]:
        return [int(target) for batch in batches for target in batch.targets[0]]

    batches, same, other = make_batches(), make_batches(), make_batches(seed=8)
    first = order(batches)
    assert order(same) == first != order(other)
    assert order(batches) != first


def test_batches_go_on_where_they_stood() -> None:
    batches = make_batches()
    list(batches)
    for _ in range(5):
        next(batches)
    other = make_batches()
    other.load_state_dict(batches.state_dict())
    for ours, theirs in zip(batches, other, strict=True):
        assert np.array_equal(ours.inputs, theirs.inputs)
    with pytest.raises(ArgumentError, match="saved with batch_size 4, now it is 5"):
        make_batches(batch_size=5).load_state_dict(batches.state_dict())
