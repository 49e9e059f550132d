"""Figures of forecasts, by hand and as published for the M4 competition."""

from __future__ import annotations

import numpy as np
import pytest

from rnnkit.errors import ArgumentError
from rnnkit.metrics import distributions
from rnnkit.metrics.forecast import Actual, ForecastScore, Said, naive_error

NAN = float("nan")


def test_figures_by_hand() -> None:
    actual = [Actual(np.array([[10.0, 20.0], [NAN, 0.0]]), 2.0, 5.0)]
    said = [Said(np.array([[12.0, 18.0], [7.0, 0.0]]))]
    score = ForecastScore(actual, said, levels=[0.5])
    smape = (200 * (2 / 22 + 2 / 38) / 2 + 0) / 2
    assert score.figure("smape") == pytest.approx(smape)
    assert score.figure("mase") == pytest.approx((1.0 + 0.0) / 2)
    assert score.figure("rmse") == pytest.approx(np.sqrt(8 / 3))
    assert score.figure("mae") == pytest.approx(4 / 3)
    assert score.figure("crps") == pytest.approx(4 / 3)  # of points the absolute error
    assert score.figure("scaled_mse") == pytest.approx(8 / 3 / 25)
    assert score.by_step == pytest.approx([1.0, 0.5])
    assert "coverage" not in score.to_dict("mase")


def test_quantiles_are_judged_by_crps_and_coverage() -> None:
    actual = [Actual(np.array([[1.0, 5.0]]), 1.0, 1.0)]
    quantiles = np.array([[[0.0, 1.5, 2.0], [0.0, 2.0, 4.0]]])
    score = ForecastScore(actual, [Said(quantiles[..., 1], quantiles)], levels=[0.1, 0.5, 0.9])
    first = 2 * (0.1 * 1 + 0.5 * 0.5 + 0.1 * 1) / 3
    second = 2 * (0.1 * 5 + 0.5 * 3 + 0.9 * 1) / 3
    assert score.figure("crps") == pytest.approx((first + second) / 2)
    assert score.to_dict("crps")["coverage"] == 0.5


def test_a_constant_series_has_no_mase_but_all_else() -> None:
    assert naive_error(np.full(30, 4.0), 7) == 0.0
    actual = [Actual(np.array([[4.0]]), 0.0, 1.0), Actual(np.array([[4.0]]), 1.0, 1.0)]
    score = ForecastScore(actual, [Said(np.array([[5.0]])), Said(np.array([[6.0]]))], levels=[0.5])
    assert score.figure("mase") == 2.0
    assert score.figure("mae") == 1.5


def test_naive_error_is_seasonal_and_passes_over_what_is_missing() -> None:
    assert naive_error(np.array([1.0, 2.0, 4.0, NAN, 5.0]), 2) == pytest.approx((3 + 1) / 2)
    assert naive_error(np.array([1.0, 2.0]), 2) == 1.0
    assert naive_error(np.array([1.0]), 2) == 0.0


def test_the_paired_test_finds_a_difference_and_none_where_there_is_none() -> None:
    generator = np.random.default_rng(0)
    y = generator.normal(size=(60, 4))
    good, bad = Said(y + 0.1 * generator.normal(size=y.shape)), Said(y + generator.normal(size=y.shape))
    scores = [ForecastScore([Actual(y, 1.0, 1.0)], [one], levels=[0.5]) for one in (good, bad, good)]
    assert scores[0].paired(scores[1], "mase")["p_value"] < 0.01
    assert scores[0].paired(scores[2], "mase")["p_value"] == 1.0
    together = ForecastScore([Actual(y, 1.0, 1.0)], [good], levels=[0.5], together=4)
    assert len(together.parts) == 15
    assert together.figure("mase") == pytest.approx(scores[0].figure("mase"))


def test_series_on_one_clock_are_resampled_together() -> None:
    generator = np.random.default_rng(0)
    y = generator.normal(size=(30, 4))
    actual, said = [Actual(y, 1.0, 1.0)] * 5, [Said(np.zeros_like(y))] * 5  # the same five times says no more than once
    alone = ForecastScore(actual[:1], said[:1], levels=[0.5]).to_dict("mase")
    apart = ForecastScore(actual, said, levels=[0.5]).to_dict("mase")
    shared = ForecastScore(actual, said, levels=[0.5], is_one_clock=True).to_dict("mase")
    assert shared["high"] - shared["low"] == pytest.approx(alone["high"] - alone["low"])
    assert apart["high"] - apart["low"] < 0.6 * (alone["high"] - alone["low"])
    assert shared["mase"] == pytest.approx(apart["mase"])


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ArgumentError, match="do not fit what came"):
        ForecastScore([Actual(np.zeros((1, 2)), 1, 1)], [Said(np.zeros((1, 3)))], levels=[0.5])
    with pytest.raises(ArgumentError, match="no value to judge on"):
        ForecastScore([Actual(np.full((1, 2), NAN), 1, 1)], [Said(np.zeros((1, 2)))], levels=[0.5])


def parameters(name: str) -> np.ndarray:
    g = np.random.default_rng(1)
    if name == "normal":
        return np.stack([g.normal(size=50), g.uniform(0.1, 3, 50)], -1)
    if name == "student_t":
        return np.stack([g.normal(size=50), g.uniform(0.1, 3, 50), g.uniform(2, 30, 50)], -1)
    if name == "negative_binomial":
        return np.stack([g.uniform(0.2, 60, 50), g.uniform(0.05, 2, 50)], -1)
    weights = g.dirichlet([1, 1, 1], 50)
    return np.concatenate([weights, g.normal(size=(50, 3)) * 3, g.uniform(0.2, 2, (50, 3))], -1)


NAMES = ("normal", "student_t", "negative_binomial", "mixture")


@pytest.mark.parametrize("name", NAMES)
def test_a_density_adds_up_to_its_distribution_function(name: str) -> None:
    of = parameters(name)
    if name == "negative_binomial":
        grid = np.arange(0, 40.0)
        summed = np.exp(np.stack([distributions.log_prob(name, of, np.full(50, y)) for y in grid])).cumsum(0)
        told = np.stack([distributions.cdf(name, of, np.full(50, y)) for y in grid])
    else:
        grid = np.linspace(-400, 8, 200_001)
        density = np.exp(np.stack([distributions.log_prob(name, of[:5], np.full(5, y)) for y in grid[::4]]))
        summed = (density * (grid[4] - grid[0])).sum(0)[None]
        told = distributions.cdf(name, of[:5], np.full(5, 8.0))[None]
    assert np.abs(summed - told).max() < 2e-3


@pytest.mark.parametrize("name", NAMES)
def test_quantiles_turn_the_distribution_function_round(name: str) -> None:
    of, levels = parameters(name), (0.01, 0.2, 0.5, 0.95)
    found = distributions.quantiles(name, of, levels)
    for column, level in enumerate(levels):
        reached = distributions.cdf(name, of, found[:, column])
        if name == "negative_binomial":
            assert (reached >= level).all()
            assert (distributions.cdf(name, of, found[:, column] - 1) < level).all()
        else:
            assert np.abs(reached - level).max() < 1e-7


@pytest.mark.parametrize("name", NAMES)
def test_draws_have_the_mean_and_the_quantiles(name: str) -> None:
    of, generator = parameters(name)[:8], np.random.default_rng(2)
    drawn = np.stack([distributions.draw(name, of, generator) for _ in range(20_000)])
    spread = drawn.std(0)
    assert (np.abs(drawn.mean(0) - distributions.mean(name, of)) < 0.05 * spread).all()
    median = distributions.quantiles(name, of, (0.5,))[:, 0]
    assert ((drawn <= median).mean(0) > 0.48).all()


def test_a_single_window_has_figures_but_no_interval_and_no_p() -> None:
    actual = [Actual(np.array([[1.0, 2.0]]), 1.0, 1.0)]
    ours, theirs = ([Said(np.array([[1.0 + off, 2.0]]))] for off in (0.5, 1.0))
    scores = [ForecastScore(actual, said, levels=[0.5]) for said in (ours, theirs)]
    figures = scores[0].to_dict("mae")
    assert figures["mae"] == 0.25
    assert not {"low", "high"} & figures.keys()
    assert scores[0].paired(scores[1], "mae") == {"difference": -0.25}
    several = [Actual(np.array([[1.0], [2.0]]), 1.0, 1.0)]
    overlapping = ForecastScore(several, [Said(np.array([[2.0], [2.0]]))], levels=[0.5], together=2)
    assert "low" not in overlapping.to_dict("mae")
