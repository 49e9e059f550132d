"""What learns a task of `rnnkit.data.MEMORY_TASKS`, and what it must beat: a window of steps, and no memory at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnkit import data
from rnnkit.models.transducer import Transducer, TransducerConfig

WINDOW = 8  # steps that the window MLP reads, the last one among them
_MEAN, _DEVIATION = 1.0, (1 / 6) ** 0.5  # of the sum of two numbers that are uniform between 0 and 1


class MemoryNetwork(nn.Module):
    """A `Transducer` that is asked at the last steps of a task alone."""

    def __init__(self, task: data.MemoryTask, *, cell: str, hidden_size: int, init: Any, chrono: int | None) -> None:
        super().__init__()
        self.num_outputs, self.name = task.num_outputs, cell
        of_inputs: dict[str, Any] = {"vocab_size": task.num_inputs, "embedding_size": 16}
        of_numbers: dict[str, Any] = {"input_size": 2, "targets": "numbers"}
        self.model = Transducer(
            TransducerConfig(
                num_labels=data.NUM_SYMBOLS if task.num_inputs else 1,
                cell=cell,
                hidden_size=hidden_size,
                init=init,
                chrono=chrono,
                bidirectional=False,
                **(of_inputs if task.num_inputs else of_numbers),
            )
        )
        if self.model.target_scale is not None:
            self.model.target_scale.mean.fill_(_MEAN)
            self.model.target_scale.deviation.fill_(_DEVIATION)

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """The mean loss: nats, or squared deviations. Args: as of `rnnkit.data.draw_memory`."""
        features, _ = self.model(inputs)
        return self.model.loss(features[-self.num_outputs :], targets).mean()

    def said(self, inputs: Tensor) -> Tensor:
        """Symbols [K, B], or numbers [1, B, 1]."""
        features = self.model(inputs)[0][-self.num_outputs :]
        return (
            self.model.log_prob(features).argmax(-1)
            if self.model.target_scale is None
            else self.model.numbers(features)
        )


class MemoryWindow(nn.Module):
    """A hidden layer of tanh over the last `WINDOW` steps, one-hot or as they are; further back it sees nothing."""

    name = f"window MLP, {WINDOW} steps"

    def __init__(self, task: data.MemoryTask, *, hidden_size: int) -> None:
        super().__init__()
        self.num_outputs, self.num_inputs = task.num_outputs, task.num_inputs
        width = task.num_inputs or 2
        num_labels = data.NUM_SYMBOLS if task.num_inputs else 1
        self.layers = nn.Sequential(
            nn.Linear(WINDOW * width, hidden_size), nn.Tanh(), nn.Linear(hidden_size, num_labels)
        )

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """As of `MemoryNetwork`."""
        scores = self._scores(inputs)
        if self.num_inputs:
            return F.cross_entropy(scores.flatten(0, 1), targets.flatten())
        return ((scores - (targets - _MEAN) / _DEVIATION) ** 2).mean()

    def said(self, inputs: Tensor) -> Tensor:
        """As of `MemoryNetwork`."""
        scores = self._scores(inputs)
        return scores.argmax(-1) if self.num_inputs else _MEAN + _DEVIATION * scores

    def _scores(self, inputs: Tensor) -> Tensor:
        steps = F.one_hot(inputs, self.num_inputs).float() if self.num_inputs else inputs
        padded = torch.cat([steps.new_zeros(WINDOW - 1, *steps.shape[1:]), steps])
        count = len(steps)
        windows = [
            padded[end : end + WINDOW].transpose(0, 1).flatten(1) for end in range(count - self.num_outputs, count)
        ]
        return self.layers(torch.stack(windows))


def draw_any(name: str, generator: np.random.Generator, *, longest: int, count: int) -> tuple[Tensor, Tensor]:
    """A batch of one distance, drawn from the task's least to `longest`: the logarithm is about uniform."""
    least = data.MEMORY_TASKS[name].least
    distance = int(least * ((longest + 1) / least) ** generator.random())
    inputs, targets = data.draw_memory(name, min(distance, longest), count=count, generator=generator)
    return torch.from_numpy(inputs), torch.from_numpy(targets)


def accuracy(said: Callable[[Tensor], Tensor], name: str, distance: int, *, count: int, seed: int) -> float:
    """The share of outputs that are right; of sums those within `rnnkit.data.NEAR`. The same sequences for everyone."""
    generator = np.random.Generator(np.random.Philox([seed, distance]))
    inputs, targets = map(torch.from_numpy, data.draw_memory(name, distance, count=count, generator=generator))
    with torch.no_grad():
        answers = said(inputs)
    is_right = answers == targets if data.MEMORY_TASKS[name].num_inputs else (answers - targets).abs() < data.NEAR
    return float(is_right.double().mean())


def memoryless(name: str) -> Callable[[Tensor], Tensor]:
    """The best that can be said without reading: any one symbol, or the mean of all sums."""
    task = data.MEMORY_TASKS[name]
    if not task.num_inputs:
        return lambda inputs: torch.full((1, inputs.shape[1], 1), _MEAN)
    return lambda inputs: torch.zeros(task.num_outputs, inputs.shape[1], dtype=torch.int64)


def reach(accuracies: Sequence[float], distances: Sequence[int], *, least: float = 0.9) -> int:
    """The longest of the distances up to which all accuracies are at least `least`; 0: not even the first one."""
    longest = 0
    for share, distance in zip(accuracies, distances, strict=True):
        if share < least:
            break
        longest = distance
    return longest
