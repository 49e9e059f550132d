"""What every model of the run half is: a bundle's configuration and weights, and states that name it as their owner."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from rnnkit.bundle import Bundle, bundle_digest, int8, read_bundle, write_bundle
from rnnkit.bundle.schema import check_tensors, check_vocabulary
from rnnkit.errors import ArgumentError, DtypeError, SchemaError, ShapeError, StateError
from rnnkit.kernels.recurrent import Precision, resolve_precision
from rnnkit.runtime.stack import Parts
from rnnkit.state import State
from rnnkit.text import Tokenizer

_FLOAT32 = np.dtype(np.float32)
# What a kind of model cannot do, for a message.
_CANNOT = {
    "bidirectional_language_model": "it reads what is before and after each token, so it cannot write, go on with a "
    "text or be stepped; rnnkit eval, score, embed and complete --after run it, rnnkit.load in Python",
}


class BundledModel(ABC):
    """A model that comes from a bundle and can be saved as one; its state is a value that the caller holds."""

    kind: ClassVar[str]
    config: dict[str, Any]
    digest: str
    precision: Precision  # of the products
    _parts: tuple[tuple[tuple[str, int], ...], ...]  # the name and width of every part of every layer's state
    _dtypes: ClassVar[Mapping[str, Any]] = {}  # of the parts that are not float32

    def __init__(
        self,
        config: Mapping[str, Any],
        tensors: Mapping[str, np.ndarray],
        tokenizer: Tokenizer | None = None,
        *,
        files: Mapping[str, bytes] | None = None,
        digest: str | None = None,
        precision: str | None = None,
    ) -> None:
        """Args: files: of the bundle, beside the tokeniser's. Raises: SchemaError, TensorError; as `_prepare`."""
        check_tensors(config, tensors)
        self._check_kind(config)
        self._files = dict(files or {})
        if tokenizer is not None:
            check_vocabulary(config, tokenizer.vocab_size)
            self._files["tokenizer.json"] = tokenizer.to_json().encode()
        self.config, self._tensors = dict(config), dict(tensors)
        self.digest = digest or bundle_digest(config=config, tensors=tensors, files=self._files)
        self.precision = resolve_precision(precision or config["precision"], forward_only=True)
        self._weights = int8.as_computed(self._tensors, self.precision)
        self._prepare(tokenizer)

    def _prepare(self, tokenizer: Tokenizer | None) -> None:
        """What a kind of model makes of its configuration and weights, beyond what it does when it is made."""
        return

    @classmethod
    def load(cls, path: str | Path, *, precision: str | None = None) -> Self:
        """The model of a bundle, that is of a run's folder.

        Args:   precision: "fp32", "bf16", "int8" or "auto", see `kernels.recurrent.Layer`; None: what the model was
                trained in.
        Raises: BundleError, by its subclasses; nothing in the folder is executed or believed unchecked. ConfigError for
                another precision.
        Cost:   one read of the files; memory for the weights twice (as stored, and packed for the kernels).
        """
        bundle = read_bundle(path)
        cls._check_kind(bundle.config, str(path))
        return cls.from_bundle(bundle, precision=precision)

    @classmethod
    def from_bundle(cls, bundle: Bundle, *, precision: str | None = None) -> Self:
        """As `load`, of a bundle that has been read."""
        cls._check_kind(bundle.config)
        model = cls._of(bundle, precision)
        model._files = bundle.files  # as they are: saving again gives the same digest
        return model

    @classmethod
    def _check_kind(cls, config: Mapping[str, Any], what: str = "this") -> None:
        if config["kind"] != cls.kind and config["kind"] in _CANNOT:
            raise SchemaError(f"{what} is of kind {config['kind']}, not {cls.kind}: {_CANNOT[config['kind']]}")
        if config["kind"] != cls.kind:
            raise SchemaError(
                f"{what} is of kind {config['kind']}, not {cls.kind}; rnnkit.load finds the class of a run, and "
                "rnnkit predict runs it"
            )

    @classmethod
    def _of(cls, bundle: Bundle, precision: str | None) -> Self:
        return cls(bundle.config, bundle.tensors, bundle.tokenizer, digest=bundle.digest, precision=precision)

    def save(self, path: str | Path) -> str:
        """Write the model as a bundle; returns its digest. Raises: SaveError, the old bundle intact."""
        return write_bundle(path, config=self.config, tensors=self._tensors, files=self._files)

    @property
    def num_parameters(self) -> int:
        """How many numbers were learned."""
        return sum(array.size for array in self._tensors.values())

    def initial_state(self, batch: int = 1) -> State:
        """The state of `batch` streams that have seen nothing."""
        if batch < 0:
            raise ArgumentError(f"batch is {batch}; give the number of streams, 0 or more")
        return self._state(self._initial_parts(batch))

    @abstractmethod
    def _initial_parts(self, batch: int) -> Parts: ...

    def _state(self, parts: Parts) -> State:
        layers = [
            {name: array for (name, _), array in zip(names, arrays, strict=True)}
            for names, arrays in zip(self._parts, parts, strict=True)
        ]
        return State.unchecked(layers, model=self.digest)

    def _checked(self, state: State | None, batch: int) -> Parts:
        """The arrays of a state, in the cell's order, once they are known to be this model's."""
        if state is None:
            return self._initial_parts(batch)
        if state.model != self.digest:
            owner = "no bundle" if state.model is None else f"model {state.model[:12]}"
            raise StateError(
                f"this state belongs to {owner}, not to {self.digest[:12]}; start from this model's initial_state()"
            )
        if len(state.layers) != len(self._parts):
            raise StateError(f"the state has {len(state.layers)} layers, this model {len(self._parts)}")
        parts = []
        for index, (names, layer) in enumerate(zip(self._parts, state.layers, strict=True)):
            for name, width in names:
                array, dtype = layer.get(name), self._dtypes.get(name, _FLOAT32)
                if array is None or array.shape != (batch, width) or array.dtype != dtype:
                    got = "nothing" if array is None else f"{array.dtype} {list(array.shape)}"
                    raise ShapeError(
                        f"state part {index}.{name} is {got}, {np.dtype(dtype)} [{batch}, {width}] is wanted; use "
                        f"initial_state(batch={batch})"
                    )
            parts.append(tuple([layer[name] for name, _ in names]))
        return parts


def integers(values: Any, name: str, *, rank: int) -> np.ndarray:
    """What a caller gave, as integers of one or two axes. Raises: DtypeError, ShapeError."""
    array = np.asarray(values)
    if array.dtype.kind not in "iu" and array.size:
        raise DtypeError(f"{name} must be integers, got {array.dtype}; encode text with model.tokenizer.encode")
    if array.ndim != rank:
        axes = {1: "[B]", 2: "[T, B]"}[rank]
        raise ShapeError(f"{name} must have the axes {axes}, got the shape {list(array.shape)}")
    return array if array.dtype in (np.int32, np.int64) else array.astype(np.int64)


def checked_lengths(lengths: Any, x: np.ndarray) -> np.ndarray:
    """`lengths` of the rows of x [T, B, …]. Raises: DtypeError, ShapeError."""
    T, B = x.shape[:2]
    lengths = integers(lengths, "lengths", rank=1)
    if lengths.shape != (B,) or (B and (lengths.min() < 0 or lengths.max() > T)):
        raise ShapeError(f"lengths must be {B} integers in 0..{T}, one per row, got {lengths.tolist()}")
    return lengths
