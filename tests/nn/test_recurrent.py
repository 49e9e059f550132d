"""Recurrent: the state goes in and out as a value, and wrong states and inputs are named."""

import pytest
import torch
from torch.utils import _pytree

from rnnkit import nn
from rnnkit.errors import ConfigError, DtypeError, ShapeError, StateError
from rnnkit.state import State


def test_an_absent_state_means_zeros():
    layer = nn.Recurrent("lstm", 4, 6, 2, bidirectional=True)
    x = torch.randn(5, 3, 4)
    want, want_state = layer(x, layer.initial_state(3))
    got, got_state = layer(x)
    assert torch.equal(want, got) and want_state == got_state
    assert [tuple(parts) for parts in got_state.layers] == [("h", "c")] * 4


def test_it_computes_what_the_drop_in_computes():
    layer, peer = nn.Recurrent("lstm", 4, 6, 2, bidirectional=True), nn.LSTM(4, 6, 2, bidirectional=True)
    peer.load_state_dict(layer.state_dict())
    x = torch.randn(5, 3, 4)
    y, state = layer(x)
    want, (h, c) = peer(x)
    assert torch.equal(y, want)
    assert torch.equal(torch.stack([parts["h"] for parts in state.layers]), h)
    assert torch.equal(torch.stack([parts["c"] for parts in state.layers]), c)


def test_gradients_flow_from_chunk_to_chunk_unless_the_state_is_detached():
    layer = nn.Recurrent("gru_after", 4, 6)
    x = torch.randn(6, 3, 4, requires_grad=True)
    _, carry = layer(x[:3])
    layer(x[3:], carry)[0].sum().backward()
    assert x.grad[:3].any()
    x.grad = None
    _, carry = layer(x[:3])
    layer(x[3:], carry.detach())[0].sum().backward()
    assert not x.grad[:3].any()


def test_a_reset_row_starts_afresh():
    layer = nn.Recurrent("lstm", 4, 6)
    x = torch.randn(5, 3, 4)
    _, state = layer(x)
    got, _ = layer(x, state.reset([1]))
    assert torch.equal(got[:, 1], layer(x)[0][:, 1])
    assert torch.equal(got[:, 2], layer(x, state)[0][:, 2])


def test_the_state_keeps_its_owner():
    layer = nn.Recurrent("lstm", 4, 6)
    owned = State(layer.initial_state(3).layers, model="abc")
    assert layer(torch.randn(5, 3, 4), owned)[1].model == "abc"


def test_a_state_is_a_pytree():
    state = nn.Recurrent("lstm", 4, 6, 2).initial_state(3).map(torch.randn_like)
    leaves, structure = _pytree.tree_flatten(state)
    assert len(leaves) == 4
    assert _pytree.tree_unflatten(leaves, structure) == state
    assert _pytree.tree_map(lambda t: 2 * t, state) == state.map(lambda t: 2 * t)
    shapes = _pytree.tree_map(lambda t: t.shape, state)  # leaves need not be arrays
    assert shapes.layers[0]["c"] == (3, 6)


def test_options_change_the_result():
    x = torch.randn(5, 3, 4)

    def outputs(**options):
        torch.manual_seed(5)
        layer = nn.Recurrent("lstm", 4, 6, 2, **options)
        return layer(x)[0]

    plain = outputs()
    for options in (
        {"bias": False},
        {"dropout": 0.5},
        {"bidirectional": True},
        {"dropout": 0.5, "locked_dropout": True},
        {"input_dropout": 0.5},
        {"output_dropout": 0.5},
        {"weight_dropout": 0.5},
        {"residual": True},
        {"init": "orthogonal"},
        {"forget_bias": 1.0},
        {"chrono": 30},
    ):
        other = outputs(**options)
        assert other.shape != plain.shape or not torch.equal(other, plain), options
    assert not torch.equal(outputs(dropout=0.5), outputs(dropout=0.5, locked_dropout=True))


@pytest.mark.parametrize(
    ("x", "options", "error", "message"),
    [
        (torch.randn(5, 3, 5), {}, ShapeError, r"wanted \[T, B, 4\]"),
        (torch.randn(5, 4), {}, ShapeError, r"wanted \[T, B, 4\]"),
        (torch.randn(5, 3, 4).double(), {}, DtypeError, "float64"),
        (torch.zeros(5, 3, 4, dtype=torch.long), {}, ShapeError, r"wanted \[T, B\]"),
        (torch.zeros(5, 3, dtype=torch.bool), {}, DtypeError, "int64 or int32"),
        (torch.randn(5, 3, 4), {"embedding": torch.randn(7, 4)}, DtypeError, "integer ids"),
        (torch.zeros(5, 3, dtype=torch.long), {"embedding": torch.randn(7, 3)}, ShapeError, r"wanted \[V, 4\]"),
        (torch.randn(5, 3, 4), {"state": State([{"h": torch.zeros(3, 6)}])}, StateError, "has 1 layers"),
        (torch.randn(5, 3, 4), {"state": State([{"h": torch.zeros(3, 6)}] * 2)}, StateError, "has parts"),
        (torch.randn(5, 3, 4), {"state": State([dict.fromkeys("hc", torch.zeros(2, 6))] * 2)}, ShapeError, "layer 0.h"),
    ],
)
def test_wrong_inputs_are_named(x, options, error, message):
    with pytest.raises(error, match=message):
        nn.Recurrent("lstm", 4, 6, 2)(x, **options)


def test_ids_outside_the_table_are_refused():
    layer = nn.Recurrent("lstm", 4, 6)
    for ids, options in (([[4]], {}), ([[-1]], {}), ([[7]] * 9, {"embedding": torch.randn(7, 4)})):
        with pytest.raises((ValueError, IndexError)):
            layer(torch.tensor(ids), **options)


def test_sizes_and_switches_are_checked():
    with pytest.raises(ConfigError, match="num_layers=0"):
        nn.Recurrent("lstm", 4, 6, 0)
    with pytest.raises(ConfigError, match="dropout=2"):
        nn.Recurrent("lstm", 4, 6, 2, dropout=2)
    with pytest.raises(DtypeError, match="bidirectional"):
        nn.Recurrent("lstm", 4, 6, bidirectional=1)
    assert "lstm, 4, 6, num_layers=2" in repr(nn.Recurrent("lstm", 4, 6, 2))
