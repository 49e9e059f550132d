"""The process that serves: `python -m rnnkit.serving.worker SOCKET READY NUMBER`, settings on stdin.

Args: SOCKET: the descriptor to accept from. READY: one to write a byte to. NUMBER: which worker this is.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import uvicorn

from rnnkit.errors import RnnkitError
from rnnkit.runtime import load
from rnnkit.serving.app import build
from rnnkit.serving.gate import LOOPBACK, Gate
from rnnkit.serving.keys import Ids, Keys, Seal
from rnnkit.serving.meters import Meters
from rnnkit.serving.protocol import uvicorn_settings
from rnnkit.serving.service import Service
from rnnkit.serving.sessions import Memory, Store
from rnnkit.serving.settings import Settings

_SWITCH_S = 0.001  # for the GIL: the engine's thread, back from the native core, waits no longer for the event loop


def main() -> int:
    """Serve until SIGTERM."""
    listener, ready, number = map(int, sys.argv[1:])
    settings = Settings.from_json(sys.stdin.read())
    sys.setswitchinterval(_SWITCH_S)
    try:
        models = {name: load(run, precision=settings.precision) for name, run in settings.runs.items()}
    except RnnkitError as error:
        print(f"rnnkit: {' '.join(str(error).split())}", file=sys.stderr)
        return error.exit_code
    limits, meters, secret = settings.limits, Meters(), bytes.fromhex(settings.secret)
    files = tuple(Path(run) / "model.safetensors" for run in settings.runs.values())

    def make() -> Service:
        store = _store(settings, Ids(secret, number))
        return Service(models, store=store, seal=Seal(secret), limits=limits, meters=meters, files=files)

    hosts = frozenset(settings.hosts) or (None if settings.keys else LOOPBACK)
    gate = Gate(build(make), keys=Keys(settings.keys), limits=limits, meters=meters, hosts=hosts)
    server = uvicorn.Server(uvicorn.Config(gate, lifespan="on", **uvicorn_settings(limits)))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of Ctrl-C, which the supervisor gets too
    asyncio.run(_serve(server, socket.socket(fileno=listener), ready))
    return 0


async def _serve(server: uvicorn.Server, listener: socket.socket, ready: int) -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, setattr, server, "should_exit", True)
    serving = asyncio.create_task(server._serve([listener]))  # `serve` would take the signals for itself
    while not (server.started or serving.done()):
        await asyncio.sleep(0.01)
    if server.started:
        os.write(ready, b"\n")
    await serving


def _store(settings: Settings, ids: Ids) -> Store:
    if settings.redis is None:
        return Memory(ids, settings.limits)
    from rnnkit.serving.redis_store import Redis

    return Redis(settings.redis, settings.limits)


if __name__ == "__main__":
    sys.exit(main())
