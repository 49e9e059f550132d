"""Run: one model's training, step by step: order of work, guard against non-finite numbers, evaluation, checkpoints.

Over 400 lines because what a checkpoint holds, and what a resumed run takes from it, is the state of this one order.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch

from rnnkit import durable
from rnnkit.errors import CheckpointError, DataError, DivergedError, TrainingInterrupted
from rnnkit.state import State
from rnnkit.tasks.machine import describe_machine
from rnnkit.tasks.task import Trainable, TrainingReport
from rnnkit.training.average import WeightAverage
from rnnkit.training.budget import Plan, TimeBudget, count_steps, plan_steps
from rnnkit.training.checkpoint import Checkpoint, has_checkpoint, load_checkpoint, save_checkpoint
from rnnkit.training.config import TrainConfig
from rnnkit.training.interrupt import InterruptGuard
from rnnkit.training.optimizer import Clipped, Optimizer, clip_gradients
from rnnkit.training.schedule import Schedule
from rnnkit.training.tbptt import Batch, FullBPTT, TruncatedBPTT, Unrolled, begin

Observer = Callable[[dict[str, Any]], None]

MAX_SKIPPED_IN_ROW = 10
# Choices that do not change the weights, so a resumed run may change them.
_FREE_ON_RESUME = ("training.checkpoint_every_s", "training.threads")


class Run:
    """The state of one training run.

    Args:
        run_dir: receives `checkpoints/last`, `checkpoints/best` and `samples/`; nothing is written before `train`.
        resume:  go on from the folder's last checkpoint, if it has one.
        clock:   seconds; measures the time limit.
    Raises: CheckpointError for a damaged checkpoint, or one of another configuration.
    """

    def __init__(
        self,
        task: Trainable,
        run_dir: Path,
        config: TrainConfig,
        *,
        resume: bool = False,
        observers: Sequence[Observer] = (),
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.task, self.run_dir, self.config = task, run_dir, config
        self._observers, self._clock = observers, clock
        torch.manual_seed(config.seed)
        self.model = task.build_model().train()
        is_whole = task.epoch.is_whole
        self.bptt = FullBPTT() if is_whole else TruncatedBPTT(window=config.window, stride=config.stride)
        self.streams = task.streams(batch_size=config.most_in_batch, window=self.bptt.window, stride=self.bptt.stride)
        self.carry: State | None = None
        self.optimizer = Optimizer(self.model, config)
        self.average = WeightAverage(self.model, config)
        self.tokens_per_step = task.epoch.tokens_per_step(config.batch_size, self.bptt.stride)
        self._steps_per_epoch = task.epoch.tokens / self.tokens_per_step
        self.plan: Plan | None = plan_steps(config, steps_per_epoch=self._steps_per_epoch)
        self._budget = TimeBudget(config) if self.plan is None else None
        self.schedule = Schedule(config, total_steps=self.plan.total_steps if self.plan else None)
        self.counters: dict[str, Any] = {
            "step": 0, "tokens": 0, "skipped": 0, "skipped_in_row": 0, "clipped": 0, "waited": 0, "ended_by": None,
            "best": None, "best_step": None, "loss_sum": 0.0, "loss_count": 0,
        }  # fmt: skip
        self.curve: list[dict[str, Any]] = []
        self._seconds_before = 0.0  # of earlier parts of a resumed run
        self._started = clock()
        self._saved_at = self._started
        self._last = run_dir / "checkpoints" / "last"
        self._best = run_dir / "checkpoints" / "best"
        self._to_beat: list[float] | None = None  # what an earlier start's best weights were judged to be
        if config.num_restarts and has_checkpoint(self._best):
            best = load_checkpoint(self._best)
            self._to_beat = None if self._is_own(best) else best.values["judged"]
        self._is_resumed = resume and has_checkpoint(self._last)
        if self._is_resumed:
            self._restore(load_checkpoint(self._last))

    # ---- the order of work ---------------------------------------------------------------------------------------

    @property
    def seconds(self) -> float:
        """Seconds of training so far, over all resumed parts."""
        return self._seconds_before + self._clock() - self._started

    @property
    def error(self) -> float:
        """Of the best evaluation so far; 0 in a task that has none."""
        return next((at.get("error", 0.0) for at in self.curve if at["step"] == self.counters["best_step"]), 0.0)

    def train(self) -> None:
        """Step until the plan or the patience ends. Raises: DivergedError, TrainingInterrupted."""
        self.run_dir.mkdir(parents=True, exist_ok=True)
        self._started = self._saved_at = self._clock()
        self._announce()
        with InterruptGuard() as interrupt:
            while self.counters["ended_by"] is None:
                before = self._clock()
                event = self.step()
                self._emit(event | self._speed(self._clock() - before))
                self._check_divergence()
                if self.plan is None:
                    self._measure(self._clock() - before)
                elif self.plan.is_evaluated(self.counters["step"]):
                    self._evaluate()
                if interrupt.signal is not None:
                    self._save()
                    raise TrainingInterrupted(
                        f"stopped after step {self.counters['step']}; everything is saved in {self.run_dir}: "
                        "train again with resume to go on"
                    )
                is_due = self._clock() - self._saved_at >= self.config.checkpoint_every_s
                if is_due or self.counters["ended_by"] is not None:
                    self._save()
        self._emit({"event": "end", "ended_by": self.counters["ended_by"]})

    def step(self) -> dict[str, Any]:
        """One window, one update; a loss, gradient or state that is not finite changes no weight. Returns its event."""
        counters, batch = self.counters, self._next_batch()
        unrolled = self.bptt(self.model, batch, self.carry)
        loss = unrolled.mean_loss
        nats = loss.item()
        lr = self.schedule.lr(counters["step"])
        self.optimizer.zero_grad()
        clipped, rates = Clipped(norm=math.nan, is_clipped=False), None
        if math.isfinite(nats) and _is_finite(unrolled.carry):
            self._with_penalty(loss, unrolled).backward()
            rates = self._rates()
            clipped = clip_gradients(
                self.optimizer.parameters.values(), max_norm=self.config.clip_norm, max_value=self.config.clip_value
            )
        counters["step"] += 1
        event = {"event": "step", "step": counters["step"], "loss": nats, "lr": lr, "grad_norm": clipped.norm}
        if not math.isfinite(clipped.norm):
            return event | self._skip(batch)
        self.optimizer.step(lr=lr, rates=rates)
        self.average.update()
        self.carry = unrolled.carry
        epoch = self.task.epoch
        counts_rows = epoch.is_whole and epoch.batches is None
        counted = len(batch.lengths) if counts_rows else int(unrolled.weights.count_nonzero())
        counters["skipped_in_row"] = 0
        counters["tokens"] += counted
        counters["clipped"] += clipped.is_clipped
        counters["loss_sum"] += nats * counted
        counters["loss_count"] += counted
        return event | {"clip_share": counters["clipped"] / (counters["step"] - counters["skipped"])}

    def save_best(self) -> TrainingReport:
        """Write the bundle of the best weights of this and of earlier starts to the run folder.

        Returns: what the training of that start took, with the seconds of this one.
        """
        best = load_checkpoint(self._best)
        self.model.load_state_dict(best.group("model"))
        self.model.eval()
        self.task.save(self.model, self.run_dir)
        if self._is_own(best):
            return self._report(best)
        return dataclasses.replace(TrainingReport(**best.values["report"]), seconds=self._seconds_before)

    def give_way(self) -> None:
        """Keep what this start took beside its weights, if they are the best so far: another start begins."""
        best = load_checkpoint(self._best)
        if self._is_own(best):
            values = {**best.values, "report": dataclasses.asdict(self._report(best))}
            save_checkpoint(self._best, Checkpoint(values=values, tensors=best.tensors))

    def _is_own(self, best: Checkpoint) -> bool:
        return best.values.get("seed", self.config.seed) == self.config.seed  # a single start is not named

    def _report(self, best: Checkpoint) -> TrainingReport:
        counters = self.counters
        return TrainingReport(
            seconds=self._seconds_before,
            steps=counters["step"],
            tokens=counters["tokens"],
            skipped=counters["skipped"],
            best_step=int(best.values["step"]),
            curve=self.curve,
            training=self.config.model_dump(mode="json"),
            ended_by=counters["ended_by"],
        )

    # ---- one step ------------------------------------------------------------------------------------------------

    def _next_batch(self) -> Batch:
        """The next window; after the last one of an epoch, the first of the next."""
        for _ in range(2):
            with contextlib.suppress(StopIteration):
                return next(self.streams)
        raise DataError("the training text gives no window; give more text")

    def _rates(self) -> dict[str, float] | None:
        """What the rate of each parameter is multiplied by; one of 0 loses its gradient. None: all learn alike."""
        rate_of = getattr(self.model, "rate_of", None)
        if rate_of is None:
            return None
        epochs = self.counters["tokens"] / self.task.epoch.tokens
        rates = {name: rate_of(name, epochs) for name in self.optimizer.parameters}
        for name, rate in rates.items():
            if not rate:
                self.optimizer.parameters[name].grad = None
        return rates

    def _with_penalty(self, loss: torch.Tensor, unrolled: Unrolled) -> torch.Tensor:
        if not (self.config.ar or self.config.tar):
            return loss
        penalty = self.task.penalty(unrolled.hidden, unrolled.lengths, ar=self.config.ar, tar=self.config.tar)
        return loss + penalty

    def _skip(self, batch: Batch) -> dict[str, Any]:
        """Count a step that touches nothing; rows that began a document in it still leave the one before."""
        self.optimizer.zero_grad()
        if self.carry is not None:
            self.carry = begin(self.model, batch, self.carry)
        self.counters["skipped"] += 1
        self.counters["skipped_in_row"] += 1
        return {"event": "skip", "in_row": self.counters["skipped_in_row"]}

    def _check_divergence(self) -> None:
        if self.counters["skipped_in_row"] < MAX_SKIPPED_IN_ROW:
            return
        self._save()  # no step that was not finite has touched the weights: these are the last good ones
        what = f"loss or gradient was not finite {MAX_SKIPPED_IN_ROW} times in a row"
        self._diverged(what, kept=f"the last good weights are in {self._last}")

    def _diverged(self, what: str, *, kept: str) -> NoReturn:
        lr = self.config.lr
        raise DivergedError(
            f"{self.task.name}: {what}, up to step {self.counters['step']}; {kept}; "
            f"train again with a lower training.lr, for example {lr / 4:g} instead of {lr:g}"
        )

    def _speed(self, step_s: float) -> dict[str, Any]:
        tokens_per_s = self.tokens_per_step / step_s if step_s else 0.0
        eta = None
        if self.plan is not None:
            done = self.counters["step"]
            eta = self.seconds / done * (self.plan.total_steps - done)
        elif self._budget is not None:
            eta = max(self._budget.limit_s - self.seconds, 0.0)
        return {
            "total_steps": self.plan.total_steps if self.plan else None,
            "tokens_per_s": tokens_per_s,
            "characters_per_s": tokens_per_s * self.task.epoch.characters_per_token,
            "skipped": self.counters["skipped"],
            "epoch": self.counters["tokens"] / self.task.epoch.tokens,
            "eta_s": eta,
        }

    # ---- time limit ----------------------------------------------------------------------------------------------

    def _measure(self, step_s: float) -> None:
        """Once the first steps are measured, fix the plan and save it: from here on a resumed run is the same run."""
        assert self._budget is not None
        most_steps = count_steps(self.config, steps_per_epoch=self._steps_per_epoch)
        if not self._budget.is_measured(step_s=step_s, elapsed_s=self.seconds) and self.counters["step"] != most_steps:
            return
        before = self._clock()
        self._evaluate()
        eval_s = self._clock() - before
        self.plan = self._budget.plan(
            step=self.counters["step"], elapsed_s=self.seconds, eval_s=eval_s, most_steps=most_steps
        )
        self.schedule.total_steps = self.plan.total_steps
        if self.counters["step"] >= self.plan.total_steps:
            self.counters["ended_by"] = "budget"
        self._emit({"event": "plan", **self.plan.to_dict()})
        self._save()

    # ---- evaluation ----------------------------------------------------------------------------------------------

    def _evaluate(self) -> None:
        """Judge the (averaged) weights on held-out text; keep the best; end the run when the plan or patience does."""
        counters, step = self.counters, self.counters["step"]
        self.model.eval()
        with self.average.applied(), torch.no_grad():
            scores = self.task.evaluate(self.model, max_tokens=self.config.eval_tokens)
            nll = scores["nll"]
            if not math.isfinite(nll):  # the weights just judged are not good: nothing is saved over good ones
                best = counters["best_step"]
                kept = (
                    "none was good before" if best is None else f"the best weights, of step {best}, are in {self._best}"
                )
                self._diverged(f"the loss on held-out text is {nll}", kept=kept)
            sample = self.task.sample(self.model, seed=self.config.seed)
            judged = [scores.get("error", nll), nll]  # of two with the same error the one of fewer nats
            is_best = counters["best"] is None or judged < counters["best"]
            if is_best:
                counters.update(best=judged, best_step=step, waited=0)
                if self._to_beat is None or judged < self._to_beat:
                    values = {"step": step, "nll": nll}
                    values |= {"judged": judged, "seed": self.config.seed} if self.config.num_restarts else {}
                    model = {f"model/{name}": t for name, t in self.model.state_dict().items()}
                    save_checkpoint(self._best, Checkpoint(values=values, tensors=model))
            else:
                counters["waited"] += 1
        self.model.train()
        self.schedule.observe(nll)
        self.average.observe(nll)
        loss = counters["loss_sum"] / counters["loss_count"] if counters["loss_count"] else None
        counters.update(loss_sum=0.0, loss_count=0)
        entry = {"step": step, "seconds": self.seconds, "tokens": counters["tokens"], "loss": loss, **scores}
        self.curve.append(entry)
        self._emit({"event": "eval", **entry, "is_best": is_best})
        if sample is not None:
            folder = self.run_dir / "samples"
            folder.mkdir(exist_ok=True)
            durable.write_file(folder / f"step-{step:06d}.txt", sample.encode())
            self._emit({"event": "sample", "step": step, "text": sample})
        if self.config.patience is not None and counters["waited"] >= self.config.patience:
            counters["ended_by"] = "patience"
        elif self.plan is not None and step >= self.plan.total_steps:
            counters["ended_by"] = "budget"

    # ---- checkpoints ---------------------------------------------------------------------------------------------

    def _identity(self) -> dict[str, Any]:
        training = {f"training.{key}": value for key, value in self.config.model_dump(mode="json").items()}
        return {**training, **self.task.identity()}

    def _save(self) -> None:
        """Write `checkpoints/last`: what the next step depends on, and what was learned about the run so far."""
        self._seconds_before, self._started = self.seconds, self._clock()
        values = {
            "identity": self._identity(),
            "counters": self.counters,
            "curve": self.curve,
            "plan": self.plan.to_dict() if self.plan else None,
            "schedule": self.schedule.state_dict(),
            "average": self.average.state_dict(),
            "streams": self.streams.state_dict(),
            "seconds": self._seconds_before,
            "carry": None if self.carry is None else [list(parts) for parts in self.carry.layers],
            "machine": describe_machine(),
        }
        carry = [] if self.carry is None else list(self.carry.layers)
        groups: dict[str, Mapping[str, torch.Tensor]] = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.tensors(),
            "carry": {f"{index}.{part}": t for index, parts in enumerate(carry) for part, t in parts.items()},
            "rng": {"torch": torch.get_rng_state()},
        }
        tensors = {f"{group}/{name}": t for group, named in groups.items() for name, t in named.items()}
        save_checkpoint(self._last, Checkpoint(values=values, tensors=tensors))
        self._saved_at = self._clock()
        self._emit({"event": "checkpoint", "path": str(self._last)})

    def _restore(self, checkpoint: Checkpoint) -> None:
        values = checkpoint.values
        _check_identity(values["identity"], self._identity(), self._last)
        self.model.load_state_dict(checkpoint.group("model"))
        self.optimizer.load_state_dict(checkpoint.group("optimizer"))
        self.average.load_state_dict(values["average"], checkpoint.group("average"))
        self.schedule.load_state_dict(values["schedule"])
        self.streams.load_state_dict(values["streams"])
        if values["carry"] is not None:
            tensors = checkpoint.group("carry")
            self.carry = State([{part: tensors[f"{i}.{part}"] for part in ps} for i, ps in enumerate(values["carry"])])
        self.counters, self.curve, self._seconds_before = values["counters"], values["curve"], values["seconds"]
        if values["plan"] is not None:
            self.plan, self._budget = Plan(**values["plan"]), None
            self.schedule.total_steps = self.plan.total_steps
        torch.set_rng_state(checkpoint.tensors["rng/torch"])
        self._machine_before = values["machine"]

    # ---- observers -----------------------------------------------------------------------------------------------

    def _announce(self) -> None:
        machine = describe_machine()
        self._emit(
            {
                "event": "start",
                "is_resumed": self._is_resumed,
                "parameters": sum(p.numel() for p in self.model.parameters()),
                "unit": self.task.epoch.unit,
                "loss_unit": self.task.epoch.loss_unit or self.task.epoch.unit,
                "loss_in": self.task.epoch.loss,
                "run_dir": str(self.run_dir),
                "machine": machine,
            }
        )
        if self._is_resumed:
            now, before = machine["isa"], self._machine_before["isa"]  # the number of threads changes no bit
            if now != before:
                text = f"resumed with isa {now}, began with {before}: last bits may differ"
                self._emit({"event": "note", "text": text})
        if self.plan is not None:
            self._emit({"event": "plan", **self.plan.to_dict()})

    def _emit(self, event: dict[str, Any]) -> None:
        event = {"name": self.task.name, "step": self.counters["step"], "seconds": self.seconds, **event}
        for observer in self._observers:
            observer(event)


def _is_finite(carry: State | None) -> bool:
    return carry is None or all(
        bool(t.isfinite().all()) for parts in carry.layers for t in parts.values() if t.is_floating_point()
    )


def _check_identity(before: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> None:
    run = folder.parent.parent
    for key in {**now, **before}:  # in the task's order: what was chosen, before what came of it
        if key in _FREE_ON_RESUME or before.get(key) == now.get(key):
            continue
        if "." not in key:
            raise CheckpointError(
                f"the {key} is not the one that the run in {run} began with; bring that one back, or train into "
                "another folder"
            )
        raise CheckpointError(
            f"{key} is {now.get(key)!r}, the run in {run} was trained with {before.get(key)!r}; "
            f"resume with {key}={before.get(key)!r}, or train into another folder"
        )
