"""Layer normalisation in every cell: against a float64 loop with autograd, and bit for bit where that is promised."""

import functools

import numpy as np
import pytest
from kernels.cases import (
    CELL_NAMES,
    DTYPES,
    Case,
    Layer,
    check_close,
    check_equal,
    kept_shares,
    make_layer,
    parameters,
    replace,
    run,
)

from rnnkit.errors import ArgumentError, DtypeError, ShapeError
from rnnkit.kernels import CELLS

torch = pytest.importorskip("torch")
from parity import cell_step  # noqa: E402  the loop's single step, which shares no line with rnnkit

each_dtype = pytest.mark.parametrize("dtype", DTYPES)
each_fast_dtype = pytest.mark.parametrize("dtype", ["float32", "bf16"])
each_cell = pytest.mark.parametrize("cell", CELL_NAMES)
SHAPES = [(7, 3, 5, 9), (2, 13, 17, 16), (3, 25, 150, 33), (12, 30, 70, 65), (300, 1, 19, 20)]
# A norm keeps errors as large as its values: what a rounding does to a gradient does not fade from step to step.
LIMITS = {"float32": 3e-5, "fp32_split": 3e-5, "float64": 1e-11, "bf16": 6e-2}


def reference(case):
    """What `run` must give, in float64; worked out once for all precisions that start from the same arrays."""
    return remembered(replace(case, dtype="float64" if case.dtype == "float64" else "float32", recompute=False))


@functools.cache
def remembered(case):
    given = case.arrays()
    names, T = CELLS[case.cell].parts, case.T

    def leaf(array):
        return torch.tensor(np.asarray(array, np.float64), requires_grad=True)

    leaves = {name: leaf(given[name]) for name in parameters(case) if given.get(name) is not None}
    state = [leaf(part) for part in given["state"]]
    x = torch.eye(case.I, dtype=torch.float64)[given["x"]] if case.ids else leaf(given["x"])
    nothing = torch.zeros(len(CELLS[case.cell].gates) * case.H, dtype=torch.float64)
    weights = {name: nothing[: case.H] if name == "bias_norm_c" else nothing for name in parameters(case)} | leaves
    outputs, finals, total = [[nothing[: case.output_size]] * case.B for _ in range(T)], [], torch.zeros(())
    for row, length in enumerate(case.row_lengths()):
        parts = tuple(part[row] for part in state)
        mask = given.get("recurrent_mask")
        weights["mask"] = 1.0 if mask is None else torch.tensor(np.asarray(mask[row], np.float64))
        for t in range(length)[:: -1 if case.reverse else 1]:
            new = cell_step(case.cell.removesuffix("_projected"), x[t, row], parts, weights)
            if "weight_hr" in weights:
                new = (weights["weight_hr"] @ new[0], *new[1:])
            kept = [torch.as_tensor(z, dtype=torch.float64) for z in kept_shares(given, len(names), t, row)]
            parts = tuple(z * old + (1 - z) * n for z, old, n in zip(kept, parts, new, strict=True))
            outputs[t][row] = parts[0]
            if given["d_output"] is not None:
                total = total + (parts[0] * torch.tensor(np.asarray(given["d_output"][t, row], np.float64))).sum()
        for part, d in zip(parts, given["d_state"], strict=True):
            if d is not None:
                total = total + (part * torch.tensor(np.asarray(d[row], np.float64))).sum()
        finals.append(parts)
    asked = {f"d_{name}": value for name, value in leaves.items()}
    asked |= {f"d_{part}0": value for part, value in zip(names, state, strict=True)}
    asked |= {} if case.ids else {"d_x": x}
    total = total + 0 * sum(value.sum() for value in asked.values())
    gradients = torch.autograd.grad(total, list(asked.values()))
    results = {name: gradient.numpy() for name, gradient in zip(asked, gradients, strict=True)}
    results["output"] = torch.stack([torch.stack(step) for step in outputs]).detach().numpy()
    for n, part in enumerate(names):
        results[part] = torch.stack([parts[n] for parts in finals]).detach().numpy()
    return results


def check(case):
    want = reference(case)
    check_close(case, want, run(case), dict.fromkeys(want, LIMITS[case.dtype]))


@each_dtype
@each_cell
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shapes(cell, shape, dtype):
    if dtype == "bf16" and (shape[0] == 300 or cell == "elman_relu"):
        pytest.skip("roundings that change sides, or that a long case carries on, are in every gradient before them")
    check(Case(cell, *shape, dtype=dtype, normed=True))


@each_cell
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [(7, 1, 0, 4), (0, 0, 0, 0)], ids=str)
def test_ragged_lengths(cell, lengths, reverse):
    check(Case(cell, 7, 4, 5, 18, lengths=lengths, reverse=reverse, normed=True))


@each_cell
@pytest.mark.parametrize("upstream", [("output",), ("h",), ("c",), ("last",)], ids=str)
def test_each_upstream_gradient_alone(cell, upstream):
    check(Case(cell, 6, 3, 5, 18, upstream=upstream, normed=True))


@each_dtype
@each_cell
@pytest.mark.parametrize(
    "option",
    [{"bias": False}, {"ids": True}, {"zoneout": "share"}, {"zoneout": "mask", "masked": True}, {"masked": True}],
    ids=str,
)
def test_every_option_beside_it(cell, option, dtype):
    if (cell, dtype) == ("elman_relu", "bf16"):
        pytest.skip("one rounding that changes sides at a kink is in every gradient before it")
    check(Case(cell, 7, 4, 21, 18, lengths=(7, 2, 0, 5), normed=True, dtype=dtype, **option))


@each_cell
def test_a_row_of_one_value_is_normalised_to_its_bias(cell):
    """Its variance is 0: nothing is divided by it, and no gradient passes."""
    case = Case(cell, 5, 3, 2, 1, normed=True)
    results = run(case)
    assert all(np.isfinite(value).all() for value in results.values())
    if len(CELLS[cell].gates) == 1:
        assert not results["d_x"].any() and not results["d_weight_ih"].any()
        f = np.tanh if cell == "elman_tanh" else lambda v: np.maximum(v, 0)
        arrays = case.arrays()
        np.testing.assert_allclose(results["output"].ravel(), f(arrays["bias_ih"] + arrays["bias_hh"]).repeat(15), 1e-5)


@each_cell
def test_the_scale_of_a_product_does_not_matter(cell):
    case = Case(cell, 6, 3, 5, 18, normed=True)
    arrays = case.arrays()
    louder = arrays | {name: 64 * arrays[name] for name in ("weight_ih", "weight_hh") if name in arrays}
    want, got = (make_layer(case, given).forward(given["x"], given["state"]).output for given in (arrays, louder))
    np.testing.assert_allclose(want, got, atol=2e-3)  # what is added to the variance aside
    plain = replace(case, normed=False)
    assert not np.allclose(want, make_layer(plain).forward(arrays["x"], arrays["state"]).output, atol=0.05)


@pytest.mark.parametrize("shape", [(0, 3), (4, 0)], ids=str)
@each_cell
def test_no_steps_and_no_rows(cell, shape):
    case = Case(cell, *shape, 5, 18, normed=True)
    results = run(case)
    for part, initial in zip(CELLS[cell].parts, case.arrays()["state"], strict=True):
        assert np.array_equal(results[part], initial)
    assert not any(results[f"d_{name}"].any() for name in parameters(case))


# ---- bit for bit ----


@each_fast_dtype
@each_cell
@pytest.mark.parametrize("shape", [(12, 3, 5, 18), (12, 1, 130, 150), (7, 40, 33, 70)], ids=str)
def test_chunks_steps_and_tapes_give_the_whole_sequence(cell, shape, dtype):
    case = Case(cell, *shape, dtype=dtype, normed=True)
    arrays, layer = case.arrays(), make_layer(case)
    whole = layer.forward(arrays["x"], arrays["state"])
    for cuts in ((5,), (1, 2, 6)):
        state, outputs = arrays["state"], []
        for chunk in np.split(arrays["x"], [cut for cut in cuts if cut < case.T]):
            part = layer.forward(chunk, state, keep_tape=len(outputs) % 2 == 0)
            state = part.state
            outputs.append(part.output)
        check_equal({"y": whole.output, "s": whole.state}, {"y": np.concatenate(outputs), "s": state})
    state = arrays["state"]
    for t in range(case.T):
        y, state = layer.step(arrays["x"][t], state)
        assert np.array_equal(whole.output[t], y)


@each_cell
@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_zoneout_by_a_number_is_exact_step_by_step(cell, precision):
    arrays = Case(cell, 9, 3, 5, 18, zoneout="share", normed=True).arrays()
    weights = {name: arrays[name] for name in CELLS[cell].parameters | CELLS[cell].norms}
    layer = Layer(cell, **weights, precision=precision, zoneout=arrays["zoneout"])
    want, state = layer.forward(arrays["x"], arrays["state"]), arrays["state"]
    for t in range(9):
        y, state = layer.step(arrays["x"][t], state)
        assert np.array_equal(y, want.output[t])


@each_fast_dtype
@each_cell
def test_a_row_does_not_depend_on_its_batch_mates(cell, dtype):
    case = Case(cell, 9, 13, 20, 50, lengths=(9, 4, 0, 7) * 3 + (2,), dtype=dtype, normed=True)
    arrays, layer = case.arrays(), make_layer(case)
    arrays["x"][2, 5] = np.nan
    together = layer.forward(arrays["x"], arrays["state"], lengths=case.lengths)
    for row in (0, 1, 2, 12):
        alone = layer.forward(
            arrays["x"][:, row : row + 1],
            tuple(part[row : row + 1] for part in arrays["state"]),
            lengths=case.lengths[row : row + 1],
        )
        assert np.array_equal(together.output[:, row], alone.output[:, 0])
        check_equal({"s": tuple(p[row] for p in together.state)}, {"s": tuple(p[0] for p in alone.state)})


@each_fast_dtype
@each_cell
@pytest.mark.parametrize("shape", [(20, 37, 100, 130), (20, 5, 40, 300), (30, 1, 100, 200)], ids=str)
@pytest.mark.parametrize("ids", [False, True])
def test_threads_change_no_bit(cell, shape, ids, threads, dtype):
    case = Case(cell, *shape, ids=ids, dtype=dtype, normed=True)
    threads(1)
    want = run(case)
    for count in (2, 3):
        threads(count)
        check_equal(want, run(case))


@each_fast_dtype
@each_cell
def test_padding_changes_no_bit(cell, dtype):
    case = Case(cell, 11, 6, 9, 34, lengths=(9, 1, 0, 7, 8, 3), dtype=dtype, normed=True)
    arrays = case.arrays()
    want = run(case, arrays)
    for row, length in enumerate(case.lengths):
        arrays["x"][length:, row] = np.nan
        arrays["d_output"][length:, row] = np.inf
    check_equal(want, run(case, arrays))


@each_fast_dtype
@each_cell
@pytest.mark.parametrize("option", [{}, {"zoneout": "mask", "masked": True}, {"ids": True}], ids=str)
@pytest.mark.parametrize("shape", [(7, 3, 5, 9), (700, 3, 5, 9), (60, 37, 20, 33)], ids=str)
def test_recompute_gives_the_same_bits(cell, shape, option, dtype):
    case = Case(cell, *shape, dtype=dtype, normed=True, **option)
    check_equal(run(case), run(replace(case, recompute=True)))


@each_cell
def test_one_hot_is_the_dense_product(cell):
    case = Case(cell, 80, 5, 21, 34, ids=True, lengths=(80, 3, 0, 80, 66), normed=True)
    arrays = case.arrays()
    got = run(case, arrays)
    dense = run(replace(case, ids=False), arrays | {"x": np.eye(21, dtype=np.float32)[arrays["x"]]})
    del dense["d_x"]
    check_equal(dense, got)


@each_cell
def test_a_trace_shows_the_memory_that_is_carried(cell):
    case = Case(cell, 7, 4, 5, 18, lengths=(7, 1, 0, 4), normed=True)
    arrays = case.arrays()
    shown = make_layer(case).forward(arrays["x"], arrays["state"], lengths=case.lengths, trace=True)
    assert shown.trace is not None and set(shown.trace) == {*CELLS[cell].gates, *CELLS[cell].parts}
    for name, part in zip(CELLS[cell].parts, shown.state, strict=True):
        assert np.array_equal(shown.trace[name][6, 0], part[0])


# ---- refusals ----


@pytest.mark.parametrize(
    ("cell", "change", "error", "message"),
    [
        ("lstm", {"weight_norm_hh": None}, DtypeError, "weight_norm_hh is a NoneType"),
        ("lstm", {"weight_norm_c": np.ones(17, np.float32)}, ShapeError, r"weight_norm_c has shape \[17\]"),
        ("lstm", {"weight_norm_ih": np.ones(72)}, DtypeError, "weight_norm_ih has dtype float64"),
        ("gru_after", {"weight_norm_c": np.ones(18, np.float32)}, ArgumentError, "a layer of gru_after has none"),
        ("min_gru", {"weight_norm_hh": np.ones(36, np.float32)}, ArgumentError, "a layer of min_gru has none"),
        ("lstm", {"weight_norm_hr": np.ones(18, np.float32)}, TypeError, "unexpected keyword argument"),
    ],
)
def test_gains_that_do_not_fit_are_named(cell, change, error, message):
    case = Case(cell, 3, 2, 5, 18, normed=True)
    weights = {name: value for name, value in case.arrays().items() if name in parameters(case)}
    with pytest.raises(error, match=message):
        Layer(cell, **(weights | change))
