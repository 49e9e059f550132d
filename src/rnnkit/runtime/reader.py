"""Reader: what acceptor and transducer have in common without torch: labels, and layers in one or two directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnnkit.bundle import labels as labels_file
from rnnkit.errors import ArgumentError, DtypeError, SchemaError, ShapeError
from rnnkit.kernels import heads
from rnnkit.kernels.recurrent import Layer
from rnnkit.runtime.bundled import BundledModel
from rnnkit.runtime.stack import Parts, Stack
from rnnkit.state import State
from rnnkit.text import Tokenizer, WordReader

ROWS = 64  # sequences that run side by side
WORDS = "words.json"


class Reader(BundledModel):
    """A trained model of sequences and labels; the equations are in `rnnkit.models.reader`."""

    _noun: str  # what a message calls it

    def __init__(
        self,
        config: Mapping[str, Any],
        tensors: Mapping[str, np.ndarray],
        tokenizer: Tokenizer | None,
        *,
        labels: Sequence[str],
        thresholds: Sequence[float] | None = None,
        words: WordReader | None = None,
        files: Mapping[str, bytes] | None = None,
        digest: str | None,
        precision: str | None,
    ) -> None:
        """Args: thresholds: beside the labels.  words: of a model of words, in place of a tokeniser.  files: further
        ones of the bundle.
        """
        self.labels = list(labels)
        """What the columns of the probabilities stand for."""
        files = {**(files or {}), labels_file.NAME: labels_file.to_bytes(self.labels, thresholds)}
        files |= {} if words is None else {WORDS: words.to_json().encode()}
        super().__init__(config, tensors, tokenizer, files=files, digest=digest, precision=precision)
        labels_file.from_files(files, num_labels=config["model"]["num_labels"])
        model, tensors = config["model"], self._weights
        self._size, self.words = model["input_size"], words
        self._check_words()
        self._stack = Stack(model, tensors, self.precision, embeds=False)
        self._head = heads.PackedLinear(tensors["head.weight"], tensors["head.bias"], precision=self.precision)
        names = self._stack.part_names
        self._parts = tuple(tuple(zip(names, layer.part_sizes, strict=True)) for layer in self._stack.layers)
        self._spelling = []
        if model.get("num_characters"):
            self._spelling = [self._layer("characters.recurrent.", "lstm", f"_l0{end}") for end in ("", "_reverse")]

    def _check_words(self) -> None:
        """Raises: SchemaError for a vocabulary of words that is not the model's."""
        model, words = self.config["model"], self.words
        self._per_word = model.get("features_per_word", 0)
        if words is None and not self._reads_words:
            return
        sizes = (0, 0, 0, 0)
        if words is not None:
            sizes = (words.vocab_size, words.num_characters, words.num_features, len(words.features))
        wanted = (model["vocab_size"], *(model.get(name, 0) for name in ("num_characters", "num_features")))
        wanted += (self._per_word,)
        for what, at in (("words and {} characters", 0), ("values of {} features", 2)):
            if sizes[at : at + 2] != wanted[at : at + 2]:
                raise SchemaError(
                    f"the vocabulary has {sizes[at]} {what.format(sizes[at + 1])}, the model "
                    f"{wanted[at]} and {wanted[at + 1]}; take both from one run"
                )

    @property
    def _reads_words(self) -> bool:
        """Whether it needs `words`: of each it also reads the spelling, or features."""
        return bool(self.config["model"].get("num_characters") or self._per_word)

    @property
    def num_parameters(self) -> int:
        """How many numbers were learned."""
        counted = self._tensors["scale.mean"].size if self._size else 0
        return super().num_parameters - 2 * counted  # the frames' mean and deviation are counted, not learned

    @property
    def is_causal(self) -> bool:
        """Whether it reads forwards only, so that a state says all of what it has seen."""
        return self._stack.num_directions == 1

    def initial_state(self, batch: int = 1) -> State:
        """The state of `batch` streams that have seen nothing. Raises: ArgumentError if it also reads backwards."""
        if not self.is_causal:
            raise ArgumentError(f"this {self._noun} also reads from the end, so no state can go on; use predict")
        return super().initial_state(batch)

    def encode(self, sequence: Any, number: int = 0) -> np.ndarray:
        """What the layers read of a sequence. `number`: its name in a message."""
        raise NotImplementedError

    def _encoded(self, sequences: Sequence[Any]) -> list[np.ndarray]:
        if isinstance(sequences, str | bytes):
            raise DtypeError("sequences is a single text; put it in a list: [text]")
        return [self.encode(sequence, number) for number, sequence in enumerate(sequences)]

    def _encoded_words(self, sequence: Any, number: int) -> np.ndarray:
        """Words, or what `words.encode` gave, int64 [T] or [T, 1 + N + W]. Raises: DtypeError, ShapeError."""
        assert self.words is not None
        if not isinstance(sequence, np.ndarray):
            try:
                return self.words.encode(sequence)
            except DtypeError as error:
                raise DtypeError(f"sequence {number}: {error}") from None
        wanted = self.words.encode([]).shape[1:]
        if sequence.dtype.kind not in "iu" or sequence.ndim == 0 or sequence.shape[1:] != wanted:
            raise ShapeError(
                f"sequence {number} is {sequence.dtype} {list(sequence.shape)}, wanted are integers {['T', *wanted]}"
            )
        return sequence.astype(np.int64)

    def _rows_of_words(self, x: Any) -> np.ndarray:
        """Words of B sequences as `words.encode` gives them, int64 [T, B] or [T, B, 1 + N + W]. Raises: ShapeError."""
        assert self.words is not None
        array, wanted = np.asarray(x), self.words.encode([]).shape[1:]
        if array.dtype.kind not in "iu" or array.ndim < 2 or array.shape[2:] != wanted:
            axes = ", ".join(map(str, ("T", "B", *wanted)))
            raise ShapeError(
                f"x is {array.dtype} {list(array.shape)}, wanted are words [{axes}]; encode them with "
                "model.words.encode, or step through them"
            )
        return array.astype(np.int64)

    def _series(self, sequence: Any, number: int) -> np.ndarray:
        """A sequence of frames, float32 [T, I]. Raises: ShapeError, ArgumentError naming the sequence."""
        array = np.asarray(sequence)
        if array.dtype.kind not in "fiu" or array.ndim != 2 or array.shape[1] != self._size:
            raise ShapeError(f"sequence {number} is {array.dtype} {list(array.shape)}, wanted [T, {self._size}]")
        if not np.isfinite(array).all():
            raise ArgumentError(f"sequence {number} holds a value that is not finite; fill it in, or leave it out")
        return array.astype(np.float32)

    def _frames(self, x: Any) -> np.ndarray:
        """Frames of B sequences, float32 [T, B, I]. Raises: ShapeError, ArgumentError."""
        array = np.asarray(x)
        if array.dtype.kind not in "fiu" or array.ndim != 3 or array.shape[2] != self._size:
            raise ShapeError(f"x is {array.dtype} {list(array.shape)}, wanted are frames [T, B, {self._size}]")
        return array.astype(np.float32)

    def _initial_parts(self, batch: int) -> Parts:
        return self._stack.initial(batch)

    def _unroll(self, x: np.ndarray, parts: Parts, lengths: np.ndarray | None) -> tuple[np.ndarray, Parts]:
        """ids [T, B] or frames [T, B, I] -> the top layer's [T, B, D*H], and the layers' parts at each row's length."""
        return self._stack.forward(self._entering(x), parts[: len(self._stack.layers)], lengths=lengths)

    def _entering(self, x: np.ndarray) -> np.ndarray:
        """What the first layer reads."""
        if not self._size:
            return self._embedded(x)
        return (x - self._tensors["scale.mean"]) / self._tensors["scale.deviation"]

    def _embedded(self, ids: np.ndarray) -> np.ndarray:
        """ids [T, B] -> [T, B, E]; words [T, B, 1 + N + W] -> what is read beside that, too."""
        if ids.ndim == 2:
            return self._rows(ids, "embedding.weight")
        T, B, _ = ids.shape
        first = 1 + self._per_word
        read = [self._rows(ids[..., 0], "embedding.weight")]
        if self._per_word:
            features = self._rows(ids[..., 1:first], "features.weight")
            read.append(features.reshape(T, B, features.shape[2] * features.shape[3]))
        if self._spelling:
            read.append(self._spelled(ids[..., first:]))
        return np.concatenate(read, axis=2)

    def _rows(self, ids: np.ndarray, table: str) -> np.ndarray:
        """ids […] -> rows of a table […, E]."""
        weight = self._weights[table]
        return heads.embedding(np.ascontiguousarray(ids).reshape(-1), weight).reshape(*ids.shape, weight.shape[1])

    def _spelled(self, spelled: np.ndarray) -> np.ndarray:
        """Characters' ids + 1 [T, B, W] -> [T, B, 2*S], each different word read once."""
        T, B, width = spelled.shape
        different, which = np.unique(spelled.reshape(T * B, width), axis=0, return_inverse=True)
        lengths = (different > 0).sum(1)
        longest = int(lengths.max(initial=0))
        x = self._rows(np.maximum(different[:, :longest].T - 1, 0), "characters.embedding.weight")
        runs = [layer.forward(x, lengths=lengths, reverse=end == 1) for end, layer in enumerate(self._spelling)]
        read = np.concatenate([run.state[0] for run in runs], axis=1)[which.reshape(-1)]
        return read.reshape(T, B, read.shape[1])

    def _layer(self, prefix: str, cell: str, suffix: str) -> Layer:
        weights: dict[str, Any] = {
            name.removeprefix(prefix).removesuffix(suffix): array
            for name, array in self._weights.items()
            if name.startswith(prefix) and name.endswith(suffix)
        }
        return Layer(cell, **weights, precision=self.precision)


def words_from(files: Mapping[str, bytes], what: str) -> WordReader:
    """The vocabulary of a bundle's files. Args: what: for a message. Raises: SchemaError."""
    if WORDS not in files:
        raise SchemaError(f"the bundle of {what} lists no {WORDS}; write it again with it")
    try:
        return WordReader.from_json(files[WORDS].decode("utf-8"))
    except ValueError as error:  # DataError, or bytes that are no UTF-8
        raise SchemaError(f"{WORDS}: {error}") from error


def log_sigmoid(logits: np.ndarray) -> np.ndarray:
    """log σ, an element at a time: the same bits in any batch."""
    return -np.logaddexp(np.float32(0), -logits)


def padded(arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """([T, B, …] with 0 behind each array's end, their lengths int64 [B])."""
    lengths = np.array([len(array) for array in arrays], np.int64)
    x = np.zeros((int(lengths.max()), len(arrays), *arrays[0].shape[1:]), arrays[0].dtype)
    for row, array in enumerate(arrays):
        x[: len(array), row] = array
    return x, lengths
