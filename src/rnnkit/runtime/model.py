"""What every next-token model of the run half can do: read tokens, pass its state on, and be judged."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from rnnkit.bundle import Bundle, bundle_digest, evaluation, int8, read_bundle, write_bundle
from rnnkit.bundle.schema import check_tensors, check_vocabulary
from rnnkit.errors import ArgumentError, DtypeError, SchemaError, ShapeError, StateError
from rnnkit.kernels.recurrent import Precision, resolve_precision
from rnnkit.runtime import likelihood
from rnnkit.runtime.softmax import build_softmax
from rnnkit.runtime.stack import Parts
from rnnkit.state import State
from rnnkit.text import Tokenizer

_TOKENIZER = "tokenizer.json"


class NextTokenModel(ABC):
    """Tokens in, log-probabilities of the next token out; the state is a value that the caller holds.

        model = LanguageModel.load("runs/shakespeare")
        state = model.initial_state(batch=2)
        log_probs, state = model(ids, state)             # ids [T, 2] -> [T, 2, V]
        log_probs, state = model.step([3, 7], state)     # one token per row -> [2, V]

    A whole sequence, any chunks of it and single steps give the same bits; so do any batch mates and any number of
    threads. log_probs[t] is about the token after ids[t]; the context before a document is `begin_id`.
    """

    kind: ClassVar[str]
    config: dict[str, Any]
    digest: str
    precision: Precision  # of the products
    vocab_size: int
    begin_id: int
    _parts: tuple[tuple[tuple[str, int], ...], ...]  # the name and width of every part of every layer's state
    _part_dtype: ClassVar[Any] = np.float32

    def __init__(
        self,
        config: Mapping[str, Any],
        tensors: Mapping[str, np.ndarray],
        tokenizer: Tokenizer | None = None,
        *,
        digest: str | None = None,
        precision: str | None = None,
    ) -> None:
        """As `from_parts`."""
        check_tensors(config, tensors)
        if config["kind"] != self.kind:
            raise SchemaError(f"this is a {config['kind']}, not a {self.kind}; load it with its own class")
        if tokenizer is not None:
            check_vocabulary(config, tokenizer.vocab_size)
        self.config = dict(config)
        self.vocab_size = config["model"]["vocab_size"]
        self._tensors = dict(tensors)
        self._files = {} if tokenizer is None else {_TOKENIZER: tokenizer.to_json().encode()}
        self.digest = digest or bundle_digest(config=config, tensors=tensors, files=self._files)
        self.precision = resolve_precision(precision or config["precision"], forward_only=True)
        self._weights = int8.as_computed(self._tensors, self.precision)
        self._softmax = build_softmax(config["model"], self._weights, self.precision)

    @classmethod
    def load(cls, path: str | Path, *, precision: str | None = None) -> Self:
        """The model of a bundle, that is of a run's folder.

        Args:   precision: "fp32", "bf16", "int8" or "auto", see `kernels.recurrent.Layer`; None: what the model was
                trained in.
        Raises: BundleError, by its subclasses; nothing in the folder is executed or believed unchecked. ConfigError for
                another precision.
        Cost:   one read of the files; memory for the weights twice (as stored, and packed for the kernels).
        """
        return cls.from_bundle(read_bundle(path), precision=precision)

    @classmethod
    def from_bundle(cls, bundle: Bundle, *, precision: str | None = None) -> Self:
        """As `load`, of a bundle that has been read."""
        model = cls(bundle.config, bundle.tensors, bundle.tokenizer, digest=bundle.digest, precision=precision)
        model._files = bundle.files  # as they are: saving again gives the same digest
        return model

    @classmethod
    def from_parts(
        cls,
        config: Mapping[str, Any],
        tensors: Mapping[str, np.ndarray],
        tokenizer: Tokenizer | None = None,
        *,
        digest: str | None = None,
        precision: str | None = None,
    ) -> Self:
        """The model of a configuration and its float32 arrays in memory, for example `Generator.export()`'s.

        Args:   digest: of the bundle they come from; None: the digest that `save` would give.
                precision: as in `load`.
        Raises: SchemaError, TensorError for parts that do not belong together.
        """
        return cls(config, tensors, tokenizer, digest=digest, precision=precision)

    def save(self, path: str | Path) -> str:
        """Write the model as a bundle; returns its digest. Raises: SaveError, the old bundle intact."""
        return write_bundle(path, config=self.config, tensors=self._tensors, files=self._files)

    def evaluation_sample(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The held-out tokens that the bundle keeps: ids int64 [N] and where documents start; None: it keeps none.

        They are the first of the text that `metrics.json` is about, at most 4,096: `total_nll(*sample)` in another
        precision says what that costs.  Raises: JsonError, SchemaError for a file that is not what was written.
        """
        return evaluation.from_files(self._files, vocab_size=self.vocab_size)

    @property
    def num_parameters(self) -> int:
        """How many numbers were learned."""
        return sum(array.size for array in self._tensors.values())

    def initial_state(self, batch: int = 1) -> State:
        """The state of `batch` streams that have seen nothing."""
        if batch < 0:
            raise ArgumentError(f"batch is {batch}; give the number of streams, 0 or more")
        return self._state(self._initial_parts(batch))

    def __call__(self, ids: Any, state: State | None = None, *, lengths: Any = None) -> tuple[np.ndarray, State]:
        """Read `ids` and score what follows each of them.

        Args:    ids: integers [T, B].  state: what the rows have seen, None: nothing.
                 lengths: integers [B] in 0..T; row b stops after lengths[b], and what lies behind is not read.
        Returns: log-probabilities float32 [T, B, V], 0 behind a row's length; the State at each row's length.
        Raises:  ShapeError, DtypeError, ArgumentError; StateError for another model's state.
        """
        ids = _integers(ids, "ids", rank=2)
        T, B = ids.shape
        behind = None
        if lengths is not None:
            lengths = _integers(lengths, "lengths", rank=1)
            if lengths.shape != (B,) or (B and (lengths.min() < 0 or lengths.max() > T)):
                raise ShapeError(f"lengths must be {B} integers in 0..{T}, one per row of ids, got {lengths.tolist()}")
            behind = np.arange(T)[:, None] >= lengths
            ids = np.where(behind, 0, ids)
        features, parts = self._forward(ids, self._checked(state, B), lengths=lengths)
        log_probs = self._softmax.log_probs(features.reshape(T * B, features.shape[2])).reshape(T, B, self.vocab_size)
        if behind is not None:
            log_probs[behind] = 0.0
        return log_probs, self._state(parts)

    def step(self, ids: Any, state: State | None = None) -> tuple[np.ndarray, State]:
        """One token per row: ids [B], or one integer for a single stream -> (log-probabilities [B, V], State).

        The bits are those of `model([ids], state)`; only the way there is shorter.
        """
        ids = _integers([ids] if isinstance(ids, int | np.integer) else ids, "ids", rank=1)
        features, parts = self._step(ids, self._checked(state, len(ids)))
        return self._softmax.log_probs(features), self._state(parts)

    def nll(self, ids: Any, *, document_starts: Any = None, state: State | None = None) -> np.ndarray:
        """Nats that each token of a text costs: −log p(ids[t] | all before it in its document).

        Args:    ids: integers [N].  document_starts: rising positions in 0..N-1 where the model starts afresh with
                 the begin token before it; None: one document.  state: what the first document starts from.
        Returns: float64 [N].
        Cost:    documents run side by side; about 64 MB of scores at a time whatever N and V are.
        """
        return likelihood.nll(self, ids, document_starts=document_starts, state=state)

    def total_nll(self, ids: Any, document_starts: Any = None) -> float:
        """The sum of `nll`, without holding it: a memory-mapped text may be larger than memory."""
        return likelihood.total_nll(self, ids, document_starts=document_starts)

    # ---- what a kind of model adds -----------------------------------------------------------------------------------

    @abstractmethod
    def _initial_parts(self, batch: int) -> Parts: ...

    @abstractmethod
    def _forward(self, ids: np.ndarray, parts: Parts, *, lengths: np.ndarray | None) -> tuple[np.ndarray, Parts]:
        """ids [T, B] -> features [T, B, F] and the parts at each row's length."""

    @abstractmethod
    def _step(self, ids: np.ndarray, parts: Parts) -> tuple[np.ndarray, Parts]:
        """ids [B] -> features [B, F]."""

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
                array = layer.get(name)
                if array is None or array.shape != (batch, width) or array.dtype != self._part_dtype:
                    got = "nothing" if array is None else f"{array.dtype} {list(array.shape)}"
                    want = f"{np.dtype(self._part_dtype)} [{batch}, {width}]"
                    raise ShapeError(
                        f"state part {index}.{name} is {got}, {want} is wanted; use initial_state(batch={batch})"
                    )
            parts.append(tuple(layer[name] for name, _ in names))
        return parts


def _integers(values: Any, name: str, *, rank: int) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "iu" and array.size:
        raise DtypeError(f"{name} must be integers, got {array.dtype}; encode text with model.tokenizer.encode")
    if array.ndim != rank:
        axes = {1: "[B]", 2: "[T, B]"}[rank]
        raise ShapeError(f"{name} must have the axes {axes}, got the shape {list(array.shape)}")
    return array if array.dtype in (np.int32, np.int64) else array.astype(np.int64)
