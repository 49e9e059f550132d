"""What `rnnkit serve` promises of its limits, in seconds: overload, slow clients, and what ends or is killed.

Every client is a process of its own, so that none waits for another's interpreter. Each part prints what it found
beside what is promised, and the exit status is 1 where a promise does not hold.

- overload: ten times as many requests as the server can do, at their own times whether answered or not: how soon it
  refuses, whether what it takes is done in its time, and is right.
- attacks:  500 connections that say nothing, drip their header or drip their body; each that is closed comes again.
            An honest client's 99th percentile meanwhile over that before and after, and how far memory grew.
- ends:     a worker killed, a model's file gone, a client that leaves, SIGTERM in the middle of work.

Usage: python benchmarks/bench_serve_limits.py [--seconds 60] [--only overload] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from bench_serve import post, rnnkit_serve, running, save_model

HEAD = b"POST /v1/sessions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n"
ATTACKS = {"silent": (b"", b""), "header-drip": (HEAD, b"x"), "body-drip": (HEAD + b"\r\n", b" ")}
DEADLINES = {"silent": 5.0, "header-drip": 5.0, "body-drip": 10.0}
NUM_ATTACKERS = 500
NEW_TOKENS = 64
SEEDS = 8


class Connection:
    """One connection, kept open: a request, its status and body."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None

    async def post(self, path: str, body: object) -> tuple[int, Any]:
        if self._reader is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        content = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        self._writer.write(f"{head}content-length: {len(content)}\r\n\r\n".encode() + content)
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        length = next(int(line[15:]) for line in lines if line.startswith("content-length:"))
        return int(lines[0][9:12]), json.loads(await self._reader.readexactly(length))


# ---- clients, each in a process --------------------------------------------------------------------------------------


def work(seed: int) -> dict[str, Any]:
    return {"max_new_tokens": NEW_TOKENS, "seed": seed % SEEDS, "stream": False}


async def capacity(port: int, seconds: float) -> dict[str, Any]:
    """Requests a second that 16 clients get done who each wait for the answer, and the texts."""
    texts: dict[str, str] = {}
    end, count = time.monotonic() + seconds, 0

    async def client(number: int) -> None:
        nonlocal count
        connection = Connection(port)
        while time.monotonic() < end:
            status, said = await connection.post("/v1/models/bench/generate", work(number))
            assert status == 200, said
            assert texts.setdefault(str(number % SEEDS), said["text"]) == said["text"]
            count += 1

    await asyncio.gather(*(client(number) for number in range(16)))
    return {"per_second": count / seconds, "texts": texts}


async def flood(port: int, seconds: float, per_second: float, texts: dict[str, str]) -> dict[str, Any]:
    """So many requests a second, each at its time, on connections of which there are always enough."""
    free: list[Connection] = []
    took: dict[int, list[float]] = {}
    wrong = lost = 0

    async def one(number: int) -> None:
        nonlocal wrong, lost
        connection = free.pop() if free else Connection(port)
        start = time.monotonic()
        try:
            status, said = await connection.post("/v1/models/bench/generate", work(number))
        except (OSError, asyncio.IncompleteReadError):
            lost += 1
            return
        took.setdefault(status, []).append(time.monotonic() - start)
        wrong += status == 200 and said["text"] != texts[str(number % SEEDS)]
        free.append(connection)

    tasks, begin, number = [], time.monotonic(), 0
    while (now := time.monotonic() - begin) < seconds:
        while number < now * per_second:
            tasks.append(asyncio.create_task(one(number)))
            number += 1
        await asyncio.sleep(0.002)
    await asyncio.gather(*tasks)
    return {
        "offered": number,
        "wrong": wrong,
        "lost": lost,
        "statuses": {status: len(times) for status, times in took.items()},
        "refused_ms": _centiles([1e3 * t for t in took.get(429, [])]),
        "accepted_s": _centiles(took.get(200, [])),
    }


async def honest(port: int, seconds: float) -> dict[str, Any]:
    """Steps of one session, one after the other."""
    connection = Connection(port)
    _, opened = await connection.post("/v1/sessions", {})
    took, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        start = time.monotonic()
        status, said = await connection.post(f"/v1/sessions/{opened['session']}/step", {"ids": [97], "top": 1})
        assert status == 200, said
        took.append(1e3 * (time.monotonic() - start))
        await asyncio.sleep(0.005)
    return _centiles(took)


async def attack(port: int, seconds: float, kind: str) -> dict[str, Any]:
    """`NUM_ATTACKERS` connections at any time, a byte a second each where they drip. How long each was left open."""
    first, drip = ATTACKS[kind]
    end, lives = time.monotonic() + seconds, []

    async def attacker(number: int) -> None:
        await asyncio.sleep(number / NUM_ATTACKERS)  # so that all drip at different moments
        while time.monotonic() < end:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            born = time.monotonic()
            writer.write(first)
            closed = asyncio.create_task(_read_out(reader))
            while not closed.done():
                if drip and not writer.is_closing():
                    writer.write(drip)
                await asyncio.wait({closed}, timeout=1.0)
            lives.append(time.monotonic() - born)
            writer.close()

    await asyncio.gather(*(attacker(number) for number in range(NUM_ATTACKERS)))
    return {"closed": len(lives), "longest_s": max(lives)}


async def _read_out(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(OSError):
        while await reader.read(65536):
            pass


def _centiles(values: list[float]) -> dict[str, float]:
    if len(values) < 2:
        return {}
    parts = statistics.quantiles(values, n=100)
    return {"median": parts[49], "p99": parts[98], "most": max(values), "count": len(values)}


CLIENTS: dict[str, Callable[..., Awaitable[dict[str, Any]]]] = {
    "capacity": capacity,
    "flood": flood,
    "honest": honest,
    "attack": attack,
}


def client(name: str, *arguments: Any) -> subprocess.Popen[str]:
    """A client in a process of its own."""
    command = [sys.executable, __file__, "--client", name, json.dumps(arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def found_by(process: subprocess.Popen[str]) -> dict[str, Any]:
    said, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"bench_serve_limits: a client failed: {said}")
    return json.loads(said)


# ---- parts -----------------------------------------------------------------------------------------------------------


def overload(folder: Path, seconds: float) -> dict[str, Any]:
    with running(rnnkit_serve(folder, batch=16, num_waiting=16, num_connections=8192)) as (port, _):
        can = found_by(client("capacity", port, 5.0))
        found = found_by(client("flood", port, seconds, 10 * can["per_second"], can["texts"]))
        after = found_by(client("capacity", port, 2.0))
    is_right = not found["wrong"] and not found["lost"] and set(found["statuses"]) == {"200", "429"}
    return {
        "requests a second that it can do": can["per_second"],
        **{name.replace("_", " "): value for name, value in found.items()},
        "requests a second afterwards": after["per_second"],
        "promises": {
            "99 of 100 refusals within 50 ms": found["refused_ms"]["p99"] < 50,
            "what was accepted is done within 30 s": found["accepted_s"]["most"] < 30,
            "nothing lost, nothing wrong": is_right,
        },
    }


def attacks(folder: Path, seconds: float) -> dict[str, Any]:
    rows: dict[str, Any] = {"promises": {}}
    for kind in ATTACKS:
        with running(rnnkit_serve(folder)) as (port, server):
            worker = _worker(server)
            calm = found_by(client("honest", port, seconds / 4))
            before = _resident(worker)
            attackers = client("attack", port, seconds, kind)
            time.sleep(2)
            busy = found_by(client("honest", port, seconds - 4))
            grown = _resident(worker) - before
            closed = found_by(attackers)
            calm_again = found_by(client("honest", port, seconds / 4))
        ratio = busy["p99"] / statistics.mean([calm["p99"], calm_again["p99"]])
        rows[kind] = {
            "p99 over that of a calm server": ratio,
            "p99 ms": busy["p99"],
            "MiB more": grown / 2**20,
            **closed,
        }
        rows["promises"] |= {
            f"{kind}: p99 at most doubles": ratio <= 2,
            f"{kind}: at most 32 MiB more": grown <= 32 << 20,
            f"{kind}: all closed at their deadline": closed["longest_s"] < DEADLINES[kind] + 1.5,
        }
    return rows


def ends(folder: Path, _: float) -> dict[str, Any]:
    times: dict[str, float] = {}
    with running(rnnkit_serve(folder, batch=1)) as (port, server):
        os.kill(_worker(server), signal.SIGKILL)
        start = time.monotonic()
        times["killed worker: health is red after s"] = _until(port, lambda ok: not ok) - start
        times["killed worker: health is back after s"] = _until(port, lambda ok: ok) - start
        file, start = folder / "model.safetensors", time.monotonic()
        file.rename(folder / "away")
        times["model's file gone: health is red after s"] = _until(port, lambda ok: not ok) - start
        (folder / "away").rename(file)
        _until(port, lambda ok: ok)
        times["client that leaves: its place is free after ms"] = 1e3 * asyncio.run(_left(port))
    process_end = asyncio.run(_terminated(folder))
    return {
        **times,
        **process_end,
        "promises": {
            "health red within 1 s": times["killed worker: health is red after s"] < 1,
            "health back within 5 s": times["killed worker: health is back after s"] < 5,
            "health red within 1 s of a file's loss": times["model's file gone: health is red after s"] < 1,
            "a place is free within 100 ms": times["client that leaves: its place is free after ms"] < 100,
            "SIGTERM: running work done within 10 s": process_end["SIGTERM: work that ran was done"]
            and process_end["SIGTERM: ended after s"] < 10,
        },
    }


async def _left(port: int) -> float:
    """Seconds from a client's leaving, in the middle of a long generation, to another's step where one has room."""
    session = post(port, "/v1/sessions", {})["session"]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = json.dumps({"max_new_tokens": 10_000, "stream": True}).encode()
    head = f"POST /v1/models/bench/generate HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(body)}\r\n"
    writer.write(f"{head}content-type: application/json\r\n\r\n".encode() + body)
    await reader.readuntil(b"data:")
    other = Connection(port)
    await other.post("/v1/sessions", {})  # connected
    start = time.monotonic()
    writer.transport.abort()
    status, said = await other.post(f"/v1/sessions/{session}/step", {"ids": [97]})
    assert status == 200, said
    return time.monotonic() - start


async def _terminated(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with running(rnnkit_serve(folder)) as (port, server):
        tasks = [
            asyncio.create_task(Connection(port).post("/v1/models/bench/generate", work(seed))) for seed in range(16)
        ]
        await asyncio.sleep(0.2)
        start = time.monotonic()
        os.kill(server, signal.SIGTERM)
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        while _is_alive(server):
            await asyncio.sleep(0.01)
        found["SIGTERM: ended after s"] = time.monotonic() - start
        found["SIGTERM: work that ran was done"] = all(
            not isinstance(a, BaseException) and a[0] == 200 for a in answers
        )
    return found


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _until(port: int, holds: Callable[[bool], bool]) -> float:
    """When /health was first so."""
    import urllib.request

    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as response:
                is_well = response.status == 200
        except OSError:
            is_well = False
        if holds(is_well):
            return time.monotonic()
    raise SystemExit("bench_serve_limits: /health did not change within 30 s")


def _worker(server: int) -> int:
    """The one child of a server."""
    return int(Path(f"/proc/{server}/task/{server}/children").read_text().split()[0])


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


PARTS = {"overload": overload, "attacks": attacks, "ends": ends}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="of a flood and of each attack (60)")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part only; may be given again")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--client", nargs=2, metavar=("NAME", "ARGUMENTS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        name, arguments = options.client
        print(json.dumps(asyncio.run(CLIENTS[name](*json.loads(arguments)))))  # type: ignore[arg-type]
        return 0
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder) / "bench")
        for name in options.only or PARTS:
            print(f"{name} …", file=sys.stderr, flush=True)
            found[name] = PARTS[name](Path(folder) / "bench", options.seconds)
            if not options.json:
                _show(name, found[name])
    if options.json:
        print(json.dumps({**found, "cores": os.cpu_count()}))
    return 0 if all(all(part["promises"].values()) for part in found.values()) else 1


def _show(name: str, part: dict[str, Any]) -> None:
    print(f"\n{name}")
    for what, value in part.items():
        if what == "promises":
            continue
        shown = ", ".join(f"{k} {v:.4g}" for k, v in value.items()) if isinstance(value, dict) else f"{value:.4g}"
        print(f"  {what}: {shown}")
    for promise, holds in part["promises"].items():
        print(f"  {'holds ' if holds else 'BROKEN'} {promise}")


if __name__ == "__main__":
    sys.exit(main())
