"""Checkpoints: everything that a killed run needs to go on as if nothing had happened.

A checkpoint is a folder with `checkpoint.json` and one tensor file that it names by its digest. The tensor file is
written first, then `checkpoint.json` is replaced in one move: whatever the instant of a crash, the folder holds one
whole checkpoint, the old or the new. Strict JSON and safetensors only; nothing in it can run code.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from rnnkit import durable
from rnnkit.bundle import strict_json
from rnnkit.errors import CheckpointError, JsonError

FORMAT = 1
_INDEX = "checkpoint.json"
_MAX_INDEX_BYTES = 1 << 28  # a curve of a million evaluations


@dataclass(frozen=True)
class Checkpoint:
    """`values`: JSON-able counters, plans, configurations.  `tensors`: by name, grouped by a prefix like `model/`."""

    values: dict[str, Any]
    tensors: dict[str, Tensor] = field(default_factory=dict)

    def group(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose name begins with `prefix/`, without it."""
        return {name[len(prefix) + 1 :]: t for name, t in self.tensors.items() if name.startswith(prefix + "/")}


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint in `folder`.

    Raises: SaveError, or JsonError for values that are no JSON, with the checkpoint before intact.
    Cost:   one write of the tensors and three fsyncs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: t.detach().contiguous() for name, t in checkpoint.tensors.items()}
    data = safetensors.torch.save(tensors)
    digest = hashlib.sha256(data).hexdigest()
    path = folder / f"{digest[:16]}.safetensors"
    body = {"format": FORMAT, "tensors": {"file": path.name, "sha256": digest}, "values": checkpoint.values}
    index = strict_json.dumps({**body, "sha256": _digest(body)})
    if not path.exists():
        durable.write_file(path, data)
    durable.write_file(folder / _INDEX, index)
    for old in folder.glob("*.safetensors"):
        if old != path:
            old.unlink(missing_ok=True)


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read the checkpoint in `folder`.

    Raises: CheckpointError if it is missing, damaged, or of a newer format.
    """
    index = folder / _INDEX
    try:
        body = strict_json.loads(index.read_bytes(), what=str(index), max_bytes=_MAX_INDEX_BYTES)
        digest = body.pop("sha256")
        if digest != _digest(body):
            raise CheckpointError(f"{index} is damaged (checksum mismatch); {_REMEDY}")
        if body["format"] != FORMAT:
            raise CheckpointError(
                f"{index} has format {body['format']}, this rnnkit reads {FORMAT}; use the same rnnkit"
            )
        path = folder / Path(body["tensors"]["file"]).name
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != body["tensors"]["sha256"]:
            raise CheckpointError(f"{path} is damaged (checksum mismatch); {_REMEDY}")
        return Checkpoint(values=body["values"], tensors=safetensors.torch.load(data))
    except OSError as error:
        raise CheckpointError(f"cannot read the checkpoint {error.filename}: {error.strerror}; {_REMEDY}") from None
    except (JsonError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index} is no checkpoint ({type(error).__name__}: {error}); {_REMEDY}") from None


def has_checkpoint(folder: Path) -> bool:
    """Whether a checkpoint was ever completed in `folder`."""
    return (folder / _INDEX).exists()


_REMEDY = "train again without resume"


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(strict_json.dumps(body)).hexdigest()
