"""`rnnkit train forecast`, and `predict` and `eval` on its runs; no option is ignored."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from arriving import COMMON, check_options
from command import Outcome

from rnnkit.api.forecasting import ForecastRunConfig

SMALL = ("--max-steps=6", "--hidden-size=6", "--threads=1", "--horizon=4", "--season=7", "--test-size=8")
SPECIAL = {
    **COMMON,
    "--frequency": (["--frequency", "15min"], "data.frequency", "15min"),
    "--series-columns": (["--series-columns", "a,b"], "data.series_columns", ("a", "b")),
    "--past-covariates": (["--past-covariates", "a,b"], "data.past_covariates", ("a", "b")),
    "--future-covariates": (["--future-covariates", "a"], "data.future_covariates", ("a",)),
    "--static-covariates": (["--static-covariates", "a"], "data.static_covariates", ("a",)),
    "--gap-column": (["--gap-column", "gap", "data.frequency=rows"], "data.gap_column", "gap"),
    "--test-size": (["--test-size", "48"], "data.test_size", 48),
    "--valid-size": (["--valid-size", "48"], "data.valid_size", 48),
    "--output": (["--output", "normal"], "model.output", "normal"),
    "--quantile-levels": (["--quantile-levels", "0.1,0.5"], "model.quantile_levels", (0.1, 0.5)),
    "--num-components": (["--num-components", "4", "model.output=mixture"], "model.num_components", 4),
    "--window": (["--window", "32"], "model.window_size", 32),
    "--lags": (["--lags", "0,6"], "model.lags", (0, 6)),
    "--level": (["--level", "last"], "model.level", "last"),
    "--log": (["--log"], "model.log", True),
    "--scale": (["--scale", "series"], "model.scale", "series"),
    "--series-id": (["--series-id"], "model.series_id", True),
    "--calendar": (["--no-calendar"], "model.calendar", False),
    "--linear": (["--no-linear"], "model.linear", False),
    "--recursive": (["--recursive", "model.output=point"], "model.recursive", True),
    "--figure": (["--figure", "smape"], "baselines.figure", "smape"),
    "--baseline": (["--baseline", "ridge"], "baselines.kinds", ("ridge",)),
}


def test_every_option_arrives_under_the_key_it_is_named_after(monkeypatch: pytest.MonkeyPatch) -> None:
    check_options("forecast", "Forecaster", ForecastRunConfig, SPECIAL, monkeypatch)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("forecast") / "wide.csv"
    rows = "".join(
        f"2024-{1 + d // 28:02}-{1 + d % 28:02},{50 + 9 * math.sin(d * 0.9) + d % 3:.2f},{d % 7}\n" for d in range(168)
    )
    path.write_text(f"date,load,week\n{rows}", encoding="utf-8")
    return path


def test_train_predict_and_eval(file: Path, tmp_path: Path, call: Callable[..., Outcome], monkeypatch: Any) -> None:
    run = tmp_path / "run"
    refused = call("train", "forecast", file, "--run", run, *SMALL)
    assert (refused.code, run.exists()) == (0, True)  # months of 28 days leave gaps, which is no fault
    done = call("train", "forecast", file, "--run", run, "--force", *SMALL, "--frequency=rows")
    assert done.code == 0, done.err
    for word in ("lstm (this model)", "seasonal-naive", "drift", "ridge", "window-mlp", "MASE", f"run folder: {run}"):
        assert word in done.out
    assert "quantile loss/step" in done.err
    again = call("train", "forecast", "--resume", "--run", run, "--json")
    assert json.loads(again.out)["model"]["num_windows"] == 4

    for name in ("torch", "sklearn", "scipy", "yaml", "matplotlib", "pandas", "statsforecast"):
        monkeypatch.setitem(sys.modules, name, None)  # only the run half is left
    assert json.loads(call("eval", run, file, "--json").out)["model"]["num_windows"] == 4
    assert "4 windows" in call("eval", run, file).out
    for flag in ("--reset-per-line", "--bytes", "--tag-column=x", "--label-column=x"):
        assert f"{flag.split('=')[0]} has no effect on a forecaster" in call("eval", run, file, flag).err
    head, *found = [line.split("\t") for line in call("predict", run, file).out.splitlines()]
    assert head[:4] == ["unique_id", "ds", "forecast", "q5"]
    assert [row[:2] for row in found[:5]] == [["load", "168"], ["load", "169"], ["load", "170"], ["load", "171"],
                                              ["week", "168"]]  # fmt: skip
    first, *_ = call("predict", run, file, "--json").out.splitlines()
    assert json.loads(first)["forecast"] == pytest.approx(float(found[0][2]), rel=1e-5)
    assert "--bytes has no effect" in call("predict", run, file, "--bytes").err

    for verb in (["score", run, file], ["embed", run, file], ["bench", run], ["export", run, "--to", "onnx"],
                 ["export", run, "--to", "bundle", "--int8"], ["sample", run]):  # fmt: skip
        refused = call(*verb)
        assert (refused.code in (1, 2), refused.err.count("\n")) == (True, 1), verb
        assert "forecaster" in refused.err and "internal" not in refused.err, verb

    lines = tmp_path / "lines.txt"
    lines.write_text("5\n\n6.5\nmany\n", encoding="utf-8")
    with lines.open(encoding="utf-8") as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        streamed = call("predict", run)
    assert [len(line.split("\t")) for line in streamed.out.splitlines()] == [4, 4, 4]
    assert (streamed.code, streamed.err.count("\n")) == (1, 1)
    assert "stdin, line 4: could not convert string to float: 'many'" in streamed.err


def test_faults_of_a_table_are_one_line(tmp_path: Path, call: Callable[..., Outcome]) -> None:
    table = tmp_path / "bad.csv"
    table.write_text("unique_id,ds,y\na,1,2\na,2,x\n", encoding="utf-8")
    refused = call("train", "forecast", table, "--run", tmp_path / "run")
    assert (refused.code, refused.err.count("\n"), (tmp_path / "run").exists()) == (1, 1, False)
    assert "line 3: series 'a', column 'y': 'x' is no number" in refused.err
    refused = call("train", "forecast", table, "--output=normal", "--num-components=4")
    assert (refused.code, "num_components has no effect without output mixture" in refused.err) == (2, True)
