"""The score of a next-token model on a corpus; torch-free, for the table of a run and for `rnnkit eval`."""

from __future__ import annotations

from rnnkit.data import Corpus
from rnnkit.metrics import LanguageModelScore


def score(nll: float, corpus: Corpus, *, unknown_nats: float) -> LanguageModelScore:
    """How well all of `corpus` was predicted.

    Args: nll: nats in all.  unknown_nats: of the corpus' tokeniser, what each unknown token costs beside that, so that
        vocabularies compare.
    """
    return LanguageModelScore(
        nll=nll + corpus.num_unknown * unknown_nats,
        num_tokens=len(corpus),
        num_characters=corpus.num_characters,
        num_bytes=corpus.num_bytes,
        unit=corpus.description["tokenizer"],
    )
