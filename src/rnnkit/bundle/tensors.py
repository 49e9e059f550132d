"""Read and write the safetensors format, trusting nothing that a header says until it all adds up.

Layout: u64 little-endian header size, a JSON header `{name: {dtype, shape, data_offsets}}`, the bytes in one row.
Source: https://github.com/huggingface/safetensors (README, "Format"). Stricter than it: no holes, every offset checked.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnkit.bundle import strict_json
from rnnkit.errors import DtypeError, TensorError, TensorFileError

DTYPES = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
MAX_HEADER_BYTES = 1 << 20
_MAX_RANK = 8
_CHUNK = 1 << 18  # values that are looked at together
_SIZE_BYTES = 8  # the u64 that opens the file, and the alignment of what follows the header


def pack(tensors: Mapping[str, np.ndarray]) -> list[bytes | memoryview]:
    """The pieces of a safetensors file, equal for equal tensors; arrays that are contiguous are not copied.

    Raises: DtypeError for a dtype that the format's readers may not know.
    """
    names = {dtype: name for name, dtype in DTYPES.items()}
    header: dict[str, Any] = {}
    pieces: list[bytes | memoryview] = []
    offset = 0
    for name, array in sorted(tensors.items(), key=lambda item: (-item[1].dtype.itemsize, item[0])):
        if array.dtype not in names:
            raise DtypeError(f"tensor {name} has dtype {array.dtype}; a bundle stores {', '.join(map(str, names))}")
        end = offset + array.nbytes
        header[name] = {"dtype": names[array.dtype], "shape": list(array.shape), "data_offsets": [offset, end]}
        pieces.append(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        offset = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % _SIZE_BYTES)
    return [len(text).to_bytes(_SIZE_BYTES, "little"), text, *pieces]


def unpack(data: bytes | memoryview | np.ndarray, *, what: str = "model.safetensors") -> dict[str, np.ndarray]:
    """Every tensor of a safetensors file, as read-only views of `data`.

    Raises: TensorFileError, naming `what` and the tensor; JsonError for a header that is no strict JSON.
    """
    raw = np.frombuffer(data, np.uint8)
    if raw.size < _SIZE_BYTES:
        raise TensorFileError(f"{what} has {raw.size} bytes, its header size alone takes {_SIZE_BYTES}; it is cut off")
    size = int.from_bytes(raw[:_SIZE_BYTES].tobytes(), "little")
    if size > min(MAX_HEADER_BYTES, raw.size - _SIZE_BYTES):
        raise TensorFileError(f"{what} promises a header of {size} bytes, the file has {raw.size}; it is damaged")
    values = raw[_SIZE_BYTES + size :]
    header = strict_json.loads(
        raw[_SIZE_BYTES : _SIZE_BYTES + size].tobytes(), what=f"the header of {what}", max_bytes=MAX_HEADER_BYTES
    )
    if not isinstance(header, dict):
        raise TensorFileError(f"the header of {what} is a {type(header).__name__}; an object is wanted")
    _check_metadata(header.pop("__metadata__", {}), what)
    found = {}
    position = 0
    checked = [(name, *_checked(name, entry, values.size, what)) for name, entry in header.items()]
    for name, dtype, shape, begin, end in sorted(checked, key=lambda item: (item[3], item[4])):
        if begin != position:
            fault = "overlaps the tensor before it" if begin < position else "leaves a hole before it"
            raise TensorFileError(f"tensor {name!r} of {what} begins at {begin}, {fault}, which ends at {position}")
        array = values[begin:end].view(dtype).reshape(shape)
        if not array.flags.aligned:  # a writer that did not pad its header
            array = array.copy()
        array.flags.writeable = False
        found[name], position = array, end
    if position != values.size:
        raise TensorFileError(f"{what} has {values.size - position} bytes that belong to no tensor; it is damaged")
    return found


def check_finite(arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse weights with which everything that is computed would be no number.

    Raises: TensorError naming the tensor and the first value. Cost: a fortieth of the file's SHA-256; 256 KiB.
    """
    for name, array in arrays.items():
        flat = array.reshape(-1)
        for first in range(0, flat.size, _CHUNK):
            is_finite = np.isfinite(flat[first : first + _CHUNK])
            if not is_finite.all():
                at = first + int(is_finite.argmin())
                where = [int(index) for index in np.unravel_index(at, array.shape)]
                raise TensorError(f"tensor {name} holds {flat[at]} at {where}; take a bundle with finite weights")


def _check_metadata(metadata: Any, what: str) -> None:
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise TensorFileError(f"__metadata__ in the header of {what} must map strings to strings")


def _checked(name: str, entry: Any, size: int, what: str) -> tuple[np.dtype, tuple[int, ...], int, int]:
    where = f"tensor {name[:80]!r} of {what}"
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise TensorFileError(f"{where} must have exactly the keys dtype, shape and data_offsets")
    dtype = DTYPES.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
    if dtype is None:
        raise TensorFileError(f"{where} has dtype {str(entry['dtype'])[:40]!r}; known are {', '.join(DTYPES)}")
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not _are_counts(shape) or len(shape) > _MAX_RANK:
        raise TensorFileError(f"{where} has the shape {str(shape)[:80]}; at most {_MAX_RANK} sizes of 0 or more fit")
    if not _are_counts(offsets) or len(offsets) != 2 or not offsets[0] <= offsets[1] <= size:
        raise TensorFileError(f"{where} lies at {str(offsets)[:80]}, outside the file's {size} bytes of values")
    wanted = math.prod(shape) * dtype.itemsize
    if wanted != offsets[1] - offsets[0]:
        raise TensorFileError(f"{where} has the shape {shape}: {wanted} bytes, its place has {offsets[1] - offsets[0]}")
    if max(shape, default=0) > size:  # an empty tensor may hide a size that no array type can hold
        raise TensorFileError(f"{where} has the shape {shape}, larger than its file of {size} bytes")
    return dtype, tuple(shape), *offsets


def _are_counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)
