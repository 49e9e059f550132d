"""A trained classifier without torch: sequences in, labels and probabilities out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from rnnkit.bundle import Bundle, evaluation
from rnnkit.bundle import labels as labels_file
from rnnkit.bundle import ngrams as ngrams_file
from rnnkit.bundle.ngrams import NgramList
from rnnkit.bundle.schema import output_widths
from rnnkit.errors import ArgumentError, DtypeError, SchemaError
from rnnkit.kernels import heads
from rnnkit.metrics import multi_label
from rnnkit.runtime.bundled import checked_lengths, integers
from rnnkit.runtime.ngrams import CONTEXT, Ngrams
from rnnkit.runtime.reader import ROWS, Reader, log_sigmoid, padded, words_from
from rnnkit.runtime.readout import STEPS, Readout
from rnnkit.runtime.stack import Parts
from rnnkit.state import State
from rnnkit.text import Tokenizer, WordReader


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

    One that also reads how words are spelled has `words` in place of a tokeniser, and takes words in place of ids:

        log_probs, state = model.step(["fine", "dull"], state)

    A sequence's result is the same, bit for bit, whatever stands beside it in the call, and in whatever pieces it came.
    """

    kind = "acceptor"
    _noun = "classifier"
    _dtypes: ClassVar[Mapping[str, Any]] = {STEPS: np.int64, CONTEXT: np.int64}

    def __init__(
        self,
        config: Mapping[str, Any],
        tensors: Mapping[str, np.ndarray],
        *,
        labels: Sequence[str],
        thresholds: Sequence[float] | None = None,
        tokenizer: Tokenizer | None = None,
        words: WordReader | None = None,
        ngrams: NgramList | None = None,
        digest: str | None = None,
        precision: str | None = None,
    ) -> None:
        """Of a configuration and its float32 arrays in memory, for example those of `export`.

        Args:   labels: what the outputs stand for.  thresholds: of a model of several labels, the probability from
                which each is taken to be there, None: 0.5.  tokenizer: for a model of tokens.  words: for one that also
                reads their spelling, in its place.  ngrams: of one that has weights for them.  digest: of the bundle
                they come from; None: the one that `save` would give.  precision: as in `load`.
        Raises: SchemaError, TensorError for parts that do not belong together.
        """
        self.is_multi_label: bool = config["model"].get("multi_label", False)
        """Whether a sequence may have several labels, or none."""
        if thresholds is not None and not self.is_multi_label:
            raise SchemaError("thresholds are for a model of several labels; this one decides for one: leave them out")
        if words is not None and (words.split_punctuation is None or tokenizer is not None):
            raise SchemaError("words must say how a text is cut (split_punctuation), and stand in place of a tokeniser")
        order = config["model"].get("ngram_order", 0)
        if bool(order) != (ngrams is not None):
            raise SchemaError(f"the model has n-grams of up to {order} tokens; give their list with it, or neither")
        super().__init__(
            config,
            tensors,
            tokenizer,
            labels=labels,
            thresholds=thresholds,
            words=words,
            files={} if ngrams is None else {ngrams_file.NAME: ngrams_file.to_bytes(ngrams)},
            digest=digest,
            precision=precision,
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
        self._ngrams = None
        if ngrams is not None:
            weight, vocab_size = self._weights["ngrams.weight"], config["model"]["vocab_size"]
            self._ngrams = Ngrams(ngrams, weight, order=order, vocab_size=vocab_size)
            self._parts = (*self._parts, self._ngrams.parts)

    @classmethod
    def _of(cls, bundle: Bundle, precision: str | None) -> Self:
        model = bundle.config["model"]
        named, thresholds = labels_file.from_files(bundle.files, num_labels=model["num_labels"])
        is_spelled = model.get("num_characters") or model.get("num_features")
        return cls(
            bundle.config,
            bundle.tensors,
            labels=named,
            thresholds=thresholds,
            tokenizer=bundle.tokenizer,
            words=words_from(bundle.files, "a classifier that reads spelling") if is_spelled else None,
            ngrams=ngrams_file.from_files(bundle.files) if model.get("ngram_order") else None,
            digest=bundle.digest,
            precision=precision,
        )

    def __call__(self, x: Any, state: State | None = None, *, lengths: Any = None) -> tuple[np.ndarray, State]:
        """Read on, and say what the sequences are as far as they have come; of a model that `is_causal`.

        Args:    x: ids [T, B], words [T, B, 1 + N + W], or frames [T, B, I].
                 state: what the rows have seen, None: nothing.
                 lengths: integers [B] in 0..T; row b stops after lengths[b], and what lies behind is not read.
        Returns: log-probabilities of the labels, float32 [B, C]; the State at each row's length.
        Raises:  ShapeError, DtypeError, ArgumentError; StateError for another model's state.
        """
        x = self._frames(x) if self._size else self._rows_of_words(x) if self.words else integers(x, "ids", rank=2)
        T, B = x.shape[:2]
        state = self.initial_state(B) if state is None else state
        lengths = np.full(B, T) if lengths is None else checked_lengths(lengths, x)
        behind = (np.arange(T)[:, None] >= lengths).reshape(T, B, *[1] * (x.ndim - 2))
        x = np.where(behind, x.dtype.type(0), x)
        if not np.isfinite(x).all():
            raise ArgumentError("x holds a value that is not finite; fill it in, or leave it out")
        features, parts = self._forward(x, self._checked(state, B), lengths)
        return self._scored(features, parts), self._state(parts)

    def step(self, x: Any, state: State | None = None) -> tuple[np.ndarray, State]:
        """One step per row: ids [B], words [B] or frames [B, I] -> (log-probabilities [B, C], State).

        A single stream may give one id, or one word. The bits are those of `model([x], state)`.
        """
        if self.words is not None and not isinstance(x, np.ndarray):
            x = self.words.encode([x] if isinstance(x, str) else x)
        return self(np.asarray([x] if isinstance(x, int | np.integer) else x)[None], state)

    def evaluation_sample(self) -> tuple[list[np.ndarray], np.ndarray] | None:
        """The held-out sequences that the bundle keeps, and the numbers of their labels [N]; None: it keeps none.

        Of several labels, which of them each has: [N, C] of 0 and 1.

        Raises: JsonError, SchemaError for a file that is not what was written.
        """
        model = self.config["model"]
        return evaluation.sequences_from_files(
            self._files,
            num_labels=model["num_labels"],
            below=[model["vocab_size"]] if self.words is None else self.words.row_limits,
            input_size=self._size,
            has_several=self.is_multi_label,
        )

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
        return self._read_all(sequences, self._scored, width=len(self.labels))

    def embed(self, sequences: Sequence[Any]) -> np.ndarray:
        """A vector for every sequence: what its decision is read from, float32 [N, F], one block for each readout.

        Args:   sequences: texts, or ids [T] of the model's tokeniser, or where it has `words` lists of them, or what
                `words.encode` gives; of a model of frames, arrays [T, I]. T may be 0.
        Raises: DtypeError, ShapeError, ArgumentError naming the sequence; DataError for a text that is none.
        Cost:   64 sequences of similar length at a time.
        """
        return self._read_all(sequences, lambda features, _: features, width=self._head.input_size)

    def encode(self, sequence: Any, number: int = 0) -> np.ndarray:
        """What the layers read of a sequence: ids int64 [T], words [T, 1 + N + W], or float32 [T, I].

        Args: number: its name in a message.
        """
        if self.words is not None:
            is_text = isinstance(sequence, str | bytes)
            return self._encoded_words(self.words.cut(sequence) if is_text else sequence, number)
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

    def _read_all(
        self, sequences: Sequence[Any], of_rows: Callable[[np.ndarray, Parts], np.ndarray], *, width: int
    ) -> np.ndarray:
        """What `of_rows` makes of features [B, F] and parts, for all sequences, float32 [N, width]."""
        arrays = self._encoded(sequences)
        order = sorted(range(len(arrays)), key=lambda row: len(arrays[row]))
        found = np.empty((len(arrays), width), np.float32)
        for first in range(0, len(order), ROWS):
            rows = order[first : first + ROWS]
            x, lengths = padded([arrays[row] for row in rows])
            found[rows] = of_rows(*self._forward(x, self._initial_parts(len(rows)), lengths))
        return found

    def _initial_parts(self, batch: int) -> Parts:
        parts = list(super()._initial_parts(batch))
        if self._readout.parts:
            parts.append(self._readout.initial(batch))
        if self._ngrams is not None:
            parts.append(self._ngrams.initial(batch))
        return parts

    def _forward(self, x: np.ndarray, parts: Parts, lengths: np.ndarray) -> tuple[np.ndarray, Parts]:
        """ids [T, B] or frames [T, B, I] -> what the decision reads [B, F], and the parts at each row's length."""
        hidden, after = self._unroll(x, parts, lengths)
        last = np.concatenate([state[0] for state in after[-self._stack.num_directions :]], axis=1)
        kept = self._readout.advance(hidden, parts[len(after)] if self._readout.parts else (), lengths)
        features = self._readout.features(last, kept, [part for parts in after for part in parts])
        after = [*after, kept] if kept else after
        if self._ngrams is not None:
            after = [*after, self._ngrams.advance(x if self.words is None else x[..., 0], parts[-1], lengths)]
        return features, after

    def _scored(self, features: np.ndarray, parts: Parts) -> np.ndarray:
        """[B, F] and the parts beside it -> log-probabilities [B, C]: log-softmax of the logits, or each one's
        log-sigmoid.
        """
        logits = self._head(features)
        if self._ngrams is not None:
            logits = logits + self._ngrams.scores(parts[-1])
        return log_sigmoid(logits) if self.is_multi_label else heads.log_softmax(logits)
