"""A tagger in the run half: what the learn half computes, the same bits whole, in chunks and by steps, refusals."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rnnkit import data, runtime
from rnnkit.bundle import schema
from rnnkit.errors import ArgumentError, ConfigError, DtypeError, SchemaError, ShapeError, StateError
from rnnkit.metrics import spans
from rnnkit.metrics.chain import Chain, best_path, best_paths, log_marginals
from rnnkit.models import frame_cnn
from rnnkit.models.transducer import NO_TARGET, Transducer, TransducerConfig
from rnnkit.text import WordReader

VOCABULARY = ["the", "cat", "sat", "on", "a", "mat"]
WORDS = WordReader(VOCABULARY)
SPELLED = WordReader(VOCABULARY, "acehmnost", lowercase=True, max_characters=4)
FEATURES = {"shape": ["x", "Xx"], "suffix2": ["at", "he", "on"]}
MARKED = WordReader(VOCABULARY, "acehmnost", features=FEATURES, lowercase=True, max_characters=4)
FEATURED = WordReader(VOCABULARY, features=FEATURES)
LABELS = ["B-x", "I-x", "O"]
SPELLING = {"num_characters": SPELLED.num_characters, "character_embedding_size": 3, "character_hidden_size": 4}
TABLE = {"num_features": MARKED.num_features, "features_per_word": 2, "feature_embedding_size": 5}
SHAPES: dict[str, dict[str, Any]] = {
    "words": {},
    "forwards": {"bidirectional": False, "num_layers": 2},
    "spelled": {**SPELLING, "hidden_size": (7, 5), "cell": "gru_after"},
    "spelled-forwards": {**SPELLING, "bidirectional": False},
    "scheme": {"scheme": "bio"},
    "crf": {"crf": True, "scheme": "bio", **SPELLING},
    "features": {**TABLE, "bidirectional": False},
    "features-spelled": {**TABLE, **SPELLING, "crf": True, "scheme": "bio", "outside_bias": 1.5},
    "crf-free": {"crf": True},
    "frames": {"input_size": 3, "vocab_size": 0, "embedding_size": 0, "bidirectional": False, "cell": "elman_tanh"},
}
PICTURES: dict[str, Any] = {"input_size": 60, "frame_shape": (5, 6, 2), "cnn_channels": (4, 3), "embedding_size": 0}
SHAPES |= {
    "pictures": {**PICTURES, "vocab_size": 0},
    "pictures-forwards": {**PICTURES, "vocab_size": 0, "cnn_kernel": 5, "bidirectional": False, "num_layers": 2},
}
STREAMING = [name for name, shape in SHAPES.items() if not shape.get("bidirectional", True)]


def make(name: str, seed: int = 0) -> tuple[Transducer, runtime.Transducer]:
    shape = SHAPES[name]
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {"vocab_size": WORDS.vocab_size, "embedding_size": 6, "hidden_size": 8, "num_labels": 3}
    learnt = Transducer(TransducerConfig(**(sizes | shape))).eval()
    with torch.no_grad():
        for tensor in learnt.state_dict().values():
            tensor.copy_(torch.randn_like(tensor).abs() + 0.1 if tensor.min() > 0 else torch.randn_like(tensor))
    config, tensors = learnt.export()
    shape = config["model"]
    with_features, plain = (MARKED, FEATURED), (SPELLED, WORDS)
    words = (with_features if shape["num_features"] else plain)[not shape["num_characters"]]
    words = None if shape["input_size"] else words
    return learnt, runtime.Transducer(config, tensors, labels=LABELS, words=words)


def sequences(model: runtime.Transducer, count: int = 90) -> list[Any]:
    rng = np.random.default_rng(3)
    lengths = [0, 1, *rng.integers(1, 20, count - 2)]
    if model._cnn is not None:
        return [rng.integers(0, 256, (length, 5, 6, 2), np.uint8) for length in lengths]
    if model.words is None:
        return [rng.normal(size=(length, 3)).astype(np.float32) for length in lengths]
    known = [*VOCABULARY, "Cat", "cats", "unknown", "", "mats!"]
    return [[known[i] for i in rng.integers(0, len(known), length)] for length in lengths]


@pytest.mark.parametrize("name", SHAPES)
def test_it_agrees_with_the_learn_half(name: str) -> None:
    learnt, model = make(name)
    given = [model.encode(sequence) for sequence in sequences(model)]
    inputs, lengths = data.padded(given)
    targets = torch.from_numpy(np.random.default_rng(0).integers(0, 3, inputs.shape[:2]))
    targets[torch.arange(len(targets))[:, None] >= torch.from_numpy(lengths)] = NO_TARGET
    with torch.no_grad():
        features, _ = learnt(torch.from_numpy(inputs), lengths=torch.from_numpy(lengths))
        wanted = (learnt.logits if learnt.crf else learnt.log_prob)(features).numpy()
        losses = learnt.loss(features, targets).numpy()
    scored = model._scores(given)
    for row, scores in enumerate(scored):
        np.testing.assert_allclose(wanted[: len(scores), row], scores, rtol=0, atol=1e-5)
        if learnt.crf is None:
            own = targets[: len(scores), row].numpy()
            np.testing.assert_allclose(losses[: len(scores), row], -scores[range(len(own)), own], rtol=0, atol=1e-5)
    assert not losses[np.arange(len(losses))[:, None] >= lengths].any()


def test_the_loss_of_a_crf_is_that_of_all_label_sequences_counted_out() -> None:
    learnt, model = make("crf-free")
    assert learnt.crf is not None
    given = [model.encode(sequence) for sequence in (["the", "cat", "sat", "on"], ["a"], [], ["mat", "the"])]
    inputs, lengths = data.padded(given)
    with torch.no_grad():
        features, _ = learnt(torch.from_numpy(inputs), lengths=torch.from_numpy(lengths))
        logits = learnt.logits(features).numpy()
        for row, length in enumerate(lengths):
            chain = Chain(*(getattr(learnt.crf, part).numpy() for part in Chain._fields))
            nats = _all_paths(logits[:length, row], chain)
            for path, score in nats.items():
                targets = torch.full(inputs.shape[:2], NO_TARGET)
                targets[:length, row] = torch.tensor(path, dtype=torch.long)
                total = learnt.loss(features, targets)[:, row].sum()
                assert total.item() == pytest.approx(-score if length else 0, abs=1e-4)


def _all_paths(scores: np.ndarray, chain: Chain) -> dict[tuple[int, ...], float]:
    """log p of every label sequence, by trying them all."""
    totals = {}
    for path in itertools.product(range(3), repeat=len(scores)):
        if path:
            total = chain.start[path[0]] + chain.end[path[-1]] + sum(scores[t, y] for t, y in enumerate(path))
            totals[path] = float(total + sum(chain.transition[a, b] for a, b in itertools.pairwise(path)))
    most = max(totals.values(), default=0.0)
    norm = most + np.log(sum(np.exp(total - most) for total in totals.values())) if totals else 0.0
    return {path: total - norm for path, total in totals.items()}


def test_best_path_and_marginals_are_those_of_all_paths_counted_out() -> None:
    rng = np.random.default_rng(1)
    for length in (1, 2, 5):
        chain = Chain(*(rng.normal(size=shape).astype(np.float32) for shape in (3, (3, 3), 3)))
        chain.transition[2, 1] = chain.start[1] = -np.inf
        scores = rng.normal(size=(length, 3)).astype(np.float32)
        paths = _all_paths(scores, chain)
        assert tuple(best_path(scores, chain)) == max(paths, key=lambda path: paths[path])
        wanted = np.zeros((length, 3))
        for path, total in paths.items():
            for t, y in enumerate(path):
                wanted[t, y] += np.exp(total)
        np.testing.assert_allclose(wanted, np.exp(log_marginals(scores, chain)), atol=1e-6)


def test_paths_side_by_side_are_those_of_each_alone() -> None:
    rng = np.random.default_rng(2)
    chain = Chain(*(rng.normal(size=shape).astype(np.float32) for shape in (3, (3, 3), 3)))
    lengths = np.array([7, 1, 4, 0])
    scores = rng.normal(size=(7, 4, 3)).astype(np.float32)
    for row, length in enumerate(lengths):  # what lies behind a row's end is of no account
        scores[length:, row] = np.nan
    paths = best_paths(scores, lengths, chain)
    for row, length in enumerate(lengths):
        assert np.array_equal(best_path(scores[:length, row], chain), paths[:length, row])


def test_a_lower_score_of_o_moves_what_is_predicted_and_no_probability() -> None:
    learnt, model = make("features-spelled")
    config, tensors = learnt.export()
    given = sequences(model)
    found = {}
    for bias in (-1e4, 0.0, 1e4):
        changed = {**config, "model": {**config["model"], "outside_bias": bias}}
        other = runtime.Transducer(changed, tensors, labels=LABELS, words=MARKED)
        found[bias] = [label for row in other.predict(given) for label in row]
        for wanted, got in zip(model.log_probs(given), other.log_probs(given), strict=True):
            assert np.array_equal(wanted, got)
    assert {*found[-1e4]} == {"O"}
    assert "O" not in found[1e4]
    assert {*found[0.0]} == {"O", "B-x", "I-x"}


@pytest.mark.parametrize("name", SHAPES)
def test_company_changes_no_bit(name: str) -> None:
    _, model = make(name)
    given = sequences(model)
    together, labels = model.log_probs(given), model.predict(given)
    for chosen in ([0], [5], [1, 40], list(range(89, 60, -1))):
        rows = [given[row] for row in chosen]
        for row, scores, tags in zip(chosen, model.log_probs(rows), model.predict(rows), strict=True):
            assert np.array_equal(together[row], scores)
            assert labels[row] == tags
    assert model.predict([]) == []


@pytest.mark.parametrize("name", STREAMING)
def test_whole_and_chunks_and_steps_are_the_same_bits(name: str) -> None:
    _, model = make(name)
    rows = [sequence for sequence in sequences(model) if len(sequence) >= 9][:4]
    rows = [row[:9] for row in rows]
    whole = np.stack(model.log_probs(rows), axis=1)
    state = None
    for first, end in ((0, 4), (4, 5), (5, 9)):
        log_probs, state = model([row[first:end] for row in rows], state)
        assert np.array_equal(whole[first:end], log_probs)
    state = model.initial_state(4)
    for t in range(9):
        inputs = [row[t] for row in rows]
        log_probs, state = model.step(np.array(inputs) if model.words is None else inputs, state)
        assert np.array_equal(whole[t], log_probs)


@pytest.mark.parametrize("name", ["scheme", "crf"])
def test_impossible_tags_are_never_predicted(name: str) -> None:
    _, model = make(name)
    given = sequences(model)
    assert all(spans.fault_of(tags, "bio") is None for tags in model.predict(given))
    greedy = [[LABELS[best] for best in scores.argmax(1)] for scores in model._scores(given)]
    assert any(spans.fault_of(tags, "bio") for tags in greedy)


@pytest.mark.parametrize("name", SHAPES)
def test_it_comes_back_from_its_bundle_and_the_schema_knows_its_tensors(name: str, tmp_path: Path) -> None:
    learnt, model = make(name)
    config, tensors = learnt.export()
    assert {name: array.shape for name, array in tensors.items()} == schema.check_config(config)
    digest = model.save(tmp_path)
    loaded = runtime.Transducer.load(tmp_path)
    assert (loaded.digest, loaded.labels) == (digest, LABELS)
    given = sequences(model)
    for ours, theirs in zip(model.log_probs(given), loaded.log_probs(given), strict=True):
        assert np.array_equal(ours, theirs)
    again = Transducer.from_export(config, tensors)
    assert all(
        torch.equal(a, b) for a, b in zip(again.state_dict().values(), learnt.state_dict().values(), strict=True)
    )


def test_what_it_cannot_read_is_refused_by_name() -> None:
    _, model = make("crf")
    with pytest.raises(DtypeError, match=r"sequence 1: a list of words is wanted, got 'the cat'"):
        model.predict([["the"], "the cat"])
    with pytest.raises(ShapeError, match=r"sequence 0 is int64 \[2\], wanted are integers \['T', 5\]"):
        model.predict([np.zeros(2, np.int64)])
    with pytest.raises(ArgumentError, match="scores whole sequences of labels, so no state can go on"):
        model.step(["the"])
    with pytest.raises(ArgumentError, match="this tagger also reads from the end"):
        make("words")[1].step(["the"])
    _, forwards = make("forwards")
    with pytest.raises(ShapeError, match=r"the rows have \[1, 2\] steps"):
        forwards([["the"], ["the", "cat"]])
    with pytest.raises(ShapeError, match="inputs is an empty list; give a sequence for each"):
        forwards([])
    for wrong in (np.zeros(3, np.int64), np.zeros((3, 2, 5), np.int64), np.zeros((3, 2))):
        with pytest.raises(ShapeError, match=rf"x is {wrong.dtype} \[3.*\], wanted are words \[T, B\]"):
            forwards(wrong)
    for shape in ((3,), (3, 2), (3, 2, 2), (3, 2, 4, 5)):
        with pytest.raises(ShapeError, match=r"wanted are words \[T, B, 5\]; encode them with"):
            make("spelled-forwards")[1](np.zeros(shape, np.int64))
    _, state = forwards.step(["the"])
    with pytest.raises(StateError, match="belongs to model"):
        make("spelled-forwards")[1].step(["the"], state)
    _, frames = make("frames")
    with pytest.raises(ShapeError, match=r"sequence 0 is float64 \[4, 2\], wanted \[T, 3\]"):
        frames.predict([np.zeros((4, 2))])


def test_pictures_are_bytes_or_numbers_of_0_to_1_also_side_by_side() -> None:
    _, model = make("pictures-forwards")
    given = sequences(model, 6)[2:]
    as_numbers = [one.astype(np.float32) / np.float32(255) for one in given]
    wanted = model.log_probs(given)
    mixed = model.log_probs([given[0], *as_numbers[1:]])
    for bytes_alone, with_numbers in zip(wanted, mixed, strict=True):
        assert np.array_equal(bytes_alone, with_numbers)
    log_probs, _ = model([given[0][:1], as_numbers[1][:1]])
    assert np.array_equal(np.stack([wanted[0][0], wanted[1][0]]), log_probs[0])


def test_pictures_it_cannot_read_are_refused_by_name() -> None:
    _, model = make("pictures-forwards")
    good = np.zeros((3, 5, 6, 2), np.uint8)
    with pytest.raises(ShapeError, match=r"sequence 1 has the shape \[3, 6, 5, 2\], its last axes must be \[5, 6, 2\]"):
        model.predict([good, good.transpose(0, 2, 1, 3)])
    with pytest.raises(ShapeError, match=r"sequence 0 has the shape \[3, 60\], wanted \['T', 5, 6, 2\]"):
        model.predict([good.reshape(3, 60)])
    with pytest.raises(ShapeError, match=r"sequence 0 is int64; wanted are bytes \(uint8\), or floats of 0 to 1"):
        model.predict([good.astype(int)])
    spoilt = good.astype(np.float32)
    spoilt[1, 2, 3, 1] = np.nan
    with pytest.raises(ArgumentError, match="sequence 1 holds a value that is not finite"):
        model.predict([good, spoilt])
    with pytest.raises(ArgumentError, match="inputs holds a value that is not finite"):
        model(spoilt[:, None])
    with pytest.raises(ShapeError, match=r"inputs has the shape \[3, 5, 6, 2\], wanted are pictures"):
        model(good)
    with pytest.raises(ArgumentError, match="also reads from the end"):
        make("pictures")[1].step(good[:1])


def test_frame_by_frame_knows_of_no_other_frame() -> None:
    _, model = make("pictures")
    alone = runtime.FrameByFrame(model)
    (clip,) = sequences(model, 3)[2:]
    clip = np.concatenate([clip, clip[:1]])
    (scores,) = alone.log_probs([clip])
    assert np.array_equal(scores[0], scores[-1])  # the same picture
    assert np.array_equal(scores[:1], model.log_probs([clip[:1]])[0])
    assert not np.array_equal(scores, model.log_probs([clip])[0])
    labels = [[LABELS[best] for best in scores.argmax(1)]]
    assert alone.predict([clip]) == labels
    assert [one.shape for one in alone.log_probs([clip[:0], clip[:2]])] == [(0, 3), (2, 3)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frame_shape": [5, 6]}, r"model\.frame_shape \[5, 6\], .*wanted are height, width and channels"),
        ({"frame_shape": [5, 6, 3]}, r"input_size numbers in all"),
        ({"frame_shape": [5, 6, -2]}, r"must be sizes"),
        ({"frame_shape": "5x6x2"}, r"must be sizes"),
        ({"frame_shape": [5, True, 2]}, r"must be sizes"),
        ({"cnn_channels": []}, r"some layers"),
        ({"cnn_channels": [2**40]}, r"must be sizes"),
        ({"cnn_kernel": 4}, r"an odd window"),
        ({"cnn_kernel": 0}, r"must be sizes"),
        ({"frame_shape": []}, r"some layers|height, width"),
        ({"vocab_size": 7, "input_size": 0, "embedding_size": 6}, r"input_size numbers in all"),
    ],
)
def test_a_configuration_of_pictures_that_lies_is_refused(change: dict[str, Any], message: str) -> None:
    config, _ = make("pictures")[0].export()
    with pytest.raises(SchemaError, match=message):
        schema.check_config({**config, "model": {**config["model"], **change}})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frame_shape": (5, 6)}, "are height, width and channels, of input_size=60 in all"),
        ({"frame_shape": (5, 6, 1)}, "are height, width and channels, of input_size=60 in all"),
        ({"frame_shape": ()}, "give both or neither"),
        ({"cnn_channels": ()}, "give both or neither"),
        ({"cnn_channels": (4, 0)}, "cnn_channels"),
        ({"cnn_kernel": 2}, "must be odd"),
    ],
)
def test_a_model_of_pictures_that_does_not_fit_together_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TransducerConfig(**{**PICTURES, "num_labels": 3, **change})


def test_how_far_a_window_moves_is_the_same_in_both_halves_and_in_the_schema() -> None:
    assert frame_cnn.STRIDE == schema.CNN_STRIDE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scheme": "bilou"}, r"model\.scheme 'bilou' is not known"),
        ({"crf": 1}, r"model\.crf is 1; true or false"),
        ({"num_characters": 0}, r"they go together, and with tokens"),
        ({"num_features": 5}, r"num_features, model\.features_per_word, .* are 5, 0, 0; they go together"),
        ({"outside_bias": "1"}, r"model\.outside_bias is 1; a finite number is wanted"),
        ({"outside_bias": float("nan")}, r"model\.outside_bias is nan; a finite number is wanted"),
        ({"outside_bias": 1.0, "scheme": None}, r"model\.outside_bias is 1\.0; .* with a scheme of spans"),
        ({"vocab_size": 0, "input_size": 3, "embedding_size": 0}, r"they go together, and with tokens"),
        ({"readout": ["last"]}, r"unknown key 'readout'"),
    ],
)
def test_a_configuration_that_lies_is_refused(change: dict[str, Any], message: str) -> None:
    config, _ = make("crf")[0].export()
    with pytest.raises(SchemaError, match=message):
        schema.check_config({**config, "model": {**config["model"], **change}})


def test_a_bundle_without_its_words_or_with_others_is_refused(tmp_path: Path) -> None:
    learnt, model = make("crf")
    config, tensors = learnt.export()
    with pytest.raises(SchemaError, match="the vocabulary has 7 words and 0 characters, the model 7 and 10"):
        runtime.Transducer(config, tensors, labels=LABELS, words=WORDS)
    with pytest.raises(SchemaError, match="the vocabulary has 7 values of 2 features, the model 0 and 0"):
        runtime.Transducer(config, tensors, labels=LABELS, words=MARKED)
    with pytest.raises(SchemaError, match="the label 'NOUN' is no tag of BIO"):
        runtime.Transducer(config, tensors, labels=["NOUN", "O", "B-x"], words=SPELLED)
    model._files = {name: content for name, content in model._files.items() if name != "words.json"}
    model.save(tmp_path)
    with pytest.raises(SchemaError, match=r"lists no words\.json"):
        runtime.Transducer.load(tmp_path)


def test_the_schemes_of_a_bundle_are_those_of_the_metrics() -> None:
    assert schema.SCHEMES == spans.SCHEMES
