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
import math
import operator
import struct
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from rnnkit.errors import ArgumentError, ShapeError, StateError

_MAGIC = b"RNNSTATE"
_VERSION = 1
_PREFIX = struct.Struct("<8sII")  # magic, version, header bytes
_DIGEST_BYTES = 32


class State:
    """The parts of every layer's state, by name.

    Args:
        layers: one mapping per layer and direction, in order `l0, l0_reverse, l1, …`; each maps a part's name
            (`h`, `c`) to an array `[B, …]`. All parts share B.
        model: the digest of the bundle this state belongs to, or None while the model has none yet.

    Raises: ShapeError if a part has no batch axis or the parts disagree on B.
    """

    __slots__ = ("layers", "model")
    layers: tuple[Mapping[str, Any], ...]
    model: str | None

    def __init__(self, layers: Sequence[Mapping[str, Any]], *, model: str | None = None) -> None:
        object.__setattr__(self, "layers", tuple(MappingProxyType(dict(parts)) for parts in layers))
        object.__setattr__(self, "model", model)
        sizes = set()
        for name, array in self._arrays():
            if not array.shape:
                raise ShapeError(f"part {name} of a State has no batch axis; give every part the shape [B, …]")
            sizes.add(int(array.shape[0]))
        if len(sizes) > 1:
            raise ShapeError(f"the parts of a State must share their batch axis B, got sizes {sorted(sizes)}")

    @classmethod
    def unchecked(cls, layers: Sequence[Mapping[str, Any]], *, model: str | None = None) -> State:
        """A State whose parts are known to agree (a step's result), or are no arrays at all (a pytree's leaves)."""
        state = cls.__new__(cls)
        object.__setattr__(state, "layers", tuple(layers))
        object.__setattr__(state, "model", model)
        return state

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a State is a value: build a new one instead of setting {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, ([dict(parts) for parts in self.layers], self.model)

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

    def __iter__(self) -> Iterator[State]:
        """One State of batch size 1 per row."""
        return (self[row] for row in range(self.batch_size))

    def __getitem__(self, rows: int | slice | Sequence[int] | Sequence[bool]) -> State:
        """The streams `rows`, as a State of copies: an integer (a batch of one), a slice, integers, or a [B] mask.

        Raises: ArgumentError for a row that does not exist or a mask of another length.
        """
        index = self._checked_rows(rows)
        return self.map(lambda array: array[index])

    @classmethod
    def stack(cls, states: Sequence[State]) -> State:
        """One batch out of the rows of several states, in order.

        Raises: StateError if they belong to different models; ShapeError if their parts differ.
        """
        if not states:
            raise ArgumentError("State.stack needs at least one state, got none")
        first = next((state for state in states if state.batch_size), states[0])
        owners = {state.model for state in states}
        if len(owners) > 1:
            raise StateError(f"states of {len(owners)} different models cannot be stacked: {sorted(map(str, owners))}")
        for state in states:
            if state._signature() != first._signature():
                raise ShapeError(
                    f"states to stack must have the same parts: {first._signature()} and {state._signature()}"
                )
        total = sum(state.batch_size for state in states)

        def joined(number: int, name: str) -> Any:
            out, start = first.layers[number][name][[0] * total], 0  # an array of the right kind, device and size
            for state in states:
                out[start : start + state.batch_size] = state.layers[number][name]
                start += state.batch_size
            return out

        layers = [{name: joined(number, name) for name in parts} for number, parts in enumerate(first.layers)]
        return cls(layers, model=first.model)

    def reset(self, rows: int | slice | Sequence[int] | Sequence[bool], to: State | None = None) -> State:
        """A new State whose `rows` start afresh: zeros, or the first row of `to` (a model with a learned start).

        Raises: ArgumentError for rows that do not exist; ShapeError if `to` has other parts or no row.
        """
        index, every = self._checked_rows(rows), list(range(self.batch_size))
        if to is not None and (to._signature() != self._signature() or not to.batch_size):
            raise ShapeError(f"reset(to=) must have a row of the parts {self._signature()}, got {to!r}")

        def fresh(array: Any, start: Any) -> Any:
            out = array[every]
            if index:
                out[index] = start
            return out

        layers = [
            {name: fresh(array, 0 if to is None else to.layers[number][name][0]) for name, array in parts.items()}
            for number, parts in enumerate(self.layers)
        ]
        return State(layers, model=self.model)

    def detach(self) -> State:
        """The same values, cut off from the autograd graph. NumPy states come back as they are."""
        return self.map(lambda array: array.detach() if hasattr(array, "detach") else array)

    def _checked_rows(self, rows: Any) -> list[int]:
        size = self.batch_size
        if isinstance(rows, slice):
            return list(range(*rows.indices(size)))
        if hasattr(rows, "tolist"):  # an array, a tensor, or a scalar of either
            rows = rows.tolist()
        if not isinstance(rows, (list, tuple, range)):
            rows = [rows]
        if rows and all(isinstance(row, bool) for row in rows):
            if len(rows) != size:
                raise ArgumentError(f"a mask over the rows of a state must have {size} entries, got {len(rows)}")
            return [row for row, is_chosen in enumerate(rows) if is_chosen]
        try:
            index = [operator.index(row) for row in rows]
        except TypeError:
            raise ArgumentError(f"rows of a state are integers or a mask, got {rows!r}") from None
        for row in index:
            if not -size <= row < size:
                raise ArgumentError(f"row {row} does not exist in a state of {size} rows")
        return [row % size for row in index]

    # ---- bytes ---------------------------------------------------------------------------------------------------

    def to_bytes(self) -> bytes:
        """The state as bytes, with the digest of its bundle inside.

        Layout: magic, version, header length (little-endian u32 each), JSON header, the arrays in order, SHA-256.

        Raises: StateError for a state without a bundle: save the model first, so that the bytes name their owner.
        """
        if self.model is None:
            raise StateError("this state belongs to no bundle yet; save the model, then take the state from it")
        header = json.dumps({"model": self.model, "batch": self.batch_size, "parts": self._signature()}).encode()
        body = _PREFIX.pack(_MAGIC, _VERSION, len(header)) + header + self._payload()
        return body + hashlib.sha256(body).digest()

    @classmethod
    def from_bytes(cls, data: bytes, *, like: State) -> State:
        """Read what `to_bytes` wrote. `like` is `model.initial_state(1)`: it names the owner and the array type.

        Raises: StateError if the bytes are damaged or belong to another model; ArgumentError if `like` has no row.
        """
        if like.batch_size == 0 and like.layers:
            raise ArgumentError("State.from_bytes(like=) needs a state with a row; pass model.initial_state(1)")
        if len(data) < _PREFIX.size + _DIGEST_BYTES or bytes(data[:8]) != _MAGIC:
            raise StateError(f"these {len(data)} bytes are no rnnkit state; pass what state.to_bytes() returned")
        _, version, header_size = _PREFIX.unpack_from(data)
        if version != _VERSION:
            raise StateError(f"the state has format {version}, this rnnkit reads {_VERSION}; use the rnnkit it is from")
        body = memoryview(data)[:-_DIGEST_BYTES]
        if hashlib.sha256(body).digest() != bytes(data[-_DIGEST_BYTES:]):
            raise StateError("the state's bytes are damaged (checksum mismatch); send them again")
        header, payload = body[_PREFIX.size : _PREFIX.size + header_size], body[_PREFIX.size + header_size :]
        batch = _checked_header(bytes(header), like)
        rows = {name: array.detach() if hasattr(array, "detach") else array for name, array in like._arrays()}
        row_bytes = {name: math.prod(array.shape[1:]) * array.dtype.itemsize for name, array in rows.items()}
        if batch * sum(row_bytes.values()) != len(payload):  # before anything is allocated
            raise StateError(
                f"the state has {len(payload)} bytes of values, {batch} rows need {batch * sum(row_bytes.values())}"
            )
        layers, offset = [], 0
        for number, parts in enumerate(like.layers):
            read = {}
            for part in parts:
                name = f"{number}.{part}"
                out, size = rows[name][[0] * batch], batch * row_bytes[name]
                host = out.cpu() if hasattr(out, "cpu") else out
                if size:
                    _bytes_of(host)[:] = payload[offset : offset + size]
                if host is not out:
                    out.copy_(host)
                read[part] = out
                offset += size
            layers.append(read)
        return cls(layers, model=like.model)

    def digest(self) -> str:
        """SHA-256 over owner, structure and every bit: equal exactly when the states are equal."""
        head = json.dumps([self.model, self.batch_size, self._signature()]).encode()
        return hashlib.sha256(head + self._payload()).hexdigest()

    def __eq__(self, other: object) -> bool:
        """Bit-for-bit equality of owner, structure and values."""
        if not isinstance(other, State):
            return NotImplemented
        return (self.model, self.batch_size, self._signature()) == (
            other.model,
            other.batch_size,
            other._signature(),
        ) and self._payload() == other._payload()

    def __hash__(self) -> int:
        return hash(self.digest())

    def __repr__(self) -> str:
        parts = ", ".join(f"{name}[{','.join(map(str, array.shape))}]" for name, array in self._arrays())
        return f"State({parts}, model={self.model[:12] if self.model else None})"

    def _signature(self) -> list[list[Any]]:
        return [[name, [int(n) for n in a.shape[1:]], str(a.dtype).split(".")[-1]] for name, a in self._arrays()]

    def _payload(self) -> bytes:
        return b"".join(_bytes_of(array) for _, array in self._arrays())


def _rebuild(layers: list[dict[str, Any]], model: str | None) -> State:
    return State.unchecked(layers, model=model)


def _checked_header(header: bytes, like: State) -> int:
    """The number of rows that a header promises, once it is known to be `like`'s model's and well formed."""
    try:
        fields = json.loads(header)
        model, batch, parts = fields["model"], fields["batch"], fields["parts"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise StateError("the state's header is not one that state.to_bytes() writes; send the state again") from None
    if like.model is None or model != like.model:
        raise StateError(
            f"this state belongs to model {str(model)[:12]}, not to {str(like.model)[:12]}; load the model it is from"
        )
    if parts != like._signature():
        raise StateError(f"the state has parts {parts}, the model wants {like._signature()}")
    if type(batch) is not int or batch < 0:
        raise StateError(f"the state's header promises {batch!r} rows; a count is wanted")
    return batch


def _bytes_of(array: Any) -> memoryview:
    """A flat view of the bytes of an array in C order; of a copy if it is not contiguous or not in main memory."""
    if hasattr(array, "detach"):
        array = array.detach().cpu().contiguous()
        array = array.view(sys.modules["torch"].uint8).numpy()  # bfloat16 has no NumPy twin, its bytes have
    view = memoryview(array)
    if not view.c_contiguous:
        view = memoryview(array.copy())
    return view.cast("B") if view.nbytes else memoryview(b"")
