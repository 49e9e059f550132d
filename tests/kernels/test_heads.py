"""Heads against float64, the bits they promise, and what a wrong call is told.

Over 400 lines because the file as a whole runs again under each instruction set.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels.cases import nudged

from rnnkit import kernels
from rnnkit.errors import ArgumentError, DtypeError, RnnkitError, ShapeError
from rnnkit.kernels import _core, heads

F = np.float32
# relative L2 of outputs, input gradients and weight gradients: the guide's numbers
TOLERANCE = {"fp32": (1e-6, 2e-6, 5e-6), "bf16": (1e-2, 1.5e-2, 2e-2)}
if kernels.isa() == "amx":  # elsewhere it is fp32
    TOLERANCE["fp32_split"] = TOLERANCE["fp32"]
OUTPUT, INPUT_GRADIENT, WEIGHT_GRADIENT = TOLERANCE["fp32"]
each_precision = pytest.mark.parametrize("precision", TOLERANCE)

# One of everything, then around the tile (6 rows, 16 columns), the block of the vocabulary (256) and of the rows (256).
SIZES = [
    (1, 1, 1),
    (3, 2, 1),
    (5, 7, 3),
    (33, 17, 65),
    (17, 64, 256),
    (255, 30, 257),
    (257, 16, 40),
    (300, 65, 1000),
    (1, 200, 3000),
    (1100, 24, 700),
]


def assert_close(name: str, want: np.ndarray, got: np.ndarray, tolerance: float) -> None:
    assert got.shape == want.shape and got.dtype == np.float32, f"{name}: {got.shape} {got.dtype}, want {want.shape}"
    error = np.linalg.norm(got - want) / max(float(np.linalg.norm(want)), 1e-30)
    assert error <= tolerance, f"{name}: relative error {error:.2e}, tolerance {tolerance:.0e}"


def problem(N: int, I: int, V: int, seed: int = 0):
    rng = np.random.default_rng([seed, N, I, V])
    return {
        "x": rng.standard_normal((N, I)).astype(np.float32),
        "weight": (rng.standard_normal((V, I)) / np.sqrt(I)).astype(np.float32),
        "bias": rng.standard_normal(V).astype(np.float32),
        "targets": rng.integers(0, V, N),
        "row_weights": (rng.random(N) + 0.1).astype(np.float32),
    }


def reference(x, weight, bias, targets, row_weights, smoothing=0.0):
    """Losses and gradients in float64, straight from the definition."""
    x, weight = x.astype(np.float64), weight.astype(np.float64)
    rows = np.arange(len(x))
    w = np.ones(len(x)) if row_weights is None else row_weights.astype(np.float64)
    logits = x @ weight.T + (0 if bias is None else bias.astype(np.float64))
    top = logits.max(axis=1, keepdims=True, initial=-np.inf)
    p = np.exp(logits - top)
    total = p.sum(axis=1, keepdims=True)
    wanted = np.full_like(logits, smoothing / len(weight))
    wanted[rows, targets] += 1 - smoothing
    losses = (np.log(total) + top)[:, 0] - (wanted * logits).sum(axis=1)
    d = p / total - wanted
    d *= w[:, None]
    return losses, d @ weight, d.T @ x, d.sum(axis=0)


def digest(arrays) -> str:
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()


def everything(seed: int = 1):
    """Results of every function at sizes that reach every tile, remainder and way of sharing work."""
    for N, I, V in [(1, 40, 70), (37, 33, 65), (300, 130, 900), (520, 24, 2100)]:
        p = problem(N, I, V, seed)
        dy = np.random.default_rng(seed).standard_normal((N, V)).astype(np.float32)
        yield heads.log_softmax(dy)
        for precision in TOLERANCE:
            yield heads.linear(p["x"], p["weight"], p["bias"], precision=precision)
            yield from heads.linear_backward(p["x"], p["weight"], dy, precision=precision)
            yield from heads.linear_cross_entropy(**p, precision=precision)
            yield from heads.linear_cross_entropy(**p, precision=precision, label_smoothing=0.1)
            yield heads.linear_cross_entropy(**p, need_grad=False, precision=precision).losses


@each_precision
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("with_bias", [True, False])
def test_linear_agrees_with_float64(size, with_bias, precision):
    p = problem(*size)
    bias = p["bias"] if with_bias else None
    want = p["x"].astype(np.float64) @ p["weight"].T.astype(np.float64) + (p["bias"] if with_bias else 0.0)
    got = heads.linear(p["x"], p["weight"], bias, precision=precision)
    assert_close("y", want, got, TOLERANCE[precision][0])
    packed = heads.PackedLinear(p["weight"], bias, precision=precision)
    assert (packed.input_size, packed.output_size) == size[1:]
    np.testing.assert_array_equal(packed(p["x"]), got)


def test_linear_has_the_bits_of_a_recurrent_layers_input_projection():
    p = problem(40, 300, 33)
    layer = kernels.Layer(
        "elman_relu", weight_ih=p["weight"], weight_hh=np.zeros((33, 33), F), bias_ih=p["bias"], bias_hh=np.zeros(33, F)
    )
    projected = layer.step(p["x"], None)[0]
    np.testing.assert_array_equal(projected, np.maximum(heads.linear(p["x"], p["weight"], p["bias"]), 0))


def test_linear_over_a_table_has_the_bits_of_linear_over_its_rows():
    p = problem(200, 30, 90)
    table = p["x"]
    ids = np.random.default_rng(0).integers(0, 200, 77)
    folded = heads.linear(table, p["weight"], p["bias"])[ids]
    np.testing.assert_array_equal(heads.linear(heads.embedding(ids, table), p["weight"], p["bias"]), folded)


@each_precision
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_linear_backward_agrees_with_float64(size, precision):
    p = problem(*size)
    dy = np.random.default_rng(1).standard_normal((size[0], size[2])).astype(np.float32)
    d = dy.astype(np.float64)
    got = heads.linear_backward(p["x"], p["weight"], dy, precision=precision)
    assert_close("dx", d @ p["weight"], got.x, TOLERANCE[precision][1])
    assert_close("dweight", d.T @ p["x"], got.weight, TOLERANCE[precision][2])
    assert_close("dbias", d.sum(axis=0), got.bias, TOLERANCE[precision][2])
    partial = heads.linear_backward(p["x"], p["weight"], dy, need_dx=False, with_bias=False, precision=precision)
    assert partial.x is None and partial.bias is None
    np.testing.assert_array_equal(partial.weight, got.weight)


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (7, 65), (5, 1024), (4, 1025), (2, 50_000)], ids=str)
def test_log_softmax_agrees_with_float64(size):
    logits = (5 * np.random.default_rng(0).standard_normal(size)).astype(np.float32)
    want = logits.astype(np.float64) - np.logaddexp.reduce(logits.astype(np.float64), axis=1, keepdims=True)
    got = heads.log_softmax(logits)
    assert_close("log-probabilities", want, got, OUTPUT)
    np.testing.assert_allclose(np.exp(got.astype(np.float64)).sum(axis=1), 1, atol=2e-6)


def test_log_softmax_holds_at_the_edges():
    inf = np.inf
    rows = np.array([[3e38, -3e38, 0], [-inf, 0, -inf], [0, np.nan, 0], [-300, -300, -300]], np.float32)
    got = heads.log_softmax(rows)
    np.testing.assert_array_equal(got[0], np.array([0, -inf, -3e38], np.float32))
    np.testing.assert_array_equal(got[1], [-inf, 0, -inf])
    assert np.isnan(got[2]).all()
    np.testing.assert_allclose(got[3], -np.log(3), rtol=1e-6)


@each_precision
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(("with_bias", "with_weights"), [(True, True), (False, False)])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_linear_cross_entropy_agrees_with_float64(size, with_bias, with_weights, precision, smoothing):
    if smoothing and size[2] == 1:
        pytest.skip("one token has the gradient 0, and no relative error")
    p = problem(*size)
    p["bias"] = p["bias"] if with_bias else None
    p["row_weights"] = p["row_weights"] if with_weights else None
    losses, dx, dweight, dbias = reference(**p, smoothing=smoothing)
    before = {name: None if a is None else a.copy() for name, a in p.items()}
    got = heads.linear_cross_entropy(**p, precision=precision, label_smoothing=smoothing)
    assert_close("losses", losses, got.losses, TOLERANCE[precision][0])
    assert_close("dx", dx, got.x, TOLERANCE[precision][1])
    assert_close("dweight", dweight, got.weight, TOLERANCE[precision][2])
    if with_bias:
        assert_close("dbias", dbias, got.bias, TOLERANCE[precision][2])
    else:
        assert got.bias is None
    for name, array in p.items():
        np.testing.assert_array_equal(array, before[name], err_msg=f"{name} was changed")
    alone = heads.linear_cross_entropy(**p, need_grad=False, precision=precision, label_smoothing=smoothing)
    assert alone[1:] == (None, None, None)
    np.testing.assert_array_equal(alone.losses, got.losses)


def test_linear_cross_entropy_is_never_worse_than_twice_torch():
    torch = pytest.importorskip("torch")
    p = problem(900, 128, 3000)

    def of_torch(p):
        x, weight, bias = (torch.tensor(p[n], requires_grad=True) for n in ("x", "weight", "bias"))
        logits = torch.nn.functional.linear(x, weight, bias)
        losses = torch.nn.functional.cross_entropy(logits, torch.tensor(p["targets"]), reduction="none")
        (losses * torch.tensor(p["row_weights"])).sum().backward()
        return [losses.detach(), x.grad, weight.grad, bias.grad]

    want, got = reference(**p), heads.linear_cross_entropy(**p)
    runs = [of_torch(given) for given in (p, *(nudged(p, seed) for seed in range(4)))]  # one alone is chance
    for name, w, o, *theirs in zip(("losses", "dx", "dweight", "dbias"), want, got, *runs, strict=True):
        error, torch_error = np.linalg.norm(o - w), max(np.linalg.norm(t.numpy() - w) for t in theirs)
        assert error <= 2 * torch_error + 1e-9, f"{name}: {error:.2e}, torch {torch_error:.2e}"


def test_chunks_of_rows_change_no_loss_and_no_dx():
    """At V = 50,000 a chunk has 256 rows: three chunks agree with float64 and each row with itself alone."""
    p = problem(600, 8, 50_000)
    got = heads.linear_cross_entropy(**p)
    for name, want, ours, tolerance in zip(
        ("losses", "dx", "dweight", "dbias"),
        reference(**p),
        got,
        (OUTPUT, INPUT_GRADIENT, WEIGHT_GRADIENT, WEIGHT_GRADIENT),
        strict=True,
    ):
        assert_close(name, want, ours, tolerance)
    for rows in (slice(0, 1), slice(250, 262), slice(511, 600)):
        part = {n: a[rows] if n in ("x", "targets", "row_weights") else a for n, a in p.items()}
        alone = heads.linear_cross_entropy(**part)
        np.testing.assert_array_equal(alone.losses, got.losses[rows])
        np.testing.assert_array_equal(alone.x, got.x[rows])


def test_the_logits_of_a_batch_are_never_whole_in_memory():
    code = (
        "import numpy as np; from rnnkit.kernels import _core, heads; x = np.ones((2000, 4), 'f');"
        "heads.linear_cross_entropy(x, np.ones((30_000, 4), 'f'), None, np.zeros(2000, int));"
        "print(_core.memory_usage()[1])"
    )
    peak = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    whole = 2000 * 30_000 * 4
    assert peak < 0.6 * whole, f"peak {peak} bytes, the logits alone are {whole}"


@each_precision
@pytest.mark.parametrize("size", [(40, 12, 30), (600, 20, 300)], ids=str)
def test_a_row_of_weight_zero_counts_nothing_even_when_it_is_nan(size, precision):
    p = problem(*size)
    dead = np.random.default_rng(3).random(size[0]) < 0.4
    dead[[0, -1]] = True
    p["row_weights"][dead] = 0
    clean = heads.linear_cross_entropy(**p, precision=precision)
    p["x"][dead] = np.nan
    p["targets"][dead] = -100
    dirty = heads.linear_cross_entropy(**p, precision=precision)
    kept = {n: a[~dead] if n in ("x", "targets", "row_weights") else a for n, a in p.items()}
    without = heads.linear_cross_entropy(**kept, precision=precision)
    for a, b in zip(clean, dirty, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (dirty.losses[dead] == 0).all() and (dirty.x[dead] == 0).all()
    np.testing.assert_array_equal(dirty.losses[~dead], without.losses)
    np.testing.assert_array_equal(dirty.x[~dead], without.x)
    np.testing.assert_array_equal(dirty.weight, without.weight)
    np.testing.assert_array_equal(dirty.bias, without.bias)


@each_precision
@pytest.mark.parametrize("N", [0, 5])
def test_no_row_that_counts_means_loss_zero_and_gradient_zero(N, precision):
    p = problem(N, 6, 20)
    p["row_weights"][:] = 0
    for result in heads.linear_cross_entropy(**p, precision=precision):
        assert (result == 0).all()
    gradients = heads.linear_backward(p["x"], p["weight"], np.zeros((N, 20), np.float32))
    assert gradients.x.shape == (N, 6) and (gradients.weight == 0).all() and (gradients.bias == 0).all()
    assert heads.linear(p["x"], p["weight"], precision=precision).shape == (N, 20)
    assert heads.log_softmax(np.zeros((N, 3), np.float32)).shape == (N, 3)


def test_a_nan_row_is_reported_as_it_is_and_leaves_its_neighbours_alone():
    p = problem(50, 20, 300)
    clean = heads.linear_cross_entropy(**p)
    p["x"][7, 3] = np.nan
    p["x"][9, 1] = np.inf
    dirty = heads.linear_cross_entropy(**p)
    others = np.delete(np.arange(50), [7, 9])
    assert not np.isfinite(dirty.losses[[7, 9]]).any()
    np.testing.assert_array_equal(dirty.losses[others], clean.losses[others])
    np.testing.assert_array_equal(dirty.x[others], clean.x[others])
    y, was = heads.linear(p["x"], p["weight"]), heads.linear(np.nan_to_num(p["x"]), p["weight"])
    np.testing.assert_array_equal(y[others], was[others])


def test_a_forbidden_token_has_probability_zero():
    p = problem(9, 5, 600)
    p["bias"][300:560] = -np.inf  # a whole block of the vocabulary and more
    p["targets"] = p["targets"] % 300
    small = {**p, "weight": np.delete(p["weight"], np.s_[300:560], 0), "bias": np.delete(p["bias"], np.s_[300:560])}
    got, want = heads.linear_cross_entropy(**p), reference(**small)
    assert_close("losses", want[0], got.losses, OUTPUT)
    assert_close("dx", want[1], got.x, INPUT_GRADIENT)
    assert (got.weight[300:560] == 0).all() and (got.bias[300:560] == 0).all()


@settings(max_examples=25)
@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 70), st.integers(1, 300)),
    cut=st.floats(0, 1),
    scale=st.sampled_from([1e-3, 1.0, 30.0]),
)
def test_a_row_depends_on_nothing_but_its_own_input(size, cut, scale):
    p = problem(*size)
    p["x"] *= np.float32(scale)
    rows = slice(int(cut * size[0]), size[0])
    part = {n: a[rows] if n in ("x", "targets", "row_weights") else a for n, a in p.items()}
    whole, alone = heads.linear_cross_entropy(**p), heads.linear_cross_entropy(**part)
    np.testing.assert_array_equal(whole.losses[rows], alone.losses)
    np.testing.assert_array_equal(whole.x[rows], alone.x)
    y = heads.linear(p["x"], p["weight"], p["bias"])
    np.testing.assert_array_equal(y[rows], heads.linear(part["x"], p["weight"], p["bias"]))
    np.testing.assert_array_equal(heads.log_softmax(y)[rows], heads.log_softmax(y[rows]))


def test_the_number_of_threads_changes_no_bit(threads):
    threads(1)
    want = digest(everything())
    for count in (2, 3, 7):
        threads(count)
        assert digest(everything()) == want, f"{count} threads"


@pytest.mark.parametrize("isa", ["amx", "avx512bf16", "avx512", "avx2", "portable"])
def test_every_instruction_set_keeps_the_promises(isa):
    """The tests above once more, in an interpreter where this instruction set is forced."""
    if os.environ.get("RNNKIT_ISA"):
        pytest.skip("already inside such an interpreter")
    environment = {**os.environ, "RNNKIT_ISA": isa}
    if isa == kernels.isa():
        pytest.skip("this interpreter is one")
    probe = [sys.executable, "-c", "from rnnkit import kernels"]
    if b"does not support" in subprocess.run(probe, env=environment, capture_output=True, check=False).stderr:
        pytest.skip(f"this processor has no {isa}")
    chosen = "float64 or bits or chain or zero or alone or nan or edges or draws or depends or threads"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", chosen]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]


def test_instruction_sets_draw_the_same_tokens():
    """Sampling is the one thing whose bits do not depend on the machine."""
    code = (
        "import numpy as np; from rnnkit.kernels.decode import sample; r = np.random.default_rng(0);"
        "x = (3 * r.standard_normal((200, 777))).astype('f');"
        "print(sample(x, seed=1, streams=np.arange(200), step=3, temperature=0.9, top_p=0.95).tolist())"
    )
    seen = {}
    for isa in ("amx", "avx512bf16", "avx512", "avx2", "portable"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "RNNKIT_ISA": isa},
            capture_output=True,
            text=True,
            check=False,
        )
        if "does not support" not in done.stderr:
            assert done.returncode == 0, done.stderr
            seen[isa] = done.stdout
    assert len(set(seen.values())) == 1, f"{sorted(seen)} disagree"


def test_embedding_takes_rows():
    table = np.random.default_rng(0).standard_normal((30, 7)).astype(np.float32)
    ids = np.array([3, 0, 29, 3])
    for dtype in (np.int64, np.int32, np.uint16, np.uint8):
        np.testing.assert_array_equal(heads.embedding(ids.astype(dtype), table), table[ids])


def test_strided_inputs_and_torch_tensors_give_the_same_bits():
    torch = pytest.importorskip("torch")
    p = problem(20, 10, 30)
    want = heads.linear_cross_entropy(**p)
    wide = np.zeros((40, 21), np.float32)
    wide[::2, 1::2] = p["x"]
    for other in (
        {**p, "x": wide[::2, 1::2], "weight": np.asfortranarray(p["weight"])},
        {name: torch.from_numpy(a) for name, a in p.items()},
        {**p, "targets": p["targets"].astype(np.int32), "bias": np.repeat(p["bias"], 2)[::2]},
    ):
        for a, b in zip(want, heads.linear_cross_entropy(**other), strict=True):
            np.testing.assert_array_equal(a, b)
    expanded = heads.linear(np.broadcast_to(p["x"][:1], (4, 10)), p["weight"])
    np.testing.assert_array_equal(expanded, np.repeat(heads.linear(p["x"][:1], p["weight"]), 4, axis=0))


X, W, B, T = np.zeros((3, 4), F), np.zeros((5, 4), F), np.zeros(5, F), np.zeros(3, int)
DY = np.zeros((3, 5), F)
BAD_CALLS = [
    (heads.linear, (X[0], W), ShapeError, r"x has shape \[4\]"),
    (heads.linear, (X[None], W), ShapeError, "x has shape"),
    (heads.linear, (X[:, :3], W), ShapeError, "x's last axis is 3, wanted 4"),
    (heads.linear, (X.astype(float), W), DtypeError, "x has dtype float64"),
    (heads.linear, (X, W.astype(np.float16)), DtypeError, "weight has dtype float16"),
    (heads.linear, (X, W[:0]), ShapeError, "weight has shape"),
    (heads.linear, (X[:, :0], W[:, :0]), ShapeError, "weight has shape"),
    (heads.linear, (X, W[0]), ShapeError, "weight has shape"),
    (heads.linear, (X, W, B[:4]), ShapeError, "the length of bias is 4, wanted 5"),
    (heads.linear, (X, W, B[None]), ShapeError, "bias has shape"),
    (heads.linear, ([[1.0]], W), DtypeError, "x is a list"),
    (heads.linear, (None, W), DtypeError, "x is a NoneType"),
    (heads.linear, (X, "w"), DtypeError, "weight is a str"),
    (
        lambda: heads.linear(X, W, precision="fp8"),
        (),
        ArgumentError,
        "precision is 'fp8', want 'fp32', 'fp32_split' or 'bf16'",
    ),
    (heads.PackedLinear, (W[0], B), ShapeError, "weight has shape"),
    (heads.PackedLinear, (W, T), DtypeError, "bias has dtype int64"),
    (heads.PackedLinear(W, B), (X[:, :2],), ShapeError, "x's last axis is 2"),
    (heads.PackedLinear(W, B), (X.astype(complex),), DtypeError, "x has dtype"),
    (heads.linear_backward, (X, W, DY[:2]), ShapeError, "d_y's first axis is 2, wanted 3"),
    (heads.linear_backward, (X, W, DY[:, :4]), ShapeError, "d_y's last axis is 4, wanted 5"),
    (heads.linear_backward, (X, W, None), DtypeError, "d_y is a NoneType"),
    (heads.log_softmax, (B,), ShapeError, "logits has shape"),
    (heads.log_softmax, (X[:, :0],), ShapeError, "no columns"),
    (heads.log_softmax, (T,), ShapeError, "logits has shape"),
    (heads.log_softmax, (X.astype(np.int32),), DtypeError, "logits has dtype int32"),
    (heads.linear_cross_entropy, (X, W, B, np.array([0, 5, 0])), ArgumentError, "targets is 5 in row 1"),
    (heads.linear_cross_entropy, (X, W, B, np.array([0, 0, -1])), ArgumentError, "targets is -1 in row 2"),
    (heads.linear_cross_entropy, (X, W, B, np.array([0, 2**40, 0])), ArgumentError, "targets is 1099511627776"),
    (heads.linear_cross_entropy, (X, W, B, T[:2]), ShapeError, "the length of targets is 2, wanted 3"),
    (heads.linear_cross_entropy, (X, W, B, T.astype(F)), DtypeError, "targets has dtype float32"),
    (heads.linear_cross_entropy, (X, W, B, T.astype(bool)), DtypeError, "targets has dtype bool"),
    (heads.linear_cross_entropy, (X, W, B, T[:, None]), ShapeError, "targets has shape"),
    (heads.linear_cross_entropy, (X, W, B, T, np.ones(2, F)), ShapeError, "the length of row_weights is 2"),
    (heads.linear_cross_entropy, (X, W, B, T, np.ones(3)), DtypeError, "row_weights has dtype float64"),
    (heads.linear_cross_entropy, (X, W, B, None), DtypeError, "targets is a NoneType"),
    (heads.linear_cross_entropy, (X[:, 1:], W, B, T), ShapeError, "x's last axis is 3"),
    (heads.embedding, (np.array([0, 3]), X), ArgumentError, "ids is 3 at 1, wanted 0 to 2"),
    (heads.embedding, (np.array([-1]), X), ArgumentError, "ids is -1 at 0"),
    (heads.embedding, (np.array([0.0]), X), DtypeError, "ids has dtype float64"),
    (heads.embedding, (np.array([[0]]), X), ShapeError, "ids has shape"),
    (heads.embedding, (T, B), ShapeError, "table has shape"),
]


@pytest.mark.parametrize(("function", "arguments", "error", "message"), BAD_CALLS, ids=[str(c[3]) for c in BAD_CALLS])
def test_a_bad_call_is_told_what_is_wrong(function, arguments, error, message):
    with pytest.raises(error, match=message) as caught:
        function(*arguments)
    assert isinstance(caught.value, RnnkitError)


def test_sizes_beyond_memory_are_refused_before_anything_is_allocated():
    def strided(*shape):
        return np.lib.stride_tricks.as_strided(np.zeros(1, F), shape, (0,) * len(shape))

    held = _core.memory_usage()
    for function, arguments in (
        (heads.linear, (strided(2**50, 4), W)),
        (heads.log_softmax, (strided(2**30, 2**29),)),
        (heads.embedding, (T, strided(2**40, 2**20))),
        (heads.linear_cross_entropy, (strided(2**55, 4), W, B, T)),
    ):
        with pytest.raises(ShapeError, match=r"more than memory can hold|cannot be copied"):
            function(*arguments)
    assert _core.memory_usage() == held


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, float("nan")])
def test_a_smoothing_that_is_no_share_is_named(smoothing):
    with pytest.raises(ArgumentError, match="label_smoothing is"):
        heads.linear_cross_entropy(X, W, B, T, label_smoothing=smoothing)


def test_smoothed_rows_of_weight_0_are_not_read():
    p = problem(50, 20, 300)
    p["row_weights"][::3] = 0
    clean = heads.linear_cross_entropy(**p, label_smoothing=0.2)
    p["x"][::3] = np.nan
    for want, got in zip(clean, heads.linear_cross_entropy(**p, label_smoothing=0.2), strict=True):
        np.testing.assert_array_equal(want, got)
    assert not clean.losses[::3].any() and not clean.x[::3].any()
