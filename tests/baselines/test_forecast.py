"""What a forecaster must beat: equations by hand, no later value changes a forecast, saved and loaded alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnnkit.baselines import statistical
from rnnkit.baselines.forecast import FORECAST_BASELINES, ForecastBaseline
from rnnkit.errors import DataError

LEVELS = (0.05, 0.5, 0.95)


def series(count: int = 3, steps: int = 120) -> list[np.ndarray]:
    generator = np.random.default_rng(4)
    t = np.arange(steps)
    return [50 * (k + 1) + 10 * np.sin(t * np.pi / 3) + 0.1 * t + generator.normal(size=steps) for k in range(count)]


def fitted(kind: Any, values: list[np.ndarray]) -> ForecastBaseline:
    return ForecastBaseline.fit(
        kind, values, ends=[90] * len(values), horizon=8, window=14, season=6, levels=LEVELS
    )  # fmt: skip


def test_naive_forecasts_by_hand() -> None:
    values, at = [np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0])], [np.array([2, 7])]
    how: Any = {"season": 3, "window": 4, "levels": LEVELS, "errors": np.zeros((5, 3))}
    last, season, drift = (
        ForecastBaseline(kind, **how).backtest(values, at, horizon=5)[0].point
        for kind in ("last-value", "seasonal-naive", "drift")
    )
    assert last.tolist() == [[2.0] * 5, [64.0] * 5]
    assert season.tolist() == [[2.0, 1.0, 2.0, 2.0, 1.0], [16.0, 32.0, 64.0, 16.0, 32.0]]
    assert drift[1].tolist() == [64 + k * 63 / 6 for k in range(1, 6)]


@pytest.mark.parametrize("kind", FORECAST_BASELINES)
def test_no_later_value_changes_a_forecast(kind: str) -> None:
    values, at = series(), [np.array([1, 20, 100])] * 3
    model = fitted(kind, values)
    before = model.backtest(values, at, horizon=8)
    for column in range(3):
        changed = [one.copy() for one in values]
        for one in changed:
            one[at[0][column] :] = 1e9
        after = model.backtest(changed, at, horizon=8)
        for left, right in zip(before, after, strict=True):
            assert np.array_equal(left.point[column], right.point[column])
            assert np.array_equal(left.quantiles[column], right.quantiles[column])  # type: ignore[index]


@pytest.mark.parametrize("kind", FORECAST_BASELINES)
def test_one_is_the_same_after_saving_and_its_intervals_hold_their_share(kind: str, tmp_path: Path) -> None:
    values, at = series(), [np.arange(90, 112)] * 3
    model = fitted(kind, values)
    model.save(tmp_path / kind)
    said = model.backtest(values, at, horizon=8)
    again = ForecastBaseline.load(tmp_path / kind).backtest(values, at, horizon=8)
    inside = []
    for one, left, right in zip(values, said, again, strict=True):
        assert np.array_equal(left.point, right.point)
        assert np.array_equal(left.quantiles, right.quantiles)  # type: ignore[arg-type]
        came = one[at[0][:, None] + np.arange(8)]
        assert left.quantiles is not None
        inside.append((left.quantiles[..., 0] <= came) & (came <= left.quantiles[..., -1]))
    assert np.mean(inside) > 0.7
    (tmp_path / kind / "forecast.npz").write_bytes(b"x")
    with pytest.raises(DataError, match="damaged"):
        ForecastBaseline.load(tmp_path / kind)


def test_a_linear_autoregression_finds_a_linear_rule() -> None:
    values = [np.sin(np.arange(150) * np.pi / 3 + k) for k in range(3)]
    said = fitted("ridge", values).backtest(values, [np.array([100])] * 3, horizon=8)
    for one, of in zip(values, said, strict=True):
        assert np.abs(of.point[0] - one[100:108]).max() < 0.05


@pytest.mark.parametrize("kind", statistical.STATISTICAL)
def test_statistical_ones_forecast_from_what_is_before_each_origin(kind: Any) -> None:
    pytest.importorskip("statsforecast", reason="statsforecast is absent: pip install '.[forecast]'")
    values, at = series(1, 60), [np.array([50])]
    how: Any = {"horizon": 4, "season": 6, "levels": LEVELS}
    (said,) = statistical.backtest(kind, values, at, **how)
    assert np.abs(said.point[0] - values[0][50:54]).max() < 10
    assert said.quantiles is not None
    assert (np.diff(said.quantiles, axis=-1) > 0).all()
    values[0][50:] = 1e6
    (again,) = statistical.backtest(kind, values, at, **how)
    assert np.array_equal(said.point, again.point)
