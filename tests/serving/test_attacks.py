"""Slow clients, too many, and those that leave: the honest are served, and what is refused is refused at once."""

from __future__ import annotations

import contextlib
import os
import socket
import statistics
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from serving_client import Client, Server

from rnnkit.runtime import LanguageModel

HEAD = b"POST /v1/sessions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n"
ATTACKS = {"silent": (b"", b""), "header-drip": (HEAD, b"x"), "body-drip": (HEAD + b"\r\n", b" ")}


def memory(pid: int) -> int:
    """Resident bytes of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def p99(client: Client, seconds: float) -> float:
    """Of an honest client's steps."""
    path, took, end = client.open(), [], time.monotonic() + seconds
    while time.monotonic() < end or len(took) < 100:
        start = time.monotonic()
        assert client.post(f"{path}/step", {"text": "a"}).status == 200
        took.append(time.monotonic() - start)
    return statistics.quantiles(took, n=100)[98]


def attack(port: int, kind: str, *, count: int, seconds: float) -> list[float]:
    """Open `count` sockets at once, and drip a byte a second into each. Returns: how long each was left open."""
    first, drip = ATTACKS[kind]
    lives: list[float] = []
    sockets: dict[socket.socket, float] = {}
    for _ in range(count):
        one = socket.create_connection(("127.0.0.1", port), 30)
        sockets[one] = time.monotonic()
        one.sendall(first)
        one.setblocking(False)
    end = time.monotonic() + seconds
    while sockets and time.monotonic() < end:
        for one, born in list(sockets.items()):
            try:
                if drip:
                    one.send(drip)
                while one.recv(65536):  # the refusal, then the end
                    pass
                is_closed = True
            except BlockingIOError:
                is_closed = False
            except OSError:
                is_closed = True
            if is_closed:
                lives.append(time.monotonic() - born)
                one.close()
                del sockets[one]
        time.sleep(0.25)
    assert not sockets, f"{len(sockets)} sockets are still open after {seconds} s"
    return lives


@pytest.mark.parametrize("kind", ATTACKS)
@pytest.mark.parametrize(
    ("count", "limits"),
    [
        pytest.param(60, ("--limit=header_s=1", "--limit=body_s=2"), id="60"),
        pytest.param(500, (), id="500", marks=pytest.mark.slow),
    ],
)
def test_slow_clients_are_closed_at_their_deadline(
    runs: dict[str, Path], kind: str, count: int, limits: tuple[str, ...]
) -> None:
    with Server([runs["writer"]], *limits) as server, server.client() as client:
        calm = p99(client, 1)
        before = memory(server.worker)
        with ThreadPoolExecutor(1) as pool:
            lives = pool.submit(attack, server.port, kind, count=count, seconds=60)
            honest = p99(client, 3)
            grown = memory(server.worker) - before
            assert len(lives.result()) == count
        assert grown <= 32 << 20
        assert honest < 20 * calm + 0.5  # a test asserts the outcome


@pytest.mark.parametrize("seconds", [3, pytest.param(60, marks=pytest.mark.slow)])
def test_under_overload_some_are_refused_and_nothing_accepted_is_lost_or_wrong(
    runs: dict[str, Path], model: LanguageModel, seconds: float
) -> None:
    limits = ("--limit=batch=2", "--limit=num_waiting=4")  # 60 clients offer ten times what may be there
    want = {seed: "".join(model.generate(max_new_tokens=40, seed=seed)) for seed in range(8)}
    outcomes: Counter[int] = Counter()
    with Server([runs["writer"]], *limits) as server:
        end = time.monotonic() + seconds

        def client(number: int) -> None:
            body = {"max_new_tokens": 40, "seed": number % 8, "stream": False}
            with server.client() as client:
                while time.monotonic() < end:
                    answer = client.post("/v1/models/writer/generate", body)
                    outcomes[answer.status] += 1
                    if answer.status == 200:
                        assert answer.json["text"] == want[number % 8]
                    else:
                        assert (answer.status, answer.headers["retry-after"]) == (429, "1")

        with ThreadPoolExecutor(60) as pool:
            list(pool.map(client, range(60)))
        assert outcomes[200] and outcomes[429], outcomes
        with server.client() as after:
            assert "rnnkit_waiting 0\nrnnkit_running 0\n" in _settled(after)


def test_what_would_find_no_room_is_refused_before_its_body_is_read(runs: dict[str, Path]) -> None:
    """Only the header of the refused request is ever sent."""
    body = b'{"max_new_tokens": 10000}'
    head = "POST {}/{} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n"
    with Server([runs["writer"]], "--limit=batch=1", "--limit=num_waiting=1") as server, server.client() as other:
        path = other.open()
        with contextlib.ExitStack() as stack:

            def sent(of: str, verb: str, body: bytes = b"", length: int | None = None) -> socket.socket:
                one = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 30))
                one.sendall(head.format(of, verb, len(body) if length is None else length).encode() + body)
                return one

            assert sent(path, "generate", body).recv(12)[9:12] == b"200"
            sent("/v1/models/writer", "generate", body)
            while "\nrnnkit_waiting 1" not in other.get("/metrics").body.decode():
                pass
            for of in (path, "/v1/models/writer"):
                assert sent(of, "step", length=9).recv(12)[9:12] == b"429"
            assert other.get(path).status == 200  # looking asks no engine
        assert "rnnkit_waiting 0\nrnnkit_running 0\n" in _settled(other)


def _settled(client: Client) -> str:
    """Metrics once nothing runs."""
    end = time.monotonic() + 30
    while "rnnkit_running 0" not in (text := "\n".join(client.get("/metrics").body.decode().splitlines()) + "\n"):
        assert time.monotonic() < end, text
    return "\n".join(line for line in text.splitlines() if not line.startswith("#")) + "\n"


@pytest.mark.parametrize("way", ["stream", "answer"])
def test_when_a_client_leaves_its_work_stops_and_its_place_is_free(runs: dict[str, Path], way: str) -> None:
    with Server([runs["writer"]], "--limit=batch=1") as server, server.client() as other:
        path, mine = other.open(), other.open()
        leaver, response = server.client(), None
        body = {"max_new_tokens": 10_000, "stream": way == "stream"}
        if way == "stream":
            response = leaver.send("POST", f"{path}/generate", body)
            response.readline()
        else:
            threading.Thread(target=_ask_in_vain, args=(leaver, f"{path}/generate", body), daemon=True).start()
            while "\nrnnkit_running 1" not in other.get("/metrics").body.decode():
                pass
        leaver._connection.sock.shutdown(socket.SHUT_RDWR)
        if response is not None:
            response.close()
            leaver._connection.close()
        said = other.post(f"{mine}/step", {"text": "a"})  # the one place in the batch is free for it
        assert said.status == 200
        assert "rnnkit_running 0\n" in _settled(other)
        assert other.get(path).json["num_drawn"] == 0  # the session is as it was
        tokens = [line for line in _settled(other).splitlines() if line.startswith("rnnkit_tokens_total")]
        assert float(tokens[0].split()[1]) < 10_000


def test_who_leaves_while_waiting_frees_the_place_at_once(runs: dict[str, Path]) -> None:
    with Server([runs["writer"]], "--limit=batch=1", "--limit=num_waiting=1") as server, server.client() as other:
        path = other.open()
        with server.client() as first, server.client() as leaver, server.client() as next_one:
            stream = first.send("POST", f"{path}/generate", {"max_new_tokens": 10_000})
            stream.readline()
            asked = ("/v1/models/writer/generate", {"max_new_tokens": 1, "stream": False})
            threading.Thread(target=_ask_in_vain, args=(leaver, *asked), daemon=True).start()
            _until(other, "rnnkit_waiting 1")
            assert next_one.post(*asked).status == 429
            leaver._connection.sock.shutdown(socket.SHUT_RDWR)
            _until(other, "rnnkit_waiting 0")
            assert "\nrnnkit_running 1\n" in other.get("/metrics").body.decode()  # the one in the batch goes on
            threading.Thread(target=_ask_in_vain, args=(next_one, *asked), daemon=True).start()
            _until(other, "rnnkit_waiting 1")  # and there is a place for another
            first._connection.sock.shutdown(socket.SHUT_RDWR)
            stream.close()
        assert "rnnkit_waiting 0\nrnnkit_running 0\n" in _settled(other)


def _until(client: Client, line: str) -> None:
    end = time.monotonic() + 30
    while f"\n{line}\n" not in (text := client.get("/metrics").body.decode()):
        assert time.monotonic() < end, text


def _ask_in_vain(client: Client, path: str, body: dict[str, object]) -> None:
    with contextlib.suppress(OSError):
        client.post(path, body)
