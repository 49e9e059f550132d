"""Many streams of one language model, advanced side by side: what a server does between two looks at its clients.

    streams = SideBySide(model)
    reading = Reading(streams.start, model.tokenizer.encode("ROMEO:"))
    writing = Writing(streams, other_state, prompt="", seed=1, max_new_tokens=20)
    while not (reading.is_done and writing.is_done):
        streams.advance([work for work in (reading, writing) if not work.is_done])
        print(writing.take())                    # the text that became certain

A stream's bits are those that it would have alone: of `LanguageModel.step`, `__call__` and `generate`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnkit.errors import ArgumentError, RnnkitError
from rnnkit.kernels.decode import sample
from rnnkit.runtime.bundled import integers
from rnnkit.runtime.generation import Options, Row, Start
from rnnkit.runtime.language_model import LanguageModel
from rnnkit.runtime.stack import Parts
from rnnkit.state import State

CHUNK = 64  # tokens of one stream that are read at a time: others wait no longer than this takes
TAIL = 4  # ids that a decoder is told of what stands before it: no character has more bytes
_STREAM = np.zeros(1, np.int64)  # every session draws from stream 0 of its seed
_WINDOW = 4096  # tokens read at a time, of all streams


class Reading:
    """A stream that reads `ids` after its state `vector`.

    Raises: ArgumentError, DtypeError, ShapeError for ids that are none of the model's.
    """

    def __init__(self, streams: SideBySide, vector: np.ndarray, ids: Any) -> None:
        self.vector = vector
        """The state so far, float32 [N]; see `SideBySide.state`."""
        self.unread = integers(ids, "ids", rank=1)
        size = streams.model.vocab_size
        if len(self.unread) and not 0 <= int(self.unread.min()) <= int(self.unread.max()) < size:
            raise ArgumentError(f"ids hold {self.unread.min()} to {self.unread.max()}; the model has 0 to {size - 1}")
        self.error: RnnkitError | None = None
        self.num_read = 0

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do, or nothing can be done."""
        return self.error is not None or not len(self.unread)

    def draw(self, streams: SideBySide) -> None:
        """Choose what to read next."""


class Writing(Reading):
    """A stream that reads a prompt and then what it draws itself.

    The new text is that of `model.generate(prompt, …, state=…)`; the state it ends in has read all of it, but for a
    token that ended the text.

    Args: tail: the last ids, at most `TAIL`, that `vector` has read: the first new word has to know them.
        options: of `LanguageModel.generate`.
    Raises: as `LanguageModel.generate`.
    """

    def __init__(
        self, streams: SideBySide, vector: np.ndarray, options: Options, *, prompt: str = "", tail: Sequence[int] = ()
    ) -> None:
        options.check(0)
        start = Start(streams.model, prompt, options, number=0, state=None)
        super().__init__(streams, vector, start.ids)
        self.options = options
        self.drawn: list[int] = []
        self.prompt_ids: list[int] = start.ids.tolist()
        self._row = Row(streams.model, start, options, stream=0, number=0, tail=tail)
        self._text = self._row.begin(options.prefix)
        self._is_written = False
        if not options.max_new_tokens or self._row.is_done:
            self._finish()

    @property
    def is_done(self) -> bool:
        return self.error is not None or (self._is_written and not len(self.unread))

    def take(self) -> str:
        """The text that became certain since the last call."""
        text, self._text = self._text, ""
        return text

    def draw(self, streams: SideBySide) -> None:
        if self._is_written or len(self.unread):
            return
        try:
            token = self._drawn_token(streams)
        except RnnkitError as error:
            self.error = error
            return
        self._text += self._row.push([token])
        if self._row.is_done:
            self._finish()
            return
        self.drawn.append(token)
        self.unread = np.array([token])
        if len(self.drawn) == self.options.max_new_tokens:
            self._finish()

    def _drawn_token(self, streams: SideBySide) -> int:
        logits = streams.logits(self.vector)
        if self.options.is_masked:
            logits[0, ~self._row.allowed()] = -np.inf
        before = None if self.options.repetition_penalty == 1.0 else [np.array([*self.prompt_ids, *self.drawn])]
        step = self.options.first_step + len(self.drawn)
        return int(sample(logits, streams=_STREAM, step=step, previous=before, **self.options.sampling())[0])

    def _finish(self) -> None:
        self._text += self._row.finish()
        self._is_written = True


class SideBySide:
    """Advances streams of `model` whose states are vectors: all parts of all layers behind each other, float32 [N]."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        self._sizes = [[width for _, width in layer] for layer in model._parts]
        self.start: np.ndarray = self._joined(model._step(np.array([model.begin_id]), model._initial_parts(1))[1])[0]
        """The state of a text that begins: it has read the begin token."""

    def advance(self, works: Sequence[Reading]) -> None:
        """Let each stream draw a token where it may, and read: that token, or up to `CHUNK` of those given.

        A stream that cannot go on has its `error`; the others go on.
        """
        for work in works:
            work.draw(self)
        self._read([work for work in works if len(work.unread) == 1 and work.error is None], 1)
        long = [work for work in works if len(work.unread) > 1 and work.error is None]
        for first in range(0, len(long), _WINDOW // CHUNK):
            self._read(long[first : first + _WINDOW // CHUNK], CHUNK)

    def state(self, vector: np.ndarray) -> State:
        """A vector as a State of one row."""
        return self.model._state(self._parted(vector[None]))

    def vector(self, state: State) -> np.ndarray:
        """A State of one row as a vector. Raises: StateError, ShapeError for another model's."""
        return self._joined(self.model._checked(state, 1))[0]

    def hidden(self, vector: np.ndarray) -> list[np.ndarray]:
        """The h of every layer."""
        return [parts[0][0] for parts in self._parted(vector[None])]

    def logits(self, vectors: np.ndarray) -> np.ndarray:
        """[N] or [B, N] -> the scores of the next token, float32 [B, V]."""
        return self.model._softmax.logits(self._features(np.atleast_2d(vectors)))

    def log_probs(self, vectors: np.ndarray) -> np.ndarray:
        """[N] or [B, N] -> log-probabilities of the next token, float32 [B, V]; the bits of `model.step`."""
        return self.model._softmax.log_probs(self._features(np.atleast_2d(vectors)))

    def _features(self, vectors: np.ndarray) -> np.ndarray:
        """What the softmax reads: the last h, of residual layers the sum of all, in their order."""
        parts = self._parted(vectors)
        if not self.model._stack.is_residual:
            return parts[-1][0]
        features = parts[0][0]
        for part in parts[1:]:
            features = features + part[0]
        return features

    def _read(self, works: Sequence[Reading], count: int) -> None:
        if not works:
            return
        parts = self._parted(np.stack([work.vector for work in works]))
        if count == 1:
            _, after = self.model._step(np.array([work.unread[0] for work in works]), parts)
        else:
            lengths = np.array([min(count, len(work.unread)) for work in works])
            ids = np.zeros((int(lengths.max()), len(works)), np.int64)
            for row, work in enumerate(works):
                ids[: lengths[row], row] = work.unread[: lengths[row]]
            _, after = self.model._forward(ids, parts, lengths=lengths)
        vectors = self._joined(after)
        for work, vector in zip(works, vectors, strict=True):
            work.vector = vector.copy()  # a view would keep the whole batch in memory
            work.num_read += min(count, len(work.unread))
            work.unread = work.unread[count:]

    def _joined(self, parts: Parts) -> np.ndarray:
        return np.concatenate([array for layer in parts for array in layer], axis=1)

    def _parted(self, vectors: np.ndarray) -> list[tuple[np.ndarray, ...]]:
        parts, at = [], 0
        for widths in self._sizes:
            layer = []
            for width in widths:
                layer.append(np.ascontiguousarray(vectors[:, at : at + width]))
                at += width
            parts.append(tuple(layer))
        return parts
