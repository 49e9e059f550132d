"""Drop-ins: everything that code written for torch.nn does with a layer works here and gives the same numbers."""

import copy
import inspect
import pickle

import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from rnnkit import nn
from rnnkit.errors import ConfigError, DtypeError, ShapeError

LAYERS = ["RNN", "LSTM", "GRU"]
CLOSE = {"rtol": 1e-5, "atol": 1e-6}


def pair(kind, *args, **options):
    """torch's layer and ours with the same weights."""
    theirs, ours = getattr(torch.nn, kind)(*args, **options), getattr(nn, kind)(*args, **options)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def states(kind, *shape):
    h, c = torch.randn(*shape), torch.randn(*shape)
    return (h, c) if kind.startswith("LSTM") else h


def assert_same(want, got):
    if isinstance(want, PackedSequence):
        assert isinstance(got, PackedSequence)
        want, got = tuple(v for v in want if v is not None), tuple(v for v in got if v is not None)
    if isinstance(want, tuple):
        assert isinstance(got, tuple) and len(got) == len(want)
        for w, g in zip(want, got, strict=True):
            assert_same(w, g)
    else:
        torch.testing.assert_close(got, want, **CLOSE)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}, {"bias": False}], ids=str)
def test_the_same_seed_gives_the_same_weights(kind, options):
    torch.manual_seed(3)
    want = getattr(torch.nn, kind)(4, 6, **options).state_dict()
    torch.manual_seed(3)
    got = getattr(nn, kind)(4, 6, **options).state_dict()
    assert list(want) == list(got)
    assert all(torch.equal(want[name], got[name]) for name in want)


@pytest.mark.parametrize("options", [{"num_layers": 2, "bidirectional": True}, {"bias": False}], ids=str)
def test_all_weights_are_listed_in_the_same_order(options):
    theirs, ours = pair("LSTM", 3, 4, **options)
    assert [len(parameters) for parameters in ours.all_weights] == [len(want) for want in theirs.all_weights]
    for want, got in zip(theirs.all_weights, ours.all_weights, strict=True):
        assert all(map(torch.equal, want, got))


@pytest.mark.parametrize("kind", LAYERS)
def test_state_dicts_load_both_ways(kind):
    theirs, ours = pair(kind, 4, 6, 2, bidirectional=True)
    torch.nn.init.normal_(ours.weight_ih_l1_reverse)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(5, 3, 4)
    assert_same(theirs(x), ours(x))


@pytest.mark.parametrize("kind", [*LAYERS, *(f"{kind}Cell" for kind in LAYERS)])
def test_positional_arguments_come_in_the_same_order(kind):
    ours = inspect.signature(getattr(nn, kind).__init__).parameters
    positional = [n for n, p in ours.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    if kind.endswith("Cell"):
        assert positional == list(inspect.signature(getattr(torch.nn, kind).__init__).parameters)
    else:
        want = [n for n in inspect.signature(torch.nn.RNNBase.__init__).parameters if n != "mode"]
        want[4:4] = ["nonlinearity"] if kind == "RNN" else []
        assert positional == want
    assert all(p.kind is p.KEYWORD_ONLY for n, p in ours.items() if n in ("backend", "reset"))


@pytest.mark.parametrize("with_state", [True, False])
@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("options", [{}, {"batch_first": True}, {"num_layers": 2, "bidirectional": True}], ids=str)
def test_a_batch_gives_the_same(kind, options, with_state):
    theirs, ours = pair(kind, 4, 6, **options)
    x = torch.randn(5, 3, 4)
    batch = 5 if options.get("batch_first") else 3
    count = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    hx = states(kind, count, batch, 6) if with_state else None
    assert_same(theirs(x, hx), ours(x, hx))


@pytest.mark.parametrize("kind", LAYERS)
def test_one_sequence_without_a_batch_axis_gives_the_same(kind):
    theirs, ours = pair(kind, 4, 6, 2)
    x, hx = torch.randn(5, 4), states(kind, 2, 6)
    assert_same(theirs(x, hx), ours(x, hx))
    assert_same(theirs(x), ours(x))


@pytest.mark.parametrize("with_state", [True, False])
@pytest.mark.parametrize(("lengths", "enforce_sorted"), [((5, 3, 1), True), ((2, 5, 4), False)])
@pytest.mark.parametrize("kind", LAYERS)
def test_packed_sequences_come_back_packed(kind, lengths, enforce_sorted, with_state):
    theirs, ours = pair(kind, 4, 6, 2, bidirectional=True)
    x = pack_padded_sequence(torch.randn(5, 3, 4), torch.tensor(lengths), enforce_sorted=enforce_sorted)
    hx = states(kind, 4, 3, 6) if with_state else None
    assert_same(theirs(x, hx), ours(x, hx))


@pytest.mark.parametrize("kind", LAYERS)
def test_lengths_say_what_a_packed_sequence_says(kind):
    layer = getattr(nn, kind)(4, 6, 2, bidirectional=True)
    x, lengths = torch.randn(5, 3, 4), torch.tensor([2, 5, 4])
    packed, final = layer(pack_padded_sequence(x, lengths, enforce_sorted=False))
    assert_same((pad_packed_sequence(packed)[0], final), layer(x, lengths=lengths))


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("batched", [True, False])
def test_cells_give_the_same(kind, batched):
    theirs, ours = pair(f"{kind}Cell", 4, 6)
    assert list(theirs.state_dict()) == list(ours.state_dict())
    shape = (3,) if batched else ()
    x, hx = torch.randn(*shape, 4), states(kind, *shape, 6)
    assert_same(theirs(x, hx), ours(x, hx))
    assert_same(theirs(x), ours(x))


def test_relu_and_cells_without_bias_give_the_same():
    x = torch.randn(5, 3, 4)
    for options in ({"nonlinearity": "relu"}, {"nonlinearity": "relu", "bias": False}):
        theirs, ours = pair("RNN", 4, 6, **options)
        assert_same(theirs(x), ours(x))
        theirs, ours = pair("RNNCell", 4, 6, **options)
        assert_same(theirs(x[0]), ours(x[0]))


@pytest.mark.parametrize("kind", LAYERS)
def test_gradients_accumulate_the_same_through_a_training_step(kind):
    theirs, ours = pair(kind, 4, 6, 2)
    x = torch.randn(5, 3, 4)
    for layer in (theirs, ours):
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
        for _ in range(3):  # weights change in place: nothing packed may go stale
            optimizer.zero_grad()
            layer(x)[0].square().mean().backward()
            optimizer.step()
    for name, want in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], want, **CLOSE)


@pytest.mark.parametrize("kind", LAYERS)
def test_copies_and_pickles_run(kind):
    layer = getattr(nn, kind)(4, 6)
    x = torch.randn(5, 3, 4)
    want = layer(x)[0].detach()
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(other(x)[0], want)


@pytest.mark.parametrize(
    ("call", "error", "torchs"),
    [
        (lambda n: n.LSTM(4, 6)(torch.randn(5, 3, 5)), ShapeError, RuntimeError),
        (lambda n: n.LSTM(4, 6)(torch.randn(5, 3, 4, 1)), ShapeError, ValueError),
        (lambda n: n.LSTM(4, 6)(torch.randn(5, 3, 4), (torch.zeros(1, 2, 6),) * 2), ShapeError, RuntimeError),
        (lambda n: n.GRU(4, 6)(torch.randn(5, 3, 4), torch.zeros(3, 6)), ShapeError, RuntimeError),
        (lambda n: n.GRU(4, 6)(torch.randn(5, 3, 4).double()), DtypeError, ValueError),
        (lambda n: n.RNN(4, 6, nonlinearity="sin"), ConfigError, ValueError),
        (lambda n: n.RNN(4, 0), ConfigError, ValueError),
        (lambda n: n.RNN(4, 2.5), DtypeError, TypeError),
        (lambda n: n.LSTM(4, 6, bias=1), DtypeError, TypeError),
        (lambda n: n.LSTM(4, 6, 2, dropout=1.5), ConfigError, ValueError),
        (lambda n: n.LSTMCell(4, 6)(torch.randn(3, 5)), ShapeError, RuntimeError),
    ],
)
def test_wrong_use_is_named_and_caught_by_what_catches_torchs_error(call, error, torchs):
    with pytest.raises(torchs):
        call(torch.nn)
    with pytest.raises(error) as caught:
        call(nn)
    assert isinstance(caught.value, torchs)
    assert len(str(caught.value)) > 20


def test_one_tensor_as_the_state_of_an_lstm_is_named():
    with pytest.raises(ShapeError, match="the pair"):
        nn.LSTM(4, 6)(torch.randn(5, 3, 4), torch.zeros(1, 3, 6))


PROJECTED = [{}, {"num_layers": 2, "bidirectional": True}, {"bias": False, "batch_first": True}]


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("options", PROJECTED, ids=str)
@pytest.mark.parametrize("backend", ["native", "spec"])
def test_a_projected_lstm_gives_the_same_with_the_same_weights(options, backend):
    torch.manual_seed(3)
    want = torch.nn.LSTM(4, 6, proj_size=2, **options).state_dict()
    torch.manual_seed(3)
    got = nn.LSTM(4, 6, proj_size=2, backend=backend, **options).state_dict()
    assert list(want) == list(got)
    assert all(torch.equal(want[name], got[name]) for name in want)
    theirs, ours = torch.nn.LSTM(4, 6, proj_size=2, **options), nn.LSTM(4, 6, proj_size=2, backend=backend, **options)
    theirs.load_state_dict(ours.state_dict())
    ours.load_state_dict(theirs.state_dict())
    x, batch = torch.randn(5, 3, 4), 5 if options.get("batch_first") else 3
    count = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    hx = torch.randn(count, batch, 2), torch.randn(count, batch, 6)
    for state in (None, hx):
        assert_same(theirs(x, state), ours(x, state))
    for layer in (theirs, ours):
        y, (h, c) = layer(x, hx)
        (y.square().sum() + (h * c[..., :2]).sum()).backward()
    for (name, want), got in zip(theirs.named_parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(got.grad, want.grad, **CLOSE, msg=name)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("lengths", [(5, 3, 1), (2, 5, 4)])
@pytest.mark.parametrize("backend", ["native", "spec"])
def test_a_projected_lstm_reads_lengths_and_packed_sequences(lengths, backend):
    options = {"num_layers": 2, "bidirectional": True, "proj_size": 2}
    theirs, ours = torch.nn.LSTM(4, 6, **options), nn.LSTM(4, 6, **options, backend=backend)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(5, 3, 4)
    packed = pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False)
    hx = torch.randn(4, 3, 2), torch.randn(4, 3, 6)
    assert_same(theirs(packed, hx), ours(packed, hx))
    y, final = theirs(packed, hx)
    assert_same((pad_packed_sequence(y, total_length=5)[0], final), ours(x, hx, lengths=lengths))


def test_a_projection_that_does_not_fit_is_named():
    for kind, size in (("LSTM", 6), ("LSTM", -1), ("GRU", 2), ("RNN", 2)):
        with pytest.raises(ValueError, match=f"proj_size={size}"):
            getattr(nn, kind)(4, 6, proj_size=size)
    with pytest.raises(ConfigError, match="proj_size=0 does not go with cell lstm_projected; give the width"):
        nn.Recurrent(nn.spec.PROJECTED["lstm"], 4, 6)
    with pytest.raises(ConfigError, match="proj_size=2 does not go with cell gru_after; leave it out"):
        nn.Recurrent("gru_after", 4, 6, proj_size=2)
    with pytest.raises(ConfigError, match="proj_size=5 must be smaller than hidden_size=5"):
        nn.Recurrent("lstm", 4, [6, 5], proj_size=5)
    with pytest.raises(DtypeError, match="proj_size must be an int"):
        nn.Recurrent("lstm", 4, 6, proj_size=2.0)
    for backend in ("native", "spec"):
        with pytest.raises(ShapeError, match="h_0 has shape"):
            nn.LSTM(4, 6, proj_size=2, backend=backend)(torch.randn(5, 3, 4), (torch.zeros(1, 3, 6),) * 2)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
def test_a_projected_lstm_is_as_near_to_float64_as_torchs():
    torch.manual_seed(5)
    ours, x, upstream = nn.LSTM(40, 50, proj_size=30), torch.randn(100, 4, 40), torch.randn(100, 4, 30)
    assert nn.explain_backend(ours)[0] == "native"

    def results(kind, dtype, x=x):
        layer, given = kind(40, 50, proj_size=30, dtype=dtype), x.to(dtype, copy=True).requires_grad_()
        layer.load_state_dict(ours.state_dict())
        y = layer(given)[0]
        (y * upstream.to(dtype)).sum().backward()
        return [y.detach(), given.grad, *(p.grad for p in layer.parameters())]

    near = [x, *((x.double() * (1 + 2**-24 * (2 * torch.rand_like(x) - 1))).float() for _ in range(4))]
    theirs = [results(torch.nn.LSTM, torch.float32, given) for given in near]  # of one the roundings are chance
    for want, got, *peers in zip(
        results(torch.nn.LSTM, torch.float64), results(nn.LSTM, torch.float32), *theirs, strict=True
    ):
        error, *others = (((value.double() - want).norm() / want.norm()).item() for value in (got, *peers))
        assert error <= max(2 * max(others), 5e-7)


def test_layers_of_different_widths_share_a_projection():
    torch.manual_seed(2)
    native, equations = (
        nn.Recurrent("lstm", 4, [9, 20], proj_size=7, trainable_state=True, bidirectional=True, backend=backend)
        for backend in ("native", "spec")
    )
    equations.load_state_dict(native.state_dict())
    x = torch.randn(6, 3, 4)
    (got, state), (want, _) = native(x), equations(x)
    assert got.shape == (6, 3, 14) and [part.shape[1] for part in state.layers[2].values()] == [7, 20]
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-6)


def test_dropout_that_does_nothing_is_said():
    with pytest.warns(UserWarning, match="between layers"):
        nn.LSTM(4, 6, dropout=0.5)


def test_dropout_acts_between_layers_in_training_only():
    layer = nn.GRU(4, 6, 2, dropout=0.5)
    x = torch.randn(5, 3, 4)
    assert not torch.equal(layer(x)[0], layer(x)[0])
    layer.eval()
    assert torch.equal(layer(x)[0], layer(x)[0])
    single = nn.GRU(4, 6)
    single.load_state_dict({n: p for n, p in layer.state_dict().items() if "_l0" in n})
    layer.train()
    assert torch.equal(layer(x)[1][0], single(x)[1][0])  # the first layer itself is untouched


def test_reset_before_and_after_differ():
    after, before = nn.GRU(4, 6), nn.GRU(4, 6, reset="before")
    before.load_state_dict(after.state_dict())
    x = torch.randn(5, 3, 4)
    assert not torch.allclose(after(x)[0], before(x)[0])
    cell_after, cell_before = nn.GRUCell(4, 6), nn.GRUCell(4, 6, reset="before")
    cell_before.load_state_dict(cell_after.state_dict())
    h = torch.randn(3, 6)
    assert not torch.allclose(cell_after(x[0], h), cell_before(x[0], h))
    with pytest.raises(ConfigError, match="reset='during'"):
        nn.GRU(4, 6, reset="during")


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([1, 2], r"lengths has shape \[2\]"),
        ([1, 6, 2], r"lengths\[1\]=6"),
        ([1, -1, 2], r"lengths\[1\]=-1"),
        ([0.5, 1, 1], "integers"),
    ],
)
def test_lengths_that_do_not_fit_are_named(lengths, message):
    with pytest.raises((ValueError, TypeError), match=message):
        nn.LSTM(4, 6)(torch.randn(5, 3, 4), lengths=lengths)


def test_lengths_beside_their_own_kind_are_refused():
    layer, x = nn.LSTM(4, 6), torch.randn(5, 3, 4)
    with pytest.raises(ValueError, match="PackedSequence"):
        layer(pack_padded_sequence(x, torch.tensor([5, 2, 1])), lengths=[5, 2, 1])
    with pytest.raises(ValueError, match="one sequence"):
        layer(x[:, 0], lengths=[5])
