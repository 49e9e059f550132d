"""What a simulator knows of the system it was trained on: a file of its bundle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from rnnkit.bundle import strict_json
from rnnkit.errors import MissingFileError, SchemaError

NAME = "system.json"
_MAX_BYTES = 1 << 20


class SystemFacts(NamedTuple):
    """Attributes:
    inputs, outputs: what they are called.
    sample_rate:     steps in a second; None: unknown.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    sample_rate: float | None = None

    def to_bytes(self) -> bytes:
        """The file."""
        value = {"inputs": list(self.inputs), "outputs": list(self.outputs), "sample_rate": self.sample_rate}
        return strict_json.dumps(value)

    @classmethod
    def from_files(cls, files: Mapping[str, bytes], *, num_inputs: int, num_outputs: int) -> Self:
        """What a bundle keeps. Raises: MissingFileError; JsonError, SchemaError for a file that is not exactly that."""
        if NAME not in files:
            raise MissingFileError(f"the bundle of a simulator lists no {NAME}; write it again with it")
        value: Any = strict_json.loads(files[NAME], what=NAME, max_bytes=_MAX_BYTES)
        if not isinstance(value, dict) or value.keys() != {"inputs", "outputs", "sample_rate"}:
            raise SchemaError(f"{NAME} must hold inputs, outputs and sample_rate; write the bundle again")
        for key, count in (("inputs", num_inputs), ("outputs", num_outputs)):
            names = value[key]
            if not isinstance(names, list) or len(names) != count or not all(isinstance(one, str) for one in names):
                raise SchemaError(f"{NAME}: {key} must be {count} names")
        rate = value["sample_rate"]
        if rate is not None and (type(rate) not in (int, float) or not math.isfinite(rate) or rate <= 0):
            raise SchemaError(f"{NAME}: sample_rate must be null, or a number above 0")
        return cls(tuple(value["inputs"]), tuple(value["outputs"]), None if rate is None else float(rate))
