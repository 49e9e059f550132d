"""Products in eight bits: exact against integers in NumPy, the exactness promises of layers, and what is refused."""

import numpy as np
import pytest
from kernels.cases import CELL_NAMES, Case

from rnnkit.errors import ArgumentError, ConfigError, ShapeError
from rnnkit.kernels import CELLS, Layer, heads
from rnnkit.kernels.recurrent import resolve_precision

each_cell = pytest.mark.parametrize("cell", CELL_NAMES)
SHAPES = [(12, 3, 5, 18), (9, 1, 130, 150), (7, 9, 33, 70)]  # T, B, I, H


def quantised(rows):
    """Integers and scales of rows, as the docstrings have it."""
    largest = np.abs(rows).max(axis=1, keepdims=True)
    inverse = np.divide(np.float32(127), largest, where=largest > 0, out=np.zeros_like(largest))
    return np.rint(rows * inverse).astype(np.int64), largest / np.float32(127)


def product(x, weight):
    """x Wᵀ in eight bits, float32 to the last bit."""
    (q_x, s_x), (q_w, s_w) = quantised(x), quantised(weight)
    return (q_x @ q_w.T).astype(np.float32) * (s_w.T * s_x)


def normal(*shape, scale=1.0, seed=0):
    return (np.random.default_rng((seed, *shape)).standard_normal(shape) * scale).astype(np.float32)


def layer_and_arrays(cell, shape, precision="int8"):
    arrays = Case(cell, *shape).arrays()
    weights = {name: arrays[name] for name in CELLS[cell].parameters}
    return Layer(cell, **weights, precision=precision), arrays


def same(want, got):
    np.testing.assert_array_equal(want.output, got.output)
    for left, right in zip(want.state, got.state, strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("size", [(1, 33, 50), (3, 16, 64), (9, 130, 200), (1, 512, 300), (40, 7, 5)], ids=str)
@pytest.mark.parametrize("with_bias", [True, False])
def test_linear_is_the_product_of_integers_to_the_last_bit(size, with_bias):
    N, inputs, outputs = size
    x, weight = normal(N, inputs), normal(outputs, inputs, seed=1)
    x[-1] = 0
    bias = normal(outputs, seed=2) if with_bias else None
    want = product(x, weight) + (0 if bias is None else bias)
    np.testing.assert_array_equal(want, heads.linear(x, weight, bias, precision="int8"))
    np.testing.assert_array_equal(want, heads.PackedLinear(weight, bias, precision="int8")(x))
    np.testing.assert_allclose(want, heads.linear(x, weight, bias), atol=0.06 * np.sqrt(inputs))


def test_the_largest_sums_fit():
    x, weight = np.full((1, 131072), -1, np.float32), np.full((2, 131072), 1, np.float32)
    np.testing.assert_allclose(heads.linear(x, weight, precision="int8"), -131072.0, rtol=1e-6)


def test_one_step_is_the_products_of_integers_to_the_last_bit():
    layer, arrays = layer_and_arrays("elman_relu", (1, 5, 37, 50))
    (h,) = arrays["state"]
    y, _ = layer.step(arrays["x"][0], (h,))
    projected = product(arrays["x"][0], arrays["weight_ih"]) + (arrays["bias_ih"] + arrays["bias_hh"])
    np.testing.assert_array_equal(np.maximum(projected + product(h, arrays["weight_hh"]), 0), y)


@each_cell
def test_a_layer_stays_near_fp32(cell):
    shape = (20, 3, 40, 96)
    (layer, arrays), (exact, _) = layer_and_arrays(cell, shape), layer_and_arrays(cell, shape, "fp32")
    want, got = (each.forward(arrays["x"], arrays["state"]).output for each in (exact, layer))
    error = np.linalg.norm(want - got) / np.linalg.norm(want)
    assert 1e-5 < error < 0.05, error


@each_cell
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_chunks_and_steps_give_the_sequence(cell, shape):
    layer, arrays = layer_and_arrays(cell, shape)
    x = arrays["x"]
    whole = layer.forward(x, arrays["state"])
    for cuts in ((5,), (1, 2, 6), range(1, shape[0])):
        state, outputs = arrays["state"], []
        for chunk in np.split(x, list(cuts)):
            part = layer.forward(chunk, state)
            state = part.state
            outputs.append(part.output)
        np.testing.assert_array_equal(whole.output, np.concatenate(outputs))
    state = arrays["state"]
    for t in range(shape[0]):
        y, state = layer.step(x[t], state)
        np.testing.assert_array_equal(whole.output[t], y)
    np.testing.assert_array_equal(whole.state[-1], state[-1])


@each_cell
def test_batch_mates_padding_and_direction_change_no_bit(cell):
    layer, arrays = layer_and_arrays(cell, (9, 31, 20, 50))
    x, lengths = arrays["x"], np.array([9, 4, 0, 7] * 7 + [9, 9, 2])
    for reverse in (False, True):
        together = layer.forward(x, arrays["state"], lengths=lengths, reverse=reverse)
        for row in (0, 1, 2, 17, 30):
            state = tuple(part[row : row + 1] for part in arrays["state"])
            alone = layer.forward(x[: lengths[row], row : row + 1], state, reverse=reverse)
            np.testing.assert_array_equal(together.output[: lengths[row], row], alone.output[:, 0])
            np.testing.assert_array_equal(together.state[-1][row], alone.state[-1][0])
            assert not together.output[lengths[row] :, row].any()


@each_cell
@pytest.mark.parametrize("shape", [(5, 1, 200, 300), (4, 64, 200, 200)], ids=str)
def test_threads_change_no_bit(cell, shape, threads):
    layer, arrays = layer_and_arrays(cell, shape)
    threads(1)
    want = layer.forward(arrays["x"], arrays["state"])
    for count in (2, 5):
        threads(count)
        same(want, layer.forward(arrays["x"], arrays["state"]))


@each_cell
def test_ids_gather_columns_that_are_not_rounded(cell):
    (layer, arrays), (exact, _) = layer_and_arrays(cell, (1, 4, 9, 33)), layer_and_arrays(cell, (1, 4, 9, 33), "fp32")
    ids = np.array([0, 8, 3, 3])
    zeros = tuple(np.zeros_like(part) for part in arrays["state"])
    # The last part of the state: a projection of zero h is a product of something else.
    np.testing.assert_array_equal(exact.step(ids, zeros)[1][-1], layer.step(ids, zeros)[1][-1])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_row_with_a_value_that_is_not_finite_is_nan_and_its_neighbours_are_not(value):
    x, weight = normal(4, 40), normal(20, 40, seed=1)
    clean = heads.linear(x, weight, precision="int8")
    x[2, 17] = value
    dirty = heads.linear(x, weight, precision="int8")
    assert np.isnan(dirty[2]).all()
    np.testing.assert_array_equal(clean[[0, 1, 3]], dirty[[0, 1, 3]])
    weight[5, 3] = value
    column = heads.linear(x, weight, precision="int8")
    assert np.isnan(column[:, 5]).all()
    np.testing.assert_array_equal(np.delete(dirty, 5, axis=1), np.delete(column, 5, axis=1))


def test_rows_of_nothing_and_next_to_nothing_are_nothing():
    x = np.array([[0.0] * 20, [1e-38] * 20, [1e-30] * 20], np.float32)
    y = heads.linear(x, np.ones((3, 20), np.float32), precision="int8")
    assert (y[:2] == 0).all()
    np.testing.assert_allclose(y[2], 2e-29, rtol=1e-6)


def test_gradients_and_sizes_that_eight_bits_do_not_have_are_refused():
    layer, arrays = layer_and_arrays("lstm", (2, 3, 4, 5))
    with pytest.raises(ArgumentError, match="int8 has no gradients"):
        layer.forward(arrays["x"], keep_tape=True)
    x, weight, dy = normal(3, 4), normal(5, 4), normal(3, 5)
    with pytest.raises(ArgumentError, match="int8 has no gradients"):
        heads.linear_backward(x, weight, dy, precision="int8")
    with pytest.raises(ArgumentError, match="int8 has no gradients"):
        heads.linear_cross_entropy(x, weight, None, np.zeros(3, np.int64), precision="int8")
    with pytest.raises(ShapeError, match="131072"):
        heads.PackedLinear(np.zeros((1, 131073), np.float32), precision="int8")
    rows = len(CELLS["elman_tanh"].gates) * 2
    with pytest.raises(ShapeError, match="input size is 131073"):
        Layer(
            "elman_tanh",
            weight_ih=np.zeros((rows, 131073), np.float32),
            weight_hh=np.zeros((rows, 2), np.float32),
            precision="int8",
        )
    with pytest.raises(ConfigError, match="'int8' has no gradients"):
        resolve_precision("int8")
    assert resolve_precision("int8", forward_only=True) == "int8"
