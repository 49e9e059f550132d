"""Backends: the choice can be asked for and forced, and leaving the native core is said once, with the reason."""

import warnings

import pytest
import torch

from rnnkit import nn
from rnnkit.errors import ConfigError, RnnkitError
from rnnkit.kernels import recurrent
from rnnkit.nn import backends, spec


@pytest.fixture(autouse=True)
def nothing_said_yet(monkeypatch):
    monkeypatch.setattr(backends, "_said", set())


def test_float32_on_the_cpu_is_native():
    for layer in (nn.LSTM(2, 3), nn.GRUCell(2, 3), nn.Recurrent("elman_relu", 2, 3), "gru_before"):
        assert nn.explain_backend(layer)[0] == "native"


def test_falling_to_spec_is_said_once_per_reason():
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for _ in range(3):
            nn.LSTM(2, 3).double()(torch.randn(4, 1, 2).double())
        assert [str(w.message) for w in said if w.category is nn.SpecBackendWarning] == [
            "lstm runs on backend 'spec' (slow, without the exactness promises): "
            "the native core computes in float32, the weights are float64"
        ]
        nn.GRUCell(2, 3).double()(torch.randn(1, 2).double())
        assert len(said) == 2


def test_asking_for_spec_is_not_warned_about():
    layer = nn.LSTM(2, 3, backend="spec", dtype=torch.float64)
    layer(torch.randn(4, 1, 2).double())
    assert nn.explain_backend(layer) == ("spec", "backend='spec' was asked for")


def test_the_reason_names_dtype_device_and_cell():
    assert "float64" in nn.explain_backend(nn.LSTM(2, 3, dtype=torch.float64))[1]
    assert "meta" in nn.explain_backend(nn.LSTM(2, 3, device="meta"))[1]


def test_forcing_native_where_it_cannot_run_is_refused():
    with pytest.raises(ConfigError, match="float64"):
        nn.LSTM(2, 3, backend="native", dtype=torch.float64)(torch.randn(4, 1, 2).double())


def test_unknown_backends_cells_and_modules_are_named():
    with pytest.raises(ConfigError, match="'fast'"):
        nn.LSTM(2, 3, backend="fast")
    with pytest.raises(ConfigError, match="'lstn'"):
        nn.explain_backend("lstn")
    with pytest.raises(ConfigError, match="'lstn'"):
        nn.Recurrent("lstn", 2, 3)
    with pytest.raises(ConfigError, match="Linear holds no recurrent layer"):
        nn.explain_backend(torch.nn.Linear(2, 3))


def test_a_model_answers_for_its_slowest_layer():
    model = torch.nn.ModuleList([nn.LSTM(2, 3), nn.LSTM(2, 3, backend="spec")])
    assert nn.explain_backend(model)[0] == "spec"


def test_spec_runs_without_the_core(monkeypatch):
    def fail(*_, **__):
        raise AssertionError("the core was called")

    monkeypatch.setattr(recurrent.Layer, "forward", fail)
    nn.LSTM(2, 3, 2, backend="spec")(torch.randn(4, 1, 2))
    with pytest.raises(AssertionError, match="the core was called"):
        nn.LSTM(2, 3)(torch.randn(4, 1, 2))


def test_every_cell_states_the_same_on_both_sides():
    cells = spec.CELLS | {cell.name: cell for cell in spec.PROJECTED.values()}
    assert recurrent.CELLS.keys() <= cells.keys()
    backends.compare_with_core(cells, recurrent.CELLS)


@pytest.mark.parametrize(("what", "wrong"), [("gates", ("f", "i", "g", "o")), ("parts", ("c", "h"))])
def test_a_gate_order_or_state_that_differs_from_the_core_is_refused(what, wrong):
    lstm = spec.CELLS["lstm"]
    changed = spec.CellSpec(**vars(lstm) | {what: wrong})
    with pytest.raises(RnnkitError, match=f"'lstm': nn/spec has {what}"):
        backends.compare_with_core({"lstm": changed}, recurrent.CELLS)
