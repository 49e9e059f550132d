"""Options of the time loop, for every cell: zoneout, the mask on the recurrent h, gates computed again, the trace."""

import numpy as np
import pytest
from kernels.cases import (
    CELL_NAMES,
    DTYPES,
    Case,
    check_close,
    check_equal,
    gate_weights,
    make_layer,
    reference,
    replace,
    run,
    step,
)

from rnnkit.errors import ArgumentError, DtypeError, ShapeError
from rnnkit.kernels import CELLS, Layer, _core

each_dtype = pytest.mark.parametrize("dtype", DTYPES)
each_cell = pytest.mark.parametrize("cell", CELL_NAMES)
OPTIONS = [
    {"zoneout": "share"},
    {"zoneout": "mask"},
    {"masked": True},
    {"zoneout": "mask", "masked": True},
]
each_option = pytest.mark.parametrize("option", OPTIONS, ids=str)
SHAPES = [(1, 2, 3, 1), (7, 3, 5, 9), (3, 25, 150, 33), (130, 2, 3, 17), (12, 30, 70, 65)]


@each_dtype
@each_option
@each_cell
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shapes(cell, shape, option, dtype):
    case = Case(cell, *shape, dtype=dtype, **option)
    check_close(case, reference(case), run(case))


@each_dtype
@each_option
@each_cell
@pytest.mark.parametrize("reverse", [False, True])
def test_ragged_lengths(cell, option, reverse, dtype):
    case = Case(cell, 7, 4, 5, 18, lengths=(7, 1, 0, 4), reverse=reverse, dtype=dtype, **option)
    check_close(case, reference(case), run(case))


@each_option
@each_cell
@pytest.mark.parametrize("upstream", [("output",), ("h",), ("c",), ("last",)], ids=str)
def test_each_upstream_gradient_alone(cell, option, upstream):
    steps = 7 if cell.startswith("elman") else 12  # Elman's gradient fades; its roundings do not
    case = Case(cell, steps, 3, 5, 18, upstream=upstream, **option)
    check_close(case, reference(case), run(case))


@each_cell
def test_zoneout_of_one_part_leaves_the_other(cell):
    for part in range(len(CELLS[cell].parts)):
        for kind in ("share", "mask"):
            case = Case(cell, 7, 3, 5, 18, zoneout=kind)
            arrays = case.arrays()
            arrays["zoneout"] = tuple(z if n == part else 0.0 for n, z in enumerate(arrays["zoneout"]))
            check_close(case, reference(case, arrays), run(case, arrays))


@each_cell
def test_a_mask_of_zeros_and_ones_is_exact(cell):
    """Nothing kept is the plain cell and everything kept is the initial state, bit for bit."""
    case = Case(cell, 7, 3, 5, 18)
    arrays, layer = case.arrays(), make_layer(case)
    plain = layer.forward(arrays["x"], arrays["state"])
    for none, everything in (
        [[fill((7, 3, size), bool) for size in case.part_sizes] for fill in (np.zeros, np.ones)],
        ([0.0] * len(arrays["state"]), [1.0] * len(arrays["state"])),
    ):
        assert np.array_equal(layer.forward(arrays["x"], arrays["state"], zoneout=none).output, plain.output)
        kept = layer.forward(arrays["x"], arrays["state"], zoneout=everything)
        for part, initial in zip(kept.state, arrays["state"], strict=True):
            assert np.array_equal(part, initial)
        assert np.array_equal(kept.output, np.broadcast_to(arrays["state"][0], (7, 3, case.output_size)))


@each_option
@each_cell
@pytest.mark.parametrize("shape", [(20, 37, 100, 130), (20, 5, 40, 300)], ids=["rows", "units"])
def test_threads_change_no_bit(cell, option, shape, threads):
    case = Case(cell, *shape, lengths=None, **option)
    threads(1)
    want = run(case)
    for count in (2, 3):
        threads(count)
        check_equal(want, run(case))


@each_cell
def test_zoneout_by_a_number_is_exact_in_chunks_and_step_by_step(cell):
    case = Case(cell, 9, 3, 5, 18, zoneout="share")
    arrays, layer = case.arrays(), make_layer(case)
    zoneout = arrays["zoneout"]
    want = layer.forward(arrays["x"], arrays["state"], zoneout=zoneout)
    first = layer.forward(arrays["x"][:4], arrays["state"], zoneout=zoneout)
    second = layer.forward(arrays["x"][4:], first.state, zoneout=zoneout)
    check_equal(
        {"y": want.output, "state": want.state},
        {"y": np.concatenate([first.output, second.output]), "state": second.state},
    )
    weights = {name: arrays[name] for name in CELLS[cell].parameters}
    kept, state = Layer(cell, **weights, zoneout=zoneout), arrays["state"]
    for t in range(9):
        y, state = kept.step(arrays["x"][t], state)
        assert np.array_equal(y, want.output[t])
    assert np.array_equal(kept.forward(arrays["x"], arrays["state"]).output, want.output)


# ---- gates computed again ----


@each_dtype
@each_cell
@pytest.mark.parametrize("option", [{}, {"zoneout": "mask", "masked": True}, {"ids": True}, {"bias": False}], ids=str)
@pytest.mark.parametrize("shape", [(7, 3, 5, 9), (0, 3, 5, 9), (700, 3, 5, 9), (60, 37, 20, 33)], ids=str)
def test_recompute_gives_the_same_bits(cell, shape, option, dtype):
    """Also where several windows are needed, whose ends fall inside a block of the weight gradient."""
    case = Case(cell, *shape, dtype=dtype, **option)
    check_equal(run(case), run(replace(case, recompute=True)))


@each_cell
@pytest.mark.parametrize("reverse", [False, True])
def test_recompute_gives_the_same_bits_with_lengths(cell, reverse):
    rng = np.random.default_rng(5)
    lengths = tuple(int(n) for n in rng.integers(0, 101, 41))
    case = Case(cell, 100, 41, 12, 20, lengths=lengths, reverse=reverse)
    check_equal(run(case), run(replace(case, recompute=True)))


@each_cell
@pytest.mark.parametrize("shape", [(90, 37, 100, 130), (400, 5, 40, 300)], ids=["rows", "units"])
def test_recompute_gives_the_same_bits_on_any_number_of_threads(cell, shape, threads):
    case = Case(cell, *shape)
    threads(1)
    want = run(case)
    for count in (1, 2, 3):
        threads(count)
        check_equal(want, run(replace(case, recompute=True)))


@each_cell
def test_the_bytes_of_a_tape_and_the_peak_of_backward_are_those_that_the_reference_states(cell):
    """docs/reference/layers.md, "Memory"."""
    T, B, I, H = 800, 16, 8, 128
    case = Case(cell, T, B, I, H)
    arrays, layer = case.arrays(), make_layer(case)
    gates = 4 * T * B * H * (len(CELLS[cell].gates) + (cell in ("gru_after", "min_lstm")))
    window = gates * (1024 + 256) // (T * B)
    is_projected = "weight_hr" in CELLS[cell].parameters
    more = ("c" in CELLS[cell].parts) + (cell == "gru_before") + is_projected  # c, r∘h or o∘tanh(c), beside the output
    rest = 4 * (T + 1) * B * (case.output_size + H * more)
    gradients = (
        4 * T * B * (I + is_projected * case.output_size)
    )  # dx, dh of all steps; those of the weights are small here
    for recompute, tape, most in ((False, gates + rest, 0), (True, rest, window)):
        before = _core.memory_usage()[0]
        unrolled = layer.forward(arrays["x"], arrays["state"], keep_tape=True, recompute=recompute)
        held = _core.memory_usage()[0] - before
        assert tape <= held < 1.15 * tape + 300_000  # sizes are rounded up to an eighth; row order and final states
        _core.reset_memory_peak()
        layer.backward(unrolled.tape, d_output=arrays["d_output"])
        peak = _core.memory_usage()[1] - before
        assert peak < 1.15 * (tape + most + gradients) + 1_500_000
        assert recompute or peak > gates
        del unrolled


# ---- the trace ----


@each_dtype
@each_cell
@pytest.mark.parametrize("lengths", [None, (7, 1, 0, 4)], ids=str)
@pytest.mark.parametrize("option", [{}, {"recompute": True}, {"zoneout": "mask", "masked": True}], ids=str)
def test_a_trace_holds_every_gate_and_part_by_name(cell, lengths, option, dtype):
    case = Case(cell, 7, 4, 5, 18, lengths=lengths, dtype=dtype, **option)
    arrays, layer = case.arrays(), make_layer(case)
    given = {name: arrays[name] for name in ("zoneout", "recurrent_mask")} | {"lengths": lengths}
    plain = layer.forward(arrays["x"], arrays["state"], **given)
    for keep in (False, True):
        kept = {"keep_tape": keep, "recompute": case.recompute}
        traced = layer.forward(arrays["x"], arrays["state"], trace=True, **given, **kept)
        assert np.array_equal(traced.output, plain.output)
        assert set(traced.trace) == {*CELLS[cell].gates, *CELLS[cell].parts}
        assert np.array_equal(traced.trace["h"], plain.output)
        check_trace(case, arrays, traced.trace)
        for name, part in zip(CELLS[cell].parts, traced.state, strict=True):
            for row, length in enumerate(case.row_lengths()):
                want = traced.trace[name][length - 1, row] if length else arrays["state"][0 if name == "h" else 1][row]
                assert np.array_equal(part[row], want), name
                assert not any(value[length:, row].any() for value in traced.trace.values())


def check_trace(case, arrays, trace):
    """Every step alone, from the traced state before it: which gate follows from which weights."""
    gates, parts = CELLS[case.cell][:2]
    limit = 5e-2 if case.dtype == "bf16" else 1e-5
    for row, length in enumerate(case.row_lengths()):
        before = [part[row] for part in arrays["state"]]
        for t in range(length):
            given = {"state": tuple(part[None] for part in before), "x": arrays["x"][t : t + 1, row : row + 1]}
            z = None if arrays["zoneout"] is None else tuple(z[t : t + 1, row : row + 1] for z in arrays["zoneout"])
            mask = None if arrays["recurrent_mask"] is None else arrays["recurrent_mask"][row : row + 1]
            one = replace(case, T=1, B=1, lengths=None)
            want = gates_of(one, arrays | given | {"zoneout": z, "recurrent_mask": mask})
            for name in gates:
                if name not in parts:
                    np.testing.assert_allclose(trace[name][t, row], want[name], rtol=limit, atol=limit, err_msg=name)
            before = [trace[name][t, row] for name in parts]


def gates_of(case, arrays):
    """The gates of one step of one row: the first rows of each gate's weights kept, the others' gates are constants."""
    weights = gate_weights(case, arrays)
    if arrays["recurrent_mask"] is not None:
        for weight in weights:
            weight.mask = arrays["recurrent_mask"][0]
    state = [np.asarray(part[0], np.float64) for part in arrays["state"]]
    _, kept = step(case.cell, weights, arrays["x"][0, 0], state)
    found = {"lstm": (3, "ifgo"), "gru_before": (2, "rzn"), "gru_after": (2, "rzn")}
    found |= {
        "lstm_peephole": (3, "ifgo"),
        "lstm_projected": (3, "ifgo"),
        "lstm_coupled": (3, "igo"),
        "min_gru": (2, "zn"),
        "min_lstm": (2, "ifg"),
    }
    if case.cell == "min_lstm":  # its gates are shown as they act
        x, h, i, f, g = kept
        kept = x, h, i / (i + f), f / (i + f), g
    if case.cell not in found:
        return {}
    first, order = found[case.cell]
    return dict(zip(order, kept[first : first + len(order)], strict=True))


# ---- refusals ----


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"zoneout": (0.1,)}, ArgumentError, "one entry for each of the 2 parts of the lstm"),
        ({"zoneout": (0.1, 1.5)}, ArgumentError, "zoneout.c must be a number in 0 .. 1"),
        ({"zoneout": (float("nan"), 0.0)}, ArgumentError, "zoneout.h must be a number in 0 .. 1"),
        ({"zoneout": (np.zeros((3, 2, 17), bool), 0.0)}, ShapeError, r"zoneout.h has shape \[3, 2, 17\]"),
        ({"zoneout": (np.zeros((3, 2, 18), np.float32), 0.0)}, DtypeError, "zoneout.h has dtype float32, want bool"),
        ({"recurrent_mask": np.ones((3, 18), np.float32)}, ShapeError, r"recurrent_mask has shape \[3, 18\]"),
        ({"recurrent_mask": np.ones((2, 18))}, DtypeError, "recurrent_mask has dtype float64"),
    ],
)
def test_wrong_options_are_named(options, error, message):
    case = Case("lstm", 3, 2, 5, 18)
    with pytest.raises(ArgumentError, match="give masks to forward"):
        make_layer(case)._core.set_zoneout((np.zeros((3, 2, 18), bool), 0.0))
    with pytest.raises(error, match=message):
        make_layer(case).forward(case.arrays()["x"], **options)


def test_a_mask_on_the_h_of_a_cell_that_multiplies_none_is_refused():
    with pytest.raises(ArgumentError, match="a layer of min_gru multiplies no h"):
        case = Case("min_gru", 3, 2, 5, 18)
        make_layer(case).forward(case.arrays()["x"], recurrent_mask=np.ones((2, 18), np.float32))
