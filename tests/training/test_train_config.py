"""TrainConfig refuses what would do nothing and says what it means."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from rnnkit.training import TrainConfig
from rnnkit.training.config import DEFAULT_TIME_LIMIT_S


def test_it_survives_json_both_ways() -> None:
    config = TrainConfig(optimizer="sgd", momentum=0.5, lr=1.0, max_steps=3)
    assert TrainConfig(**json.loads(config.model_dump_json())) == config


def test_without_an_end_a_run_takes_the_default_time() -> None:
    assert TrainConfig().time_limit_s == DEFAULT_TIME_LIMIT_S
    assert TrainConfig(max_steps=3).time_limit_s is None
    assert TrainConfig(epochs=0.5).time_limit_s is None


def test_every_field_says_what_it_is() -> None:
    assert [name for name, field in TrainConfig.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 33}, "stride 33 is longer than window 32"),
        ({"betas": (0.9, 1.0)}, r"betas are \[0.9, 1.0\]"),
        ({"min_lr": 1.0}, "min_lr 1 is above lr 0.005"),
        ({"ema": 0.9, "optimizer": "asgd"}, "both average the weights"),
        ({"momentum": 0.9}, "momentum has no effect with optimizer adamw: leave it out, or use sgd or asgd"),
        ({"optimizer": "sgd", "betas": (0.8, 0.9)}, "betas has no effect with optimizer sgd"),
        ({"plateau_factor": 0.1}, "plateau_factor has no effect with schedule cosine"),
        ({"schedule": "constant", "min_lr": 1e-4}, "min_lr has no effect with schedule constant"),
        ({"learning_rate": 1}, "learning_rate"),
        ({"lr": float("nan")}, "lr"),
        ({"lr": 0}, "lr"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TrainConfig(**options)
