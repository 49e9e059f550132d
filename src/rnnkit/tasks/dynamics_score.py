"""Simulators and baselines on the same records: what each says in a free run and one step ahead, and its row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnkit.baselines.dynamics import DynamicsBaseline
from rnnkit.data.systems import Systems
from rnnkit.metrics.dynamics import DynamicsFigure, DynamicsScore
from rnnkit.runtime.simulator import Simulator

_SIDE_BY_SIDE = 1 << 21  # numbers held at a time


@dataclass(frozen=True, eq=False)
class SimulatedBy:
    """What a system says of each record, [T, O]: free from the start, and each step from the outputs before it."""

    name: str
    free: list[np.ndarray]
    one_step: list[np.ndarray]
    own: dict[str, Any]


def simulated(model: Simulator, records: Systems, *, start: int | None) -> list[np.ndarray]:
    """Of each record what the model says, the first `start` outputs given; None: all of them, one step ahead."""
    found: dict[int, np.ndarray] = {}
    order = sorted(range(len(records)), key=lambda row: len(records.u[row]))
    while order:
        longest = len(records.u[order[-1]])
        count = max(1, _SIDE_BY_SIDE // max(1, longest * (model.num_inputs + model.num_outputs)))
        rows, order = order[-count:], order[:-count]
        u = np.zeros((longest, len(rows), model.num_inputs))
        y = np.full((longest, len(rows), model.num_outputs), np.nan)
        for at, row in enumerate(rows):
            u[: len(records.u[row]), at] = records.u[row]
            given = records.y[row][:start]
            y[: len(given), at] = given
        said, _ = model(u, y=y)
        found |= {row: said[: len(records.u[row]), at] for at, row in enumerate(rows)}
    return [found[row] for row in range(len(records))]


def said_by_baseline(
    model: DynamicsBaseline, records: Systems, scales: Any, *, start: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """As `SimulatedBy`: free, and one step ahead. Args: scales: means and deviations of inputs and of outputs."""
    (u_mean, u_size), (y_mean, y_size) = scales
    u = [(one - u_mean) / u_size for one in records.u]
    y = [(one - y_mean) / y_size for one in records.y]
    longest = max(map(len, u))
    free, one_step = ([s * y_size + y_mean for s in model.simulate(u, y, start=n)] for n in (start, longest))
    return free, one_step


def rows_of(
    systems: Sequence[SimulatedBy],
    records: Systems,
    *,
    start: int,
    deviations: np.ndarray,
    figure: DynamicsFigure,
) -> tuple[list[dict[str, Any]], list[DynamicsScore]]:
    """One row for each system, the model's first: its figures, and of a baseline the paired difference to the model."""
    rows, scores = [], []
    how: Any = {"start": start, "deviations": deviations}
    for system in systems:
        score = DynamicsScore(records.y, system.free, **how)
        row = {"name": system.name, **score.to_dict(figure), **system.own}
        row["one_step"] = DynamicsScore(records.y, system.one_step, **how).figure(figure)
        row["num_records"] = len(records)
        if scores:
            row |= scores[0].paired(score, figure)
        rows.append(row)
        scores.append(score)
    return rows, scores
