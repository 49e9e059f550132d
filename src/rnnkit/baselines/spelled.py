"""What the spelling of words says of a label: naive Bayes on the n-grams of their characters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SHORTEST, LONGEST = 3, 6  # characters of an n-gram, a word's ends among them


def spelled_weights(
    sequences: Sequence[np.ndarray], targets: np.ndarray, words: Sequence[str | None], *, num_labels: int
) -> np.ndarray:
    """How much each word of a vocabulary speaks for each label by its spelling alone, float64 [V, C].

    weight[w, c] = Σ_g log p(g | c) over the n-grams g of w's characters, multinomial and add-one; of several labels
    that of a label less that of its absence. So a word that was never seen with a label speaks by what it shares with
    others: its stem, its ending.

    Args:   sequences: ids [T] in 0..V-1.  targets: [N] integers, or [N, C] of 0 and 1.
            words: what the ids stand for; None: nothing that is spelled.
    Raises: MissingExtraError without scikit-learn.
    Cost:   a few sparse products; memory for V · about 20 numbers.
    Source: Bojanowski et al. 2017, "Enriching word vectors with subword information", for the n-grams.
    """
    from scipy.sparse import csr_matrix

    grams: dict[str, int] = {}
    rows: list[int] = []
    columns: list[int] = []
    for word, text in enumerate(words):
        found = [grams.setdefault(gram, len(grams)) for gram in ngrams_of(text)] if text is not None else []
        rows += [word] * len(found)
        columns += found
    spelled = csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(words), max(len(grams), 1)))
    is_there = targets != 0 if targets.ndim == 2 else targets[:, None] == np.arange(num_labels)
    ends = np.cumsum([0, *map(len, sequences)])
    texts = csr_matrix((np.ones(ends[-1]), np.concatenate(sequences), ends), shape=(len(sequences), len(words)))
    counts = np.asarray(texts.T @ is_there.astype(np.float64)).T  # [C, V]
    weight = spelled @ _log_shares(counts @ spelled).T
    if targets.ndim == 2:
        absent = np.asarray(texts.sum(0)) - counts
        weight = weight - spelled @ _log_shares(absent @ spelled).T
    return np.asarray(weight)


def ngrams_of(word: str) -> list[str]:
    """The n-grams of a word's characters with its ends marked."""
    marked = f"\n{word}\n"
    return [marked[at : at + n] for n in range(SHORTEST, LONGEST + 1) for at in range(len(marked) - n + 1)]


def _log_shares(counts: np.ndarray) -> np.ndarray:
    """Of each row its logarithms of add-one shares."""
    return np.log((counts + 1) / (counts.sum(1, keepdims=True) + counts.shape[1]))
