"""A time limit becomes a number of steps, on a clock that the test moves."""

from __future__ import annotations

import pytest

from rnnkit.training import TrainConfig
from rnnkit.training.budget import EVALUATION_SHARE, Plan, TimeBudget, plan_steps


def measure(budget: TimeBudget, *, first_s: float, step_s: float) -> tuple[int, float]:
    """Steps and seconds until the budget has seen enough; the first three steps are slow."""
    elapsed, steps = 0.0, 0
    while True:
        took = first_s if steps < 3 else step_s
        elapsed, steps = elapsed + took, steps + 1
        if budget.is_measured(step_s=took, elapsed_s=elapsed):
            return steps, elapsed


def seconds_of(plan: Plan, *, step: int, elapsed_s: float, step_s: float, eval_s: float) -> float:
    evals = sum(plan.is_evaluated(s) for s in range(step + 1, plan.total_steps + 1))
    return elapsed_s + (plan.total_steps - step) * step_s + evals * eval_s


@pytest.mark.parametrize("step_s", [0.003, 0.1, 0.7])
@pytest.mark.parametrize("eval_s", [0.001, 0.4, 3.0])
def test_the_plan_fills_the_limit_and_never_passes_it(step_s: float, eval_s: float) -> None:
    limit = 90.0
    budget = TimeBudget(TrainConfig(time_limit_s=limit))
    step, elapsed = measure(budget, first_s=10 * step_s, step_s=step_s)
    elapsed += eval_s
    plan = budget.plan(step=step, elapsed_s=elapsed, eval_s=eval_s, most_steps=None)
    took = seconds_of(plan, step=step, elapsed_s=elapsed, step_s=step_s, eval_s=eval_s)
    assert 0.95 * limit <= took <= limit
    evals = sum(plan.is_evaluated(s) for s in range(step + 1, plan.total_steps + 1))
    assert evals * eval_s <= max(EVALUATION_SHARE * limit, eval_s)


def test_slow_first_calls_are_not_taken_for_typical_steps() -> None:
    plans = []
    for first_s in (0.1, 2.0):
        budget = TimeBudget(TrainConfig(time_limit_s=100.0))
        step, elapsed = measure(budget, first_s=first_s, step_s=0.1)
        plans.append(budget.plan(step=step, elapsed_s=elapsed, eval_s=0.0, most_steps=None).total_steps)
    assert plans[0] - plans[1] == pytest.approx(3 * 1.9 / 0.1, abs=2)  # only the time they took is missing


def test_a_cadence_that_was_asked_for_is_kept_and_paid_for() -> None:
    budget = TimeBudget(TrainConfig(time_limit_s=100.0, eval_every_steps=10))
    step, elapsed = measure(budget, first_s=0.1, step_s=0.1)
    plan = budget.plan(step=step, elapsed_s=elapsed, eval_s=1.0, most_steps=None)
    assert plan.eval_every == 10
    took = seconds_of(plan, step=step, elapsed_s=elapsed, step_s=0.1, eval_s=1.0)
    assert 95 <= took <= 100


def test_a_limit_that_is_too_short_ends_the_run_at_once() -> None:
    budget = TimeBudget(TrainConfig(time_limit_s=1.0))
    step, elapsed = measure(budget, first_s=2.0, step_s=2.0)
    plan = budget.plan(step=step, elapsed_s=elapsed + 1, eval_s=1.0, most_steps=None)
    assert (step, plan.total_steps) == (1, 1)


def test_the_first_end_counts() -> None:
    budget = TimeBudget(TrainConfig(time_limit_s=100.0, max_steps=200))
    step, elapsed = measure(budget, first_s=0.1, step_s=0.1)
    assert budget.plan(step=step, elapsed_s=elapsed, eval_s=0.1, most_steps=200).total_steps == 200


def test_epochs_and_steps_need_no_clock() -> None:
    plan = plan_steps(TrainConfig(epochs=1.5), steps_per_epoch=33.3)
    assert plan == Plan(total_steps=50, eval_every=3)
    assert plan_steps(TrainConfig(epochs=1.5, max_steps=7), steps_per_epoch=33.3) == Plan(total_steps=7, eval_every=1)
    assert plan_steps(TrainConfig(time_limit_s=1), steps_per_epoch=33.3) is None


def test_evaluations_are_counted_from_the_plan_on_and_the_last_step_always_has_one() -> None:
    plan = Plan(total_steps=20, eval_every=6, origin=5)
    assert [step for step in range(21) if plan.is_evaluated(step)] == [11, 17, 20]
    assert Plan(**plan.to_dict()) == plan
