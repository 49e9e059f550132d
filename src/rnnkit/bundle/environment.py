"""What a policy acts in, and which columns of it the policy sees: a file of its bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rnnkit.bundle import strict_json
from rnnkit.errors import SchemaError

NAME = "environment.json"
_MAX_BYTES = 1 << 20


class Surroundings(NamedTuple):
    """name: of the environment.  columns: of all that it shows.  observed: those of them that the policy reads."""

    name: str
    columns: list[str]
    observed: list[str]


def to_bytes(name: str, columns: Sequence[str], observed: Sequence[str]) -> bytes:
    """The file."""
    return strict_json.dumps({"environment": name, "columns": list(columns), "observed": list(observed)})


def from_files(files: Mapping[str, bytes], *, input_size: int) -> Surroundings | None:
    """What a bundle says of it; None: it is of no policy.

    Raises: JsonError, SchemaError for a file that is not exactly that.
    """
    if NAME not in files:
        return None
    value: Any = strict_json.loads(files[NAME], what=NAME, max_bytes=_MAX_BYTES)
    if not isinstance(value, dict) or value.keys() != {"environment", "columns", "observed"}:
        raise SchemaError(f"{NAME} must hold environment, columns and observed; write the bundle again")
    name, columns, observed = (value[key] for key in ("environment", "columns", "observed"))
    are_texts = all(
        isinstance(of, list) and all(isinstance(one, str) for one in of) and len(set(of)) == len(of)
        for of in (columns, observed)
    )
    if not isinstance(name, str) or not are_texts or not set(observed) <= set(columns):
        raise SchemaError(f"{NAME}: environment must be a text, observed some of columns, texts; write it again")
    if len(observed) != input_size:
        raise SchemaError(f"{NAME} names {len(observed)} observed columns, the model reads {input_size}")
    return Surroundings(name, columns, observed)
