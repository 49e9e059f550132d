"""A trained classifier without torch: sequences in, labels and probabilities out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from rnnkit.bundle import Bundle, evaluation
from rnnkit.bundle import labels as labels_file
from rnnkit.bundle.schema import output_widths
from rnnkit.errors import ArgumentError, DtypeError, SchemaError
from rnnkit.kernels import heads
from rnnkit.metrics import multi_label
from rnnkit.runtime.bundled import checked_lengths, integers
from rnnkit.runtime.reader import ROWS, Reader, padded
from rnnkit.runtime.readout import STEPS, Readout
from rnnkit.runtime.stack import Parts
from rnnkit.state import State
from rnnkit.text import Tokenizer


class Acceptor(Reader):
    """Reads whole sequences and decides once for each; the equations are in `rnnkit.models.acceptor`.

        model = Acceptor.load("runs/sentiment")
        model.predict(["a fine film", "a dull one"])         # ['positive', 'negative']
        model.predict_proba(["a fine film"])                 # [[0.03, 0.97]], in the order of model.labels

    One that reads forwards only (`is_causal`) can also be told as the sequence comes, and says what it holds so far:

        log_probs, state = model(ids, state)                 # ids [T, B] or frames [T, B, I] -> [B, C]
        log_probs, state = model.step([3, 7], state)         # one step per row

    One of several labels (`is_multi_label`) says of each by itself how probable it is, and predicts lists:

        model.predict(["a thriller with jokes"])             # [['comedy', 'crime']]

    A sequence's result is the same, bit for bit, whatever stands beside it in the call, and in whatever pieces it came.
    """

    kind = "acceptor"
    _noun = "classifier"
    _dtypes: ClassVar[Mapping[str, Any]] = {STEPS: np.int64}

    def __init__(
        self,
        config: Mapping[str, Any],
        tensors: Mapping[str, np.ndarray],
        *,
        labels: Sequence[str],
        thresholds: Sequence[float] | None = None,
        tokenizer: Tokenizer | None = None,
        digest: str | None = None,
        precision: str | None = None,
    ) -> None:
        """Of a configuration and its float32 arrays in memory, for example those of `export`.

        Args:   labels: what the outputs stand for.  thresholds: of a model of several labels, the probability from
                which each is taken to be there, None: 0.5.  tokenizer: for a model of tokens.  digest: of the bundle
                they come from; None: the one that `save` would give.  precision: as in `load`.
        Raises: SchemaError, TensorError for parts that do not belong together.
        """
        self.is_multi_label: bool = config["model"].get("multi_label", False)
        """Whether a sequence may have several labels, or none."""
        if thresholds is not None and not self.is_multi_label:
            raise SchemaError("thresholds are for a model of several labels; this one decides for one: leave them out")
        super().__init__(
            config, tensors, tokenizer, labels=labels, thresholds=thresholds, digest=digest, precision=precision
        )
        self.thresholds = None if thresholds is None else np.asarray(thresholds, np.float64)
        self.tokenizer = tokenizer
        self._readout = Readout(
            config["model"]["readout"],
            self._stack.num_directions * output_widths(config["model"])[-1],
            self._weights,
            self.precision,
        )
        if self._readout.parts:
            self._parts = (*self._parts, self._readout.parts)

    @classmethod
    def _of(cls, bundle: Bundle, precision: str | None) -> Self:
        named, thresholds = labels_file.from_files(bundle.files, num_labels=bundle.config["model"]["num_labels"])
        return cls(
            bundle.config,
            bundle.tensors,
            labels=named,
            thresholds=thresholds,
            tokenizer=bundle.tokenizer,
            digest=bundle.digest,
            precision=precision,
        )

    def __call__(self, x: Any, state: State | None = None, *, lengths: Any = None) -> tuple[np.ndarray, State]:
        """Read on, and say what the sequences are as far as they have come; of a model that `is_causal`.

        Args:    x: ids [T, B], or frames [T, B, I].  state: what the rows have seen, None: nothing.
                 lengths: integers [B] in 0..T; row b stops after lengths[b], and what lies behind is not read.
        Returns: log-probabilities of the labels, float32 [B, C]; the State at each row's length.
        Raises:  ShapeError, DtypeError, ArgumentError; StateError for another model's state.
        """
        x = self._frames(x) if self._size else integers(x, "ids", rank=2)
        T, B = x.shape[:2]
        state = self.initial_state(B) if state is None else state
        lengths = np.full(B, T) if lengths is None else checked_lengths(lengths, x)
        behind = (np.arange(T)[:, None] >= lengths).reshape(T, B, *[1] * (x.ndim - 2))
        x = np.where(behind, x.dtype.type(0), x)
        if not np.isfinite(x).all():
            raise ArgumentError("x holds a value that is not finite; fill it in, or leave it out")
        features, parts = self._forward(x, self._checked(state, B), lengths)
        return self._scored(features), self._state(parts)

    def step(self, x: Any, state: State | None = None) -> tuple[np.ndarray, State]:
        """One step per row: ids [B] or frames [B, I] -> (log-probabilities [B, C], State); one id for a single stream.

        The bits are those of `model([x], state)`.
        """
        return self(np.asarray([x] if isinstance(x, int | np.integer) else x)[None], state)

    def evaluation_sample(self) -> tuple[list[np.ndarray], np.ndarray] | None:
        """The held-out sequences that the bundle keeps, and the numbers of their labels [N]; None: it keeps none.

        Of several labels, which of them each has: [N, C] of 0 and 1.

        Raises: JsonError, SchemaError for a file that is not what was written.
        """
        names = ("num_labels", "vocab_size", "input_size")
        sizes = {name: self.config["model"][name] for name in names}
        return evaluation.sequences_from_files(self._files, **sizes, has_several=self.is_multi_label)

    def predict(self, sequences: Sequence[Any]) -> list[Any]:
        """The likeliest label of every sequence; of several labels a list of those it has. See `log_probs`."""
        if not len(sequences):
            return []
        return self.named(self.log_probs(sequences))

    def named(self, log_probs: np.ndarray) -> list[Any]:
        """What `predict` says to log-probabilities [N, C]."""
        if not self.is_multi_label:
            return [self.labels[best] for best in log_probs.argmax(1)]
        return [[self.labels[one] for one in np.flatnonzero(row)] for row in self.decided(log_probs)]

    def decided(self, log_probs: np.ndarray) -> np.ndarray:
        """The numbers of the labels that log-probabilities [N, C] decide for, [N]; of several a bool for each."""
        return multi_label.decided(log_probs, self.thresholds) if self.is_multi_label else log_probs.argmax(1)

    def predict_proba(self, sequences: Sequence[Any]) -> np.ndarray:
        """The probability of every label for every sequence, float32 [N, C]; see `log_probs`."""
        return np.exp(self.log_probs(sequences))

    def log_probs(self, sequences: Sequence[Any]) -> np.ndarray:
        """Natural logarithms of `predict_proba`, [N, C]. Args, Raises, Cost: as `embed`."""
        return self._scored(self.embed(sequences))

    def embed(self, sequences: Sequence[Any]) -> np.ndarray:
        """A vector for every sequence: what its decision is read from, float32 [N, F], one block for each readout.

        Args:   sequences: texts, or ids [T] of the model's tokeniser; of a model of frames, arrays [T, I]. T may be 0.
        Raises: DtypeError, ShapeError, ArgumentError naming the sequence; DataError for a text that is none.
        Cost:   64 sequences of similar length at a time.
        """
        arrays = self._encoded(sequences)
        order = sorted(range(len(arrays)), key=lambda row: len(arrays[row]))
        vectors = np.empty((len(arrays), self._head.input_size), np.float32)
        for first in range(0, len(order), ROWS):
            rows = order[first : first + ROWS]
            vectors[rows] = self._features([arrays[row] for row in rows])
        return vectors

    def encode(self, sequence: Any, number: int = 0) -> np.ndarray:
        """What the layers read of a sequence: ids int64 [T], or float32 [T, I]. `number`: its name in a message."""
        if self.tokenizer is not None and isinstance(sequence, str | bytes):
            return self.tokenizer.encode(sequence).astype(np.int64)
        if self._size:
            return self._series(sequence, number)
        array = np.asarray(sequence)
        if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size):
            raise DtypeError(
                f"sequence {number} is {array.dtype} {list(array.shape)}; a text or its ids [T] are wanted"
            )
        return array.astype(np.int64)

    # ---- one batch ---------------------------------------------------------------------------------------------------

    def _features(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """What the decision reads of B sequences, [B, F]."""
        x, lengths = padded(arrays)
        return self._forward(x, self._initial_parts(len(arrays)), lengths)[0]

    def _initial_parts(self, batch: int) -> Parts:
        layers = super()._initial_parts(batch)
        return [*layers, self._readout.initial(batch)] if self._readout.parts else layers

    def _forward(self, x: np.ndarray, parts: Parts, lengths: np.ndarray) -> tuple[np.ndarray, Parts]:
        """ids [T, B] or frames [T, B, I] -> what the decision reads [B, F], and the parts at each row's length."""
        x, after = self._unroll(x, parts, lengths)
        last = np.concatenate([state[0] for state in after[-self._stack.num_directions :]], axis=1)
        kept = self._readout.advance(x, parts[-1] if self._readout.parts else (), lengths)
        states = [part for parts in after for part in parts]
        return self._readout.features(last, kept, states), [*after, kept] if kept else after

    def _scored(self, features: np.ndarray) -> np.ndarray:
        """[B, F] -> log-probabilities [B, C]: log-softmax of the logits, or each one's log-sigmoid."""
        logits = self._head(features)
        if not self.is_multi_label:
            return heads.log_softmax(logits)
        return np.minimum(logits, 0) - np.log1p(np.exp(-np.abs(logits)))
