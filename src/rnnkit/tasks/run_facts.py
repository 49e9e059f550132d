"""What metrics.json says of the run itself, whatever its task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rnnkit.metrics import mean_interval
from rnnkit.tasks.machine import commit, describe_machine
from rnnkit.tasks.task import TrainingReport


def over_seeds(figures: Sequence[float]) -> dict[str, float]:
    """What a row says of a model that was trained from several seeds, of the figure of each; of one seed nothing."""
    if len(figures) < 2:
        return {}
    return dict(zip(("seeds_mean", "seeds_low", "seeds_high"), mean_interval(figures), strict=True))


def run_facts(config: Any, report: TrainingReport) -> dict[str, Any]:
    """Time, commit, machine, seed, configuration, curve and course of a run's training."""
    return {
        "train_seconds": report.seconds,
        "steps": report.steps,
        "tokens_per_s": report.tokens_per_s,
        "commit": commit(),
        "machine": describe_machine(),
        "seed": report.training["seed"],
        "config": {**config.model_dump(mode="json"), "training": report.training},
        "curve": report.curve,
        "training": {key: value for key, value in asdict(report).items() if key not in ("curve", "training")},
    }
