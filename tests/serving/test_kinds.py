"""Batches over HTTP are labelled as a program labels them, one route for each kind of model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny
from serving_client import Client, Server

from rnnkit.runtime import Acceptor, Transducer
from rnnkit.runtime.loading import load


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A labeller of frames of three numbers."""
    folder = tmp_path_factory.mktemp("frames") / "frames"
    sizes = tiny.tagger()[0]["model"] | {"vocab_size": 0, "input_size": 3, "embedding_size": 0, "num_characters": 0}
    sizes |= {"character_embedding_size": 0, "character_hidden_size": 0, "bidirectional": False, "crf": False}
    sizes |= {"scheme": None}
    config = {"format": 1, "kind": "transducer", "model": sizes, "precision": "fp32"}
    arrays = tiny.tensors(config)
    arrays["scale.deviation"] = np.abs(arrays["scale.deviation"]) + np.float32(0.1)
    Transducer(config, arrays, labels=tiny.TAGS).save(folder)
    return folder


@pytest.fixture(scope="module")
def served_frames(frames: Path) -> Iterator[Client]:
    with Server([frames]) as server, server.client() as client:
        yield client


def test_texts_are_classified(client: Client, runs: dict[str, Path]) -> None:
    model, texts = load(runs["reader"]), ["the fox", "", "a lazy dog jumps"]
    assert isinstance(model, Acceptor)
    said = client.post("/v1/models/reader/classify", {"sequences": texts}).json
    assert [one["label"] for one in said] == model.predict(texts)
    want = model.predict_proba(texts).tolist()
    assert [list(one["probabilities"].values()) for one in said] == want
    assert client.post("/v1/models/reader/classify", {"sequences": []}).json == []


def test_words_are_tagged(client: Client, runs: dict[str, Path]) -> None:
    model, sentences = load(runs["tagger"]), [["the", "fox"], [], ["an", "unseen", "word"]]
    assert isinstance(model, Transducer)
    assert client.post("/v1/models/tagger/tag", {"sentences": sentences}).json == model.predict(sentences)


def test_frames_are_labelled(served_frames: Client, frames: Path) -> None:
    model = load(frames)
    recordings = np.random.default_rng(0).normal(size=(2, 5, 3)).round(3).tolist()
    said = served_frames.post("/v1/models/frames/frames", {"recordings": recordings}).json
    assert said == [list(one) for one in model.predict([np.array(one, np.float32) for one in recordings])]
    ragged = served_frames.post("/v1/models/frames/frames", {"recordings": [[[1.0, 2.0, 3.0], [1.0]]]})
    assert (ragged.status, ragged.error["field"]) == (422, "body.recordings")
    narrow = served_frames.post("/v1/models/frames/frames", {"recordings": [[[1.0]]]})
    assert 400 <= narrow.status < 500


def test_a_kind_that_cannot_says_so(client: Client) -> None:
    for path, body in (
        ("writer/classify", {"sequences": ["a"]}),
        ("reader/tag", {"sentences": [["a"]]}),
        ("tagger/frames", {"recordings": [[[1.0]]]}),
        ("writer/translate", {"texts": ["a"]}),
        ("reader/complete", {"text": "a"}),
        ("reader/step", {"text": "a"}),
        ("nobody/tag", {"sentences": []}),
    ):
        answer = client.post(f"/v1/models/{path}", body)
        assert (answer.status, answer.error["field"]) == (404, "model"), path
