"""Vectors of texts: what a step-by-step run has at its end, the same bits in every company, refusals by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny

from rnnkit import runtime
from rnnkit.errors import ArgumentError, DtypeError
from rnnkit.kernels import heads

TEXTS = ["the quick", "", "fox", "lazy dog\n", "o", *["brown fox jumps"[:n] for n in range(1, 15)]] * 5  # above 64
SHAPES: list[dict[str, Any]] = [
    {"hidden_size": 8},
    {"hidden_size": [8, 5], "num_layers": 2, "cell": "gru_after"},
    {"hidden_size": 8, "num_layers": 2, "residual": True, "embedding_size": 4},
]


@pytest.fixture(params=SHAPES, ids=["lstm", "two widths", "residual"])
def model(request: pytest.FixtureRequest) -> runtime.LanguageModel:
    return runtime.LanguageModel.from_parts(*tiny.parts(**request.param))


def outputs(model: runtime.LanguageModel, text: str) -> np.ndarray:
    """The top layer's output after the begin token and each of the text, one step at a time, [T + 1, H]."""
    parts, found = model._initial_parts(1), []
    for token in [model.begin_id, *model.tokenizer.encode(text).tolist()]:
        h, parts = model._step(np.array([token]), parts)
        found.append(h[0])
    return np.stack(found)


@pytest.mark.parametrize("readout", ["last", "mean", "max", ["max", "last", "mean"]])
def test_a_text_is_read_out_of_the_outputs_of_its_steps(model: runtime.LanguageModel, readout: Any) -> None:
    kinds = {"last": lambda h: h[-1], "mean": lambda h: h.mean(0), "max": lambda h: h.max(0)}
    names = [readout] if isinstance(readout, str) else readout
    wanted = [np.concatenate([kinds[name](outputs(model, text)) for name in names]) for text in TEXTS[:19]]
    found = model.embed(TEXTS, readout=readout)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.array(wanted), found[:19], atol=1e-6)
    assert len({vector.tobytes() for vector in found[:19]}) > 9  # a longer text may have the maximum of a shorter one


def test_a_text_has_the_same_vector_in_every_company_and_by_its_ids(model: runtime.LanguageModel) -> None:
    together = model.embed(TEXTS, readout=["last", "mean", "max"])
    for text, vector in zip(TEXTS[:19], together, strict=False):
        (alone,) = model.embed([text], readout=["last", "mean", "max"])
        (by_ids,) = model.embed([model.tokenizer.encode(text)], readout=["last", "mean", "max"])
        assert alone.tobytes() == by_ids.tobytes() == vector.tobytes()
    assert model.embed([]).shape == (0, together.shape[1] // 3)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("a text", "last"), DtypeError, "single text"),
        ((["a"], "attention"), ArgumentError, "'attention' must be one or more of last, mean, max"),
        ((["a"], []), ArgumentError, "one or more of"),
        ((["a"], ["last", "last"]), ArgumentError, "each once"),
        (([[0.5]], "last"), DtypeError, "ids must be integers"),
        (([[99]], "last"), ArgumentError, r"ids must lie in 0\.\.\d+, got 99"),
    ],
)
def test_what_has_no_vector_is_refused(arguments: Any, error: type[Exception], message: str) -> None:
    model = runtime.LanguageModel.from_parts(*tiny.parts(hidden_size=8))
    with pytest.raises(error, match=message):
        model.embed(arguments[0], readout=arguments[1])


@pytest.mark.parametrize(
    "shape", [{}, {"readout": ["max", "attention"], "bidirectional": False}, {"input_size": 3, "embedding_size": 0}]
)
def test_a_classifier_gives_what_its_head_reads(shape: dict[str, Any]) -> None:
    config, tensors, tokenizer = tiny.classifier(**shape)
    model = runtime.Acceptor(config, tensors, labels=tiny.LABELS, tokenizer=tokenizer)
    rng = np.random.default_rng(0)
    given: list[Any] = TEXTS if tokenizer else [rng.normal(size=(n % 9, 3)).astype(np.float32) for n in range(90)]
    vectors = model.embed(given)
    logits = vectors @ tensors["head.weight"].T + tensors["head.bias"]
    np.testing.assert_allclose(heads.log_softmax(logits), model.log_probs(given), atol=1e-5)
    assert vectors[7].tobytes() == model.embed([given[7]])[0].tobytes()
    assert model.embed([]).shape == (0, vectors.shape[1])
    assert model.log_probs([]).shape == (0, 3)
