"""Streams advanced side by side have the bits that each has alone, whatever the model is made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny

from rnnkit.errors import ArgumentError
from rnnkit.runtime import LanguageModel
from rnnkit.runtime.generation import Options
from rnnkit.runtime.side_by_side import CHUNK, Reading, SideBySide, Writing

MODELS: list[dict[str, Any]] = [
    {},
    {"num_layers": 3, "residual": True},
    {"num_layers": 2, "tied": True, "embedding_size": 6, "hidden_size": 6},
    {"softmax": "adaptive", "cutoffs": [8]},
    {"cell": "gru_after", "num_layers": 2},
]
GENERATIONS: list[dict[str, Any]] = [
    *({"prompt": "the q"[:n], "seed": n, "repetition_penalty": 1 + n / 10, "top_k": n} for n in range(5)),
    {"regex": "[a-z]{5,9}"},
    {"stop": ("e",)},
]


def options(**given: Any) -> Options:
    defaults: dict[str, Any] = {
        "max_new_tokens": 20,
        "no_repeat_ngram_size": 0,
        "prefix": "",
        "stop": (),
        "regex": None,
    }
    defaults |= {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0}
    return Options(**defaults | {"seed": 0, "first_step": 0} | given)


@pytest.mark.parametrize("sizes", MODELS, ids=str)
def test_what_is_read_and_written_side_by_side_is_what_each_would_alone(sizes: dict[str, Any]) -> None:
    model = LanguageModel(*tiny.parts(**sizes))
    streams = SideBySide(model)
    ids = model.tokenizer.encode("the quick brown fox\n" * 9)
    assert len(ids) > 2 * CHUNK
    reading = Reading(streams, streams.start, ids)
    writings = []
    for given in GENERATIONS:
        drawing = {name: value for name, value in given.items() if name != "prompt"}
        writings.append(Writing(streams, streams.start, options(**drawing), prompt=given.get("prompt", "")))
    texts = [""] * len(writings)
    while works := [work for work in (reading, *writings) if not work.is_done]:
        streams.advance(works)
        texts = [text + writing.take() for text, writing in zip(texts, writings, strict=True)]
    log_probs, state = model(np.array([model.begin_id, *ids])[:, None])
    assert (streams.log_probs(reading.vector) == log_probs[-1]).all()
    assert streams.state(reading.vector) == state
    assert (streams.vector(state) == reading.vector).all()
    assert texts == ["".join(model.generate(max_new_tokens=20, **given)) for given in GENERATIONS]


def test_a_stream_that_cannot_go_on_stops_alone() -> None:
    model = LanguageModel(*tiny.parts())
    streams = SideBySide(model)
    broken = Writing(streams, np.full_like(streams.start, np.nan), options())
    sound = Writing(streams, streams.start, options())
    while works := [work for work in (broken, sound) if not work.is_done]:
        streams.advance(works)
    assert isinstance(broken.error, ArgumentError)
    assert sound.take() == "".join(model.generate(max_new_tokens=20))


def test_ids_outside_the_vocabulary_are_refused() -> None:
    streams = SideBySide(LanguageModel(*tiny.parts()))
    for ids in ([-1], [29], [0, 10**9]):
        with pytest.raises(ArgumentError, match="0 to 28"):
            Reading(streams, streams.start, ids)
