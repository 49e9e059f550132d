"""Training on series in uneven steps: the gap's column is read, learned from, and refused where it cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnnkit import Forecaster, load
from rnnkit.errors import ConfigError, DataError

SMALL: dict[str, Any] = {"max_steps": 8, "hidden_size": 6, "threads": 1, "piece_steps": 30, "horizon": 3}
GAPS: dict[str, Any] = {"frequency": "rows", "gap_column": "gap"}


def written(path: Path, change: Any = None) -> Path:
    generator = np.random.default_rng(0)
    lines = ["unique_id,ds,y,gap"]
    for name in "ab":
        time = 0.0
        for t in range(80):
            gap = 0.0 if not t else float(generator.exponential())
            time += gap
            gap = change(name, t, gap) if change else gap
            lines.append(f"{name},{t},{np.sin(time) + 0.05 * generator.normal():.6f},{gap:.6f}")
    (path / "uneven.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path / "uneven.csv"


def test_it_trains_and_the_run_half_forecasts_judges_and_steps(tmp_path: Path) -> None:
    file = written(tmp_path)
    model = Forecaster.train(file, run=tmp_path / "run", kinds=("last-value", "ridge"), **SMALL, **GAPS)
    assert model.config["model"]["gap"] == 0 and model.config["model"]["num_past"] == 1
    again = load(tmp_path / "run")
    assert isinstance(again, Forecaster)
    said = again.predict(3, file)
    assert len(said["forecast"]) == 6 and np.isfinite(said["forecast"]).all()
    assert again.evaluate(file)["model"]["mase"] == pytest.approx(model.metrics["model"]["mase"], rel=1e-4)
    state, names = again.begin(file)
    near, _ = again.step([0.5, 0.5], state, past=[[0.1], [0.1]])
    far, _ = again.step([0.5, 0.5], state, past=[[50.0], [50.0]])
    assert names == ["a", "b"] and not np.array_equal(near.point, far.point)


def test_gaps_that_cannot_be_are_refused(tmp_path: Path) -> None:
    file = written(tmp_path, lambda name, t, gap: -1 if (name, t) == ("b", 7) else gap)
    with pytest.raises(DataError, match="series 'b': the gap before step 7 is -1"):
        Forecaster.train(file, run=tmp_path / "run", **SMALL, **GAPS)
    with pytest.raises(ConfigError, match=r"gap_column goes with data\.frequency=rows"):
        Forecaster.train(file, run=tmp_path / "run", **SMALL, gap_column="gap")
    with pytest.raises(ConfigError, match="also named as a covariate"):
        Forecaster.train(file, run=tmp_path / "run", **SMALL, **GAPS, past_covariates=("gap",))
    assert not (tmp_path / "run").exists()
