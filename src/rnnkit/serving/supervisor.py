"""Keeps a worker alive: it holds the socket, starts another worker where one ends, and answers 503 meanwhile."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from types import FrameType

from rnnkit.errors import UsageError
from rnnkit.serving.settings import Settings

_PAUSES_S = (0.0, 0.25, 0.5, 1.0)  # before another worker, by how many in a row did not come up
_GRACE_S = 2.0  # beyond limits.shutdown_s, until a worker that does not end is killed
_BACKLOG = 2048

_BODY = b'{"error": {"message": "the server is starting; try again"}}'
_STARTING = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\nconnection: close\r\n"
    b"content-length: " + str(len(_BODY)).encode() + b"\r\n\r\n" + _BODY
)


class Supervisor:
    """One worker after the other, until SIGTERM or SIGINT.

    Raises: UsageError, OSError where the address cannot be had.
    """

    def __init__(self, settings: Settings) -> None:
        settings.check()
        self._settings = settings
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((settings.host, settings.port))
        except OSError as error:
            raise UsageError(f"{settings.host}:{settings.port} cannot be served: {error.strerror}; --port?") from None
        self._socket.listen(_BACKLOG)
        self._socket.setblocking(False)
        self._is_ending = False
        self._number = 0
        self._wake, self._waker = os.pipe()

    @property
    def port(self) -> int:
        """The one that was given, or found where that was 0."""
        return self._socket.getsockname()[1]

    def run(self) -> int:
        """Returns: the exit code: 0 after a signal, 1 where the first worker never came up."""
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._end)
        failures = 0
        while not self._is_ending:
            if self._serve():
                failures = 0
                continue
            failures += 1
            if self._number == failures and not self._is_ending:
                return 1  # it has said why
            self._gap(_PAUSES_S[min(failures, len(_PAUSES_S) - 1)])
        return 0

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._is_ending = True
        os.write(self._waker, b"\n")

    def _serve(self) -> bool:
        """One worker from start to end. Returns: whether it came up."""
        self._number += 1
        ready, ready_end = os.pipe()
        numbers = (self._socket.fileno(), ready_end, self._number)
        worker = subprocess.Popen(
            [sys.executable, "-m", "rnnkit.serving.worker", *map(str, numbers)],
            stdin=subprocess.PIPE,
            pass_fds=numbers[:2],
            start_new_session=True,  # Ctrl-C is ours to hand on
        )
        os.close(ready_end)
        try:
            with contextlib.suppress(BrokenPipeError):
                assert worker.stdin is not None
                worker.stdin.write(self._settings.to_json().encode())
                worker.stdin.close()
            self._gap(None, ready)
            is_up = not self._is_ending and os.read(ready, 1) == b"\n"
            if is_up and self._number == 1:
                names = ", ".join(self._settings.runs)
                print(f"serving {names} at http://{self._settings.host}:{self.port}/", flush=True)
            if is_up:
                _wait((ready, self._wake))  # the pipe's other end closes when the worker ends, however it does
            return is_up
        finally:
            self._stop(worker)
            os.close(ready)

    def _stop(self, worker: subprocess.Popen[bytes]) -> None:
        if self._is_ending:
            self._socket.close()
        worker.terminate()
        try:
            code = worker.wait(self._settings.limits.shutdown_s + _GRACE_S)
        except subprocess.TimeoutExpired:
            worker.kill()
            code = worker.wait()
        if not self._is_ending:
            print(f"rnnkit: worker {self._number} ended with {code}", file=sys.stderr, flush=True)

    def _gap(self, seconds: float | None, ready: int | None = None) -> None:
        """Answer 503 to all who come, for so long, or until `ready` says something, or a signal comes."""
        end = None if seconds is None else time.monotonic() + seconds
        answered: list[tuple[float, socket.socket]] = []
        with selectors.DefaultSelector() as selector:
            for what in (self._socket, self._wake, *([] if ready is None else [ready])):
                selector.register(what, selectors.EVENT_READ)
            while end is None or time.monotonic() < end:
                keys = selector.select(0.05)
                if any(key.fileobj in (self._wake, ready) for key, _ in keys):
                    break
                if keys:
                    with contextlib.suppress(OSError):
                        client, _ = self._socket.accept()
                        client.setblocking(False)
                        client.send(_STARTING)
                        client.shutdown(socket.SHUT_WR)
                        answered.append((time.monotonic(), client))
                while answered and (time.monotonic() - answered[0][0] > 0.5 or len(answered) > 256):
                    answered.pop(0)[1].close()  # at once would reset what the client has not read yet
        for _, client in answered:
            client.close()


def _wait(descriptors: tuple[int, ...]) -> None:
    with selectors.DefaultSelector() as selector:
        for descriptor in descriptors:
            selector.register(descriptor, selectors.EVENT_READ)
        selector.select()
