"""The gradient that is followed back through time is autograd's own, and its parts add up to it."""

import copy

import numpy as np
import pytest
import torch

from rnnkit.errors import ArgumentError
from rnnkit.explain import compare_cells, gradient_flow, pair_contributions
from rnnkit.explain.gradients import SHARE
from rnnkit.models.acceptor import Acceptor, AcceptorConfig
from rnnkit.models.generator import Generator, GeneratorConfig
from rnnkit.models.transducer import Transducer, TransducerConfig
from rnnkit.nn import spec

T = 19


def generator(cell: str = "lstm", **options: object) -> Generator:
    torch.manual_seed(3)
    return Generator(GeneratorConfig(8, embedding_size=4, cell=cell, hidden_size=6, **options))


def text() -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(8, (T + 1, 1), generator=torch.Generator().manual_seed(5))
    return ids[:-1], ids[1:]


@pytest.mark.parametrize("cell", spec.CELLS)
def test_the_pairs_of_every_cell_add_up_to_the_gradient_of_every_weight(cell: str) -> None:
    """Against the layers unwatched, in one backward pass: relative 1e-6 is asked, float64 gives far more."""
    model, (inputs, targets) = generator(cell, num_layers=2), text()
    plain = copy.deepcopy(model).double()
    plain.recurrent.backend = "spec"
    hidden, _ = plain(inputs)
    plain.loss(hidden, targets).sum().backward()
    for name, parameter in plain.recurrent.named_parameters():
        found = pair_contributions(model, inputs, targets, weight=name)
        error = np.linalg.norm(found.gradient - parameter.grad.numpy()) / np.linalg.norm(parameter.grad.numpy())
        assert error < 1e-10, name
        assert found.error < 1e-10
        assert found.shares.shape == (T, T)
        assert found.shares.sum() == pytest.approx(1, abs=1e-9)
        assert not np.triu(found.norms, 1).any()  # a step has no part in a loss before it


def test_the_default_weight_is_the_last_recurrent_one() -> None:
    assert pair_contributions(generator(num_layers=2), *text()).name == "weight_hh_l1"
    assert pair_contributions(generator("min_gru"), *text()).name == "weight_ih_l0"


def test_a_weight_that_is_not_there_is_told_which_are() -> None:
    with pytest.raises(ArgumentError, match=r"weight 'head\.weight' is none of weight_ih_l0, weight_hh_l0"):
        pair_contributions(generator(), *text(), weight="head.weight")


def test_norms_are_those_of_small_changes_of_a_state() -> None:
    """∂L/∂h_t by central differences: the model runs to t, its h is moved, and it runs on."""
    model, (inputs, targets) = generator(), text()
    flow = gradient_flow(model, inputs, targets)
    plain = copy.deepcopy(model).double()
    plain.recurrent.backend = "spec"
    for t in (0, 7, T - 1):
        with torch.no_grad():
            _, state = plain(inputs[: t + 1])
            slopes = []
            for unit in range(6):
                ends = []
                for move in (1e-6, -1e-6):
                    moved = state.map(torch.clone)
                    moved.layers[0]["h"][0, unit] += move
                    rest, _ = plain(inputs[t + 1 :], moved)
                    whole = torch.cat([moved.layers[0]["h"][None], rest])
                    ends.append(float(plain.loss(whole, targets[t:]).sum()))
                slopes.append((ends[0] - ends[1]) / 2e-6)
        assert flow.layers["l0"].norms[t] == pytest.approx(np.linalg.norm(slopes), rel=1e-5)


def test_the_losses_are_the_models_own() -> None:
    model, (inputs, targets) = generator(), text()
    hidden, _ = model(inputs)
    np.testing.assert_allclose(
        gradient_flow(model, inputs, targets).losses, model.loss(hidden, targets)[:, 0].detach().numpy(), rtol=1e-5
    )


def keeper(steps: int, *, keeps: float) -> tuple[float, int]:
    """‖∂L/∂h_k‖ falls by the same factor at every step of a min_gru whose update gate is the same everywhere."""
    torch.manual_seed(0)
    sizes = {"num_labels": 2, "vocab_size": 4, "embedding_size": 3, "hidden_size": 5}
    model = Acceptor(AcceptorConfig(**sizes, cell="min_gru", bidirectional=False))
    with torch.no_grad():
        model.recurrent.weight_ih_l0[:5] = 0
        model.recurrent.bias_ih_l0[:5] = float(np.log(keeps / (1 - keeps)))
    flow = gradient_flow(model, torch.ones(steps, 1, dtype=torch.int64), torch.tensor([[1]]))
    reach = flow.layers["l0"].reach[0]
    np.testing.assert_allclose(reach[:-1] / reach[1:], keeps, rtol=1e-6)
    products = flow.layers["l0"]
    np.testing.assert_allclose(products.largest, keeps ** np.array(products.distances), rtol=1e-6)
    np.testing.assert_allclose(products.median, keeps ** np.array(products.distances), rtol=1e-6)
    return flow.memory_length, flow.is_cut


@pytest.mark.parametrize("keeps", [0.5, 0.8, 0.9])
def test_the_memory_length_of_a_gate_that_keeps_a_known_share(keeps: float) -> None:
    wanted = next(n for n in range(1, 100) if 1 - keeps**n >= SHARE * (1 - keeps**100))
    assert keeper(100, keeps=keeps) == (wanted, False)


def test_a_memory_longer_than_the_input_says_so() -> None:
    length, is_cut = keeper(20, keeps=0.999)
    assert is_cut
    assert length == 19  # 95 % of 20 steps that count alike


def test_a_layer_that_reads_from_the_end_remembers_towards_the_start() -> None:
    torch.manual_seed(0)
    model = Acceptor(AcceptorConfig(num_labels=2, vocab_size=4, embedding_size=3, hidden_size=5))
    ids = torch.randint(4, (30, 1))
    flow = gradient_flow(model, ids, torch.tensor([[0]]))
    forward, backward = flow.layers["l0"].reach[0], flow.layers["l0_reverse"].reach[0]
    assert forward[-1] > 100 * forward[0]
    assert backward[0] > 100 * backward[-1]
    assert flow.memory_length < 20
    assert not flow.has_steps


def test_a_tagger_has_a_loss_at_every_step_on_both_sides() -> None:
    torch.manual_seed(0)
    model = Transducer(TransducerConfig(num_labels=3, vocab_size=4, embedding_size=3, hidden_size=5))
    flow = gradient_flow(model, torch.randint(4, (9, 1)), torch.randint(3, (9, 1)))
    assert flow.has_steps
    assert not np.triu(flow.layers["l0"].reach, 1).any()
    assert not np.tril(flow.layers["l0_reverse"].reach, -1).any()
    assert flow.layers["l0_reverse"].reach[2, 8] > 0


def test_no_step_is_refused() -> None:
    with pytest.raises(ArgumentError, match="no step"):
        gradient_flow(generator(), torch.zeros(0, 1, dtype=torch.int64), torch.zeros(0, 1, dtype=torch.int64))


def test_an_lstm_keeps_ten_thousand_million_times_what_an_elman_keeps() -> None:
    flows = {flow.name: flow for flow in compare_cells()}
    assert all(len(flow.norms) == 100 for flow in flows.values())
    assert flows["LSTM"].ratio >= 1e10 * flows["Elman"].ratio
    assert flows["Elman, orthogonal"].ratio > 1e10 * flows["Elman"].ratio


def test_an_orthogonal_elman_wins_where_its_units_stay_near_zero() -> None:
    flows = {flow.name: flow for flow in compare_cells(embedding_size=2)}
    assert flows["Elman, orthogonal"].ratio > flows["LSTM"].ratio
