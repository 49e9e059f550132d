"""Layers and cells against a loop written on its own, on every backend."""

import pytest
import torch
from parity import CELLS, Case, check_layer, suite


@pytest.mark.parametrize("case", suite(), ids=str)
def test_native_agrees_with_the_reference_in_every_tensor(case):
    check_layer(case, backend="native")


@pytest.mark.parametrize("case", suite(), ids=str)
def test_spec_agrees_with_the_reference_in_float64(case):
    check_layer(case, backend="spec", dtype=torch.float64)


@pytest.mark.parametrize("cell", CELLS)
def test_no_steps_give_back_the_initial_state(cell):
    for backend in ("native", "spec"):
        check_layer(Case(cell, T=0, bidirectional=True), backend=backend)
