"""Batches over HTTP are labelled as a program labels them, one route for each kind of model."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from serving_client import Client, Server

from rnnkit.bundle.series import SeriesFacts
from rnnkit.bundle.system import SystemFacts
from rnnkit.errors import SchemaError
from rnnkit.runtime import Acceptor, Forecaster, Responder, Simulator, Transducer
from rnnkit.runtime.loading import load
from rnnkit.serving import kinds
from rnnkit.serving.app import build
from rnnkit.text import SourceAndTarget


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
    huge = served_frames.post("/v1/models/frames/frames", {"recordings": [[[1e300, 0.0, 0.0]]]})
    assert (huge.status, huge.error["field"]) == (422, "body.recordings")
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
            ({"series": [[1e39]], "starts": [1], "ids": ["a"]}, "body.series"),
        ):
            answer = client.post("/v1/models/load/forecast", wrong)
            assert (answer.status, answer.error["field"]) == (422, field), (wrong, answer)


def test_a_series_is_observed_value_by_value(forecaster: Path) -> None:
    model, path = Forecaster.load(forecaster), "/v1/models/load/observe"
    state = model.initial_state(1, clock=100, series=model.series.rows(["b"], None, is_scaled_by=False))
    sent: dict[str, Any] = {"start": 100, "id": "b"}
    said: list[dict[str, Any]] = []
    values = [1.0, 2.5, None, 4.0]
    with Server([forecaster]) as server, server.client() as client:
        for value in values:
            found, state = model.step([np.nan if value is None else value], state)
            said.append(client.post(path, {"value": value, **sent}).json)
            assert said[-1]["forecast"] == found.point[0].tolist()
            assert said[-1]["quantiles"]["0.1"] == found.quantiles()[0][:, 0].tolist()
            sent = {"state": said[-1]["state"]}
        again = client.post(path, {"value": values[-1], "state": said[-2]["state"]}).json
        assert again["forecast"] == said[-1]["forecast"]  # an older state is a way back
        kept = said[0]["state"]
        forged = kept[:30] + ("A" if kept[30] != "A" else "B") + kept[31:]
        for body, field in (
            ({"value": 1, "state": forged}, "body.state"),
            ({"value": 1, "state": kept, "start": 3}, "body.state"),
            ({"value": 1, "state": kept, "id": "b"}, "body.state"),
            ({"value": 1, "id": "b"}, "body.start"),
            ({"value": 1, "start": 1, "id": "nobody"}, "body"),
            ({"value": None, "start": 1, "id": "b"}, "body"),  # none before it
            ({"state": kept}, "body.value"),
            ({"value": 1e39, "state": kept}, "body.value"),
            ({"value": 1, "state": kept, "past": [1.0]}, "body"),
            ({"value": 1, "state": kept, "future": [[1.0], []]}, "body.future"),
        ):
            answer = client.post(path, body)
            assert (answer.status, answer.error["field"]) == (422, field), (body, answer)


def test_covariates_are_observed_with_each_value(tmp_path: Path) -> None:
    sizes = {"vocab_size": 0, "embedding_size": 0, "cell": "lstm", "hidden_size": 7, "num_layers": 1, "bias": True}
    sizes |= {"window": 9, "horizon": 4, "output": "point", "quantile_levels": [0.5], "num_components": 1}
    sizes |= {"level": "last", "scale": "window", "lags": [0, 1], "calendar": [], "linear": True}
    sizes |= {"num_past": 2, "num_future": 1, "num_static": 0, "recursive": False, "log": False}
    config = {"format": 1, "kind": "forecaster", "model": sizes, "precision": "fp32"}
    tensors = tiny.tensors(config)
    for name in ("past_scale.deviation", "future_scale.deviation"):
        tensors[name] = np.ones_like(tensors[name])
    names = {"past": ["p", "q"], "future": ["f"], "static": []}
    facts = SeriesFacts(["a"], np.ones((1, 2), np.float32), np.zeros((1, 0), np.float32), ("seconds", 60, 0, 1), names)
    model = Forecaster(config, tensors, series=facts)
    model.save(tmp_path / "load")
    generator, sent, state = np.random.default_rng(2), {}, model.initial_state(1)
    with Server([tmp_path / "load"]) as server, server.client() as client:
        for value in (1.0, 2.0, 4.0):
            past, future = generator.normal(size=2), generator.normal(size=(4, 1))
            found, state = model.step([value], state, past=past[None], future=future[None])
            body = {"value": value, "past": past.tolist(), "future": future.tolist(), **sent}
            said = client.post("/v1/models/load/observe", body).json
            assert said.keys() == {"forecast", "state"}
            assert said["forecast"] == found.point[0].tolist()
            sent = {"state": said["state"]}
        for lacking in ("past", "future"):
            answer = client.post("/v1/models/load/observe", {**body, lacking: None})
            assert (answer.status, answer.error["field"]) == (422, "body")


def test_a_forecast_that_overflows_is_null(forecaster: Path) -> None:
    with Server([forecaster]) as server, server.client() as client:
        for verb, body in (
            ("forecast", {"series": [[3e38, -3e38, 3e38]], "starts": [0], "ids": ["a"]}),
            ("observe", {"value": 3e38, "state": _observed(client, -3e38)}),
        ):
            answer = client.post(f"/v1/models/load/{verb}", body)
            assert answer.status == 200, answer
            said = answer.json[0] if verb == "forecast" else answer.json
            assert None in said["forecast"], said
            assert b"NaN" not in answer.body
            assert b"Infinity" not in answer.body


def _observed(client: Client, value: float) -> str:
    """The state after it."""
    return client.post("/v1/models/load/observe", {"value": value, "start": 0, "id": "a"}).json["state"]


def test_the_table_of_kinds_names_every_route_of_models() -> None:
    routes = {getattr(route, "path", "") for route in build(lambda: pytest.fail("no service is wanted")).routes}
    found = {path.rpartition("/")[2] for path in routes if path.startswith("/v1/models/{model}/")}
    assert found == {verb for verbs in kinds.SERVED.values() for verb in verbs}


@pytest.mark.parametrize("kind", ["simulator", "dialogue"])
def test_a_kind_without_a_route_is_refused_by_name_when_the_server_starts(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("torch")
    run = tmp_path / kind
    if kind == "simulator":
        simulators = importlib.import_module("rnnkit.models.simulator")
        model = simulators.Simulator(simulators.SimulatorConfig(num_inputs=1, num_outputs=1, hidden_size=3))
        Simulator(*model.export(), system=SystemFacts(("u",), ("y",), 1.0)).save(run)
        why = "is of kind simulator; one of language_model, "
    else:
        texts = SourceAndTarget.build(["a b"], ["a b"], kind="word", joint=True)
        sizes = {
            "vocab_size": texts.target.vocab_size,
            "source_vocab_size": texts.source.vocab_size,
            "embedding_size": 2,
        }
        config = importlib.import_module("rnnkit.models.encoder_decoder_config").EncoderDecoderConfig(**sizes)
        model = importlib.import_module("rnnkit.models.encoder_decoder").EncoderDecoder(config)
        Responder(*model.export(), texts=texts, context=3).save(run)
        why = "holds a model of dialogue, which is not served; rnnkit.runtime.Responder replies"
    with pytest.raises(AssertionError, match="the server did not start") as refused:
        Server([run])
    said = str(refused.value)
    assert f"rnnkit: {run} {why}" in said
    assert "Traceback" not in said


def test_a_kind_that_the_table_does_not_name_is_refused(runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(kinds.SERVED, "acceptor")
    with pytest.raises(SchemaError, match="reader is of kind acceptor, which is not served; one of language_model, "):
        kinds.load(runs["reader"])


def test_a_kind_that_cannot_says_so(client: Client) -> None:
    for path, body in (
        ("writer/classify", {"sequences": ["a"]}),
        ("reader/tag", {"sentences": [["a"]]}),
        ("tagger/frames", {"recordings": [[[1.0]]]}),
        ("writer/translate", {"texts": ["a"]}),
        ("reader/forecast", {"series": [[1.0]]}),
        ("reader/observe", {"value": 1.0}),
        ("reader/complete", {"text": "a"}),
        ("reader/step", {"text": "a"}),
        ("nobody/tag", {"sentences": []}),
    ):
        answer = client.post(f"/v1/models/{path}", body)
        assert (answer.status, answer.error["field"]) == (404, "model"), path
