"""A bidirectional language model without torch: the same bits in every company and window, and refusals by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from rnnkit import runtime
from rnnkit.errors import ArgumentError, DtypeError, SchemaError, ShapeError
from rnnkit.runtime import likelihood

SHAPES: list[dict[str, Any]] = [
    {"hidden_size": 8},
    {"hidden_size": [8, 5], "num_layers": 2, "cell": "gru_after", "embedding_size": 4},
    {"hidden_size": 8, "num_layers": 2, "residual": True, "embedding_size": 4, "trainable_state": True},
]


def make(**shape: Any) -> runtime.BidirectionalLanguageModel:
    tokens = tiny.tokenizer()
    config = tiny.config("bidirectional_language_model", vocab_size=tokens.vocab_size, **shape)
    return runtime.BidirectionalLanguageModel(config, tiny.tensors(config), tokens)


@pytest.fixture(params=SHAPES, ids=["lstm", "two widths", "residual"])
def model(request: pytest.FixtureRequest) -> runtime.BidirectionalLanguageModel:
    return make(**request.param)


def tokens(size: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, tiny.tokenizer().vocab_size, size)


def test_no_bit_of_a_place_depends_on_its_token_and_some_of_every_other_do(
    model: runtime.BidirectionalLanguageModel,
) -> None:
    ids = tokens(20).reshape(10, 2)
    before = model(ids)
    for at in range(10):
        other = ids.copy()
        other[at, 0] = (other[at, 0] + 1) % model.vocab_size
        changed = (model(other) != before).any(axis=2)
        assert changed[:, 0].tolist() == [t != at for t in range(10)]
        assert not changed[:, 1].any()
    np.testing.assert_allclose(np.exp(before).sum(2), 1, atol=1e-5)


def test_a_row_is_itself_in_every_company_and_length(model: runtime.BidirectionalLanguageModel) -> None:
    ids, lengths = tokens(36).reshape(9, 4), np.array([9, 1, 0, 5])
    together = model(np.where(np.arange(9)[:, None] < lengths, ids, 10**9), lengths=lengths)
    for row, length in enumerate(lengths):
        assert together[:length, row].tobytes() == model(ids[:length, row : row + 1])[:, 0].tobytes()
        assert not together[length:, row].any()
    assert model(np.zeros((0, 2), int)).shape == (0, 2, model.vocab_size)
    assert model(np.zeros((3, 0), int)).shape == (3, 0, model.vocab_size)


def test_documents_of_any_length_cost_the_same_in_windows_of_any_size(
    model: runtime.BidirectionalLanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, starts = tokens(61), [0, 1, 30, 34, 35, 60]
    ends = [*starts[1:], 61]
    want = np.concatenate(
        [
            -model(ids[a:b, None])[np.arange(b - a), 0, ids[a:b]].astype(np.float64)
            for a, b in zip(starts, ends, strict=True)
        ]
    )
    for rows in (1, 2, 3, 7, 12, 100, 4096):
        monkeypatch.setattr(likelihood, "_MAX_ROWS", rows)
        np.testing.assert_array_equal(want, model.nll(ids, document_starts=starts))
        assert model.total_nll(ids, starts) == pytest.approx(want.sum(), rel=1e-12)
    assert not np.array_equal(want, model.nll(ids))  # a border is seen
    assert model.nll(ids[:0]).shape == (0,)


def test_a_text_is_scored_as_one_document_or_line_by_line(model: runtime.BidirectionalLanguageModel) -> None:
    whole, lines = model.score(tiny.TEXT), model.score(tiny.TEXT, reset_per_line=True)
    encoded = [model.tokenizer.encode(line) for line in tiny.TEXT.splitlines(keepends=True)]
    assert whole.nll == pytest.approx(model.nll(np.concatenate(encoded)).sum())
    assert lines.nll == pytest.approx(sum(model.nll(line).sum() for line in encoded))
    assert lines.nll != whole.nll
    assert whole.num_tokens == len(tiny.TEXT)
    assert whole.pseudo_perplexity == pytest.approx(np.exp(whole.nll / len(tiny.TEXT)))
    assert not [name for name in whole.to_dict() if name == "perplexity" or "bits" in name or "per_char" in name]
    unknown = model.score("the QUICK")
    assert unknown.nll > model.nll(model.tokenizer.encode("the QUICK")).sum() + 4 * model.tokenizer.unknown_nats


def test_what_fills_a_gap_is_what_the_whole_text_says_of_it(model: runtime.BidirectionalLanguageModel) -> None:
    encoded = model.tokenizer.encode("the quick brown")
    log_probs = model(encoded[:, None])[5, 0]
    found = model.fill("the q", "ick brown", k=4)
    best = np.argsort(-log_probs, kind="stable")[:4]
    assert [name for name, _ in found] == [model.tokenizer.token_text(int(token)) for token in best]
    np.testing.assert_allclose([p for _, p in found], np.exp(log_probs[best]), rtol=1e-6)
    assert len(model.fill("", k=100)) == model.vocab_size


@pytest.mark.parametrize("readout", ["last", "mean", "max", ["max", "last"]])
def test_a_vector_has_both_directions_each_over_all_of_a_text(
    model: runtime.BidirectionalLanguageModel, readout: Any
) -> None:
    kinds = {"last": lambda h: h[-1], "mean": lambda h: h.mean(0), "max": lambda h: h.max(0)}
    names = [readout] if isinstance(readout, str) else readout
    texts = ["the quick", "", "fox", "lazy dog\n", *["brown fox jumps"[:n] for n in range(1, 15)]] * 4

    def outputs(text: str) -> np.ndarray:
        ids = model.tokenizer.encode(text)
        found = []
        for stack, order in ((model._before, ids), (model._after, ids[::-1])):
            parts, hidden = stack.initial(1), []
            for token in [model.begin_id, *order.tolist()]:
                h, parts = stack.step(np.array([token]), parts)
                hidden.append(h[0])
            found.append(np.stack(hidden))
        return np.concatenate(found, axis=1)

    found = model.embed(texts, readout=readout)
    for text, vector in zip(texts[:18], found, strict=False):
        want = np.concatenate([kinds[name](outputs(text)) for name in names])
        np.testing.assert_allclose(want, vector, atol=1e-6)
        assert model.embed([text], readout=readout)[0].tobytes() == vector.tobytes()
        assert model.embed([model.tokenizer.encode(text)], readout=readout)[0].tobytes() == vector.tobytes()


def test_a_word_order_tells_both_halves_of_a_vector_apart(model: runtime.BidirectionalLanguageModel) -> None:
    forwards, backwards = model.embed(["fox dog", "god xof"])
    half = len(forwards) // 2
    assert not np.allclose(forwards[:half], backwards[:half]) and not np.allclose(forwards[half:], backwards[half:])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: m.initial_state(2), ArgumentError, "also reads from the end, so no state can go on"),
        (lambda m: m.step([1]), ArgumentError, "so it cannot be stepped"),
        (lambda m: m.generate("the"), ArgumentError, "so it cannot write; use fill"),
        (lambda m: m.beam_search("the"), ArgumentError, "so it cannot write"),
        (lambda m: m.complete("the", k=2), ArgumentError, "does not continue a text; fill"),
        (lambda m: m.fill("the", k=0), ArgumentError, "k is 0"),
        (lambda m: m([[10**6]]), ArgumentError, r"ids must lie in 0\.\."),
        (lambda m: m.nll([0, -1]), ArgumentError, r"ids must lie in 0\.\."),
        (lambda m: m.nll([0, 10**6, 1]), ArgumentError, r"ids must lie in 0\.\."),
        (lambda m: m.nll([0.5]), DtypeError, "ids must be integers"),
        (lambda m: m([1, 2]), ShapeError, r"\[T, B\]"),
        (lambda m: m([[1], [2]], lengths=[3]), ShapeError, "lengths must be 1 integers"),
        (lambda m: m.nll([1, 2], document_starts=[1, 1]), ArgumentError, "document_starts must rise"),
        (lambda m: m.embed("a text"), DtypeError, "single text"),
        (lambda m: m.score(""), ArgumentError, "num_tokens is 0"),
    ],
)
def test_what_it_cannot_do_is_refused_by_name(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(make(hidden_size=8))


def test_its_bundle_is_refused_where_one_direction_is_wanted(tmp_path: Path) -> None:
    make(hidden_size=8).save(tmp_path)
    with pytest.raises(SchemaError, match="reads what is before and after each token, so it cannot write"):
        runtime.LanguageModel.load(tmp_path)
    again = runtime.BidirectionalLanguageModel.load(tmp_path, precision="int8")
    assert again.score("the fox").nll == pytest.approx(make(hidden_size=8).score("the fox").nll, rel=0.05)
