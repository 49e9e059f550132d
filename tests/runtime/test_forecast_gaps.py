"""A forecaster of uneven steps: it forgets by the time that has passed, alike in batches, chunks and both halves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from rnnkit import runtime
from rnnkit.bundle.series import SeriesFacts
from rnnkit.errors import ArgumentError, ConfigError
from rnnkit.models.forecaster import Forecaster, ForecasterConfig
from rnnkit.runtime.forecast_inputs import ForecastInputs
from rnnkit.runtime.forecaster import History

FACTS = SeriesFacts([], np.zeros((0, 2), "f4"), np.zeros((0, 0), "f4"), ("steps", 1, 0, 0),
                    {"past": ["other", "gap"], "future": [], "static": []})  # fmt: skip
BASE: dict[str, Any] = {"window": 5, "horizon": 3, "lags": (0, 1, 4), "hidden_size": 6, "num_past": 2, "gap": 1}


def made(**fields: Any) -> Forecaster:
    torch.manual_seed(4)
    model = Forecaster(ForecasterConfig(**{**BASE, **fields}))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith(("head", "autoregression", "decay")):
                parameter.normal_(std=0.5)
        model.past_scale.mean.copy_(torch.tensor([0.3, 2.0]))  # type: ignore[union-attr]
        model.past_scale.deviation.copy_(torch.tensor([2.0, 1.5]))  # type: ignore[union-attr]
    return model.eval()


def running(model: Forecaster) -> runtime.Forecaster:
    return runtime.Forecaster(*model.export(), series=FACTS)


def given(steps: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(2)
    past = np.stack([generator.normal(size=(steps, rows)), generator.exponential(2, size=(steps, rows))], axis=2)
    return generator.normal(size=(steps, rows)).astype("f4"), past.astype("f4")


@pytest.mark.parametrize("cell", ["lstm", "gru_after", "min_gru"])
def test_whole_chunks_and_steps_give_the_same_bits_and_a_row_none_of_its_mates(cell: str) -> None:
    model = running(made(cell=cell, num_layers=2))
    y, past = given(21, 3)
    whole, end = model(y, past=past)
    state, parts = None, []
    for first, last in ((0, 2), (2, 9), (9, 21)):
        said, state = model(y[first:last], state, past=past[first:last])
        parts.append(said.raw)
    assert np.array_equal(np.concatenate(parts), whole.raw) and state == end
    state = model.initial_state(3)
    for t in range(21):
        said, state = model.step(y[t], state, past=past[t])
        assert np.array_equal(said.raw, whole.raw[t]), t
    assert state == end
    for row in range(3):
        alone, after = model(y[:, [row]], past=past[:, [row]])
        assert np.array_equal(alone.raw, whole.raw[:, [row]]) and after == end[[row]]


def test_series_of_unequal_lengths_side_by_side_are_read_as_alone() -> None:
    model = running(made())
    y, past = given(30, 3)
    lengths = (30, 7, 18)
    rows = [
        History(y[:n, row], past[:n, row], np.zeros((n, 0)), 0, np.array([0, 1], "f4")) for row, n in enumerate(lengths)
    ]
    together = model.backtest(rows, [np.arange(1, n + 1) for n in lengths])
    state = model.read(rows)
    for row, n in enumerate(lengths):
        (alone,) = model.backtest([rows[row]], [np.arange(1, n + 1)])
        assert np.array_equal(alone.raw, together[row].raw)
        assert model.read([rows[row]]) == state[[row]]


@pytest.mark.parametrize("cell", ["lstm", "elman_tanh"])
def test_the_learn_half_says_the_same_and_knows_where_rows_end(cell: str) -> None:
    torch_model = made(cell=cell, num_layers=2)
    model = running(torch_model)
    y, past = given(25, 3)
    said, _ = model(y, past=past)
    config, tensors = torch_model.export()
    inputs = ForecastInputs(config["model"], tensors)
    read, _ = inputs.advance(y, inputs.initial(3), past=past)
    joined = torch.from_numpy(np.concatenate([read.window, read.beside], axis=2))
    with torch.no_grad():
        features, _ = torch_model(joined)
        theirs = torch_model.outputs(features).numpy()
        short, after = torch_model(joined, lengths=[25, 4, 11])
        _, until = torch_model(joined[:4])
    assert np.abs(theirs - said.raw).max() < 1e-5 * np.abs(theirs).max()
    width = torch_model.config.window
    assert torch.equal(short[:4, 1, width:], features[:4, 1, width:]) and not short[4:, 1, width:].any()
    for left, right in zip(after.layers, until.layers, strict=True):
        for name in left:
            assert torch.equal(left[name][1], right[name][1])


def test_a_gap_of_two_forgets_what_two_gaps_of_one_forget_and_more_is_less() -> None:
    model = running(made())
    _, state = model(*given(9, 1)[:1], past=given(9, 1)[1])
    layers = [tuple(of.values()) for of in state.layers[:-1]]

    def after(parts: Any, gap: float) -> Any:
        return model._decayed(parts, np.array([[0.0, gap]], "f4"))

    twice, once = after(after(layers, 1.0), 1.0), after(layers, 2.0)
    for left, right in zip(twice, once, strict=True):
        for a, b in zip(left, right, strict=True):
            assert np.abs(a - b).max() < 1e-6 * np.abs(b).max()
    for none, some, much in zip(after(layers, 0.0), once, after(layers, 500.0), strict=True):
        for a, b, c in zip(none, some, much, strict=True):
            assert (np.abs(a) > np.abs(b)).all() and np.abs(c).max() < 1e-3
    assert all(
        np.array_equal(a, b)
        for of, kept in zip(after(layers, 0.0), layers, strict=True)
        for a, b in zip(of, kept, strict=True)
    )


def test_one_row_of_gap_two_is_not_two_rows_of_gap_one() -> None:
    model = running(made())
    y, past = given(6, 1)
    _, state = model(y, past=past)
    one, _ = model.step([0.5], state, past=[[0.0, 2.0]])
    _, between = model.step([0.5], state, past=[[0.0, 1.0]])
    two, _ = model.step([0.5], between, past=[[0.0, 1.0]])
    assert not np.array_equal(one.raw, two.raw)  # two values were read: as documented


def test_the_gap_changes_what_is_said_beyond_being_read() -> None:
    model = made()
    y, past = given(12, 1)
    with_decay, _ = running(model)(y, past=past)
    with torch.no_grad():
        assert model.decay is not None
        model.decay.fill_(-30.0)  # forgets nothing
    without, _ = running(model)(y, past=past)
    assert np.array_equal(with_decay.raw[0], without.raw[0])  # before the first value there is nothing to forget
    assert not np.array_equal(with_decay.raw[1:], without.raw[1:])


def test_what_cannot_be_is_refused() -> None:
    model = running(made())
    with pytest.raises(ArgumentError, match="a gap is -1; the time since"):
        model.step([1.0], past=[[0.0, -1.0]])
    with pytest.raises(ArgumentError, match="past covariates: this model needs them"):
        model.step([1.0])
    with pytest.raises(ConfigError, match="gap=2 is none of the 2 past covariates"):
        made(gap=2)
    with pytest.raises(ConfigError, match=r"zoneout=0\.1 is for layers that are run whole, and with gap"):
        made(zoneout=0.1)
