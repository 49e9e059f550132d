"""The score of a next-token model on a corpus; torch-free, for the table of a run and for `rnnkit eval`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from rnnkit.data import Corpus
from rnnkit.data.corpus import ends_of_lines
from rnnkit.metrics import LanguageModelScore, PseudoLikelihoodScore

if TYPE_CHECKING:
    from rnnkit.text import Tokenizer

_BLOCK = 1 << 20  # tokens whose lines are looked for at a time


class Scorer(Protocol):
    """A model of the run half, or an n-gram model."""

    def total_nll(self, ids: Any, document_starts: Any = None, /) -> float: ...


def scores(
    scorer: Scorer,
    corpus: Corpus,
    tokenizer: Tokenizer,
    *,
    nll: float | None = None,
    with_lines: bool = True,
    measure: type[LanguageModelScore] | type[PseudoLikelihoodScore] = LanguageModelScore,
) -> dict[str, Any]:
    """How well all of `corpus` was predicted, the state carried through each document; and under `reset_per_line` from
    a fresh state for every line: the same tokens, and the same characters to divide by.

    Args: nll: nats of the former in all, where they are known.  measure: what is made of nats; of models that see both
        sides of a token the other one, and a line is then all that is seen.
    Cost: the corpus is read in pieces; one larger than memory is judged.
    """

    def measured(nll: float) -> dict[str, Any]:
        return measure(
            nll=nll + corpus.num_unknown * tokenizer.unknown_nats,  # so that vocabularies compare
            num_tokens=len(corpus),
            num_characters=corpus.num_characters,
            num_bytes=corpus.num_bytes,
            unit=tokenizer.kind,
        ).to_dict()

    values = measured(scorer.total_nll(corpus.tokens, corpus.document_starts) if nll is None else nll)
    if with_lines:
        values["reset_per_line"] = measured(total_by_line(scorer, corpus, tokenizer))
    return values


def two_sided_name(order: int) -> str:
    """What the table calls an n-gram model whose context lies on both sides."""
    return "unigram" if order == 1 else f"two-sided-{order}"


def total_by_line(scorer: Scorer, corpus: Corpus, tokenizer: Tokenizer) -> float:
    """Nats of all of `corpus`, every line from a fresh state."""
    return sum((scorer.total_nll(tokens, starts) for tokens, starts in line_blocks(corpus, tokenizer)), 0.0)


def line_blocks(corpus: Corpus, tokenizer: Tokenizer) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (tokens, where a line starts in them): the corpus in blocks of whole lines, about a million tokens each.

    A line ends with the token that holds its newline (of BPE, that may hold the next line's indentation too) and at the
    end of its document.
    """
    ends_line, first = ends_of_lines(tokenizer), 0
    for begin in range(0, len(corpus), _BLOCK):
        end = min(begin + _BLOCK, len(corpus))
        after_newline = begin + 1 + np.flatnonzero(ends_line[corpus.tokens[begin:end]])
        documents = slice(*np.searchsorted(corpus.document_starts, [begin + 1, end + 1]))
        starts = np.union1d(after_newline, corpus.document_starts[documents])
        if len(starts):  # else still within one long line
            last = int(starts[-1])
            yield corpus.tokens[first:last], np.append(first, starts[:-1]) - first
            first = last
    if first < len(corpus):
        yield corpus.tokens[first:], np.zeros(1, np.int64)
