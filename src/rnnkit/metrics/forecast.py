"""Judge forecasts from rolling origins: MASE, sMAPE, squared and absolute errors, CRPS, coverage; NumPy only."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from rnnkit.errors import ArgumentError
from rnnkit.metrics.resampling import interval, paired
from rnnkit.metrics.table import SEEDS_COLUMNS, Column

FigureName = Literal["mase", "smape", "scaled_mse", "rmse", "mae", "crps"]
FIGURES: tuple[FigureName, ...] = get_args(FigureName)


@dataclass(frozen=True, eq=False)
class Actual:
    """What came of one series.

    Attributes:
        values: float64 [n, h], the h steps behind each origin; NaN where missing.
        naive:  the mean absolute error of seasonal naive on its values before the first origin; 0 if it never changed.
        deviation: of its training values; 1 if they never changed.
    """

    values: np.ndarray
    naive: float
    deviation: float


@dataclass(frozen=True, eq=False)
class Said:
    """What a system said of one series: point [n, h], and quantiles [n, h, Q] or None of points alone."""

    point: np.ndarray
    quantiles: np.ndarray | None = None


def naive_error(values: np.ndarray, season: int) -> float:
    """The mean of |y_t − y_{t−season}|; of a series that is not longer, of |y_t − y_{t−1}|; 0 of a single value."""
    lag = season if len(values) > season else 1
    off = np.abs(values[lag:] - values[:-lag])
    return float(np.nanmean(off)) if len(off) and not np.isnan(off).all() else 0.0


class ForecastScore:
    """How far forecasts are off, over series and origins.

        sMAPE = mean over windows of 200/h Σ |y − f| / (|y| + |f|), in percent;  0/0 counts as 0
        MASE  = mean over windows of 1/h Σ |y − f| / naive, without series whose naive error is 0
        scaled MSE = mean over values of ((y − f) / deviation)²;  RMSE, MAE over all values
        CRPS  = mean over values of 2/Q Σ_q max(q (y − f_q), (q − 1) (y − f_q)); of points |y − f|
        coverage = share of values between the first and the last quantile

    A window is the h steps behind one origin of one series; windows that overlap are resampled together, and where all
    series have the same origins on one clock also those of all series: what moves one may move all.

    Args:   levels: of the quantiles.  together: neighbouring origins of a series whose windows overlap.
            is_one_clock: whether all series have the same origins.
    Raises: ArgumentError for forecasts that do not fit what came, or no value at all.
    Source: Makridakis et al. 2020, "The M4 Competition" (sMAPE, MASE); Gneiting and Raftery 2007 (CRPS).
    """

    def __init__(
        self,
        actual: Sequence[Actual],
        said: Sequence[Said],
        *,
        levels: Sequence[float],
        together: int = 1,
        is_one_clock: bool = False,
    ) -> None:
        if [one.values.shape for one in actual] != [one.point.shape for one in said]:
            raise ArgumentError("the forecasts do not fit what came; give [n, h] of each for every series")
        self.has_quantiles = all(one.quantiles is not None for one in said)
        rows, by_step = [], []
        for came, of in zip(actual, said, strict=True):
            columns = _columns(came, of, np.asarray(levels))
            by_step.append(columns["of_step"])
            sums = np.stack([columns[name] for name in _PARTS], 1)  # [n, C]
            if len(sums):
                rows.append(np.add.reduceat(sums, np.arange(0, len(sums), together)))
        if rows and is_one_clock:
            rows = [np.sum(rows, axis=0)]
        if not rows or not (counted := np.concatenate(rows))[:, _PARTS.index("count")].any():
            raise ArgumentError("there is no value to judge on; give one at least")
        self.parts: np.ndarray = counted
        """[N, C]: sums over windows that are resampled together."""
        self.by_step = np.nanmean(np.concatenate(by_step), axis=0) if by_step else np.zeros(0)
        """[h]: the mean of |y − f| / naive at each step ahead."""

    def figure(self, name: FigureName) -> float:
        """One of the figures."""
        return float(_FIGURES[name](self.parts.sum(0)[None])[0])

    def to_dict(self, figure: FigureName) -> dict[str, Any]:
        """The figures, for metrics.json; `low` and `high` hold the middle 95 % of `figure` over resampled windows.

        Where all windows are resampled together, as of one origin of one series, there is no interval.
        """
        found: dict[str, Any] = {name: self.figure(name) for name in FIGURES}
        if len(self.parts) > 1:
            found |= zip(("low", "high"), interval(self.parts, _FIGURES[figure]), strict=True)
        sums = dict(zip(_PARTS, self.parts.sum(0).tolist(), strict=True))
        if self.has_quantiles:
            found["coverage"] = sums["covered"] / sums["count"]
        return found | {"num_values": int(sums["count"]), "num_windows": int(sums["windows"])}

    def paired(self, other: ForecastScore, figure: FigureName) -> dict[str, float]:
        """By how much this one is above another in a figure: see `metrics.resampling.paired`.

        Where all windows are resampled together, `difference` alone: one pair says nothing of how sure that is.
        """
        if len(self.parts) < 2:
            return {"difference": self.figure(figure) - other.figure(figure)}
        return paired(self.parts, other.parts, _FIGURES[figure])


_PARTS = ("count", "windows", "scaled_windows", "smape", "mase", "squares", "scaled_squares", "absolute", "crps",
          "covered")  # fmt: skip


def _columns(came: Actual, said: Said, levels: np.ndarray) -> dict[str, np.ndarray]:
    """Of every window of a series what is summed."""
    y, f = came.values, np.asarray(said.point, np.float64)
    is_there = ~np.isnan(y)
    count = is_there.sum(1)
    off = np.where(is_there, np.abs(y - f), 0.0)
    size = np.where(is_there, np.abs(y) + np.abs(f), 1.0)
    shares = np.divide(off, size, out=np.zeros_like(off), where=size > 0)
    most = np.maximum(count, 1)
    is_scaled = (came.naive > 0) & (count > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        of_step = np.where(is_there, off, np.nan) / (came.naive if came.naive > 0 else np.nan)
    lost, covered = off.sum(1), np.zeros(len(y))
    if said.quantiles is not None:
        spread = y[..., None] - np.asarray(said.quantiles, np.float64)
        pinball = 2 * np.maximum(levels * spread, (levels - 1) * spread).mean(-1)
        lost = np.where(is_there, pinball, 0.0).sum(1)
        inside = (said.quantiles[..., 0] <= y) & (y <= said.quantiles[..., -1])
        covered = (inside & is_there).sum(1)
    return {
        "count": count,
        "windows": (count > 0).astype(float),
        "scaled_windows": is_scaled.astype(float),
        "smape": 200 * shares.sum(1) / most,
        "mase": np.where(is_scaled, off.sum(1) / most / (came.naive or 1.0), 0.0),
        "squares": (off**2).sum(1),
        "scaled_squares": ((off / came.deviation) ** 2).sum(1),
        "absolute": off.sum(1),
        "crps": lost,
        "covered": covered,
        "of_step": of_step,
    }


def _share(part: str, of: str) -> Callable[[np.ndarray], np.ndarray]:
    at, by = _PARTS.index(part), _PARTS.index(of)
    return lambda sums: sums[:, at] / np.maximum(sums[:, by], 1)


def _root_mean_square(sums: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(_share("squares", "count")(sums), 0))


_FIGURES: dict[FigureName, Callable[[np.ndarray], np.ndarray]] = {
    "mase": _share("mase", "scaled_windows"),
    "smape": _share("smape", "windows"),
    "scaled_mse": _share("scaled_squares", "count"),
    "rmse": _root_mean_square,
    "mae": _share("absolute", "count"),
    "crps": _share("crps", "count"),
}

_LABELS = {"mase": "MASE", "smape": "sMAPE", "scaled_mse": "scaled MSE", "rmse": "RMSE", "mae": "MAE", "crps": "CRPS"}


def forecast_columns(figure: FigureName) -> tuple[Column, ...]:
    """The columns of a table, the figure that systems are compared by first; the keys are those of metrics.json."""
    spelled = {"rmse": ".4g", "mae": ".4g", "crps": ".4g", "smape": ".3f"}
    of = {name: Column(name, _LABELS[name], spelled.get(name, ".4f"), better="lower") for name in FIGURES}
    first = of.pop(figure)
    seeds = tuple(dataclasses.replace(column, format=first.format) for column in SEEDS_COLUMNS)
    return (
        first,
        Column("low", "95 % from", first.format),
        Column("high", "to", first.format),
        *of.values(),
        Column("coverage", "90 % interval covers", ".1%"),
        Column("one_step", "one step ahead, MASE", ".4f", better="lower"),
        Column("p_value", "p (paired)", ".2g"),
        *seeds,
        Column("train_seconds", "train s", ",.1f"),
    )
