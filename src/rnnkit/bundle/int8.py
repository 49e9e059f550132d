"""Weights in eight bits, as a bundle stores them and as precision "int8" computes with them: one rounding for both.

Every row of a matrix [O, I] by itself: q = round(w · 127 / max|w|), and back w ≈ q · (max|w| / 127), where ±127 gives
±max|w| to the last bit. So the rounded weights, rounded once more (here, or by the core for its products), are
themselves. What is no matrix (biases, gains, peepholes, a learned state) stays float32.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rnnkit.errors import TensorError

LARGEST = ".largest"  # behind a matrix's name: max|w| of its rows, float32 [O]
_STEPS = np.float32(127)
_SMALLEST = np.float32(1e-35)  # below it the core takes a row for zeros

Arrays = dict[str, np.ndarray]


def quantised(tensors: Mapping[str, np.ndarray]) -> Arrays:
    """What a bundle stores: int8 [O, I] and `LARGEST` for every matrix. A row that is not finite is NaN as a whole."""
    stored: Arrays = {}
    for name, array in tensors.items():
        if array.ndim != 2:
            stored[name] = array
            continue
        largest = np.abs(array).max(axis=1, initial=0)
        largest = np.where(largest < _SMALLEST, np.float32(0), np.where(np.isinf(largest), np.float32(np.nan), largest))
        is_plain = largest > 0
        factor = _STEPS / np.where(is_plain, largest, 1)
        values = np.where(is_plain[:, None], array, 0) * factor[:, None]
        stored[name] = np.rint(values).astype(np.int8)
        stored[name + LARGEST] = largest.astype(np.float32)
    return stored


def restored(stored: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
    """The float32 tensors of the names and shapes that a configuration demands.

    Raises: TensorError, naming the tensor that is missing, left over, of another shape or dtype, or that no rounding
        gives.
    """
    scales = {name + LARGEST for name, shape in shapes.items() if len(shape) == 2}
    for name in sorted(stored.keys() - shapes.keys() - scales):
        raise TensorError(f"tensor {name[:80]!r} is left over; no such tensor is in the configured model")
    tensors: Arrays = {}
    for name, shape in shapes.items():
        if len(shape) != 2:
            tensors[name] = _checked(stored, name, shape, np.float32)
            continue
        values = _checked(stored, name, shape, np.int8)
        largest = _checked(stored, name + LARGEST, shape[:1], np.float32)
        reached = np.maximum(values.max(axis=1).astype(np.int16), -values.min(axis=1).astype(np.int16))
        wanted = np.where(largest > 0, 127, 0)
        wrong = (reached != wanted) | (largest < 0) | np.isinf(largest)
        if wrong.any():
            where = f"tensor {name}, row {int(wrong.argmax())}"
            raise TensorError(f"{where}: {name + LARGEST} is not the scale of its values; export again")
        weights = values * (largest / _STEPS)[:, None]
        np.copyto(weights, np.copysign(largest[:, None], weights), where=np.abs(values) == 127)
        tensors[name] = weights
    return tensors


def as_computed(tensors: Mapping[str, np.ndarray], precision: str) -> Mapping[str, np.ndarray]:
    """The weights that a precision computes with: in "int8" the rounded ones, also where they are looked up."""
    if precision != "int8":
        return tensors
    return restored(quantised(tensors), {name: array.shape for name, array in tensors.items()})


def _checked(stored: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    if name not in stored:
        raise TensorError(f"tensor {name} {list(shape)} is missing; the configuration demands it")
    array = stored[name]
    if array.shape != shape:
        raise TensorError(f"tensor {name} has the shape {list(array.shape)}, the configuration wants {list(shape)}")
    if array.dtype != dtype:
        raise TensorError(f"tensor {name} has dtype {array.dtype}, {np.dtype(dtype)} is wanted; precision is int8")
    return array
