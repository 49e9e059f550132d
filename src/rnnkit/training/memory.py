"""remember: train one network on a task of memory, whose distances are drawn anew for every update."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from rnnkit.errors import DivergedError
from rnnkit.training.config import TrainConfig
from rnnkit.training.optimizer import Optimizer, clip_gradients
from rnnkit.training.schedule import Schedule

_LOOKS = 10  # how often whoever watches sees the weights


@dataclass(frozen=True)
class Remembered:
    """What training took: seconds, updates, the share of them whose gradient was cut, the mean loss of the last 50."""

    seconds: float
    steps: int
    clip_share: float
    loss: float


def remember(
    network: Any,
    draw: Callable[[np.random.Generator], tuple[Tensor, Tensor]],
    config: TrainConfig,
    *,
    observe: Callable[[dict[str, Any]], None] = lambda event: None,
) -> Remembered:
    """Train for `config.max_steps` updates.

    Args:   network: called with inputs and targets it gives the mean loss.  draw: a batch of both.
            observe: called with events `step`, as the training loop's, and `weights`, with the network as `model`.
    Raises: DivergedError where the loss is not finite.
    """
    assert config.max_steps is not None
    generator = np.random.Generator(np.random.Philox([config.seed, 1]))
    optimizer, schedule = Optimizer(network, config), Schedule(config, total_steps=config.max_steps)
    losses: list[float] = []
    num_clipped, started = 0, time.perf_counter()
    look_every = max(1, config.max_steps // _LOOKS)
    for step in range(config.max_steps):
        if step % look_every == 0:
            observe({"event": "weights", "step": step, "model": network})
        inputs, targets = draw(generator)
        optimizer.zero_grad()
        loss = network(inputs, targets)
        loss.backward()
        clipped = clip_gradients(optimizer.parameters.values(), max_norm=config.clip_norm, max_value=config.clip_value)
        losses.append(loss.item())
        if not math.isfinite(losses[-1]) or not math.isfinite(clipped.norm):
            raise DivergedError(
                f"{network.name}: loss or gradient is not finite at step {step + 1}; train with a lower "
                f"lr, for example {config.lr / 4:g} instead of {config.lr:g}"
            )
        num_clipped += clipped.is_clipped
        optimizer.step(lr=schedule.lr(step))
        observe({"event": "step", "step": step + 1, "loss": losses[-1], "grad_norm": clipped.norm})
    observe({"event": "weights", "step": config.max_steps, "model": network})
    return Remembered(
        time.perf_counter() - started, config.max_steps, num_clipped / config.max_steps, float(np.mean(losses[-50:]))
    )
