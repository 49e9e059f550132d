"""Zoneout, recurrent dropout, recomputed gates and traces of layers: the native core against the equations in torch."""

import numpy as np
import pytest
import torch
from parity import ALL_CELLS, recurrent

from rnnkit import nn
from rnnkit.errors import ArgumentError, ConfigError
from rnnkit.nn import spec
from rnnkit.nn.dropout import drop_mask

SPECS = spec.CELLS | {cell.name: cell for cell in spec.PROJECTED.values()}
CELLS = [name for name in ALL_CELLS if "weight_hh" in SPECS[name].parameters]
each_cell = pytest.mark.parametrize("cell", ALL_CELLS)
each_recurrent_cell = pytest.mark.parametrize("cell", CELLS)
LENGTHS = [7, 1, 0, 4]


def layers(cell, **options):
    """The same float32 layer on the native core and as equations in float64."""
    torch.manual_seed(3)
    native = recurrent(cell, 5, 9, 2, bidirectional=True, backend="native", **options)
    with torch.no_grad():
        for name, parameter in native.named_parameters():
            if name.startswith(("weight_norm", "bias_norm")):  # distinct, and calm: a norm restores every scale
                parameter.uniform_(0.2, 0.6)
    equations = recurrent(cell, 5, 9, 2, bidirectional=True, backend="spec", dtype=torch.float64, **options)
    equations.load_state_dict(native.state_dict())
    return native, equations


def results(layer, x, *, seed=11, **call):
    """Outputs, states, traces and gradients by name, from masks drawn after `seed`."""
    torch.manual_seed(seed)
    x = x.to(layer.weight_ih_l0.dtype, copy=True).requires_grad_()
    y, state, *trace = layer(x, **call)
    parts = [part for layer_parts in state.layers for part in layer_parts.values()]
    generator = torch.Generator().manual_seed(7)
    weighted = [(v * torch.randn(v.shape, generator=generator).to(v)).sum() for v in (y, *parts)]
    layer.zero_grad()
    sum(weighted).backward()
    found = {"y": y, "d x": x.grad} | {f"state {n}": part for n, part in enumerate(parts)}
    found |= {f"d {name}": parameter.grad for name, parameter in layer.named_parameters()}
    for n, names in enumerate(trace[0] if trace else ()):
        found |= {f"trace {n}.{name}": value for name, value in names.items()}
    return {name: value.detach() for name, value in found.items()}


def check(cell, options, *, train=True, **call):
    native, equations = layers(cell, **options)
    x = torch.randn(7, 4, 5, generator=torch.Generator().manual_seed(1))
    got, want = (results(layer.train(train), x, **call) for layer in (native, equations))
    assert got.keys() == want.keys()
    for name, value in want.items():
        torch.testing.assert_close(got[name].double(), value, rtol=2e-5, atol=2e-5, msg=lambda m, n=name: f"{n}: {m}")
    return native, x, got


@each_cell
@pytest.mark.parametrize("train", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "ragged"])
def test_zoneout_agrees_with_the_equations(cell, lengths, train):
    rates = (0.3, 0.5)[: len(SPECS[cell].parts)]
    _, x, got = check(cell, {"zoneout": rates}, train=train, lengths=lengths)
    plain, _ = layers(cell)
    assert not torch.equal(got["y"], plain(x, lengths=lengths)[0])


@each_cell
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "ragged"])
def test_layer_norm_agrees_with_the_equations(cell, lengths):
    _, x, got = check(cell, {"layer_norm": True}, lengths=lengths, trace=True)
    plain, _ = layers(cell)
    assert not torch.equal(got["y"], plain(x, lengths=lengths)[0])


@each_recurrent_cell
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "ragged"])
def test_recurrent_dropout_agrees_with_the_equations(cell, lengths):
    native, x, got = check(cell, {"recurrent_dropout": 0.4}, lengths=lengths)
    plain, _ = layers(cell)
    assert not torch.equal(got["y"], plain(x, lengths=lengths)[0])
    assert torch.equal(native.eval()(x, lengths=lengths)[0], plain(x, lengths=lengths)[0])


@each_recurrent_cell
def test_both_together_with_a_trace_agree_with_the_equations(cell):
    check(cell, {"recurrent_dropout": 0.4, "zoneout": 0.3}, lengths=LENGTHS, trace=True)


@each_cell
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "ragged"])
def test_a_trace_holds_what_the_equations_compute(cell, lengths):
    native, x, _ = check(cell, {}, lengths=lengths, trace=True)
    with torch.no_grad():
        y, _, trace = native(x, lengths=lengths, trace=True)
    assert len(trace) == 4 and all(set(t) == {*native.cell.gates, *native.cell.parts} for t in trace)
    assert torch.equal(torch.cat([trace[2]["h"], trace[3]["h"]], dim=-1), y)
    for row, length in enumerate(lengths or ()):
        assert not any(value[length:, row].any() for names in trace for value in names.values())
    assert not any(value.requires_grad for names in trace for value in names.values())


@each_cell
@pytest.mark.parametrize("options", [{}, {"zoneout": 0.3}], ids=str)
def test_recompute_changes_no_bit(cell, options):
    x = torch.randn(300, 6, 5, generator=torch.Generator().manual_seed(1))
    plain, equations = layers(cell, **options)
    again, equations_again = layers(cell, recompute=True, **options)
    for one, other in ((plain, again), (equations, equations_again)):
        steps = x if one is plain else x[:9]
        want, got = results(one, steps), results(other, steps)
        for name, value in want.items():
            assert torch.equal(got[name], value), name


def test_the_core_keeps_no_gates_when_it_recomputes():
    from rnnkit.kernels import _core

    held = []
    for recompute in (False, True):
        layer = nn.Recurrent("lstm", 4, 64, recompute=recompute)
        layer(torch.randn(2, 2, 4))
        before = _core.memory_usage()[0]
        kept = layer(torch.randn(300, 8, 4))
        held.append(_core.memory_usage()[0] - before)
        del kept
    assert held[0] - held[1] > 0.8 * 4 * 300 * 8 * 4 * 64


def test_the_masks_are_torchs_random_numbers():
    layer = nn.Recurrent("lstm", 4, 6, zoneout=0.3, recurrent_dropout=0.3)
    x = torch.randn(5, 3, 4)
    outputs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        outputs.append(layer(x)[0])
    assert torch.equal(outputs[0], outputs[1]) and not torch.equal(outputs[0], outputs[2])


@pytest.mark.parametrize("p", [0.0, 0.05, 0.5, 0.99])
def test_a_drop_mask_keeps_with_its_probability(p):
    torch.manual_seed(0)
    mask = drop_mask(p, 101, 37, 53, like=torch.zeros(1))
    assert mask.shape == (101, 37, 53) and mask.dtype == torch.bool
    assert abs(mask.double().mean().item() - p) < 4 * (p * (1 - p) / mask.numel()) ** 0.5 + 2**-16
    for axis in range(3):  # no pattern along any axis
        other = tuple(a for a in range(3) if a != axis)
        assert (
            mask.double().mean(other).std().item() < 3 * (p * (1 - p) * mask.shape[axis] / mask.numel()) ** 0.5 + 1e-9
        )


def test_eval_is_the_mean_of_training_for_one_step():
    """One step from zeros is linear in the masks, so their mean is the expectation that eval computes."""
    layer = nn.Recurrent("gru_after", 4, 6, zoneout=0.25)
    x, state = torch.randn(1, 20000, 4)[:, :1].expand(1, 20000, 4), layer.initial_state(20000).map(torch.ones_like)
    with torch.no_grad():
        mean = layer(x, state)[0].mean(dim=1)
        torch.testing.assert_close(mean, layer.eval()(x, state)[0][:, 0], rtol=0.02, atol=0.02)


def test_the_drop_ins_take_the_options():
    x = torch.randn(5, 3, 4)
    for layer in (nn.LSTM(4, 6, zoneout=(0.1, 0.5), recurrent_dropout=0.2), nn.GRU(4, 6, zoneout=0.2), nn.RNN(4, 6)):
        y, _, trace = layer(x, trace=True)
        assert torch.equal(trace[0]["h"], y)
        assert set(trace[0]) == {*layer.cell.gates, *layer.cell.parts}
        batch_first = type(layer)(4, 6, batch_first=True)
        y, _, trace = batch_first(x, trace=True)
        assert torch.equal(trace[0]["h"], y.transpose(0, 1))
        with pytest.raises(ArgumentError, match="no packed form"):
            layer(torch.nn.utils.rnn.pack_padded_sequence(x, [5, 5, 5]), trace=True)


def test_what_an_option_cannot_do_is_refused():
    with pytest.raises(ConfigError, match=r"zoneout=1\.5"):
        nn.Recurrent("lstm", 4, 6, zoneout=1.5)
    with pytest.raises(ConfigError, match="has 2 values, the state of cell gru_after has the parts h"):
        nn.Recurrent("gru_after", 4, 6, zoneout=(0.1, 0.2))
    with pytest.raises(ConfigError, match="recurrent_dropout=1"):
        nn.Recurrent("lstm", 4, 6, recurrent_dropout=1)

    def step(projected, state, weights):
        return (torch.tanh(projected + state[0] @ weights["weight_hh"].T + weights["bias_hh"]),)

    own = spec.CellSpec("own", gates=("h",), parts=("h",), step=step, source="a test")
    x = torch.randn(5, 3, 4)
    with pytest.raises(ConfigError, match="returns no gates"):
        nn.Recurrent(own, 4, 6, backend="spec")(x, trace=True)
    with pytest.raises(ConfigError, match="write the step with it"):
        nn.Recurrent(own, 4, 6, backend="spec", recurrent_dropout=0.5)(x)
    assert np.isfinite(nn.Recurrent(own, 4, 6, backend="spec", zoneout=0.5)(x)[0].detach().numpy()).all()
