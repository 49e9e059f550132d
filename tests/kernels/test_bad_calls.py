"""Bad arguments straight into the native core: each its own named error, none a crash."""

import numpy as np
import pytest

from rnnkit.errors import ArgumentError, DtypeError, ShapeError
from rnnkit.kernels import _core

T, B, I, H = 4, 3, 5, 6


def zeros(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


def lying(*shape, dtype=np.float32):
    """An array whose shape is much larger than the memory behind it."""
    return np.lib.stride_tricks.as_strided(np.zeros(1, dtype), shape, [0] * len(shape))


def weights(cell="lstm", gates=4, **other):
    given = {
        "cell": cell,
        "weight_ih": zeros(gates * H, I),
        "weight_hh": zeros(gates * H, H),
        "bias_ih": zeros(gates * H),
        "bias_hh": zeros(gates * H),
        "weight_peephole": None,
        "weight_hr": None,
        "norms": {},
        "precision": "fp32",
    }
    return given | other


OFF = {"recompute": False, "trace": False, "zoneout": None, "recurrent_mask": None}


def forward(**other):
    layer = _core.Layer(**weights())
    given = {"x": zeros(T, B, I), "state": None, "lengths": None, "reverse": False, "keep_tape": False}
    return layer.forward(**given | OFF | other)


def backward(**other):
    layer = _core.Layer(**weights())
    tape = layer.forward(zeros(T, B, I), None, None, False, True, **OFF)[2]
    return layer.backward(**{"tape": tape, "d_output": None, "d_state": None, "need_dx": True} | other)


def used_twice():
    layer = _core.Layer(**weights())
    tape = layer.forward(zeros(T, B, I), None, None, False, True, **OFF)[2]
    layer.backward(tape, None, None, True)
    layer.backward(tape, None, None, True)


def other_layers_tape():
    layers = [_core.Layer(**weights()) for _ in range(2)]
    layers[1].backward(layers[0].forward(zeros(T, B, I), None, None, False, True, **OFF)[2], None, None, True)


def pair(*shape, **kind):
    return (zeros(*shape, **kind), zeros(*shape, **kind))


BAD_LAYERS = {
    "unknown precision": (ArgumentError, {"precision": "fp8"}),
    "float64 in bf16": (DtypeError, {"precision": "bf16", "weight_ih": zeros(4 * H, I, dtype=np.float64)}),
    "unknown cell": (ArgumentError, {"cell": "lstn"}),
    "empty cell": (ArgumentError, {"cell": ""}),
    "weights of another cell": (ShapeError, {"cell": "gru_after"}),
    "cell with a NUL": (ArgumentError, {"cell": "lstm\0"}),
    "no weight_ih": (DtypeError, {"weight_ih": None}),
    "no weight_hh": (DtypeError, {"weight_hh": None}),
    "weight_ih a number": (DtypeError, {"weight_ih": 3.0}),
    "weight_ih a string": (DtypeError, {"weight_ih": "weights"}),
    "weight_ih a list": (DtypeError, {"weight_ih": [[0.0] * I] * 4 * H}),
    "weight_ih of rank 1": (ShapeError, {"weight_ih": zeros(4 * H)}),
    "weight_ih of rank 3": (ShapeError, {"weight_ih": zeros(4 * H, I, 1)}),
    "weight_ih of rank 0": (ShapeError, {"weight_ih": zeros()}),
    "weight_ih short of a row": (ShapeError, {"weight_ih": zeros(4 * H - 1, I)}),
    "weight_ih transposed": (ShapeError, {"weight_ih": zeros(I, 4 * H)}),
    "input size 0": (ShapeError, {"weight_ih": zeros(4 * H, 0)}),
    "hidden size 0": (ShapeError, {"weight_hh": zeros(0, 0), "weight_ih": zeros(0, I)}),
    "weight_hh not G*H rows": (ShapeError, {"weight_hh": zeros(H, H)}),
    "weight_hh with a column more": (ShapeError, {"weight_hh": zeros(4 * H, H + 1)}),
    "weight_hh whose H lies": (ShapeError, {"weight_hh": lying(4 * H, 2**40)}),
    "weight_hh of 2^62 bytes": (ShapeError, {"weight_hh": lying(2**30, 2**30)}),
    "weight_ih too large to copy": (ShapeError, {"weight_ih": lying(4 * H, 2**45)}),
    "weight_ih int32": (DtypeError, {"weight_ih": zeros(4 * H, I, dtype=np.int32)}),
    "weight_ih float16": (DtypeError, {"weight_ih": zeros(4 * H, I, dtype=np.float16)}),
    "weight_ih complex": (DtypeError, {"weight_ih": zeros(4 * H, I, dtype=np.complex64)}),
    "weight_ih bool": (DtypeError, {"weight_ih": zeros(4 * H, I, dtype=bool)}),
    "weight_ih of objects": (DtypeError, {"weight_ih": np.full((4 * H, I), None)}),
    "weight_hh float64 beside float32": (DtypeError, {"weight_hh": zeros(4 * H, H, dtype=np.float64)}),
    "bias_ih float64 beside float32": (DtypeError, {"bias_ih": zeros(4 * H, dtype=np.float64)}),
    "bias_ih too short": (ShapeError, {"bias_ih": zeros(4 * H - 1)}),
    "bias_ih of rank 2": (ShapeError, {"bias_ih": zeros(4, H)}),
    "bias_hh too long": (ShapeError, {"bias_hh": zeros(4 * H + 1)}),
    "bias_hh of rank 0": (ShapeError, {"bias_hh": zeros()}),
    "bias_hh empty": (ShapeError, {"bias_hh": zeros(0)}),
    "bias_hh a dict": (DtypeError, {"bias_hh": {}}),
    "peepholes of a cell without": (ArgumentError, {"weight_peephole": zeros(3 * H)}),
    "no peepholes": (DtypeError, {"cell": "lstm_peephole"}),
    "peepholes of four gates": (ShapeError, {"cell": "lstm_peephole", "weight_peephole": zeros(4 * H)}),
    "peepholes of rank 2": (ShapeError, {"cell": "lstm_peephole", "weight_peephole": zeros(3, H)}),
    "peepholes float64": (DtypeError, {"cell": "lstm_peephole", "weight_peephole": zeros(3 * H, dtype=np.float64)}),
    "weight_hr of a cell without": (ArgumentError, {"weight_hr": zeros(H, H)}),
    "no weight_hr": (DtypeError, {"cell": "lstm_projected"}),
    "weight_hr transposed": (
        ShapeError,
        {"cell": "lstm_projected", "weight_hh": zeros(4 * H, 4), "weight_hr": zeros(H, 4)},
    ),
    "a projection wider than the memory": (
        ShapeError,
        {"cell": "lstm_projected", "weight_hh": zeros(4 * H, H + 1), "weight_hr": zeros(H + 1, H)},
    ),
    "weight_hr float64": (DtypeError, {"cell": "lstm_projected", "weight_hr": zeros(H, H, dtype=np.float64)}),
    "weight_hh of a cell without": (ArgumentError, {"cell": "min_gru"}),
    "bias_hh of a cell without": (ArgumentError, {"cell": "min_gru", "weight_hh": None}),
    "rows of half a unit": (ShapeError, {"cell": "min_gru", "weight_ih": zeros(7, I), "weight_hh": None}),
    "no row": (ShapeError, {"cell": "min_lstm", "weight_ih": zeros(0, I), "weight_hh": None}),
}

BAD_FORWARDS = {
    "no x": (DtypeError, {"x": None}),
    "x a number": (DtypeError, {"x": 1.0}),
    "x a list": (DtypeError, {"x": [[[0.0] * I] * B] * T}),
    "x of rank 2": (ShapeError, {"x": zeros(T, I)}),
    "x of rank 4": (ShapeError, {"x": zeros(1, T, B, I)}),
    "x of another input size": (ShapeError, {"x": zeros(T, B, I + 1)}),
    "x of input size 0": (ShapeError, {"x": zeros(T, B, 0)}),
    "x float64": (DtypeError, {"x": zeros(T, B, I, dtype=np.float64)}),
    "x float16": (DtypeError, {"x": zeros(T, B, I, dtype=np.float16)}),
    "x bool": (DtypeError, {"x": zeros(T, B, I, dtype=bool)}),
    "x of strings": (DtypeError, {"x": np.full((T, B, I), "a")}),
    "x of 2^62 bytes": (ShapeError, {"x": lying(2**29, 2**29, I)}),
    "x too large to copy": (ShapeError, {"x": lying(2**20, 2**20, I)}),
    "T that overflows": (ShapeError, {"x": zeros(2**57, 0, I)}),
    "B that overflows": (ShapeError, {"x": zeros(0, 2**57, I)}),
    "T of ids that overflows": (ShapeError, {"x": zeros(2**62, 0, dtype=np.int8)}),
    "ids of rank 1": (ShapeError, {"x": zeros(T, dtype=np.int64)}),
    "ids of rank 3": (ShapeError, {"x": zeros(T, B, I, dtype=np.int64)}),
    "an id below 0": (ArgumentError, {"x": np.full((T, B), -1)}),
    "an id of I": (ArgumentError, {"x": np.full((T, B), I)}),
    "an id near the end of int64": (ArgumentError, {"x": np.full((T, B), 2**63 - 1)}),
    "an id in uint64": (DtypeError, {"x": np.full((T, B), 2**64 - 1, dtype=np.uint64)}),
    "ids too large to copy": (ShapeError, {"x": lying(2**24, 2**24, dtype=np.int64)}),
    "state an array": (DtypeError, {"state": zeros(B, H)}),
    "state a list": (DtypeError, {"state": list(pair(B, H))}),
    "state of one part": (ShapeError, {"state": (zeros(B, H),)}),
    "state of three parts": (ShapeError, {"state": (*pair(B, H), zeros(B, H))}),
    "state of another batch": (ShapeError, {"state": pair(B + 1, H)}),
    "state of another hidden size": (ShapeError, {"state": pair(B, H - 1)}),
    "state of rank 3": (ShapeError, {"state": pair(1, B, H)}),
    "state float64": (DtypeError, {"state": pair(B, H, dtype=np.float64)}),
    "state of integers": (DtypeError, {"state": pair(B, H, dtype=np.int32)}),
    "state of strings": (DtypeError, {"state": ("h", "c")}),
    "a wrong second part": (ShapeError, {"state": (zeros(B, H), zeros(B, H + 16))}),
    "lengths a number": (DtypeError, {"lengths": 4}),
    "lengths a list": (DtypeError, {"lengths": [4, 4, 4]}),
    "lengths of floats": (DtypeError, {"lengths": np.full(B, 4.0)}),
    "lengths of bools": (DtypeError, {"lengths": np.full(B, True)}),
    "lengths of rank 2": (ShapeError, {"lengths": np.full((B, 1), 4)}),
    "lengths of rank 0": (ShapeError, {"lengths": np.array(4)}),
    "too few lengths": (ShapeError, {"lengths": np.full(B - 1, 4)}),
    "too many lengths": (ShapeError, {"lengths": np.full(B + 1, 4)}),
    "a negative length": (ArgumentError, {"lengths": np.array([4, -1, 4])}),
    "a length above T": (ArgumentError, {"lengths": np.array([4, 5, 4])}),
    "a length far below 0": (ArgumentError, {"lengths": np.array([4, -(2**63), 4])}),
    "a length near the end of int64": (ArgumentError, {"lengths": np.array([2**63 - 1, 0, 0])}),
}

BAD_BACKWARDS = {
    "d_output a number": (DtypeError, {"d_output": 1.0}),
    "d_output of rank 2": (ShapeError, {"d_output": zeros(T, H)}),
    "d_output of another T": (ShapeError, {"d_output": zeros(T + 1, B, H)}),
    "d_output of another batch": (ShapeError, {"d_output": zeros(T, B - 1, H)}),
    "d_output of another hidden size": (ShapeError, {"d_output": zeros(T, B, H + 1)}),
    "d_output float64": (DtypeError, {"d_output": zeros(T, B, H, dtype=np.float64)}),
    "d_output of 2^62 bytes": (ShapeError, {"d_output": lying(2**30, 2**30, 1)}),
    "d_state of one part": (ShapeError, {"d_state": (None,)}),
    "d_state a dict": (DtypeError, {"d_state": {"h": None, "c": None}}),
    "d_state of another batch": (ShapeError, {"d_state": (None, zeros(B + 1, H))}),
    "d_state of another hidden size": (ShapeError, {"d_state": (zeros(B, 1), None)}),
    "d_state float64": (DtypeError, {"d_state": (None, zeros(B, H, dtype=np.float64))}),
}


def reported(error, call):
    with pytest.raises(error) as caught:
        call()
    assert type(caught.value) is error
    assert len(str(caught.value)) > 20
    return str(caught.value)


@pytest.mark.parametrize("name", BAD_LAYERS)
def test_bad_layers(name):
    error, given = BAD_LAYERS[name]
    reported(error, lambda: _core.Layer(**weights(**given)))


@pytest.mark.parametrize("name", BAD_FORWARDS)
def test_bad_forwards(name):
    error, given = BAD_FORWARDS[name]
    message = reported(error, lambda: forward(**given))
    assert any(word in message for word in ("x", "state", "lengths"))


@pytest.mark.parametrize("name", BAD_BACKWARDS)
def test_bad_backwards(name):
    error, given = BAD_BACKWARDS[name]
    assert next(iter(given)) in reported(error, lambda: backward(**given))


def test_tapes_that_do_not_fit():
    assert "second one" in reported(ArgumentError, used_twice)
    assert "another layer" in reported(ArgumentError, other_layers_tape)
    for other in (None, 3, object()):
        with pytest.raises(TypeError):
            backward(tape=other)


def test_a_failed_call_leaves_the_tape_usable():
    layer = _core.Layer(**weights())
    tape = layer.forward(zeros(T, B, I), None, None, False, True, **OFF)[2]
    reported(ShapeError, lambda: layer.backward(tape, zeros(T, B, H + 1), None, True))
    layer.backward(tape, zeros(T, B, H), None, True)


@pytest.mark.parametrize("count", [0, -1, 4097, 2**62])
def test_bad_thread_counts(count):
    reported(ArgumentError, lambda: _core.set_num_threads(count))


def test_float64_is_refused_outside_the_portable_build():
    given = {name: value.astype(np.float64) if hasattr(value, "astype") else value for name, value in weights().items()}
    if _core.isa() == "portable":
        _core.Layer(**given)
    else:
        assert "float64" in reported(DtypeError, lambda: _core.Layer(**given))


def test_empty_and_read_only_arrays_are_no_errors():
    x = zeros(T, B, I)
    x.flags.writeable = False
    forward(x=x)
    forward(x=zeros(0, B, I), state=pair(B, H))
    forward(x=zeros(T, 0, I), lengths=zeros(0, dtype=np.int64))
    forward(x=zeros(T, B, dtype=np.uint8), lengths=np.full(B, 2, np.int8))


def test_there_are_at_least_sixty_bad_calls():
    assert len(BAD_LAYERS) + len(BAD_FORWARDS) + len(BAD_BACKWARDS) >= 60
