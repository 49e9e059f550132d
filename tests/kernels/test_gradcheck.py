"""Gradients of the native core against its own central differences, in float64: the portable build alone has it."""

import numpy as np
import pytest
from kernels.cases import CELL_NAMES, Case, make_layer, parameters, run

from rnnkit.kernels import isa

pytestmark = pytest.mark.skipif(isa() != "portable", reason="float64 is in the portable build only; see test_isa.py")

EPS = 1e-6


def objective(case, arrays):
    unrolled = make_layer(case, arrays).forward(
        arrays["x"],
        arrays["state"],
        lengths=case.lengths,
        reverse=case.reverse,
        zoneout=arrays["zoneout"],
        recurrent_mask=arrays["recurrent_mask"],
    )
    total = (unrolled.output * arrays["d_output"]).sum()
    return total + sum((part * d).sum() for part, d in zip(unrolled.state, arrays["d_state"], strict=True))


@pytest.mark.parametrize("cell", CELL_NAMES)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"lengths": (4, 0, 2)},
        {"reverse": True, "lengths": (1, 4, 3)},
        {"bias": False},
        {"ids": True},
        {"zoneout": "share"},
        {"zoneout": "mask", "masked": True, "lengths": (4, 0, 2)},
        {"normed": True},
        {"normed": True, "bias": False, "ids": True},
        {"normed": True, "zoneout": "mask", "masked": True, "reverse": True, "lengths": (4, 0, 2)},
    ],
    ids=str,
)
def test_gradients_are_the_central_differences(cell, options):
    case = Case(cell, 4, 3, 3, 5, dtype="float64", **options)
    arrays = case.arrays()
    for row, length in enumerate(case.row_lengths()):
        arrays["d_output"][length:, row] = 0
    got = run(case, arrays)
    named = {f"d_{name}": arrays[name] for name in parameters(case)}
    named |= {f"d_{part}0": value for part, value in zip("hc", arrays["state"], strict=False)}
    named |= {} if case.ids else {"d_x": arrays["x"]}
    for name, value in named.items():
        if value is None:
            continue
        want = np.zeros_like(value)
        for at in np.ndindex(value.shape):
            kept = value[at]
            value[at] = kept + EPS
            above = objective(case, arrays)
            value[at] = kept - EPS
            want[at] = (above - objective(case, arrays)) / (2 * EPS)
            value[at] = kept
        np.testing.assert_allclose(got[name], want, rtol=1e-6, atol=1e-8, err_msg=f"{case}: {name}")
