"""The table of a classification run: the saved model beside its baselines, on the same sequences, as `metrics.json`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnkit import durable
from rnnkit.baselines import BagOfNgrams, NearestSeries
from rnnkit.bundle import strict_json
from rnnkit.metrics import best_thresholds, score_of
from rnnkit.runtime import Acceptor
from rnnkit.tasks.classify_config import ClassifyConfig
from rnnkit.tasks.classify_details import details
from rnnkit.tasks.classify_score import LAYERS, NGRAMS, Judged, read_by_baselines, rows_of
from rnnkit.tasks.run_facts import over_seeds, run_facts
from rnnkit.tasks.task import TrainingReport

if TYPE_CHECKING:
    from rnnkit.tasks.classify import LabelledSequences, Part
    from rnnkit.tasks.classify_ngrams import NgramTerm


def judge(
    run_dir: Path,
    *,
    name: str,
    config: ClassifyConfig,
    sequences: LabelledSequences,
    report: TrainingReport,
    others: Sequence[tuple[str, TrainingReport]] = (),
    temperature: float | None = None,
    task: str = "classify",
    made: Mapping[str, Any] | None = None,
    ngrams: NgramTerm | None = None,
    more: Callable[[Sequence[Judged]], Mapping[str, Any]] = lambda judged: {},
) -> dict[str, Any]:
    """Score the bundle in `run_dir` and its baselines, fitted here and saved in `run_dir/baselines`, on the test part.

    Validation sequences choose the model's weights, and of several labels everybody's thresholds: no baseline has
    another choice.

    Args:    others: the model from further seeds, in `run_dir/baselines` too.  task: whose run it is.
             temperature: what the model's logits were divided by; None: by nothing.
             made: baselines, by name, that are not fitted.  ngrams: what the model has beside its layers; each of
             the two parts alone is then a row of its own.  more: further entries.
    Returns: what it writes to `run_dir/metrics.json`.
    """
    model, test = Acceptor.load(run_dir), sequences.test
    own = {
        "bytes": (run_dir / "model.safetensors").stat().st_size,
        "num_parameters": model.num_parameters,
        "train_seconds": report.seconds,
    }
    judged = [Judged(name, model.log_probs(test.sequences), own, model.thresholds)]
    judged += [_baseline(kind, config, sequences, run_dir, (made or {}).get(kind)) for kind in sequences.baselines]
    layers = None
    if ngrams is not None:
        judged.append(_judged(NGRAMS, ngrams.bag, ngrams.seconds, config, sequences, run_dir))
        layers = Acceptor.load(run_dir / "baselines" / LAYERS)
        parts = {**own, "num_parameters": layers.num_parameters}
        judged.append(Judged(LAYERS, layers.log_probs(test.sequences), parts, layers.thresholds))
    row, *baselines = rows_of(judged, test.targets)
    seeds = [{"seed": report.training["seed"], "accuracy": row["accuracy"], "nats": row["nats"]}]
    alone = [baselines[-1]["accuracy"]]
    for other, its_report in others:
        folder = run_dir / "baselines" / other
        score = _scored(folder, test)
        seeds.append({"seed": its_report.training["seed"], "accuracy": score.accuracy, "nats": score.nats})
        if layers is not None:
            alone.append(_scored(folder / "baselines" / LAYERS, test).accuracy)
    row |= over_seeds([one["accuracy"] for one in seeds])
    if layers is not None:
        baselines[-1] |= over_seeds(alone)
    metrics = {
        "task": task,
        "model": row,
        "baselines": baselines,
        "labels": sequences.labels,
        **more(judged),
        "report": details(model, judged[0].log_probs, test, sequences.labels, temperature=temperature),
        **run_facts(config, report),
        "right": _right(judged[0], test),
        "seeds": seeds,
        "data": {part: _describe(of_part, sequences.labels) for part, of_part in sequences.parts().items()},
    }
    durable.write_file(run_dir / "metrics.json", strict_json.dumps(metrics))
    return metrics


def _scored(folder: Path, test: Part) -> Any:
    """The score of a bundle."""
    model = Acceptor.load(folder)
    return score_of(model.log_probs(test.sequences), test.targets, model.thresholds)


def _right(model: Judged, test: Part) -> str:
    """A 1 for every test sequence that the model is right about, in their order, else a 0: `compare` pairs them."""
    is_correct = score_of(model.log_probs, test.targets, model.thresholds).is_correct
    return "".join("01"[right] for right in is_correct.tolist())


def bag_order(config: ClassifyConfig, sequences: LabelledSequences) -> int:
    """Tokens in the longest n-gram of the baselines."""
    return config.baselines.ngram_order or (4 if sequences.has_ends else 2)


def _baseline(kind: str, config: ClassifyConfig, sequences: LabelledSequences, run_dir: Path, made: Any) -> Judged:
    train = sequences.train
    started = time.perf_counter()
    if made is not None:
        model = made
    elif kind == "1nn-dtw":
        model = NearestSeries(train.sequences, train.targets, num_labels=len(sequences.labels))
    else:
        model = BagOfNgrams.fit(
            kind,
            read_by_baselines(train.sequences, sequences.words),
            train.targets,
            num_labels=len(sequences.labels),
            vocab_size=sequences.vocab_size,
            order=bag_order(config, sequences),
            with_ends=sequences.has_ends,
        )
    return _judged(kind, model, time.perf_counter() - started, config, sequences, run_dir)


def _judged(
    name: str, model: Any, seconds: float, config: ClassifyConfig, sequences: LabelledSequences, run_dir: Path
) -> Judged:
    """A fitted baseline, once it is saved."""
    model.save(run_dir / "baselines" / name)
    own = {"bytes": model.num_bytes, "train_seconds": seconds}
    thresholds = None
    if sequences.has_several and config.loss.thresholds != "half":
        valid, targets = read_by_baselines(sequences.valid.sequences, sequences.words), sequences.valid.targets
        log_probs = model.log_probs(valid)
        thresholds = best_thresholds(log_probs, targets, shared=config.loss.thresholds == "shared")
        own["thresholds"] = thresholds.tolist()
    test = read_by_baselines(sequences.test.sequences, sequences.words)
    return Judged(name, model.log_probs(test), own, thresholds)


def _describe(part: Part, labels: list[str]) -> dict[str, Any]:
    lengths = np.array([len(sequence) for sequence in part.sequences])
    is_single = part.targets.ndim == 1
    counts = np.bincount(part.targets, minlength=len(labels)) if is_single else part.targets.sum(0)
    return {
        "num_sequences": len(part),
        "num_steps": int(lengths.sum()),
        "longest": int(lengths.max()),
        "per_label": dict(zip(labels, counts.tolist(), strict=True)),
        "fingerprint": part.examples.fingerprint,
    }
