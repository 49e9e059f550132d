"""An exported classifier decides as the runtime does: every cell, readout and direction, ragged rows, chunks, int8."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from rnnkit import data, export, runtime
from rnnkit.bundle import evaluation, write_bundle
from rnnkit.bundle.ngrams import NgramList
from rnnkit.bundle.schema import CELLS, GATES, READOUTS
from rnnkit.cli import main
from rnnkit.errors import ArgumentError, DataError
from rnnkit.export import gate_order, parity

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnx.reference")
pytest.importorskip("onnxruntime")

LENGTHS = np.array([11, 4, 0, 1], np.int32)
FRAMES = {"vocab_size": 0, "input_size": 3, "embedding_size": 0}
SHAPES: dict[str, dict[str, Any]] = {
    **{f"{cell}, {way}": {"cell": cell, "num_layers": 2, "readout": list(READOUTS), "bidirectional": way == "both"}
       for cell in CELLS for way in ("both", "forwards")},
    **{readout: {"readout": [readout], "bidirectional": False, "bias": False} for readout in READOUTS},
    "widths": {"hidden_size": [7, 5, 6], "num_layers": 3, "readout": ["attention", "last"]},
    "every option": {"layer_norm": True, "zoneout": 0.2, "residual": True, "trainable_state": True, "num_layers": 2},
    "every option, forwards": {"layer_norm": True, "zoneout": 0.2, "trainable_state": True, "bidirectional": False},
    "projected": {"proj_size": 5, "trainable_state": True, "num_layers": 2, "readout": ["last", "mean"]},
    "several labels": {"multi_label": True, "readout": ["states", "max"], "num_layers": 2},
    "frames": {**FRAMES, "readout": ["max", "last"], "num_layers": 2},
    "frames, forwards": {**FRAMES, "readout": list(READOUTS), "bidirectional": False, "cell": "min_lstm"},
}  # fmt: skip


def make(scale: float = 1.0, **shape: Any) -> runtime.Acceptor:
    config, arrays, tokenizer = tiny.classifier(**shape)
    arrays = {n: a if n.startswith("scale.") else a * np.float32(scale) for n, a in arrays.items()}
    return runtime.Acceptor(config, arrays, labels=tiny.LABELS, tokenizer=tokenizer)


def exported(model: runtime.Acceptor, folder: Path, **options: Any) -> Any:
    model.save(folder / "run")
    export.to_onnx(folder / "run", folder / "model.onnx", **options)
    return parity.start_session((folder / "model.onnx").read_bytes())


def inputs(model: runtime.Acceptor, T: int = 11, B: int = 4) -> np.ndarray:
    rng = np.random.default_rng(1)
    sizes = model.config["model"]
    if sizes["input_size"]:
        return rng.normal(size=(T, B, sizes["input_size"])).astype(np.float32)
    return rng.integers(0, sizes["vocab_size"], (T, B))


def rows_of(x: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
    return [x[:length, row] for row, length in enumerate(lengths)]


def garbage(x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Something else behind each row's length, which is not read."""
    x = x.copy()
    x[np.arange(len(x))[:, None] >= lengths] = 10**9
    return x


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_it_decides_as_the_runtime_does_and_its_chunks_too(tmp_path: Path, shape: dict[str, Any]) -> None:
    model = make(**shape)
    session = exported(model, tmp_path)
    x = inputs(model)
    want = model.log_probs(rows_of(x, LENGTHS))
    x = garbage(x, LENGTHS)
    fresh = parity.named_state(model.initial_state(4)) if model.is_causal else {}
    got, after = parity.run(session, x, LENGTHS, fresh)
    np.testing.assert_allclose(got, want, atol=1e-5)
    alone, _ = parity.run(session, x[:4, 1:2], LENGTHS[1:2], {name: array[:1] for name, array in fresh.items()})
    np.testing.assert_allclose(alone, want[1:2], atol=1e-5)
    assert {f"next_{name}" for name in fresh} == {value.name for value in session.get_outputs()} - {"log_probs"}
    if not model.is_causal:
        return
    state, offset, pieces = model.initial_state(4), 0, fresh
    for size in (1, 4, 6):
        counts = np.clip(LENGTHS - offset, 0, size).astype(np.int32)
        ours, state = model(x[offset : offset + size], state, lengths=counts)
        theirs, pieces = parity.run(session, x[offset : offset + size], counts, pieces)
        np.testing.assert_allclose(theirs, ours, atol=1e-5)
        offset += size
    for name, array in parity.named_state(state).items():
        np.testing.assert_allclose(pieces[name], array, atol=1e-5, err_msg=name)
        np.testing.assert_allclose(after[name], array, atol=1e-5, err_msg=name)
        assert pieces[name].dtype == array.dtype


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_int8_is_the_runtime_with_rounded_weights_whoever_computes_it(tmp_path: Path, shape: dict[str, Any]) -> None:
    model = make(0.5, **shape)
    session = exported(model, tmp_path, int8=True)
    rounded = {name: array if array.ndim == 1 else fake_quantized(array) for name, array in model._tensors.items()}
    rounded = runtime.Acceptor(model.config, rounded, labels=model.labels, tokenizer=model.tokenizer)
    x = inputs(model)
    fresh = parity.named_state(model.initial_state(4)) if model.is_causal else {}
    got, after = parity.run(session, garbage(x, LENGTHS), LENGTHS, fresh)
    np.testing.assert_allclose(got, rounded.log_probs(rows_of(x, LENGTHS)), atol=0.1)
    reference = onnx.reference.ReferenceEvaluator(str(tmp_path / "model.onnx"))
    with np.errstate(invalid="ignore"):
        want, there = parity.run(reference, x, LENGTHS, fresh)
    np.testing.assert_allclose(got, want, atol=1e-5)
    for name, array in there.items():
        np.testing.assert_allclose(after[name], array, atol=1e-5, err_msg=name)


def fake_quantized(array: np.ndarray) -> np.ndarray:
    scale = np.maximum(np.abs(array).max(axis=1, keepdims=True), np.float32(1e-30)) / np.float32(127)
    return (np.rint(array / scale) * scale).astype(np.float32)


@pytest.mark.parametrize("cell", CELLS)
def test_int8_costs_at_most_one_percent_and_takes_at_most_30_percent(tmp_path: Path, cell: str) -> None:
    """On sequences that it is about as sure of as one that has learned something: random weights decide by a hair."""
    scale = 0.07 if cell == "elman_relu" else 0.2  # it must not grow without bound
    model = make(scale, cell=cell, hidden_size=400, embedding_size=300, readout=["max"])
    sequences = parity.random_sequences(model, 400)
    log_probs = model.log_probs(sequences)
    best = np.sort(log_probs, axis=1)
    sure = np.flatnonzero(best[:, -1] - best[:, -2] > np.median(best[:, -1] - best[:, -2]))
    files = model._files | evaluation.of_sequences([sequences[row] for row in sure], log_probs[sure].argmax(1))
    write_bundle(tmp_path, config=model.config, tensors=model._tensors, files=files)
    report = export.to_onnx(tmp_path, int8=True)
    assert report["accuracy"]["runtime"] == 1 and report["relative_loss"] == 1 - report["accuracy"]["onnx"] <= 0.01
    assert report["passes"] and report["sample"]["num_sequences"] >= 150
    assert report["bytes"] / report["fp32_bytes"] <= 0.3


# ---- the report ------------------------------------------------------------------------------------------------------


def test_the_report_is_about_the_sequences_that_the_bundle_keeps_or_the_ones_named(tmp_path: Path) -> None:
    model = make(cell="gru_after")
    model.save(tmp_path)
    report = export.to_onnx(tmp_path)
    assert report["sample"] == {"source": "drawn at random", "num_sequences": 200}
    assert report["passes"] and report["agreement"] == 1 and "accuracy" not in report
    texts = ["the fox", "dog", "a lazy dog", "over"]
    lines = [f"{tiny.LABELS[number % 3]},{text}\n" for number, text in enumerate(texts)]
    (tmp_path / "my.csv").write_text("label,text\n" + "".join(lines))
    report = export.to_onnx(tmp_path, sample=tmp_path / "my.csv")
    examples = data.read_examples(tmp_path / "my.csv")
    hits = [label == got for label, got in zip(examples.labels, model.predict(texts), strict=True)]
    assert report["sample"] == {"source": str(tmp_path / "my.csv"), "num_sequences": 4}
    assert report["accuracy"] == {"runtime": np.mean(hits), "onnx": np.mean(hits)}
    targets = data.label_ids(examples, model.labels)
    kept = evaluation.of_sequences([model.encode(one) for one in texts], targets)
    write_bundle(tmp_path / "kept", config=model.config, tensors=model._tensors, files=model._files | kept)
    again = export.to_onnx(tmp_path / "kept")
    assert again["sample"] == {"source": "held-out sequences kept in the bundle", "num_sequences": 4}
    assert again["nats_per_sequence"] == pytest.approx(report["nats_per_sequence"], rel=1e-6)
    assert json.loads(export.report_path(tmp_path / "kept" / "model.onnx").read_bytes()) == again
    notes = onnx.load(tmp_path / "model.onnx").metadata_props
    assert json.loads({entry.key: entry.value for entry in notes}["rnnkit.labels"]) == tiny.LABELS


@pytest.mark.parametrize("bidirectional", [False, True])
def test_gates_in_the_wrong_order_do_not_pass(tmp_path: Path, monkeypatch: Any, bidirectional: bool) -> None:
    monkeypatch.setitem(gate_order.ONNX, "lstm", tuple(range(GATES["lstm"])))
    make(bidirectional=bidirectional).save(tmp_path)
    report = export.to_onnx(tmp_path)
    assert report["passes"] is False and report["log_probs"]["max_relative"] > 1e-3


def test_the_verb_prints_its_table_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(bidirectional=False).save(tmp_path / "run")
    assert main(["export", str(tmp_path / "run"), "--to", "onnx"]) == 0
    shown = capsys.readouterr().out
    for said in ("final state, relative to their norm", "same label", "200 sequences, drawn at random", "1e-05"):
        assert said in shown
    make().save(tmp_path / "both")
    assert main(["export", str(tmp_path / "both"), "--to", "onnx", "--int8", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert "state" not in report and report["limit"] == {"relative_loss": 0.01}


def test_what_cannot_be_compared_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    make().save(tmp_path)
    (tmp_path / "my.csv").write_text("label,text\nnone,a\n")
    with pytest.raises(DataError, match=r"my\.csv, line 2"):
        export.to_onnx(tmp_path, sample=tmp_path / "my.csv")
    with pytest.raises(ArgumentError, match="as_bytes is for a text"):
        export.to_onnx(tmp_path, sample=tmp_path / "my.csv", as_bytes=True)
    config, arrays, tokenizer = tiny.classifier(ngram_order=1, num_ngrams=2)
    counted = NgramList(np.array([1, 2]), with_ends=False)
    runtime.Acceptor(config, arrays, labels=tiny.LABELS, tokenizer=tokenizer, ngrams=counted).save(tmp_path)
    with pytest.raises(ArgumentError, match=r"a classifier that also counts n-grams, which has no ONNX file; .*--int8"):
        export.to_onnx(tmp_path)
    assert not list(tmp_path.glob("*.onnx*"))
