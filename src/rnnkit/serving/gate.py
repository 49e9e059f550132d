"""Every request passes here first: host and origin, key, header's size, room, deadline; and every refusal is written
here.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from rnnkit.serving.faults import Fault
from rnnkit.serving.keys import Keys
from rnnkit.serving.limits import Limits
from rnnkit.serving.meters import Meters

OPEN = frozenset({"/", "/page.js", "/page.css", "/health", "/openapi.json"})
"""What is answered without a key: none of it tells of a model or a session."""

LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})

_PORT = re.compile(r":\d*$")
_LOG = logging.getLogger("rnnkit.serving")
_SECURITY = [  # of every answer; the page asks no other host for anything, and no other page may frame it
    (b"content-security-policy", b"default-src 'self'; img-src 'self' data:; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Gate:
    """Around the application.

    Args: hosts: names that the server answers to; None: any. Without keys only loopback's are let through, lest a page
        of another site, whose name was made to point here, read what the model says.
        check_room: raises a Fault for the path of a request that would be refused once it was read.
    """

    def __init__(
        self,
        app: Any,
        *,
        keys: Keys,
        limits: Limits,
        meters: Meters,
        hosts: frozenset[str] | None,
        check_room: Callable[[str], None],
    ) -> None:
        self._app, self._keys, self._limits, self._meters, self._hosts = app, keys, limits, meters, hosts
        self._check_room = check_room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), 0

        async def watched(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *_SECURITY]
            elif message["type"] == "websocket.accept":
                status = 101
            await send(message)

        try:
            self._check(scope)
            if scope["type"] == "websocket":
                await self._app(scope, receive, watched)
            else:
                async with asyncio.timeout(self._limits.request_s):
                    await self._app(scope, receive, watched)
        except Fault as fault:
            await _refuse(scope, watched, fault)
        except TimeoutError:
            if status:
                raise  # in the middle of an answer: uvicorn ends the connection
            await _refuse(scope, watched, Fault(504, f"no answer within {self._limits.request_s:g} s"))
        except Exception:
            _LOG.exception("%s %r", scope.get("method", "WebSocket"), scope["path"])  # quoted: %0A is a line's end
            if status:
                raise
            await _refuse(scope, watched, Fault(500, "internal error; the server's log has it"))
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._meters.answered(route, status, time.perf_counter() - start)

    def _check(self, scope: Scope) -> None:
        """Raises: Fault."""
        headers = dict(scope["headers"])
        size = len(scope["raw_path"]) + sum(len(name) + len(value) + 4 for name, value in scope["headers"])
        if size > self._limits.header_bytes:
            raise Fault(431, f"the header is larger than {self._limits.header_bytes} bytes", field="header")
        if b"content-length" in headers and b"transfer-encoding" in headers:  # a proxy may believe the other one
            raise Fault(400, "give content-length or transfer-encoding, not both", field="header", ends=True)
        host = headers.get(b"host", b"").decode("latin-1")
        if self._hosts is not None and _PORT.sub("", host) not in self._hosts:
            raise Fault(403, f"this server does not go by the name {host!r}", field="host")
        origin = headers.get(b"origin", b"").decode("latin-1")
        if origin and origin.partition("://")[2] != host:
            raise Fault(403, f"pages of {origin} may not use this server", field="origin")
        if scope["path"] not in OPEN:
            scope["owner"] = self._keys.owner(headers.get(b"authorization"))
            self._check_room(scope["path"])


async def _refuse(scope: Scope, send: Send, fault: Fault) -> None:
    kind = "websocket.http.response" if scope["type"] == "websocket" else "http.response"
    body = fault.body()
    headers = {"content-type": "application/json", "content-length": str(len(body)), **fault.headers}
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": f"{kind}.start", "status": fault.status, "headers": pairs})
    await send({"type": f"{kind}.body", "body": body})
