"""How varied written texts are: what is dull says the same to everybody."""

from __future__ import annotations

from collections.abc import Sequence


def distinct(texts: Sequence[str], order: int) -> float:
    """Different n-grams of words over all n-grams, of all texts together; 0 where there is none.

    Args: order: n.
    Source: Li et al. 2016, arXiv:1510.03055, section 5.4 ("distinct-1" and "distinct-2").
    """
    ngrams = [tuple(words[at : at + order]) for words in map(str.split, texts) for at in range(len(words) - order + 1)]
    return len(set(ngrams)) / len(ngrams) if ngrams else 0.0
