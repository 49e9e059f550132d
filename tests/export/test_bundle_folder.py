"""A bundle in eight bits is a quarter as large and computes, bit for bit, what its run does in precision int8."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tiny

from rnnkit import export, runtime
from rnnkit.bundle import evaluation, int8, read_bundle, write_bundle
from rnnkit.bundle.ngrams import NgramList
from rnnkit.bundle.schema import CELLS, READOUTS
from rnnkit.bundle.tensors import pack, unpack
from rnnkit.cli import main
from rnnkit.errors import ArgumentError, TensorError
from rnnkit.export import parity

SHAPES = {
    **{cell: {"cell": cell} for cell in CELLS},
    "embedded": {"embedding_size": 9, "num_layers": 2},
    "tied": {"embedding_size": 5, "tied": True},
    "adaptive": {"embedding_size": 4, "hidden_size": 20, "softmax": "adaptive", "cutoffs": [7, 15]},
    "normed": {"layer_norm": True, "zoneout": 0.1, "num_layers": 2, "trainable_state": True},
    "projected": {"hidden_size": 8, "proj_size": 3},
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_it_computes_what_the_run_does_in_int8(tmp_path, shape):
    config, tensors, tokens = tiny.parts(**shape)
    write_bundle(tmp_path / "run", config=config, tensors=tensors, files=tiny.files(tokens))
    export.to_bundle(tmp_path / "run", tmp_path / "small", int8=True)
    want = runtime.LanguageModel.load(tmp_path / "run", precision="int8")
    got = runtime.LanguageModel.load(tmp_path / "small")
    assert got.precision == "int8"
    ids = np.random.default_rng(1).integers(0, tokens.vocab_size, (9, 3))
    (ours, after), (theirs, seen) = got(ids), want(ids)
    assert np.array_equal(ours, theirs)
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(after._arrays(), seen._arrays(), strict=True))
    assert not np.array_equal(ours, runtime.LanguageModel.load(tmp_path / "run")(ids)[0])
    assert got.save(tmp_path / "again") == got.digest  # rounding twice is rounding once


def test_a_window_mlp_too(tmp_path):
    config = tiny.config("window_mlp", begin_id=3)
    runtime.WindowMLP.from_parts(config, tiny.tensors(config)).save(tmp_path / "run")
    export.to_bundle(tmp_path / "run", tmp_path / "small", int8=True)
    ids = np.random.default_rng(1).integers(0, 29, (9, 3))
    want = runtime.WindowMLP.load(tmp_path / "run", precision="int8")(ids)[0]
    assert np.array_equal(runtime.WindowMLP.load(tmp_path / "small")(ids)[0], want)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("way", [{}, {"vocab_size": 0, "input_size": 3, "embedding_size": 0, "bidirectional": False}])
def test_a_classifier_too_and_what_it_costs_on_the_sequences_that_it_keeps(tmp_path, capsys, cell, way):
    config, tensors, tokens = tiny.classifier(cell=cell, hidden_size=128, num_layers=2, readout=list(READOUTS), **way)
    tensors = {n: a if n.startswith("scale.") else a * np.float32(0.15) for n, a in tensors.items()}
    model = runtime.Acceptor(config, tensors, labels=tiny.LABELS, tokenizer=tokens)
    sequences = parity.random_sequences(model, 40)
    targets = model.log_probs(sequences).argmax(1)
    targets[:10] = 0
    files = model._files | evaluation.of_sequences(sequences, targets)
    write_bundle(tmp_path / "run", config=config, tensors=tensors, files=files)
    code = main(["export", str(tmp_path / "run"), "--to", "bundle", "--int8", "--json"])
    report = json.loads(capsys.readouterr().out)
    want, got = runtime.Acceptor.load(tmp_path / "run", precision="int8"), runtime.Acceptor.load(tmp_path / "run-int8")
    assert got.precision == "int8" and np.array_equal(got.log_probs(sequences), want.log_probs(sequences))
    assert not np.array_equal(got.log_probs(sequences), model.log_probs(sequences))
    accuracy = {name: float((m.log_probs(sequences).argmax(1) == targets).mean()) for name, m in
                (("fp32", model), ("int8", got))}  # fmt: skip
    assert report["accuracy"] == accuracy and accuracy["fp32"] >= 0.75
    assert report["relative_loss"] == 1 - accuracy["int8"] / accuracy["fp32"]
    assert report["passes"] is (report["relative_loss"] <= 0.01) and code == int(not report["passes"])
    assert report["bytes"] <= 0.3 * report["fp32_bytes"]
    kept, labels = got.evaluation_sample()
    assert all(map(np.array_equal, kept, sequences)) and np.array_equal(labels, targets)


def test_a_classifier_with_ngrams_keeps_their_list(tmp_path):
    config, tensors, tokens = tiny.classifier(ngram_order=1, num_ngrams=29)
    ngrams = NgramList(np.arange(1, 30), with_ends=False)
    model = runtime.Acceptor(config, tensors, labels=tiny.LABELS, tokenizer=tokens, ngrams=ngrams)
    model.save(tmp_path / "run")
    export.to_bundle(tmp_path / "run", tmp_path / "small", int8=True)
    want, got = runtime.Acceptor.load(tmp_path / "run", precision="int8"), runtime.Acceptor.load(tmp_path / "small")
    texts = ["the quick", "fox over the dog", ""]
    assert np.array_equal(want.log_probs(texts), got.log_probs(texts))
    assert not np.array_equal(model.log_probs(texts), got.log_probs(texts))


def test_size_loss_and_report(tmp_path, capsys):
    config, tensors, tokens = tiny.parts(hidden_size=128)
    tensors = {name: array * np.float32(0.2) for name, array in tensors.items()}
    ids = tokens.encode(tiny.TEXT * 20)
    kept = {evaluation.NAME: evaluation.to_bytes(ids, np.array([0]))}
    write_bundle(tmp_path / "run", config=config, tensors=tensors, files=tiny.files(tokens) | kept)
    assert main(["export", str(tmp_path / "run"), "--to", "bundle", "--int8", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("run-int8", "run")]
    assert [report["bytes"], report["fp32_bytes"]] == sizes
    assert sizes[0] <= 0.3 * sizes[1]
    assert report["passes"] and report["relative_loss"] <= 0.01
    small = runtime.LanguageModel.load(tmp_path / "run-int8")
    assert report["nats_per_token"]["int8"] == small.total_nll(*small.evaluation_sample()) / len(ids)
    assert report["digest"] == small.digest
    assert main(["export", str(tmp_path / "run"), "--to", "bundle"]) == 0
    assert read_bundle(tmp_path / "run-bundle").digest == read_bundle(tmp_path / "run").digest
    for name, said in (("run", "exists"), ("run-int8", "eight bits already")):
        with pytest.raises(ArgumentError, match=said):
            export.to_bundle(tmp_path / name, tmp_path / ("run" if name == "run" else "new"), int8=True)


def test_rows_of_zeros_and_rows_that_are_not_finite():
    weight = np.array([[0, 0, 0], [1, -2, 0.4], [np.nan, 1, 2], [np.inf, 1, 2], [1e-38, 0, 0]], np.float32)
    stored = int8.quantised({"w": weight, "b": weight[0]})
    assert stored["w"].dtype == np.int8 and np.array_equal(stored["w"][1], [64, -127, 25])
    rounded = int8.restored(stored, {"w": (5, 3), "b": (3,)})
    assert np.array_equal(rounded["w"][[0, 4]], np.zeros((2, 3)))
    assert np.isnan(rounded["w"][2:4]).all() and rounded["w"][1, 1] == -2
    again = int8.quantised(rounded)
    assert all(np.array_equal(again[name], stored[name], equal_nan=True) for name in ("w", "w.largest"))


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda t: t.pop("head.weight.largest"), "head.weight.largest .* is missing"),
        (lambda t: t.update(other=np.zeros(2, np.int8)), "'other' is left over"),
        (lambda t: t.update({"head.bias.largest": np.zeros(1, np.float32)}), r"'head\.bias\.largest' is left over"),
        (lambda t: t.update({"head.weight": t["head.weight"].astype(np.float32)}), "dtype float32, int8 is wanted"),
        (lambda t: t.update({"head.weight": t["head.weight"][:-1]}), "the configuration wants"),
        (lambda t: t["head.weight"].__setitem__(3, -128), r"head\.weight, row 3: .* not the scale"),
        (lambda t: t["head.weight.largest"].__setitem__(2, -1), r"head\.weight, row 2: .* not the scale"),
        (lambda t: t["head.weight.largest"].__setitem__(1, np.inf), r"head\.weight, row 1: .* not the scale"),
        (lambda t: t["head.weight"].__setitem__(0, 1), r"head\.weight, row 0: .* not the scale"),
    ],
)
def test_what_no_export_writes_is_refused_by_name(tmp_path, edit, said):
    config, tensors, tokens = tiny.parts()
    write_bundle(tmp_path / "good", config={**config, "precision": "int8"}, tensors=tensors, files=tiny.files(tokens))
    stored = {n: a.copy() for n, a in unpack((tmp_path / "good" / "model.safetensors").read_bytes()).items()}
    edit(stored)
    names = ("config.json", "tokenizer.json")
    contents = {name: (tmp_path / "good" / name).read_bytes() for name in names}
    tiny.forge(tmp_path / "bad", {**contents, "model.safetensors": b"".join(pack(stored))})
    with pytest.raises(TensorError, match=said):
        read_bundle(tmp_path / "bad")
