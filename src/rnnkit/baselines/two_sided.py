"""Count an n-gram model whose context lies on both sides of a token: what a bidirectional language model must beat.

>>> model = TwoSidedNgramModel.fit(tokens, order=5, vocab_size=33278, begin_id=0)
>>> model.nll(test).mean()
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rnnkit.baselines.backoff import Floats, Ints, checked_starts, checked_tokens, level_rows, token_array
from rnnkit.baselines.ngram import choose_discounts, counted_text, discount, narrowest
from rnnkit.baselines.storage import Head, read_counts, write_counts
from rnnkit.errors import DataError

_CHUNK = 1 << 20  # tokens scored at once


class TwoSidedNgramModel:
    """Interpolated modified Kneser-Ney over (context, token), the context being the order − 1 nearest tokens.

    Of order 5 they are w_{t-1}, w_{t+1}, w_{t-2}, w_{t+2}; outside the document each is `begin_id`. The equations are
    those of `NgramModel`, with "without its first token" read as "without its farthest": what P_k lacks is left to
    P_{k-1}, whose context is one token smaller. So the probabilities of all tokens at a place sum to 1, whatever
    stands around it, and no count of the token itself is among its context's.

    Source: Bilmes and Kirchhoff 2003, "Factored language models and generalized parallel backoff", for contexts that
        are no history and drop their least useful part first; Chen and Goodman 1999 for the smoothing.
    """

    def __init__(self, events: Ints, counts: Ints, *, order: int, vocab_size: int, begin_id: int) -> None:
        """Prefer `fit` or `load`. events: [M, order], each different: the context, nearest first, then the token."""
        self.order, self.vocab_size, self.begin_id = order, vocab_size, begin_id
        self._events, self._counts = events, counts
        self._contexts: list[Ints] = [np.zeros(1, np.int64)]
        """Of every length the sorted keys V · (row of the context without its farthest token) + that token."""
        rows, tokens = [np.zeros(len(events), np.int64)], events[:, -1]
        for at in range(order - 1):
            keys, inverse = np.unique(rows[-1] * vocab_size + events[:, at], return_inverse=True)
            self._contexts.append(keys)
            rows.append(inverse.reshape(-1))
        self._grams: list[Ints] = [np.arange(vocab_size)]
        """Of every order the sorted keys V · (row of the context) + token."""
        occurrences = np.bincount(tokens, weights=counts, minlength=vocab_size).astype(np.int64)
        shorter: list[Ints] = []  # of every order above the first: the row without the farthest token
        for k in range(2, order + 1):
            grams, inverse = np.unique(rows[k - 1] * vocab_size + tokens, return_inverse=True)
            contexts, last = np.divmod(grams, vocab_size)
            parents = self._contexts[k - 1][contexts] // vocab_size
            shorter.append(level_rows(self._grams[-1], parents * vocab_size + last))
            self._grams.append(grams)
            occurrences = np.bincount(inverse.reshape(-1), weights=counts, minlength=len(grams)).astype(np.int64)
        self._interpolate([*(np.bincount(s, minlength=len(g)) for s, g in zip(shorter, self._grams, strict=False)),
                           occurrences], shorter)  # fmt: skip

    def _interpolate(self, counts: list[Ints], shorter: list[Ints]) -> None:
        """The probability of every n-gram, and what each context leaves to the smaller one."""
        left, taken = discount(counts[0], choose_discounts(counts[0]))
        self._probs: list[Floats] = [(left + taken.sum() / self.vocab_size) / counts[0].sum()]
        self._backoffs: list[Floats] = []
        for k in range(2, self.order + 1):
            left, taken = discount(counts[k - 1], choose_discounts(counts[k - 1]))
            contexts = self._grams[k - 1] // self.vocab_size
            totals = np.bincount(contexts, weights=counts[k - 1])
            self._backoffs.append(np.bincount(contexts, weights=taken) / totals)
            self._probs.append(left / totals[contexts] + self._backoffs[-1][contexts] * self._probs[-1][shorter[k - 2]])

    @classmethod
    def fit(
        cls,
        tokens: ArrayLike,
        *,
        order: int,
        vocab_size: int,
        begin_id: int,
        document_starts: ArrayLike | None = None,
    ) -> Self:
        """Count a text.

        Args:   as of `NgramModel.fit`.
        Raises: ArgumentError, DataError for an empty text, DtypeError, ShapeError.
        Cost:   one sort of N keys per order, twice; about 100 bytes of memory per token.
        """
        counted, starts = counted_text(tokens, document_starts, order=order, vocab_size=vocab_size, begin_id=begin_id)
        context = _context(counted, starts, 0, len(counted), order=order, begin_id=begin_id)
        events, counts = _distinct(np.column_stack([*context, counted]), vocab_size)
        return cls(events, counts, order=order, vocab_size=vocab_size, begin_id=begin_id)

    @property
    def num_bytes(self) -> int:
        """Bytes of the arrays that `save` writes."""
        return sum(array.nbytes for array in self._arrays().values())

    def nll(self, tokens: ArrayLike, document_starts: ArrayLike | None = None) -> Floats:
        """−log p of every token given those around it, float64 [N]; as `BackoffModel.nll`."""
        tokens = token_array(tokens)
        out = np.empty(len(tokens))
        for first, stop, values, _ in self._scored(tokens, document_starts):
            out[first:stop] = values
        return out

    def total_nll(self, tokens: ArrayLike, document_starts: ArrayLike | None = None) -> float:
        """The sum of `nll`, without holding it."""
        return sum((float(values.sum()) for _, _, values, _ in self._scored(token_array(tokens), document_starts)), 0.0)

    def unseen_share(self, tokens: ArrayLike, document_starts: ArrayLike | None = None) -> float:
        """The share of a text's tokens that were never counted in the whole of their context."""
        tokens = token_array(tokens)
        unseen = sum(int((~seen).sum()) for _, _, _, seen in self._scored(tokens, document_starts))
        return unseen / max(len(tokens), 1)

    def save(self, folder: str | Path) -> None:
        """Write `ngram.npz` and `ngram.json`, as `NgramModel.save`. Raises: SaveError."""
        write_counts(folder, Head(self.order, self.vocab_size, self.begin_id, modified=True), self._arrays())

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote; every probability is bit-equal. Raises: DataError naming the file."""
        head, arrays = read_counts(folder, check=_check)
        events, counts = (arrays[name].astype(np.int64) for name in ("events", "counts"))
        return cls(events, counts, order=head.order, vocab_size=head.vocab_size, begin_id=head.begin_id)

    def _arrays(self) -> dict[str, NDArray[np.unsignedinteger]]:
        return narrowest({"events": self._events, "counts": self._counts})

    def _scored(
        self, tokens: NDArray[np.integer], document_starts: ArrayLike | None
    ) -> Iterator[tuple[int, int, Floats, NDArray[np.bool_]]]:
        """Yield (first, stop, the nats of tokens[first:stop], whether each was counted in all of its context)."""
        starts = checked_starts(document_starts, len(tokens))
        for first in range(0, len(tokens), _CHUNK):
            stop = min(first + _CHUNK, len(tokens))
            wanted = checked_tokens(tokens[first:stop], self.vocab_size)
            context = _context(tokens, starts, first, stop, order=self.order, begin_id=self.begin_id)
            probs, rows = self._probs[0][wanted], np.zeros(len(wanted), np.int64)
            seen = np.ones(len(wanted), bool)
            for k, token in enumerate(context, start=2):
                known = rows >= 0
                rows[known] = level_rows(
                    self._contexts[k - 1], rows[known] * self.vocab_size + checked_tokens(token[known], self.vocab_size)
                )
                known = rows >= 0
                probs[known] *= self._backoffs[k - 2][rows[known]]
                found = np.full(len(wanted), -1, np.int64)
                found[known] = level_rows(self._grams[k - 1], rows[known] * self.vocab_size + wanted[known])
                seen = found >= 0
                probs[seen] = self._probs[k - 1][found[seen]]
            yield first, stop, -np.log(probs), seen


def _context(
    tokens: NDArray[np.integer], starts: Ints, first: int, stop: int, *, order: int, begin_id: int
) -> list[Ints]:
    """The tokens around each of tokens[first:stop], nearest first, the one before it ahead of the one after it."""
    at = np.arange(first, stop)
    document = np.searchsorted(starts, at, side="right")
    begins, ends = starts[document - 1], np.append(starts, len(tokens))[document]
    found = []
    for number in range(order - 1):
        distance = number // 2 + 1
        there = at + distance if number % 2 else at - distance
        inside = (there >= begins) & (there < ends)
        found.append(np.where(inside, tokens[np.clip(there, 0, len(tokens) - 1)], begin_id).astype(np.int64))
    return found


def _distinct(events: Ints, vocab_size: int) -> tuple[Ints, Ints]:
    """Every different row of events [N, n], and how often it is there."""
    keys = np.zeros(len(events), np.int64)
    for column in events.T:  # rows of the columns so far, so that no key grows with V^n
        keys = np.unique(keys * vocab_size + column, return_inverse=True)[1].reshape(-1)
    _, first, counts = np.unique(keys, return_index=True, return_counts=True)
    return events[first], counts


def _check(path: Path, head: Head, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Raise unless the arrays are those of `TwoSidedNgramModel`."""
    shapes = {name: (array.shape, array.dtype.kind) for name, array in arrays.items()}
    size = len(arrays.get("counts", ()))
    if shapes != {"events": ((size, head.order), "u"), "counts": ((size,), "u")} or not size or not head.modified:
        raise DataError(f"{path}: its arrays {shapes} are no two-sided n-grams of order {head.order}; fit again")
    if arrays["events"].max() >= head.vocab_size or not arrays["counts"].all():
        raise DataError(f"{path}: tokens or counts are out of range; fit the model again")
