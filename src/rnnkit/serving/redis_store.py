"""Sessions in Redis: replicas share them, and they outlive a worker."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Awaitable
from typing import Any

import numpy as np
from redis.asyncio import Redis as Client
from redis.exceptions import RedisError

from rnnkit.serving.faults import Fault, unknown_session
from rnnkit.serving.limits import Limits
from rnnkit.serving.sessions import Session, Store, changed, full

_INDEX = "rnnkit:sessions"  # "id:bytes" of every session, by the millisecond it ends
_TIMEOUT_S = 5.0
_HELD = """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
local count, bytes = 0, 0
for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  count, bytes = count + 1, bytes + tonumber(string.match(member, ':(%d+)$'))
end
"""
_COUNT = _HELD + "return {count, bytes}"  # now
_ADD = (  # now, member, its end, bytes, most sessions, most bytes, version, facts, vector
    _HELD
    + """
if count >= tonumber(ARGV[5]) or bytes + tonumber(ARGV[4]) > tonumber(ARGV[6]) then return {count, bytes} end
redis.call('HSET', KEYS[2], 'version', ARGV[7], 'facts', ARGV[8], 'vector', ARGV[9])
redis.call('PEXPIREAT', KEYS[2], ARGV[3])
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[2])
return {}
"""
)
_REPLACE = """
local version = redis.call('HGET', KEYS[1], 'version')
if not version then return 0 end
if version ~= ARGV[1] then return 1 end
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'facts', ARGV[3], 'vector', ARGV[4])
return 2
"""


class Redis(Store):
    """Args: url: redis://[[user]:password@]host[:port][/number], rediss:// for TLS. Ids are 128 random bits."""

    def __init__(self, url: str, limits: Limits) -> None:
        self._limits = limits
        self._client = Client.from_url(url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S)

    def new_id(self, owner: str) -> str:
        return secrets.token_urlsafe(16)

    async def add(self, session: Session) -> None:
        size, end = session.vector.nbytes, self._end(session)
        held = await self._eval(
            _ADD, [_INDEX, _key(session.id)],
            _now(), _member(session), end, size, self._limits.num_sessions, self._limits.session_bytes,
            *_fields(session, secrets.token_hex(16)),
        )  # fmt: skip
        if held:
            raise full(f"{held[0]} sessions of {held[1]} bytes")

    async def get(self, id: str, owner: str) -> Session:
        if len(id) > 64 or not id.isascii():
            raise unknown_session()
        version, facts, data = await _asked(self._client.hmget(_key(id), ["version", "facts", "vector"]))
        known = None if facts is None else json.loads(facts)
        if known is None or known.pop("owner") != owner:
            raise unknown_session()
        vector = np.frombuffer(data, np.float32)
        known["tail"] = tuple(known["tail"])
        session = Session(id=id, owner=owner, vector=vector, version=version.decode(), **known)
        async with self._client.pipeline(transaction=True) as pipe:
            pipe.pexpireat(_key(id), self._end(session))
            pipe.zadd(_INDEX, {_member(session): self._end(session)}, xx=True)
            await _asked(pipe.execute())
        return session

    async def replace(self, before: Session, after: Session) -> None:
        done = await self._eval(_REPLACE, [_key(before.id)], before.version, *_fields(after, secrets.token_hex(16)))
        if done == 0:
            raise unknown_session()
        if done == 1:
            raise changed()

    async def remove(self, session: Session) -> None:
        await _asked(self._client.delete(_key(session.id)))
        await _asked(self._client.zrem(_INDEX, _member(session)))

    async def count(self) -> tuple[int, int]:
        count, size = await self._eval(_COUNT, [_INDEX], _now())
        return count, size

    async def close(self) -> None:
        await self._client.aclose()

    def _end(self, session: Session) -> int:
        """When it ends if nobody uses it again, in milliseconds since 1970."""
        return int(1000 * min(time.time() + self._limits.idle_s, session.created + self._limits.session_s))

    async def _eval(self, script: str, keys: list[str], *values: Any) -> Any:
        return await _asked(self._client.eval(script, len(keys), *keys, *values))  # type: ignore[arg-type]


async def _asked(reply: Awaitable[Any] | Any) -> Any:
    """Raises: Fault 503 where Redis does not answer."""
    try:
        return await reply
    except (RedisError, OSError) as error:
        raise Fault(503, f"the store of sessions does not answer ({type(error).__name__})", retry_s=1) from None


def _key(id: str) -> str:
    return f"rnnkit:session:{id}"


def _member(session: Session) -> str:
    return f"{session.id}:{session.vector.nbytes}"


def _fields(session: Session, version: str) -> tuple[str, str, bytes]:
    return version, json.dumps(session.facts() | {"owner": session.owner}), session.vector.tobytes()


def _now() -> int:
    return int(1000 * time.time())
