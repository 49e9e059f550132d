"""The n-grams beside a classifier's layers: fitted once on the training texts, weighed on the validation part."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rnnkit.baselines import BagOfNgrams
from rnnkit.baselines.spelled import spelled_weights
from rnnkit.bundle import ngrams as ngrams_file
from rnnkit.bundle.ngrams import NgramList
from rnnkit.metrics import fit_shares
from rnnkit.tasks.classify_score import read_by_baselines
from rnnkit.text.ngrams import NgramNumbers

if TYPE_CHECKING:
    from rnnkit.tasks.classify import LabelledSequences

_HOW = ("order", "vocab_size", "with_ends", "has_several")
_METHODS = ("naive-bayes", "logistic-regression")


class Joined(NamedTuple):
    """What a bundle says of a model with its n-grams, and its logits [N, C] on the validation part."""

    config: dict[str, Any]
    tensors: dict[str, np.ndarray]
    files: dict[str, bytes]
    logits: np.ndarray


class NgramTerm:
    """A linear model of a text's n-grams, and what it adds to a network's logits: a·network + b·n-grams, a, b ≥ 0.

    It is the pool of naive Bayes and logistic regression on the counts of n-grams and, where tokens are words, naive
    Bayes on how these are spelled, which is a weight for every word of the vocabulary. Each is fitted to the training
    part by itself, as the network is; how much each counts has the fewest nats on the validation part. So they err
    apart (a product of experts), and what is added stays linear in the counts.

    Args:   order: tokens in the longest n-gram.
    Raises: MissingExtraError without scikit-learn; ArgumentError for n-grams that do not fit 64 bits.
    Cost:   as `BagOfNgrams.fit`, of both methods.
    Source: Hinton 2002, "Training products of experts by minimizing contrastive divergence"; a linear model beside a
            deep one: Cheng et al. 2016, "Wide & deep learning for recommender systems".
    """

    def __init__(self, sequences: LabelledSequences, order: int) -> None:
        started = time.perf_counter()
        train, targets = read_by_baselines(sequences.train.sequences, sequences.words), sequences.train.targets
        self._valid = sequences.valid
        self._read = read_by_baselines(sequences.valid.sequences, sequences.words)
        how: dict[str, Any] = {"num_labels": len(sequences.labels)}
        of_bag = {**how, "vocab_size": sequences.vocab_size, "order": order, "with_ends": sequences.has_ends}
        self.bag, other = (BagOfNgrams.fit(method, train, targets, **of_bag) for method in _METHODS)
        self._add(other)
        if (words := sequences.spelled_words) is not None:
            weight = spelled_weights(train, targets, words, **how)
            self._add(BagOfNgrams(np.arange(1, len(words) + 1), weight, np.zeros(len(sequences.labels)),
                                  **{name: getattr(self.bag, name) for name in _HOW}))  # fmt: skip
        self.seconds = time.perf_counter() - started

    def _add(self, other: BagOfNgrams) -> None:
        """Pool the bag with another."""
        bag, more = self.bag, other
        own, its = fit_shares(bag.scores(self._read), more.scores(self._read), self._valid.targets)
        grams = np.union1d(bag.grams, more.grams)
        weight = np.zeros((len(grams), len(bag.bias)))
        for share, one in ((own, bag), (its, more)):
            weight[np.searchsorted(grams, one.grams)] += share * one.weight
        self.bag = BagOfNgrams(grams, weight, own * bag.bias + its * more.bias,
                               **{name: getattr(bag, name) for name in _HOW})  # fmt: skip

    def joined(self, config: Mapping[str, Any], tensors: Mapping[str, np.ndarray], logits: np.ndarray) -> Joined:
        """A network's bundle with the n-grams in it. Args: logits: the network's on the validation part, [N, C]."""
        bag, scores = self.bag, self.bag.scores(self._read)
        own, its = fit_shares(logits, scores, self._valid.targets)
        is_end = bag.grams == NgramNumbers(bag.order, bag.vocab_size).end
        bias = bag.bias + 2 * bag.weight[is_end].sum(0)  # every text has both its ends
        grams = bag.grams[~is_end]
        sizes = {"ngram_order": bag.order, "num_ngrams": len(grams)}
        weights = {
            "head.weight": tensors["head.weight"] * own,
            "head.bias": tensors["head.bias"] * own + bias * its,
            "ngrams.weight": bag.weight[~is_end] * its,
        }
        return Joined(
            {**config, "model": {**config["model"], **sizes}},
            {**tensors, **{name: array.astype(np.float32) for name, array in weights.items()}},
            {ngrams_file.NAME: ngrams_file.to_bytes(NgramList(grams, bag.with_ends))},
            own * logits + its * scores,
        )
