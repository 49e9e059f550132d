"""An exported file computes what the runtime does: every cell and option, ragged rows, chunks, float32 and int8."""

import hashlib
import itertools
import json

import numpy as np
import pytest
import tiny

from rnnkit import export, runtime
from rnnkit.bundle import evaluation, write_bundle
from rnnkit.bundle.schema import CELLS, GATES
from rnnkit.errors import ArgumentError, BundleError, DataError
from rnnkit.export import gate_order, parity

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnx.reference")
onnxruntime = pytest.importorskip("onnxruntime")

SHAPES = {
    "one-hot": {},
    "embedded": {"embedding_size": 9, "num_layers": 3},
    "no bias": {"bias": False, "num_layers": 2},
    "tied": {"embedding_size": 5, "tied": True},
    "projected": {"embedding_size": 9, "tied": True, "bias": False},
    "widths": {"hidden_size": [7, 4, 9], "num_layers": 3},
    "residual": {"embedding_size": 3, "num_layers": 3, "residual": True, "trainable_state": True},
    "adaptive": {"embedding_size": 4, "hidden_size": 20, "softmax": "adaptive", "cutoffs": [7, 15]},
}
WINDOW_SHAPES = {
    "direct": {},
    "not direct": {"direct": False},
    "bigram": {"order": 2},
    "adaptive": {"hidden_size": 20, "softmax": "adaptive", "cutoffs": [7, 15]},
}
LENGTHS = np.array([11, 4, 0], np.int32)


@pytest.fixture(autouse=True)
def short_sample(monkeypatch):
    """What `to_onnx` compares on by itself: enough to tell right from wrong, and quick."""
    monkeypatch.setattr("rnnkit.export.onnx_file._SAMPLE_TOKENS", 600)


def language_model(scale=1.0, **shape):
    config, tensors, tokens = tiny.parts(**shape)
    tensors = {name: array * np.float32(scale) for name, array in tensors.items()}
    if shape.get("cell") == "elman_relu":  # which would grow without bound over a sample
        tensors |= {name: array / np.float32(3) for name, array in tensors.items() if "weight_hh" in name}
    return runtime.LanguageModel.from_parts(config, tensors, tokens)


def window_mlp(**shape):
    config = tiny.config("window_mlp", begin_id=3, **shape)
    return runtime.WindowMLP.from_parts(config, tiny.tensors(config))


def exported(model, folder, **options):
    """The session of what `to_onnx` writes for a model."""
    model.save(folder / "run")
    export.to_onnx(folder / "run", folder / "model.onnx", **options)
    return parity.start_session((folder / "model.onnx").read_bytes())


def tokens(model, T, B, seed=1):
    return np.random.default_rng(seed).integers(0, model.vocab_size, (T, B))


def seen(model, B):
    """A state that is not the first one, different in every row."""
    return model(tokens(model, 5, B, seed=2))[1]


def agrees(want, got, name, *, tolerance=1e-5):
    assert want.shape == got.shape and want.dtype == got.dtype, f"{name}: {got.dtype} {got.shape}"
    error = np.abs(got - want).max(initial=0)
    assert error <= tolerance, f"{name}: {error:.2e} above {tolerance:.0e}"


def agrees_with_runtime(model, session, B):
    ids, lengths, state = tokens(model, 11, B), LENGTHS[:B], seen(model, B)
    want, after = model(ids, state, lengths=lengths)
    ids[np.arange(11)[:, None] >= lengths] = 10**9  # what lies behind a row's length is not read
    got, got_after = parity.run(session, ids, lengths, parity.named_state(state))
    agrees(want, got, "log_probs")
    for name, array in parity.named_state(after).items():
        agrees(array, got_after[name], name)
        if B == 3:
            assert np.array_equal(got_after[name][2], parity.named_state(state)[name][2]), f"{name} of length 0"


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("cell", GATES)
def test_every_cell_and_option_computes_what_the_runtime_does(tmp_path, cell, shape):
    model = language_model(cell=cell, **SHAPES[shape])
    session = exported(model, tmp_path)
    for B in (1, 3):
        agrees_with_runtime(model, session, B)


NOT_OPERATORS = {
    "zoneout": {"zoneout": 0.3, "num_layers": 2},
    "layer norm": {"layer_norm": True, "num_layers": 2},
    "layer norm, no bias": {"layer_norm": True, "bias": False, "embedding_size": 9},
    "all": {"zoneout": 0.1, "layer_norm": True, "num_layers": 3, "residual": True},
}
PROJECTED = {
    "projection": {"num_layers": 2},
    "of widths": {"hidden_size": [7, 5], "num_layers": 2, "trainable_state": True},
    "residual, tied": {"hidden_size": 8, "num_layers": 2, "residual": True, "embedding_size": 6, "tied": True},
    "all": {"zoneout": [0.1, 0.4], "layer_norm": True, "num_layers": 2},
}
STEPS = {(c, o): {"cell": c, **shape} for c in GATES for o, shape in NOT_OPERATORS.items()}
STEPS |= {("lstm", o): {"proj_size": 3, **shape} for o, shape in PROJECTED.items()}
STEPS["lstm", "two shares"] = {"zoneout": [0.5, 0.1]}


@pytest.mark.parametrize("shape", STEPS.values(), ids=map(" ".join, STEPS))
def test_what_no_operator_has_is_a_step_that_computes_what_the_runtime_does(tmp_path, shape):
    model = language_model(**shape)
    session = exported(model, tmp_path)
    for B in (1, 3):
        agrees_with_runtime(model, session, B)


@pytest.mark.parametrize("shape", STEPS.values(), ids=map(" ".join, STEPS))
def test_so_it_is_in_int8_with_rounded_weights(tmp_path, shape):
    model = language_model(0.5, **shape)
    session = exported(model, tmp_path, int8=True)
    rounded = {name: fake_quantized(name, array) for name, array in model._tensors.items()}
    rounded = runtime.LanguageModel.from_parts(model.config, rounded, model.tokenizer)
    ids, state = tokens(model, 11, 3), seen(model, 3)
    first = rounded.initial_state(3)
    first = type(first)(state.layers, model=first.model)
    want, after = rounded(ids, first, lengths=LENGTHS)
    got, got_after = parity.run(session, ids, LENGTHS, parity.named_state(state))
    agrees(want, got, "log_probs", tolerance=0.1)
    for name, array in parity.named_state(after).items():
        agrees(array, got_after[name], name, tolerance=0.1)


@pytest.mark.parametrize("int8", [False, True], ids=["fp32", "int8"])
def test_a_learned_initial_state_is_in_the_metadata(tmp_path, int8):
    model = language_model(hidden_size=[7, 4], num_layers=2, trainable_state=True)
    session = exported(model, tmp_path, int8=int8)
    learned = json.loads(session.get_modelmeta().custom_metadata_map["rnnkit.initial_state"])
    want = parity.named_state(model.initial_state(1))
    assert learned.keys() == want.keys() and want["h_l0"].any()
    for name, array in want.items():
        assert np.array_equal(np.array([learned[name]], np.float32), array), name
    assert "rnnkit.initial_state" in session.get_modelmeta().description


@pytest.mark.parametrize("shape", WINDOW_SHAPES)
def test_a_window_mlp_computes_what_the_runtime_does(tmp_path, shape):
    model = window_mlp(**WINDOW_SHAPES[shape])
    session = exported(model, tmp_path)
    for B in (1, 3):
        agrees_with_runtime(model, session, B)


@pytest.mark.parametrize("int8", [False, True], ids=["fp32", "int8"])
@pytest.mark.parametrize("kind", [*GATES, "window_mlp"])
def test_a_whole_sequence_is_its_chunks_with_the_state_carried(tmp_path, kind, int8):
    model = window_mlp() if kind == "window_mlp" else language_model(cell=kind, embedding_size=6, num_layers=2)
    session = exported(model, tmp_path, int8=int8)
    ids, state = tokens(model, 11, 3), parity.named_state(seen(model, 3))
    want, after = parity.run(session, ids, LENGTHS, state)
    chunks, offset = [], 0
    for size in (1, 4, 6):
        got, state = parity.run(session, ids[offset : offset + size], np.clip(LENGTHS - offset, 0, size), state)
        chunks.append(got)
        offset += size
    agrees(want, np.concatenate(chunks), "log_probs", tolerance=2e-6)
    for name, array in after.items():
        agrees(array, state[name], name, tolerance=2e-6)


@pytest.mark.parametrize("kind", [*GATES, "window_mlp"])
def test_a_row_in_int8_does_not_depend_on_its_batch_mates(tmp_path, kind):
    model = window_mlp() if kind == "window_mlp" else language_model(cell=kind, embedding_size=6, num_layers=2)
    session = exported(model, tmp_path, int8=True)
    ids, state = tokens(model, 11, 3), parity.named_state(seen(model, 3))
    together, _ = parity.run(session, ids, LENGTHS, state)
    for row in range(2):
        rows = slice(row, row + 1)
        alone, _ = parity.run(session, ids[:, rows], LENGTHS[rows], {name: a[rows] for name, a in state.items()})
        agrees(alone, together[:, rows], f"row {row}", tolerance=2e-6)


@pytest.mark.parametrize("shape", ["one-hot", "embedded", "no bias", "projected", "adaptive"])
@pytest.mark.parametrize("cell", GATES)
def test_int8_is_the_runtime_with_rounded_weights(tmp_path, cell, shape):
    """And without biases where there are none: what is left is the rounding of activations."""
    model = language_model(0.5, cell=cell, **SHAPES[shape])
    session = exported(model, tmp_path, int8=True)
    rounded = {name: fake_quantized(name, array) for name, array in model._tensors.items()}
    rounded = runtime.LanguageModel.from_parts(model.config, rounded, model.tokenizer)
    ids = tokens(model, 11, 3)
    want, after = rounded(ids, lengths=LENGTHS)
    got, got_after = parity.run(session, ids, LENGTHS, parity.named_state(model.initial_state(3)))
    agrees(want, got, "log_probs", tolerance=0.05)
    for name, array in parity.named_state(after).items():
        agrees(array, got_after[name], name, tolerance=0.02)


def fake_quantized(name, array):
    """A weight as int8 has it, by output channel; biases stay."""
    if array.ndim == 1:
        return array
    scale = np.abs(array).max(axis=1, keepdims=True) / np.float32(127)
    return (np.rint(array / scale) * scale).astype(np.float32)


@pytest.mark.parametrize("cell", GATES)
def test_int8_is_the_same_with_and_without_the_runtimes_fusions(tmp_path, cell):
    """ONNX Runtime 1.31 fuses a product with scales for each row as if there were one: it must not find that here."""
    model = language_model(cell=cell, embedding_size=6, num_layers=2)
    fused = exported(model, tmp_path, int8=True)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    plain = onnxruntime.InferenceSession(tmp_path / "model.onnx", options, providers=["CPUExecutionProvider"])
    ids, state = tokens(model, 11, 3), parity.named_state(seen(model, 3))
    want, after = parity.run(plain, ids, LENGTHS, state)
    got, got_after = parity.run(fused, ids, LENGTHS, state)
    agrees(want, got, "log_probs")
    for name, array in after.items():
        agrees(array, got_after[name], name)


@pytest.mark.parametrize("cell", GATES)
def test_int8_is_what_onnx_itself_computes(tmp_path, cell):
    """By its reference evaluator: nothing rests on one runtime. (Its own LSTM, GRU and RNN read no lengths.)"""
    model = language_model(cell=cell, embedding_size=6, num_layers=2, tied=True)
    session = exported(model, tmp_path, int8=True)
    reference = onnx.reference.ReferenceEvaluator(str(tmp_path / "model.onnx"))
    ids, state = tokens(model, 11, 3), parity.named_state(seen(model, 3))
    want, after = parity.run(reference, ids, LENGTHS, state)
    got, got_after = parity.run(session, ids, LENGTHS, state)
    agrees(want, got, "log_probs")
    for name, array in after.items():
        agrees(array, got_after[name], name)


@pytest.mark.parametrize("cell", GATES)
def test_int8_costs_at_most_one_percent_and_takes_at_most_30_percent(tmp_path, cell):
    size = 256 if "weight_hh" in CELLS[cell].parameters else 1536  # beside few weights the graph itself counts
    language_model(0.15, cell=cell, hidden_size=size).save(tmp_path)
    report = export.to_onnx(tmp_path, int8=True)
    assert report["passes"] and report["relative_loss"] <= 0.01
    assert report["bytes"] / report["fp32_bytes"] <= 0.3
    assert report["fp32_bytes"] == export.to_onnx(tmp_path)["bytes"]


# ---- the file --------------------------------------------------------------------------------------------------------


def all_nodes(graph):
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from all_nodes(attribute.g)


@pytest.mark.parametrize("int8", [False, True], ids=["fp32", "int8"])
@pytest.mark.parametrize("cell", GATES)
def test_the_file_is_valid_with_standard_operators_and_states_opset_state_and_bundle(tmp_path, cell, int8):
    model = language_model(cell=cell, num_layers=2)
    exported(model, tmp_path, int8=int8)
    written = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(written, full_check=True)
    assert [(entry.domain, entry.version) for entry in written.opset_import] == [("", 17)]
    assert {node.domain for node in all_nodes(written.graph)} == {""}
    parts = [f"{part}_l{layer}" for layer in range(2) for part in CELLS[cell].parts]
    assert [value.name for value in written.graph.input] == ["ids", "sequence_lens", *parts]
    assert [value.name for value in written.graph.output] == ["log_probs", *(f"next_{part}" for part in parts)]
    shapes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in itertools.chain(written.graph.input, written.graph.output)
    }
    V, H = model.vocab_size, model.config["model"]["hidden_size"]
    assert (shapes["ids"], shapes["log_probs"], shapes["next_h_l1"]) == (["T", "B"], ["T", "B", V], ["B", H])
    notes = {entry.key: entry.value for entry in written.metadata_props}
    assert notes["rnnkit.bundle"] == model.digest
    assert notes["rnnkit.begin_id"] == str(model.begin_id)
    assert notes["rnnkit.precision"] == ("int8" if int8 else "fp32")


@pytest.mark.parametrize("int8", [False, True], ids=["fp32", "int8"])
def test_a_tied_table_is_stored_once(tmp_path, int8):
    model = language_model(embedding_size=5, tied=True)
    exported(model, tmp_path, int8=int8)
    shapes = [list(array.dims) for array in onnx.load(tmp_path / "model.onnx").graph.initializer]
    assert shapes.count([model.vocab_size, 5]) == 1
    assert shapes.count([5, model.vocab_size]) == 0


@pytest.mark.parametrize("int8", [False, True], ids=["fp32", "int8"])
@pytest.mark.parametrize("embedding_size", [0, 6])
def test_a_token_outside_the_vocabulary_is_refused(tmp_path, embedding_size, int8):
    model = language_model(embedding_size=embedding_size)
    session = exported(model, tmp_path, int8=int8)
    ids = np.full((1, 1), model.vocab_size)
    with pytest.raises(Exception, match="indices element out of data bounds"):
        parity.run(session, ids, np.array([1]), parity.named_state(model.initial_state()))


def test_the_same_run_gives_the_same_bytes(tmp_path):
    language_model().save(tmp_path)
    first, second = (export.to_onnx(tmp_path, tmp_path / name) for name in ("a.onnx", "b.onnx"))
    assert first["sha256"] == second["sha256"]


# ---- the report ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("int8", [False, True], ids=["fp32", "int8"])
def test_the_report_lies_beside_the_file_and_names_both(tmp_path, int8):
    model = language_model(0.3, hidden_size=30)
    model.save(tmp_path)
    report = export.to_onnx(tmp_path, int8=int8)
    path = export.default_path(tmp_path, int8=int8)
    assert json.loads(export.report_path(path).read_bytes()) == report
    assert report["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert report["bundle"] == model.digest
    assert report["passes"] is True
    assert runtime.LanguageModel.load(tmp_path).digest == model.digest  # the bundle is what it was


def test_the_report_measures_what_the_runtime_says_of_a_text(tmp_path):
    model = language_model()
    model.save(tmp_path)
    (tmp_path / "my.txt").write_text(tiny.TEXT * 12)
    report = export.to_onnx(tmp_path, sample=tmp_path / "my.txt")
    ids = model.tokenizer.encode(tiny.TEXT * 12)
    want = model.total_nll(ids, [0, len(ids) // 2, len(ids) // 2 + len(ids) // 3]) / len(ids)
    assert report["sample"] == {"source": str(tmp_path / "my.txt"), "num_tokens": len(ids)}
    assert report["nats_per_token"]["runtime"] == pytest.approx(want, rel=1e-6)
    assert report["nats_per_token"]["onnx"] == pytest.approx(want, rel=1e-6)


def test_without_a_sample_it_is_the_bundles_own_held_out_tokens(tmp_path):
    config, tensors, tokens = tiny.parts(hidden_size=7)
    ids = tokens.encode(tiny.TEXT * 3)
    kept = {evaluation.NAME: evaluation.to_bytes(ids, np.array([0]))}
    write_bundle(tmp_path, config=config, tensors=tensors, files=tiny.files(tokens) | kept)
    report = export.to_onnx(tmp_path)
    assert report["sample"] == {"source": "held-out text kept in the bundle", "num_tokens": len(ids)}
    (tmp_path / "my.txt").write_text(tiny.TEXT * 3)
    assert report["nats_per_token"] == export.to_onnx(tmp_path, sample=tmp_path / "my.txt")["nats_per_token"]


@pytest.mark.parametrize("cell", ["lstm", "gru_after"])
def test_gates_in_the_wrong_order_do_not_pass(tmp_path, monkeypatch, cell):
    monkeypatch.setitem(gate_order.ONNX, cell, tuple(range(GATES[cell])))
    language_model(cell=cell).save(tmp_path)
    report = export.to_onnx(tmp_path)
    assert report["passes"] is False
    assert report["log_probs"]["max_relative"] > 1e-3


def test_a_model_that_computes_no_numbers_is_refused_and_nothing_is_written(tmp_path):
    config, tensors, tokens = tiny.parts()
    tensors["head.weight"] = np.copysign(np.float32(3e38), tensors["head.weight"])  # differences overflow
    runtime.LanguageModel.from_parts(config, tensors, tokens).save(tmp_path)
    with pytest.raises(DataError, match="this runtime computes numbers that are none"):
        export.to_onnx(tmp_path)
    assert not list(tmp_path.glob("*.onnx*"))


def test_what_cannot_be_exported_is_refused_and_nothing_is_written(tmp_path):
    run = tmp_path / "run"
    language_model().save(run)
    (tmp_path / "short.txt").write_text("th")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ArgumentError, match="sample has 2 tokens"):
        export.to_onnx(run, sample=tmp_path / "short.txt")
    with pytest.raises(DataError, match=r"none\.txt"):
        export.to_onnx(run, sample=tmp_path / "none.txt")
    with pytest.raises(BundleError, match="nowhere"):
        export.to_onnx(tmp_path / "nowhere")
    assert sorted(tmp_path.rglob("*")) == before
    window_mlp().save(tmp_path / "mlp")
    with pytest.raises(ArgumentError, match="no tokeniser"):
        export.to_onnx(tmp_path / "mlp", sample=tmp_path / "short.txt")
