"""One-token steps a second over 256 sessions: `rnnkit serve`, and what one writes by hand with `LSTMCell` and FastAPI.

A 2 × 512 LSTM over bytes with random weights, the same on both sides; every session is a connection kept open, whose
next step is sent when the last one is answered. In turn, on this machine, clients included:

- floor: FastAPI with a handler that answers `{}` to a POST, by uvicorn and h11;
- peer:  FastAPI with a handler that runs two `torch.nn.LSTMCell` and a linear layer, a dictionary of states;
- post:  `rnnkit serve`, a POST a step;
- socket: `rnnkit serve`, a message a step on one WebSocket a session.

Before anything is timed peer and server have to name the same likeliest tokens with the same probabilities.

Usage: python benchmarks/bench_serve.py [--seconds 10] [--sessions 256] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

SIZES = {"vocab_size": 256, "embedding_size": 512, "cell": "lstm", "hidden_size": 512, "num_layers": 2}
BATCH = 256
BEGIN = ord("\n")  # of a byte tokeniser


def save_model(folder: Path) -> None:
    """A run folder with random weights."""
    from rnnkit import text
    from rnnkit.bundle.schema import check_config
    from rnnkit.runtime import LanguageModel

    model = {**SIZES, "bias": True, "tied": False, "softmax": "full", "cutoffs": []}
    config = {"format": 1, "kind": "language_model", "model": model, "precision": "fp32"}
    rng = np.random.default_rng(0)
    tensors = {name: rng.normal(size=s, scale=0.05).astype(np.float32) for name, s in check_config(config).items()}
    LanguageModel(config, tensors, text.build("byte", [""])).save(folder)


def peer_app(folder: Path) -> Any:
    """What one writes by hand."""
    import torch
    from fastapi import FastAPI
    from safetensors.torch import load_file

    torch.set_num_threads(1)  # for one row the quickest: of two threads each waits for the other
    weights = load_file(folder / "model.safetensors")
    cells = [torch.nn.LSTMCell(512, 512), torch.nn.LSTMCell(512, 512)]
    for number, cell in enumerate(cells):
        cell.load_state_dict({name: weights[f"recurrent.{name}_l{number}"] for name in dict(cell.named_parameters())})
    states: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {}
    app = FastAPI()

    @app.post("/sessions/{session}/step")
    async def step(session: str, body: dict[str, list[int]]) -> dict[str, Any]:
        with torch.inference_mode():
            zeros = torch.zeros(1, 512)
            state = states.setdefault(session, [(zeros, zeros), (zeros, zeros)])
            x = weights["embedding.weight"][body["ids"]]
            for number, cell in enumerate(cells):
                state[number] = cell(x, state[number])
                x = state[number][0]
            shares = torch.softmax(x @ weights["head.weight"].T + weights["head.bias"], 1)[0]
            probability, id = shares.max(0)
        return {"top": [{"id": int(id), "probability": float(probability)}]}

    return app


def floor_app(_: Path) -> Any:
    """Nothing but HTTP."""
    from fastapi import FastAPI

    app = FastAPI()

    @app.post("/sessions/{session}/step")
    async def step(session: str) -> dict[str, Any]:
        return {}

    return app


@contextlib.contextmanager
def running(command: list[str]) -> Iterator[tuple[int, int]]:
    """A server in a process of its own: its port and its process."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://[^/]*:(\d+)", line)
        if found is None:
            raise SystemExit(f"{command[1]} did not start: {line}")
        yield int(found[1]), process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def rnnkit_serve(folder: Path, **limits: int) -> list[str]:
    """The command."""
    options = [f"--limit={name}={value}" for name, value in limits.items()]
    return [str(Path(sys.executable).with_name("rnnkit")), "serve", str(folder), "--port=0", *options]


@contextlib.contextmanager
def serving(role: str, folder: Path) -> Iterator[int]:
    """The server of a role: its port."""
    own = rnnkit_serve(folder, batch=BATCH, num_connections=4096, num_waiting=4096)
    command = own if role == "rnnkit" else [sys.executable, __file__, "--role", role, "--folder", str(folder)]
    with running(command) as (port, _):
        yield port


def serve_role(role: str, folder: Path) -> None:
    """The process of peer or floor."""
    import socket

    import uvicorn

    app = {"peer": peer_app, "floor": floor_app}[role](folder)
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(app, http="h11", loop="asyncio", log_level="warning", access_log=False)
    uvicorn.Server(config).run(sockets=[listener])


def post(port: int, path: str, body: object) -> Any:
    """One answer."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


class Stepper(asyncio.Protocol):
    """A session's connection: sends a message, counts an answer, sends it again."""

    def __init__(self, hello: bytes, message: bytes, *, is_socket: bool, end: float) -> None:
        self._hello, self._message, self._is_socket, self._end = hello, message, is_socket, end
        self._held = b""
        self.count = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._hello or self._message)

    def data_received(self, data: bytes) -> None:
        self._held += data
        size = self._whole()
        if not size:
            return
        self._held = self._held[size:]
        if self._hello:
            self._hello = b""
        else:
            self.count += 1
        if time.monotonic() < self._end:
            self._transport.write(self._message)
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if time.monotonic() < self._end:
            self.done.set_exception(exc or ConnectionError("closed before the end"))
        else:
            self.done.set_result(None)

    def _whole(self) -> int:
        """The size of the answer that is there, 0 before it is whole."""
        if self._is_socket and not self._hello:
            if len(self._held) < 4:
                return 0
            if b'"error"' in self._held:
                raise SystemExit(f"bench_serve: {self._held!r}")
            size = 2 + self._held[1] if self._held[1] < 126 else 4 + int.from_bytes(self._held[2:4], "big")
            return size if len(self._held) >= size else 0
        at = self._held.find(b"\r\n\r\n")
        if at < 0:
            return 0
        status = self._held[9:12]
        if status not in (b"200", b"101"):
            raise SystemExit(f"bench_serve: {self._held!r}")
        length = re.search(rb"content-length: (\d+)", self._held[:at], re.IGNORECASE)
        size = at + 4 + (int(length[1]) if length else 0)
        return size if len(self._held) >= size else 0


async def rate(port: int, paths: list[str], *, is_socket: bool, seconds: float) -> float:
    """Steps a second over all sessions."""
    step = json.dumps({"ids": [97]} if not is_socket else {"step": {"ids": [97], "top": 1}}).encode()
    if "/v1/" in paths[0] and not is_socket:
        step = json.dumps({"ids": [97], "top": 1}).encode()
    head = "host: 127.0.0.1\r\n"
    start, loop = time.monotonic(), asyncio.get_running_loop()
    steppers = []
    for path in paths:
        if is_socket:
            upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
            key = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            hello = f"GET {path}/ws HTTP/1.1\r\n{head}{upgrade}{key}\r\n".encode()
            message = bytes([0x81, 0x80 | len(step), 0, 0, 0, 0]) + step  # masked by zeros
        else:
            kind = f"content-type: application/json\r\ncontent-length: {len(step)}\r\n\r\n"
            hello, message = b"", f"POST {path}/step HTTP/1.1\r\n{head}{kind}".encode() + step
        stepper = Stepper(hello, message, is_socket=is_socket, end=start + seconds)
        await loop.create_connection(lambda stepper=stepper: stepper, "127.0.0.1", port)
        steppers.append(stepper)
    await asyncio.gather(*(stepper.done for stepper in steppers))
    return sum(stepper.count for stepper in steppers) / (time.monotonic() - start)


def check_parity(peer: int, ours: int) -> None:
    """Raises: SystemExit where the two say different things of the same text."""
    session = post(ours, "/v1/sessions", {})["session"]
    post(peer, "/sessions/parity/step", {"ids": [BEGIN]})
    for id in b"parity":
        theirs = post(peer, "/sessions/parity/step", {"ids": [id]})["top"][0]
        said = post(ours, f"/v1/sessions/{session}/step", {"ids": [id], "top": 1})["top"][0]
        if said["id"] != theirs["id"] or abs(said["probability"] - theirs["probability"]) > 1e-5:
            raise SystemExit(f"bench_serve: the peer says {theirs}, rnnkit {said}: nothing is timed")


def measured(folder: Path, *, sessions: int, seconds: float) -> dict[str, float]:
    """Steps a second of each."""
    found: dict[str, float] = {}
    plain = [f"/sessions/{number}" for number in range(sessions)]
    with serving("floor", folder) as floor:
        found["floor"] = asyncio.run(rate(floor, plain, is_socket=False, seconds=seconds))
    with serving("peer", folder) as peer:
        with serving("rnnkit", folder) as ours:
            check_parity(peer, ours)
        found["peer"] = asyncio.run(rate(peer, plain, is_socket=False, seconds=seconds))
    with serving("rnnkit", folder) as ours:
        paths = [f"/v1/sessions/{post(ours, '/v1/sessions', {})['session']}" for _ in range(sessions)]
        for name, is_socket in (("post", False), ("socket", True)):
            found[name] = asyncio.run(rate(ours, paths, is_socket=is_socket, seconds=seconds))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--sessions", type=int, default=256)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--role", choices=["peer", "floor"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        serve_role(options.role, options.folder)
        return
    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder) / "bench")
        found = measured(Path(folder) / "bench", sessions=options.sessions, seconds=options.seconds)
    if options.json:
        print(json.dumps({"steps_per_second": found, "cores": os.cpu_count(), "machine": platform.machine()}))
        return
    print(f"one-token steps a second, {options.sessions} sessions, 2 x 512 LSTM, {os.cpu_count()} cores")
    for name, value in found.items():
        print(f"{name:8}{value:10.0f}{value / found['peer']:8.2f} times the peer")


if __name__ == "__main__":
    main()
