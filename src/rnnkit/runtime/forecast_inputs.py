"""What a forecaster reads of a series: its last values, levelled and scaled, the calendar, and covariates.

Both halves read through this: what is learned from is what is read when it runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from rnnkit.errors import ArgumentError, ShapeError
from rnnkit.kernels import heads

WINDOW, CLOCK, SERIES = "window", "clock", "series"  # the parts of a state that this keeps
_FLOOR = np.float32(1e-3)  # of a window's deviation, in its mean size: a series that hardly moves is not blown up


class Kept(NamedTuple):
    """What is kept of a series from step to step."""

    window: np.ndarray  # float32 [B, W]: the last values, the newest last; NaN before the first
    clock: np.ndarray  # int64 [B, 1]: the step of the value that comes next
    series: np.ndarray  # float32 [B, 2 + S]: mean and deviation of the series in training, static covariates


class Read(NamedTuple):
    """What is read of steps.

    Attributes:
        window: [T, B, W], scaled, the newest value last.
        beside: [T, B, …]: what the layers read: lags of it, calendar and covariates.
        level, scale: [T, B, 1]: a scaled number z stands for level + scale · z.
    """

    window: np.ndarray
    beside: np.ndarray
    level: np.ndarray
    scale: np.ndarray


class ForecastInputs:
    """With `log`, y stands for its logarithm.

        w_t = (y_{t−W+1} … y_t), missing ones as the value before, those before the first as the first

        level_t = y_t ("last"), the mean of w_t, the training mean of the series, or 0
        scale_t = the deviation of w_t and at least 1e-3 · the mean of |w_t|, or the training deviation of the series
        x_t = (w_t − level_t) / scale_t
        read_t = x_t at the lags, the oldest first;  sin, cos of the calendar of t + 1;  covariates: past ones of t,
                 future ones of t + 1 … t + h, static ones, each scaled

    Sums go through the native core, so that a row's bits do not depend on others.

    Args: model: the `model` object of a configuration.  tensors: with the scales of covariates.
    """

    def __init__(self, model: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
        self.size: int = model["window"]
        self._level, self._scale, self.is_log = model["level"], model["scale"], model["log"]
        self._lags = self.size - 1 - np.array(model["lags"][::-1], np.int64)
        self._has_all_lags = self._lags.tolist() == list(range(self.size))
        self._tables = []
        for steps, cycles in model["calendar"]:
            angle = 2 * np.pi * cycles * np.arange(steps) / steps
            self._tables.append(np.stack([np.sin(angle), np.cos(angle)], 1).astype(np.float32))
        self._mean = heads.PackedLinear(np.full((1, self.size), 1 / self.size, np.float32))
        self._sizes = {kind: model[f"num_{kind}"] for kind in ("past", "future", "static")}
        self._has_covariates = bool(self._sizes["past"] or self._sizes["future"])
        self._steps_ahead = 1 if model["recursive"] else model["horizon"]
        self._scales = {
            kind: (tensors[f"{kind}_scale.mean"], tensors[f"{kind}_scale.deviation"])
            for kind, size in self._sizes.items()
            if size
        }

    @property
    def parts(self) -> tuple[tuple[str, int], ...]:
        """Name and width of what is kept."""
        return ((WINDOW, self.size), (CLOCK, 1), (SERIES, 2 + self._sizes["static"]))

    def initial(self, batch: int, *, clock: Any = 0, series: np.ndarray | None = None) -> Kept:
        """What is kept of nothing. Args: clock: the step of the first value.  series: [B, 2 + S]."""
        if series is None:
            series = np.zeros((batch, 2 + self._sizes["static"]), np.float32)
            series[:, 1] = 1
        window = np.full((batch, self.size), np.nan, np.float32)
        return Kept(window, np.broadcast_to(np.asarray(clock, np.int64).reshape(-1, 1), (batch, 1)).copy(), series)

    def entering(self, y: np.ndarray) -> np.ndarray:
        """Values as windows hold them. Raises: ArgumentError for one that has no logarithm."""
        if not self.is_log:
            return y
        if (y <= 0).any():
            raise ArgumentError(
                "y holds a value of 0 or below, and this model reads logarithms; train without model.log"
            )
        return np.log(y)

    def advance(
        self, y: np.ndarray, kept: Kept, *, past: Any = None, future: Any = None, lengths: np.ndarray | None = None
    ) -> tuple[Read, Kept]:
        """Read values [T, B], NaN where missing. Args: past: [T, B, P].  future: [T, B, h, F]. lengths: [B] in 0..T."""
        T, B = y.shape
        y = self.entering(y)
        line = np.concatenate([kept.window.T, y])  # [W + T, B]
        if np.isnan(line).any():
            line = _filled(line)
        ends = np.full((B, 1), T, np.int64) if lengths is None else lengths[:, None]
        window = line[ends + np.arange(self.size), np.arange(B)[:, None]]
        windows = np.empty((0, B, self.size), np.float32)
        if T:
            windows = np.ascontiguousarray(sliding_window_view(line, self.size, axis=0)[1:])  # [T, B, W]
        clock = kept.clock[:, 0] + np.arange(1, T + 1)[:, None]  # of the first step that is forecast
        read = self._read(windows, clock, kept, past, future)
        return read, Kept(window, kept.clock + ends, kept.series)

    def step(self, y: np.ndarray, kept: Kept, *, past: Any = None, future: Any = None) -> tuple[Read, Kept]:
        """`advance` of one value for each row, without the axis of time: y [B]; past [B, P]; future [B, h, F].

        Raises: ArgumentError for a series that begins with a missing value.
        """
        window, clock = self._shifted(self.entering(y), kept.window), kept.clock + 1
        return self._read(window, clock[:, 0], kept, past, future), Kept(window, clock, kept.series)

    def _read(self, windows: np.ndarray, clock: np.ndarray, kept: Kept, past: Any, future: Any) -> Read:
        """Of windows [B, W] or [T, B, W], and the clock of what follows each."""
        level = self._level_of(windows, kept)
        scaled = windows - level
        scale = self._scale_of(windows, scaled, kept)
        scaled /= scale
        lagged = scaled if self._has_all_lags else scaled.take(self._lags, -1)
        read = [lagged, *(table.take(clock, 0, mode="wrap") for table in self._tables)]
        if past is not None or future is not None or self._has_covariates:
            read += self._covariates(clock.shape, past, future)
        if self._sizes["static"]:
            mean, deviation = self._scales["static"]
            shape = (*clock.shape, self._sizes["static"])
            read.append(np.broadcast_to((kept.series[:, 2:] - mean) / deviation, shape))
        beside = np.concatenate(read, axis=-1) if len(read) > 1 else lagged
        return Read(scaled, beside, level, scale)

    def _shifted(self, y: np.ndarray, before: np.ndarray) -> np.ndarray:
        """A window [B, W] after one value more: what `_filled` makes of it."""
        window = np.empty_like(before)
        window[:, :-1] = before[:, 1:]
        window[:, -1] = y
        last = before[:, -1]
        is_missing, is_fresh = np.isnan(y), np.isnan(last)
        if np.count_nonzero(is_missing) or np.count_nonzero(is_fresh):  # a third of the time of .any() for a row
            window[:, -1] = np.where(is_missing, last, y)
            check_begun(window)
            window[is_fresh] = y[is_fresh, None]
        return window

    def _level_of(self, windows: np.ndarray, kept: Kept) -> np.ndarray:
        if self._level == "last":
            return windows[..., -1:].copy()
        if self._level == "mean":
            return self._mean_of(windows)
        if self._level == "series":
            return np.broadcast_to(kept.series[:, :1], (*windows.shape[:-1], 1))
        return np.zeros((*windows.shape[:-1], 1), np.float32)

    def _scale_of(self, windows: np.ndarray, levelled: np.ndarray, kept: Kept) -> np.ndarray:
        if self._scale == "series":
            return np.broadcast_to(kept.series[:, 1:2], (*windows.shape[:-1], 1))
        size = self._mean_of(np.abs(windows))
        off = levelled if self._level == "mean" else levelled - self._mean_of(levelled)
        deviation = np.sqrt(self._mean_of(off * off))
        scale = np.maximum(deviation, _FLOOR * size)
        if np.count_nonzero(scale) < scale.size:
            scale[scale == 0] = 1
        return scale

    def _mean_of(self, windows: np.ndarray) -> np.ndarray:
        if windows.ndim == 2:
            return self._mean(windows)
        return self._mean(windows.reshape(-1, self.size)).reshape(*windows.shape[:-1], 1)

    def _covariates(self, axes: tuple[int, ...], past: Any, future: Any) -> list[np.ndarray]:
        found = []
        given = {"past": past, "future": future}
        wanted = {"past": (*axes, self._sizes["past"]), "future": (*axes, self._steps_ahead, self._sizes["future"])}
        for kind, values in given.items():
            size = self._sizes[kind]
            if not size and values is None:
                continue
            if not size or values is None:
                what = "takes none" if values is not None else f"needs them, {list(wanted[kind])}"
                raise ArgumentError(f"{kind} covariates: this model {what}")
            array = np.asarray(values, np.float32)
            if array.shape != wanted[kind]:
                raise ShapeError(f"{kind} covariates have the shape {list(array.shape)}, wanted {list(wanted[kind])}")
            mean, deviation = self._scales[kind]
            found.append(((array - mean) / deviation).reshape(*axes, -1))
        return found


def check_begun(window: np.ndarray) -> None:
    """Raises: ArgumentError for a series of which there is no value yet. Args: window: [B, W]."""
    if np.isnan(window[:, -1]).any():
        raise ArgumentError("a series begins with a missing value; begin with the first number")


def _filled(line: np.ndarray) -> np.ndarray:
    """[T, B]: missing values as the one before; those at the beginning as the first that is there."""
    is_there = ~np.isnan(line)
    rows = np.maximum.accumulate(np.where(is_there, np.arange(len(line))[:, None], -1), axis=0)
    rows = np.where(rows < 0, is_there.argmax(0), rows)
    return np.take_along_axis(line, rows, 0)
