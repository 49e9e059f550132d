"""Saturation, infinities, emptiness, denormals, used tapes, forks: where kernels go wrong quietly."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from kernels.cases import CELL_NAMES, Case, make_layer, run

from rnnkit.errors import ArgumentError, ShapeError
from rnnkit.kernels import CELLS, Layer, _core

each_cell = pytest.mark.parametrize("cell", CELL_NAMES)


@each_cell
@pytest.mark.parametrize(("T", "B"), [(0, 3), (4, 0), (0, 0)])
def test_no_steps_or_no_rows_give_the_initial_state_and_zero_gradients(cell, T, B):
    case = Case(cell, T, B, 5, 18)
    arrays, results = case.arrays(), run(case)
    for n, part in enumerate(CELLS[cell].parts):
        assert np.array_equal(arrays["state"][n], results[part])
        assert np.array_equal(arrays["d_state"][n], results[f"d_{part}0"])
    assert results["output"].shape == (T, B, case.output_size)
    for name in CELLS[cell].parameters:
        assert not results[f"d_{name}"].any()


@each_cell
def test_a_batch_of_padding_alone_has_zero_gradients(cell):
    results = run(Case(cell, 4, 3, 5, 18, lengths=(0, 0, 0)))
    for name in ("output", "d_x", *(f"d_{name}" for name in CELLS[cell].parameters)):
        assert not results[name].any()


@each_cell
def test_no_state_is_a_state_of_zeros(cell):
    case = Case(cell, 4, 3, 5, 18)
    x, layer = case.arrays()["x"], make_layer(case)
    zeros = tuple(np.zeros((3, size), np.float32) for size in case.part_sizes)
    assert np.array_equal(layer.forward(x, zeros).output, layer.forward(x).output)
    by_name = dict(zip(CELLS[cell].parts, zeros, strict=True))
    assert np.array_equal(layer.forward(x, by_name).output, layer.forward(x).output)


# Gates driven to one end each, and the new state that this means, exactly.
SATURATED = [
    ("elman_tanh", {"h": 1}, lambda h, c: (np.ones_like(h),)),
    ("elman_tanh", {"h": -1}, lambda h, c: (-np.ones_like(h),)),
    ("lstm", {"i": -1, "f": 1, "g": 1, "o": -1}, lambda h, c: (np.zeros_like(h), c)),
    ("lstm", {"i": 1, "f": -1, "g": -1, "o": -1}, lambda h, c: (np.zeros_like(h), -np.ones_like(h))),
    ("lstm_peephole", {"i": -1, "f": 1, "g": 1, "o": -1}, lambda h, c: (np.zeros_like(h), c)),
    ("lstm_coupled", {"i": -1, "g": 1, "o": -1}, lambda h, c: (np.zeros_like(h), c)),
    ("lstm_coupled", {"i": 1, "g": -1, "o": -1}, lambda h, c: (np.zeros_like(h), -np.ones_like(h))),
    ("min_gru", {"z": 1, "n": 0}, lambda h, c: (h,)),
    ("min_lstm", {"i": -1, "f": 1, "g": 0}, lambda h, c: (h,)),
    ("gru_before", {"r": 1, "z": 1, "n": -1}, lambda h, c: (h,)),
    ("gru_before", {"r": -1, "z": -1, "n": 1}, lambda h, c: (np.ones_like(h),)),
    ("gru_after", {"r": 1, "z": 1, "n": -1}, lambda h, c: (h,)),
    ("gru_after", {"r": -1, "z": -1, "n": -1}, lambda h, c: (-np.ones_like(h),)),
]


@pytest.mark.parametrize("size", [200, 1e10, 3e38, np.inf])
@pytest.mark.parametrize(("cell", "signs", "want"), SATURATED)
def test_saturated_gates_are_exact_and_their_gradients_finite(cell, signs, want, size):
    arrays = Case(cell, 1, 3, 2, 20).arrays()
    driven = [signs[gate] * size if signs[gate] else 0 for gate in CELLS[cell].gates]
    weights = {name: arrays[name] for name in CELLS[cell].parameters if not name.startswith("bias")}
    layer = Layer(cell, **weights, bias_ih=np.repeat(np.array(driven, np.float32), 20))
    state = arrays["state"]
    unrolled = layer.forward(arrays["x"], state, keep_tape=True)
    for part, value in zip(want(state[0], state[-1]), unrolled.state, strict=True):
        assert np.array_equal(part, value)
    gradients = layer.backward(unrolled.tape, d_output=arrays["d_output"], d_state=arrays["d_state"])
    assert np.isfinite(gradients.x).all()
    assert all(np.isfinite(part).all() for part in gradients.state)


@each_cell
def test_nan_in_data_reaches_the_output(cell):
    case = Case(cell, 3, 2, 5, 18)
    arrays = case.arrays()
    arrays["x"][1, 0, 2] = np.nan
    assert np.isnan(make_layer(case).forward(arrays["x"]).output[1:, 0]).all()


@each_cell
def test_gradients_that_fade_into_denormals_are_flushed(cell):
    case = Case(cell, 200, 2, 5, 18, upstream=("last",))
    arrays = case.arrays()
    if "weight_hh" in arrays:
        arrays["weight_hh"] *= np.float32(0.1)
    arrays["d_output"] *= np.float32(1e-30)
    for value in run(case, arrays).values():
        assert not ((value != 0) & (np.abs(value) < np.finfo(np.float32).tiny)).any()


def test_the_callers_floating_point_mode_is_restored():
    tiny = np.float32(1e-40)
    for _ in range(2):
        run(Case("lstm", 9, 20, 70, 130))
        assert tiny * np.float32(0.5) != 0


@each_cell
def test_a_second_backward_on_one_tape_is_refused(cell):
    case = Case(cell, 3, 2, 5, 18)
    arrays, layer = case.arrays(), make_layer(case)
    unrolled = layer.forward(arrays["x"], keep_tape=True)
    layer.backward(unrolled.tape, d_output=arrays["d_output"])
    with pytest.raises(ArgumentError, match="run forward again"):
        layer.backward(unrolled.tape, d_output=arrays["d_output"])
    with pytest.raises(ArgumentError, match="another layer"):
        make_layer(case).backward(layer.forward(arrays["x"], keep_tape=True).tape)


@each_cell
def test_dx_can_be_left_out(cell):
    case = Case(cell, 3, 2, 5, 18)
    arrays, layer = case.arrays(), make_layer(case)
    with_dx, without = (
        layer.backward(layer.forward(arrays["x"], keep_tape=True).tape, d_output=arrays["d_output"], need_dx=need)
        for need in (True, False)
    )
    assert without.x is None
    assert np.array_equal(with_dx.weight_hh, without.weight_hh)


def test_results_outlive_layer_and_tape():
    case = Case("lstm", 3, 2, 5, 18)
    want = run(case)
    kept = [run(case) for _ in range(4)]
    for results in kept:
        for name, value in results.items():
            assert np.array_equal(want[name], value), name


def test_memory_is_used_again_and_given_back():
    case = Case("lstm", 30, 8, 64, 64)
    run(case)
    before = _core.memory_usage()
    for _ in range(5):
        run(case)
    assert _core.memory_usage()[:2] == before[:2]


def python(code: str, **environment: str) -> str:
    """What a fresh interpreter prints."""
    path = os.pathsep.join([str(p) for p in sys.path if p])
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=os.environ | {"PYTHONPATH": path} | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_forked_child_computes_with_a_pool_of_its_own():
    code = """
        import os, sys, numpy as np
        {imports}
        from kernels.cases import Case, make_layer, run
        from rnnkit.kernels import set_num_threads, _core
        set_num_threads(2)
        case = Case("lstm", 20, 40, 100, 130)
        make_layer(case).forward(case.arrays()["x"])
        parent_pool = _core.thread_pool()  # of the first call: a later one may have found the machine busy
        want = run(case)
        child = os.fork()
        if child == 0:
            same = all(np.array_equal(v, want[k]) for k, v in run(case).items())
            os._exit(0 if same and _core.thread_pool() == "own" else 1)
        same = all(np.array_equal(v, want[k]) for k, v in run(case).items())
        print(parent_pool, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), same)
    """
    assert python(code.format(imports="")) == "own 0 True"
    pytest.importorskip("torch")
    assert python(code.format(imports="import torch")) == "openmp 0 True"


def unaligned(array):
    return np.frombuffer(b"\0" + array.tobytes(), np.uint8)[1:].view(np.float32).reshape(array.shape)


@pytest.mark.parametrize(
    "other",
    [
        np.asfortranarray,
        lambda array: np.repeat(array, 2, axis=1)[:, ::2],
        unaligned,
        lambda array: array.view(np.matrix),
    ],
    ids=["fortran", "strided", "unaligned", "subclass"],
)
def test_a_step_reads_arrays_however_they_lie(other):
    layer, arrays = make_layer(case := Case("lstm", 2, 3, 8, 18)), case.arrays()
    x, state = arrays["x"][0], tuple(arrays["state"])
    output, after = layer.step(x, state)
    for got, got_after in (layer.step(other(x), state), layer.step(x, tuple(map(other, state)))):
        assert np.array_equal(got, output)
        assert all(map(np.array_equal, got_after, after))


def test_forward_and_backward_read_arrays_at_odd_addresses():
    case = Case("lstm", 7, 3, 8, 18)
    want = run(case)
    arrays = {name: value for name, value in case.arrays().items() if value is not None}
    odd = {name: tuple(map(unaligned, v)) if isinstance(v, tuple) else unaligned(v) for name, v in arrays.items()}
    for name, value in run(case, odd).items():
        assert np.array_equal(want[name], value), name


def test_a_step_refuses_what_lies_right_and_is_of_another_size():
    layer, arrays = make_layer(case := Case("lstm", 2, 3, 8, 18)), case.arrays()
    x, (h, c) = arrays["x"][0], arrays["state"]
    with pytest.raises(ShapeError, match=r"x has shape \[3, 7\]"):
        layer.step(np.ascontiguousarray(x[:, 1:]), (h, c))
    with pytest.raises(ShapeError, match=r"state.c has shape \[2, 18\]"):
        layer.step(x, (h, c[:2]))


def test_two_python_threads_at_once_give_the_same_bits():
    from concurrent.futures import ThreadPoolExecutor

    case = Case("gru_before", 20, 40, 60, 90)
    want = run(case)
    with ThreadPoolExecutor(4) as pool:
        for results in pool.map(lambda _: run(case), range(12)):
            assert all(np.array_equal(results[name], want[name]) for name in want)


def test_unknown_or_unsupported_instruction_sets_are_named_at_import():
    code = """
        import rnnkit.errors
        try:
            import rnnkit.kernels
        except rnnkit.errors.ConfigError as error:
            print(error)
    """
    assert "RNNKIT_ISA is 'mmx'" in python(code, RNNKIT_ISA="mmx")
    assert "RNNKIT_NUM_THREADS is 'many'" in python(code, RNNKIT_NUM_THREADS="many", RNNKIT_ISA="portable")
    show = "from rnnkit.kernels import isa, get_num_threads; print(isa(), get_num_threads())"
    assert python(show, RNNKIT_ISA="portable", RNNKIT_NUM_THREADS="3") == "portable 3"
