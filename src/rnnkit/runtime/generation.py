"""Text out of a language model: tokens drawn one after the other, turned into pieces of text as they come."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnkit.errors import ArgumentError, DtypeError
from rnnkit.kernels.decode import SamplingLoop, sample
from rnnkit.kernels.recurrent import Layer
from rnnkit.runtime.likelihood import row_limit
from rnnkit.runtime.masks import Mask
from rnnkit.runtime.softmax import FullSoftmax

if TYPE_CHECKING:
    from rnnkit.runtime.language_model import LanguageModel
    from rnnkit.runtime.stack import Parts
    from rnnkit.state import State

MAX_BATCH = 256  # prompts side by side
_MAX_PROMPT_ROWS = 8192  # features held at a time while prompts are read
_FEW_TOKENS = 4  # read step by step: whole sequences wake torch's workers, who then spin where sampling's would work
_MAX_DRAW = 64  # tokens drawn at a time, at most
_DRAW_S = 0.02  # and a draw that took longer is not followed by a larger one: pieces come as they are drawn


@dataclass(frozen=True, kw_only=True)
class Request:
    """What sampling and beam search are both asked for."""

    max_new_tokens: int
    no_repeat_ngram_size: int
    prefix: str
    stop: tuple[str, ...]
    regex: str | None

    @property
    def is_masked(self) -> bool:
        """Whether some tokens may not come."""
        return self.no_repeat_ngram_size > 0 or self.regex is not None

    def check_request(self) -> None:
        """Refuse what is out of range now, not when the first token is drawn. Raises: ArgumentError, DtypeError."""
        for name in ("max_new_tokens", "no_repeat_ngram_size"):
            value = getattr(self, name)
            if type(value) is not int or value < 0:
                raise ArgumentError(f"{name} is {value!r}; give an integer of 0 or more")
        if not all(isinstance(text, str) and text for text in self.stop):
            raise ArgumentError(f"stop is {list(self.stop)}; give strings that are not empty")
        if not isinstance(self.prefix, str):
            raise DtypeError(f"prefix must be a str, got {type(self.prefix).__name__}; decode it first")
        if self.stop and self.regex is not None:
            raise ArgumentError(f"stop and the regex {self.regex!r} both say where a text ends; give one of them")
        for text in self.stop:
            if text in self.prefix:
                raise ArgumentError(f"prefix holds the stop string {text!r}: nothing could follow; take it out of one")


@dataclass(frozen=True, kw_only=True)
class Options(Request):
    """What `LanguageModel.generate` was asked for."""

    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repetition_penalty: float
    seed: int
    first_step: int

    def check(self, stream: int) -> None:
        """As `check_request`, and for the options of sampling."""
        self.check_request()
        if type(self.first_step) is not int or not 0 <= self.first_step < 2**62:
            raise ArgumentError(f"first_step is {self.first_step!r}; give the number of tokens drawn before")
        sample(np.zeros((1, 1), np.float32), streams=_streams(stream), step=0, **self.sampling())

    def sampling(self) -> dict[str, Any]:
        """Those of `rnnkit.kernels.decode.sample`."""
        names = ("seed", "temperature", "top_k", "top_p", "min_p", "repetition_penalty")
        return {name: getattr(self, name) for name in names}


def mask_of(model: LanguageModel, ids: np.ndarray, options: Request, *, number: int) -> Mask | None:
    """What is asked of the tokens after `ids`, of prompt and prefix; None where any may come."""
    if not options.is_masked:
        return None
    return Mask(
        ids,
        number=number,
        vocab_size=model.vocab_size,
        ngram_size=options.no_repeat_ngram_size,
        grammar=None if options.regex is None else model._grammar(options.regex),
        prefix=options.prefix,
        max_new_tokens=options.max_new_tokens,
    )


def pieces(model: LanguageModel, prompt: str, options: Options, *, stream: int, state: State | None) -> Iterator[str]:
    """The continuation of one prompt, piece by piece."""
    (row,) = _rows(model, [prompt], options, stream=stream, state=state)
    return (piece for _, piece in _run(model, [row], options))


def texts(
    model: LanguageModel, prompts: Sequence[str], options: Options, *, stream: int, state: State | None
) -> list[str]:
    """The continuations of several prompts."""
    rows = _rows(model, prompts, options, stream=stream, state=state)
    found: list[list[str]] = [[] for _ in rows]
    batch = min(MAX_BATCH, row_limit(model.vocab_size))
    for first in range(0, len(rows), batch):
        for number, piece in _run(model, rows[first : first + batch], options):
            found[first + number].append(piece)
    return ["".join(parts) for parts in found]


class Start:
    """What a prompt begins with: `ids`, of it and the prefix, and the state `before` them, where it begins no document.

    Raises: DtypeError, DataError for a prompt that is no text; ArgumentError for one that must not be empty.
    """

    def __init__(
        self, model: LanguageModel, prompt: str, options: Request, *, number: int, state: Parts | None
    ) -> None:
        if not isinstance(prompt, str):
            raise DtypeError(f"a prompt must be a str, got {type(prompt).__name__}; decode it first")
        self.ids = model.tokenizer.encode(prompt + options.prefix)
        self.before = None if state is None else [tuple(array[number] for array in arrays) for arrays in state]
        if self.before is not None and not len(self.ids) and model._stack.is_residual:
            raise ArgumentError(
                f"prompt {number} is empty, and the state of residual layers does not hold what the next token is "
                "scored from; read one token less into the state and give it as the prompt"
            )


def read_starts(model: LanguageModel, starts: Sequence[Start]) -> tuple[np.ndarray, Parts]:
    """`read_prompts`, of prompts that all begin documents, or all go on from states."""
    before = [start.before for start in starts if start.before is not None]
    stacked = [tuple(map(np.stack, zip(*arrays, strict=True))) for arrays in zip(*before, strict=True)]
    return read_prompts(model, [start.ids for start in starts], stacked or None)


def read_prompts(
    model: LanguageModel, prompts: Sequence[np.ndarray], before: Parts | None = None
) -> tuple[np.ndarray, Parts]:
    """Read each prompt's ids [n], after the begin token or after what gave the state `before`.

    Returns: the features of the last token [B, F], and the state. Those of a row that reads nothing are its state's h.
    """
    start = [model.begin_id] if before is None else []
    lengths = np.array([len(start) + len(ids) for ids in prompts])
    tokens = np.zeros((int(lengths.max()), len(prompts)), np.int64)
    for row, ids in enumerate(prompts):
        tokens[: lengths[row], row] = [*start, *ids]
    parts = model._initial_parts(len(prompts)) if before is None else before
    if 0 < len(tokens) <= _FEW_TOKENS and lengths.min() == len(tokens):
        features = parts[-1][0]
        for ids in tokens:
            features, parts = model._step(ids, parts)
        return features, parts
    places = [np.flatnonzero(lengths == 0)]
    found = [parts[-1][0][places[0]]]
    window = max(1, _MAX_PROMPT_ROWS // len(prompts))
    for first in range(0, len(tokens), window):
        piece = tokens[first : first + window]
        counts = np.clip(lengths - first, 0, len(piece))
        features, parts = model._forward(piece, parts, lengths=counts)
        ends = np.flatnonzero((counts > 0) & (lengths <= first + len(piece)))
        found.append(features[counts[ends] - 1, ends])
        places.append(ends)
    return np.concatenate(found)[np.argsort(np.concatenate(places))], parts


class Row:
    """One prompt, its random stream, and the text after it that is not certain yet."""

    def __init__(
        self,
        model: LanguageModel,
        start: Start,
        options: Options,
        *,
        stream: int,
        number: int,
        tail: Sequence[int] = (),  # the last ids before `start`, where it goes on with a text
    ) -> None:
        self.start, self.stream = start, stream
        self.is_done = False
        self._drawn: list[int] = []  # kept where there is a mask
        self._mask = mask_of(model, start.ids, options, number=number)
        if self._mask is not None:
            self._place = self._mask.start
            self.is_done = self._mask.is_whole(self._place, ())
        self._stop = options.stop
        self._held = ""  # the end of the text so far, as long as it may be the beginning of a stop string
        self._decoder = model.tokenizer.stream_decoder()
        self._decoder.push_all([*tail, *start.ids.tolist()])  # the first new word has to know what stands before it

    def begin(self, prefix: str) -> str:
        """The text that is certain before anything is drawn."""
        return self._certain(prefix) if self._stop else prefix

    def push(self, tokens: list[int]) -> str:
        """Take the next tokens; the text that became certain by them. What comes after its end is left alone."""
        if not self._stop and self._mask is None:
            return self._decoder.push_all(tokens)
        certain = ""
        for token in tokens:
            if self._mask is not None and self._mask.ends_at(self._place)[token]:
                self.is_done = True
                break
            piece = self._decoder.push(token)
            certain += self._certain(self._held + piece) if self._stop else piece
            if self._mask is not None:
                self._drawn.append(token)
                self._place = self._mask.after(self._place, token)
                self.is_done = self.is_done or self._mask.is_whole(self._place, self._drawn)
            if self.is_done:
                break
        return certain

    def allowed(self) -> np.ndarray:
        """The tokens that may come next, or end the text; bool [V]. Raises: ArgumentError where there is none."""
        assert self._mask is not None
        allowed = self._mask.may_follow(self._place, self._drawn) | self._mask.ends_at(self._place)
        if not allowed.any():
            raise self._mask.nothing_left(self._drawn)
        return allowed

    def finish(self) -> str:
        """No token follows: the rest of the text."""
        rest = self._certain(self._held + self._decoder.flush())
        return rest if self.is_done else rest + self._held

    def _certain(self, text: str) -> str:
        ends = [at for stop in self._stop if (at := text.find(stop)) >= 0]
        if ends:
            self.is_done = True
            return text[: min(ends)]
        held = max((_overlap(text, stop) for stop in self._stop), default=0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]


def _rows(
    model: LanguageModel, prompts: Sequence[str], options: Options, *, stream: int, state: State | None
) -> list[Row]:
    options.check(stream)
    options.check(stream + max(len(prompts) - 1, 0))
    parts = None if state is None else model._checked(state, len(prompts))
    rows = []
    for number, prompt in enumerate(prompts):
        start = Start(model, prompt, options, number=number, state=parts)
        rows.append(Row(model, start, options, stream=stream + number, number=number))
    return rows


def _run(model: LanguageModel, rows: Sequence[Row], options: Options) -> Iterator[tuple[int, str]]:
    """Draw tokens for all rows in step; yields (number of the row, piece of its text)."""
    for number, row in enumerate(rows):
        if piece := row.begin(options.prefix):
            yield number, piece
    live = [number for number, row in enumerate(rows) if not row.is_done]
    left = options.max_new_tokens
    count, most = 1, 1 if options.is_masked else _MAX_DRAW  # the first token at once
    loop = _start(model, [rows[number] for number in live], options) if live and left else None
    while loop is not None and live and left:
        start = time.perf_counter()
        allowed = np.stack([rows[number].allowed() for number in live]) if options.is_masked else None
        drawn = loop.draw(min(count, left), allowed)
        if time.perf_counter() - start < _DRAW_S:
            count = min(2 * count, most)
        left -= len(drawn)
        for number, tokens in zip(live, drawn.T.tolist(), strict=True):
            if piece := rows[number].push(tokens):
                yield number, piece
        keep = [place for place, number in enumerate(live) if not rows[number].is_done]
        if len(keep) < len(live):
            live = [live[place] for place in keep]
            loop.keep(keep)
    for number in live:
        if piece := rows[number].finish():
            yield number, piece


def _start(model: LanguageModel, rows: Sequence[Row], options: Options) -> SamplingLoop | _StepLoop:
    """Read the prompts; what draws the tokens after them."""
    features, parts = read_starts(model, [row.start for row in rows])
    previous = None if options.repetition_penalty == 1.0 else [np.unique(row.start.ids) for row in rows]
    streams, softmax, stack = _streams(*(row.stream for row in rows)), model._softmax, model._stack
    is_native = all(isinstance(layer, Layer) for layer in stack.layers)
    if not isinstance(softmax, FullSoftmax) or not is_native or stack.is_residual:
        return _StepLoop(model, features, parts, streams, previous, options)
    return SamplingLoop(
        stack.layers,
        scores=softmax.scores,
        projection=softmax.projection,
        table=stack.table,
        state=parts,
        streams=streams,
        first_step=options.first_step,
        previous=previous,
        **options.sampling(),
    )


class _StepLoop:
    """`SamplingLoop` by Python: for an adaptive softmax, residual layers, a cell of one's own."""

    def __init__(
        self,
        model: LanguageModel,
        features: np.ndarray,  # [B, F] of the last tokens read
        parts: Parts,
        streams: np.ndarray,
        previous: list[np.ndarray] | None,
        options: Options,
    ) -> None:
        self._model, self._features, self._parts = model, features, parts
        self._streams, self._previous, self._options = streams, previous, options.sampling()
        self._step = options.first_step
        self._tokens: np.ndarray | None = None  # [B] drawn and not read

    def draw(self, count: int, allowed: np.ndarray | None = None) -> np.ndarray:
        drawn = []
        for _ in range(count):
            if self._tokens is not None:
                self._features, self._parts = self._model._step(self._tokens, self._parts)
            logits = self._model._softmax.logits(self._features)
            if allowed is not None:
                logits[~allowed] = -np.inf
            self._tokens = sample(
                logits, streams=self._streams, step=self._step, previous=self._previous, **self._options
            )
            drawn.append(self._tokens)
            self._step += 1
            if self._previous is not None:
                self._previous = [np.append(ids, id) for ids, id in zip(self._previous, self._tokens, strict=True)]
        return np.stack(drawn)

    def keep(self, rows: list[int]) -> None:
        assert self._tokens is not None
        self._streams, self._tokens = self._streams[rows], self._tokens[rows]
        self._parts = [tuple(array[rows] for array in arrays) for arrays in self._parts]
        if self._previous is not None:
            self._previous = [self._previous[row] for row in rows]


def _streams(*numbers: int) -> np.ndarray:
    if not all(type(number) is int and 0 <= number < 2**63 for number in numbers):
        raise ArgumentError(f"stream is {numbers[-1]!r}; give an integer from 0 to 2^63 - 1")
    return np.array(numbers, np.int64)


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` that is a beginning of `stop` and not all of it."""
    return next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0)
