"""A classifier in the run half: what the learn half computes, the same bits in every company, refusals by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import rnnkit
from rnnkit import data, runtime, text
from rnnkit.bundle import schema
from rnnkit.bundle.schema import CELLS
from rnnkit.errors import ArgumentError, BundleError, DtypeError, SchemaError, ShapeError, StateError
from rnnkit.models.acceptor import Acceptor, AcceptorConfig
from rnnkit.state import State

ALL = ("last", "max", "mean", "attention")
TOKENS = text.build("char", ["abcdefghij"])
VOCABULARY = ["the", "a", "fine", "film", "dull"]
SPELLED = text.WordReader(VOCABULARY, "adefhilmntu", max_characters=5, split_punctuation=True)
SPELLING = {
    "vocab_size": SPELLED.vocab_size,
    "num_characters": SPELLED.num_characters,
    "character_embedding_size": 3,
    "character_hidden_size": 4,
}
MARKED = text.WordReader(VOCABULARY, "adef", features={"suffix2": ["ne", "lm"]}, split_punctuation=False)
FEATURED = {
    **SPELLING,
    "num_characters": MARKED.num_characters,
    "num_features": MARKED.num_features,
    "features_per_word": 1,
    "feature_embedding_size": 2,
}
SHAPES: dict[str, dict[str, Any]] = {
    "plain": {"bidirectional": False},
    "last": {},
    "deep": {"hidden_size": (7, 5), "readout": ALL, "cell": "gru_after"},
    "elman": {"cell": "elman_tanh", "readout": ("attention", "last"), "bidirectional": False, "bias": False},
    "frames": {"input_size": 3, "vocab_size": 0, "embedding_size": 0, "readout": ALL, "num_layers": 2},
    "normed": {"layer_norm": True, "zoneout": (0.1, 0.3), "residual": True, "trainable_state": True, "num_layers": 3},
    "states": {"readout": ("states",), "num_layers": 2, "trainable_state": True},
    "states among others": {"readout": ("max", "states"), "hidden_size": (7, 5), "proj_size": 3},
    "several labels": {"multi_label": True, "readout": ("max", "last")},
    "spelled": {**SPELLING, "readout": ALL, "num_layers": 2},
    "spelled, with features": {**FEATURED, "cell": "gru_after", "multi_label": True},
    "projected": {"proj_size": 5, "num_layers": 2, "readout": ALL, "chrono": 9},
}


def make(shape: dict[str, Any], seed: int = 0) -> tuple[Acceptor, runtime.Acceptor]:
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {"vocab_size": TOKENS.vocab_size, "embedding_size": 6, "hidden_size": 8, "num_labels": 3}
    learnt = Acceptor(AcceptorConfig(**(sizes | shape))).eval()
    with torch.no_grad():
        for tensor in learnt.state_dict().values():
            tensor.copy_(torch.randn_like(tensor).abs() + 0.1 if tensor.min() > 0 else torch.randn_like(tensor) * 0.5)
    config, tensors = learnt.export()
    return learnt, runtime.Acceptor(config, tensors, labels=["x", "y", "z"], **vocabulary(config["model"]))


def vocabulary(model: dict[str, Any]) -> dict[str, Any]:
    if model["num_characters"]:
        return {"words": MARKED if model["num_features"] else SPELLED}
    return {"tokenizer": TOKENS} if model["vocab_size"] else {}


def sequences(model: runtime.Acceptor, count: int = 90) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    lengths = [0, 1, *rng.integers(1, 30, count - 2)]
    if model.words is not None:
        known = [*VOCABULARY, "The", "films", "unknown", "", "thefilm"]
        return [model.words.encode([known[i] for i in rng.integers(0, len(known), length)]) for length in lengths]
    if model.tokenizer is None:
        return [rng.normal(size=(length, 3)).astype(np.float32) for length in lengths]
    return [rng.integers(0, 10, length) for length in lengths]


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_it_agrees_with_the_learn_half(shape: dict[str, Any]) -> None:
    learnt, model = make(shape)
    given = sequences(model)
    inputs, lengths = data.padded(given)
    with torch.no_grad():
        wanted = learnt.log_prob(learnt(torch.from_numpy(inputs), lengths=torch.from_numpy(lengths))[0])[0].numpy()
    np.testing.assert_allclose(wanted, model.log_probs(given), atol=1e-5)
    assert np.ptp(wanted, axis=0).max() > 0.1


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_company_changes_no_bit(shape: dict[str, Any]) -> None:
    _, model = make(shape)
    given = sequences(model)
    together = model.log_probs(given)
    for chosen in ([0], [5], [1, 40], list(range(89, 60, -1))):
        assert np.array_equal(together[chosen], model.log_probs([given[row] for row in chosen]))


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_it_comes_back_from_its_bundle_and_the_schema_knows_its_tensors(shape: dict[str, Any], tmp_path: Path) -> None:
    learnt, model = make(shape)
    config, tensors = learnt.export()
    assert {name: array.shape for name, array in tensors.items()} == schema.check_config(config)
    digest = model.save(tmp_path)
    loaded = rnnkit.load(tmp_path)
    assert isinstance(loaded, rnnkit.Classifier)
    assert (loaded.digest, loaded.labels) == (digest, ["x", "y", "z"])
    given = sequences(model)
    assert np.array_equal(model.log_probs(given), loaded.log_probs(given))
    again = Acceptor.from_export(config, tensors)
    assert all(
        torch.equal(a, b) for a, b in zip(again.state_dict().values(), learnt.state_dict().values(), strict=True)
    )


CAUSAL: dict[str, dict[str, Any]] = {
    **{cell: {"cell": cell, "readout": ALL, "num_layers": 2} for cell in CELLS},
    "last": {"hidden_size": (7, 5)},
    "mean": {"readout": ("mean",), "bias": False},
    "states": {"readout": ("states", "max"), "hidden_size": (7, 5), "multi_label": True},
    "attention": {"readout": ("attention", "last"), "precision": "int8"},
    "frames": {"input_size": 3, "vocab_size": 0, "embedding_size": 0, "readout": ALL},
    "spelled": {**SPELLING, "readout": ALL},
    "spelled, int8": {**SPELLING, "precision": "int8"},
    "frames, bf16": {"input_size": 3, "vocab_size": 0, "embedding_size": 0, "readout": ("max",), "precision": "bf16"},
}


@pytest.mark.parametrize("shape", CAUSAL.values(), ids=CAUSAL)
def test_whole_chunks_and_steps_give_the_bits_of_the_sequence_alone(shape: dict[str, Any]) -> None:
    """So does a state that was away as bytes, a fork, and a stream that starts afresh beside others."""
    precision = shape.get("precision")
    _, model = make({name: value for name, value in shape.items() if name != "precision"} | {"bidirectional": False})
    model = runtime.Acceptor(
        model.config,
        model._tensors,
        labels=model.labels,
        tokenizer=model.tokenizer,
        words=model.words,
        precision=precision,
    )
    lengths, T, rng = np.array([40, 17, 0, 1, 39]), 40, np.random.default_rng(5)
    given = rng.normal(size=(T, 5, 3)).astype(np.float32) if "input_size" in shape else rng.integers(0, 10, (T, 5))
    if model.words is not None:
        known = [*VOCABULARY, "films", "unknown"]
        given = np.stack([model.words.encode([known[i % 7] for i in row]) for row in given])
    garbage = given.copy()
    garbage[np.arange(T)[:, None] >= lengths] = -(10**9)
    whole, after = model(garbage, lengths=lengths)
    rows = [given[:n, row] for row, n in enumerate(lengths)]
    assert np.array_equal(whole, model.log_probs(rows))
    for cuts in ([3, 4], range(0, T, 5), range(1, T)):
        state: Any = model.initial_state(5)
        for first, piece in zip([0, *cuts], np.split(garbage, [*cuts]), strict=True):
            decided, state = model(piece, state, lengths=np.clip(lengths - first, 0, len(piece)))
            state = State.from_bytes(state.to_bytes(), like=model.initial_state())
        assert np.array_equal(decided, whole)
        assert state == after
    state = model.initial_state(2)
    for t in range(lengths[1]):
        seen, state = model.step(given[t, [0, 1]], state)
    assert np.array_equal(seen[1], whole[1])
    decided, state = model.step(given[0, [4, 4]], state.reset([1]))
    assert np.array_equal(decided[1:], model.log_probs([given[:1, 4]]))
    assert not np.array_equal(decided[0], decided[1])


def test_a_state_goes_on_in_its_own_model_only_and_never_backwards() -> None:
    _, model = make(SHAPES["elman"])
    _, other = make(SHAPES["elman"], seed=1)
    with pytest.raises(StateError, match="belongs to model"):
        model([[1]], other.initial_state())
    with pytest.raises(ShapeError, match=r"state part 0\.h is float32 \[2, 8\]"):
        model([[1]], model.initial_state(2))
    with pytest.raises(ShapeError, match=r"lengths must be 1 integers in 0\.\.1"):
        model([[1]], lengths=[2])
    _, both = make(SHAPES["deep"])
    for call in (both.initial_state, lambda: both([[1]]), lambda: both.step(1)):
        with pytest.raises(ArgumentError, match="also reads from the end"):
            call()
    _, frames = make(SHAPES["frames"] | {"bidirectional": False})
    with pytest.raises(ShapeError, match=r"wanted are frames \[T, B, 3\]"):
        frames(np.zeros((4, 3)))
    with pytest.raises(ArgumentError, match="not finite"):
        frames(np.full((2, 1, 3), np.inf))
    with pytest.raises(SchemaError, match="is of kind acceptor, not language_model; "):
        runtime.LanguageModel(model.config, model._tensors, TOKENS)


def test_texts_are_read_by_its_tokeniser_and_labels_are_words() -> None:
    _, model = make(SHAPES["deep"])
    given = ["abc", "", "jihgf", "?!"]
    assert np.array_equal(model.log_probs(given), model.log_probs([TOKENS.encode(line) for line in given]))
    shares = model.predict_proba(given)
    np.testing.assert_allclose(np.ones(4), shares.sum(1), rtol=1e-6)
    assert model.predict(given) == [model.labels[best] for best in shares.argmax(1)]
    assert model.predict([]) == []


def test_what_it_cannot_read_is_refused_by_number() -> None:
    _, model = make(SHAPES["deep"])
    with pytest.raises(DtypeError, match=r"a single text; put it in a list"):
        model.predict("abc")
    with pytest.raises(DtypeError, match=r"sequence 1 is float64 \[2\]"):
        model.predict(["abc", [0.5, 1.5]])
    _, frames = make(SHAPES["frames"])
    with pytest.raises(ShapeError, match=r"sequence 0 is float64 \[4, 2\], wanted \[T, 3\]"):
        frames.predict([np.zeros((4, 2))])
    with pytest.raises(ArgumentError, match="sequence 0 holds a value that is not finite"):
        frames.predict([np.full((4, 3), np.nan)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"readout": ["first"]}, r"model\.readout \['first'\] must be a list of different ones of last, max"),
        ({"readout": []}, r"model\.readout"),
        ({"input_size": 4}, r"one is 0: a model reads tokens or frames"),
        ({"num_labels": 1}, r"model\.num_labels is 1; an integer from 2"),
        ({"cell": "mystery"}, r"model\.cell 'mystery' is not known"),
        ({"bidirectional": 1}, r"model\.bidirectional is 1; true or false"),
        ({"tied": True}, r"unknown key 'tied'"),
        ({"multi_label": 1}, r"model\.multi_label is 1; true or false"),
        ({"residual": True}, r"model\.residual needs two layers"),
    ],
)
def test_a_configuration_that_lies_is_refused(change: dict[str, Any], message: str) -> None:
    config, _ = make(SHAPES["last"])[0].export()
    with pytest.raises(SchemaError, match=message):
        schema.check_config({**config, "model": {**config["model"], **change}})


def test_a_bundle_without_its_labels_or_tokeniser_is_refused(tmp_path: Path) -> None:
    learnt, model = make(SHAPES["last"])
    config, tensors = learnt.export()
    for labels in (["x", "y"], ["x", "y", "y"]):
        with pytest.raises(SchemaError, match="2 different labels, the model has 3 outputs"):
            runtime.Acceptor(config, tensors, labels=labels, tokenizer=TOKENS)
    files = dict(model._files)
    for name in list(files):
        rest = {other: content for other, content in files.items() if other != name}
        with pytest.raises(BundleError, match=name):
            rnnkit.bundle.write_bundle(tmp_path / name, config=config, tensors=tensors, files=rest)
            rnnkit.load(tmp_path / name)
    with pytest.raises(SchemaError, match="is of kind acceptor, not language_model; "):
        model.save(tmp_path / "whole")
        rnnkit.LanguageModel.load(tmp_path / "whole")


def test_spelling_tells_unseen_words_apart_and_a_text_is_cut_into_them() -> None:
    _, model = make(SHAPES["spelled"])
    seen, other = model.log_probs(["a film", "a filn"])
    assert not np.array_equal(seen, other)
    unseen, other = model.log_probs(["a flim", "a mlif"])  # one id, that of unknown words
    assert model.encode("flim")[0, 0] == model.encode("mlif")[0, 0] == 0
    assert np.abs(unseen - other).max() > 1e-4
    for alike in ("a  dull,film", "a dull , film", ["a", "dull", ",", "film"], "a dull\n,film"):
        assert np.array_equal(model.log_probs([alike]), model.log_probs(["a dull, film"]))


def test_words_are_stepped_through_one_by_one() -> None:
    _, model = make(SPELLING | {"bidirectional": False, "readout": ALL})
    state = None
    for word in ("a", "dull", "films"):
        seen, state = model.step(word, state)
    assert np.array_equal(seen, model.log_probs(["a dull films"]))
    both, _ = model.step(["a", "dull"])
    assert np.array_equal(both, model.log_probs(["a", "dull"]))


def test_words_that_are_not_the_models_are_refused(tmp_path: Path) -> None:
    learnt, model = make(SHAPES["spelled"])
    config, tensors = learnt.export()
    given: dict[str, Any] = {"labels": ["x", "y", "z"]}
    for words, message in (
        (None, "the vocabulary has 0 words and 0 characters, the model 6 and 12"),
        (MARKED, "the vocabulary has 6 words and 5 characters"),
        (text.WordReader(VOCABULARY, SPELLED.characters, max_characters=5), "must say how a text is cut"),
    ):
        with pytest.raises(SchemaError, match=message):
            runtime.Acceptor(config, tensors, words=words, **given)
    with pytest.raises(SchemaError, match="in place of a tokeniser"):
        runtime.Acceptor(config, tensors, words=SPELLED, tokenizer=TOKENS, **given)
    with pytest.raises(DtypeError, match="sequence 1: a list of words is wanted"):
        model.predict(["a", ["a", 3]])
    with pytest.raises(ShapeError, match=r"sequence 0 is int64 \[2\], wanted are integers \['T', 6\]"):
        model.predict([np.zeros(2, np.int64)])
    _, forwards = make(SPELLING | {"bidirectional": False})
    with pytest.raises(ShapeError, match=r"wanted are words \[T, B, 6\]"):
        forwards(np.zeros((3, 2), np.int64))
    model._files = {name: content for name, content in model._files.items() if name != "words.json"}
    model.save(tmp_path)
    with pytest.raises(SchemaError, match=r"lists no words\.json"):
        runtime.Acceptor.load(tmp_path)
