"""fit: train a task's model, its neural peers after it, and leave a run folder with a bundle and an honest table."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rnnkit.errors import CheckpointError, UsageError
from rnnkit.tasks.machine import describe_machine, threads
from rnnkit.tasks.task import Task, Trainable, TrainingReport
from rnnkit.training.checkpoint import has_checkpoint
from rnnkit.training.config import TrainConfig
from rnnkit.training.run import Observer, Run

# What a peer takes over from the run it is compared with: the budget, and how the run is kept.
_SHARED_WITH_PEERS = (
    "seed", "batch_size", "window", "time_limit_s", "max_steps", "epochs", "eval_every_steps", "eval_tokens",
    "patience", "checkpoint_every_s", "threads",
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """A finished run: its folder (the bundle), the content of `metrics.json`, and what training took."""

    run_dir: Path
    metrics: dict[str, Any]
    report: TrainingReport


def fit(
    task: Task,
    *,
    run_dir: str | Path,
    config: TrainConfig,
    observers: Sequence[Observer] = (),
    resume: bool = False,
    clock: Callable[[], float] = time.perf_counter,
) -> Result:
    """Train `task` into `run_dir`.

    Order: weights from the seed; steps with their evaluations; the bundle at the best evaluation; the task's neural
    peers under the same budget, each in `run_dir/baselines/<name>`; the table of all baselines in `metrics.json`.

    Args:
        observers: called with every event, a dict whose `event` is one of start, plan, step, skip, eval, sample,
            checkpoint, note, end, done; they may look, not touch. An exception in one ends the run.
        resume:    go on from `run_dir/checkpoints/last`: the weights come out bit-equal to a run that was never
            stopped. A run stopped before its first checkpoint starts anew.
        clock:     seconds, for tests.
    Raises:
        UsageError: `run_dir` holds a run already and `resume` is False.
        CheckpointError: nothing to resume, a damaged checkpoint, or one of another configuration, naming the key.
        DivergedError: ten losses or gradients in a row were not finite.
        TrainingInterrupted: SIGINT or SIGTERM; the run can be resumed.
    """
    run_dir = Path(run_dir)
    if not resume and has_checkpoint(run_dir / "checkpoints" / "last"):
        raise UsageError(f"{run_dir} already holds a run; resume it, or choose another folder")
    if resume and not run_dir.is_dir():
        raise CheckpointError(f"{run_dir} does not exist, so there is nothing to resume; leave resume out")

    def train(task: Trainable, folder: Path, config: TrainConfig) -> TrainingReport:
        with torch.random.fork_rng(devices=[]):  # torch's own generator is left as it was
            run = Run(task, folder, config, resume=resume, observers=observers, clock=clock)
            run.train()
            return run.save_best()

    with threads(config.threads):
        report = train(task, run_dir, config)
        reports = []
        for name, peer in task.peers().items():
            shared = {key: getattr(config, key) for key in _SHARED_WITH_PEERS}
            peer_config = TrainConfig(**{**shared, **peer.training})
            reports.append((name, train(peer.task, run_dir / "baselines" / name, peer_config)))
        metrics = task.finish(run_dir, report=report, peers=reports)
    for observer in observers:
        observer({"event": "done", "name": task.name, "run_dir": str(run_dir), "metrics": metrics})
    return Result(run_dir=run_dir, metrics=metrics, report=report)


def dry_run(task: Task, *, config: TrainConfig, num_steps: int = 8) -> dict[str, Any]:
    """What a run would take, from building the model and making a few steps in memory; writes nothing.

    Returns: `parameters`; `parameter_bytes`, `training_bytes` (weights, gradients, optimiser, average); `step_s`;
        `tokens_per_s`; `epoch_s`; `total_steps` and `total_s` (None without an end in steps or seconds); `machine`.
    """
    with threads(config.threads), torch.random.fork_rng(devices=[]):
        run = Run(task, Path(), config)
        times = []
        for _ in range(num_steps):
            started = time.perf_counter()
            run.step()
            times.append(time.perf_counter() - started)
    step_s = sorted(times)[len(times) // 2]
    parameters = sum(p.numel() for p in run.model.parameters())
    copies = 2 + (2 if config.optimizer == "adamw" else bool(config.momentum)) + bool(config.ema)
    stride = config.stride or config.window
    tokens_per_step = config.batch_size * stride
    steps_per_epoch = task.epoch.tokens / tokens_per_step
    total_steps = run.plan.total_steps if run.plan else math.floor((config.time_limit_s or 0) / step_s)
    return {
        "parameters": parameters,
        "parameter_bytes": 4 * parameters,
        "training_bytes": 4 * parameters * copies,
        "step_s": step_s,
        "tokens_per_s": tokens_per_step / step_s,
        "epoch_s": steps_per_epoch * step_s,
        "total_steps": total_steps,
        "total_s": total_steps * step_s,
        "machine": describe_machine(),
    }
