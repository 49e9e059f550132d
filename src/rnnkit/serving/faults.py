"""Fault: a refusal as the client sees it, `{"error": {"message": …, "field": …}}` under an HTTP status."""

from __future__ import annotations

import json

from rnnkit.errors import RnnkitError


class Fault(RnnkitError):
    """A refusal.

    Args: status: of HTTP. field: what is wrong of the request, as `body.top`. retry_s: when to try again.
        ends: whether the connection is closed after it.
    """

    def __init__(
        self, status: int, message: str, *, field: str | None = None, retry_s: int | None = None, ends: bool = False
    ) -> None:
        super().__init__(message)
        self.status, self.field, self.retry_s, self.ends = status, field, retry_s, ends

    @property
    def headers(self) -> dict[str, str]:
        """Those of its answer beside the type and length of the body."""
        headers = {} if self.retry_s is None else {"retry-after": str(self.retry_s)}
        headers |= {"connection": "close"} if self.ends else {}
        return headers | ({"www-authenticate": "Bearer"} if self.status == 401 else {})

    def body(self) -> bytes:
        """The JSON."""
        error = {"message": str(self)} | ({} if self.field is None else {"field": self.field})
        return json.dumps({"error": error}).encode()


def unknown_session() -> Fault:
    """The same for a session that never was, has ended, or is another's."""
    return Fault(404, "there is no such session; POST /v1/sessions opens one", field="session")
