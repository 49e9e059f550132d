"""Tiny models, and a server of each kind that many tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny
from serving_client import Client, Server

from rnnkit.runtime import Acceptor, LanguageModel, Transducer

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run folder for each kind of model, by name."""
    folder = tmp_path_factory.mktemp("runs")
    LanguageModel(*tiny.parts(num_layers=2, hidden_size=16)).save(folder / "writer")
    *parts, tokenizer = tiny.classifier()
    Acceptor(*parts, labels=tiny.LABELS, tokenizer=tokenizer).save(folder / "reader")
    *parts, words = tiny.tagger()
    Transducer(*parts, labels=tiny.TAGS, words=words).save(folder / "tagger")
    return {path.name: path for path in folder.iterdir()}


@pytest.fixture(scope="session")
def model(runs: dict[str, Path]) -> LanguageModel:
    """The language model, as a program without a server has it."""
    return LanguageModel.load(runs["writer"])


@pytest.fixture(scope="module")
def server(runs: dict[str, Path]) -> Iterator[Server]:
    names = ("header_s", "body_s", "keep_alive_s", "request_s")  # other tests may keep the machine busy
    with Server(list(runs.values()), *(f"--limit={name}=300" for name in names)) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with server.client() as client:
        yield client
