"""Learning rates, against values worked out by hand."""

from __future__ import annotations

import math

import pytest

from rnnkit.training import TrainConfig
from rnnkit.training.schedule import Schedule


def test_warm_up_is_a_straight_line_to_the_peak_and_cosine_ends_at_min_lr() -> None:
    schedule = Schedule(TrainConfig(lr=0.1, min_lr=0.02, warmup_steps=4, max_steps=104), total_steps=104)
    assert [schedule.lr(step) for step in range(5)] == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1])
    assert schedule.lr(54) == pytest.approx(0.06)  # half-way: the mean of both ends
    assert schedule.lr(29) == pytest.approx(0.02 + 0.08 * (1 + math.cos(math.pi / 4)) / 2)
    assert schedule.lr(104) == pytest.approx(0.02)


def test_warm_up_takes_at_most_a_fifth_of_the_run() -> None:
    schedule = Schedule(TrainConfig(lr=1.0, warmup_steps=50, max_steps=20), total_steps=20)
    assert [schedule.lr(step) for step in range(5)] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])


def test_while_a_time_limit_is_being_measured_the_rate_stays_at_its_peak() -> None:
    schedule = Schedule(TrainConfig(lr=1.0, warmup_steps=2), total_steps=None)
    assert [schedule.lr(step) for step in (0, 1, 2, 500)] == [0.5, 1.0, 1.0, 1.0]


def test_constant_stays() -> None:
    schedule = Schedule(TrainConfig(lr=0.3, schedule="constant", warmup_steps=0, max_steps=9), total_steps=9)
    assert {schedule.lr(step) for step in range(9)} == {0.3}


def test_plateau_falls_after_its_patience_and_never_below_min_lr() -> None:
    config = TrainConfig(
        lr=1.0, min_lr=0.3, schedule="plateau", plateau_patience=2, plateau_factor=0.5, warmup_steps=0, max_steps=99
    )
    schedule = Schedule(config, total_steps=99)
    rates = []
    for nll in (3.0, 2.0, 2.5, 2.0, 1.0, 1.5, 1.4, 1.3, 1.2):
        schedule.observe(nll)
        rates.append(schedule.lr(50))
    assert rates == [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.3, 0.3, 0.3]


def test_its_state_goes_on_where_it_was() -> None:
    config = TrainConfig(lr=1.0, schedule="plateau", warmup_steps=0, max_steps=9)
    before, after = Schedule(config, total_steps=9), Schedule(config, total_steps=9)
    for nll in (2.0, 3.0):
        before.observe(nll)
    after.load_state_dict(before.state_dict())
    after.observe(2.5)
    before.observe(2.5)
    assert after.lr(5) == before.lr(5) == 0.25
