"""Count an n-gram language model with interpolated modified Kneser-Ney smoothing: what a recurrent network must beat.

>>> model = NgramModel.fit(tokens, order=5, vocab_size=33278, begin_id=0)
>>> model.nll(test).mean()
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rnnkit.baselines.backoff import (
    BackoffModel,
    Floats,
    Ints,
    Level,
    checked_starts,
    checked_tokens,
    level_rows,
    with_begins,
)
from rnnkit.baselines.storage import MAX_ORDER, Head, read_counts, write_counts
from rnnkit.errors import ArgumentError, DataError


@dataclass(frozen=True)
class Discounts:
    """What one order's counts of 1, 2 and 3-or-more are lowered by, and the rule that chose it."""

    values: tuple[float, float, float]
    rule: str  # "modified" | "absolute" | "constant"


class NgramModel(BackoffModel):
    """Interpolated modified Kneser-Ney of orders 1 … `order`.

    P_k(w | h) = (c(hw) - D(c(hw))) / c(h·) + γ(h) · P_{k-1}(w | h'),    P_0 = 1 / V
    γ(h) = (D1 · N1(h·) + D2 · N2(h·) + D3 · N3+(h·)) / c(h·);            an unseen h leaves all to P_{k-1}

    In the highest order c counts occurrences. Below it c counts the different tokens before the n-gram; each document
    before which it stands first counts as one of its own. Order 1 alone is the smoothed unigram.

    Source: Chen and Goodman 1999, "An empirical study of smoothing techniques for language modeling", section 3.
    """

    def __init__(
        self, keys: Sequence[Ints], counts: Sequence[Ints], *, vocab_size: int, begin_id: int, modified: bool = True
    ) -> None:
        """Prefer `fit` or `load`. `keys[k]`, `counts[k]`: the n-grams of k+1 tokens as in `Level`, and their c."""
        self.counts = tuple(counts)
        self.modified = modified
        self.discounts = tuple(choose_discounts(c, modified=modified) for c in counts)
        super().__init__(_interpolate(keys, counts, self.discounts, vocab_size), begin_id=begin_id)

    @classmethod
    def fit(
        cls,
        tokens: ArrayLike,
        *,
        order: int,
        vocab_size: int,
        begin_id: int,
        document_starts: ArrayLike | None = None,
        modified: bool = True,
    ) -> Self:
        """Count a text.

        Args:
            tokens: ids [N], N ≥ 1, in 0..vocab_size-1.
            order: tokens in the longest n-gram, 1..16. A text shorter than that is no error: shorter n-grams answer.
            begin_id: the token that stands for the context before a document.
            document_starts: the index of each document's first token, ascending from 0; None is one document.
            modified: three discounts per order (Chen and Goodman); False is one (Kneser and Ney), the weaker model
                that much of the literature means by "Kneser-Ney".
        Raises: ArgumentError, DataError for an empty text, DtypeError, ShapeError.
        Cost:   one sort of N keys per order; about 60 bytes of memory per token beside the model.
        """
        tokens, starts = counted_text(tokens, document_starts, order=order, vocab_size=vocab_size, begin_id=begin_id)
        keys, counts = _count(*with_begins(tokens, starts, begin_id=begin_id), order=order, vocab_size=vocab_size)
        return cls(keys, counts, vocab_size=vocab_size, begin_id=begin_id, modified=modified)

    @property
    def num_bytes(self) -> int:
        """Bytes of the arrays that `save` writes: every n-gram's last token, its count, its number of continuations."""
        return sum(array.nbytes for array in self._arrays().values())

    def save(self, folder: str | Path) -> None:
        """Write `ngram.npz` (counts) and `ngram.json` (its head with a SHA-256) into `folder`.

        Raises: SaveError.
        """
        head = Head(self.order, self.vocab_size, self.begin_id, self.modified)
        write_counts(folder, head, self._arrays())

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote; every probability is bit-equal.

        Raises: DataError naming the file that is missing or damaged.
        """
        head, arrays = read_counts(folder)
        keys, counts = [np.arange(head.vocab_size)], [arrays["counts_1"].astype(np.int64)]
        for k in range(2, head.order + 1):
            contexts = np.repeat(np.arange(len(keys[-1])), arrays[f"children_{k}"])
            keys.append(contexts * head.vocab_size + arrays[f"tokens_{k}"])
            counts.append(arrays[f"counts_{k}"].astype(np.int64))
        try:
            return cls(keys, counts, vocab_size=head.vocab_size, begin_id=head.begin_id, modified=head.modified)
        except DataError as error:
            raise DataError(f"{Path(folder) / 'ngram.npz'}: {error}; fit the model again") from None

    def _arrays(self) -> dict[str, NDArray[np.unsignedinteger]]:
        """What is saved."""
        arrays = {"counts_1": self.counts[0]}
        for k in range(2, self.order + 1):
            keys = self.levels[k - 1].keys
            arrays[f"children_{k}"] = np.bincount(keys // self.vocab_size, minlength=len(self.levels[k - 2].keys))
            arrays[f"tokens_{k}"] = keys % self.vocab_size
            arrays[f"counts_{k}"] = self.counts[k - 1]
        return narrowest(arrays)

    def _known_tokens(self) -> NDArray[np.bool_]:
        return self.counts[0] > 0


def counted_text(
    tokens: ArrayLike, document_starts: ArrayLike | None, *, order: int, vocab_size: int, begin_id: int
) -> tuple[Ints, Ints]:
    """A text to count, and where its documents start. Args, Raises: as `NgramModel.fit`."""
    if not 1 <= order <= MAX_ORDER:
        raise ArgumentError(f"order is {order}, wanted 1..{MAX_ORDER}; 5 for words and 6 for characters are usual")
    if not 0 <= begin_id < vocab_size:
        raise ArgumentError(f"begin_id is {begin_id}, wanted an id of the vocabulary, 0..{vocab_size - 1}")
    checked = checked_tokens(tokens, vocab_size)
    if not len(checked):
        raise DataError("the training text has no token to count; pass a longer one")
    return checked, checked_starts(document_starts, len(checked))


def narrowest(arrays: Mapping[str, NDArray[np.integer]]) -> dict[str, NDArray[np.unsignedinteger]]:
    """Counts, each array in the narrowest unsigned type that holds it."""
    return {name: a.astype(np.min_scalar_type(a.max(initial=0))) for name, a in arrays.items()}


def choose_discounts(counts: Ints, *, modified: bool = True) -> Discounts:
    """The discounts of one order from its counts of counts n_r = how many n-grams have count r.

    modified:  Y = n1 / (n1 + 2 n2);  D1 = 1 - 2Y n2/n1,  D2 = 2 - 3Y n3/n2,  D3 = 3 - 4Y n4/n3
    absolute:  D1 = D2 = D3 = Y, when asked for, or when a modified one is undefined or outside 0..r: few or regular
               n-grams, as in small texts and in short orders of characters (kenlm stops with BadDiscountException)
    constant:  1/2, 1, 3/2, when n1 or n2 is 0 too

    Source: Chen and Goodman 1999, section 3; Ney, Essen and Kneser 1994 for Y; kenlm's `--discount_fallback`.
    """
    n1, n2, n3, n4 = (int(np.count_nonzero(counts == r)) for r in (1, 2, 3, 4))
    if not n1 or not n2:
        return Discounts((0.5, 1.0, 1.5), "constant")
    y = n1 / (n1 + 2 * n2)
    if modified and n3 and n4:
        values = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
        if all(0 < value <= r for r, value in enumerate(values, start=1)):
            return Discounts(values, "modified")
    return Discounts((y, y, y), "absolute")


def _count(stream: Ints, age: Ints, *, order: int, vocab_size: int) -> tuple[list[Ints], list[Ints]]:
    """The keys of every order and the counts that Kneser-Ney wants of them."""
    keys, counts = [np.arange(vocab_size)], []
    rows, last = stream, np.bincount(stream[age > 0], minlength=vocab_size)
    for k in range(2, order + 1):
        ends = np.flatnonzero(age >= k - 1)
        wanted = rows[ends - 1] * vocab_size + stream[ends]
        unique, first, inverse, occurrences = np.unique(
            wanted, return_index=True, return_inverse=True, return_counts=True
        )
        # Every different n-gram is one different token before the n-gram it ends with ...
        continuations = np.bincount(rows[ends[first]], minlength=len(keys[-1]))
        if k > 2:  # ... and a document's start has none before it.
            continuations += np.bincount(rows[age == k - 2], minlength=len(keys[-1]))
        keys.append(unique)
        counts.append(continuations)
        last = occurrences
        rows = np.full(len(stream), -1, dtype=np.int64)
        rows[ends] = inverse
    return keys, [*counts, last]


def _interpolate(
    keys: Sequence[Ints], counts: Sequence[Ints], discounts: Sequence[Discounts], vocab_size: int
) -> list[Level]:
    """Every n-gram's probability and back-off weight: from order 1 up, each with the order below mixed in."""
    discounted, removed = discount(counts[0], discounts[0])
    total = counts[0].sum()
    probs = (discounted + removed.sum() / vocab_size) / total if total else np.full(vocab_size, 1 / vocab_size)
    levels, suffixes = [], np.zeros(vocab_size, dtype=np.int64)
    for k in range(2, len(keys) + 1):
        contexts, tokens = np.divmod(keys[k - 1], vocab_size)
        # The n-gram without its first token ends like its context without it, one token on.
        suffixes = tokens if k == 2 else level_rows(keys[k - 2], suffixes[contexts] * vocab_size + tokens)
        if (suffixes < 0).any():
            raise DataError(f"an n-gram of {k} tokens ends with one of {k - 1} that was never counted")
        discounted, removed = discount(counts[k - 1], discounts[k - 1])
        totals = np.bincount(contexts, weights=counts[k - 1], minlength=len(probs))
        backoffs = np.ones(len(probs))
        np.divide(np.bincount(contexts, weights=removed, minlength=len(probs)), totals, out=backoffs, where=totals > 0)
        levels.append(Level(keys[k - 2], probs, backoffs))
        probs = discounted / totals[contexts] + backoffs[contexts] * probs[suffixes]
    levels.append(Level(keys[-1], probs, np.ones(len(probs))))
    return levels


def discount(counts: Ints, discounts: Discounts) -> tuple[Floats, Floats]:
    """What is left of each count, and what is taken."""
    removed = np.array([0.0, *discounts.values], dtype=np.float64)[np.minimum(counts, 3)]
    return counts - removed, removed
