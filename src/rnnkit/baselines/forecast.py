"""What a forecaster must beat: the last value, seasonal naive, drift, a linear autoregression, and a window's MLP.

Their quantiles are those of their own errors on training windows, at each step ahead. scikit-learn fits the MLP;
forecasting needs NumPy only.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from rnnkit.baselines.archive import read_arrays, write_arrays
from rnnkit.baselines.bag import require_scikit_learn
from rnnkit.metrics.forecast import Said

ForecastBaselineName = Literal["last-value", "seasonal-naive", "drift", "ridge", "window-mlp"]
FORECAST_BASELINES: tuple[str, ...] = get_args(ForecastBaselineName)
PENALTIES = (1e-1, 1e0, 1e1, 1e2, 1e3, 1e4)
_MOST_WINDOWS, _MOST_FITTED, _MOST_ORIGINS = 200_000, 30_000, 100
_HIDDEN = 100

Series = Sequence[np.ndarray]
"""float64 [T] each, nothing missing."""


class ForecastBaseline:
    """One of them, fitted on series up to a step.

        last-value:     f_{t+k} = y_t
        seasonal-naive: f_{t+k} = y_{t+k−m·⌈k/m⌉}, m the season; as long as it is not over the last value
        drift:          f_{t+k} = y_t + k (y_t − y_1) / (t − 1)
        ridge, window-mlp: f_{t+k} = y_t + s_t · g_k((y_{t−W+1} − y_t, …, y_{t−1} − y_t) / s_t), g linear for all series
                        (s_t falls out), or with a layer of 100 rectified units; s_t the mean of |y_i − y_t|

    Args:
        kind: which.  season: m.  layers: of g: A [h, W−1]; or W, b, V, c.  window: W.
        levels: of the quantiles.  errors: float64 [h, Q], quantiles of its errors on training windows, each divided by
            the spread that stands before its origin (see `_spread`).
    """

    def __init__(
        self,
        kind: ForecastBaselineName,
        *,
        season: int,
        window: int,
        levels: Sequence[float],
        layers: Sequence[np.ndarray] = (),
        errors: np.ndarray,
    ) -> None:
        self.kind, self.season, self.window = kind, season, window
        self.levels, self.layers = tuple(levels), [np.asarray(layer, np.float64) for layer in layers]
        self.errors = np.asarray(errors, np.float64)

    @classmethod
    def fit(
        cls,
        kind: ForecastBaselineName,
        series: Series,
        *,
        ends: Sequence[int],
        horizon: int,
        window: int,
        season: int,
        levels: Sequence[float],
    ) -> Self:
        """Fit on the first ends[n] values of each series n; what stands behind, up to the end, chooses ridge's penalty.

        Raises: MissingExtraError without scikit-learn, of window-mlp.
        Cost:   ridge: two products over at most 200,000 windows; window-mlp: passes over at most 30,000.
        """
        made = cls(kind, season=season, window=window, levels=levels, errors=np.zeros((horizon, len(levels))))
        before = [one[:end] for one, end in zip(series, ends, strict=True)]
        if kind == "ridge":
            made.layers = [_fitted_ridge(series, ends, window=window, horizon=horizon)]
        elif kind == "window-mlp":
            made.layers = _fitted_mlp(before, window=window, horizon=horizon)
        made.errors = made._errors_on(before, horizon)
        return made

    @property
    def horizon(self) -> int:
        """The most steps ahead."""
        return len(self.errors)

    def backtest(self, series: Series, origins: Sequence[np.ndarray], *, horizon: int) -> list[Said]:
        """Forecasts from the values before each origin alone. Args: as of `runtime.Forecaster.backtest`."""
        found = []
        for values, at in zip(series, origins, strict=True):
            point = self._points(values, at, horizon)
            spread = self._spread(values, at)
            found.append(Said(point, point[..., None] + spread[:, None, None] * self.errors[:horizon]))
        return found

    def _points(self, values: np.ndarray, origins: np.ndarray, horizon: int) -> np.ndarray:
        """[n, h]."""
        last, ahead = values[origins - 1][:, None], np.arange(1, horizon + 1)
        if self.kind == "last-value":
            return np.repeat(last, horizon, 1)
        if self.kind == "seasonal-naive":
            back = origins[:, None] - 1 + ahead - self.season * -(-ahead // self.season)
            return np.where(back < 0, last, values[np.maximum(back, 0)])
        if self.kind == "drift":
            slope = (last[:, 0] - values[0]) / np.maximum(origins - 1, 1)
            return last + slope[:, None] * ahead
        windows = _windows(values, origins, self.window)
        off = windows[:, :-1] - last
        if self.kind == "ridge":
            return last + off @ self.layers[0][:horizon].T
        scale = _size(off)
        weight, bias, out, after = self.layers
        said = np.maximum((off / scale) @ weight.T + bias, 0) @ out[:horizon].T + after[:horizon]
        return last + scale * said

    def _spread(self, values: np.ndarray, origins: np.ndarray) -> np.ndarray:
        """[n]: what errors are measured in, the mean of |y_i − y_{i−m}| up to each origin; at first |y_i − y_{i−1}|."""
        found = np.zeros(len(origins))
        for lag in (1, self.season):  # the season once there is one
            off = np.concatenate([np.zeros(min(lag, len(values))), np.abs(values[lag:] - values[:-lag])])
            means = np.cumsum(off)[origins - 1] / np.maximum(origins - lag, 1)
            found = np.where(origins > lag, means, found)
        return np.maximum(found, 1e-12)

    def _errors_on(self, before: Series, horizon: int) -> np.ndarray:
        pooled = []
        for values in before:
            least = min(self.season + 1, max(len(values) - horizon, 1))
            origins = np.arange(least, len(values) - horizon + 1)
            if len(origins):
                origins = origins[:: max(1, len(origins) // _MOST_ORIGINS)]
                came = values[origins[:, None] + np.arange(horizon)]
                pooled.append((came - self._points(values, origins, horizon)) / self._spread(values, origins)[:, None])
        if not pooled:
            return np.zeros((horizon, len(self.levels)))
        return np.quantile(np.concatenate(pooled), self.levels, axis=0).T

    @property
    def num_bytes(self) -> int:
        """What its arrays take."""
        return sum(array.nbytes for array in (*self.layers, self.errors))

    def save(self, folder: str | Path) -> None:
        """Write `forecast.npz` and `forecast.json`. Raises: SaveError."""
        head = {"kind": self.kind, "season": self.season, "window": self.window, "levels": list(self.levels)}
        arrays = {f"layer_{number}": layer for number, layer in enumerate(self.layers)}
        write_arrays(folder, "forecast", head, {"errors": self.errors, **arrays})

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote. Raises: DataError naming the file, for anything that is not exactly that."""

        def make(head: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
            layers = [arrays[f"layer_{number}"] for number in range(len(arrays) - 1)]
            model = cls(head["kind"], season=head["season"], window=head["window"], levels=head["levels"],
                        layers=layers, errors=arrays["errors"])  # fmt: skip
            said = model._points(np.zeros(3), np.array([3]), model.horizon)
            if said.shape != (1, model.horizon) or model.errors.shape[1] != len(model.levels):
                raise ValueError("the sizes of forecast.npz do not fit together")
            return model

        return read_arrays(folder, "forecast", make)


def ridge(inputs: np.ndarray, targets: np.ndarray, *, penalty: float) -> np.ndarray:
    """A [O, I] that makes Σ (targets − A inputs)² + penalty |A|² least. Args: inputs: [N, I].  targets: [N, O]."""
    return solved(inputs.T @ inputs, inputs.T @ targets, penalty=penalty)


def solved(gram: np.ndarray, moment: np.ndarray, *, penalty: float) -> np.ndarray:
    """As `ridge`, of inputsᵀ inputs [I, I] and inputsᵀ targets [I, O]."""
    return np.linalg.solve(gram + penalty * np.eye(len(gram)), moment).T


def _fitted_ridge(series: Series, ends: Sequence[int], *, window: int, horizon: int) -> np.ndarray:
    """A [h, W − 1], its penalty chosen on the windows behind the ends, or where there are none the middle one."""
    size = window - 1
    gram, moment = np.zeros((size, size)), np.zeros((size, horizon))
    checks = []
    stride = max(1, sum(ends) // _MOST_WINDOWS)
    for values, end in zip(series, ends, strict=True):
        deviation = values[:end].std() or 1.0
        x, y = _pairs(values[:end], window=window, horizon=horizon, stride=stride)
        gram += x.T @ x / deviation**2
        moment += x.T @ y / deviation**2
        later = _pairs(values[max(0, end - window) :], window=window, horizon=horizon, stride=stride)
        checks.append((later[0] / deviation, later[1] / deviation))
    if not sum(len(x) for x, _ in checks):
        return solved(gram, moment, penalty=PENALTIES[len(PENALTIES) // 2])
    found = [solved(gram, moment, penalty=penalty) for penalty in PENALTIES]
    lost = [sum(float(((y - x @ weight.T) ** 2).sum()) for x, y in checks) for weight in found]
    return found[int(np.argmin(lost))]


def _fitted_mlp(series: Series, *, window: int, horizon: int) -> list[np.ndarray]:
    require_scikit_learn()
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    stride = max(1, sum(map(len, series)) // _MOST_FITTED)
    pairs = [_pairs(values, window=window, horizon=horizon, stride=stride) for values in series]
    x, y = (np.concatenate(of) for of in zip(*pairs, strict=True))
    if not len(x):
        return [np.zeros((1, window - 1)), np.zeros(1), np.zeros((horizon, 1)), np.zeros(horizon)]
    scale = _size(x)
    fitted: Any = MLPRegressor(hidden_layer_sizes=(_HIDDEN,), early_stopping=len(x) > 100, random_state=0, alpha=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # 200 passes are what it gets
        y = np.clip(y / scale, -10, 10)
        fitted.fit(x / scale, y[:, 0] if horizon == 1 else y)
    return [part.T for pair in zip(fitted.coefs_, fitted.intercepts_, strict=True) for part in pair]


def _pairs(values: np.ndarray, *, window: int, horizon: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Whole windows [N, W − 1] and what follows them [N, h], less the last value of each window."""
    if len(values) < window + horizon:
        return np.empty((0, window - 1)), np.empty((0, horizon))
    whole = sliding_window_view(values, window + horizon)[::stride]
    off = whole - whole[:, window - 1 : window]
    return off[:, : window - 1], off[:, window:]


def _windows(values: np.ndarray, origins: np.ndarray, size: int) -> np.ndarray:
    """[n, W] up to each origin; what is before the first value is as it."""
    return values[np.maximum(origins[:, None] - size + np.arange(size), 0)]


def _size(off: np.ndarray) -> np.ndarray:
    """[N, 1], of windows less their last value."""
    size = np.abs(off).mean(1, keepdims=True)
    return np.where(size > 0, size, 1.0)
