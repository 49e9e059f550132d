"""What `rnnkit serve` was asked for, as the supervisor hands it to each worker: JSON on stdin, so that no key or secret
stands in a list of processes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from rnnkit.errors import UsageError
from rnnkit.serving.limits import Limits

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Args: runs: model names and their folders. secret: of ids and signed states, in hexadecimal. redis: a URL."""

    runs: dict[str, str]
    host: str
    port: int
    keys: tuple[str, ...]
    hosts: tuple[str, ...]
    secret: str
    redis: str | None
    precision: str | None
    limits: Limits

    def check(self) -> None:
        """Raises: UsageError for what would let everyone in."""
        if not self.keys and self.host not in LOOPBACK:
            raise UsageError(
                f"--host {self.host} can be reached by others, and there are no API keys; give --keys FILE, one a line"
            )

    def to_json(self) -> str:
        """What `from_json` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        fields: dict[str, Any] = json.loads(text)
        fields |= {name: tuple(fields[name]) for name in ("keys", "hosts")}
        fields["limits"] = Limits(**fields["limits"])
        return cls(**fields)


def names(runs: Sequence[str]) -> dict[str, str]:
    """Each run under its folder's name. Raises: UsageError for two of the same name."""
    from pathlib import Path

    found: dict[str, str] = {}
    for run in runs:
        name = Path(run).resolve().name
        if name in found:
            raise UsageError(f"{found[name]} and {run} would both be called {name}; rename a folder")
        found[name] = run
    return found
