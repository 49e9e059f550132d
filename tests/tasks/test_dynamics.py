"""The task on a system: what it trains on, nothing of what is held out, and its table; episodes of several states."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rnnkit import Simulator, api, load
from rnnkit.api.dynamics import DynamicsRunConfig
from rnnkit.errors import ConfigError, DataError

DATA = Path(os.environ.get("RNNKIT_DATA", Path(__file__).parents[3] / "shared" / "data"))
SMALL: dict[str, Any] = {"max_steps": 30, "hidden_size": 6, "threads": 1, "window_steps": 20, "cell": "elman_tanh"}


def spring(steps: int = 900, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A mass on a spring that stiffens, pushed at random."""
    generator = np.random.default_rng(seed)
    u = np.repeat(generator.normal(size=-(-steps // 5)), 5)[:steps]
    y = np.zeros(steps)
    for t in range(2, steps):
        y[t] = 1.6 * y[t - 1] - 0.8 * y[t - 2] + 0.1 * u[t - 1] - 0.05 * y[t - 1] ** 3
    return u, y


def written(path: Path, u: np.ndarray, y: np.ndarray, name: str = "my.csv") -> Path:
    rows = "".join(f"{a:.8g},{'' if np.isnan(b) else f'{b:.8g}'}\n" for a, b in zip(u, y, strict=True))
    (path / name).write_text("u,y\n" + rows, encoding="utf-8")
    return path / name


def task(file: Path, **options: Any) -> Any:
    from rnnkit.api import config as configuration

    given = {"data.sources": [str(file)], **SMALL, **options}
    return configuration.build(DynamicsRunConfig, options=given).make_task()


def test_training_sees_nothing_of_what_is_held_out(tmp_path: Path) -> None:
    u, y = spring()
    changed_u, changed_y = u.copy(), y.copy()
    changed_u[648:], changed_y[648:] = 5.0, -1e6  # training ends at 0.8 · 0.9 of it
    found = []
    for name, of in (("a.csv", (u, y)), ("b.csv", (changed_u, changed_y))):
        one = task(written(tmp_path, *of, name))
        torch.manual_seed(1)
        found.append((one.build_model().state_dict(), list(one.streams(batch_size=4, window=1, stride=1))))
    for name, value in found[0][0].items():
        assert torch.equal(value, found[1][0][name]), name
    for left, right in zip(found[0][1], found[1][1], strict=True):
        for name in ("inputs", "targets", "lengths", "weights"):
            assert np.array_equal(getattr(left, name), getattr(right, name), equal_nan=True), name


def test_an_epoch_counts_every_step_behind_the_first_ones_once(tmp_path: Path) -> None:
    one = task(written(tmp_path, *spring()), forced_steps=7)
    torch.manual_seed(1)
    one.build_model()
    stream = one.streams(batch_size=3, window=1, stride=1)
    kept = None
    for epoch in range(2):
        counted = 0
        for number, batch in enumerate(stream):
            counted += int(batch.weights.sum())
            assert not batch.weights[:7].any() and batch.inputs[:7, :, -1].all() and not batch.inputs[7:, :, -1].any()
            if (epoch, number) == (1, 2):
                kept = stream.state_dict()
                behind = list(itertools.islice(stream, 2))
                again = one.streams(batch_size=3, window=1, stride=1)
                again.load_state_dict(kept)
                for left, right in zip(behind, itertools.islice(again, 2), strict=True):
                    assert np.array_equal(left.inputs, right.inputs)
                counted += sum(int(of.weights.sum()) for of in behind)
        assert counted == 648 - 7, epoch
    assert kept is not None


def test_it_starts_as_the_linear_model_and_learns_more(tmp_path: Path) -> None:
    file = written(tmp_path, *spring())
    model = Simulator.train(file, run=tmp_path / "run", **{**SMALL, "max_steps": 150}, sample_rate=610.35)
    rows = {row["name"]: row for row in model.metrics["baselines"]}
    assert list(rows) == ["last-value", "static", "arx", "window-mlp"]
    assert model.metrics["model"]["nrmse"] < 0.7 * rows["arx"]["nrmse"] < rows["last-value"]["nrmse"]
    assert model.metrics["model"]["one_step"] <= model.metrics["model"]["nrmse"]
    assert model.sample_rate == 610.35
    for name in ("simulation.png", "report.html", "README.md", "metrics.json", "baselines/arx/dynamics.npz"):
        assert (tmp_path / "run" / name).stat().st_size
    table = api.dynamics_table(model.metrics).to_markdown()
    assert "free run, NRMSE" in table and "one step ahead, NRMSE" in table
    again = load(tmp_path / "run")
    assert isinstance(again, Simulator)
    u, y = spring(seed=1)
    other = written(tmp_path, u, y, "other.csv")
    judged = again.evaluate(other)
    (said,), (next_one,) = again.simulate(other), again.one_step(other)
    off = np.sqrt(np.mean((said[2:, 0] - y[2:]) ** 2))  # here from rest, as it was: the same
    assert off == pytest.approx(judged["model"]["rmse"], rel=0.2)
    assert np.sqrt(np.mean((next_one[:, 0] - y) ** 2)) < off
    assert judged["model"]["nrmse"] < judged["baselines"][2]["nrmse"]


def test_episodes_of_several_states_start_from_one_that_is_given(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    A, B = np.array([[1.0, 0.1], [0.2, 0.99]]), np.array([0.0, 0.3])
    lines = ["episode,push,place,speed"]
    for episode in range(24):
        state = generator.normal(size=2)
        for _ in range(int(generator.integers(6, 20))):
            push = int(generator.integers(0, 2))
            lines.append(f"{episode},{push},{state[0]:.8g},{state[1]:.8g}")
            state = A @ state + B * push
    (tmp_path / "play.csv").write_text("\n".join(lines), encoding="utf-8")
    how: dict[str, Any] = {
        "input_columns": ("push",), "output_columns": ("place", "speed"), "record_column": "episode",
        "start_steps": 1, "rollout_steps": 5, "input_lags": 1, "output_lags": 1, "delay": 1,
    }  # fmt: skip
    model = Simulator.train(tmp_path / "play.csv", run=tmp_path / "run", **SMALL, **how)
    metrics = model.metrics
    assert metrics["data"]["test"]["num_records"] >= 4 and metrics["data"]["test"]["num_steps"] % 6 == 0
    assert len(metrics["report"]["by_step"]["arx"]) == 5
    arx = next(row for row in metrics["baselines"] if row["name"] == "arx")
    assert arx["nrmse"] < 1e-3  # the system is linear: state and push tell the next state
    assert metrics["model"]["nrmse"] < 0.2
    state = np.array([0.3, -0.5])
    path, pushes = [state], [1, 0, 1, 1]
    for push in pushes:
        path.append(A @ path[-1] + B * push)
    y = np.full((5, 1, 2), np.nan)
    y[0, 0] = state
    said, _ = model(np.array([*pushes, 0.0])[:, None, None], y=y)
    assert np.abs(said[1:, 0] - path[1:]).max() < 0.3
    judged = model.evaluate(tmp_path / "play.csv")
    assert judged["model"]["num_records"] > metrics["data"]["test"]["num_records"]


def test_missing_outputs_are_neither_learned_from_nor_judged(tmp_path: Path) -> None:
    u, y = spring()
    y[100:140] = y[880:890] = np.nan
    one = task(written(tmp_path, u, y))
    torch.manual_seed(1)
    one.build_model()
    counted = sum(int(batch.weights.sum()) for batch in one.streams(batch_size=4, window=1, stride=1))
    assert counted == 648 - 2 - 40
    model = Simulator.train(written(tmp_path, u, y), run=tmp_path / "run", **SMALL, kinds=("arx",))
    assert model.metrics["model"]["num_values"] == 180 - 2 - 10
    assert np.isfinite(model.metrics["model"]["nrmse"])


def test_a_constant_input_and_a_constant_output_are_read_as_zeros(tmp_path: Path) -> None:
    u, y = spring()
    rows = "".join(f"{a:.8g},7,{b:.8g},2\n" for a, b in zip(u, y, strict=True))
    (tmp_path / "my.csv").write_text("u,fixed,y,level\n" + rows, encoding="utf-8")
    how: dict[str, Any] = {"input_columns": ("u", "fixed"), "output_columns": ("y", "level")}
    model = Simulator.train(tmp_path / "my.csv", run=tmp_path / "run", **SMALL, **how)
    assert np.isfinite([row["nrmse"] for row in (model.metrics["model"], *model.metrics["baselines"])]).all()
    assert np.abs(model.simulate(tmp_path / "my.csv")[0][:, 1] - 2).max() < 0.1


def test_records_of_unequal_lengths_give_what_each_gives_alone(tmp_path: Path) -> None:
    files = [written(tmp_path, *spring(steps, steps), f"{steps}.csv") for steps in (300, 41, 700)]
    model = Simulator.train(files, run=tmp_path / "run", **SMALL, kinds=("arx",))
    together = model.simulate(files)
    for file, said in zip(files, together, strict=True):
        assert np.array_equal(said, model.simulate(file)[0])


@pytest.mark.parametrize(
    ("options", "kind", "match"),
    [
        ({"forced_steps": 900}, DataError, "no training record is longer than the 900 steps"),
        ({"start_steps": 500}, DataError, "no validation record is as long as 501 steps"),
        ({"rollout_steps": 500}, DataError, "no validation record is as long as 502 steps"),
        ({"forced_steps": 0}, ConfigError, "forced_steps=0 beside model.output_lags"),
        ({"zoneout": 0.1}, ConfigError, "zoneout=.* take output_lags=0"),
        ({"window": 5}, ConfigError, "window"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is_written(
    tmp_path: Path, options: dict[str, Any], kind: type[Exception], match: str
) -> None:
    with pytest.raises(kind, match=match):
        Simulator.train(written(tmp_path, *spring()), run=tmp_path / "run", **SMALL, **options)
    assert not (tmp_path / "run").exists()


def test_an_output_without_a_value_is_refused(tmp_path: Path) -> None:
    u, y = spring()
    with pytest.raises(DataError, match="the output 'y' has no value to train on"):
        task(written(tmp_path, u, np.where(np.arange(900) < 700, np.nan, y)))


def test_another_sample_rate_is_refused(tmp_path: Path) -> None:
    u, y = spring(300)
    for name, rate in (("a.csv", 100), ("b.csv", 50)):
        rows = "".join(f"{t / rate},{a:.8g},{b:.8g}\n" for t, (a, b) in enumerate(zip(u, y, strict=True)))
        (tmp_path / name).write_text("t,u,y\n" + rows, encoding="utf-8")
    with pytest.raises(DataError, match="sample rates of training and held-out records are 100"):
        task(tmp_path / "a.csv", test_sources=[str(tmp_path / "b.csv")], time_column="t")
    run = tmp_path / "run"
    model = Simulator.train(tmp_path / "a.csv", run=run, time_column="t", **SMALL, kinds=("arx",))
    with pytest.raises(DataError, match="the records have 50 Hz, the model 100"):
        model.simulate(tmp_path / "b.csv")


def test_several_seeds_give_a_mean_with_an_interval(tmp_path: Path) -> None:
    small = {**SMALL, "max_steps": 4}
    model = Simulator.train(written(tmp_path, *spring()), run=tmp_path / "run", **small, seeds=2, kinds=("arx",))
    row = model.metrics["model"]
    assert row["seeds_low"] <= row["seeds_mean"] <= row["seeds_high"]


def test_a_real_circuit_is_simulated_better_than_by_the_linear_model(tmp_path: Path) -> None:
    source = DATA / "dynamics" / "silverbox" / "SNLS80mV.csv"
    if not source.exists():
        pytest.skip(f"{source} is absent")
    lines = source.read_text(encoding="utf-8").splitlines()[1:]
    parts = {"train": (40_580, 49_000), "valid": (49_300, 51_000), "test": (60_000, 62_000)}
    files = {}
    for name, (begin, end) in parts.items():
        files[name] = tmp_path / f"{name}.csv"
        rows = "".join(line.rstrip(",") + "\n" for line in lines[begin:end])
        files[name].write_text("V1,V2\n" + rows, encoding="utf-8")
    how: dict[str, Any] = {"valid_sources": [str(files["valid"])], "test_sources": [str(files["test"])]}
    how |= {"input_columns": ("V1",), "output_columns": ("V2",), "kinds": ("arx",), "figure": "rmse"}
    small = {**SMALL, "max_steps": 60, "window_steps": 40, "lr": 5e-3, "eval_every_steps": 60}
    model = Simulator.train(files["train"], run=tmp_path / "run", **small, **how)
    (arx,) = model.metrics["baselines"]
    assert model.metrics["model"]["rmse"] < 0.95 * arx["rmse"]
    assert model.metrics["model"]["one_step"] < model.metrics["model"]["rmse"]
