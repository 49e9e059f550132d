"""The equations themselves: derivatives by finite differences, and agreement with the other published forms."""

import numpy as np
import pytest
import torch
from parity import Case, leaves, reference

from rnnkit import nn
from rnnkit.errors import ConfigError
from rnnkit.nn import backends, spec

each_cell = pytest.mark.parametrize(
    "cell", [*spec.CELLS.values(), *spec.PROJECTED.values()], ids=lambda cell: cell.name
)


def random_cell(cell, *, T, B, H, size, bias=True, seed=0):
    """Random float64 arguments of `spec.unroll`, all requiring gradients."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return (0.8 * torch.randn(*shape, generator=generator, dtype=torch.float64)).requires_grad_()

    sizes = {"hidden_size": H, "proj_size": H - 1 if cell.is_projected else 0}
    shapes = cell.shapes(input_size=size, **sizes, bias=bias)
    given = {"x": draw(T, B, size)} | {name: draw(*shape) for name, shape in shapes.items()}
    return given, [draw(B, width) for width in cell.part_sizes(**sizes)]


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("lengths", [None, (3, 1, 0)], ids=["full", "ragged"])
@each_cell
def test_gradients_agree_with_finite_differences(cell, lengths, reverse, bias):
    given, state = random_cell(cell, T=3, B=3, H=2, size=2, bias=bias)
    names = list(given)

    def run(*tensors):
        values, parts = dict(zip(names, tensors, strict=False)), tensors[len(names) :]
        at = None if lengths is None else torch.tensor(lengths)
        y, final = spec.unroll(cell, values.pop("x"), state=parts, lengths=at, reverse=reverse, weights=values)
        return y, *final

    assert torch.autograd.gradcheck(run, (*given.values(), *state), eps=1e-6, atol=1e-8, rtol=1e-6)


@each_cell
def test_gradients_of_gradients_agree_with_finite_differences(cell):
    given, state = random_cell(cell, T=2, B=1, H=2, size=2, seed=1)
    names = list(given)

    def run(*tensors):
        values = dict(zip(names, tensors, strict=False))
        return spec.unroll(cell, values.pop("x"), state=tensors[len(names) :], weights=values)[0]

    assert torch.autograd.gradgradcheck(run, (*given.values(), *state))


@each_cell
def test_reverse_runs_each_row_from_its_last_valid_step(cell):
    given, state = random_cell(cell, T=5, B=3, H=4, size=3)
    x, lengths = given.pop("x"), (5, 2, 3)
    y, final = spec.unroll(cell, x, state=state, lengths=torch.tensor(lengths), reverse=True, weights=given)
    for row, n in enumerate(lengths):
        start = [part[row : row + 1] for part in state]
        want, want_final = spec.unroll(cell, x[:n, row : row + 1].flip(0), state=start, weights=given)
        torch.testing.assert_close(y[:n, row : row + 1], want.flip(0), rtol=0, atol=1e-14)
        torch.testing.assert_close(final[0][row : row + 1], want_final[0], rtol=0, atol=1e-14)


def test_integers_stand_for_one_hot_rows():
    given, state = random_cell(spec.CELLS["lstm"], T=4, B=2, H=3, size=5)
    given.pop("x")
    ids = torch.tensor([[0, 4], [1, 1], [2, 3], [4, 0]])
    one_hot = torch.nn.functional.one_hot(ids, 5).double()
    y, _ = spec.unroll(spec.CELLS["lstm"], ids, state=state, weights=given)
    want, _ = spec.unroll(spec.CELLS["lstm"], one_hot, state=state, weights=given)
    torch.testing.assert_close(y, want, rtol=0, atol=1e-14)


def test_the_other_mixing_convention_is_ours_with_the_z_rows_negated():
    cell = spec.CELLS["gru_before"]
    given, (h,) = random_cell(cell, T=1, B=2, H=3, size=2)
    x = given.pop("x")
    with torch.no_grad():
        ours = {name: weight.clone() for name, weight in given.items()}
        for weight in ours.values():
            weight[3:6] *= -1
        got, _ = spec.unroll(cell, x, state=[h], weights=ours)
        w, u, b, c = given["weight_ih"], given["weight_hh"], given["bias_ih"], given["bias_hh"]
        r, z = (torch.sigmoid(x[0] @ w[g].T + b[g] + h @ u[g].T + c[g]) for g in (slice(0, 3), slice(3, 6)))
        n = torch.tanh(x[0] @ w[6:].T + b[6:] + (r * h) @ u[6:].T + c[6:])
        torch.testing.assert_close(got[0], z * n + (1 - z) * h, rtol=0, atol=1e-14)  # Chung et al. 2014


@pytest.mark.parametrize("case", [Case("gru_before", T=9, B=4, H=7), Case("gru_after", T=9, B=4, H=7)], ids=str)
def test_gru_agrees_with_the_formulas_of_onnx(case):
    """ONNX GRU: gates z r h, h' = (1 − z) ∘ h~ + z ∘ h, linear_before_reset = 0 is reset before; here in NumPy."""
    values = {n: v.numpy().astype(np.float64) for n, v in leaves(case).items()}
    W, R = values["weight_ih_l0"].reshape(3, case.H, -1), values["weight_hh_l0"].reshape(3, case.H, -1)
    Wb, Rb = values["bias_ih_l0"].reshape(3, -1), values["bias_hh_l0"].reshape(3, -1)
    h = values["h0_l0"]
    for x in values["x"]:
        r, z = (1 / (1 + np.exp(-(x @ W[g].T + h @ R[g].T + Rb[g] + Wb[g]))) for g in (0, 1))
        if case.cell == "gru_before":
            n = np.tanh(x @ W[2].T + (r * h) @ R[2].T + Rb[2] + Wb[2])
        else:
            n = np.tanh(x @ W[2].T + r * (h @ R[2].T + Rb[2]) + Wb[2])
        h = (1 - z) * n + z * h
    np.testing.assert_allclose(reference(case)["all"]["h_n[0]"].numpy(), h, rtol=0, atol=1e-13)


def test_a_cell_of_your_own_runs_through_every_layer(monkeypatch):
    monkeypatch.setattr(backends, "_said", set())

    def step(projected, state, weights):  # the minimal gated unit without its reset: Zhou et al. 2016
        (h,) = state
        f, n = (projected + torch.nn.functional.linear(h, weights["weight_hh"], weights["bias_hh"])).chunk(2, dim=-1)
        f = torch.sigmoid(f)
        return ((1 - f) * h + f * torch.tanh(n),)

    cell = spec.CellSpec("mgu", gates=("f", "n"), parts=("h",), step=step, source="Zhou et al. 2016")
    with pytest.warns(nn.SpecBackendWarning, match="the native core has no cell 'mgu'"):
        layer = nn.Recurrent(cell, 3, 4, 2, bidirectional=True)
        y, state = layer(torch.randn(5, 2, 3), lengths=[5, 2])
    assert y.shape == (5, 2, 8) and len(state.layers) == 4
    assert nn.explain_backend(layer)[0] == "spec"


def test_a_cell_may_have_parameters_that_torch_has_not():
    def step(projected, state, weights):  # leaky units, each with a time constant of its own
        (h,) = state
        keep = torch.sigmoid(weights["weight_leak"])
        return (keep * h + (1 - keep) * torch.tanh(projected),)

    parameters = {"weight_ih": ("G*H", "I"), "bias_ih": ("G*H",), "weight_leak": ("H",)}
    cell = spec.CellSpec("leaky", gates=("h",), parts=("h",), step=step, source="ours", parameters=parameters)
    layer = nn.Recurrent(cell, 3, 4, 2, bidirectional=True, backend="spec")
    assert [n for n, _ in layer.named_parameters()][:3] == ["weight_ih_l0", "bias_ih_l0", "weight_leak_l0"]
    layer(torch.randn(5, 2, 3), lengths=[5, 2])[0].sum().backward()
    assert all(parameter.grad.any() for parameter in layer.parameters())
    assert not any("bias" in n for n, _ in nn.Recurrent(cell, 3, 4, bias=False, backend="spec").named_parameters())


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "weight_ih must have the axes"),
        ({"weight_ih": ("H", "I")}, "weight_ih must have the axes"),
        ({"weight_ih": ("G*H", "I"), "bias_ih": ("H",)}, "bias_ih must have the axes"),
        ({"weight_ih": ("G*H", "I"), "gain": ("H",)}, "weight_… or bias_…, got 'gain'"),
        ({"weight_ih": ("G*H", "I"), "weight_leak": ("H", "Q")}, "products of G, H, I"),
    ],
)
def test_parameters_of_a_cell_that_no_layer_could_make_are_named(parameters, message):
    with pytest.raises(ConfigError, match=message):
        spec.CellSpec("mine", gates=("h",), parts=("h",), step=lambda *_: (), source="", parameters=parameters)
