"""precision=: what reaches the core, what it costs in accuracy through a layer, and where it is refused."""

import numpy as np
import pytest
import torch
from parity import DOORS, recurrent

from rnnkit import kernels, nn
from rnnkit.errors import ConfigError
from rnnkit.nn import spec

CELLS = list(kernels.CELLS)
SMOOTH = [cell for cell in CELLS if cell != "elman_relu"]  # its kink: see tests/kernels/cases.py


def pair_of_layers(cell, **options):
    torch.manual_seed(3)
    rounded = recurrent(cell, 20, 48, 2, precision="bf16", **options)
    exact = recurrent(cell, 20, 48, 2, backend="spec", dtype=torch.float64, **options)
    exact.load_state_dict(rounded.state_dict())
    return rounded, exact


@pytest.mark.parametrize("cell", SMOOTH)
def test_outputs_and_gradients_are_within_the_tolerance_of_bf16(cell):
    rounded, exact = pair_of_layers(cell, bidirectional=True)
    x, upstream = torch.randn(31, 4, 20), torch.randn(31, 4, 2 * (rounded.proj_size or 48))
    results = []
    for layer, values in ((rounded, x), (exact, x.double())):
        values = values.clone().requires_grad_()
        y, state = layer(values, lengths=[31, 7, 0, 20])
        (y * upstream).sum().backward()
        named = {"y": y, "dx": values.grad} | {f"d_{name}": p.grad for name, p in layer.named_parameters()}
        named |= {f"state {i}.{name}": part for i, parts in enumerate(state.layers) for name, part in parts.items()}
        results.append({name: value.detach().double() for name, value in named.items()})
    got, want = results
    for name, value in want.items():
        error = ((got[name] - value).norm() / value.norm()).item()
        assert 1e-5 < error < 2e-2, f"{name}: {error:.2e}"  # not exact either: rounding has taken place


@pytest.mark.parametrize("cell", CELLS)
def test_whole_chunks_and_folded_embedding_are_one_in_bf16(cell):
    layer = recurrent(cell, 20, 40, 2, precision="bf16")
    table, ids = torch.randn(9, 20), torch.randint(0, 9, (30, 4))
    with torch.no_grad():
        want, end = layer(ids, embedding=table)  # 120 ids, 9 rows: folded
        state, outputs = None, []
        for chunk in ids.split([1, 2, 17, 10]):  # 4 and 8 ids: looked up
            y, state = layer(chunk, state, embedding=table)
            outputs.append(y)
    assert torch.equal(torch.cat(outputs), want)
    assert state == end


def test_a_change_of_precision_packs_again():
    layer, x = nn.LSTM(20, 40), torch.randn(5, 2, 20)
    with torch.no_grad():
        exact = layer(x)[0]
        layer.precision = "bf16"
        assert not torch.equal(layer(x)[0], exact)
        layer.precision = "fp32"
        assert torch.equal(layer(x)[0], exact)


@pytest.mark.parametrize("cell", DOORS)
def test_cells_take_it_too(cell):
    kind = {"lstm": "LSTMCell"}.get(cell, "GRUCell" if cell.startswith("gru") else "RNNCell")
    options = {"reset": cell[4:]} if kind == "GRUCell" else {"nonlinearity": cell[6:]} if kind == "RNNCell" else {}
    one = getattr(nn, kind)(20, 40, precision="bf16", **options)
    layer = recurrent(cell, 20, 40, precision="bf16")
    layer.load_state_dict({f"{name}_l0": p for name, p in one.state_dict().items()})
    x = torch.randn(3, 20)
    with torch.no_grad():
        got = one(x)
        assert torch.equal(got[0] if kind == "LSTMCell" else got, layer(x[None])[0][0])


def test_auto_is_what_the_processor_is_fast_in(monkeypatch):
    for isa, want in (("amx", "bf16"), ("avx512bf16", "bf16"), ("avx512", "fp32"), ("portable", "fp32")):
        monkeypatch.setattr(kernels.recurrent._core, "isa", lambda isa=isa: isa)
        assert kernels.recurrent.resolve_precision("auto") == want


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "spec"}, "backend='spec' was asked for; use precision='fp32' or 'auto'"),
        ({"dtype": torch.float64}, "the weights are float64"),
    ],
)
@pytest.mark.filterwarnings("ignore::rnnkit.nn.SpecBackendWarning")
def test_bf16_off_the_core_is_refused(options, message):
    layer = nn.LSTM(3, 4, precision="bf16", **options)
    with pytest.raises(ConfigError, match=message):
        layer(torch.zeros(2, 1, 3, dtype=options.get("dtype")))
    layer.precision = "auto"
    layer(torch.zeros(2, 1, 3, dtype=options.get("dtype")))


def test_an_unknown_precision_is_refused_at_once():
    for make in (lambda: nn.LSTM(3, 4, precision="fp16"), lambda: nn.LSTMCell(3, 4, precision="half")):
        with pytest.raises(ConfigError, match="choose one of fp32, fp32_split, bf16, auto"):
            make()


def test_a_cell_of_ones_own_has_no_bf16():
    mine = spec.CellSpec(
        "mine",
        gates=("h",),
        parts=("h",),
        step=lambda projected, state, weights: ((torch.tanh(projected),), {"h": projected}),
        source="here",
    )
    with pytest.raises(ConfigError, match="no cell 'mine'"):
        nn.Recurrent(mine, 3, 4, precision="bf16")(torch.zeros(2, 1, 3))


def test_linear_and_cross_entropy_take_it():
    x, weight, targets = torch.randn(30, 24), torch.randn(50, 24), torch.randint(0, 50, (30,))
    results = {}
    for precision in ("fp32", "bf16"):
        h, w = x.clone().requires_grad_(), weight.clone().requires_grad_()
        y = nn.linear(h, w, precision=precision)
        (y.square().sum() + nn.linear_cross_entropy(h, targets, weight=w, precision=precision).sum()).backward()
        results[precision] = [value.detach().numpy() for value in (y, h.grad, w.grad)]
    for got, want in zip(results["bf16"], results["fp32"], strict=True):
        assert 1e-5 < np.linalg.norm(got - want) / np.linalg.norm(want) < 2e-2
