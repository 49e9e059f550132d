"""Judge simulated outputs of a system: root mean square errors, in units and in deviations, and fit; NumPy only."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np

from rnnkit.errors import ArgumentError
from rnnkit.metrics.resampling import interval, paired
from rnnkit.metrics.table import SEEDS_COLUMNS, Column

DynamicsFigure = Literal["nrmse", "rmse"]
FIGURES: tuple[str, ...] = get_args(DynamicsFigure)
_BLOCKS = 100  # parts that are resampled, where there are fewer records
_MOST_STEPS = 500  # of the curve of errors by step


class DynamicsScore:
    """How far simulated outputs are off, over records.

        RMSE  = √ mean over steps and outputs of (y − ŷ)²
        NRMSE = mean over outputs of its RMSE / its deviation in training
        fit   = mean over outputs of 100 (1 − ‖y − ŷ‖ / ‖y − ȳ‖), in percent

    Intervals resample records, or where there are few of them blocks of steps, about a hundred in all.

    Args:   came, said: [T, O] of each record; NaN in came is not judged.  start: first steps that are not judged.
            deviations: [O].
    Raises: ArgumentError for what does not fit, or no value at all.
    """

    def __init__(
        self, came: Sequence[np.ndarray], said: Sequence[np.ndarray], *, start: int, deviations: np.ndarray
    ) -> None:
        if [one.shape for one in came] != [one.shape for one in said]:
            raise ArgumentError("what was simulated does not fit what came; give [T, O] of each for every record")
        self._deviations = np.asarray(deviations, np.float64)
        squares = [(np.asarray(s, np.float64) - c)[start:] ** 2 for c, s in zip(came, said, strict=True)]
        total = sum(map(len, squares))
        size = max(1, -(-total // _BLOCKS)) if len(squares) < _BLOCKS else max(1, total)
        rows = []
        for of in squares:
            places = np.arange(0, len(of), size)
            if len(places):
                is_there = ~np.isnan(of)
                sums = np.concatenate([is_there, np.where(is_there, of, 0.0)], axis=1)
                rows.append(np.add.reduceat(sums, places, axis=0))
        if not rows or not (parts := np.concatenate(rows))[:, : len(self._deviations)].sum(0).all():
            raise ArgumentError("an output has no value to judge on; give one at least")
        self.parts = parts
        """[N, 2·O]: counts and squares of every output, over steps that are resampled together."""
        longest = min(max(map(len, squares)), _MOST_STEPS)
        scaled = np.full((len(squares), longest), np.nan)
        for row, of in enumerate(squares):
            mean = (of[:longest] / self._deviations**2).mean(1)
            scaled[row, : len(mean)] = mean
        count = (~np.isnan(scaled)).sum(0)
        self.by_step = np.sqrt(np.nansum(scaled, axis=0) / np.maximum(count, 1))
        """[≤ 500]: the error, in deviations, of each step after the start."""
        pooled = np.concatenate([np.asarray(one, np.float64)[start:] for one in came])
        self._spread = np.nanstd(pooled, axis=0)

    def figure(self, name: DynamicsFigure) -> float:
        """One of the figures."""
        return float(self._of(name)(self.parts.sum(0)[None])[0])

    def by_output(self) -> list[float]:
        """The RMSE of each output, in its units."""
        count, squares = np.split(self.parts.sum(0), 2)
        return np.sqrt(squares / count).tolist()

    def _of(self, name: DynamicsFigure) -> Any:
        size = len(self._deviations)
        if name == "rmse":
            return lambda sums: np.sqrt(sums[:, size:].sum(1) / np.maximum(sums[:, :size].sum(1), 1))
        return lambda sums: (
            np.sqrt(sums[:, size:] / np.maximum(sums[:, :size], 1)) / self._deviations
        ).mean(1)  # fmt: skip

    def to_dict(self, figure: DynamicsFigure) -> dict[str, Any]:
        """The figures, for metrics.json; `low` and `high` hold the middle 95 % of `figure`."""
        low, high = interval(self.parts, self._of(figure))
        spread = np.where(self._spread > 0, self._spread, 1.0)
        found: dict[str, Any] = {name: self.figure(name) for name in ("nrmse", "rmse")} | {"low": low, "high": high}
        found["fit"] = 100 * (1 - float(np.mean(np.array(self.by_output()) / spread)))
        return found | {"num_values": int(self.parts[:, : len(self._deviations)].sum())}

    def paired(self, other: DynamicsScore, figure: DynamicsFigure) -> dict[str, float]:
        """By how much this one is above another in a figure: see `metrics.resampling.paired`."""
        return paired(self.parts, other.parts, self._of(figure))


def dynamics_columns(figure: DynamicsFigure) -> tuple[Column, ...]:
    """The columns of a table, the figure that systems are compared by first; the keys are those of metrics.json."""
    labels = {"nrmse": "free run, NRMSE", "rmse": "free run, RMSE"}
    of = {name: Column(name, label, ".4g", better="lower") for name, label in labels.items()}
    first = of.pop(figure)
    seeds = tuple(dataclasses.replace(column, format=first.format) for column in SEEDS_COLUMNS)
    return (
        first,
        Column("low", "95 % from", first.format),
        Column("high", "to", first.format),
        *of.values(),
        Column("one_step", f"one step ahead, {figure.upper()}", ".4g", better="lower"),
        Column("fit", "fit %", ".2f", better="higher"),
        Column("p_value", "p (paired)", ".2g"),
        *seeds,
        Column("train_seconds", "train s", ",.1f"),
    )
