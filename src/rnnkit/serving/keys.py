"""Who asks: API keys; and what only the server can have made: session ids and signed states."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import struct
from collections.abc import Iterable
from typing import Any

from rnnkit.serving.faults import Fault, unknown_session

_ID = struct.Struct("<16sI12s")  # 128 random bits, the worker's number, the tag
_TAG_BYTES = 32


class Keys:
    """The keys that are let in; none: everyone is, as one owner.

    Only hashes are kept and looked up, so that no comparison's time tells of a key.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self._owners = {_hash(key): _hash(key)[:32] for key in keys}

    def __bool__(self) -> bool:
        return bool(self._owners)

    def owner(self, authorization: bytes | None) -> str:
        """Who sent this `Authorization: Bearer KEY`. Raises: Fault 401."""
        if not self._owners:
            return ""
        scheme, _, key = (authorization or b"").partition(b" ")
        owner = self._owners.get(_hash(key.strip().decode("latin-1"))) if scheme.lower() == b"bearer" else None
        if owner is None:
            raise Fault(401, "an API key is wanted: send the header Authorization: Bearer KEY", field="authorization")
        return owner


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


class Ids:
    """Session ids of 128 random bits that say, to this server alone, whose they are and which worker made them.

    Args: worker: its number: sessions in memory end with it.
    """

    def __init__(self, secret: bytes, worker: int) -> None:
        self._secret, self._worker = secret, worker

    def new(self, owner: str) -> str:
        """A new id."""
        random = secrets.token_bytes(16)
        return _to_text(_ID.pack(random, self._worker, self._tag(random, self._worker, owner)))

    def check(self, id: str, owner: str) -> None:
        """Raises: Fault 404 for an id that this server did not give to `owner`, 410 for one of an earlier worker."""
        try:
            random, worker, tag = _ID.unpack(_from_text(id))
        except (ValueError, struct.error):
            raise unknown_session() from None
        if not hmac.compare_digest(tag, self._tag(random, worker, owner)):
            raise unknown_session()
        if worker != self._worker:
            raise Fault(410, "the worker that held this session has ended; open a new one", field="session")

    def _tag(self, random: bytes, worker: int, owner: str) -> bytes:
        return _mac(self._secret, b"session", random + worker.to_bytes(4, "little") + owner.encode())[:12]


class Seal:
    """Signs what travels with the client, and knows it again. Good for its owner alone.

    Args: secret: shared by replicas that are to read each other's.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def close(self, facts: dict[str, Any], data: bytes, owner: str) -> str:
        """Facts and bytes as a text."""
        head = json.dumps(facts).encode()
        body = struct.pack("<I", len(head)) + head + data
        return _to_text(body + _mac(self._secret, b"state", owner.encode() + b"\0" + body))

    def open(self, text: str, owner: str) -> tuple[dict[str, Any], bytes]:
        """What `close` was given. Raises: Fault 422 for anything else."""
        try:
            signed = _from_text(text)
        except ValueError:
            signed = b""
        body, tag = signed[:-_TAG_BYTES], signed[-_TAG_BYTES:]
        if not hmac.compare_digest(tag, _mac(self._secret, b"state", owner.encode() + b"\0" + body)):
            raise Fault(422, "this is no state that the server gave to you; send one whole", field="body.state")
        size = struct.unpack_from("<I", body)[0]
        return json.loads(body[4 : 4 + size]), body[4 + size :]


def _mac(secret: bytes, purpose: bytes, data: bytes) -> bytes:
    return hmac.digest(secret, purpose + b"\0" + data, "sha256")


def _to_text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _from_text(text: str) -> bytes:
    """Raises: ValueError unless it is exactly what `_to_text` writes."""
    try:
        data = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise ValueError("no base64") from None
    if _to_text(data) != text:
        raise ValueError("not canonical")
    return data
