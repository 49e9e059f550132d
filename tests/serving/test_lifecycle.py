"""Workers that die, files that go, SIGTERM; and what survives: sessions in Redis, states that travel."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from serving_client import Answer, Client, Server

from rnnkit.runtime import LanguageModel

WAIT_S = 60.0


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Redis of our own."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed; on Debian: apt install redis-server")
    pytest.importorskip("redis", reason="the extra `redis` is not installed")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    folder = tmp_path_factory.mktemp("redis")
    process = subprocess.Popen(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)],
        stdout=subprocess.DEVNULL,
    )
    until(lambda: socket.create_connection(("127.0.0.1", port), 1).close() is None)
    yield f"redis://127.0.0.1:{port}"
    process.terminate()
    process.wait()


def until(is_so: Callable[[], bool]) -> float:
    """Ask until it is so. Returns: the seconds that took."""
    start = time.monotonic()
    while time.monotonic() - start < WAIT_S:
        try:
            if is_so():
                return time.monotonic() - start
        except OSError:
            pass
        time.sleep(0.02)
    raise AssertionError(f"not within {WAIT_S} s")


def health(server: Server) -> int:
    with server.client() as client:
        return client.get("/health").status


def ask(server: Server, method: str, path: str, body: object = None) -> Answer:
    with server.client() as client:
        return client.ask(method, path, body)


def test_after_kill_9_sessions_in_memory_are_410_and_the_server_is_back(runs: dict[str, Path]) -> None:
    with Server([runs["writer"]]) as server:
        with server.client() as client:
            path = client.open()
        worker = server.worker
        os.kill(worker, signal.SIGKILL)
        until(lambda: health(server) == 503)
        until(lambda: health(server) == 200)
        assert server.worker != worker
        assert ask(server, "POST", f"{path}/step", {"text": "a"}).status == 410
        assert ask(server, "POST", "/v1/sessions", {}).status == 201


def test_after_kill_9_sessions_in_redis_go_on(runs: dict[str, Path], redis: str, model: LanguageModel) -> None:
    with Server([runs["writer"]], f"--redis={redis}") as server:
        body = {"max_new_tokens": 7, "seed": 3, "stream": False}
        with server.client() as client:
            path = client.open()
            first = client.post(f"{path}/generate", body).json["text"]
        os.kill(server.worker, signal.SIGKILL)
        until(lambda: health(server) == 503)
        until(lambda: health(server) == 200)
        rest = ask(server, "POST", f"{path}/generate", body).json["text"]
        assert first + rest == "".join(model.generate(max_new_tokens=14, seed=3))


def test_health_is_red_while_a_model_file_is_gone(runs: dict[str, Path], tmp_path: Path) -> None:
    run = tmp_path / "copy"
    shutil.copytree(runs["writer"], run)
    with Server([run]) as server:
        (run / "model.safetensors").rename(tmp_path / "away")
        until(lambda: health(server) == 503)
        os.kill(server.worker, signal.SIGKILL)  # and none can start
        time.sleep(1.0)
        assert health(server) == 503
        (tmp_path / "away").rename(run / "model.safetensors")
        until(lambda: health(server) == 200)


def test_sigterm_lets_what_runs_end(runs: dict[str, Path], model: LanguageModel) -> None:
    with Server([runs["writer"]]) as server:
        want = "".join(model.generate(max_new_tokens=2000, seed=1))
        texts: list[str] = []

        def write() -> None:
            with server.client() as client:
                answer = client.post("/v1/models/writer/generate", {"max_new_tokens": 2000, "seed": 1, "stream": False})
                texts.append(answer.json["text"])

        threads = [threading.Thread(target=write) for _ in range(4)]
        for thread in threads:
            thread.start()
        with server.client() as client:
            until(lambda: "\nrnnkit_running 4" in client.get("/metrics").body.decode())
        assert server.stop() == ""
        for thread in threads:
            thread.join()
        assert texts == [want] * 4
        assert server.process.returncode == 0


def test_what_does_not_end_in_time_is_ended(runs: dict[str, Path]) -> None:
    with Server([runs["writer"]], "--limit=shutdown_s=1", "--limit=new_tokens=100000000") as server:
        with server.client() as client:
            response = client.send("POST", "/v1/models/writer/generate", {"max_new_tokens": 100_000_000})
            response.readline()
            start = time.monotonic()
            server.stop()
            response.close()
        assert server.process.returncode == 0
        assert time.monotonic() - start < WAIT_S


def hop(clients: Iterator[Client], path: str, model: LanguageModel, *, travels: bool) -> None:
    """The same text token by token, each time at another replica."""
    ids = model.tokenizer.encode("the quick brown fox").tolist()
    _, state = model.step(model.begin_id)
    sent: dict[str, str] = {}
    for id in ids:
        want, state = model.step(id, state)
        said = next(clients).post(path, {"ids": [id], "log_probs": True, **sent}).json
        assert said["log_probs"] == want[0].tolist()
        sent = {"state": said["state"]} if travels else {}


def test_a_session_hops_between_replicas_over_redis(runs: dict[str, Path], redis: str, model: LanguageModel) -> None:
    option = f"--redis={redis}"
    with (
        Server([runs["writer"]], option) as one,
        Server([runs["writer"]], option) as two,
        one.client() as first,
        two.client() as second,
    ):
        path = first.open()
        hop(itertools.cycle([second, first]), f"{path}/step", model, travels=False)
        fork = f"/v1/sessions/{second.post(f'{path}/fork').json['session']}"
        assert first.ask("DELETE", path).status == 204
        assert second.get(path).status == 404
        assert first.get(fork).json["num_read"] == 19


def test_a_state_that_travels_hops_between_replicas(
    runs: dict[str, Path], tmp_path: Path, model: LanguageModel
) -> None:
    (tmp_path / "secret").write_bytes(b"s" * 32)
    option = f"--secret={tmp_path / 'secret'}"
    with (
        Server([runs["writer"]], option) as one,
        Server([runs["writer"]], option) as two,
        one.client() as first,
        two.client() as second,
    ):
        hop(itertools.cycle([first, second]), "/v1/models/writer/step", model, travels=True)


def test_sessions_in_redis_are_limited_and_changed_by_one_at_a_time(runs: dict[str, Path], redis: str) -> None:
    url = f"{redis}/1"
    with Server([runs["writer"]], f"--redis={url}", "--limit=num_sessions=2") as server, server.client() as client:
        first, _ = client.open(), client.open()
        assert client.post("/v1/sessions").status == 429
        assert client.get("/health").status == 200
        text = "the lazy dog " * 4000
        statuses: list[int] = []
        threads = [
            threading.Thread(
                target=lambda: statuses.append(ask(server, "POST", f"{first}/step", {"text": text}).status)
            )
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert statuses.count(200) * len(text) == client.get(first).json["num_read"]
        assert set(statuses) <= {200, 409}
        client.ask("DELETE", first)
        assert client.post("/v1/sessions").status == 201
