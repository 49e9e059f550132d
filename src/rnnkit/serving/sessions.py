"""Sessions, values that a store exchanges as a whole: a request that fails half-way leaves its session as it was."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnkit.serving.faults import Fault, unknown_session
from rnnkit.serving.keys import Ids
from rnnkit.serving.limits import Limits


@dataclass(frozen=True, kw_only=True, eq=False)
class Session:
    """A stream's state and what goes with it. `id` is empty where it travels with the client."""

    id: str
    owner: str
    model: str
    digest: str
    """Of the model's bundle: no other model ever reads the state."""
    vector: np.ndarray
    """Of `rnnkit.runtime.side_by_side`."""
    tail: tuple[int, ...] = ()
    """The last ids read."""
    num_read: int = 0
    num_drawn: int = 0
    created: float
    """Seconds since 1970: replicas share it."""
    version: str = ""
    """Of a store that exchanges by it."""

    def facts(self) -> dict[str, Any]:
        """All but owner, id and vector."""
        names = ("model", "digest", "tail", "num_read", "num_drawn", "created")
        return {name: getattr(self, name) for name in names}


class Store(ABC):
    """Where sessions are kept between requests."""

    @abstractmethod
    def new_id(self, owner: str) -> str: ...

    @abstractmethod
    async def add(self, session: Session) -> None:
        """Raises: Fault 429 where no room is left."""

    @abstractmethod
    async def get(self, id: str, owner: str) -> Session:
        """The session, used now. Raises: Fault 404, 410."""

    @abstractmethod
    async def replace(self, before: Session, after: Session) -> None:
        """Put `after` where `before` is. Raises: Fault 409 where another request has changed it, 404 where it ended."""

    @abstractmethod
    async def remove(self, session: Session) -> None: ...

    @abstractmethod
    async def count(self) -> tuple[int, int]:
        """How many sessions there are, and the bytes of their states."""

    async def close(self) -> None:  # noqa: B027
        """The server ends."""


def changed() -> Fault:
    """For two requests at once on one session."""
    return Fault(409, "another request has changed this session meanwhile; send one at a time", field="session")


def full(what: str) -> Fault:
    """For a store at one of its limits."""
    return Fault(429, f"the server holds {what} already; close sessions, or try again later", retry_s=10)


class Memory(Store):
    """Sessions of this worker alone."""

    def __init__(self, ids: Ids, limits: Limits) -> None:
        self._ids, self._limits = ids, limits
        self._held: dict[str, Session] = {}
        self._used: dict[str, float] = {}

    def new_id(self, owner: str) -> str:
        return self._ids.new(owner)

    async def add(self, session: Session) -> None:
        count, size = await self.count()
        if count >= self._limits.num_sessions:
            raise full(f"{count} sessions")
        if size + session.vector.nbytes > self._limits.session_bytes:
            raise full(f"{size} bytes of states")
        self._held[session.id] = session
        self._use(session.id)

    async def get(self, id: str, owner: str) -> Session:
        self._ids.check(id, owner)
        session = self._held.get(id)
        if session is None:
            raise unknown_session()
        if self._is_over(session):
            await self.remove(session)
            raise unknown_session()
        self._use(id)
        return session

    async def replace(self, before: Session, after: Session) -> None:
        found = self._held.get(before.id)
        if found is None:
            raise unknown_session()
        if found is not before:
            raise changed()
        self._held[before.id] = after

    async def remove(self, session: Session) -> None:
        self._held.pop(session.id, None)
        self._used.pop(session.id, None)

    async def count(self) -> tuple[int, int]:
        for session in [one for one in self._held.values() if self._is_over(one)]:
            await self.remove(session)
        return len(self._held), sum(session.vector.nbytes for session in self._held.values())

    def _use(self, id: str) -> None:
        self._used[id] = time.monotonic()

    def _is_over(self, session: Session) -> bool:
        is_idle = time.monotonic() - self._used[session.id] > self._limits.idle_s
        return is_idle or time.time() - session.created > self._limits.session_s
