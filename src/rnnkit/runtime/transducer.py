"""A trained tagger without torch: sequences in, a label for every step out; of frames also several, or numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from rnnkit.bundle import Bundle, evaluation
from rnnkit.bundle import labels as labels_file
from rnnkit.errors import ArgumentError, DataError, SchemaError, ShapeError
from rnnkit.kernels import heads
from rnnkit.metrics.chain import Chain, best_path, held_to, log_marginals
from rnnkit.metrics.frames import TargetKind
from rnnkit.metrics.spans import OUTSIDE
from rnnkit.runtime.frame_cnn import FrameCnn, brightness
from rnnkit.runtime.reader import ROWS, Reader, log_sigmoid, padded, words_from
from rnnkit.state import State
from rnnkit.text import WordReader


class Transducer(Reader):
    """Reads sequences and says something at every step; the equations are in `rnnkit.models.transducer`.

        model = Transducer.load("runs/pos")
        model.predict([["The", "cat", "sat"]])               # [['DET', 'NOUN', 'VERB']]
        log_probs, state = model.step([["The"]])             # where it reads forwards only: one word, [1, C]

    What it says of a step is one label, or of frames also any of several, or numbers: `targets`.

    A sequence's result is the same, bit for bit, whatever stands beside it in the call; and where the model streams,
    a whole sequence, any chunks of it and single steps give the same bits.
    """

    kind = "transducer"
    _noun = "tagger"

    def __init__(
        self,
        config: Mapping[str, Any],
        tensors: Mapping[str, np.ndarray],
        *,
        labels: Sequence[str],
        words: WordReader | None = None,
        digest: str | None = None,
        precision: str | None = None,
    ) -> None:
        """Of a configuration and its float32 arrays in memory, for example those of `export`.

        Args:   labels: what the outputs stand for.  words: for a model of words.  digest: of the bundle they come from;
                None: the one that `save` would give.  precision: as in `load`.
        Raises: SchemaError, TensorError for parts that do not belong together.
        """
        super().__init__(config, tensors, None, labels=labels, words=words, digest=digest, precision=precision)
        model = self.config["model"]
        picture = tuple(model.get("frame_shape", ()))
        self._cnn = FrameCnn(picture, self._weights, self.precision) if picture else None
        self._chain = self._chain_of()

    @classmethod
    def _of(cls, bundle: Bundle, precision: str | None) -> Self:
        named, _ = labels_file.from_files(bundle.files, num_labels=bundle.config["model"]["num_labels"])
        given: Any = {"labels": named, "digest": bundle.digest, "precision": precision}
        if bundle.config["model"]["vocab_size"]:
            given["words"] = words_from(bundle.files, "a tagger of words")
        return cls(bundle.config, bundle.tensors, **given)

    @property
    def targets(self) -> TargetKind:
        """What it says of a step: "label", one of `labels`; "labels", each there or not; "numbers", one for each."""
        return self.config["model"].get("targets", "label")

    @property
    def input_size(self) -> int:
        """The numbers I of a frame; 0: it reads words."""
        return self._size

    @property
    def target_deviation(self) -> np.ndarray:
        """[K] of numbers: their standard deviation where it was trained. Raises: ArgumentError of labels."""
        if self.targets != "numbers":
            raise ArgumentError("labels have no deviation; only a model of numbers has")
        return self._tensors["target_scale.deviation"]

    @property
    def num_parameters(self) -> int:
        is_scaled = self.targets == "numbers"  # mean and deviation are counted, not learned
        return super().num_parameters - 2 * len(self.labels) * is_scaled

    @property
    def _reads_words(self) -> bool:
        return not self._size

    @property
    def is_causal(self) -> bool:
        """Whether it can read step by step: not backwards, and no later label changes an earlier one."""
        return super().is_causal and not self.config["model"]["crf"]

    def initial_state(self, batch: int = 1) -> State:
        """The state of `batch` streams that have seen nothing. Raises: ArgumentError of a model that cannot go on."""
        if self.config["model"]["crf"]:
            raise ArgumentError("this tagger scores whole sequences of labels, so no state can go on; use predict")
        return super().initial_state(batch)

    # ---- whole sequences ---------------------------------------------------------------------------------------------

    def predict(self, sequences: Sequence[Any]) -> list[Any]:
        """The labels of every sequence: the likeliest sequence of them that the model's scheme allows.

        Without scheme and CRF the likeliest label of each step. Where training has fitted it (`outside_bias`), the
        score of O is lowered first; that of `log_probs` is not. Of several labels, for each step the list of those that
        are likelier there than not; of numbers, float32 [T, K]. Args, Raises: as `log_probs`.
        """
        scored = self._scores(sequences)
        if self.targets == "numbers":
            return scored
        if self.targets == "labels":
            return [[self.present(of_step) for of_step in scores] for scores in scored]
        return self.decide(scored)

    def decide(self, scored: Sequence[np.ndarray]) -> list[list[str]]:
        """The labels that scores [T, C] stand for, as `predict`: log-probabilities, or of a CRF its own scores."""
        if self._chain is None:
            return [[self.labels[best] for best in scores.argmax(1)] for scores in scored]
        if bias := self.config["model"].get("outside_bias", 0.0):
            scored = [scores.copy() for scores in scored]
            for scores in scored:
                scores[:, self.labels.index(OUTSIDE)] -= np.float32(bias)
        return [[self.labels[best] for best in best_path(scores, self._chain)] for scores in scored]

    def log_probs(self, sequences: Sequence[Any]) -> list[np.ndarray]:
        """Natural logarithms of each label's probability at each step, float32 [T, C] for every sequence.

        Under a CRF those of the label given the whole sequence (its marginals). Of several labels, that each is there.

        Args:   sequences: lists of words, or what `words.encode` gives; of frames, [T, I]; of pictures [T, height,
                width, channels], uint8 or floats of 0 to 1. T may be 0.
        Raises: DtypeError, ShapeError, ArgumentError naming the sequence; ArgumentError of a model of numbers.
        Cost:   64 sequences of similar length at a time.
        """
        if self.targets == "numbers":
            raise ArgumentError("a model of numbers gives no probabilities; use predict")
        return self.normalised(self._scores(sequences))

    def normalised(self, scored: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The log-probabilities that scores [T, C] stand for: they themselves, or of a CRF its marginals."""
        if not self.config["model"]["crf"]:
            return list(scored)
        assert self._chain is not None
        return [log_marginals(scores, self._chain) for scores in scored]

    @property
    def chain(self) -> Chain | None:
        """The scores between labels that paths are decided with, −inf where one may not stand; None: there are none."""
        return self._chain

    def present(self, log_probs: np.ndarray) -> list[str]:
        """Of several labels those that are likelier there than not. Args: log_probs: of one step, [K]."""
        return [self.labels[at] for at in np.flatnonzero(log_probs > np.log(0.5))]

    def encode(self, sequence: Any, number: int = 0) -> np.ndarray:
        """What the layers read of a sequence: words int64 [T] or [T, 1 + N + W], float32 [T, I], or pictures."""
        if self._cnn is not None:
            pictures = np.asarray(sequence)
            if pictures.ndim != 4:
                raise ShapeError(
                    f"sequence {number} has the shape {list(pictures.shape)}, wanted {['T', *self._cnn.shape]}"
                )
            return self._cnn.checked(pictures, f"sequence {number}")
        if self._size:
            return self._series(sequence, number)
        return self._encoded_words(sequence, number)

    def _scores(self, sequences: Sequence[Any]) -> list[np.ndarray]:
        """What `_outputs` gives of each: log-probabilities, under a CRF the logits themselves, or numbers."""
        arrays = self._encoded(sequences)
        if len({array.dtype for array in arrays}) > 1:  # pictures of both kinds
            arrays = [brightness(array) for array in arrays]
        order = sorted(range(len(arrays)), key=lambda row: len(arrays[row]))
        result: list[np.ndarray] = [np.empty(0)] * len(arrays)
        for first in range(0, len(order), ROWS):
            rows = order[first : first + ROWS]
            inputs, lengths = padded([arrays[row] for row in rows])
            scores = self._outputs(self._unroll(inputs, self._initial_parts(len(rows)), lengths)[0])
            for column, row in enumerate(rows):
                result[row] = np.ascontiguousarray(scores[: lengths[column], column])
        return result

    def _outputs(self, hidden: np.ndarray) -> np.ndarray:
        """[T, B, F] -> [T, B, C]."""
        T, B, F = hidden.shape
        found = self._head(hidden.reshape(T * B, F))
        if self.targets == "numbers":
            found = self._tensors["target_scale.mean"] + self._tensors["target_scale.deviation"] * found
        elif self.targets == "labels":
            found = log_sigmoid(found)
        elif not self.config["model"]["crf"]:
            found = heads.log_softmax(found)
        return found.reshape(T, B, len(self.labels))

    def evaluation_sample(self) -> tuple[list[Any], list[np.ndarray]] | None:
        """The held-out sequences that the bundle keeps, as `predict` takes them, and the numbers of their labels.

        None: it keeps none.  Raises: JsonError, SchemaError for a file that is not what was written.
        """
        return evaluation.steps_from_files(self._files, num_labels=len(self.labels), input_size=self._size)

    # ---- step by step ------------------------------------------------------------------------------------------------

    def __call__(self, inputs: Any, state: State | None = None) -> tuple[np.ndarray, State]:
        """Read B sequences, or the next chunk of each.

        Args:    inputs: what `encode` gives for each, side by side: an array [T, B, …]; or a list of B sequences.
                 state: what the rows have read before, None: nothing.
        Returns: log-probabilities [T, B, C], of several labels that each is there, or numbers; the State after the last
                 step.
        Raises:  ArgumentError of a model that does not stream; ShapeError; StateError for another model's state.
        """
        if not isinstance(inputs, np.ndarray):
            rows = self._encoded(inputs)
            if not rows:
                raise ShapeError("inputs is an empty list; give a sequence for each of the streams, one at least")
            if len({len(row) for row in rows}) > 1:
                raise ShapeError(f"the rows have {[len(row) for row in rows]} steps; give each row the same number")
            inputs = np.stack([brightness(row) for row in rows] if self._cnn is not None else rows, axis=1)
        if self._cnn is not None:
            if inputs.ndim != 5:
                wanted = ["T", "B", *self._cnn.shape]
                raise ShapeError(f"inputs has the shape {list(inputs.shape)}, wanted are pictures {wanted}")
            inputs = self._cnn.checked(inputs, "inputs")
        elif self._size:
            inputs = self._frames(inputs)
        else:
            inputs = self._rows_of_words(inputs)
        state = self.initial_state(inputs.shape[1]) if state is None else state
        if not np.isfinite(inputs).all():
            raise ArgumentError("inputs hold a value that is not finite; fill it in, or leave it out")
        hidden, after = self._unroll(inputs, self._checked(state, inputs.shape[1]), None)
        return self._outputs(hidden), self._state(after)

    def step(self, inputs: Any, state: State | None = None) -> tuple[np.ndarray, State]:
        """One step of B rows, as `__call__` of T = 1.

        Args:    inputs: words, frames [B, I] or pictures [B, height, width, channels].
        Returns: what `__call__` says, [B, C]; State.
        """
        rows = [[word] for word in inputs] if not self._size else np.asarray(inputs)[None]
        log_probs, after = self(rows, state)
        return log_probs[0], after

    # ---- parts -------------------------------------------------------------------------------------------------------

    def _entering(self, x: np.ndarray) -> np.ndarray:
        return super()._entering(x) if self._cnn is None else self._cnn(super()._entering(brightness(x)))

    def _chain_of(self) -> Chain | None:
        """What predictions are held to: the CRF's scores, and −inf where the scheme allows nothing."""
        model = self.config["model"]
        scores = Chain(*(self._weights[f"crf.{name}"] for name in Chain._fields)) if model["crf"] else None
        try:
            return held_to(self.labels, model["scheme"], scores)
        except DataError as error:
            raise SchemaError(str(error)) from None
