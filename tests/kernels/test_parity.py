"""Every cell against the float64 loop of cases.py: outputs, states and every gradient, by name."""

import functools

import numpy as np
import pytest
from kernels.cases import (
    CELL_NAMES,
    DTYPES,
    Case,
    check_close,
    check_equal,
    nudged,
    of_all_precisions,
    reference,
    relative_error,
    run,
)

each_cell = pytest.mark.parametrize("cell", CELL_NAMES)
each_dtype = pytest.mark.parametrize("dtype", DTYPES)

SHAPES = [  # T, B, I, H: no multiple of any block, on both sides of every one
    (1, 2, 3, 1),
    (7, 3, 5, 9),
    (2, 13, 17, 16),
    (3, 25, 150, 33),
    (130, 2, 3, 17),
    (12, 30, 70, 65),
    (300, 1, 19, 20),
]
RAGGED = [(7, 1, 0, 4), (1, 7, 7, 0), (0, 0, 0, 0), (3, 3, 3, 3)]


@each_dtype
@each_cell
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shapes(cell, shape, dtype):
    case = Case(cell, *shape, dtype=dtype)
    check_close(case, reference(case), run(case))


@each_dtype
@each_cell
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", RAGGED, ids=str)
def test_ragged_lengths(cell, lengths, reverse, dtype):
    case = Case(cell, 7, 4, 5, 18, lengths=lengths, reverse=reverse, dtype=dtype)
    check_close(case, reference(case), run(case))


@each_dtype
@each_cell
def test_long_ragged_reversed(cell, dtype):
    if (cell, dtype) == ("elman_relu", "bf16"):
        pytest.skip("one rounding that changes sides at a kink is in every gradient before it")
    case = Case(cell, 131, 3, 4, 10, lengths=(131, 33, 65), reverse=True, dtype=dtype)
    check_close(case, reference(case), run(case))


@each_dtype
@each_cell
@pytest.mark.parametrize("upstream", [("output",), ("h",), ("c",), ("last",), ()], ids=str)
def test_each_upstream_gradient_alone(cell, upstream, dtype):
    steps = (4 if cell.startswith("elman") else 7) if dtype == "bf16" else 12  # gradients fade; their roundings do not
    case = Case(cell, steps, 3, 5, 18, upstream=upstream, dtype=dtype)
    check_close(case, reference(case), run(case))


@each_dtype
@each_cell
def test_without_bias(cell, dtype):
    case = Case(cell, 7, 3, 5, 18, bias=False, dtype=dtype)
    results = run(case)
    assert "d_bias_ih" not in results
    check_close(case, reference(case), results)


@each_dtype
@each_cell
def test_with_only_the_input_bias(cell, dtype):
    case = Case(cell, 7, 3, 5, 18, dtype=dtype)
    arrays = case.arrays() | {"bias_hh": None}
    check_close(case, reference(case, arrays), run(case, arrays))


@each_dtype
@each_cell
@pytest.mark.parametrize("lengths", [None, (9, 0, 4)], ids=str)
def test_one_hot_input(cell, lengths, dtype):
    case = Case(cell, 9, 3, 21, 18, ids=True, lengths=lengths, dtype=dtype)
    check_close(case, reference(case), run(case))


@each_cell
def test_strided_expanded_and_offset_arrays(cell):
    case = Case(cell, 7, 3, 5, 18)
    arrays = case.arrays()
    want = run(case, arrays)
    wide = np.zeros((14, 5, 12), np.float32)
    wide[::2, 1:4, 3:8] = arrays["x"]
    strided = arrays | {
        "x": wide[::2, 1:4, 3:8],
        **{name: np.asfortranarray(arrays[name]) for name in ("weight_hh",) if name in arrays},
        "weight_ih": np.repeat(arrays["weight_ih"], 2, axis=0)[::2],
        "state": tuple(np.stack([part] * 3, axis=1)[:, 1] for part in arrays["state"]),
        "d_output": np.ascontiguousarray(arrays["d_output"].transpose(1, 0, 2)).transpose(1, 0, 2),
    }
    check_equal(want, run(case, strided))
    one = arrays | {"d_output": np.broadcast_to(np.float32(0.5), (7, 3, case.output_size))}
    check_close(case, reference(case, one), run(case, one))


@each_dtype
@each_cell
def test_inputs_are_unchanged(cell, dtype):
    case = Case(cell, 7, 3, 5, 18, lengths=(7, 2, 0), dtype=dtype)
    arrays, untouched = case.arrays(), case.arrays()
    run(case, arrays)
    for name, value in untouched.items():
        for before, after in zip(*(v if isinstance(v, tuple) else (v,) for v in (value, arrays[name])), strict=True):
            assert np.array_equal(before, after), name


@pytest.mark.parametrize("cell", ["lstm", "gru_after", "elman_tanh", "elman_relu"])
def test_no_worse_than_twice_torch(cell):
    case = Case(cell, 100, 4, 40, 50)
    arrays, want = case.arrays(), reference(case)
    # Of one run of torch's the roundings are chance, and others on each processor: the worst of five.
    theirs = [of_torch(case, given) for given in (arrays, *(nudged(arrays, seed) for seed in range(4)))]
    worst = {name: max(relative_error(want[name], run[name]) for run in theirs) for name in want}
    # Below four ulp "twice torch's own error" compares noise.
    check_close(case, want, run(case, arrays), {name: max(2 * error, 5e-7) for name, error in worst.items()})


def of_torch(case, arrays):
    torch, cell = pytest.importorskip("torch"), case.cell
    kind = {"lstm": "LSTM", "gru_after": "GRU"}.get(cell, "RNN")
    extra = {"nonlinearity": cell.removeprefix("elman_")} if kind == "RNN" else {}
    peer = getattr(torch.nn, kind)(case.I, case.H, **extra)
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    peer.load_state_dict({f"{name}_l0": torch.from_numpy(arrays[name]) for name in names})
    x = torch.from_numpy(arrays["x"]).requires_grad_()
    state = [torch.from_numpy(part)[None].requires_grad_() for part in arrays["state"]]
    y, final = peer(x, tuple(state) if kind == "LSTM" else state[0])
    final = final if kind == "LSTM" else (final,)
    targets = (y, *final)
    torch.autograd.backward(targets, [torch.from_numpy(d).view_as(t) for d, t in zip(
        (arrays["d_output"], *arrays["d_state"]), targets, strict=True)])  # fmt: skip
    theirs = {"output": y.detach().numpy(), "d_x": x.grad.numpy()}
    for part, value, initial in zip("hc", final, state, strict=False):
        theirs |= {part: value[0].detach().numpy(), f"d_{part}0": initial.grad[0].numpy()}
    return theirs | {f"d_{name}": getattr(peer, f"{name}_l0").grad.numpy() for name in names}


@functools.cache
def calm(case):
    arrays = case.arrays()
    if "weight_hh" in arrays:
        arrays["weight_hh"] *= np.float32(0.5)  # chaos would amplify one rounding beyond any tolerance
    return arrays, reference(case, arrays)


@pytest.mark.slow
@pytest.mark.xdist_group("five thousand steps")
@each_dtype
@each_cell
def test_five_thousand_steps_stay_within_tolerance(cell, dtype):
    case = Case(cell, 5000, 1, 8, 64, dtype=dtype)
    arrays, want = calm(of_all_precisions(case))
    check_close(case, want, run(case, arrays))
