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
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rnnkit.errors import RnnkitError
from rnnkit.serving.app import build
from rnnkit.serving.gate import LOOPBACK, Gate
from rnnkit.serving.keys import Ids, Keys, Seal
from rnnkit.serving.kinds import load
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
    app = build(make)
    gate = Gate(
        app,
        keys=Keys(settings.keys),
        limits=limits,
        meters=meters,
        hosts=hosts,
        check_room=lambda path: app.state.service.check_room(path),
    )
    server = uvicorn.Server(uvicorn.Config(_announcing(gate, ready), lifespan="on", **uvicorn_settings(limits)))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of Ctrl-C, which the supervisor gets too
    asyncio.run(_serve(server, socket.socket(fileno=listener)))
    return 0


async def _serve(server: uvicorn.Server, listener: socket.socket) -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, setattr, server, "should_exit", True)
    await server._serve([listener])  # `serve` would take the signals for itself


def _announcing(app: ASGIApp, ready: int) -> ASGIApp:
    """The app; once it has started it says so, and the supervisor leaves the socket, before the first connection is
    taken here.
    """

    async def announced(scope: Scope, receive: Receive, send: Send) -> None:
        async def tell(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                os.write(ready, b"\n")
            await send(message)

        await app(scope, receive, tell if scope["type"] == "lifespan" else send)

    return announced


def _store(settings: Settings, ids: Ids) -> Store:
    if settings.redis is None:
        return Memory(ids, settings.limits)
    from rnnkit.serving.redis_store import Redis

    return Redis(settings.redis, settings.limits)


if __name__ == "__main__":
    sys.exit(main())
