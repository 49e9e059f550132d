"""Simulator: train one from records of a system, or load one, and let it say what comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rnnkit import runtime
from rnnkit.api.trained import Trained
from rnnkit.baselines.dynamics import DYNAMICS_BASELINES, DynamicsBaseline
from rnnkit.data.systems import SystemColumns, Systems, is_same_rate, read_systems
from rnnkit.errors import DataError, UnsafePathError
from rnnkit.tasks.dynamics_score import SimulatedBy, rows_of, said_by_baseline, simulated

# What a row keeps from training: it belongs to the system and not to the records.
_OF_THE_SYSTEM = ("bytes", "num_parameters", "train_seconds")


class Simulator(Trained, runtime.Simulator):
    """A trained recurrent simulator of a system.

        model = rnnkit.Simulator.train("records.csv", input_columns=["u"], output_columns=["y"], sample_rate=610)
        model = rnnkit.Simulator.load("runs/silverbox")     # needs no torch
        model.simulate("new.csv")                           # [T, O] of each record, from the inputs alone
        y, state = model(block, state)                      # blocks [T, B, I]; model.step(u, state): [B, I]

    Everything but `train` and what reads records comes from `rnnkit.runtime.Simulator`, and keeps its exactness.
    """

    @classmethod
    def _run_config(cls) -> Any:
        from rnnkit.api.dynamics import DynamicsRunConfig

        return DynamicsRunConfig

    def simulate(self, source: Any, *, start: int | None = None, encoding: str = "utf-8") -> list[np.ndarray]:
        """What comes out of each record, [T, O].

        Args:   source: files or a frame, see `rnnkit.data.read_systems`; outputs need not be there.
                start: first steps whose measured outputs are read; None: none, from the inputs alone and at rest.
        Raises: DataError naming row and column.
        """
        records = self.read(source, encoding=encoding, with_outputs=bool(start))
        return simulated(self, records, start=start or 0)

    def one_step(self, source: Any, *, encoding: str = "utf-8") -> list[np.ndarray]:
        """As `simulate`, each step from the outputs measured before it."""
        return simulated(self, self.read(source, encoding=encoding), start=None)

    def read(self, source: Any, *, encoding: str = "utf-8", with_outputs: bool = True) -> Systems:
        """Records of the columns that it was trained on. Raises: DataError, also for another sample rate."""
        columns = SystemColumns(self.system.inputs, self.system.outputs)
        if self.path is not None and (self.path / "metrics.json").exists():
            chosen = self.metrics["config"]["data"]
            of_arrays = isinstance(source, str | Path) and Path(source).suffix.lower() in (".npz", ".mat")
            if not of_arrays:
                columns = columns._replace(record=chosen["record_column"], time=chosen["time_column"])
        records = read_systems(source, columns=columns, encoding=encoding, with_outputs=with_outputs)
        if not is_same_rate(records.sample_rate, self.sample_rate):
            raise DataError(
                f"the records have {records.sample_rate:g} Hz, the model {self.sample_rate:g}; sample them alike"
            )
        return records

    def evaluate(self, source: Any, *, encoding: str = "utf-8") -> dict[str, Any]:
        """Judge on records, beside the baselines of the run, free and one step ahead; no torch.

        Returns: `model`, `baselines` and `figure` as in metrics.json.
        Raises:  DataError naming row and column; UnsafePathError.
        """
        metrics, records = self.metrics, self.read(source, encoding=encoding)
        data = metrics["data"]
        start, size = data["start_steps"], metrics["config"]["data"]["rollout_steps"]
        records = records if size is None else records.rollouts(start + size)
        records = records.take([row for row, u in enumerate(records.u) if len(u) > start])
        if not len(records):
            raise DataError(f"no record is longer than the {start + (size or 0)} steps that are judged at a time")
        scales = [tuple(np.array(one) for one in data["scales"][kind]) for kind in ("inputs", "outputs")]
        systems: list[SimulatedBy] = []
        assert self.path is not None
        for row in (metrics["model"], *metrics["baselines"]):
            own = {key: row[key] for key in _OF_THE_SYSTEM if key in row}
            if row is metrics["model"]:
                said: Any = (simulated(self, records, start=start), simulated(self, records, start=None))
            else:
                said = said_by_baseline(_baseline(row["name"], self.path), records, scales, start=start)
            free, one_step = said
            systems.append(SimulatedBy(row["name"], free, one_step, own))
        how: Any = {"start": start, "deviations": scales[1][1], "figure": metrics["figure"]}
        (model, *others), _ = rows_of(systems, records, **how)
        return {"model": model, "baselines": others, "figure": metrics["figure"], "data": {"start_steps": start}}


def _baseline(name: str, run: Path) -> DynamicsBaseline:
    """A baseline of a run. Raises: UnsafePathError for a name that leads elsewhere: no digest guards metrics."""
    if name not in DYNAMICS_BASELINES:
        raise UnsafePathError(f"{run / 'metrics.json'} names the baseline {name!r}, which does not exist; train again")
    return DynamicsBaseline.load(run / "baselines" / name)
