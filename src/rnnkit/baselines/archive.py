"""The two files of a fitted baseline: `NAME.npz` with plain arrays, `NAME.json` with its head and their checksum."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from rnnkit import durable
from rnnkit.errors import DataError

_FORMAT = 1
T = TypeVar("T")


def write_arrays(folder: str | Path, name: str, head: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write both files durably; the head last, so that a torn pair is noticed. Raises: SaveError."""
    buffer, folder = io.BytesIO(), Path(folder)
    np.savez(buffer, allow_pickle=False, **dict(arrays))
    data = buffer.getvalue()
    written = {"format": _FORMAT, **head, "sha256": hashlib.sha256(data).hexdigest()}
    folder.mkdir(parents=True, exist_ok=True)
    durable.write_file(folder / f"{name}.npz", data)
    durable.write_file(folder / f"{name}.json", json.dumps(written, indent=2).encode() + b"\n")


def read_arrays(folder: str | Path, name: str, make: Callable[[dict[str, Any], dict[str, np.ndarray]], T]) -> T:
    """What `make` makes of the head and the arrays that `write_arrays` wrote; it may raise KeyError and the like.

    Raises: DataError naming the file, for anything that is not exactly what was written.
    """
    folder = Path(folder)
    try:
        head, data = json.loads((folder / f"{name}.json").read_bytes()), (folder / f"{name}.npz").read_bytes()
        found, digest = head.pop("format"), head.pop("sha256")
        if found != _FORMAT:
            raise DataError(f"{folder / name}.json is no head of format {_FORMAT}; fit the baseline again")
        if hashlib.sha256(data).hexdigest() != digest:
            raise DataError(f"{folder / name}.npz is damaged (its SHA-256 is another); fit the baseline again")
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
        return make(head, arrays)
    except OSError as error:
        raise DataError(f"{error.filename}: {error.strerror}; fit the baseline again") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{folder} holds no baseline ({error}); fit it again") from None


def packed(name: str, texts: Sequence[str]) -> dict[str, np.ndarray]:
    """Texts as UTF-8 with the places where each ends."""
    data = [text.encode() for text in texts]
    return {f"{name}_utf8": np.frombuffer(b"".join(data), np.uint8), f"{name}_ends": np.cumsum(list(map(len, data)))}


def unpacked(name: str, arrays: dict[str, np.ndarray]) -> list[str]:
    """What `packed` packed under `name`."""
    data, ends = arrays[f"{name}_utf8"].tobytes(), arrays[f"{name}_ends"].tolist()
    return [data[start:end].decode() for start, end in zip([0, *ends], ends, strict=False)]
