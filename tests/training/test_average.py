"""Averaged weights: their values, when ASGD begins, and that borrowing them leaves no trace."""

from __future__ import annotations

import pytest
import torch

from rnnkit.training import TrainConfig
from rnnkit.training.average import WeightAverage


def model_at(value: float) -> torch.nn.Module:
    model = torch.nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(value)
    return model


def walk(model: torch.nn.Module, average: WeightAverage, values: list[float]) -> None:
    for value in values:
        model.weight.data.fill_(value)
        average.update()


def test_ema_forgets_its_first_steps_soon_and_then_decays_as_asked() -> None:
    model = model_at(1.0)
    average = WeightAverage(model, TrainConfig(ema=0.5, max_steps=1))
    want = 1.0
    for n, value in enumerate([2.0, 3.0, 5.0, 8.0] * 3, start=1):
        walk(model, average, [value])
        decay = min(0.5, (1 + n) / (10 + n))
        want = decay * want + (1 - decay) * value
    with average.applied():
        assert model.weight.item() == pytest.approx(want)


def test_asgd_begins_when_evaluation_stops_improving_and_is_the_plain_mean_from_there() -> None:
    model = model_at(1.0)
    average = WeightAverage(model, TrainConfig(optimizer="asgd", asgd_patience=2, max_steps=1))
    for nll in (3.0, 2.0, 2.5):  # 2.5 is better than the best of two evaluations ago and before
        average.observe(nll)
        walk(model, average, [100.0])
    assert not average.is_active
    average.observe(2.2)  # worse than 2.0, two evaluations ago
    assert average.is_active
    walk(model, average, [1.0, 2.0, 6.0])
    with average.applied():
        assert model.weight.item() == pytest.approx(3.0)


def test_the_trained_weights_come_back_bit_for_bit() -> None:
    model = model_at(1.0)
    average = WeightAverage(model, TrainConfig(ema=0.9, max_steps=1))
    walk(model, average, [0.1, 0.3])
    before = model.weight.detach().clone()
    with pytest.raises(ZeroDivisionError), average.applied():
        assert not torch.equal(model.weight, before)
        raise ZeroDivisionError
    assert torch.equal(model.weight, before)


def test_without_averaging_nothing_is_kept() -> None:
    model = model_at(1.0)
    average = WeightAverage(model, TrainConfig(max_steps=1))
    walk(model, average, [2.0])
    with average.applied():
        assert model.weight.item() == 2.0
    assert average.tensors() == {}


def test_its_state_goes_on_where_it_was() -> None:
    config = TrainConfig(optimizer="asgd", asgd_patience=1, max_steps=1)
    model, other = model_at(1.0), model_at(1.0)
    before, after = WeightAverage(model, config), WeightAverage(other, config)
    for nll in (2.0, 3.0):
        before.observe(nll)
    walk(model, before, [4.0, 6.0])
    after.load_state_dict(before.state_dict(), before.tensors())
    walk(model, before, [8.0])
    walk(other, after, [8.0])
    with before.applied(), after.applied():
        assert torch.equal(model.weight, other.weight)
        assert model.weight.item() == pytest.approx(6.0)
