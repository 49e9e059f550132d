"""A simulator in the run half: the same bits whole, in blocks and step by step, and what the learn half says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rnnkit import runtime
from rnnkit.baselines.dynamics import regressors
from rnnkit.bundle.system import NAME, SystemFacts
from rnnkit.errors import ArgumentError, ConfigError, DtypeError, MissingFileError, SchemaError, ShapeError, StateError
from rnnkit.models.simulator import Simulator, SimulatorConfig

FACTS = SystemFacts(("force", "bias"), ("place",), 44_100.0)
BASE: dict[str, Any] = {"num_inputs": 2, "num_outputs": 1, "hidden_size": 7, "input_lags": 3}
MODELS: dict[str, dict[str, Any]] = {
    "reads its outputs": {"output_lags": 2, "cell": "elman_tanh"},
    "reads its outputs late": {"output_lags": 1, "delay": 2, "input_lags": 1, "num_layers": 2, "residual": True},
    "reads inputs alone": {"output_lags": 0, "cell": "gru_after"},
    "reads one input alone": {"output_lags": 0, "input_lags": 1},
    "without a linear part": {"linear": False, "output_lags": 3},
}


def made(**fields: Any) -> Simulator:
    torch.manual_seed(3)
    model = Simulator(SimulatorConfig(**{**BASE, **fields}))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith(("head", "linear")):
                parameter.normal_(std=0.2)
        model.input_scale.mean.copy_(torch.tensor([0.5, -1.0]))
        model.input_scale.deviation.copy_(torch.tensor([2.0, 0.5]))
        model.output_scale.mean.fill_(3.0)
        model.output_scale.deviation.fill_(4.0)
    return model.eval()


def running(model: Simulator) -> runtime.Simulator:
    return runtime.Simulator(*model.export(), system=FACTS)


def signals(steps: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(5)
    return generator.normal(size=(steps, rows, 2)), 3 + 4 * generator.normal(size=(steps, rows, 1))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("is_given", [False, True])
def test_whole_blocks_and_steps_give_the_same_bits(name: str, is_given: bool) -> None:
    model = running(made(**MODELS[name]))
    u, measured = signals(23, 3)
    measured[5:9, 1] = np.nan
    y = measured if is_given else None
    whole, end = model(u, y=y)
    state, found = None, []
    for first, last in ((0, 1), (1, 1), (1, 9), (9, 23)):
        said, state = model(u[first:last], state, y=None if y is None else y[first:last])
        found.append(said)
    assert np.array_equal(np.concatenate(found), whole) and state == end
    state = model.initial_state(3)
    for t in range(len(u)):
        said, state = model.step(u[t], state, y=None if y is None else y[t])
        assert np.array_equal(said, whole[t]), t
    assert state == end


@pytest.mark.parametrize("name", MODELS)
def test_a_row_does_not_depend_on_what_stands_beside_it(name: str) -> None:
    model = running(made(**MODELS[name]))
    u, y = signals(17, 4)
    whole, end = model(u, y=y)
    for row in range(4):
        alone, state = model(u[:, [row]], y=y[:, [row]])
        assert np.array_equal(alone, whole[:, [row]]) and state == end[[row]]


@pytest.mark.parametrize("name", MODELS)
def test_what_comes_later_changes_nothing_before(name: str) -> None:
    model = running(made(**MODELS[name]))
    u, y = signals(20, 2)
    before, _ = model(u, y=y)
    u[12:], y[11:] = 9.0, -50.0  # what is said of step 11 must not know its own output
    after, _ = model(u, y=y)
    assert np.array_equal(before[:12], after[:12])
    assert not np.array_equal(before[12:], after[12:])


@pytest.mark.parametrize("name", MODELS)
def test_it_says_what_the_learn_half_says(name: str) -> None:
    model = made(**MODELS[name])
    config, forced = model.config, 6
    u, y = signals(30, 2)
    lags = (config.input_lags, config.output_lags, config.delay)
    scaled = (u - [0.5, -1.0]) / [2.0, 0.5], (y - 3.0) / 4.0
    read = np.stack([regressors(scaled[0][:, row], scaled[1][:, row], lags) for row in range(2)], axis=1)
    is_given = np.broadcast_to((np.arange(30) < forced)[:, None, None], (30, 2, 1))
    with torch.no_grad():
        theirs, _ = model(torch.from_numpy(np.concatenate([read, is_given], axis=2)).float())
    given = y.copy()
    given[forced:] = np.nan
    ours, _ = running(model)(u, y=given)
    assert np.abs(theirs.numpy() * 4 + 3 - ours).max() < 2e-5 * np.abs(ours).max()


def test_measured_outputs_stand_in_for_said_ones_where_they_are_there() -> None:
    model = running(made(output_lags=2))
    u, y = signals(10, 1)
    free, _ = model(u)
    nothing, _ = model(u, y=np.full_like(y, np.nan))
    once = np.full_like(y, np.nan)
    once[4] = y[4]
    given, _ = model(u, y=once)
    assert np.array_equal(free, nothing)
    assert np.array_equal(free[:5], given[:5])
    assert (free[5:7] != given[5:7]).all()


def test_a_simulation_that_runs_away_is_held() -> None:
    model = made(output_lags=1, input_lags=1)
    with torch.no_grad():
        assert model.linear is not None
        model.linear.weight.copy_(torch.tensor([[1.0, 1.0, 2.0]]))
    said, _ = running(model)(np.ones((60, 1, 2)))
    assert np.isfinite(said).all() and abs(said[-1, 0, 0] - 3) == 4 * 1e3


def test_a_bundle_gives_the_same_bits_and_keeps_names_and_rate(tmp_path: Path) -> None:
    model = running(made())
    model.save(tmp_path / "run")
    again = runtime.Simulator.load(tmp_path / "run")
    u, _ = signals(9, 2)
    assert np.array_equal(model(u)[0], again(u)[0])
    assert again.system == FACTS and again.sample_rate == 44_100.0 and again.digest == model.digest


def test_a_model_without_state_of_its_own_goes_on_all_the_same() -> None:
    model = running(made(output_lags=0, input_lags=1))
    assert not model.reads_outputs
    assert len(model.initial_state().layers) == 1  # of the cell alone
    with_lags = running(made(output_lags=0, input_lags=3))
    assert set(with_lags.initial_state().layers[1]) == {"inputs"}


@pytest.mark.parametrize(
    ("u", "y", "kind", "match"),
    [
        (np.zeros((3, 2)), None, ShapeError, r"u must have the axes \[T, B, 2\], got the shape \[3, 2\]"),
        (np.zeros((3, 1, 1)), None, ShapeError, r"\[T, B, 2\]"),
        (np.full((3, 1, 2), "a"), None, DtypeError, "u must be numbers"),
        (np.full((3, 1, 2), np.nan), None, ArgumentError, "u holds a value that is not finite"),
        (np.zeros((3, 1, 2)), np.zeros((2, 1, 1)), ShapeError, r"y must have the axes \[T, B, 1\] beside u"),
        (np.zeros((3, 1, 2)), np.full((3, 1, 1), np.inf), ArgumentError, "NaN stands for one that was not measured"),
    ],
)
def test_what_does_not_fit_is_refused(u: Any, y: Any, kind: type[Exception], match: str) -> None:
    with pytest.raises(kind, match=match):
        running(made())(u, y=y)


def test_a_state_of_another_model_is_refused() -> None:
    with pytest.raises(StateError, match="belongs to"):
        running(made())(np.zeros((1, 1, 2)), running(made(delay=1)).initial_state())


@pytest.mark.parametrize("field", [{"zoneout": 0.1}, {"layer_norm": True}, {"output_dropout": 0.1}])
def test_what_acts_on_whole_layers_goes_with_models_that_read_no_outputs(field: dict[str, Any]) -> None:
    made(output_lags=0, cell="lstm", **field)
    with pytest.raises(ConfigError, match=f"{next(iter(field))}=.* take output_lags=0"):
        made(output_lags=1, cell="lstm", **field)


@pytest.mark.parametrize(
    "change",
    [
        {"inputs": ["one"]},
        {"outputs": [1]},
        {"sample_rate": 0},
        {"sample_rate": "fast"},
        {"sample_rate": True},
        {"x": 1},
    ],
)
def test_other_facts_than_were_written_are_refused(change: dict[str, Any]) -> None:
    import json

    files = {NAME: json.dumps({**json.loads(FACTS.to_bytes()), **change}).encode()}
    with pytest.raises(SchemaError, match=NAME):
        SystemFacts.from_files(files, num_inputs=2, num_outputs=1)
    with pytest.raises(MissingFileError, match=NAME):
        SystemFacts.from_files({}, num_inputs=2, num_outputs=1)
