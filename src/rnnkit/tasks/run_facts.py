"""What metrics.json says of the run itself, whatever its task."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rnnkit.tasks.machine import commit, describe_machine
from rnnkit.tasks.task import TrainingReport


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
