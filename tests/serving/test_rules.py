"""Who is let in and what is refused: routes without a key, with a wrong one, with another's session; bad bodies."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving_client import Client, Server
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from rnnkit.serving.app import build
from rnnkit.serving.gate import Gate
from rnnkit.serving.keys import Keys
from rnnkit.serving.limits import Limits
from rnnkit.serving.meters import Meters

KEY, OTHER = "a" * 32, "b" * 32

OPEN = {("GET", "/"), ("GET", "/page.js"), ("GET", "/page.css"), ("GET", "/health"), ("GET", "/openapi.json")}
KEYED: dict[tuple[str, str], Any] = {
    ("GET", "/metrics"): None,
    ("GET", "/v1/models"): None,
    ("POST", "/v1/sessions"): {"model": "writer"},
    ("POST", "/v1/models/writer/step"): {"text": "a"},
    ("POST", "/v1/models/writer/generate"): {"max_new_tokens": 1},
    ("POST", "/v1/models/writer/complete"): {"text": "a"},
    ("POST", "/v1/models/reader/classify"): {"sequences": ["a"]},
    ("POST", "/v1/models/tagger/tag"): {"sentences": [["a"]]},
    ("POST", "/v1/models/writer/frames"): {"recordings": []},
    ("POST", "/v1/models/writer/translate"): {"texts": []},
    ("POST", "/v1/models/writer/forecast"): {"series": []},
    ("POST", "/v1/models/writer/observe"): {"value": 1},
}
OWNED: dict[tuple[str, str], Any] = {
    ("GET", "/v1/sessions/{session}"): None,
    ("POST", "/v1/sessions/{session}/step"): {"text": "a"},
    ("POST", "/v1/sessions/{session}/generate"): {"max_new_tokens": 1},
    ("POST", "/v1/sessions/{session}/fork"): None,
    ("GET", "/v1/sessions/{session}/state"): None,
    ("DELETE", "/v1/sessions/{session}"): None,
}
SOCKET = "/v1/sessions/{session}/ws"


@pytest.fixture(scope="module")
def keyed(runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(f"{KEY}\n{OTHER}\n")
    with Server(list(runs.values()), f"--keys={keys}") as server:
        yield server


def test_every_route_has_a_rule_here() -> None:
    app = build(lambda: pytest.fail("no service is wanted"))
    found = set()
    for route in app.routes:
        path = getattr(route, "path", "?").replace("{model}", "{model}")
        for method in (getattr(route, "methods", None) or {"SOCKET"}) - {"HEAD"}:
            found.add((method, path))
    ruled = {(method, _named(path)) for method, path in (*OPEN, *KEYED, *OWNED)} | {("SOCKET", SOCKET)}
    assert found == ruled


def _named(path: str) -> str:
    parts = path.split("/")
    return (
        "/".join(["", "v1", "models", "{model}", *parts[4:]]) if parts[1:3] == ["v1", "models"] and parts[4:] else path
    )


@pytest.mark.parametrize("key", [None, "wrong", KEY[:-1], KEY + "a", ""])
def test_without_a_right_key_every_route_but_the_open_ones_answers_401(keyed: Server, key: str | None) -> None:
    with keyed.client(KEY) as mine, keyed.client(key) as client:
        session = mine.open(model="writer")
        for (method, path), body in (KEYED | OWNED).items():
            answer = client.ask(method, path.replace("/v1/sessions/{session}", session), body)
            assert answer.status == 401, (method, path)
            assert answer.headers["www-authenticate"] == "Bearer"
        assert client.get("/no/such/route").status == 401
        for method, path in OPEN:
            assert client.ask(method, path).status == 200, path
        with pytest.raises(InvalidStatus, match="401"), connect(f"ws://127.0.0.1:{keyed.port}{session}/ws"):
            pass


def test_the_right_key_opens_every_route(keyed: Server) -> None:
    with keyed.client(KEY) as mine:
        session = mine.open(model="writer")
        for (method, path), body in (KEYED | OWNED).items():
            answer = mine.ask(method, path.replace("/v1/sessions/{session}", session), body)
            wanted = {404} if path.endswith(("frames", "translate", "forecast", "observe")) else {200, 201, 204}
            assert answer.status in wanted, (method, path, answer)


def test_anothers_session_answers_what_a_dead_one_does(keyed: Server) -> None:
    with keyed.client(KEY) as mine, keyed.client(OTHER) as other:
        session, dead = mine.open(model="writer"), other.open(model="writer")
        state = mine.get(f"{session}/state").json["state"]
        other.ask("DELETE", dead)
        for (method, path), body in OWNED.items():
            foreign, gone, never = (
                other.ask(method, path.replace("/v1/sessions/{session}", one), body)
                for one in (session, dead, "/v1/sessions/never")
            )
            assert foreign.status == gone.status == never.status == 404, (method, path)
            assert foreign.body == gone.body == never.body
        for one in (session, dead):
            header = {"Authorization": f"Bearer {OTHER}"}
            with (
                pytest.raises(InvalidStatus, match="404"),
                connect(f"ws://127.0.0.1:{keyed.port}{one}/ws", additional_headers=header),
            ):
                pass
        assert other.post("/v1/sessions", {"state": state}).status == 422
        assert mine.get(session).status == 200


def test_other_names_and_other_pages_are_refused(server: Server) -> None:
    with server.client() as client:
        for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
            assert client.ask("GET", "/v1/models", **headers).status == 403, headers
        own = f"127.0.0.1:{server.port}"
        assert client.ask("GET", "/v1/models", Host=own, Origin=f"http://{own}").status == 200


DEEP = b"[" * 100_000 + b"]" * 100_000
BAD: list[tuple[str, bytes, str]] = [
    ("generate", b'{"temperature": NaN}', "body.temperature"),
    ("generate", b'{"temperature": 1e999}', "body.temperature"),
    ("generate", b'{"temperature": "1"}', "body.temperature"),
    ("generate", b'{"seed": 1' + b"0" * 5000 + b"}", "body"),
    ("generate", b'{"seed": -1}', "body.seed"),
    ("generate", b'{"max_new_tokens": 10001}', "body.max_new_tokens"),
    ("generate", b'{"temperature": -1}', "body"),
    ("generate", b'{"regex": "("}', "body"),
    ("generate", b'{"stop": [""]}', "body"),
    ("generate", b'{"prompt": "\\ud800"}', "body.prompt"),
    ("step", DEEP, "body"),
    ("step", b'{"text": ' + DEEP + b"}", "body"),
    ("step", b'{"text": "\\ud800"}', "body.text"),
    ("step", b'{"text": "a", "ids": [1]}', "body.text"),
    ("step", b"{}", "body.text"),
    ("step", b'{"ids": [99]}', "body"),
    ("step", b'{"ids": [1e999]}', "body.ids.0"),
    ("step", b'{"ids": [true]}', "body.ids.0"),
    ("step", b'{"text": "a", "more": 1}', "body.more"),
    ("step", b'{"text": "a", "top": 101}', "body.top"),
    ("step", b"", "body"),
    ("step", b'{"text": "\xff"}', "body"),
    ("step", b'{"text": "a"', "body"),
]


@pytest.mark.parametrize(("verb", "body", "field"), BAD, ids=lambda value: str(value)[:24])
def test_a_bad_body_is_refused_by_its_field(server: Server, verb: str, body: bytes, field: str) -> None:
    with server.client() as client:
        answer = client.ask("POST", f"{client.open(model='writer')}/{verb}", body)
        assert 400 <= answer.status < 500, answer
        assert answer.error["field"] == field


def raw(server: Server, data: bytes) -> bytes:
    """All that is answered to these bytes."""
    with socket.create_connection(("127.0.0.1", server.port), 30) as connection:
        connection.sendall(data)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer


HEAD = b"POST /v1/sessions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"


def test_sizes_are_held_and_lies_about_them_end_the_connection(runs: dict[str, Path]) -> None:
    with Server([runs["writer"]], "--limit=body_s=1", "--limit=header_s=1", "--limit=keep_alive_s=1") as server:
        for data, status in (
            (HEAD + b"content-length: 10\r\n\r\n{}", 408),  # less than promised
            (HEAD + b"content-length: 1048577\r\n\r\n", 413),
            (HEAD + b"content-length: -1\r\n\r\n", 400),
            (HEAD + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}", 400),
            (HEAD + b"transfer-encoding: chunked\r\n\r\n" + b"10000\r\n" + b" " * 65536 + b"\r\n", 408),
            (HEAD + b"transfer-encoding: chunked\r\n\r\n" + (b"10000\r\n" + b" " * 65536 + b"\r\n") * 17, 413),
            (HEAD + b"a: " + b"b" * 17_000 + b"\r\n\r\n", 431),
            (HEAD + b"a: " + b"b" * 17_000, 431),
            (b"GET /health HTTP/1.1\r\nhost: localhost\r\n", 408),
            (b"\0\1\2\r\n\r\n", 400),
        ):
            answer = raw(server, data)
            assert answer.startswith(b"HTTP/1.1 %d " % status), (data[:99], answer)
            head, _, body = answer.partition(b"\r\n\r\n")
            assert "field" in json.loads(body)["error"], head
        twice = b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
        for lengths in (twice, twice + HEAD + b"content-length: 2\r\n\r\n{}"):  # what follows is answered to nobody
            answer = raw(server, HEAD + lengths)
            assert answer.startswith(b"HTTP/1.1 400 "), answer
            assert answer.count(b"HTTP/1.1 ") == 1
            assert b"\r\nconnection: close" in answer.lower()
        assert raw(server, HEAD + b"content-length: 2\r\n\r\n{}xx").startswith(b"HTTP/1.1 201 ")  # then a 400
        with server.client() as client:
            assert client.get("/health").status == 200


def test_sessions_are_limited_in_number_size_and_time(runs: dict[str, Path]) -> None:
    with Server([runs["writer"]], "--limit=num_sessions=3", "--limit=idle_s=1.5") as server, server.client() as client:
        first = client.open()
        paths = [client.open() for _ in range(2)]
        refused = client.post("/v1/sessions")
        assert (refused.status, "retry-after" in refused.headers) == (429, True)
        client.ask("DELETE", first)
        paths.append(client.open())
        time.sleep(2)
        assert client.post("/v1/sessions").status == 201
        assert {client.get(path).status for path in paths} == {404}
    with Server([runs["writer"]], "--limit=session_bytes=600") as server, server.client() as client:
        assert [client.post("/v1/sessions").status for _ in range(3)] == [201, 201, 429]  # 256 bytes each


@pytest.mark.parametrize(
    "options", [("--host=0.0.0.0",), ("--limit=que=3",), ("--limit=batch=x",), ("--limit=batch=0",)]
)
def test_what_cannot_be_served_is_said_at_the_start(runs: dict[str, Path], options: tuple[str, ...]) -> None:
    with pytest.raises(AssertionError, match=r"rnnkit: .*(keys|limit)"):
        Server([runs["writer"]], *options)


def test_a_client_of_one_session_reads_the_description(client: Client) -> None:
    described = client.get("/openapi.json").json["paths"]
    assert {"/v1/sessions/{session}/step", "/v1/models/{model}/classify"} <= {*described}


def test_a_path_forges_no_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    sent: list[Any] = []

    async def broken(*_: object) -> None:
        raise ValueError("on purpose")

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {}

    gate = Gate(broken, keys=Keys(()), limits=Limits(), meters=Meters(), hosts=None, check_room=lambda _: None)
    path = "/v1/models/\r\nERROR:forged"  # as %0D%0A arrives here
    scope = {"type": "http", "method": "GET", "path": path, "raw_path": b"/", "headers": []}
    with caplog.at_level(logging.ERROR, "rnnkit.serving"):
        asyncio.run(gate(scope, receive, send))
    (record,) = caplog.records
    assert record.getMessage() == f"GET {path!r}"
    assert sent[0]["status"] == 500
