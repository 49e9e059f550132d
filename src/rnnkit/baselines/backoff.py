"""Evaluate a back-off n-gram model: the probability of every token of a text, or of every token after one context.

The n-grams of order k are one sorted array of 64-bit keys, V · (row of the first k-1 tokens in order k-1) + last token:
no key grows with V^n, the continuations of one context lie side by side, and a binary search finds any n-gram.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rnnkit.errors import ArgumentError, DataError, DtypeError, ShapeError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_CHUNK = 1 << 20  # tokens scored at once: about 60 MB of scratch


@dataclass(frozen=True)
class Level:
    """The n-grams of one order, as rows sorted by key. Order 1 has all V tokens, in order."""

    keys: Ints  # [M]
    probs: Floats  # [M] P(last token | the others)
    backoffs: Floats  # [M] weight of the next shorter context when this n-gram, as a context, has not seen a token


class BackoffModel:
    """An n-gram model in back-off form, fitted (`NgramModel`) or read from an ARPA file.

    P(w | h) = probs[h w] if the n-gram h w is listed, else backoffs[h] · P(w | h without its first token)

    A context that is not listed has weight 1. Before the first token of a document the context is `begin_id` alone, and
    no context crosses the boundary of a document.
    """

    def __init__(self, levels: Sequence[Level], *, begin_id: int) -> None:
        self.levels = tuple(levels)
        self.begin_id = begin_id

    @property
    def order(self) -> int:
        """Tokens in the longest n-gram: the context has one less."""
        return len(self.levels)

    @property
    def vocab_size(self) -> int:
        return len(self.levels[0].keys)

    @property
    def num_bytes(self) -> int:
        """Bytes of the model's arrays."""
        return sum(a.nbytes for level in self.levels for a in (level.keys, level.probs, level.backoffs))

    def nll(self, tokens: ArrayLike, document_starts: ArrayLike | None = None) -> Floats:
        """Negative log-likelihood of every token.

        Args:
            tokens: ids [N].
            document_starts: the index of each document's first token, ascending from 0; None is one document.
        Returns: float64 [N], nats.
        Raises:  ArgumentError for an id outside the vocabulary, DtypeError, ShapeError.
        Cost:    one binary search per token and order; scratch for a million tokens at a time.
        """
        tokens = token_array(tokens)
        out = np.empty(len(tokens))
        for first, stop, values in self._nll_chunks(tokens, document_starts):
            out[first:stop] = values
        return out

    def total_nll(self, tokens: ArrayLike, document_starts: ArrayLike | None = None) -> float:
        """The sum of `nll`, without holding it: a memory-mapped text may be larger than memory."""
        chunks = self._nll_chunks(token_array(tokens), document_starts)
        return sum((float(values.sum()) for _, _, values in chunks), 0.0)

    def next_token_probs(self, context: ArrayLike) -> Floats:
        """P(token | context) for every token of the vocabulary.

        Args:    context: the ids of the document so far; its last order-1 are enough once it has that many.
        Returns: float64 [V], of sum 1.
        """
        context = checked_tokens(context, self.vocab_size)
        context = np.concatenate([[self.begin_id], context])[-(self.order - 1) :]
        probs = self.levels[0].probs.copy()
        for k in range(2, min(self.order, len(context) + 1) + 1):
            row = int(context[1 - k])
            for level, token in zip(self.levels[1:], context[len(context) - k + 2 :], strict=False):
                row = int(level_rows(level.keys, np.array([row * self.vocab_size + token]))[0])
                if row < 0:
                    return probs
            level = self.levels[k - 1]
            first, stop = np.searchsorted(level.keys, [row * self.vocab_size, (row + 1) * self.vocab_size])
            probs *= self.levels[k - 2].backoffs[row]
            probs[level.keys[first:stop] - row * self.vocab_size] = level.probs[first:stop]
        return probs

    def unseen_share(self, tokens: ArrayLike, document_starts: ArrayLike | None = None) -> Floats:
        """The share of a text's n-grams that the model does not list, for n = 1 … order.

        Returns: float64 [order], each in 0..1, over the n-grams that fit into their document (begin context included);
            0 where none does.
        """
        tokens = token_array(tokens)
        starts = checked_starts(document_starts, len(tokens))
        unseen, total = np.zeros(self.order), np.zeros(self.order)
        known = self._known_tokens()
        for first, stop, stream, age in self._chunks(tokens, starts):
            counted = np.flatnonzero(age > 0)[first - stop :]
            unseen[0] += np.count_nonzero(~known[stream[counted]])
            total[0] += len(counted)
            for k, (_, rows) in enumerate(self._rows(stream, age), start=2):
                fits = counted[age[counted] >= k - 1]
                unseen[k - 1] += np.count_nonzero(rows[fits] < 0)
                total[k - 1] += len(fits)
        return unseen / np.maximum(total, 1)

    def _nll_chunks(
        self, tokens: NDArray[np.integer], document_starts: ArrayLike | None
    ) -> Iterator[tuple[int, int, Floats]]:
        """Yield (first, stop, nats of tokens[first:stop])."""
        starts = checked_starts(document_starts, len(tokens))
        for first, stop, stream, age in self._chunks(tokens, starts):
            probs = self.levels[0].probs[stream]
            rows = stream
            for k, (contexts, rows) in enumerate(self._rows(stream, age), start=2):
                lower, level = self.levels[k - 2], self.levels[k - 1]
                known, found = contexts >= 0, rows >= 0
                probs[known] *= lower.backoffs[contexts[known]]
                probs[found] = level.probs[rows[found]]
            yield first, stop, -np.log(probs[age > 0][first - stop :])

    def _own_ids(self, tokens: NDArray[np.integer]) -> Ints:
        """The tokens of a chunk as ids of this model."""
        return checked_tokens(tokens, self.vocab_size)

    def _known_tokens(self) -> NDArray[np.bool_]:
        return np.ones(self.vocab_size, dtype=bool)

    def _chunks(self, tokens: NDArray[np.integer], starts: Ints) -> Iterator[tuple[int, int, Ints, Ints]]:
        """Yield (first, stop, stream, age): tokens[first:stop] behind enough context, and `with_begins` of both.

        The chunk's tokens are the last `stop - first` of those with age > 0.
        """
        for first in range(0, len(tokens), _CHUNK):
            stop = min(first + _CHUNK, len(tokens))
            origin = max(0, first - self.order)  # one token more than the context: age 0 is never scored
            inside = starts[(starts >= origin) & (starts < stop)] - origin
            chunk = self._own_ids(tokens[origin:stop])
            yield first, stop, *with_begins(chunk, inside, begin_id=self.begin_id)

    def _rows(self, stream: Ints, age: Ints) -> Iterator[tuple[Ints, Ints]]:
        """Yield, for k = 2 … order, each token's rows, or -1: of its context in order k-1, of its n-gram in order k."""
        rows = stream
        for k, level in enumerate(self.levels[1:], start=2):
            contexts = np.full(len(stream), -1, dtype=np.int64)
            contexts[1:] = rows[:-1]
            contexts[age < k - 1] = -1
            rows = np.full(len(stream), -1, dtype=np.int64)
            known = contexts >= 0
            rows[known] = level_rows(level.keys, contexts[known] * self.vocab_size + stream[known])
            yield contexts, rows


def level_rows(keys: Ints, wanted: Ints) -> Ints:
    """The row of each wanted key in the sorted `keys`, or -1."""
    if not len(keys):
        return np.full(len(wanted), -1, dtype=np.int64)
    rows = np.searchsorted(keys, wanted)
    rows[rows == len(keys)] = 0
    return np.where(keys[rows] == wanted, rows, -1)


def with_begins(tokens: Ints, starts: Ints, *, begin_id: int) -> tuple[Ints, Ints]:
    """The text with one begin token before each document.

    Returns: stream int64 [N + documents], and the age of each entry: how many tokens before it belong to its document
        (0 for the begin token). An n-gram of k tokens ends at an entry if its age is at least k - 1 (and above 0).
    """
    stream = np.insert(tokens, starts, begin_id).astype(np.int64, copy=False)
    index = np.arange(len(stream))
    begins = np.zeros(len(stream), dtype=np.int64)
    begins[starts + np.arange(len(starts))] = index[starts + np.arange(len(starts))]
    return stream, index - np.maximum.accumulate(begins)


def token_array(tokens: ArrayLike) -> NDArray[np.integer]:
    """`tokens` as an integer array [N]; a memory-mapped one is not read yet."""
    array = np.asarray(tokens)
    if array.ndim != 1:
        raise ShapeError(f"tokens must have one axis [N], got shape {array.shape}; pass one text at a time")
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise DtypeError(f"tokens must be integers, got {array.dtype}; encode the text with its tokenizer")
    return array


def checked_tokens(tokens: ArrayLike, vocab_size: int) -> Ints:
    """`tokens` as int64 [N], all in 0..vocab_size-1."""
    array = token_array(tokens).astype(np.int64)
    bad = np.flatnonzero((array < 0) | (array >= vocab_size))
    if len(bad):
        raise ArgumentError(
            f"token {array[bad[0]]} is not in the vocabulary of ids 0..{vocab_size - 1}; use the tokenizer it came with"
        )
    return array


def checked_starts(document_starts: ArrayLike | None, num_tokens: int) -> Ints:
    """`document_starts` as int64, ascending from 0 to at most `num_tokens`."""
    starts = np.asarray([0] if document_starts is None else document_starts, dtype=np.int64)
    if starts.ndim != 1 or not len(starts) or starts[0] != 0:
        raise DataError(f"document_starts must be one axis that begins with 0, got {starts.tolist()[:5]}")
    if (np.diff(starts) < 0).any() or starts[-1] > num_tokens:
        raise DataError(f"document_starts must ascend and end within the {num_tokens} tokens")
    return starts
