"""Every limit of the server, with its default: `rnnkit serve --limit NAME=VALUE` sets one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Self

from rnnkit.errors import ConfigError, nearest


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Sizes in bytes, times in seconds, counts. What happens at each is said beside it."""

    header_bytes: int = 16 << 10  # 431
    header_s: float = 5.0  # 408, from a connection's first moment, or a later request's first byte
    body_bytes: int = 1 << 20  # 413; of a WebSocket, of each message
    body_s: float = 10.0  # 408; also how long a client may leave its answer unread
    keep_alive_s: float = 30.0  # a connection without a request is closed
    num_connections: int = 1024  # more are closed unread
    num_waiting: int = 100  # 429: requests that wait for a place in the batch, for each model
    batch: int = 256  # streams advanced side by side, for each model
    request_s: float = 30.0  # 504, or the end of a stream of events
    new_tokens: int = 10_000  # 422: of one generation
    num_sessions: int = 1024  # 429
    session_bytes: int = 64 << 20  # 429: of all sessions' states
    idle_s: float = 900.0  # 404: since its last use
    session_s: float = 86_400.0  # 404: since it was created; also how long a signed state is good
    shutdown_s: float = 10.0  # what runs at SIGTERM may end in this time

    @classmethod
    def parse(cls, given: Iterable[str]) -> Self:
        """Those that `given`, texts NAME=VALUE, change. Raises: ConfigError."""
        kinds = {field.name: int if field.type == "int" else float for field in fields(cls)}
        values: dict[str, int | float] = {}
        for text in given:
            name, _, value = text.partition("=")
            if name not in kinds:
                near = nearest(name, kinds)
                raise ConfigError(
                    f"there is no limit {name!r}; " + (f"{near} is one" if near else f"one of {', '.join(kinds)}")
                )
            try:
                values[name] = kinds[name](value)
            except ValueError:
                raise ConfigError(f"limit {name} is {value!r}; give a number, as in {name}=10") from None
            if not 0 < values[name] < 1e12:
                raise ConfigError(f"limit {name} is {value}; give a number above 0")
        return cls(**values)  # type: ignore[arg-type]
