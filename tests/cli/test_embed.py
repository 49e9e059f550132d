"""`rnnkit embed`: vectors on stdout and in files, the same as the model's own; mistakes in one line."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny
from command import Outcome

import rnnkit
from rnnkit import runtime


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    config, tensors, tokenizer = tiny.classifier()
    runtime.Acceptor(config, tensors, labels=tiny.LABELS, tokenizer=tokenizer).save(tmp_path / "labels")
    return tmp_path / "labels"


def test_every_line_has_its_vector_on_stdout_and_in_either_file(
    call: Callable[..., Outcome], run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["the quick", "", "fox"] * 200
    (tmp_path / "lines.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    want = rnnkit.LanguageModel.load(run).embed(texts, readout=["mean", "last"])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO((tmp_path / "lines.txt").read_bytes())))
    printed = call("embed", run, "--readout", "mean,last")
    for name in ("v.npy", "v.jsonl"):
        wrote = call("embed", run, tmp_path / "lines.txt", "--readout=mean,last", "--out", tmp_path / name)
        assert (wrote.code, wrote.out) == (0, "")
    assert np.load(tmp_path / "v.npy").tobytes() == want.tobytes()
    assert (tmp_path / "v.jsonl").read_text(encoding="utf-8") == printed.out
    rows = [json.loads(line) for line in printed.out.splitlines()]
    assert [row["text"] for row in rows] == texts
    assert np.array([row["vector"] for row in rows], np.float32).tobytes() == want.tobytes()
    assert call("embed", run, tmp_path / "lines.txt").out != printed.out


def test_a_classifiers_table_has_a_vector_for_each_row(
    call: Callable[..., Outcome], classifier: Path, tmp_path: Path
) -> None:
    table = tmp_path / "table.csv"
    table.write_text("text\nfox\nlazy dog\n", encoding="utf-8")
    out = tmp_path / "v.npy"
    done = call("embed", classifier, table, "--out", out)
    assert done.code == 0, done.err
    assert np.load(out).tobytes() == rnnkit.Classifier.load(classifier).embed(["fox", "lazy dog"]).tobytes()


def test_precision_encoding_and_bytes_arrive_and_series_are_named_by_their_place(
    call: Callable[..., Outcome], run: Path, classifier: Path, tmp_path: Path
) -> None:
    def vectors(*arguments: object) -> bytes:
        done = call("embed", *arguments, "--out", tmp_path / "v.npy")
        assert done.code == 0, done.err
        return np.load(tmp_path / "v.npy").tobytes()

    fine, wide, table = tmp_path / "fine.txt", tmp_path / "wide.txt", tmp_path / "wide.csv"
    fine.write_text("fox\nlazy dog\n", encoding="utf-8")
    wide.write_text("fox\nlazy dog\n", encoding="utf-16")
    table.write_text("text\nfox\nlazy dog\n", encoding="utf-16")
    assert vectors(run, fine, "--precision=int8") != vectors(run, fine)
    assert vectors(run, wide, "--encoding=utf-16") == vectors(run, fine)
    assert vectors(classifier, table, "--encoding=utf-16") == vectors(classifier, fine)
    labelled = call("predict", classifier, table, "--encoding=utf-16")
    assert labelled.out.count("wide.csv, line") == 2
    assert "--bytes has no effect on" in call("embed", classifier, table, "--bytes").err

    raw = tmp_path / "raw.txt"
    raw.write_bytes(b"fox\n\xff\xfe\n")
    runtime.LanguageModel.from_parts(*tiny.parts("byte", hidden_size=8)).save(tmp_path / "byte")
    read = rnnkit.LanguageModel.load(tmp_path / "byte").embed([b"fox", b"\xff\xfe"])
    assert vectors(tmp_path / "byte", raw, "--bytes") == read.tobytes()
    assert "raw.txt, line 2: " in call("embed", classifier, raw, "--bytes").err

    config, tensors, _ = tiny.classifier(input_size=3, embedding_size=0)
    runtime.Acceptor(config, tensors, labels=tiny.LABELS).save(tmp_path / "frames")
    np.savez(tmp_path / "series.npz", X=np.ones((2, 4, 3), np.float32), y=np.array(["x", "y"]))
    rows = [json.loads(line) for line in call("embed", tmp_path / "frames", tmp_path / "series.npz").out.splitlines()]
    assert [row["place"] for row in rows] == [
        place for place, _ in rnnkit.Classifier.load(tmp_path / "frames").read(tmp_path / "series.npz")
    ]


def test_no_line_gives_an_empty_array(call: Callable[..., Outcome], run: Path, tmp_path: Path) -> None:
    (tmp_path / "none.txt").touch()
    assert call("embed", run, tmp_path / "none.txt", "--out", tmp_path / "v.npy").code == 0
    assert np.load(tmp_path / "v.npy").shape == rnnkit.LanguageModel.load(run).embed([]).shape


def test_a_mistake_is_one_line(call: Callable[..., Outcome], run: Path, classifier: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_bytes(b"fine\n\xff\n")
    (tmp_path / "fine.txt").write_text("fox\n", encoding="utf-8")
    cases = [
        (("embed", run, tmp_path / "bad.txt"), "line 2"),
        (("embed", run, tmp_path / "absent.txt"), "cannot be opened"),
        (("embed", run, tmp_path / "bad.txt", "--out", "v.txt"), "must end in .npy or .jsonl"),
        (("embed", run, tmp_path / "fine.txt", "--readout", "first"), "last, mean, max"),
        (("embed", classifier, tmp_path / "bad.txt", "--readout", "last"), "a classifier reads out as it was trained"),
    ]
    for arguments, message in cases:
        refused = call(*arguments)
        assert refused.code in (1, 2)
        assert message in refused.err
        assert len(refused.err.strip().splitlines()) == 1
