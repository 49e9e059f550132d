"""What systems say of series from rolling origins, and the rows of the table; torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnkit.baselines import statistical
from rnnkit.data.forecast_tables import Panel
from rnnkit.metrics.forecast import Actual, FigureName, ForecastScore, Said, naive_error
from rnnkit.runtime.forecast import Forecast
from rnnkit.runtime.forecaster import Forecaster, History


@dataclass(frozen=True, eq=False)
class Origins:
    """From where a part of series is forecast.

    Attributes:
        panel:   the series, to the end of the part.
        at:      of each the numbers of values before its origins, int64 [n].
        ends:    of each the number of values that were trained on.
        horizon, stride, season.
    """

    panel: Panel
    at: list[np.ndarray]
    ends: np.ndarray
    horizon: int
    stride: int
    season: int

    @property
    def together(self) -> int:
        """Neighbouring origins whose windows overlap."""
        return -(-self.horizon // self.stride)

    @property
    def is_one_clock(self) -> bool:
        """Whether all series have the same several origins at the same times."""
        times = [first + of for first, of in zip(self.panel.first.tolist(), self.at, strict=True)]
        return len(times[0]) > 1 and all(np.array_equal(times[0], of) for of in times)

    @property
    def count(self) -> int:
        return sum(map(len, self.at))

    def actual(self, horizon: int | None = None, at: list[np.ndarray] | None = None) -> list[Actual]:
        """What came. Args: horizon, at: of others than these."""
        horizon = self.horizon if horizon is None else horizon
        found = []
        for values, origins, end in zip(self.panel.values, self.at if at is None else at, self.ends, strict=True):
            ahead = np.concatenate([values, np.full(horizon, np.nan)])
            first = int(origins[0]) if len(origins) else len(values)
            deviation = float(np.nanstd(values[:end])) or 1.0
            came = ahead[origins[:, None] + np.arange(horizon)]
            found.append(Actual(came, naive_error(values[:first], self.season), deviation))
        return found

    def every_step(self) -> list[np.ndarray]:
        """Origins before every step of the part, for what is said one step ahead."""
        return [np.arange(of[0], len(v)) if len(of) else of for of, v in zip(self.at, self.panel.values, strict=True)]


def origins_of(panel: Panel, *, first: np.ndarray, ends: np.ndarray, horizon: int, stride: int, season: int) -> Origins:
    """Every `stride` steps from first[n] values on, as long as a whole horizon is left of panel's series."""
    at = [np.arange(f, len(v) - horizon + 1, stride) for f, v in zip(first.tolist(), panel.values, strict=True)]
    return Origins(panel, at, ends, horizon, stride, season)


def histories(panel: Panel, model: Forecaster) -> list[History]:
    """A panel's series as the run half reads them. Raises: DataError for a series that the model must know."""
    static = panel.static if panel.static.shape[1] else None
    is_scaled_by = "series" in (model.config["model"]["level"], model.config["model"]["scale"])
    rows = model.series.rows(panel.ids, static, is_scaled_by=is_scaled_by)
    parts = zip(panel.values, panel.past, panel.future, panel.first.tolist(), rows, strict=True)
    return [History(*of_one) for of_one in parts]


def filled(panel: Panel) -> list[np.ndarray]:
    """The values of each series, missing ones as the one before."""
    found = []
    for values in panel.values:
        there = np.flatnonzero(~np.isnan(values))
        found.append(values[there[np.searchsorted(there, np.arange(len(values)), side="right") - 1]])
    return found


@dataclass(frozen=True, eq=False)
class ForecastBy:
    """What a system says of the windows, and one step ahead of every step; `own`: what its row says besides."""

    name: str
    said: list[Said]
    one_step: list[Said] | None
    own: dict[str, Any]


def said_by_model(model: Forecaster, origins: Origins) -> tuple[list[Said], list[Said]]:
    """Whole horizons from the origins; and every step of the part from the true values before it."""
    series = histories(origins.panel, model)
    whole = [said_of(one) for one in model.backtest(series, origins.at, horizon=origins.horizon)]
    return whole, [said_of(one) for one in model.backtest(series, origins.every_step(), horizon=1)]


def said_by_baseline(kind: str, model: Any, origins: Origins, *, levels: Sequence[float]) -> tuple[list[Said], Any]:
    """As `said_by_model`; statistical ones, which are fitted at every origin, say whole horizons alone.

    Args: model: as fitted; None of a statistical one.
    """
    series = filled(origins.panel)
    if model is None:
        of: Any = {"horizon": origins.horizon, "season": origins.season, "levels": levels}
        return statistical.backtest(kind, series, origins.at, **of), None  # type: ignore[arg-type]
    whole = model.backtest(series, origins.at, horizon=origins.horizon)
    return whole, model.backtest(series, origins.every_step(), horizon=1)


def rows_of(
    systems: Sequence[ForecastBy], origins: Origins, *, levels: Sequence[float], figure: FigureName
) -> tuple[list[dict[str, Any]], list[ForecastScore]]:
    """One row for each system, the model's first: its figures, and of a baseline the paired difference to the model.

    `one_step` is the MASE of values said from the true ones before them; the other figures are of whole horizons,
    which see none of what comes: teacher-forced and free-running.
    """
    actual = origins.actual()
    every = origins.every_step()
    next_ones = origins.actual(1, every)
    scores, rows = [], []
    for system in systems:
        how: Any = {"together": origins.together, "is_one_clock": origins.is_one_clock}
        score = ForecastScore(actual, system.said, levels=levels, **how)
        row = {"name": system.name, **score.to_dict(figure), **system.own}
        if system.one_step is not None:
            row["one_step"] = ForecastScore(next_ones, system.one_step, levels=levels).figure("mase")
        if scores:
            row |= scores[0].paired(score, figure)
        scores.append(score)
        rows.append(row)
    return rows, scores


def mean_loss(forecasts: Sequence[Forecast], actual: Sequence[Actual]) -> float:
    """The mean of what training makes small, in scaled units: squared errors, quantiles' losses, or nats."""
    total, count = 0.0, 0
    for said, came in zip(forecasts, actual, strict=True):
        y = came.values
        if not y.size:
            continue
        if said.output == "point":
            lost = (said.scaled(y) - said.raw[..., 0]) ** 2
        elif said.output == "quantiles":
            off = said.scaled(y)[..., None] - np.sort(said.raw, axis=-1)
            lost = np.maximum(np.array(said.levels) * off, (np.array(said.levels) - 1) * off).mean(-1)
        else:
            lost = said.surprise(y)
        total, count = total + float(np.nansum(lost)), count + int((~np.isnan(y)).sum())
    return total / max(count, 1)


def said_of(forecast: Forecast) -> Said:
    """Its points, and where it has them quantiles."""
    return Said(forecast.point, None if forecast.output == "point" else forecast.quantiles())
