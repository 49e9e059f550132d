"""Options around the time loop: what each does, where it acts, and what refuses it. (Parity: `parity.suite`.)"""

import pytest
import torch
from torch.nn import functional as F

from rnnkit import nn
from rnnkit.errors import ConfigError, DtypeError, ShapeError
from rnnkit.nn import spec as nn_spec
from rnnkit.nn.dropout import dropout
from rnnkit.nn.options import DEFAULTS
from rnnkit.state import State

BACKENDS = ["native", "spec"]


def layer(cell="lstm", size=(4, 6), num_layers=2, **options):
    torch.manual_seed(3)
    return nn.Recurrent(cell, *size, num_layers, **options), torch.randn(7, 3, size[0])


def outputs(model, x, *, seed=0, **call):
    torch.manual_seed(seed)
    return model(x, **call)[0]


def test_the_documented_options_are_the_ones_there_are():
    assert nn.Options.__annotations__.keys() == DEFAULTS.keys()
    for name in DEFAULTS:
        assert name in nn.Options.__doc__, name
    with pytest.raises(TypeError, match="'zoneoutt'"):
        nn.LSTM(4, 6, zoneoutt=0.1)


# ---- dropout ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["dropout", "input_dropout", "output_dropout", "weight_dropout"])
def test_dropouts_act_in_training_only(name, backend):
    model, x = layer(backend=backend, **{name: 0.5})
    plain = layer(backend=backend)[0]
    assert torch.equal(outputs(model.eval(), x), outputs(plain, x))
    model.train()
    assert not torch.equal(outputs(model, x), outputs(plain, x))
    assert not torch.equal(outputs(model, x, seed=1), outputs(model, x, seed=2))


@pytest.mark.parametrize("drop", [dropout, nn.locked_dropout])
def test_input_and_output_are_dropped_where_they_say(drop):
    locked = {"locked_dropout": drop is nn.locked_dropout}
    plain, x = layer()
    model = layer(input_dropout=0.4, **locked)[0]
    torch.manual_seed(0)
    want = plain(drop(x, 0.4))[0]
    assert torch.equal(outputs(model, x), want)
    model = layer(output_dropout=0.4, **locked)[0]
    torch.manual_seed(0)
    want = drop(plain(x)[0], 0.4)
    assert torch.equal(outputs(model, x), want)


@pytest.mark.parametrize("name", ["input_dropout", "dropout", "output_dropout"])
def test_a_locked_mask_holds_for_all_steps_of_a_row(name):
    """Layers that pass on what they read: whatever is dropped then shows at the output, at every step."""
    model, _ = layer("elman_relu", (5, 5), bias=False, locked_dropout=True, **{name: 0.5})
    with torch.no_grad():
        for key, weight in model.named_parameters():
            weight.copy_(torch.eye(5) if key.startswith("weight_ih") else torch.zeros(5, 5))
    y = outputs(model, torch.ones(40, 8, 5))
    assert torch.equal(y, y[0].expand_as(y)) and len(y[0].unique(dim=0)) > 1
    assert y.unique().tolist() == [0.0, 2.0]
    model.locked_dropout = False
    y = outputs(model, torch.ones(40, 8, 5))
    assert not torch.equal(y, y[0].expand_as(y))


@pytest.mark.parametrize("table", [None, torch.randn(9, 4)], ids=["one-hot", "embedded"])
def test_the_input_of_ids_is_dropped_behind_the_table(table):
    model, _ = layer(input_dropout=0.5)
    ids = torch.randint(4 if table is None else 9, (7, 3))
    want = outputs(model, F.embedding(ids, torch.eye(4) if table is None else table))
    assert torch.equal(outputs(model, ids, embedding=table), want)


@pytest.mark.parametrize("backend", BACKENDS)
def test_weight_dropout_is_one_scaled_mask_of_weight_hh_for_each_call_and_direction(backend):
    model, x = layer(weight_dropout=0.3, bidirectional=True, backend=backend)
    peer, _ = layer(bidirectional=True, backend=backend)
    y = outputs(model, x)
    y.sum().backward()
    torch.manual_seed(0)
    masks = {n: dropout(torch.ones_like(p), 0.3) for n, p in peer.named_parameters() if n.startswith("weight_hh")}
    with torch.no_grad():
        for name, mask in masks.items():
            peer.get_parameter(name).mul_(mask)
    want = peer(x)[0]
    want.sum().backward()
    assert torch.equal(y, want)
    for name, parameter in model.named_parameters():
        gradient = peer.get_parameter(name).grad * masks.get(name, 1)
        torch.testing.assert_close(parameter.grad, gradient, msg=name)


def test_weights_are_whole_again_after_weight_dropout():
    model, x = layer(weight_dropout=0.3)
    want = outputs(model.eval(), x)
    outputs(model.train(), x)
    assert torch.equal(outputs(model.eval(), x), want)


# ---- structure -------------------------------------------------------------------------------------------------------


def test_layers_have_their_own_widths():
    model = nn.Recurrent("gru_after", 4, [5, 3, 7], bidirectional=True)
    assert (model.hidden_sizes, model.hidden_size, model.num_layers) == ((5, 3, 7), 7, 3)
    assert [list(model.get_parameter(f"weight_ih_l{n}").shape) for n in range(3)] == [[15, 4], [9, 10], [21, 6]]
    y, state = model(torch.randn(6, 2, 4))
    assert y.shape == (6, 2, 14)
    assert [parts["h"].shape[1] for parts in state.layers] == [5, 5, 3, 3, 7, 7]
    assert "4, [5, 3, 7], num_layers=3" in repr(model)
    with pytest.raises(ShapeError, match=r"layer 2\.h has shape \[2, 5\], this call wants \[2, 3\]"):
        model(torch.randn(6, 2, 4), State([{"h": torch.zeros(2, 5)}] * 6))


def test_residual_adds_what_a_layer_reads_before_its_dropout():
    model, x = layer(num_layers=3, residual=True, dropout=0.5)
    first, second, third = (nn.Recurrent("lstm", 6 if n else 4, 6) for n in range(3))
    for n, one in enumerate((first, second, third)):
        one.load_state_dict({name: model.get_parameter(name.replace("_l0", f"_l{n}")) for name in one.state_dict()})
    y = outputs(model, x)
    torch.manual_seed(0)
    a = first(x)[0]
    b = a + second(dropout(a, 0.5))[0]
    assert torch.equal(y, b + third(dropout(b, 0.5))[0])


# ---- layer normalisation ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["lstm", "gru_after", "min_gru"])
def test_gains_start_at_one_and_the_rest_as_without(cell):
    model, plain = layer(cell, layer_norm=True)[0], layer(cell)[0]
    own = {name: parameter for name, parameter in model.named_parameters() if "norm" in name}
    assert {name.removesuffix("_l1") for name in own if name.endswith("_l1")} == {
        "lstm": {"weight_norm_ih", "weight_norm_hh", "weight_norm_c", "bias_norm_c"},
        "gru_after": {"weight_norm_ih", "weight_norm_hh"},
        "min_gru": {"weight_norm_ih"},
    }[cell]
    for name, parameter in own.items():
        assert (parameter == name.startswith("weight")).all()
    for name, parameter in plain.named_parameters():
        assert torch.equal(parameter, model.get_parameter(name))
    assert "layer_norm=True" in repr(model)


@pytest.mark.parametrize("backend", BACKENDS)
def test_layer_norm_is_the_papers_lstm(backend):
    """One step written out with torch.nn.functional.layer_norm: the memory is carried as it is."""
    model, x = layer(num_layers=1, layer_norm=True, backend=backend)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.add_(0.3 * torch.randn_like(parameter))
    p = {name.removesuffix("_l0"): parameter for name, parameter in model.named_parameters()}
    h, c = torch.randn(3, 6), torch.randn(3, 6)
    pre = F.layer_norm(x[0] @ p["weight_ih"].T, (24,), p["weight_norm_ih"]) + p["bias_ih"] + p["bias_hh"]
    i, f, g, o = (pre + F.layer_norm(h @ p["weight_hh"].T, (24,), p["weight_norm_hh"])).chunk(4, dim=1)
    memory = f.sigmoid() * c + i.sigmoid() * g.tanh()
    hidden = o.sigmoid() * F.layer_norm(memory, (6,), p["weight_norm_c"], p["bias_norm_c"]).tanh()
    y, state = model(x[:1], State([{"h": h, "c": c}]))
    torch.testing.assert_close(y[0], hidden)
    torch.testing.assert_close(state.layers[0]["c"], memory)


def test_layer_norm_goes_through_the_doors_of_torch():
    for made in (nn.LSTM(4, 6, layer_norm=True), nn.GRU(4, 6, reset="before", layer_norm=True), nn.RNN(4, 6)):
        y = made(torch.randn(5, 3, 4))[0]
        y.sum().backward()
        assert all(parameter.grad is not None for parameter in made.parameters())


def test_a_cell_that_cannot_be_normalised_is_refused_by_name():
    def step(projected, state, weights):
        return torch.tanh(projected + state[0] @ weights["weight_hh"].t()), projected

    own = nn_spec.CellSpec("by_hand", gates=("h",), parts=("h",), step=step, source="here")
    with pytest.raises(ConfigError, match=r"layer_norm.*by_hand does not read weight_norm_hh.*spec\.recurrent"):
        nn.Recurrent(own, 4, 6, backend="spec", layer_norm=True)(torch.randn(5, 3, 4))
    with pytest.raises(DtypeError, match="layer_norm must be True or False"):
        nn.LSTM(4, 6, layer_norm=1)


# ---- the initial state -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", ["recurrent", "layer"])
def test_a_trainable_state_starts_at_zero_and_learns(door):
    torch.manual_seed(0)
    kind = nn.Recurrent if door == "recurrent" else nn.LSTM
    name = ["lstm"] if door == "recurrent" else []
    model, plain = kind(*name, 4, 6, 2, trainable_state=True), kind(*name, 4, 6, 2)
    plain.load_state_dict({n: p for n, p in model.state_dict().items() if not n.startswith("initial_")})
    x = torch.randn(5, 3, 4)
    assert torch.equal(model(x)[0], plain(x)[0])
    model(x)[0].sum().backward()
    learnt = {n: p for n, p in model.named_parameters() if n.startswith("initial_")}
    assert learnt.keys() == {f"initial_{part}_l{n}" for part in "hc" for n in range(2)}
    assert all(p.shape == (6,) and p.grad.any() for p in learnt.values())
    before = model(x)[0]
    torch.optim.SGD(learnt.values(), lr=0.1).step()
    assert not torch.equal(model(x)[0], before)


def test_rows_that_start_afresh_start_from_what_was_learned():
    model, x = layer(trainable_state=True)
    torch.nn.init.normal_(model.initial_c_l1)
    first = model.initial_state(3)
    assert torch.equal(first.layers[1]["c"], model.initial_c_l1.expand(3, 6))
    assert torch.equal(model(x)[0], model(x, first)[0])
    carry = model(x)[1].detach().reset([1], to=model.initial_state(1))
    y = model(x, carry)[0]
    assert torch.equal(y[:, 1], model(x)[0][:, 1])
    y.sum().backward()
    assert model.initial_c_l1.grad.any()
    _, last = model(x, lengths=[0, 7, 0])
    assert torch.equal(last.layers[1]["c"][0], model.initial_c_l1)


def test_a_state_that_is_given_wins_over_the_learned_one():
    model, x = layer(trainable_state=True)
    state = model.initial_state(3).detach()  # a value: what is learned later does not reach it
    torch.nn.init.normal_(model.initial_h_l0)
    assert not torch.equal(model(x, state)[0], model(x)[0])


# ---- how weights start -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["lstm", "gru_before", "elman_tanh"])
def test_orthogonal_holds_for_the_block_of_every_gate(cell):
    model, _ = layer(cell, init="orthogonal", bidirectional=True)
    plain, _ = layer(cell, bidirectional=True)
    for name, weight in model.named_parameters():
        if name.startswith("weight_hh"):
            blocks = weight.detach().split(6)
            assert len({tuple(block.flatten().tolist()) for block in blocks}) == len(plain.cell.gates)
            for block in blocks:
                torch.testing.assert_close(block @ block.T, torch.eye(6), rtol=1e-5, atol=1e-5)
    assert torch.equal(model.weight_ih_l0, plain.weight_ih_l0)


def test_threads_change_no_bit_of_the_start():
    weights, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            weights.append(layer(size=(4, 300), init="orthogonal", chrono=50)[0].state_dict())
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_the_forget_gate_starts_where_it_is_told_and_the_rest_as_torch():
    model, plain = layer(forget_bias=1.5)[0], layer()[0]
    for kind, value in (("bias_ih", 1.5), ("bias_hh", 0.0)):
        got, want = (getattr(m, f"{kind}_l1").view(4, 6) for m in (model, plain))
        assert (got[1] == value).all()
        assert torch.equal(got[[0, 2, 3]], want[[0, 2, 3]])


@pytest.mark.parametrize(
    ("cell", "gate", "opposite"), [("lstm", 1, 0), ("gru_after", 1, None), ("gru_before", 1, None)]
)
def test_chrono_spreads_what_is_kept_over_the_expected_time(cell, gate, opposite):
    model, _ = layer(cell, (4, 4000), 1, chrono=100)
    gates = len(model.cell.gates)
    bias = model.bias_ih_l0.detach().view(gates, -1) + model.bias_hh_l0.detach().view(gates, -1)
    times = bias[gate].exp()
    assert 1 <= times.min() < 1.5 and 98 < times.max() <= 99.001
    assert times.mean() == pytest.approx(50, abs=2) and times.std() == pytest.approx(98 / 12**0.5, abs=2)
    if opposite is not None:
        assert torch.equal(bias[opposite], -bias[gate])
    assert (bias[-1].abs() <= 2 * 4000**-0.5).all()


# ---- what does not fit -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"input_dropout": 1.0}, ConfigError, "input_dropout=1.0"),
        ({"weight_dropout": -0.1}, ConfigError, "weight_dropout=-0.1"),
        ({"locked_dropout": 1}, DtypeError, "locked_dropout"),
        ({"residual": "yes"}, DtypeError, "residual"),
        ({"residual": True, "num_layers": 1}, ConfigError, "acts from the second layer on"),
        ({"residual": True, "size": (4, [5, 6])}, ConfigError, r"one width, hidden_size is \[5, 6\]"),
        ({"size": (4, [5, 6]), "num_layers": 3}, ConfigError, "2 widths"),
        ({"size": (4, []), "num_layers": 1}, ConfigError, "0 widths"),
        ({"size": (4, [5, 0])}, ConfigError, r"hidden_size\[1\]=0"),
        ({"size": (4, [5, 2.5])}, DtypeError, r"hidden_size\[1\]"),
        ({"init": "orthogonl"}, ConfigError, "init='orthogonl'"),
        ({"forget_bias": 1.0, "cell": "gru_after"}, ConfigError, "cell gru_after has none"),
        ({"forget_bias": 1.0, "bias": False}, ConfigError, "bias=True"),
        ({"forget_bias": 1.0, "chrono": 9}, ConfigError, "leave one out"),
        ({"chrono": 2}, ConfigError, "chrono=2"),
        ({"chrono": 9, "cell": "elman_tanh"}, ConfigError, "cell elman_tanh has none"),
        ({"chrono": 9, "bias": False}, ConfigError, "chrono sets a bias"),
    ],
    ids=str,
)
def test_options_that_do_not_fit_are_named(options, error, message):
    with pytest.raises(error, match=message):
        layer(**options)


def test_a_drop_in_has_one_width():
    with pytest.raises(DtypeError, match="hidden_size must be an int, got list"):
        nn.LSTM(4, [5, 6])
