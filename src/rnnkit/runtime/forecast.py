"""Forecast: what a forecaster says of the steps ahead, as points, quantiles and probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from rnnkit.bundle.schema import forecast_size
from rnnkit.errors import ArgumentError
from rnnkit.metrics import distributions

_LEAST = 1e-4  # of a scaled deviation


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """Of h steps ahead, for every row (and step) that was read; the equations are in `rnnkit.models.forecaster`.

    Attributes:
        raw:   float32 […, h, K]: what the network gives.
        level, scale: […, 1], see `ForecastInputs`.
        output, levels: "point", "quantiles", "normal" …, and the quantiles' levels.
        is_log: raw, level and scale are of logarithms; points are then medians more than means.
    """

    raw: np.ndarray
    level: np.ndarray
    scale: np.ndarray
    output: str
    levels: tuple[float, ...]
    is_log: bool = False

    @classmethod
    def of(cls, model: Mapping[str, Any], outputs: np.ndarray, level: np.ndarray, scale: np.ndarray) -> Self:
        """Args: model: of a configuration.  outputs: […, h·K]."""
        size = forecast_size(model)
        raw = outputs.reshape(*outputs.shape[:-1], outputs.shape[-1] // size, size)
        return cls(raw, level, scale, model["output"], tuple(model["quantile_levels"]), model["log"])

    def __getitem__(self, rows: Any) -> Self:
        return replace(self, raw=self.raw[rows], level=self.level[rows], scale=self.scale[rows])

    @property
    def point(self) -> np.ndarray:
        """float32 […, h]: of quantiles the median, of a distribution its mean."""
        if self.output in ("point", "quantiles"):
            at = self.levels.index(0.5) if self.output == "quantiles" else 0
            values = np.sort(self.raw, axis=-1) if self.output == "quantiles" else self.raw
            return self._leaving(self.level + self.scale * values[..., at])
        return distributions.mean(self.output, self.parameters).astype(np.float32)  # type: ignore[arg-type]

    @property
    def parameters(self) -> np.ndarray:
        """float64 […, h, K] of a distribution, in the unit of the series, as `rnnkit.metrics.distributions` has them.

        Raises: ArgumentError of points and quantiles.
        """
        if self.output in ("point", "quantiles"):
            raise ArgumentError(f"a forecast of {self.output} has no distribution; train with one, as output=normal")
        level, scale = (np.asarray(of, np.float64)[..., None] for of in (self.level, self.scale))
        raw = np.asarray(self.raw, np.float64)
        if self.output == "negative_binomial":
            mean, dispersion = raw[..., :1], raw[..., 1:]
            return np.concatenate([scale * _positive(mean), _positive(dispersion)], -1)
        if self.output == "mixture":
            weights, means, deviations = np.split(raw, 3, axis=-1)
            weights = np.exp(weights - weights.max(-1, keepdims=True))
            weights /= weights.sum(-1, keepdims=True)
            return np.concatenate([weights, level + scale * means, scale * _positive(deviations)], -1)
        found = [level + scale * raw[..., :1], scale * _positive(raw[..., 1:2])]
        return np.concatenate(found if self.output == "normal" else [*found, 2 + _positive(raw[..., 2:])], -1)

    def quantiles(self, levels: Sequence[float] | None = None) -> np.ndarray:
        """[…, h, Q]. Args: levels: None: those that it was trained on; of quantiles only between these.

        Raises: ArgumentError of points, and for levels outside.
        """
        levels = self.levels if levels is None else tuple(levels)
        if self.output == "point":
            raise ArgumentError("a forecast of points has no quantiles; train with output=quantiles or a distribution")
        if self.output != "quantiles":
            return distributions.quantiles(self.output, self.parameters, levels)  # type: ignore[arg-type]
        known = np.array(self.levels)
        if levels and not known[0] <= min(levels) <= max(levels) <= known[-1]:
            raise ArgumentError(f"levels {list(levels)} lie outside {list(self.levels)}, which it was trained on")
        values = self.level[..., None] + self.scale[..., None] * np.sort(self.raw, axis=-1)
        if levels == self.levels:
            return self._leaving(values)
        right = np.clip(np.searchsorted(known, levels), 1, len(known) - 1) if len(known) > 1 else np.zeros(1, int)
        left = np.maximum(right - 1, 0)
        share = ((np.array(levels) - known[left]) / np.where(right > left, known[right] - known[left], 1)).astype("f4")
        return self._leaving(values[..., left] * (1 - share) + values[..., right] * share)

    def scaled(self, y: np.ndarray) -> np.ndarray:
        """Values [..., h] as `raw` has them."""
        return ((np.log(y) if self.is_log else y) - self.level) / self.scale

    def _leaving(self, values: np.ndarray) -> np.ndarray:
        return np.exp(values) if self.is_log else values

    def surprise(self, y: np.ndarray) -> np.ndarray:
        """float64 […, h]: how unlikely each value y is, −log p(y) in nats; NaN where y is.

        Raises: ArgumentError of points and quantiles.
        """
        return -distributions.log_prob(self.output, self.parameters, np.asarray(y, np.float64))  # type: ignore[arg-type]

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        """A random value for each step, float64 […, h]; of points the point itself."""
        if self.output == "point":
            return np.asarray(self.point, np.float64)
        return distributions.draw(self.output, self.parameters, generator)  # type: ignore[arg-type]


def _positive(raw: np.ndarray) -> np.ndarray:
    """log(1 + exp(raw)), and a little."""
    return np.logaddexp(0, raw) + _LEAST
