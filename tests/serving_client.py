"""`rnnkit serve` in a process of its own, and who talks to it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from command import COMMAND

TIMEOUT_S = 60


@dataclass(frozen=True)
class Answer:
    """Of one request."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        return self.json["error"]


class Client:
    """One connection, kept open."""

    def __init__(self, port: int, key: str | None = None) -> None:
        self.port, self.key = port, key
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> http.client.HTTPResponse:
        """A request whose answer has begun. Args: body: bytes as they are, anything else as JSON."""
        if self.key is not None:
            headers.setdefault("Authorization", f"Bearer {self.key}")
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self._connection.request(method, path, body, headers)
        return self._connection.getresponse()

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        response = self.send(method, path, body, **headers)
        names = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, names, response.read())

    def get(self, path: str) -> Answer:
        return self.ask("GET", path)

    def post(self, path: str, body: Any = None) -> Answer:
        return self.ask("POST", path, {} if body is None else body)

    def events(self, path: str, body: Any) -> Iterator[dict[str, Any]]:
        """Those of a stream."""
        response = self.send("POST", path, body)
        assert response.status == 200, response.read()
        assert response.getheader("content-type", "").startswith("text/event-stream")
        for line in response:
            if line.startswith(b"data: "):
                yield json.loads(line[6:])

    def open(self, **body: Any) -> str:
        """A new session's path."""
        answer = self.post("/v1/sessions", body)
        assert answer.status == 201, answer
        return f"/v1/sessions/{answer.json['session']}"


class Server:
    """`rnnkit serve RUNS… OPTIONS…` on a free port, until the `with` block ends."""

    def __init__(self, runs: Sequence[Path], *options: str, cwd: Path | None = None, **environment: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, "serve", *map(str, runs), "--port=0", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
            env={**os.environ, "RNNKIT_NUM_THREADS": "1", **environment},
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"at http://[^/]*:(\d+)/", line)
        if found is None:
            raise AssertionError(f"the server did not start: {line}{self.process.communicate()[1]}")
        self.port = int(found[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def client(self, key: str | None = None) -> Client:
        return Client(self.port, key)

    @property
    def worker(self) -> int:
        """The worker's process id."""
        pid = self.process.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

    def stop(self) -> str:
        """End it by SIGTERM. Returns: what it wrote to stderr."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=TIMEOUT_S)[1]
