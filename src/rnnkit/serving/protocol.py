"""HTTP/1.1 by uvicorn and h11, with deadlines and sizes of our own on header and body.

Neither of them limits how slowly a request may come. Here a connection awaits a header, a body or nothing, and a timer
runs while it does. What is refused here never reaches the application as a whole request.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from rnnkit.serving.faults import Fault
from rnnkit.serving.limits import Limits

_SLICE = 4096  # h11 looks at a header's size only while it is incomplete, so it is fed in small pieces
_ABORT_S = 1.0  # from a refusal to the end of the connection, whether it was read or not


def protocol(of: Limits) -> type[H11Protocol]:
    """The protocol class with these limits."""

    class Limited(_Limited):
        limits = of

    return Limited


class _Limited(H11Protocol):
    limits: ClassVar[Limits]
    _timer: asyncio.TimerHandle | None = None
    _awaited: str | None = None  # "header" or "body"
    _body_bytes = 0
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.limits.num_connections:
            transport.abort()
            return
        self._await("header")

    def connection_lost(self, exc: Exception | None) -> None:
        self._await(None)
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        for at in range(0, len(data), _SLICE):
            if self.transport.is_closing() or self.transport.get_protocol() is not self:
                return
            self._receive(data[at : at + _SLICE])

    def _receive(self, data: bytes) -> None:
        state = self.conn.their_state
        if state is h11.IDLE and self._awaited is None:
            self._await("header")
        if state is h11.SEND_BODY:
            self._body_bytes += len(data)
        super().data_received(data)
        self._look()

    def _look(self) -> None:
        """Set the timer and check sizes, by what is awaited now."""
        if self.transport.is_closing():
            return
        if self.transport.get_protocol() is not self:  # a WebSocket has taken over
            self._await(None)
            return
        state = self.conn.their_state
        if state is h11.SEND_BODY:
            if self._awaited != "body":
                self._body_bytes = 0
                self._await("body")
            if max(self._body_bytes, self._promised()) > self.limits.body_bytes:
                self._refuse(Fault(413, f"the body is larger than {self.limits.body_bytes} bytes", field="body"))
        elif state is not h11.IDLE:
            self._await(None)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._look()

    def _promised(self) -> int:
        return next((int(value) for name, value in self.headers if name == b"content-length"), 0)

    def _await(self, what: str | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._awaited, self._timer = what, None
        if what is not None:
            seconds = self.limits.header_s if what == "header" else self.limits.body_s
            self._timer = self.loop.call_later(seconds, self._late, what, seconds)

    def _late(self, what: str, seconds: float) -> None:
        self._refuse(Fault(408, f"the request's {what} did not come within {seconds:g} s", field=what))

    def send_400_response(self, msg: str) -> None:
        """What uvicorn says to a request that h11 does not take."""
        if self.conn.their_state is h11.ERROR and self._awaited == "header":
            pending = len(self.conn.trailing_data[0])
            if pending > self.limits.header_bytes:
                self._refuse(Fault(431, f"the header is larger than {self.limits.header_bytes} bytes", field="header"))
                return
        self._refuse(Fault(400, "this is no valid HTTP/1.1 request", field=self._awaited or "header"))

    def _refuse(self, fault: Fault) -> None:
        """Say why where nothing was said yet, and end the connection."""
        self._await(None)
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.write(_answer(fault))
        self.transport.close()
        self.loop.call_later(_ABORT_S, self.transport.abort)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(self.limits.body_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None


def _answer(fault: Fault) -> bytes:
    body = fault.body()
    head = f"HTTP/1.1 {fault.status} {STATUS_PHRASES[fault.status].decode()}\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body


def uvicorn_settings(limits: Limits) -> dict[str, Any]:
    """Of `uvicorn.Config`."""
    return {
        "http": protocol(limits),
        "ws": "websockets-sansio",
        "ws_max_size": limits.body_bytes,
        "ws_per_message_deflate": False,  # a small frame could unfold into a large one
        "h11_max_incomplete_event_size": limits.header_bytes,
        "timeout_keep_alive": limits.keep_alive_s,
        "timeout_graceful_shutdown": limits.shutdown_s,
        "server_header": False,
        "proxy_headers": False,
        "access_log": False,
        "log_level": "warning",
        "loop": "asyncio",
    }
