"""How long a run is: a number of steps from the start, or a time limit turned once into one."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from rnnkit.training.config import TrainConfig

NUM_EVALUATIONS = 20  # in a run whose cadence nobody chose
EVALUATION_SHARE = 0.05  # of a time limit, at most, when nobody chose the cadence
_FIRST_CALLS = 3  # steps whose cost is not typical: caches fill, threads start
_MEASURED_SHARE = 0.05  # of the time limit, spent on measuring steps
_MEASURED_STEPS = 5
_MARGIN = 0.985  # of the time limit that the plan fills; steps vary by about one per cent over a run


@dataclass(frozen=True)
class Plan:
    """The fixed course of a run. The checkpoint keeps it, so a resumed run is the same run.

    Attributes:
        total_steps: updates in all.
        eval_every:  updates between evaluations, counted from `origin`; the last step is always evaluated.
        origin:      the step at which the plan was made.
    """

    total_steps: int
    eval_every: int
    origin: int = 0

    def is_evaluated(self, step: int) -> bool:
        """Whether an evaluation follows the update that made `step` updates."""
        return step == self.total_steps or (step > self.origin and (step - self.origin) % self.eval_every == 0)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def count_steps(config: TrainConfig, *, steps_per_epoch: float) -> int | None:
    """The number of updates that `max_steps` and `epochs` allow; None when neither is set."""
    limits = [config.max_steps] if config.max_steps is not None else []
    if config.epochs is not None:
        limits.append(max(1, math.ceil(config.epochs * steps_per_epoch)))
    return min(limits, default=None)


def plan_steps(config: TrainConfig, *, steps_per_epoch: float) -> Plan | None:
    """The plan of a run without a time limit; None when there is one, which has to be measured."""
    total = count_steps(config, steps_per_epoch=steps_per_epoch)
    if config.time_limit_s is not None or total is None:
        return None
    return Plan(total_steps=total, eval_every=config.eval_every_steps or math.ceil(total / NUM_EVALUATIONS))


class TimeBudget:
    """Measures the first steps of a run with a time limit, then says how many steps fit.

    The first three steps are not counted (caches fill, threads start). Then steps are measured for 5 % of the limit.
    What an evaluation costs is measured by making one; the plan counts all of them.
    """

    def __init__(self, config: TrainConfig) -> None:
        assert config.time_limit_s is not None
        self.config = config
        self.limit_s: float = config.time_limit_s
        self._steps = 0
        self._seconds = 0.0

    def is_measured(self, *, step_s: float, elapsed_s: float) -> bool:
        """Count one step that took `step_s`; True once enough is known, or half the time is gone."""
        self._steps += 1
        if self._steps <= _FIRST_CALLS:
            self._seconds = 0.0
            return elapsed_s >= self.limit_s / 2
        self._seconds += step_s
        is_enough = self._steps >= _FIRST_CALLS + _MEASURED_STEPS and self._seconds >= _MEASURED_SHARE * self.limit_s
        return is_enough or elapsed_s >= self.limit_s / 2

    def plan(
        self, *, step: int, elapsed_s: float, eval_s: float, most_steps: int | None, step_s: float | None = None
    ) -> Plan:
        """Turn what is left of the limit into steps.

        Args:
            step:       updates done so far.
            elapsed_s:  seconds gone, with the evaluation just made.
            eval_s:     seconds of that evaluation, saving included.
            most_steps: a limit on the number of steps that holds as well, or None.
            step_s:     seconds of a step; None: as measured here.
        """
        measured = self._steps - _FIRST_CALLS
        if step_s is None:
            step_s = self._seconds / measured if measured > 0 else elapsed_s / max(step, 1)
        left_s = max(self.limit_s * _MARGIN - elapsed_s, 0.0)
        every = self.config.eval_every_steps
        if every is None:
            affordable = EVALUATION_SHARE * self.limit_s / max(eval_s, 1e-9)
            num_evals = int(min(max(affordable, 1), NUM_EVALUATIONS))
            more = int(max(left_s - num_evals * eval_s, 0.0) / step_s)
        else:
            more = int(left_s / (step_s + eval_s / every))
            num_evals = max(1, more // every)
        total = max(step + more, 1)
        if most_steps is not None:
            total = max(min(total, most_steps), step)
        return Plan(total_steps=total, eval_every=every or max(1, math.ceil((total - step) / num_evals)), origin=step)
