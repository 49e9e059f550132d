"""Fixed points, exponents and paths of layers whose dynamics are known."""

import numpy as np
import pytest
import torch

from rnnkit.explain import dynamics
from rnnkit.models.generator import Generator, GeneratorConfig
from rnnkit.models.transducer import Transducer, TransducerConfig
from rnnkit.nn import spec


def latch(strength: float, *, hidden_size: int = 1) -> Transducer:
    """tanh(strength · h) of each unit by itself: beyond 1 it has three fixed points, below it 0 alone."""
    sizes = {"num_labels": 2, "input_size": 1, "cell": "elman_tanh", "bidirectional": False}
    model = Transducer(TransducerConfig(hidden_size=hidden_size, **sizes))
    with torch.no_grad():
        for parameter in model.recurrent.parameters():
            parameter.zero_()
        model.recurrent.weight_hh_l0.copy_(strength * torch.eye(hidden_size))
        model.recurrent.weight_ih_l0.fill_(1.0)
    return model


def test_a_latch_has_a_stable_point_on_the_side_it_is_on() -> None:
    """h = tanh(2h) at ±0.9575; the slope there is 2(1 − h²)."""
    inputs = torch.tensor([3.0] + [0.0] * 30 + [-6.0] + [0.0] * 29 + [3.0])[:, None, None]  # mean 0
    found = dynamics(latch(2.0), inputs)
    assert found is not None
    at = sorted(float(point.state[0]) for point in found.points)
    assert at == pytest.approx([-0.957504, 0.957504], abs=1e-5)
    for point in found.points:
        assert point.is_stable
        assert point.radius == pytest.approx(2 * (1 - 0.957504**2), rel=1e-4)
        assert point.speed < 1e-8
    assert found.explained == pytest.approx(1)
    assert found.lyapunov < 0


def test_what_forgets_falls_to_zero_at_its_own_rate() -> None:
    found = dynamics(latch(0.5, hidden_size=3), torch.zeros(40, 1, 1))
    assert found is not None
    (point,) = found.points
    np.testing.assert_allclose(point.state, 0, atol=1e-9)
    assert point.radius == pytest.approx(0.5)
    assert found.lyapunov == pytest.approx(np.log(0.5))


def test_a_point_between_two_valleys_is_unstable() -> None:
    found = dynamics(latch(2.0), torch.zeros(40, 1, 1))  # the state starts at 0, and stays
    assert found is not None
    (point,) = found.points
    assert (point.is_stable, point.num_unstable) == (False, 1)
    assert point.radius == pytest.approx(2)
    assert found.lyapunov == pytest.approx(np.log(2))


@pytest.mark.parametrize("cell", spec.CELLS)
def test_every_cell_has_a_path_and_its_fixed_points_stay(cell: str) -> None:
    torch.manual_seed(1)
    model = Generator(GeneratorConfig(7, embedding_size=3, cell=cell, hidden_size=5, num_layers=2))
    found = dynamics(model, torch.randint(7, (20, 1)))
    assert found is not None
    assert found.layer == "l1"
    assert found.path.shape == (20, 2)
    assert found.path.mean(0) == pytest.approx([0, 0], abs=1e-9)
    assert 0 < found.explained <= 1 + 1e-9
    assert all(point.speed < 1e-6 for point in found.points)


def test_too_wide_a_state_or_too_short_an_input_is_left_out() -> None:
    assert dynamics(Generator(GeneratorConfig(4, hidden_size=300)), torch.zeros(9, 1, dtype=torch.int64)) is None
    assert dynamics(Generator(GeneratorConfig(4, hidden_size=3)), torch.zeros(2, 1, dtype=torch.int64)) is None
