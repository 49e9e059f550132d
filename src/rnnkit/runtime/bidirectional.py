"""A trained bidirectional language model without torch: every token of a text judged by all the others around it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import numpy as np

from rnnkit.bundle import evaluation
from rnnkit.errors import ArgumentError
from rnnkit.kernels import heads
from rnnkit.metrics import PseudoLikelihoodScore
from rnnkit.runtime import likelihood
from rnnkit.runtime.bundled import BundledModel, checked_lengths, integers
from rnnkit.runtime.softmax import build_softmax
from rnnkit.runtime.stack import Parts, Stack
from rnnkit.state import State
from rnnkit.text import Tokenizer

_WHY = "this language model also reads from the end, so"


class BidirectionalLanguageModel(BundledModel):
    """Layers over what is before a token, others over what is after it, one softmax; see `rnnkit.models.Cloze`.

        model = BidirectionalLanguageModel.load("runs/both")
        model.score(text).pseudo_perplexity
        model.fill("the students opened their", "and began to read", k=5)    # [("books", 0.31), …]
        model.embed(["a text"])                                              # [1, 2H]

    Its figures are no probabilities of texts: Σ log p(w_t | all others) is a pseudo-log-likelihood, lower for a text
    that repeats itself than any model could honestly make it. So there is no perplexity here, and nothing to draw from.
    """

    kind = "bidirectional_language_model"

    def _prepare(self, tokenizer: Tokenizer | None) -> None:
        if tokenizer is None:
            raise ArgumentError("a language model reads text by its tokeniser; pass tokenizer=")
        self.tokenizer = tokenizer
        self.begin_id = tokenizer.begin_id
        model = self.config["model"]
        self.vocab_size: int = model["vocab_size"]
        self._softmax = build_softmax(model, self._weights, self.precision)
        self._before, self._after = (
            Stack(model, self._weights, self.precision, prefix=prefix) for prefix in ("recurrent.", "reverse.")
        )
        merge = (self._weights[f"merge.{name}"] for name in ("weight", "bias"))
        self._merge = heads.PackedLinear(*merge, precision=self.precision)

    def __call__(self, ids: Any, *, lengths: Any = None) -> np.ndarray:
        """The log-probabilities of what could stand at each place of whole texts, given the rest of them.

        Args:    ids: integers [T, B].  lengths: integers [B] in 0..T; what lies behind is not read.
        Returns: float32 [T, B, V], 0 behind a row's length. What stands at [t, b] does not depend on ids[t, b], nor on
                 another row, in any bit.
        Raises:  ShapeError, DtypeError, ArgumentError.
        """
        ids = integers(ids, "ids", rank=2)
        T, B = ids.shape
        lengths = np.full(B, T) if lengths is None else checked_lengths(lengths, ids)
        is_read = np.arange(T)[:, None] < lengths
        log_probs = np.zeros((T, B, self.vocab_size), np.float32)
        if is_read.any():
            likelihood.checked_range(ids[is_read], self.vocab_size)
            before, after = (np.full((T, B), self.begin_id, np.int64) for _ in range(2))
            before[1:], after[:-1] = ids[:-1], ids[1:]
            after[lengths[lengths > 0] - 1, np.flatnonzero(lengths)] = self.begin_id
            features, _, _ = self._features(
                np.where(is_read, before, 0), _turned(np.where(is_read, after, 0), lengths), lengths,
                self._before.initial(B), self._after.initial(B),
            )  # fmt: skip
            log_probs[is_read] = self._log_probs(features[is_read])
        return log_probs

    def nll(self, ids: Any, *, document_starts: Any = None) -> np.ndarray:
        """What each token of a text costs: −log p(ids[t] | all others of its document), in nats.

        Args:    ids: integers [N].  document_starts: rising positions in 0..N-1; None: one document.
        Returns: float64 [N].
        Cost:    the layers over what is after are run twice, as documents are read in windows whatever their length:
                 about 64 MB of scores at a time, and one state for each window.
        """
        ids = np.asanyarray(ids)
        out = np.empty(ids.shape, np.float64)
        for places, values in self._costs(ids, document_starts):
            out[places] = values
        return out

    def total_nll(self, ids: Any, document_starts: Any = None) -> float:
        """The sum of `nll`, without holding it: a memory-mapped text may be larger than memory."""
        return sum((float(values.sum()) for _, values in self._costs(np.asanyarray(ids), document_starts)), 0.0)

    def score(self, text: str | bytes, *, reset_per_line: bool = False) -> PseudoLikelihoodScore:
        """How well each token of a text is told from all others of its document, or (`reset_per_line`) of its line.

        An unknown token costs `tokenizer.unknown_nats` beside its own probability, so that vocabularies compare.

        Raises: DataError for text that does not encode; ArgumentError for a text without a token.
        """
        from rnnkit.runtime import scoring

        return PseudoLikelihoodScore(**scoring.measured(self, text, reset_per_line=reset_per_line))

    def fill(self, before: str | bytes, after: str | bytes = "", *, k: int = 10) -> list[tuple[str, float]]:
        """The k likeliest tokens between two texts, as `token_text` shows them, with their probabilities.

        Args:   before: from the start of a document.  after: to its end.
        Raises: ArgumentError for a k below 1; DataError for text that does not encode.
        Cost:   one pass over both texts.
        """
        if k < 1:
            raise ArgumentError(f"k is {k}; ask for at least one token")
        sides = []
        for stack, ids in (
            (self._before, self.tokenizer.encode(before)),
            (self._after, self.tokenizer.encode(after)[::-1]),
        ):
            read = np.concatenate([[self.begin_id], ids]).astype(np.int64)[:, None]
            sides.append(stack.forward(read, stack.initial(1))[0][-1])
        log_probs = self._log_probs(np.concatenate(sides, axis=1))[0]
        best = np.argsort(-log_probs, kind="stable")[:k]
        return [(self.tokenizer.token_text(int(token)), math.exp(log_probs[token])) for token in best]

    def embed(self, texts: Sequence[Any], *, readout: str | Sequence[str] = "last") -> np.ndarray:
        """A vector for every text: the outputs of both directions' top layers side by side, float32 [N, R·2H].

        Args:   texts: each a text, or its ids [T]; T may be 0: then it is the outputs over the begin token.
                readout: of the outputs in each direction's own order, over the begin token and all of the text, "last",
                their "mean" or "max"; one or several, side by side.
        Raises: ArgumentError, DtypeError; DataError for a text that the tokeniser does not take.
        Cost:   64 texts of similar length at a time, the longest of them in memory.
        """
        from rnnkit.runtime import embedding

        return embedding.embed(self, texts, readout)

    def evaluation_sample(self) -> tuple[np.ndarray, np.ndarray] | None:
        """As of `rnnkit.runtime.LanguageModel`: held-out ids and document starts, for `total_nll`; None: none kept."""
        return evaluation.from_files(self._files, vocab_size=self.vocab_size)

    # ---- what it cannot do, by name ----------------------------------------------------------------------------------

    def initial_state(self, batch: int = 1) -> State:
        """Refused: no state can go on. Raises: ArgumentError."""
        raise ArgumentError(f"{_WHY} no state can go on; score or embed whole texts")

    def step(self, *args: Any, **options: Any) -> NoReturn:
        """Refused, as `initial_state`. Raises: ArgumentError."""
        raise ArgumentError(f"{_WHY} it cannot be stepped; score or embed whole texts")

    def generate(self, *args: Any, **options: Any) -> NoReturn:
        """Refused: what comes next is not known without what comes after. Raises: ArgumentError."""
        raise ArgumentError(f"{_WHY} it cannot write; use fill, or train a model without bidirectional")

    beam_search = generate

    def complete(self, *args: Any, **options: Any) -> NoReturn:
        """Refused, as `generate`. Raises: ArgumentError."""
        raise ArgumentError(f"{_WHY} it does not continue a text; fill(before, after) names what stands between two")

    # ---- both directions ---------------------------------------------------------------------------------------------

    def _initial_parts(self, batch: int) -> Parts:
        return self._before.initial(batch)

    @property
    def _output_size(self) -> int:
        return sum(stack.layers[-1].part_sizes[0] for stack in (self._before, self._after))

    def _outputs(self, ids: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Both top layers over [T, B], each in its own order, for `embed`; the first of each row is the begin token."""
        B = len(lengths)
        turned = np.concatenate([ids[:1], _turned(ids[1:], lengths - 1)])
        before, _ = self._before.forward(ids, self._before.initial(B), lengths=lengths)
        after, _ = self._after.forward(turned, self._after.initial(B), lengths=lengths)
        return np.concatenate([before, after], axis=2)

    def _features(
        self, before: np.ndarray, after: np.ndarray, lengths: np.ndarray, parts: Parts, after_parts: Parts
    ) -> tuple[np.ndarray, Parts, Parts]:
        """Tokens before each place [T, B], and those after each, the last place of a row first -> [T, B, 2H]."""
        left, parts = self._before.forward(before, parts, lengths=lengths)
        right, after_parts = self._after.forward(after, after_parts, lengths=lengths)
        return np.concatenate([left, _turned(right, lengths)], axis=2), parts, after_parts

    def _log_probs(self, features: np.ndarray) -> np.ndarray:
        """[N, 2H] -> [N, V]."""
        return self._softmax.log_probs(np.tanh(self._merge(features)))

    def _costs(self, ids: np.ndarray, document_starts: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield places in `ids` and the nats of the tokens there, each place once; `ids` is read window by window."""
        starts, ends = likelihood.documents(ids, document_starts)
        rows = likelihood.row_limit(self.vocab_size)
        for group in likelihood.side_by_side(ends - starts, rows):
            yield from self._score(ids, starts[group], ends[group], max(1, rows // len(group)))

    def _score(
        self, ids: np.ndarray, starts: np.ndarray, ends: np.ndarray, window: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Documents side by side, longest first: from the end once to learn each window's state, then from the start.

        So the second pass has in memory one window alone, and each place still sees the whole of its document.
        """
        windows = range(0, int(ends[0] - starts[0]), window)
        entering: list[Parts] = []  # of each window from the last, what has read all that is after it
        parts = self._after.initial(0)
        for offset in reversed(windows):
            lengths = _lengths(starts, ends, offset, window)
            fresh = self._after.initial(len(lengths) - len(parts[0][0]))  # documents that end in this window
            parts = [
                tuple(np.concatenate(pair) for pair in zip(*pairs, strict=True))
                for pairs in zip(parts, fresh, strict=True)
            ]
            entering.append(parts)
            if offset:
                after = self._window(ids, starts + offset + 1, ends, lengths)
                _, parts = self._after.forward(_turned(after, lengths), parts, lengths=lengths)
        parts = self._before.initial(len(starts))
        for offset in windows:
            lengths = _lengths(starts, ends, offset, window)
            B = len(lengths)
            before = self._window(ids, starts + offset - 1, ends, lengths)
            if not offset:
                before[0] = self.begin_id
            after = _turned(self._window(ids, starts + offset + 1, ends, lengths), lengths)
            parts = [tuple(array[:B] for array in arrays) for arrays in parts]
            features, parts, _ = self._features(before, after, lengths, parts, entering.pop())
            is_read = np.arange(len(before))[:, None] < lengths
            places = (starts[:B] + offset + np.arange(len(before))[:, None])[is_read]
            wanted = likelihood.checked_range(np.asarray(ids[places], np.int64), self.vocab_size)
            log_probs = self._log_probs(features[is_read])
            yield places, -log_probs[np.arange(len(wanted)), wanted].astype(np.float64)

    def _window(self, ids: np.ndarray, firsts: np.ndarray, ends: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """[T, B] of the tokens from each row's first place on, the begin token at a document's end, 0 behind a row."""
        B = len(lengths)
        at = firsts[:B] + np.arange(int(lengths[0]))[:, None]
        inside = (at >= 0) & (at < ends[:B])
        tokens = np.where(inside, ids[np.clip(at, 0, len(ids) - 1)], self.begin_id)
        is_read = np.arange(len(at))[:, None] < lengths
        if is_read.any():
            likelihood.checked_range(tokens[is_read], self.vocab_size)
        return np.where(is_read, tokens, 0).astype(np.int64)


def _lengths(starts: np.ndarray, ends: np.ndarray, offset: int, window: int) -> np.ndarray:
    """How many places each document that reaches this window has in it, [B]."""
    left = ends - starts - offset
    return np.minimum(left[left > 0], window)


def _turned(array: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """[T, B, …] with each row's own steps in the other order; what lies behind them stays behind."""
    T = len(array)
    if not T:
        return array
    steps = np.arange(T)[:, None]
    at = np.where(steps < lengths, lengths - 1 - steps, steps)
    return array[at, np.arange(array.shape[1])]
