"""The n-grams beside a classifier's layers: fitted once on the training texts, weighed on the validation part."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rnnkit.baselines import BagOfNgrams
from rnnkit.bundle import ngrams as ngrams_file
from rnnkit.bundle.ngrams import NgramList
from rnnkit.metrics import fit_shares
from rnnkit.tasks.classify_score import read_by_baselines
from rnnkit.text.ngrams import NgramNumbers

if TYPE_CHECKING:
    from rnnkit.tasks.classify import LabelledSequences

METHOD = "logistic-regression"


class Joined(NamedTuple):
    """What a bundle says of a model with its n-grams, and its logits [N, C] on the validation part."""

    config: dict[str, Any]
    tensors: dict[str, np.ndarray]
    files: dict[str, bytes]
    logits: np.ndarray


class NgramTerm:
    """A bag of n-grams that is added to a network's logits: a·network + b·bag, both at least 0, with the fewest nats.

    The two never see each other while they are trained, and so err apart (a product of experts). What is added is
    linear in the network's features and in the counts: the bundle has scaled weights of both, and nothing else.

    Args:   order: tokens in the longest n-gram.
    Raises: MissingExtraError without scikit-learn; ArgumentError for n-grams that do not fit 64 bits.
    Cost:   as `BagOfNgrams.fit`.
    Source: Hinton 2002, "Training products of experts by minimizing contrastive divergence"; a linear model beside a
            deep one: Cheng et al. 2016, "Wide & deep learning for recommender systems".
    """

    def __init__(self, sequences: LabelledSequences, order: int) -> None:
        started = time.perf_counter()
        self._valid = sequences.valid
        self._words = sequences.words
        self.bag = BagOfNgrams.fit(
            METHOD,
            read_by_baselines(sequences.train.sequences, self._words),
            sequences.train.targets,
            num_labels=len(sequences.labels),
            vocab_size=sequences.vocab_size,
            order=order,
            with_ends=sequences.has_ends,
        )
        self.seconds = time.perf_counter() - started

    def joined(self, config: Mapping[str, Any], tensors: Mapping[str, np.ndarray], logits: np.ndarray) -> Joined:
        """A network's bundle with the n-grams in it. Args: logits: the network's on the validation part, [N, C]."""
        bag, scores = self.bag, self.bag.scores(read_by_baselines(self._valid.sequences, self._words))
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
