"""The exactness promises: chunks, steps, batch mates, padding and threads change no bit of a native layer."""

import numpy as np
import pytest
import torch
from parity import DOORS, recurrent

from rnnkit import kernels, nn
from rnnkit.kernels import threads
from rnnkit.state import State

CELLS = list(kernels.CELLS)  # the promises are the native core's
SIZES = [(5, 7), (33, 70)]  # I, H: smaller than any block, and no multiple of one


def layer_and_state(cell, sizes, *, batch, num_layers=2, bidirectional=False):
    torch.manual_seed(sum(map(ord, cell)))
    layer = recurrent(cell, *sizes, num_layers, bidirectional=bidirectional, backend="native")
    return layer, layer.initial_state(batch).map(torch.randn_like)


@pytest.mark.parametrize("grad", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("cell", CELLS)
def test_any_chunking_gives_the_same_bits(cell, sizes, grad):
    layer, state = layer_and_state(cell, sizes, batch=3)
    x = torch.randn(23, 3, sizes[0])
    with torch.set_grad_enabled(grad):
        want, want_state = layer(x, state)
        for cuts in ([10, 13], [1] * 23, [22, 1], [0, 5, 18]):
            outputs, carry = [], state
            for chunk in x.split(cuts):
                y, carry = layer(chunk, carry)
                outputs.append(y)
            assert torch.equal(torch.cat(outputs), want)
            assert carry == want_state


@pytest.mark.parametrize("cell", DOORS)
def test_cells_step_by_step_give_the_same_bits(cell):
    layer, state = layer_and_state(cell, (5, 70), batch=3, num_layers=1)
    kind = {"lstm": "LSTMCell"}.get(cell, "GRUCell" if cell.startswith("gru") else "RNNCell")
    options = {"reset": cell[4:]} if kind == "GRUCell" else {"nonlinearity": cell[6:]} if kind == "RNNCell" else {}
    one = getattr(nn, kind)(5, 70, **options)
    one.load_state_dict({n.removesuffix("_l0"): p for n, p in layer.state_dict().items()})
    x = torch.randn(6, 3, 5)
    want, _ = layer(x, state)
    parts = tuple(state.layers[0].values())
    for t in range(6):
        new = one(x[t], parts if kind == "LSTMCell" else parts[0])
        parts = new if kind == "LSTMCell" else (new,)
        assert torch.equal(parts[0], want[t])


@pytest.mark.parametrize("bidirectional", [False, True], ids=["one way", "both ways"])
@pytest.mark.parametrize("cell", CELLS)
def test_batch_mates_change_no_bit_even_when_they_are_nan(cell, bidirectional):
    layer, state = layer_and_state(cell, (33, 70), batch=5, bidirectional=bidirectional)
    x = torch.randn(9, 5, 33)
    x[:, 1] = float("nan")
    with torch.no_grad():
        together, final = layer(x, state)
        for row in (0, 2, 3, 4):
            alone, own = layer(x[:, [row]], state[row])
            assert torch.equal(alone[:, 0], together[:, row])
            assert own == final[row]


@pytest.mark.parametrize("grad", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("cell", CELLS)
def test_padding_and_what_stands_in_it_change_no_bit(cell, grad):
    layer, state = layer_and_state(cell, (5, 70), batch=4, bidirectional=True)
    x, lengths = torch.randn(11, 4, 5), [11, 4, 0, 1]
    for row, n in enumerate(lengths):
        x[n:, row] = float("nan")
    with torch.set_grad_enabled(grad):
        y, final = layer(x, state, lengths=lengths)
        for row, n in enumerate(lengths):
            alone, own = layer(x[:n, [row]], state[row])
            assert torch.equal(y[:n, row], alone[:, 0])
            assert not y[n:, row].any()
            assert own == final[row]


@pytest.mark.parametrize("cell", CELLS)
def test_nan_in_padding_changes_no_bit_of_a_gradient(cell):
    layer, state = layer_and_state(cell, (5, 70), batch=3)
    x, lengths = torch.randn(6, 3, 5), [6, 2, 3]
    results = []
    for padding in (0.0, float("nan")):
        padded = x.masked_fill(torch.arange(6)[:, None, None] >= torch.tensor(lengths)[None, :, None], padding)
        padded.requires_grad_()
        y, _ = layer(padded, state, lengths=lengths)
        results.append(torch.autograd.grad(y.square().sum(), [padded, *layer.parameters()]))
    assert all(map(torch.equal, *results))


@pytest.fixture
def restore_threads():
    before = threads.get_num_threads()
    yield
    threads.set_num_threads(before)


@pytest.mark.parametrize("cell", CELLS)
def test_the_number_of_threads_changes_no_bit_gradients_included(cell, restore_threads):
    layer, state = layer_and_state(cell, (33, 70), batch=9, bidirectional=True)
    x, weight = torch.randn(40, 9, 33), torch.randn(140, 2 * state.layers[0]["h"].shape[1])
    results = []
    for count in (1, 2, 3):
        threads.set_num_threads(count)
        leaf = x.clone().requires_grad_()
        y, final = layer(leaf, state, lengths=[40, 3, 0, 17, 40, 1, 22, 39, 8])
        scores = nn.linear_cross_entropy(y, torch.arange(360).view(40, 9) % 140, weight=weight)
        total = scores.sum() + sum(part.sum() for parts in final.layers for part in parts.values())
        gradients = torch.autograd.grad(total, [leaf, *layer.parameters()])
        results.append((y.detach(), scores.detach(), *gradients))
    for other in results[1:]:
        assert all(map(torch.equal, results[0], other))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("size", [5, 33])
def test_ids_one_hot_rows_and_the_folded_table_give_the_same_bits(cell, size):
    layer, state = layer_and_state(cell, (size, 40), batch=3)
    ids = torch.randint(size, (7, 3))
    want, final = layer(torch.nn.functional.one_hot(ids, size).float(), state)
    got, got_final = layer(ids, state)
    assert torch.equal(want, got) and final == got_final
    table = torch.randn(11, size)  # 11 rows < 21 tokens: folded
    ids = torch.randint(11, (7, 3))
    want, _ = layer(table[ids], state)
    assert torch.equal(layer(ids, state, embedding=table)[0], want)
    assert torch.equal(layer(ids.int(), state, embedding=table)[0], want)
    few, _ = layer(ids[:2], state, embedding=table)  # 11 rows > 6 tokens: looked up
    assert torch.equal(few, want[:2])


def test_linear_gives_each_row_the_same_bits_alone_and_together(restore_threads):
    x, weight, bias = torch.randn(37, 65), torch.randn(41, 65), torch.randn(41)
    x[3] = float("nan")
    threads.set_num_threads(1)
    want = nn.linear(x, weight, bias)
    threads.set_num_threads(2)
    assert np.array_equal(nn.linear(x, weight, bias).numpy(), want.numpy(), equal_nan=True)
    for row in (0, 5, 36):
        assert torch.equal(nn.linear(x[row : row + 1], weight, bias)[0], want[row])


def test_a_state_moves_between_batches_without_changing_a_bit():
    layer, state = layer_and_state("lstm", (5, 7), batch=4)
    x = torch.randn(6, 4, 5)
    want, _ = layer(x, state)
    shuffled = State.stack([state[[2]], state[[0, 3]], state[[1]]])
    got, _ = layer(x[:, [2, 0, 3, 1]], shuffled)
    assert torch.equal(got, want[:, [2, 0, 3, 1]])
