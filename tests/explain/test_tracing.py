"""A trace is every gate and state part of the model that runs, by names that a person can write."""

import time

import numpy as np
import pytest
import torch

from rnnkit.errors import ArgumentError
from rnnkit.explain import trace
from rnnkit.models.acceptor import Acceptor, AcceptorConfig
from rnnkit.models.generator import Generator, GeneratorConfig
from rnnkit.nn import spec


@pytest.mark.parametrize("cell", spec.CELLS)
def test_what_is_traced_are_the_equations_of_the_cell(cell: str) -> None:
    torch.manual_seed(0)
    model = Generator(GeneratorConfig(9, embedding_size=4, cell=cell, hidden_size=6))
    ids = torch.randint(9, (12, 1))
    found = trace(model, ids)
    assert [*found.layers] == ["l0"]
    weights = {name.removesuffix("_l0"): value for name, value in model.recurrent.named_parameters()}
    wanted: dict[str, torch.Tensor] = {}
    spec.unroll(spec.CELLS[cell], model.embedding.weight[ids], weights=weights, trace=wanted)
    assert found.layers["l0"].keys() == wanted.keys()
    for name, values in wanted.items():
        np.testing.assert_allclose(found.layers["l0"][name], values[:, 0].numpy(), rtol=2e-5, atol=2e-6, err_msg=name)


def test_layers_and_directions_go_by_the_names_of_their_parameters() -> None:
    model = Acceptor(AcceptorConfig(num_labels=2, vocab_size=5, embedding_size=3, hidden_size=4, num_layers=2))
    found = trace(model, torch.tensor([[1], [2], [3]]))
    assert [*found.layers] == ["l0", "l0_reverse", "l1", "l1_reverse"]
    assert found.unit("l1_reverse.c.2").tolist() == found.layers["l1_reverse"]["c"][:, 2].tolist()


def test_a_trace_leaves_the_model_in_the_mode_it_was_in() -> None:
    model = Generator(GeneratorConfig(9, hidden_size=6, output_dropout=0.5))
    ids = torch.randint(9, (5, 1))
    model.train()
    first, second = trace(model, ids), trace(model, ids)
    assert model.training
    np.testing.assert_array_equal(first.unit("l0.h.1"), second.unit("l0.h.1"))


@pytest.mark.parametrize("name", ["l1.h.0", "l0.x.0", "l0.h.6", "l0.h", "h", "", "l0.h.-1", "l0.h.one"])
def test_a_unit_that_is_not_there_is_told_what_is(name: str) -> None:
    found = trace(Generator(GeneratorConfig(9, hidden_size=6)), torch.tensor([[1], [2]]))
    with pytest.raises(ArgumentError, match=r"unit '.*' does not exist: there are layers l0, values i, f, g, o, h, c"):
        found.unit(name)


def test_the_units_that_vary_most_come_first() -> None:
    model = Generator(GeneratorConfig(9, hidden_size=6))
    with torch.no_grad():
        for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
            getattr(model.recurrent, name).zero_()
        model.recurrent.weight_ih_l0.view(4, 6, 9)[2, 4] = torch.randn(9) * 5  # the candidate of unit 4 alone
    found = trace(model, torch.arange(9)[:, None])
    assert {*found.most_varied(2)} == {"l0.h.4", "l0.c.4"}


@pytest.mark.slow
def test_a_trace_takes_at_most_twice_a_forward_pass() -> None:
    """Timed, and so among the slow ones: the least of several runs of each, in turns."""
    torch.manual_seed(0)
    model = Generator(GeneratorConfig(200, embedding_size=128, hidden_size=256, num_layers=2)).eval()
    ids = torch.randint(200, (500, 1))
    plain, traced = [], []
    with torch.no_grad():
        for _ in range(7):
            started = time.perf_counter()
            model(ids)
            between = time.perf_counter()
            trace(model, ids)
            plain.append(between - started)
            traced.append(time.perf_counter() - between)
    assert min(traced) <= 2 * min(plain)
