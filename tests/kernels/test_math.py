"""exp, log, sigmoid and tanh against float64: the errors that csrc/simd/math.h states."""

import numpy as np
import pytest

from rnnkit.kernels import _core

TINY = np.finfo(np.float32).tiny
EXACT = {"exp": np.exp, "log": np.log, "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "tanh": np.tanh}
STATED_ULP = {"exp": 2, "log": 2, "sigmoid": 3, "tanh": 4}


def arguments(function: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    magnitudes = np.exp(rng.uniform(-80, 6, 400_000))
    if function == "log":
        near_one = 1 + rng.uniform(-0.5, 1, 400_000)
        return np.concatenate([magnitudes, near_one, np.exp(rng.uniform(-87, 88, 400_000))]).astype(np.float32)
    signs = rng.choice([-1, 1], magnitudes.size)
    return np.concatenate([magnitudes * signs, rng.uniform(-90, 90, 400_000)]).astype(np.float32)


@pytest.mark.parametrize("function", EXACT)
def test_the_stated_error_holds(function):
    x = arguments(function)
    with np.errstate(over="ignore"):
        want = EXACT[function](x.astype(np.float64))
    got = _core.apply_math(function, x).astype(np.float64)
    normal = (np.abs(want) > 1.5 * TINY) & (np.abs(want) < np.finfo(np.float32).max)
    ulp = np.spacing(np.abs(want[normal]).astype(np.float32)).astype(np.float64)
    error = np.abs(got[normal] - want[normal]) / ulp
    worst = error.argmax()
    assert error[worst] <= STATED_ULP[function], f"{function}({x[normal][worst]}): {error[worst]} ulp"


@pytest.mark.parametrize(
    ("function", "x", "want"),
    [
        ("exp", [-np.inf, -1e4, -87.5, 0, 89, np.inf], [0, 0, 0, 1, np.inf, np.inf]),
        ("log", [0, 1, np.inf, -1, -np.inf, 1e-40], [-np.inf, 0, np.inf, np.nan, np.nan, -np.inf]),
        ("sigmoid", [-np.inf, -3e38, -100, 0, 100, 3e38, np.inf], [0, 0, 0, 0.5, 1, 1, 1]),
        ("tanh", [-np.inf, -3e38, -20, 0, 20, 3e38, np.inf], [-1, -1, -1, 0, 1, 1, 1]),
    ],
)
def test_extreme_arguments_are_exact(function, x, want):
    np.testing.assert_array_equal(_core.apply_math(function, np.float32(x)), np.float32(want))


@pytest.mark.parametrize("function", EXACT)
def test_nan_and_only_nan_gives_nan(function):
    assert np.isnan(_core.apply_math(function, np.full(33, np.nan, np.float32))).all()
    x = np.float32([-np.inf, -3e38, -1e-40, 0, 1e-40, 3e38, np.inf])
    got = _core.apply_math(function, np.abs(x) if function == "log" else x)
    assert not np.isnan(got).any()


@pytest.mark.parametrize("function", ["sigmoid", "tanh", "exp"])
def test_results_never_leave_their_range(function):
    got = _core.apply_math(function, arguments(function))
    assert got.min() >= (-1 if function == "tanh" else 0)
    if function != "exp":
        assert got.max() <= 1
