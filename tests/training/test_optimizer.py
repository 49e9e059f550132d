"""The optimiser's groups and state, and clipping that never touches a gradient that is not finite."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from training.tiny_task import TinyModel

from rnnkit.training import TrainConfig
from rnnkit.training.optimizer import Optimizer, clip_gradients, global_norm, is_decayed


def with_gradients(*values: list[float]) -> list[torch.Tensor]:
    parameters = [torch.nn.Parameter(torch.zeros(len(value))) for value in values]
    for parameter, value in zip(parameters, values, strict=True):
        parameter.grad = torch.tensor(value)
    return parameters


def grads(parameters: list[torch.Tensor]) -> list[float]:
    return [x for p in parameters if p.grad is not None for x in p.grad.tolist()]


def test_the_norm_is_taken_over_all_gradients_together() -> None:
    parameters = with_gradients([3.0], [4.0])
    clipped = clip_gradients(parameters, max_norm=1.0, max_value=None)
    assert (clipped.norm, clipped.is_clipped) == (5.0, True)
    assert grads(parameters) == pytest.approx([0.6, 0.8])


def test_a_short_gradient_is_left_alone() -> None:
    parameters = with_gradients([0.3, 0.4])
    clipped = clip_gradients(parameters, max_norm=1.0, max_value=1.0)
    assert not clipped.is_clipped
    assert grads(parameters) == pytest.approx([0.3, 0.4])


def test_elements_are_cut_before_the_norm_is_taken() -> None:
    parameters = with_gradients([-30.0, 4.0])
    clipped = clip_gradients(parameters, max_norm=None, max_value=3.0)
    assert clipped.is_clipped
    assert clipped.norm == pytest.approx(math.hypot(30, 4))
    assert grads(parameters) == [-3.0, 3.0]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_gradient_that_is_not_finite_is_reported_and_nothing_is_touched(bad: float) -> None:
    parameters = with_gradients([30.0, bad], [40.0])
    clipped = clip_gradients(parameters, max_norm=1.0, max_value=1.0)
    assert not math.isfinite(clipped.norm)
    assert str(grads(parameters)) == str([30.0, bad, 40.0])


def test_huge_finite_gradients_are_clipped_not_dropped() -> None:
    parameters = with_gradients([3e30], [4e30])
    assert clip_gradients(parameters, max_norm=1.0, max_value=None).norm == pytest.approx(5e30)
    assert grads(parameters) == pytest.approx([0.6, 0.8])


def test_the_norm_does_not_depend_on_the_number_of_threads() -> None:
    tensor = torch.from_numpy(np.random.default_rng(0).standard_normal(300_001).astype(np.float32))
    before, norms = torch.get_num_threads(), set()
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        norms.add(global_norm([tensor, tensor[:100]]))
    torch.set_num_threads(before)
    assert len(norms) == 1
    assert norms.pop() == pytest.approx(math.hypot(float(tensor.double().norm()), float(tensor[:100].double().norm())))


def test_decay_spares_biases_and_embedding_tables() -> None:
    model = TinyModel()
    assert {name for name, p in model.named_parameters() if is_decayed(name, p)} == {"recurrent.weight", "head.weight"}
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = Optimizer(model, TrainConfig(weight_decay=0.5, max_steps=1))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step(lr=0.1)
    for name, parameter in model.named_parameters():
        factor = 0.95 if is_decayed(name, parameter) else 1.0
        torch.testing.assert_close(parameter, before[name] * factor, msg=name)


@pytest.mark.parametrize(
    ("name", "momentum", "decay"),  # torch adds SGD's decay to the gradient: the same as ours without momentum only
    [("adamw", 0.0, 0.0), ("adamw", 0.0, 0.1), ("sgd", 0.0, 0.0), ("sgd", 0.0, 0.1), ("sgd", 0.9, 0.0)],
)
def test_its_steps_are_those_of_torch(name: str, momentum: float, decay: float) -> None:
    torch.manual_seed(0)
    ours, theirs = TinyModel(), TinyModel()
    theirs.load_state_dict(ours.state_dict())
    config = TrainConfig(optimizer=name, momentum=momentum, weight_decay=decay, max_steps=1)  # type: ignore[arg-type]
    optimizer = Optimizer(ours, config)
    parameters = dict(theirs.named_parameters())
    groups = [
        {"params": [p for n, p in parameters.items() if is_decayed(n, p)], "weight_decay": decay},
        {"params": [p for n, p in parameters.items() if not is_decayed(n, p)], "weight_decay": 0.0},
    ]
    if name == "adamw":
        peer: torch.optim.Optimizer = torch.optim.AdamW(groups, lr=0.05, betas=config.betas)
    else:
        peer = torch.optim.SGD(groups, lr=0.05, momentum=momentum)
    _steps(ours, optimizer, 5)
    for _ in range(5):
        peer.zero_grad()
        theirs.loss(*_forward(theirs)).mean().backward()
        peer.step()
    for key, parameter in theirs.named_parameters():
        torch.testing.assert_close(ours.get_parameter(key), parameter, rtol=1e-5, atol=1e-6, msg=key)


def test_a_step_tells_those_who_cache_weights_that_they_changed() -> None:
    model = TinyModel()
    optimizer = Optimizer(model, TrainConfig(max_steps=1))
    model.loss(*_forward(model)).sum().backward()
    before = {name: p._version for name, p in model.named_parameters()}
    optimizer.step(lr=0.1)
    assert all(p._version > before[name] for name, p in model.named_parameters())


def test_training_does_not_load_torchs_compiler() -> None:
    code = (
        "import sys, torch; from training.tiny_task import TinyModel; from rnnkit.training import TrainConfig; "
        "from rnnkit.training.optimizer import Optimizer; model = TinyModel(); "
        "optimizer = Optimizer(model, TrainConfig(max_steps=1)); model.head.bias.sum().backward(); "
        "optimizer.step(lr=0.1); sys.exit('torch._dynamo' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    assert subprocess.run([sys.executable, "-c", code], env=environment, timeout=120, check=False).returncode == 0


@pytest.mark.parametrize(
    "config",
    [
        TrainConfig(max_steps=1),
        TrainConfig(optimizer="sgd", momentum=0.9, max_steps=1),
        TrainConfig(optimizer="sgd", max_steps=1),
    ],
    ids=["adamw", "sgd with momentum", "sgd"],
)
def test_its_state_goes_on_bit_for_bit(config: TrainConfig) -> None:
    first, second = TinyModel(), TinyModel()
    one = Optimizer(first, config)
    _steps(first, one, 3)
    second.load_state_dict(first.state_dict())
    two = Optimizer(second, config)
    two.load_state_dict(one.state_dict())
    _steps(first, one, 3)
    _steps(second, two, 3)
    for name, parameter in first.named_parameters():
        assert torch.equal(parameter, second.get_parameter(name)), name


def _forward(model: TinyModel) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    tokens = torch.tensor([[0, 1], [2, 3], [4, 0]])
    hidden, _ = model(tokens, None, lengths=torch.tensor([3, 3]))
    return hidden, tokens.roll(1), torch.ones(3, 2)


def _steps(model: TinyModel, optimizer: Optimizer, count: int) -> None:
    for _ in range(count):
        optimizer.zero_grad()
        model.loss(*_forward(model)).mean().backward()
        optimizer.step(lr=0.05)
