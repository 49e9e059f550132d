"""An exported tagger scores as the runtime does: words, features, frames, both directions, a CRF, chunks, int8."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from rnnkit import export, runtime, text
from rnnkit.bundle import evaluation, schema, write_bundle
from rnnkit.errors import ArgumentError, SchemaError
from rnnkit.export import parity
from rnnkit.export.cost import judged, output_of, relative_loss

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

LENGTHS = np.array([11, 4, 0, 1], np.int32)
FEATURES = {"shape": ["x", "Xx"], "suffix2": ["he", "ox"]}
PLAIN: dict[str, Any] = {"num_characters": 0, "character_embedding_size": 0, "character_hidden_size": 0}
SHAPES: dict[str, dict[str, Any]] = {
    "words": {"crf": False, "scheme": None},
    "words, forwards": {"crf": False, "scheme": None, "bidirectional": False, "num_layers": 2, "cell": "gru_after"},
    "features": {"crf": False, "features": True},
    "features, forwards": {"crf": False, "scheme": None, "features": True, "bidirectional": False},
    "crf": {"outside_bias": 0.75},
    "crf, forwards, features": {"bidirectional": False, "features": True},
    "frames": {"vocab_size": 0, "input_size": 3, "embedding_size": 0, "crf": False, "scheme": None},
    "frames, forwards": {"vocab_size": 0, "input_size": 3, "embedding_size": 0, "crf": False, "scheme": None,
                         "bidirectional": False, "num_layers": 2, "trainable_state": True, "layer_norm": True},
}  # fmt: skip


def make(scale: float = 1.0, *, features: bool = False, **shape: Any) -> runtime.Transducer:
    words = text.WordReader.build([tiny.TEXT.split()], with_characters=False)
    if features:
        words = text.WordReader(words.words, features=FEATURES, lowercase=True)
        shape |= {"num_features": words.num_features, "features_per_word": 2, "feature_embedding_size": 5}
    config, _, _ = tiny.tagger()
    config["model"] |= {**PLAIN, "vocab_size": words.vocab_size, **shape}
    arrays = {name: array * np.float32(scale) for name, array in tiny.tensors(config, 0).items()}
    if config["model"]["input_size"]:
        arrays["scale.deviation"] = np.abs(arrays["scale.deviation"]) + 1
    return runtime.Transducer(config, arrays, labels=tiny.TAGS, words=None if config["model"]["input_size"] else words)


def exported(model: runtime.Transducer, folder: Path, **options: Any) -> Any:
    model.save(folder / "run")
    report = export.to_onnx(folder / "run", folder / "model.onnx", **options)
    return parity.start_session((folder / "model.onnx").read_bytes()), report


def rows(model: runtime.Transducer) -> list[np.ndarray]:
    given = parity.random_sequences(model, 4)
    longest = [model.encode([*itertools.islice(itertools.cycle(one), 11)]) for one in given]
    return [array[:length] for array, length in zip(longest, LENGTHS, strict=True)]


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_it_scores_as_the_runtime_does_and_its_chunks_too(tmp_path: Path, shape: dict[str, Any]) -> None:
    model = make(**shape)
    session, report = exported(model, tmp_path)
    output = output_of(model.config["model"])
    arrays = rows(model)
    x = np.full((11, 4, *arrays[0].shape[1:]), 10**6, arrays[0].dtype)  # what stands behind a row's end is not read
    for row, array in enumerate(arrays):
        x[: len(array), row] = array
    fresh = parity.named_state(model.initial_state(4)) if model.is_causal else {}
    got, after = parity.run(session, x, LENGTHS, fresh, output=output)
    for row, want in enumerate(model._scores(arrays)):
        np.testing.assert_allclose(got[: len(want), row], want, atol=1e-5)
        assert not got[len(want) :, row].any()
    assert report["passes"]
    assert report["agreement"] == 1
    assert report[output]["max_relative"] <= 1e-5
    assert ("state" in report) is model.is_causal
    if model.is_causal:
        pieces, state, offset = [], fresh, 0
        for size in (1, 4, 6):
            left = np.clip(LENGTHS - offset, 0, size)
            piece, state = parity.run(session, x[offset : offset + size], left, state)
            pieces.append(piece)
            offset += size
        np.testing.assert_allclose(np.concatenate(pieces), got, atol=1e-5)
        for name, array in after.items():
            np.testing.assert_allclose(state[name], array, atol=1e-5, err_msg=name)


def test_the_metadata_decides_as_the_runtime_does(tmp_path: Path) -> None:
    """By trying all label sequences, with nothing but the file."""
    model = make(outside_bias=0.75)
    session, _ = exported(model, tmp_path)
    known = session.get_modelmeta().custom_metadata_map
    labels, chain = json.loads(known["rnnkit.labels"]), json.loads(known["rnnkit.chain"])
    sentence = ["the", "quick", "fox", "unknown"]
    scores, _ = parity.run(session, model.encode(sentence)[:, None], np.array([4]), {}, output="scores")
    scores = scores[:, 0]
    scores[:, labels.index("O")] -= float(known["rnnkit.outside_bias"])

    def total(path: tuple[int, ...]) -> float:
        between = [chain["start"][path[0]], chain["end"][path[-1]]]
        between += [chain["transition"][a][b] for a, b in itertools.pairwise(path)]
        return -np.inf if None in between else sum(between) + sum(scores[t, y] for t, y in enumerate(path))

    best = max(itertools.product(range(len(labels)), repeat=4), key=total)
    assert [labels[y] for y in best] == model.predict([sentence])[0]
    if "I-x" in labels:
        assert chain["start"][labels.index("I-x")] is None


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_int8_is_near_the_runtime_in_int8(tmp_path: Path, shape: dict[str, Any]) -> None:
    model = make(0.5, **shape)
    session, report = exported(model, tmp_path, int8=True)
    arrays, output = rows(model), output_of(model.config["model"])
    fresh = parity.named_state(model.initial_state(1)) if model.is_causal else {}
    rounded = runtime.Transducer.load(tmp_path / "run", precision="int8")
    for array, want in zip(arrays, rounded._scores(arrays), strict=True):
        if len(array):
            got, _ = parity.run(session, array[:, None], np.array([len(array)]), fresh, output=output)
            np.testing.assert_allclose(got[:, 0], want, atol=0.1)
    assert report["bytes"] < report["fp32_bytes"] or report["fp32_bytes"] < 30_000  # of a few weights nodes weigh more


def test_characters_and_a_sample_are_refused_by_name(tmp_path: Path) -> None:
    config, arrays, words = tiny.tagger()
    runtime.Transducer(config, arrays, labels=tiny.TAGS, words=words).save(tmp_path / "run")
    with pytest.raises(ArgumentError, match=r"reads words by their characters, which has no ONNX file; .*--no-char"):
        export.to_onnx(tmp_path / "run")
    make(**SHAPES["words"]).save(tmp_path / "plain")
    with pytest.raises(ArgumentError, match="leave the sample out"):
        export.to_onnx(tmp_path / "plain", sample=tmp_path / "x.conll")
    assert not list(tmp_path.rglob("*.onnx"))


# ---- what the bundle keeps -------------------------------------------------------------------------------------------


def kept(model: runtime.Transducer, folder: Path) -> list[Any]:
    """Saved with sequences whose labels are what it says itself."""
    sequences = parity.random_sequences(model, 40)
    ids = {label: number for number, label in enumerate(model.labels)}
    targets = [np.array([ids[label] for label in row]) for row in model.predict(sequences)]
    files = model._files | evaluation.of_steps(sequences, targets)
    write_bundle(folder, config=model.config, tensors=model._tensors, files=files)
    return sequences


@pytest.mark.parametrize("name", ["crf", "frames", "words, forwards"])
def test_what_eight_bits_cost_is_measured_on_what_the_bundle_keeps(name: str, tmp_path: Path) -> None:
    model = make(**SHAPES[name])
    sequences = kept(model, tmp_path / "run")
    sample = runtime.Transducer.load(tmp_path / "run").evaluation_sample()
    assert sample is not None
    assert len(sample[0]) == len(sequences)
    assert all(np.array_equal(a, b) for a, b in zip(sample[0], sequences, strict=True))
    found = judged(model, sample)
    assert found["accuracy"] == 1
    assert ("f1" in found) is (name == "crf")
    report = export.to_bundle(tmp_path / "run", tmp_path / "small", int8=True)
    rounded = runtime.Transducer.load(tmp_path / "run", precision="int8")
    assert report["accuracy"] == {"fp32": 1, "int8": judged(rounded, sample)["accuracy"]}
    assert report["nats_per_step"]["int8"] != report["nats_per_step"]["fp32"]
    figure = "f1" if name == "crf" else "accuracy"
    assert report["relative_loss"] == 1 - report[figure]["int8"] / report[figure]["fp32"]
    onnx = export.to_onnx(tmp_path / "run", int8=True)
    assert onnx["sample"] == {"source": "held-out sequences kept in the bundle", "num_sequences": 40}
    assert onnx[figure]["runtime"] == 1
    assert relative_loss({"f1": 0.5, "accuracy": 0.9}, {"f1": 0.4, "accuracy": 0.9}) == pytest.approx(0.2)


def test_a_sample_that_lies_is_refused() -> None:
    words = {"inputs": [["a", "b"]], "labels": [[0, 2]]}
    frames = {"inputs": [[[0.5, 1]]], "labels": [[1]]}
    assert evaluation.steps_from_files({}, num_labels=3, input_size=0) is None
    for value, size, message in (
        (words | {"labels": [[0, 3]]}, 0, r"labels must be in 0\.\.2"),
        (words | {"labels": [[0]]}, 0, "lists of words, with a label each"),
        (words | {"labels": []}, 0, "with labels for each"),
        (words | {"inputs": [["a", 1]]}, 0, "lists of words"),
        (words | {"more": 1}, 0, "must hold inputs and labels"),
        (words, 2, "lists of frames of 2 numbers"),
        (frames, 3, "lists of frames of 3 numbers"),
        (frames, 0, "lists of words"),
        (frames | {"inputs": [[[0.5, True]]]}, 2, "lists of frames of 2 numbers"),
    ):
        with pytest.raises(SchemaError, match=message):
            files = {evaluation.NAME: json.dumps(value).encode()}
            evaluation.steps_from_files(files, num_labels=3, input_size=size)
    assert schema.FORMAT == 1
