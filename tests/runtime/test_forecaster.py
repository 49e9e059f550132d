"""A forecaster in the run half: the same bits whole, in chunks and step by step, and what the learn half says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rnnkit import runtime
from rnnkit.bundle.series import SeriesFacts
from rnnkit.errors import ArgumentError, DtypeError, ShapeError, StateError
from rnnkit.models.forecaster import Forecaster, ForecasterConfig
from rnnkit.runtime.forecast_inputs import ForecastInputs
from rnnkit.runtime.forecaster import History
from rnnkit.state import State

FACTS = SeriesFacts(["a", "b"], np.array([[1, 2], [3, 4]], "f4"), np.array([[5], [7]], "f4"), ("seconds", 3600, 0, 1),
                    {"past": ["p"], "future": ["f"], "static": ["s"]})  # fmt: skip
BASE: dict[str, Any] = {
    "window": 9,
    "horizon": 4,
    "hidden_size": 7,
    "lags": (0, 1, 8),
    "calendar": ((24, 1), (8766, 1)),
}
WITH_COVARIATES = {"num_past": 1, "num_future": 1, "num_static": 1}
OUTPUTS = ("point", "quantiles", "normal", "student_t", "negative_binomial", "mixture")


def made(**fields: Any) -> Forecaster:
    torch.manual_seed(3)
    model = Forecaster(ForecasterConfig(**{**BASE, **fields}))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith(("head", "autoregression")):
                parameter.normal_(std=0.3)
        for kind in ("past", "future", "static"):
            if (scale := getattr(model, f"{kind}_scale")) is not None:
                scale.mean.fill_(0.5)
                scale.deviation.fill_(2.0)
    return model.eval()


def running(model: Forecaster) -> runtime.Forecaster:
    facts = FACTS if model.config.num_static else FACTS._replace(static=np.zeros((2, 0), "f4"))
    return runtime.Forecaster(*model.export(), series=facts)


def series(steps: int, rows: int, *, counts: bool = False) -> np.ndarray:
    generator = np.random.default_rng(5)
    y = 20 + 5 * np.sin(np.arange(steps)[:, None] / 4 + np.arange(rows)) + generator.normal(size=(steps, rows))
    return (np.maximum(np.round(y), 0) if counts else y).astype(np.float32)


def same(left: Any, right: Any) -> bool:
    return all(np.array_equal(getattr(left, name), getattr(right, name)) for name in ("raw", "level", "scale"))


@pytest.mark.parametrize("cell", ["lstm", "gru_after", "min_gru"])
@pytest.mark.parametrize(("level", "scale"), [("last", "window"), ("mean", "window"), ("series", "series")])
def test_whole_chunks_and_steps_give_the_same_bits(cell: str, level: str, scale: str) -> None:
    is_log = level == "mean"
    model = running(made(cell=cell, level=level, scale=scale, log=is_log, num_layers=2, **WITH_COVARIATES))
    y = series(41, 3)
    y[[4, 5, 20], [0, 0, 2]] = np.nan
    generator = np.random.default_rng(6)
    past, future = generator.normal(size=(41, 3, 1)), generator.normal(size=(41, 3, 4, 1))
    first = model.initial_state(3, clock=[7, 400000, -3], series=FACTS.rows(["a", "b", "a"], None, is_scaled_by=True))
    whole, end = model(y, first, past=past, future=future)
    for cuts in ((13, 14, 30), tuple(range(1, 41))):
        state, parts, begin = first, [], 0
        for stop in (*cuts, 41):
            part, state = model(y[begin:stop], state, past=past[begin:stop], future=future[begin:stop])
            parts.append(part.raw)
            begin = stop
        assert np.array_equal(np.concatenate(parts), whole.raw)
        assert state == end
    state = first
    for t in range(41):
        said, state = model.step(y[t], state, past=past[t], future=future[t])
        assert same(said, whole[t])
        assert np.array_equal(said.quantiles(), whole[t].quantiles())
    assert state == end


def test_a_row_does_not_depend_on_its_mates_or_on_threads() -> None:
    model = running(made())
    y = series(30, 5)
    y[10, 1] = np.nan
    whole, _ = model(y)
    alone, _ = model(y[:, [3]])
    assert same(alone, whole[:, [3]])
    before = runtime.get_num_threads()
    try:
        runtime.set_num_threads(1 if before > 1 else 2)
        again, _ = model(y)
    finally:
        runtime.set_num_threads(before)
    assert same(again, whole)


def test_a_state_is_a_value_and_travels_as_bytes(tmp_path: Path) -> None:
    model = running(made())
    model.save(tmp_path / "run")
    loaded = runtime.Forecaster.load(tmp_path / "run")
    y = series(12, 2)
    _, state = model(y)
    kept = State.from_bytes(state.to_bytes(), like=loaded.initial_state())
    before = state.digest()
    left, _ = model.step([1.0, 2.0], state)
    right, _ = loaded.step([1.0, 2.0], kept)
    assert same(left, right)
    assert state.digest() == before
    other = running(made(horizon=5))
    with pytest.raises(StateError, match="belongs to model"):
        other.step([1.0, 2.0], state)


@pytest.mark.parametrize("output", OUTPUTS)
def test_the_learn_half_says_the_same(output: str) -> None:
    level = "zero" if output == "negative_binomial" else "mean"
    torch_model = made(output=output, level=level, **WITH_COVARIATES)
    model = running(torch_model)
    y = series(50, 3, counts=output == "negative_binomial")
    generator = np.random.default_rng(6)
    given = {"past": generator.normal(size=(50, 3, 1)), "future": generator.normal(size=(50, 3, 4, 1))}
    said, _ = model(y, **given)
    config, tensors = torch_model.export()
    inputs = ForecastInputs(config["model"], tensors)
    read, _ = inputs.advance(y, inputs.initial(3), **given)
    with torch.no_grad():
        features, _ = torch_model(torch.from_numpy(np.concatenate([read.window, read.beside], axis=2)))
        theirs = torch_model.outputs(features).numpy()
        came = np.stack([np.roll(y, -k, axis=0) for k in range(1, 5)], axis=-1)[:45]
        targets = np.concatenate([(came - read.level[:45]) / read.scale[:45], read.scale[:45]], axis=-1)
        losses = torch_model.loss(features[:45], torch.from_numpy(targets.astype("f4"))).numpy()
    error = np.linalg.norm(said.raw - theirs) / np.linalg.norm(theirs)
    assert error < 1e-5
    at = said[:45]
    if output == "point":
        mine = (((came - at.point) / at.scale) ** 2).mean(-1)
    elif output == "quantiles":
        off, levels = targets[..., :-1, None] - at.raw, np.array(model.levels)
        mine = np.maximum(levels * off, (levels - 1) * off).mean((-1, -2))
    else:
        mine = at.surprise(came).mean(-1)
        if output != "negative_binomial":
            mine -= np.log(at.scale[..., 0])  # a density of scaled values
    assert np.abs(mine - losses).max() < 2e-3 * max(1, np.abs(losses).max())


@pytest.mark.parametrize("output", OUTPUTS[1:])
def test_quantiles_rise_and_hold_their_share(output: str) -> None:
    model = running(made(output=output, level="zero" if output == "negative_binomial" else "mean"))
    said, _ = model(series(20, 2, counts=True))
    quantiles = said.quantiles()
    assert (np.diff(quantiles, axis=-1) >= 0).all()
    assert quantiles.shape == (20, 2, 4, 7)
    assert np.array_equal(said[7:9, [1]].quantiles(), quantiles[7:9, [1]])
    if output != "quantiles":
        generator = np.random.default_rng(1)
        drawn = np.stack([said[-1].draw(generator) for _ in range(4000)])
        share = (drawn <= quantiles[-1][..., 1]).mean(0)
        assert (share >= 0.1 - 0.03).all()
        if output != "negative_binomial":
            assert np.abs(share - 0.1).max() < 0.03
    else:
        between = said.quantiles([0.3])
        assert (between >= quantiles[..., 2:3]).all()
        assert (between <= quantiles[..., 3:4]).all()
        with pytest.raises(ArgumentError, match="lie outside"):
            said.quantiles([0.01])


def test_a_backtest_is_what_steps_say_and_no_later_value_changes_it() -> None:
    model = running(made(**WITH_COVARIATES))
    lengths, generator = (40, 23, 31), np.random.default_rng(2)
    rows = FACTS.rows(["a", "b", "a"], None, is_scaled_by=False)
    histories = [
        History(
            series(n, 1)[:, 0] + k, generator.normal(size=(n, 1)), generator.normal(size=(n + 4, 1)), 5 * k, rows[k]
        )
        for k, n in enumerate(lengths)
    ]
    origins = [np.array([1, 7, 30]), np.array([23]), np.zeros(0, int)]
    origins[2] = np.array([9, 31])
    found = model.backtest(histories, origins, horizon=3)
    for one, at, said in zip(histories, origins, found, strict=True):
        assert said.raw.shape == (len(at), 3, 7)
        for index, origin in enumerate(at):
            state = model.initial_state(1, clock=one.clock, series=one.series[None])
            for t in range(origin):
                ahead = one.future[t + 1 : t + 5][None]
                forecast, state = model.step([one.values[t]], state, past=one.past[t][None], future=ahead)
            assert np.array_equal(forecast.raw[0, :3], said.raw[index])
    changed = [
        replace_values(one, at[0], generator) if len(at) else one for one, at in zip(histories, origins, strict=True)
    ]
    again = model.backtest(changed, [at[:1] for at in origins], horizon=3)
    for before, after in zip(found, again, strict=True):
        assert np.array_equal(before.raw[:1], after.raw)


def replace_values(one: History, origin: int, generator: np.random.Generator) -> History:
    values, past = one.values.copy(), one.past.copy()
    values[origin:] = 1e6 * generator.normal(size=len(values) - origin)
    past[origin:] = 1e6
    return one._replace(values=values, past=past)


def test_a_recursive_model_feeds_on_what_it_said() -> None:
    model = running(made(recursive=True, output="point", horizon=6))
    said, state = model(series(20, 2))
    ahead = model.ahead(said[-1], state, horizon=6)
    point, at = said.point[-1], state
    for k in range(6):
        assert np.array_equal(ahead.point[:, k], point[:, 0])
        step, at = model.step(point[:, 0], at)
        point = step.point
    drawn = running(made(recursive=True, output="normal", horizon=6))
    said, state = drawn(series(20, 2))
    ahead = drawn.ahead(said[-1], state, horizon=6, num_samples=500)
    first = said[-1].quantiles()[:, 0]
    assert np.abs(ahead.quantiles()[:, 0] - first).max() < 0.5 * (first[:, -1] - first[:, 0]).max()
    assert same(ahead, drawn.ahead(said[-1], state, horizon=6, num_samples=500))
    with pytest.raises(ArgumentError, match="says its 4 steps at once"):
        running(made()).ahead(said[-1], state, horizon=6)


def test_a_constant_series_is_forecast_by_what_it_is() -> None:
    model = running(made(level="last"))
    for value in (0.0, 7.0, 1e6):
        said, _ = model(np.full((30, 1), value, np.float32))
        assert np.isfinite(said.raw).all()
        assert np.abs(said.point - value).max() <= max(1.0, abs(value) * 1e-3) * np.abs(said.raw).max()


def test_bad_calls_are_refused_by_name() -> None:
    model = running(made())
    with pytest.raises(ArgumentError, match="not finite"):
        model.step([float("inf")])
    with pytest.raises(ArgumentError, match="begins with a missing value"):
        model.step([float("nan")])
    with pytest.raises(ShapeError, match=r"\[T, B\]"):
        model([1.0, 2.0])
    with pytest.raises(DtypeError, match="numbers"):
        model.step(["a"])
    with pytest.raises(ArgumentError, match="past covariates: this model takes none"):
        model.step([1.0], past=[[1.0]])
    with pytest.raises(ArgumentError, match="a value of 0 or below, and this model reads logarithms"):
        running(made(log=True)).step([0.0])
    with pytest.raises(ArgumentError, match="future covariates: this model needs them"):
        running(made(num_future=1)).step([1.0])
    with pytest.raises(ArgumentError, match="h is 5; this model was trained on 4 steps"):
        history = History(series(9, 1)[:, 0], np.zeros((9, 0)), np.zeros((9, 0)), 0, np.array([0, 1], "f4"))
        model.backtest([history], [np.array([9])], horizon=5)


def test_no_steps_give_no_forecast_and_the_state_back() -> None:
    model = running(made())
    _, state = model(series(9, 2))
    said, after = model(np.zeros((0, 2), np.float32), state)
    assert said.raw.shape == (0, 2, 4, 7)
    assert after == state


def test_a_frozen_forecast_is_cut_by_rows() -> None:
    said, _ = running(made())(series(9, 3))
    assert said[2, [0, 2]].point.shape == (2, 4)
    assert replace(said, output="point").output == "point"
