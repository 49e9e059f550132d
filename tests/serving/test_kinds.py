"""Batches over HTTP are labelled as a program labels them, one route for each kind of model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny
from serving_client import Client, Server

from rnnkit.bundle.series import SeriesFacts
from rnnkit.runtime import Acceptor, Forecaster, Transducer
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
    model = Transducer.load(frames)
    recordings = np.random.default_rng(0).normal(size=(2, 5, 3)).round(3).tolist()
    said = served_frames.post("/v1/models/frames/frames", {"recordings": recordings}).json
    assert said == [list(one) for one in model.predict([np.array(one, np.float32) for one in recordings])]
    ragged = served_frames.post("/v1/models/frames/frames", {"recordings": [[[1.0, 2.0, 3.0], [1.0]]]})
    assert (ragged.status, ragged.error["field"]) == (422, "body.recordings")
    narrow = served_frames.post("/v1/models/frames/frames", {"recordings": [[[1.0]]]})
    assert 400 <= narrow.status < 500


@pytest.fixture(scope="module")
def forecaster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that says four steps with quantiles, reads the calendar, and tells two series apart."""
    sizes = {"vocab_size": 0, "embedding_size": 0, "cell": "lstm", "hidden_size": 7, "num_layers": 1, "bias": True}
    sizes |= {"window": 9, "horizon": 4, "output": "quantiles", "quantile_levels": [0.1, 0.5, 0.9], "num_components": 1}
    sizes |= {"level": "last", "scale": "window", "lags": [0, 1], "calendar": [[24, 1]], "linear": True}
    sizes |= {"num_past": 0, "num_future": 0, "num_static": 1, "recursive": False, "log": False}
    config = {"format": 1, "kind": "forecaster", "model": sizes, "precision": "fp32"}
    tensors = tiny.tensors(config)
    tensors["static_scale.deviation"] = np.ones(1, np.float32)
    static = np.array([[1], [5]], np.float32)
    names = {"past": [], "future": [], "static": ["s"]}
    facts = SeriesFacts(["a", "b"], np.ones((2, 2), np.float32), static, ("seconds", 3600, 0, 1), names)
    folder = tmp_path_factory.mktemp("forecaster") / "load"
    Forecaster(config, tensors, series=facts).save(folder)
    return folder


def test_series_go_on(forecaster: Path) -> None:
    model = Forecaster.load(forecaster)
    series, starts = [[1.0, 2.5, None, 4.0], [9, 8, 7]], [100, 3]
    body = {"series": series, "starts": starts, "ids": ["b", "a"]}
    with Server([forecaster]) as server, server.client() as client:
        said = client.post("/v1/models/load/forecast", body).json
        rows = model.series.rows(["b", "a"], None, is_scaled_by=False)
        for one, values, start, row in zip(said, series, starts, rows, strict=True):
            first, *rest = (np.nan if y is None else y for y in values)
            found, state = model.step([first], model.initial_state(1, clock=start, series=row[None]))
            for y in rest:
                found, state = model.step([y], state)
            assert one["forecast"] == found.point[0].tolist()
            assert one["quantiles"]["0.9"] == found.quantiles()[0][:, 2].tolist()
        short = client.post("/v1/models/load/forecast", {**body, "horizon": 2}).json
        assert [one["forecast"] for one in short] == [one["forecast"][:2] for one in said]
        for wrong, field in (
            ({"series": [[]], "starts": [0], "ids": ["a"]}, "body.series"),
            ({"series": [[1.0]], "ids": ["a"]}, "body.starts"),
            ({"series": [[1.0]], "starts": [1, 2], "ids": ["a"]}, "body.starts"),
            ({"series": [[1.0]], "starts": [1], "ids": ["nobody"]}, "body"),
            ({"series": [[None, 1.0]], "starts": [1], "ids": ["a"]}, "body.series"),
            ({"series": [[1.0]], "starts": [2**70], "ids": ["a"]}, "body.starts.0"),
            ({"series": [[1.0]], "starts": [1], "ids": ["a"], "horizon": 5}, "body"),
        ):
            answer = client.post("/v1/models/load/forecast", wrong)
            assert (answer.status, answer.error["field"]) == (422, field), (wrong, answer)


def test_a_kind_that_cannot_says_so(client: Client) -> None:
    for path, body in (
        ("writer/classify", {"sequences": ["a"]}),
        ("reader/tag", {"sentences": [["a"]]}),
        ("tagger/frames", {"recordings": [[[1.0]]]}),
        ("writer/translate", {"texts": ["a"]}),
        ("reader/forecast", {"series": [[1.0]]}),
        ("reader/complete", {"text": "a"}),
        ("reader/step", {"text": "a"}),
        ("nobody/tag", {"sentences": []}),
    ):
        answer = client.post(f"/v1/models/{path}", body)
        assert (answer.status, answer.error["field"]) == (404, "model"), path
