"""fit: train a task's model, its neural peers after it, and leave a run folder with a bundle and an honest table."""

from __future__ import annotations

import math
import re
import resource
import sys
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from rnnkit.errors import CheckpointError, UsageError
from rnnkit.tasks.machine import describe_machine, threads
from rnnkit.tasks.task import Peer, Task, Trainable, TrainingReport
from rnnkit.training.budget import TimeBudget, count_steps
from rnnkit.training.checkpoint import has_checkpoint, load_checkpoint
from rnnkit.training.config import TrainConfig
from rnnkit.training.run import Observer, Run

_BETWEEN_STARTS = 1_000_003  # seeds: those of further runs lie next to each other

# What a peer takes over from the run it is compared with: the budget, and how the run is kept.
_SHARED_WITH_PEERS = (
    "seed", "batch_size", "batch_tokens", "window", "time_limit_s", "max_steps", "epochs", "eval_every_steps",
    "eval_tokens", "patience", "checkpoint_every_s", "threads",
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

    Order: weights from the seed; steps with their evaluations, and all of it again from other weights while the
    configuration has restarts left and the best ones an error; the bundle at the best evaluation; the task's neural
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

    def train(task: Trainable, folder: Path, config: TrainConfig, *, peers: Collection[str] = ()) -> TrainingReport:
        seeds = [(config.seed + start * _BETWEEN_STARTS) % 2**63 for start in range(config.num_restarts + 1)]
        stopped, seconds = _seed_of(folder, config) if resume else config.seed, 0.0
        first = start = seeds.index(stopped) if stopped in seeds else 0  # else another seed than the run's is refused
        while True:
            with torch.random.fork_rng(devices=[]):  # torch's own generator is left as it was
                own = config.model_copy(update={"seed": seeds[start]})
                run = Run(task, folder, own, resume=resume and start == first, observers=observers, clock=clock)
                if peers and start == first:
                    note(f"{', '.join(peers)} will train after {task.name}, under the same budget")
                run.train()
                if not run.error or start == config.num_restarts:
                    report = run.save_best()
                    training = {**report.training, "seed": config.seed}
                    return replace(report, seconds=report.seconds + seconds, training=training, restarts=start)
            run.give_way()
            seconds += run.seconds
            start += 1
            note(f"{run.error:.2%} wrong: beginning anew from other weights, {start} of {config.num_restarts}")

    def note(text: str) -> None:
        for observer in observers:
            observer({"event": "note", "name": task.name, "text": text})

    with threads(config.threads):
        peers = task.peers()
        report = train(task, run_dir, config, peers=peers)
        reports = []
        for name, peer in peers.items():
            reports.append((name, train(peer.task, run_dir / "baselines" / name, _peer_config(config, peer))))
        metrics = task.finish(run_dir, report=report, peers=reports, note=note)
    for observer in observers:
        observer({"event": "done", "name": task.name, "run_dir": str(run_dir), "metrics": metrics})
    return Result(run_dir=run_dir, metrics=metrics, report=report)


def dry_run(
    task: Task, *, config: TrainConfig, num_steps: int = 8, clock: Callable[[], float] = time.perf_counter
) -> dict[str, Any]:
    """What a run would take, from building each of its models and making a few steps and an evaluation in memory.

    Returns:
        parameters: of the task's model.  parameter_bytes: its weights.
        training_bytes: weights, gradients, what the optimiser keeps; with ema or asgd the average, and the trained
            weights set aside while it is judged.
        peak_bytes: the most that this process has held so far: all of that, the activations of a window and of an
            evaluation, the scores of a chunk of words, the text's share, Python and torch.
        step_s, tokens_per_s, epoch_s: of the model, without evaluations.  eval_s: of an evaluation with its sample.
        unit: what the figures call tokens: "token", or "sequence" where sequences are read whole.
        total_steps, total_s: of the model's training with its evaluations, if patience does not end it before.
        peers_s: the same seconds for each neural peer, by name; they come after it. Counting the n-grams and judging
            all of the test text come last and are in none of these figures.
        machine.
    Cost: writes nothing.
    """
    with threads(config.threads):
        with torch.random.fork_rng(devices=[]):
            estimate = _estimate(task, config, num_steps, clock)
        peers_s = {}
        for name, peer in task.peers().items():
            with torch.random.fork_rng(devices=[]):
                peers_s[name] = _estimate(peer.task, _peer_config(config, peer), num_steps, clock)["total_s"]
    peak = _peak_bytes()
    if config.optimizer == "asgd":  # whose average begins later
        peak += 2 * estimate["parameter_bytes"]
    return {**estimate, "peak_bytes": peak, "peers_s": peers_s, "machine": describe_machine()}


def _seed_of(folder: Path, config: TrainConfig) -> int:
    """The seed of the start that a run was stopped in."""
    last = folder / "checkpoints" / "last"
    return load_checkpoint(last).values["identity"]["training.seed"] if has_checkpoint(last) else config.seed


def _peak_bytes() -> int:
    """The most memory that this process has held; where there is /proc, without what its starter held before it."""
    status = Path("/proc/self/status")
    if status.exists() and (match := re.search(r"^VmHWM:\s*(\d+) kB$", status.read_text(), re.MULTILINE)):
        return int(match[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _peer_config(config: TrainConfig, peer: Peer) -> TrainConfig:
    if peer.later_seed:
        return config.model_copy(update={"seed": config.seed + peer.later_seed})
    shared = {key: getattr(config, key) for key in (*_SHARED_WITH_PEERS, *peer.shares) if hasattr(config, key)}
    return type(config)(**{**shared, **peer.training})


def _estimate(task: Trainable, config: TrainConfig, num_steps: int, clock: Callable[[], float]) -> dict[str, Any]:
    def seconds(work: Callable[[], object]) -> float:
        started = clock()
        work()
        return clock() - started

    run = Run(task, Path(), config)
    steps_s = sorted(seconds(run.step) for _ in range(num_steps))
    step_s = steps_s[num_steps // 2]
    weights = sum(p.nbytes for p in run.model.parameters())
    gradients = sum(p.grad.nbytes for p in run.model.parameters() if p.grad is not None)
    moments = sum(t.nbytes for t in run.optimizer.state_dict().values())
    averages = 2 * weights if config.ema or config.optimizer == "asgd" else 0

    def evaluate() -> None:
        run.model.eval()
        with run.average.applied(), torch.no_grad():
            task.evaluate(run.model, max_tokens=config.eval_tokens)
            task.sample(run.model, seed=config.seed)

    eval_s = seconds(evaluate)
    tokens_per_step = run.tokens_per_step
    steps_per_epoch = task.epoch.tokens / tokens_per_step
    plan = run.plan or TimeBudget(config).plan(
        step=0,
        step_s=step_s,
        elapsed_s=0.0,
        eval_s=eval_s,
        most_steps=count_steps(config, steps_per_epoch=steps_per_epoch),
    )
    return {
        "parameters": sum(p.numel() for p in run.model.parameters()),
        "parameter_bytes": weights,
        "training_bytes": weights + gradients + moments + averages,
        "step_s": step_s,
        "eval_s": eval_s,
        "tokens_per_s": tokens_per_step / step_s,
        "epoch_s": steps_per_epoch * step_s,
        "unit": "sequence" if task.epoch.is_whole and task.epoch.batches is None else "token",
        "total_steps": plan.total_steps,
        "total_s": plan.total_steps * step_s + math.ceil(plan.total_steps / plan.eval_every) * eval_s,
    }
