"""What a precision or a file costs a model on held-out data: `judged`, `relative_loss`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnkit.metrics import score_of
from rnnkit.runtime import Acceptor, BidirectionalLanguageModel, LanguageModel, WindowMLP

MAX_RELATIVE_LOSS = 0.01  # of int8: of the nats per token, or of a classifier's accuracy


def judged(
    model: LanguageModel | BidirectionalLanguageModel | WindowMLP | Acceptor, sample: tuple[Any, np.ndarray]
) -> dict[str, float]:
    """A model's own metric on what its `evaluation_sample` gives: `nats_per_token`, or `accuracy` and more."""
    if isinstance(model, Acceptor):
        return of_decisions(model, model.log_probs(sample[0]), sample[1])
    return {"nats_per_token": model.total_nll(*sample) / len(sample[0])}


def of_decisions(model: Acceptor, log_probs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """`accuracy` and `nats_per_sequence` of a model's log-probabilities [N, C] of what `targets` says."""
    score = score_of(log_probs, targets, model.thresholds)
    return {"accuracy": score.accuracy, "nats_per_sequence": score.nats}


def relative_loss(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    """By which share the metric of `judged` became worse: nats more, or accuracy less; 0 where there was none."""
    if "accuracy" in before:
        return 1 - after["accuracy"] / before["accuracy"] if before["accuracy"] else 0.0
    return after["nats_per_token"] / before["nats_per_token"] - 1 if before["nats_per_token"] else 0.0
