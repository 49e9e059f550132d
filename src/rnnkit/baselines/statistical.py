"""Statistical forecasters beside a network: ETS, Theta and ARIMA, fitted anew at every origin by statsforecast."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np

from rnnkit.errors import MissingExtraError
from rnnkit.metrics.forecast import Said

StatisticalName = Literal["ets", "theta", "arima"]
STATISTICAL: tuple[str, ...] = get_args(StatisticalName)
_MOST_SEASON = 24  # ETS fits an index for each step of a season, ARIMA has as many states as steps


def require_statsforecast() -> None:
    """Raises: MissingExtraError without it."""
    try:
        import statsforecast
    except ImportError as error:
        raise MissingExtraError("ets, theta and arima need statsforecast", extra="forecast") from error
    del statsforecast


def backtest(
    kind: StatisticalName,
    series: Sequence[np.ndarray],
    origins: Sequence[np.ndarray],
    *,
    horizon: int,
    season: int,
    levels: Sequence[float],
) -> list[Said]:
    """Forecasts of AutoETS, AutoTheta or AutoARIMA, each fitted on the values before its origin alone.

    Its quantiles are those of the intervals that it gives itself.

    Args:   series: float64 [T] each, nothing missing.  season: 1: none; ETS and ARIMA leave one of over 24 steps out.
    Raises: MissingExtraError.
    Cost:   a fit for each origin: seconds of an ARIMA with a season.
    """
    require_statsforecast()
    from statsforecast import models

    short = season if season <= _MOST_SEASON else 1
    if kind == "ets":
        model: Any = models.AutoETS(season_length=short)
    elif kind == "theta":
        model = models.AutoTheta(season_length=season)
    else:
        model = models.AutoARIMA(season_length=short)
    widths = sorted({_width(level) for level in levels if level != 0.5})
    found = []
    for values, at in zip(series, origins, strict=True):
        points, quantiles = np.empty((len(at), horizon)), np.empty((len(at), horizon, len(levels)))
        for row, origin in enumerate(at.tolist()):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of fits that do not converge, each of which is one of several
                said = model.forecast(y=np.asarray(values[:origin], np.float64), h=horizon, level=widths)
            points[row] = said["mean"]
            for column, level in enumerate(levels):
                side = "lo" if level < 0.5 else "hi"
                quantiles[row, :, column] = points[row] if level == 0.5 else said[f"{side}-{_width(level)}"]
        found.append(Said(points, quantiles))
    return found


def _width(level: float) -> float:
    """Of the interval that a quantile bounds, in percent."""
    width = round(abs(1 - 2 * level) * 100, 6)
    return int(width) if width.is_integer() else width
