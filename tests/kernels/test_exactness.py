"""Bit for bit: whole = chunks = steps, batch mates, padding, threads, one-hot = dense = folded embedding."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels import cases
from kernels.cases import CELL_NAMES, Case, check_equal, make_layer, run

from rnnkit.kernels import CELLS, Layer, _core, heads, isa

each_cell = pytest.mark.parametrize("cell", CELL_NAMES)
DTYPES = [dtype for dtype in cases.DTYPES if dtype != "float64"]
each_dtype = pytest.mark.parametrize("dtype", DTYPES)


@each_dtype
@each_cell
@pytest.mark.parametrize("shape", [(12, 3, 5, 18), (12, 1, 130, 150), (7, 40, 33, 70)], ids=str)
@pytest.mark.parametrize("cuts", [(5,), (1, 2, 6), range(1, 12)], ids=["two", "four", "steps"])
def test_any_chunking_gives_the_whole_sequence(cell, shape, cuts, dtype):
    case = Case(cell, *shape, dtype=dtype)
    arrays, layer = case.arrays(), make_layer(case)
    whole = layer.forward(arrays["x"], arrays["state"])
    state, outputs = arrays["state"], []
    for chunk in np.split(arrays["x"], [cut for cut in cuts if cut < case.T]):
        part = layer.forward(chunk, state, keep_tape=len(outputs) % 2 == 0)
        state = part.state
        outputs.append(part.output)
    check_equal({"y": whole.output, "s": whole.state}, {"y": np.concatenate(outputs), "s": state})


@each_dtype
@each_cell
def test_step_is_forward(cell, dtype):
    case = Case(cell, 6, 5, 7, 33, dtype=dtype)
    arrays, layer = case.arrays(), make_layer(case)
    whole = layer.forward(arrays["x"], arrays["state"])
    state = arrays["state"]
    for t in range(case.T):
        y, state = layer.step(arrays["x"][t], state)
        assert np.array_equal(whole.output[t], y)
    check_equal({"s": whole.state}, {"s": state})
    if dtype == "bf16":
        return  # ids gather columns of the weight that are not rounded
    ids = np.array([0, 6, 3, 3, 1])
    y, state = layer.step(ids, arrays["state"])
    dense, dense_state = layer.step(np.eye(7, dtype=np.float32)[ids], arrays["state"])
    check_equal({"y": dense, "s": dense_state}, {"y": y, "s": state})


@each_dtype
@each_cell
def test_a_row_does_not_depend_on_its_batch_mates(cell, dtype):
    case = Case(cell, 9, 31, 20, 50, lengths=(9, 4, 0, 7) * 7 + (9, 9, 2), dtype=dtype)
    arrays, layer = case.arrays(), make_layer(case)
    together = layer.forward(arrays["x"], arrays["state"], lengths=case.lengths)
    for row in (0, 1, 2, 17, 30):
        alone = layer.forward(
            arrays["x"][:, row : row + 1],
            tuple(part[row : row + 1] for part in arrays["state"]),
            lengths=case.lengths[row : row + 1],
        )
        assert np.array_equal(together.output[:, row], alone.output[:, 0])
        for whole, part in zip(together.state, alone.state, strict=True):
            assert np.array_equal(whole[row], part[0])


@each_dtype
@each_cell
def test_a_nan_row_does_not_touch_its_neighbours(cell, dtype):
    case = Case(cell, 6, 14, 9, 33, dtype=dtype)
    arrays = case.arrays()
    clean = run(case, arrays)
    arrays["x"][2, 5] = np.nan
    arrays["state"][0][7, 3] = np.inf
    dirty = run(case, arrays)
    mates = [row for row in range(14) if row not in (5, 7)]
    for name in ("output", "d_x"):
        assert np.array_equal(clean[name][:, mates], dirty[name][:, mates])
    assert np.isnan(dirty["output"][2:, 5]).all()
    assert np.array_equal(clean["output"][:2, 5], dirty["output"][:2, 5])


@each_dtype
@each_cell
@pytest.mark.parametrize("reverse", [False, True])
def test_padding_changes_no_bit_of_anything(cell, reverse, dtype):
    case = Case(cell, 11, 6, 9, 34, lengths=(9, 1, 0, 7, 8, 3), reverse=reverse, dtype=dtype)
    arrays = case.arrays()
    want = run(case, arrays)
    for row, length in enumerate(case.lengths):
        arrays["x"][length:, row] = np.nan
        arrays["d_output"][length:, row] = np.inf
    check_equal(want, run(case, arrays))
    longer = dataclasses.replace(case, T=40)
    pad = np.full((29, 6, 9), np.nan, np.float32), np.full((29, 6, case.output_size), np.nan, np.float32)
    arrays["x"] = np.concatenate([arrays["x"], pad[0]])
    arrays["d_output"] = np.concatenate([arrays["d_output"], pad[1]])
    got = run(longer, arrays)
    for name in ("output", "d_x"):
        assert not got[name][11:].any()
        got[name] = got[name][:11]
    check_equal(want, got)


@each_cell
def test_output_and_dx_beyond_the_length_are_zero(cell):
    case = Case(cell, 7, 3, 5, 18, lengths=(4, 0, 7))
    results = run(case)
    for row, length in enumerate(case.lengths):
        assert not results["output"][length:, row].any()
        assert not results["d_x"][length:, row].any()


@each_dtype
@each_cell
@pytest.mark.parametrize(
    "shape",
    [(20, 37, 100, 130), (9, 100, 100, 130), (30, 1, 100, 200), (20, 5, 40, 300), (30, 700, 10, 20), (40, 2, 3, 500)],
    ids=str,
)
@pytest.mark.parametrize("ids", [False, True])
def test_threads_change_no_bit(cell, shape, ids, threads, dtype):
    case = Case(cell, *shape, ids=ids, dtype=dtype)
    threads(1)
    want = run(case)
    for count in (2, 3, 4):  # 4: the workers of a weight gradient form a grid
        threads(count)
        check_equal(want, run(case))


def test_a_grid_of_workers_adds_each_bias_gradient_once(threads):
    """Four workers share a narrow weight gradient 2 x 2; two of them have no columns and must not add the bias."""
    case = Case("lstm", 100, 64, 20, 256)
    threads(1)
    want = run(case)
    threads(4)
    for _ in range(3):
        check_equal(want, run(case))


@each_dtype
@each_cell
@pytest.mark.parametrize(
    "shape", [(23, 41, 90, 100), (12, 6, 30, 400)], ids=["rows", "units"]
)  # what the workers share
def test_threads_change_no_bit_of_ragged_rows(cell, shape, threads, dtype):
    rng = np.random.default_rng(3)
    lengths = tuple(int(n) for n in rng.integers(0, shape[0] + 1, shape[1]))
    case = Case(cell, *shape, lengths=lengths, reverse=True, dtype=dtype)
    threads(1)
    want = run(case)
    for count in (2, 3, 5):
        threads(count)
        check_equal(want, run(case))


@each_cell
def test_one_hot_is_the_dense_product_and_the_folded_embedding(cell):
    case = Case(cell, 80, 5, 21, 34, ids=True, lengths=(80, 3, 0, 80, 66))
    arrays = case.arrays()
    got = run(case, arrays)
    dense = run(dataclasses.replace(case, ids=False), arrays | {"x": np.eye(21, dtype=np.float32)[arrays["x"]]})
    del dense["d_x"]
    check_equal(dense, got)

    # weight_ih = W E^T, each element the chain over the embedding's axis: what projecting E[id] computes.
    rng = np.random.default_rng(1)
    W = rng.standard_normal((arrays["weight_ih"].shape[0], 12)).astype(np.float32)
    E = rng.standard_normal((21, 12)).astype(np.float32)
    without_h = dict.fromkeys(("bias_ih", "bias_hh"))
    gates = len(CELLS[cell].gates)
    product = Layer("elman_relu", weight_ih=W, weight_hh=np.zeros((gates * 34, gates * 34), np.float32), **without_h)
    positive = product.forward(E[None]).output[0]
    product = Layer("elman_relu", weight_ih=-W, weight_hh=np.zeros((gates * 34, gates * 34), np.float32), **without_h)
    folded = (positive - product.forward(E[None]).output[0]).T
    others = {name: arrays[name] for name in CELLS[cell].parameters if name != "weight_ih"}
    by_id, by_row = (Layer(cell, weight_ih=weight, **others) for weight in (folded, W))
    assert np.array_equal(
        by_row.forward(E[arrays["x"]], arrays["state"]).output, by_id.forward(arrays["x"], arrays["state"]).output
    )


@each_cell
@pytest.mark.parametrize("precision", ["bf16", "fp32_split"])
def test_a_folded_embedding_is_the_product_in_other_precisions_too(cell, precision):
    """A table made by the same product, gathered as it is: what chooses between the two may be the length of a call."""
    case = Case(cell, 30, 5, 21, 34, dtype=precision)
    arrays = case.arrays()
    E = np.random.default_rng(1).standard_normal((40, 21)).astype(np.float32)
    ids = np.random.default_rng(2).integers(0, 40, (30, 5))
    folded = heads.linear(E, arrays["weight_ih"], precision=precision).T
    by_id = make_layer(case, arrays | {"weight_ih": folded}).forward(ids, arrays["state"])
    by_row = make_layer(case, arrays).forward(E[ids], arrays["state"])
    check_equal({"y": by_row.output, "s": by_row.state}, {"y": by_id.output, "s": by_id.state})


def test_split_products_are_fp32_where_there_are_no_tiles():
    """On tiles they are not: then this precision is what `DTYPES` of the other tests adds."""
    case = Case("lstm", 9, 5, 21, 34)
    results = [run(dataclasses.replace(case, dtype=dtype)) for dtype in ("float32", "fp32_split")]
    assert all(np.array_equal(results[0][name], results[1][name]) for name in results[0]) == (isa() != "amx")


@settings(max_examples=60)
@given(data=st.data())
def test_any_shape_lengths_threads_and_chunks_agree(data):
    cell = data.draw(st.sampled_from(CELL_NAMES))
    T, B, I, H = (data.draw(st.integers(low, high)) for low, high in ((0, 9), (0, 9), (1, 40), (1, 70)))
    lengths = data.draw(st.none() | st.tuples(*[st.integers(0, T)] * B))
    dtype = data.draw(st.sampled_from(DTYPES))
    case = Case(cell, T, B, I, H, lengths=lengths, reverse=data.draw(st.booleans()), dtype=dtype)
    arrays, layer = case.arrays(), make_layer(case)
    want = layer.forward(arrays["x"], arrays["state"], lengths=lengths, reverse=case.reverse)
    before = _core.get_num_threads()
    _core.set_num_threads(data.draw(st.integers(1, 4)))
    try:
        taped = layer.forward(arrays["x"], arrays["state"], lengths=lengths, reverse=case.reverse, keep_tape=True)
    finally:
        _core.set_num_threads(before)
    check_equal({"y": want.output, "s": want.state}, {"y": taped.output, "s": taped.state})
    if not case.reverse:
        cut = data.draw(st.integers(0, T))
        split = (None, None) if lengths is None else tuple([min(n, cut), max(n - cut, 0)] for n in lengths)
        split = split if lengths is None else tuple(zip(*split, strict=True)) or ((), ())
        first = layer.forward(arrays["x"][:cut], arrays["state"], lengths=split[0])
        second = layer.forward(arrays["x"][cut:], first.state, lengths=split[1])
        check_equal(
            {"y": want.output, "s": want.state},
            {"y": np.concatenate([first.output, second.output]), "s": second.state},
        )
