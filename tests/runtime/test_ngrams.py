"""A classifier with n-grams beside its layers: sums as counted by hand, the same bits in pieces and in company."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from rnnkit import runtime, text
from rnnkit.bundle.ngrams import NgramList
from rnnkit.errors import ArgumentError, MissingFileError, SchemaError, ShapeError, StateError, TensorError
from rnnkit.state import State
from rnnkit.text.ngrams import NgramNumbers

WORDS = text.WordReader(["the", "a", "fine", "film"], "adefhilmntu", max_characters=5, split_punctuation=True)
SPELLING = {"num_characters": WORDS.num_characters, "character_embedding_size": 3, "character_hidden_size": 4}
SHAPES: dict[str, dict[str, Any]] = {
    "pairs": {"order": 2},
    "single tokens": {"order": 1, "bidirectional": False},
    "with ends": {"order": 3, "with_ends": True},
    "forwards, every readout": {
        "order": 4, "with_ends": True, "bidirectional": False,
        "readout": ["last", "max", "mean", "attention", "states"],
    },
    "several labels": {"order": 2, "multi_label": True, "bidirectional": False, "with_ends": True},
    "spelled": {"order": 2, "bidirectional": False, "words": WORDS},
}  # fmt: skip
FORWARD = [name for name, shape in SHAPES.items() if not shape.get("bidirectional", True)]


def grams_of(sequences: list[np.ndarray], shape: dict[str, Any], vocab_size: int) -> np.ndarray:
    """All of them, without a text's ends alone."""
    numbers = NgramNumbers(shape["order"], vocab_size)
    ids = [rows if rows.ndim == 1 else rows[:, 0] for rows in sequences]
    found = np.concatenate([numbers.of(one, with_ends=shape.get("with_ends", False)) for one in ids])
    return found[found != numbers.end]


def make(shape: dict[str, Any], *, seed: int = 0, **more: Any) -> runtime.Acceptor:
    """One that knows most n-grams of half of `texts`."""
    own = {name: value for name, value in shape.items() if name not in ("order", "with_ends", "words")}
    words: text.WordReader | None = shape.get("words")
    own |= {} if words is None else {**SPELLING, "vocab_size": words.vocab_size}
    vocab_size = words.vocab_size if words else tiny.tokenizer().vocab_size
    known = np.unique(grams_of(texts(shape)[::2], shape, vocab_size))[::1]
    known = known[np.arange(len(known)) % 7 != 0]
    own |= {"ngram_order": shape["order"], "num_ngrams": len(known)}
    config, arrays, tokenizer = tiny.classifier(seed=seed, **own)
    given: dict[str, Any] = {"tokenizer": tokenizer} if words is None else {"words": words}
    ngrams = NgramList(known, shape.get("with_ends", False))
    return runtime.Acceptor(config, arrays, labels=tiny.LABELS, **{"ngrams": ngrams, **given, **more})


def texts(shape: dict[str, Any], count: int = 80) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    lengths = [0, 1, 2, *rng.integers(1, 30, count - 3)]
    if (words := shape.get("words")) is not None:
        known = ["the", "a", "fine", "film", "flim"]
        return [words.encode([known[i] for i in rng.integers(0, 5, length)]) for length in lengths]
    return [rng.integers(0, 6, length) for length in lengths]


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_decision_is_the_layers_and_the_sum_of_counted_weights(shape: dict[str, Any]) -> None:
    model, given = make(shape), texts(shape)
    assert model._ngrams is not None
    known = dict(zip(model._ngrams._grams.tolist(), model._tensors["ngrams.weight"].astype(np.float64), strict=True))
    vocab_size = model.config["model"]["vocab_size"]
    beside = np.zeros((len(given), 3))
    num_unknown = 0
    for row, sequence in enumerate(given):
        for gram, count in Counter(grams_of([sequence], shape, vocab_size).tolist()).items():
            beside[row] += count * known.get(gram, np.zeros(3))
            num_unknown += gram not in known
    logits = model._head(model.embed(given)) + beside
    wanted = -np.logaddexp(0, -logits) if model.is_multi_label else logits - np.logaddexp.reduce(logits, 1)[:, None]
    np.testing.assert_allclose(wanted, model.log_probs(given), atol=2e-5)
    assert num_unknown > 10 and np.ptp(beside, axis=0).min() > 1


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_company_changes_no_bit(shape: dict[str, Any]) -> None:
    model, given = make(shape), texts(shape)
    together = model.log_probs(given)
    for chosen in ([0], [5], [1, 40], list(range(79, 50, -1))):
        assert np.array_equal(together[chosen], model.log_probs([given[row] for row in chosen]))


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
@pytest.mark.parametrize("name", FORWARD)
def test_whole_chunks_and_steps_give_the_bits_of_the_text_alone(name: str, precision: str) -> None:
    """Also through a state that was away as bytes, and for rows that end within a chunk."""
    shape = SHAPES[name]
    model = make(shape, precision=precision)
    rows = [row for row in texts(shape) if len(row) >= 12][:5]
    assert len(rows) == 5
    x = np.stack([row[:12] for row in rows], axis=1)
    wanted = [model.log_probs([row[:12] for row in rows])[at] for at in range(5)]
    whole, after = model(x)
    assert np.array_equal(wanted, whole)
    for cuts in ([5], [1, 2, 3], [0, 11], list(range(12))):
        state = None
        for piece in np.split(x, cuts):
            log_probs, state = model(piece, state)
            state = State.from_bytes(state.to_bytes(), like=model.initial_state())
        assert np.array_equal(wanted, log_probs)
        assert state == after
    state = model.initial_state(5)
    for at, step in enumerate(x):
        log_probs, state = model.step(step, state)
        assert np.array_equal(log_probs, model.log_probs([row[: at + 1] for row in rows]))
    lengths = np.array([12, 0, 3, 1, 7])
    ragged, state = model(x, lengths=lengths)
    assert np.array_equal(ragged, model.log_probs([row[:n] for row, n in zip(rows, lengths, strict=True)]))
    rest, state = model(x[7:], state, lengths=np.array([0, 0, 0, 0, 5]))
    assert np.array_equal(rest[4], wanted[4])
    assert state[[4]] == after[[4]]
    afresh, _ = model.step(x[0], state.reset([0, 4]))
    assert np.array_equal(afresh[[0, 4]], model.log_probs([rows[0][:1], rows[4][:1]]))


def test_the_state_says_which_tokens_came_last(tmp_path: Path) -> None:
    model = make(SHAPES["forwards, every readout"])
    _, state = model(np.array([[3], [1]]))
    assert state.layers[-1]["last_tokens"].tolist() == [[0, 4, 2]]
    assert model.initial_state().layers[-1]["last_tokens"].tolist() == [[0, 0, 0]]
    layers = [dict(layer) for layer in state.layers]
    layers[-1]["last_tokens"] = layers[-1]["last_tokens"][:, 1:]
    with pytest.raises(ShapeError, match=r"last_tokens is int64 \[1, 2\], int64 \[1, 3\] is wanted"):
        model(np.array([[3]]), State(layers, model=model.digest))
    with pytest.raises(StateError, match="belongs to model"):
        make(SHAPES["forwards, every readout"], seed=1)(np.array([[3]]), state)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_it_comes_back_from_its_bundle(shape: dict[str, Any], tmp_path: Path) -> None:
    model, given = make(shape), texts(shape)
    digest = model.save(tmp_path)
    loaded = runtime.Acceptor.load(tmp_path)
    assert loaded.digest == digest == model.digest
    assert np.array_equal(model.log_probs(given), loaded.log_probs(given))
    assert np.array_equal(model.embed(given), loaded.embed(given))
    without = {name: content for name, content in model._files.items() if name != "ngrams.json"}
    model._files = without
    model.save(tmp_path / "without")
    with pytest.raises(MissingFileError, match=r"lists no ngrams\.json"):
        runtime.Acceptor.load(tmp_path / "without")


def test_a_list_that_is_not_the_models_is_refused() -> None:
    model = make(SHAPES["pairs"])
    known = model._ngrams._grams  # type: ignore[union-attr]
    assert len(known) > 20
    for wrong, message in (
        (None, "has n-grams of up to 2 tokens; give their list"),
        (NgramList(known[1:], False), "n-grams, the model has"),
        (NgramList(known[::-1].copy(), False), "must rise"),
        (NgramList(np.where(np.arange(len(known)) == 3, known[2], known), False), "must rise"),
        (NgramList(known - known[0], False), "must rise within 1"),
        (NgramList(known + 10**6, False), "must rise within 1"),
        (NgramList(np.sort([tiny.tokenizer().vocab_size + 1, *known[1:]]), False), "without 30"),
    ):
        with pytest.raises(SchemaError, match=message):
            make(SHAPES["pairs"], ngrams=wrong)
    config, arrays, tokenizer = tiny.classifier()
    with pytest.raises(SchemaError, match="up to 0 tokens; give their list with it, or neither"):
        runtime.Acceptor(
            config, arrays, labels=tiny.LABELS, tokenizer=tokenizer, ngrams=NgramList(known, with_ends=False)
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_ngrams": 0}, "they go together"),
        ({"ngram_order": 9}, r"model\.ngram_order is 9; at most 8"),
        ({"ngram_order": True}, r"model\.ngram_order is True; an integer"),
        ({"input_size": 3, "vocab_size": 0, "embedding_size": 0}, "they go together, and with tokens"),
        ({"num_ngrams": 3}, r"tensor ngrams\.weight has the shape \[4, 3\], the configuration wants \[3, 3\]"),
        ({"ngram_order": 8, "vocab_size": 29}, None),
    ],
)
def test_a_configuration_that_lies_is_refused(change: dict[str, Any], message: str | None) -> None:
    config, arrays, tokenizer = tiny.classifier(ngram_order=2, num_ngrams=4)
    config["model"] |= change
    known = NgramList(np.array([1, 2, 3, 31]), with_ends=False)
    given: dict[str, Any] = {"labels": tiny.LABELS, "tokenizer": tokenizer, "ngrams": known}
    if message is None:
        runtime.Acceptor(config, arrays, **given)
        return
    with pytest.raises((SchemaError, TensorError), match=message):
        runtime.Acceptor(config, arrays, **given)


def test_numbers_beyond_64_bits_are_refused() -> None:
    tokens = text.build("word", [" ".join(f"w{number}" for number in range(300))])
    config, arrays, _ = tiny.classifier(ngram_order=2, num_ngrams=2)
    config["model"] |= {"ngram_order": 8, "vocab_size": tokens.vocab_size}
    arrays["embedding.weight"] = np.zeros((tokens.vocab_size, 6), np.float32)
    with pytest.raises(ArgumentError, match="8-grams over 302 tokens do not fit 64 bits"):
        runtime.Acceptor(
            config, arrays, labels=tiny.LABELS, tokenizer=tokens, ngrams=NgramList(np.array([1, 2]), with_ends=False)
        )
