"""What a precision or a file costs a model on held-out data: `judged`, `relative_loss`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnnkit.metrics import score_of
from rnnkit.metrics.tagging import TaggingScore
from rnnkit.runtime import (
    Acceptor,
    BidirectionalLanguageModel,
    EncoderDecoder,
    LanguageModel,
    Transducer,
    WindowMLP,
)

MAX_RELATIVE_LOSS = 0.01  # of int8: of the nats per token, a classifier's accuracy, or F1 where labels mark spans


def judged(
    model: LanguageModel | BidirectionalLanguageModel | WindowMLP | Acceptor | Transducer | EncoderDecoder, sample: Any
) -> dict[str, float]:
    """A model's own metric on what its `evaluation_sample` gives: `nats_per_token`, or `accuracy` and more."""
    if isinstance(model, Transducer):
        return of_steps(model, model._scores(sample[0]), sample[1])
    if isinstance(model, Acceptor):
        return of_decisions(model, model.log_probs(sample[0]), sample[1])
    if isinstance(model, EncoderDecoder):
        return {"nats_per_token": float(np.concatenate(model.nll(sample)).mean())}
    return {"nats_per_token": model.total_nll(*sample) / len(sample[0])}


def output_of(model: Mapping[str, Any]) -> str:
    """What the file's first output is called."""
    return "scores" if model.get("crf") else "log_probs"


def of_decisions(model: Acceptor, log_probs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """`accuracy` and `nats_per_sequence` of a model's log-probabilities [N, C] of what `targets` says."""
    score = score_of(log_probs, targets, model.thresholds)
    return {"accuracy": score.accuracy, "nats_per_sequence": score.nats}


def of_steps(model: Transducer, scored: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> dict[str, float]:
    """`accuracy` and `nats_per_step` of a tagger's scores [T, C], and where its labels mark spans their `f1`."""
    gold = [[model.labels[label] for label in row] for row in targets]
    score = TaggingScore(gold, model.decide(scored), of_spans=model.config["model"]["scheme"] is not None)
    of_rows = zip(model.normalised(scored), targets, strict=True)
    nats = [-log_probs[np.arange(len(row)), row] for log_probs, row in of_rows]
    figures = {"accuracy": score.accuracy, "nats_per_step": float(np.concatenate(nats).mean(dtype=np.float64))}
    return figures if score.spans is None else {"f1": score.figure, **figures}


def relative_loss(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    """By which share the metric of `judged` became worse: nats more, or F1 or accuracy less; 0 where there was none."""
    if (name := next((name for name in ("f1", "accuracy") if name in before), None)) is not None:
        return 1 - after[name] / before[name] if before[name] else 0.0
    return after["nats_per_token"] / before["nats_per_token"] - 1 if before["nats_per_token"] else 0.0
