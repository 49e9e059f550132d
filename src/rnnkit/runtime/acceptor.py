"""A trained classifier without torch: sequences in, labels and probabilities out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from rnnkit.bundle import Bundle, bundle_digest, int8, labels, read_bundle, write_bundle
from rnnkit.bundle.schema import check_tensors, check_vocabulary, layer_widths
from rnnkit.errors import ArgumentError, DtypeError, SchemaError, ShapeError
from rnnkit.kernels import heads
from rnnkit.kernels.recurrent import Layer, Precision, resolve_precision
from rnnkit.text import Tokenizer

_ROWS = 64  # sequences that run side by side
_SUFFIXES = ("", "_reverse")


class Acceptor:
    """Reads whole sequences and decides once for each; the equations are in `rnnkit.models.acceptor`.

        model = Acceptor.load("runs/sentiment")
        model.predict(["a fine film", "a dull one"])         # ['positive', 'negative']
        model.predict_proba(["a fine film"])                 # [[0.03, 0.97]], in the order of model.labels

    A sequence's result is the same, bit for bit, whatever stands beside it in the call.
    """

    kind = "acceptor"

    def __init__(
        self,
        config: Mapping[str, Any],
        tensors: Mapping[str, np.ndarray],
        *,
        labels: Sequence[str],
        tokenizer: Tokenizer | None = None,
        digest: str | None = None,
        precision: str | None = None,
    ) -> None:
        """Of a configuration and its float32 arrays in memory, for example those of `export`.

        Args:   labels: what the outputs stand for.  tokenizer: for a model of tokens.  digest: of the bundle they come
                from; None: the one that `save` would give.  precision: as in `load`.
        Raises: SchemaError, TensorError for parts that do not belong together.
        """
        check_tensors(config, tensors)
        if config["kind"] != self.kind:
            raise SchemaError(f"this is a {config['kind']}, not an {self.kind}; load it with its own class")
        if tokenizer is not None:
            check_vocabulary(config, tokenizer.vocab_size)
        self.config, self.tokenizer = dict(config), tokenizer
        self.labels = list(labels)
        """What the columns of `predict_proba` stand for."""
        self._tensors, self._files = dict(tensors), _files(self.labels, tokenizer)
        self._check_labels()
        self.digest = digest or bundle_digest(config=config, tensors=tensors, files=self._files)
        self.precision: Precision = resolve_precision(precision or config["precision"], forward_only=True)
        tensors = self._weights = int8.as_computed(self._tensors, self.precision)
        model = config["model"]
        self._readout, self._size = tuple(model["readout"]), model["input_size"]
        self._suffixes = _SUFFIXES[: 1 + model["bidirectional"]]
        self._layers = [
            [self._layer(f"_l{index}{suffix}") for suffix in self._suffixes]
            for index in range(len(layer_widths(model)))
        ]
        if "attention" in self._readout:
            self._keys = heads.PackedLinear(
                tensors["attention.weight"], tensors["attention.bias"], precision=self.precision
            )
            self._scores = heads.PackedLinear(tensors["attention.score"], precision=self.precision)
        self._head = heads.PackedLinear(tensors["head.weight"], tensors["head.bias"], precision=self.precision)

    @classmethod
    def load(cls, path: str | Path, *, precision: str | None = None) -> Self:
        """The model of a bundle, that is of a run's folder.

        Args:   precision: "fp32", "bf16", "int8" or "auto"; None: what the model was trained in.
        Raises: BundleError, by its subclasses; nothing in the folder is executed or believed unchecked. ConfigError for
                another precision.
        """
        return cls.from_bundle(read_bundle(path), precision=precision)

    @classmethod
    def from_bundle(cls, bundle: Bundle, *, precision: str | None = None) -> Self:
        """As `load`, of a bundle that has been read."""
        if bundle.config["kind"] != cls.kind:
            raise SchemaError(f"this is a {bundle.config['kind']}, not an {cls.kind}; load it with its own class")
        named = labels.from_files(bundle.files, num_labels=bundle.config["model"]["num_labels"])
        tokenizer, tensors = bundle.tokenizer, bundle.tensors
        model = cls(
            bundle.config, tensors, labels=named, tokenizer=tokenizer, digest=bundle.digest, precision=precision
        )
        model._files = bundle.files  # as they are: saving again gives the same digest
        return model

    def save(self, path: str | Path) -> str:
        """Write the model as a bundle; returns its digest. Raises: SaveError, the old bundle intact."""
        return write_bundle(path, config=self.config, tensors=self._tensors, files=self._files)

    @property
    def num_parameters(self) -> int:
        """How many numbers were learned."""
        return sum(array.size for name, array in self._tensors.items() if not name.startswith("scale."))

    def predict(self, sequences: Sequence[Any]) -> list[str]:
        """The likeliest label of every sequence; see `log_probs`."""
        return [self.labels[best] for best in self.log_probs(sequences).argmax(1)] if len(sequences) else []

    def predict_proba(self, sequences: Sequence[Any]) -> np.ndarray:
        """The probability of every label for every sequence, float32 [N, C]; see `log_probs`."""
        return np.exp(self.log_probs(sequences))

    def log_probs(self, sequences: Sequence[Any]) -> np.ndarray:
        """Natural logarithms of `predict_proba`, [N, C].

        Args:   sequences: texts, or ids [T] of the model's tokeniser; of a model of frames, arrays [T, I]. T may be 0.
        Raises: DtypeError, ShapeError, ArgumentError naming the sequence; DataError for a text that is none.
        Cost:   64 sequences of similar length at a time.
        """
        if isinstance(sequences, str | bytes):
            raise DtypeError("sequences is a single text; put it in a list: [text]")
        arrays = [self.encode(sequence, number) for number, sequence in enumerate(sequences)]
        order = sorted(range(len(arrays)), key=lambda row: len(arrays[row]))
        result = np.empty((len(arrays), len(self.labels)), np.float32)
        for first in range(0, len(order), _ROWS):
            rows = order[first : first + _ROWS]
            result[rows] = heads.log_softmax(self._head(self._features([arrays[row] for row in rows])))
        return result

    def encode(self, sequence: Any, number: int = 0) -> np.ndarray:
        """What the layers read of a sequence: ids int64 [T], or float32 [T, I]. `number`: its name in a message."""
        if self.tokenizer is not None and isinstance(sequence, str | bytes):
            return self.tokenizer.encode(sequence).astype(np.int64)
        array = np.asarray(sequence)
        if self._size:
            if array.dtype.kind not in "fiu" or array.ndim != 2 or array.shape[1] != self._size:
                raise ShapeError(f"sequence {number} is {array.dtype} {list(array.shape)}, wanted [T, {self._size}]")
            if not np.isfinite(array).all():
                raise ArgumentError(f"sequence {number} holds a value that is not finite; fill it in, or leave it out")
            return array.astype(np.float32)
        if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size):
            raise DtypeError(
                f"sequence {number} is {array.dtype} {list(array.shape)}; a text or its ids [T] are wanted"
            )
        return array.astype(np.int64)

    # ---- one batch ---------------------------------------------------------------------------------------------------

    def _features(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """What the decision reads of B sequences, [B, R*D*H]."""
        lengths = np.array([len(array) for array in arrays], np.int64)
        shape = (int(lengths.max()), len(arrays))
        x = np.zeros((*shape, self._size), np.float32) if self._size else np.zeros(shape, np.int64)
        for row, array in enumerate(arrays):
            x[: len(array), row] = array
        if self._size:
            x = (x - self._tensors["scale.mean"]) / self._tensors["scale.deviation"]
        else:
            table = self._weights["embedding.weight"]
            x = heads.embedding(x.reshape(-1), table).reshape(*shape, table.shape[1])
        last: list[np.ndarray] = []
        for directions in self._layers:
            runs = [layer.forward(x, lengths=lengths, reverse=index == 1) for index, layer in enumerate(directions)]
            x = runs[0].output if len(runs) == 1 else np.concatenate([run.output for run in runs], axis=2)
            last = [run.state[0] for run in runs]
        read = {"last": lambda: np.concatenate(last, axis=1), "max": lambda: _largest(x, lengths),
                "mean": lambda: _total(x) / np.maximum(lengths, 1).astype(np.float32)[:, None],
                "attention": lambda: self._attended(x, lengths)}  # fmt: skip
        return np.concatenate([read[kind]() for kind in self._readout], axis=1)

    def _attended(self, hidden: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        T, B, F = hidden.shape
        scores = self._scores(np.tanh(self._keys(hidden.reshape(T * B, F)))).reshape(T, B)
        shares = np.zeros((T, B, 1), np.float32)
        for row, length in enumerate(lengths):  # each by itself: padding must not change how a sum is made
            if length:
                own = np.ascontiguousarray(scores[:length, row])
                shares[:length, row, 0] = np.exp(heads.log_softmax(own[None])[0])
        return _total(shares * hidden)

    def _layer(self, suffix: str) -> Layer:
        weights: dict[str, Any] = {
            name.removeprefix("recurrent.").removesuffix(suffix): array
            for name, array in self._weights.items()
            if name.startswith("recurrent.") and name.endswith(suffix)
        }
        return Layer(self.config["model"]["cell"], **weights, precision=self.precision)

    def _check_labels(self) -> None:
        labels.from_files(self._files, num_labels=self.config["model"]["num_labels"])


def _files(named: Sequence[str], tokenizer: Tokenizer | None) -> dict[str, bytes]:
    files = {labels.NAME: labels.to_bytes(named)}
    return files if tokenizer is None else files | {"tokenizer.json": tokenizer.to_json().encode()}


def _total(x: np.ndarray) -> np.ndarray:
    """Σ over time, one step after the other: NumPy's own sum adds in an order that depends on the other axes."""
    total = np.zeros(x.shape[1:], np.float32)
    for step in x:
        total += step
    return total


def _largest(hidden: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    behind = np.arange(len(hidden))[:, None] >= lengths
    largest = np.where(behind[..., None], -np.inf, hidden).max(0, initial=-np.inf)
    return np.where(lengths[:, None] == 0, 0.0, largest).astype(np.float32)
