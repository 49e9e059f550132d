"""State: everything a recurrent model remembers between two steps, as a value you can slice, save, fork and send.

Duck-typed over NumPy arrays and torch tensors; imports neither. Every array is `[B, H]`: one row per stream.

    >>> y, state = model.step(x, state)       # the old state is still there: a fork costs nothing
    >>> first = state[[0]]                    # rows, always as a State
    >>> both = State.stack([first, other])    # rows of several states in one batch
    >>> fresh = state.reset([2])              # row 2 back to zeros; a new State
    >>> data = state.to_bytes()               # the bundle's digest travels inside
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rnnkit.errors import ArgumentError, ShapeError, StateError

_MAGIC = b"RNNSTATE"
_VERSION = 1
_MAX_HEADER_BYTES = 1 << 20


class State:
    """The parts of every layer's state, by name.

    Args:
        layers: one mapping per layer and direction, in order `l0, l0_reverse, l1, …`; each maps a part's name
            (`h`, `c`) to an array `[B, H]`. All parts share B.
        model: the digest of the bundle this state belongs to, or None while the model has none yet.
    """

    __slots__ = ("layers", "model")
    layers: tuple[Mapping[str, Any], ...]
    model: str | None

    def __init__(self, layers: Sequence[Mapping[str, Any]], *, model: str | None = None) -> None:
        object.__setattr__(self, "layers", tuple(dict(part) for part in layers))
        object.__setattr__(self, "model", model)
        sizes = {int(array.shape[0]) for _, array in self._arrays()}
        if len(sizes) > 1:
            raise ShapeError(f"the parts of a State must share their batch axis B, got sizes {sorted(sizes)}")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a State is a value: build a new one instead of setting {name!r}")

    def _arrays(self) -> Iterator[tuple[str, Any]]:
        for index, parts in enumerate(self.layers):
            for name, array in parts.items():
                yield f"{index}.{name}", array

    def map(self, function: Callable[[Any], Any]) -> State:
        """The same structure with `function` applied to every array."""
        return State([{n: function(a) for n, a in parts.items()} for parts in self.layers], model=self.model)

    # ---- rows ----------------------------------------------------------------------------------------------------

    @property
    def batch_size(self) -> int:
        """The number of streams B."""
        for _, array in self._arrays():
            return int(array.shape[0])
        return 0

    def __len__(self) -> int:
        return self.batch_size

    def __getitem__(self, rows: int | slice | Sequence[int]) -> State:
        """The streams `rows`, as a State; one integer gives a batch of one. The arrays are copies."""
        if isinstance(rows, slice):
            rows = list(range(*rows.indices(self.batch_size)))
        index = self._checked_rows([rows] if isinstance(rows, int) else list(rows))
        return self.map(lambda array: array[index])

    @classmethod
    def stack(cls, states: Sequence[State]) -> State:
        """One batch out of the rows of several states, in order.

        Raises: StateError if they belong to different models; ShapeError if their parts differ.
        """
        if not states:
            raise ArgumentError("State.stack needs at least one state")
        first = states[0]
        owners = {state.model for state in states}
        if len(owners) > 1:
            raise StateError(f"states of {len(owners)} different models cannot be stacked: {sorted(map(str, owners))}")
        for state in states[1:]:
            if state._signature() != first._signature():
                raise ShapeError(
                    f"states to stack must have the same parts: {first._signature()} and {state._signature()}"
                )
        sizes = [state.batch_size for state in states]
        total, origin = sum(sizes), []  # a row index into `first` that yields an array of the right kind and size
        if first.batch_size == 0 and total > 0:
            return cls.stack([s for s in states if s.batch_size])
        origin = [0] * total
        layers = []
        for number, parts in enumerate(first.layers):
            stacked = {}
            for name, array in parts.items():
                out, start = array[origin], 0
                for state, size in zip(states, sizes, strict=True):
                    out[start : start + size] = state.layers[number][name]
                    start += size
                stacked[name] = out
            layers.append(stacked)
        return cls(layers, model=first.model)

    def reset(self, rows: int | Sequence[int], to: State | None = None) -> State:
        """A new State whose `rows` start afresh: zeros, or the first row of `to` (a model with a learned start)."""
        index = self._checked_rows([rows] if isinstance(rows, int) else list(rows))

        def fresh(array: Any, start: Any) -> Any:
            out = array[list(range(self.batch_size))]
            if index:
                out[index] = 0 if start is None else start[0]
            return out

        return State(
            [
                {n: fresh(a, None if to is None else to.layers[i][n]) for n, a in parts.items()}
                for i, parts in enumerate(self.layers)
            ],
            model=self.model,
        )

    def detach(self) -> State:
        """The same values, cut off from the autograd graph. NumPy states come back as they are."""
        return self.map(lambda array: array.detach() if hasattr(array, "detach") else array)

    def _checked_rows(self, rows: list[int]) -> list[int]:
        size = self.batch_size
        rows = [int(row) for row in rows]
        for row in rows:
            if not -size <= row < size:
                raise ArgumentError(f"row {row} does not exist in a state of {size} rows")
        return [row % size for row in rows] if size else rows

    # ---- bytes ---------------------------------------------------------------------------------------------------

    def to_bytes(self) -> bytes:
        """The state as bytes, with the digest of its bundle inside.

        Layout: magic, version, header length (little-endian u32 each), JSON header, the arrays in order, SHA-256.

        Raises: StateError for a state without a bundle: save the model first, so that the bytes name their owner.
        """
        if self.model is None:
            raise StateError("this state belongs to no bundle yet; save the model, then take the state from it")
        header = json.dumps({"model": self.model, "batch": self.batch_size, "parts": self._signature()}).encode()
        body = struct.pack("<8sII", _MAGIC, _VERSION, len(header)) + header + self._payload()
        return body + hashlib.sha256(body).digest()

    @classmethod
    def from_bytes(cls, data: bytes, *, like: State) -> State:
        """Read what `to_bytes` wrote. `like` is `model.initial_state(1)`: it names the owner and the array type.

        Raises: StateError if the bytes are damaged or belong to another model.
        """
        fixed = struct.calcsize("<8sII")
        if len(data) < fixed + 32 or data[:8] != _MAGIC:
            raise StateError(f"these {len(data)} bytes are no rnnkit state; pass what state.to_bytes() returned")
        _, version, header_size = struct.unpack_from("<8sII", data)
        if version != _VERSION:
            raise StateError(f"state format {version} is newer than this rnnkit reads ({_VERSION}); upgrade rnnkit")
        if hashlib.sha256(data[:-32]).digest() != data[-32:]:
            raise StateError("the state's bytes are damaged (checksum mismatch); send them again")
        if header_size > min(_MAX_HEADER_BYTES, len(data) - fixed - 32):
            raise StateError("the state's header is longer than its bytes")
        header = json.loads(data[fixed : fixed + header_size])
        if like.model is None or header["model"] != like.model:
            raise StateError(
                f"this state belongs to model {header['model'][:12]}, not to {str(like.model)[:12]}; load that model"
            )
        batch = int(header["batch"])
        if header["parts"] != like._signature():
            raise StateError(f"the state has parts {header['parts']}, the model wants {like._signature()}")
        offset, end, layers = fixed + header_size, len(data) - 32, []
        for parts in like.layers:
            read = {}
            for name, array in parts.items():
                out = array[[0] * batch]
                view = _bytes_of(out)
                if offset + view.nbytes > end:
                    raise StateError("the state's bytes end too early")
                if view.nbytes:
                    view[:] = data[offset : offset + view.nbytes]
                offset += view.nbytes
                read[name] = out
            layers.append(read)
        if offset != end:
            raise StateError(f"{end - offset} bytes too many in the state")
        return cls(layers, model=like.model)

    def digest(self) -> str:
        """SHA-256 over owner, structure and every bit: equal exactly when the states are equal."""
        head = json.dumps([self.model, self.batch_size, self._signature()]).encode()
        return hashlib.sha256(head + self._payload()).hexdigest()

    def __eq__(self, other: object) -> bool:
        """Bit-for-bit equality of owner, structure and values."""
        if not isinstance(other, State):
            return NotImplemented
        return self.model == other.model and self._signature() == other._signature() and (
            self._payload() == other._payload()
        )

    def __hash__(self) -> int:
        return hash(self.digest())

    def __repr__(self) -> str:
        parts = ", ".join(f"{name}[{','.join(map(str, array.shape))}]" for name, array in self._arrays())
        return f"State({parts}, model={self.model[:12] if self.model else None})"

    def _signature(self) -> list[list[Any]]:
        return [[name, [int(n) for n in a.shape[1:]], str(a.dtype).split(".")[-1]] for name, a in self._arrays()]

    def _payload(self) -> bytes:
        return b"".join(bytes(_bytes_of(array)) for _, array in self._arrays())


def _bytes_of(array: Any) -> memoryview:
    """A flat byte view of a contiguous copy-free CPU array; torch tensors go through their NumPy view."""
    if hasattr(array, "detach"):
        array = array.detach().cpu().contiguous().numpy()
    view = memoryview(array)
    if not view.c_contiguous:
        view = memoryview(array.copy())
    return view.cast("B") if view.nbytes else memoryview(bytearray())
