"""The task on time series: what it trains on, nothing of what is held out, and its table; faults by series and row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rnnkit import Forecaster, api, load
from rnnkit.api.forecasting import ForecastRunConfig
from rnnkit.errors import ArgumentError, ConfigError, DataError

SMALL: dict[str, Any] = {"max_steps": 6, "hidden_size": 8, "threads": 1, "piece_steps": 40}


def rows(series: int = 3, steps: int = 90) -> list[tuple[str, int, float]]:
    generator = np.random.default_rng(0)
    return [
        (f"s{k}", t, float(100 * (k + 1) + 20 * np.sin(t * np.pi / 6) + generator.normal()))
        for k in range(series)
        for t in range(steps + 5 * k)
    ]


def written(path: Path, table: list[tuple[str, int, float]] | None = None) -> Path:
    file = path / "long.csv"
    lines = [f"{name},{t},{y}" for name, t, y in (rows() if table is None else table)]
    file.write_text("\n".join(["unique_id,ds,y", *lines]) + "\n", encoding="utf-8")
    return file


def task(file: Path, **options: Any) -> Any:
    from rnnkit.api import config as configuration

    given = {"data.sources": [str(file)], "horizon": 6, "season": 12, **options}
    return configuration.build(ForecastRunConfig, options=given).make_task()


def test_training_sees_nothing_of_what_is_held_out(tmp_path: Path) -> None:
    changed = [(name, t, 1e9 if t >= 90 + 5 * int(name[1]) - 12 else y) for name, t, y in rows()]
    (tmp_path / "other").mkdir()
    tasks = [task(written(tmp_path)), task(written(tmp_path / "other", changed))]
    found = []
    for one in tasks:
        torch.manual_seed(1)
        model = one.build_model()
        batches = list(one.streams(batch_size=4, window=1, stride=1))
        found.append((model.state_dict(), batches, one.series.facts()))
    for name, value in found[0][0].items():
        assert torch.equal(value, found[1][0][name]), name
    for left, right in zip(found[0][1], found[1][1], strict=True):
        for name in ("inputs", "targets", "lengths", "weights"):
            assert np.array_equal(getattr(left, name), getattr(right, name), equal_nan=True), name
    assert np.array_equal(found[0][2].scaler, found[1][2].scaler)


def test_an_epoch_has_every_training_step_once_and_goes_on_where_it_stood(tmp_path: Path) -> None:
    one = task(written(tmp_path), piece_steps=16)
    one.build_model()
    stream = one.streams(batch_size=3, window=1, stride=1)
    assert sum(int(batch.lengths.sum()) for batch in stream) == int(one.num_origins.sum())
    first = next(stream)
    state, after = stream.state_dict(), next(stream)
    again = one.streams(batch_size=3, window=1, stride=1)
    again.load_state_dict(state)
    assert np.array_equal(next(again).inputs, after.inputs)
    assert first.inputs.shape[0] <= 16


def test_targets_are_what_follows_in_scaled_units(tmp_path: Path) -> None:
    table = rows(1, 60)
    table[30] = (*table[30][:2], float("nan"))
    one = task(written(tmp_path, table), level="last", piece_steps=100)
    one.build_model()
    batch = one.batch([(0, 0, 40)])
    y = np.array([row[2] for row in table])
    for t in (15, 28, 35):
        scale, level = batch.targets[t, 0, -1], y[t]
        wanted = (y[t + 1 : t + 7] - level) / scale
        assert np.allclose(batch.targets[t, 0, :-1], wanted, equal_nan=True, atol=1e-4)
    assert np.isnan(batch.targets[39, 0, 5:-1]).all() == (60 - 12 < 46)
    assert batch.weights[5, 0] == 0  # no season has been seen yet
    assert batch.weights[15, 0] == 1


def test_the_start_is_a_linear_autoregression(tmp_path: Path) -> None:
    one = task(written(tmp_path), output="point", level="last")
    torch.manual_seed(0)
    model = one.build_model()
    figures = one.evaluate(model, max_tokens=1000)
    assert figures["error"] < 0.75  # seasonal naive is off by two noises, the best forecast by one
    fresh = task(written(tmp_path), output="point", level="last", linear=False)
    assert fresh.evaluate(fresh.build_model(), max_tokens=1000)["error"] > 4 * figures["error"]


@pytest.mark.parametrize("output", ["point", "quantiles", "normal", "student_t", "mixture"])
@pytest.mark.parametrize("recursive", [False, True])
def test_every_output_trains_and_is_judged(output: str, recursive: bool, tmp_path: Path) -> None:
    file = written(tmp_path)
    if recursive and output == "quantiles":
        with pytest.raises(ConfigError, match="recursive needs something to draw from"):
            task(file, output=output, recursive=True)
        return
    how: Any = {"horizon": 6, "season": 12, "output": output, "recursive": recursive, "kinds": ("last-value", "ridge")}
    model = Forecaster.train(file, run=tmp_path / "run", test_size=12, **how, **SMALL)
    metrics = model.metrics
    assert [row["name"] for row in metrics["baselines"]] == ["last-value", "ridge"]
    assert metrics["model"]["num_windows"] == 6
    assert metrics["model"]["mase"] < metrics["baselines"][0]["mase"]
    assert ("coverage" in metrics["model"]) == (output != "point")
    assert {"forecast.png", "report.html", "README.md", "series.json"} <= {p.name for p in (tmp_path / "run").iterdir()}
    judged = load(tmp_path / "run").evaluate(file)  # type: ignore[union-attr]
    for key in ("mase", "smape", "rmse", "one_step"):
        assert judged["model"][key] == pytest.approx(metrics["model"][key])
    assert "this model" not in api.forecast_table(judged).to_markdown()


def test_logarithms_are_read_and_said_of_what_is_above_0(tmp_path: Path) -> None:
    table = [("s", t, float(np.exp(3 * np.sin(t * np.pi / 6) + t / 40))) for t in range(120)]
    of: Any = {"horizon": 6, "season": 12, **SMALL}
    plain, logged = (Forecaster.fit(str(written(tmp_path, table)), log=log, **of).predict(6) for log in (False, True))
    came = np.array([np.exp(3 * np.sin(t * np.pi / 6) + t / 40) for t in range(120, 126)])
    assert np.abs(np.log(np.array(logged["forecast"]) / came)).mean() < 0.1
    assert min(logged["q5"]) > 0
    assert plain["forecast"] != logged["forecast"]
    table[7] = ("s", 7, 0.0)
    with pytest.raises(DataError, match=r"line 2: series 's': step 7 is 0, which has no logarithm"):
        Forecaster.fit(str(written(tmp_path, table)), log=True, **of)


def test_counts_are_counts(tmp_path: Path) -> None:
    table = [(name, t, float(round(y / 10))) for name, t, y in rows()]
    model = Forecaster.fit(str(written(tmp_path, table)), horizon=6, season=12, output="negative_binomial", **SMALL)
    said = model.predict(6)
    assert all(value >= 0 and float(value).is_integer() for value in said["q5"])
    with pytest.raises(DataError, match=r"line 2: series 's0': step 0 is .*, no count"):
        Forecaster.fit(str(written(tmp_path)), horizon=6, output="negative_binomial", **SMALL)


def test_fit_predict_and_cross_validation_of_a_frame(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is absent")
    frame = pandas.DataFrame(rows(), columns=["unique_id", "ds", "y"])
    model = Forecaster.fit(frame, horizon=6, season=12, **SMALL)
    said = model.predict(4)
    assert isinstance(said, dict)
    assert said["unique_id"] == ["s0"] * 4 + ["s1"] * 4 + ["s2"] * 4
    assert said["ds"][:4] == [90, 91, 92, 93]
    shown = model.predict(4, frame)
    assert isinstance(shown, pandas.DataFrame)
    assert shown["forecast"].tolist() == said["forecast"]
    state, ids = model.begin()
    assert ids == ["s0", "s1", "s2"]
    next_one, _ = model.step([120.0, 220.0, 320.0], state)
    longer = pandas.concat([frame, pandas.DataFrame([("s0", 90, 120.0)], columns=frame.columns)])
    assert np.array_equal(next_one.point[0], np.array(model.predict(6, longer)["forecast"][:6], np.float32))
    with pytest.raises(ArgumentError, match="h is 7; this model was trained on 6 steps"):
        model.predict(7)


def test_no_future_value_changes_a_forecast_of_cross_validation(tmp_path: Path) -> None:
    of: Any = {"h": 6, "n_windows": 2, "season": 12, **SMALL}
    before = Forecaster.cross_validation(str(written(tmp_path)), **of)
    ends = {f"s{k}": 90 + 5 * k for k in range(3)}
    changed = [(name, t, -1e6 if t >= ends[name] - 6 else y) for name, t, y in rows()]
    (tmp_path / "other").mkdir()
    after = Forecaster.cross_validation(str(written(tmp_path / "other", changed)), **of)
    assert before["cutoff"] == after["cutoff"]
    assert before["cutoff"][0] == 90 - 12 - 1
    assert before["y"] != after["y"]
    assert before["forecast"] == after["forecast"]  # the second window's origin lies just before what was changed
    assert before["q5"] == after["q5"]


def test_anomalies_are_told_by_likelihood(tmp_path: Path) -> None:
    table = rows(1, 120)
    model = Forecaster.fit(str(written(tmp_path, table)), horizon=3, season=12, output="normal", **SMALL)
    table[100] = (*table[100][:2], table[100][2] + 60)
    found = model.anomalies(str(written(tmp_path, table)))
    assert found["ds"][int(np.argmax(found["surprise"]))] == 100
    with pytest.raises(ArgumentError, match="has no distribution"):
        Forecaster.fit(str(written(tmp_path)), horizon=3, season=12, **SMALL).anomalies()


def test_faults_are_refused_by_series_and_row(tmp_path: Path) -> None:
    short = [*rows(1, 60), *(("tiny", t, 1.0) for t in range(15))]
    with pytest.raises(DataError, match=r"line 62: series 'tiny' has 15 steps; 6 are for the table, 6 choose weights"):
        task(written(tmp_path, short))
    with pytest.raises(ConfigError, match="no whole horizon of 6 fits in"):
        task(written(tmp_path), test_size=5)
    with pytest.raises(ConfigError, match="seasonal-naive needs a season"):
        task(written(tmp_path), season=1, kinds=("seasonal-naive",))
    model = Forecaster.fit(str(written(tmp_path)), horizon=3, season=12, level="series", scale="series", **SMALL)
    with pytest.raises(DataError, match="series 'new' was not trained on"):
        model.predict(3, str(written(tmp_path, [("new", t, float(t)) for t in range(9)])))


def test_a_constant_series_trains_beside_others(tmp_path: Path) -> None:
    table = [*rows(1, 60), *(("flat", t, 5.0) for t in range(60))]
    said = Forecaster.fit(str(written(tmp_path, table)), horizon=3, season=12, **SMALL).predict(3)
    flat = [value for name, value in zip(said["unique_id"], said["forecast"], strict=True) if name == "flat"]
    assert np.abs(np.array(flat) - 5).max() < 0.1


def test_covariates_known_ahead_are_used(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    x = generator.integers(0, 2, 200)
    lines = [f"{t},{10 * x[t] + generator.normal() / 10 if t < 190 else ''},{x[t]}" for t in range(200)]
    file = tmp_path / "table.csv"
    file.write_text("\n".join(["ds,y,x", *lines]) + "\n", encoding="utf-8")
    how: Any = {
        "horizon": 2,
        "future_covariates": ("x",),
        "max_steps": 300,
        "hidden_size": 16,
        "threads": 1,
        "lr": 1e-2,
    }
    said = Forecaster.fit(str(file), **how).predict(2)
    assert np.abs(np.array(said["forecast"]) - 10 * x[190:192]).max() < 3
