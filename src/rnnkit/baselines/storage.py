"""The two files of a counted baseline: `ngram.npz` with plain arrays and `ngram.json` with its head and checksum."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnkit import durable
from rnnkit.errors import DataError

MAX_ORDER = 16
_FORMAT = 1
_MAX_HEAD_BYTES = 1 << 16


Check = Callable[[Path, "Head", Mapping[str, NDArray[Any]]], None]


@dataclass(frozen=True)
class Head:
    """What `ngram.json` says, beside its format and the SHA-256 of `ngram.npz`."""

    order: int
    vocab_size: int
    begin_id: int
    modified: bool


def write_counts(folder: str | Path, head: Head, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write both files durably; the head last, so that a torn pair is noticed.

    Raises: SaveError naming path and bytes.
    """
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **dict(arrays))
    data = buffer.getvalue()
    written = {"format": _FORMAT, **asdict(head), "sha256": hashlib.sha256(data).hexdigest()}
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    durable.write_file(folder / "ngram.npz", data)
    durable.write_file(folder / "ngram.json", json.dumps(written, indent=2).encode() + b"\n")


def read_counts(
    folder: str | Path, *, check: Check | None = None
) -> tuple[Head, dict[str, NDArray[np.unsignedinteger]]]:
    """Read both files and check all that can be damaged: checksum, names, types, sizes, ranges.

    Args:   check: is given path, head and arrays, and raises; None: of the arrays of `NgramModel`.
    Raises: DataError naming the file.
    """
    head, digest = _read_head(Path(folder) / "ngram.json")
    path = Path(folder) / "ngram.npz"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); fit the model again") from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise DataError(f"{path} is damaged (its SHA-256 is not the one in ngram.json); fit the model again")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > len(data):
                raise DataError(f"{path} is compressed, which rnnkit never writes; fit the model again")
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, MemoryError) as error:
        raise DataError(f"{path} holds no plain arrays ({error}); fit the model again") from error
    (check or _check)(path, head, arrays)
    return head, arrays


def _read_head(path: Path) -> tuple[Head, str]:
    try:
        with path.open("rb") as file:
            read = json.loads(file.read(_MAX_HEAD_BYTES))
        found, digest = read.pop("format"), read.pop("sha256")
        head = Head(**read) if found == _FORMAT else None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); fit the model again") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DataError(f"{path} is no n-gram head ({error}); fit the model again") from error
    if head is None:
        raise DataError(f"{path} has format {found!r}, this rnnkit reads {_FORMAT}; use the rnnkit that wrote it")
    sizes = (head.order, head.vocab_size, head.begin_id)
    fits = all(type(n) is int for n in sizes) and type(head.modified) is bool
    if not fits or not (1 <= head.order <= MAX_ORDER and 0 <= head.begin_id < head.vocab_size):
        raise DataError(f"{path}: order, vocab_size, begin_id are {sizes}, which fit no model; fit it again")
    return head, digest


def _check(path: Path, head: Head, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Raise unless the arrays are those of `NgramModel`, consistent with each other."""

    def wrong(what: str) -> DataError:
        return DataError(f"{path}: {what}; fit the model again")

    names = {"counts_1"} | {
        f"{part}_{k}" for k in range(2, head.order + 1) for part in ("children", "tokens", "counts")
    }
    if set(arrays) != names:
        raise wrong(f"arrays {sorted(set(arrays) ^ names)} are missing or too many")
    for name, array in arrays.items():
        if array.ndim != 1 or array.dtype.kind != "u":
            raise wrong(f"{name} is {array.dtype}{list(array.shape)}, wanted one axis of unsigned integers")
    contexts = head.vocab_size
    if len(arrays["counts_1"]) != contexts:
        raise wrong(f"counts_1 has {len(arrays['counts_1'])} entries for a vocabulary of {contexts}")
    for k in range(2, head.order + 1):
        children, tokens, counts = (arrays[f"{part}_{k}"] for part in ("children", "tokens", "counts"))
        too_many = children.max(initial=0) > len(tokens)  # also keeps the sum below from wrapping around
        if (
            too_many
            or children.sum(dtype=np.int64) != len(tokens)
            or (len(children), len(counts)) != (contexts, len(tokens))
        ):
            raise wrong(f"the sizes of order {k} do not fit together")
        first = np.zeros(len(tokens) + 1, dtype=bool)
        first[np.cumsum(children, dtype=np.int64)] = True  # an n-gram that opens a context may have any token
        ascending = np.diff(tokens.astype(np.int64)) > 0
        if not (ascending | first[1:-1]).all() or tokens.max(initial=0) >= head.vocab_size or not counts.all():
            raise wrong(f"the n-grams of order {k} are out of order or out of range")
        contexts = len(tokens)
