"""JSON as a file format should be read: one meaning per file, and no surprise in memory, time or type."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from rnnkit.errors import JsonError

_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
_MAX_INTEGER_DIGITS = 19  # 2**63 has 19; a longer number is an attack on int(), not a size


def loads(data: bytes, *, what: str, max_bytes: int) -> Any:
    """Parse UTF-8 JSON. `what` names the file in messages.

    Raises: JsonError for anything that RFC 8259 leaves to chance: a byte order mark, NaN and Infinity, numbers out of
        range, a key written twice, lone surrogates, nesting beyond the interpreter's limit, more than `max_bytes`.
    """
    if len(data) > max_bytes:
        raise JsonError(f"{what} has {len(data)} bytes, at most {max_bytes} are read; is it the right file?")

    def refuse(text: str) -> NoReturn:
        raise JsonError(f"{what} contains {text[:40]}, which is no JSON value; write a finite number in 64 bits")

    def integer(text: str) -> int:
        return int(text) if len(text.lstrip("-")) <= _MAX_INTEGER_DIGITS else refuse(text)

    def number(text: str) -> float:
        value = float(text)
        return value if math.isfinite(value) else refuse(text)

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise JsonError(f"{what} has the key {key[:80]!r} twice; keep one")
            found[key] = value
        return found

    try:
        value = json.loads(
            data.decode("utf-8"),
            parse_constant=refuse,
            parse_int=integer,
            parse_float=number,
            object_pairs_hook=unique,
        )
        if _SURROGATE_ESCAPE.search(data):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        raise JsonError(f"{what} is no UTF-8 at byte {error.start}; it is damaged or another kind of file") from None
    except UnicodeEncodeError:
        raise JsonError(f"{what} contains half of a surrogate pair; write the whole character") from None
    except RecursionError:
        raise JsonError(f"{what} nests deeper than any file of ours; it is damaged or made to do harm") from None
    except json.JSONDecodeError as error:
        raise JsonError(f"{what} is no JSON at line {error.lineno}, column {error.colno}: {error.msg}") from None
    return value


def dumps(value: Any) -> bytes:
    """The one canonical spelling of a JSON value: sorted keys, one item per line, UTF-8, a newline at the end.

    Raises: JsonError for what JSON cannot say: NaN, half a surrogate pair, objects of other types.
    """
    try:
        text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
        return text.encode("utf-8") + b"\n"
    except (ValueError, TypeError, RecursionError) as error:
        raise JsonError(f"this value cannot be written as JSON: {error}") from None
