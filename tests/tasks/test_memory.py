"""Networks on memory tasks: what is counted as right, what no memory can do, and that a cell learns."""

import numpy as np
import pytest
import torch

from rnnkit import data
from rnnkit.nn import spec
from rnnkit.tasks.memory import WINDOW, MemoryNetwork, MemoryWindow, accuracy, draw_any, memoryless, reach
from rnnkit.training import TrainConfig
from rnnkit.training.memory import remember


def network(name: str, cell: str = "lstm") -> MemoryNetwork:
    torch.manual_seed(0)
    return MemoryNetwork(data.MEMORY_TASKS[name], cell=cell, hidden_size=8, init="uniform", chrono=None)


@pytest.mark.parametrize("name", data.MEMORY_TASKS)
def test_who_knows_the_answer_is_right_and_who_is_off_by_a_little_too_much_is_not(name: str) -> None:
    def told(inputs: torch.Tensor, off: float = 0.0) -> torch.Tensor:
        if name == "adding":
            return (inputs[..., 0] * inputs[..., 1]).sum(0)[None, :, None] + off
        count = data.MEMORY_TASKS[name].num_outputs
        return (inputs[:count] + int(off > 0)) % data.NUM_SYMBOLS

    assert accuracy(told, name, 9, count=50, seed=1) == 1.0
    assert accuracy(lambda inputs: told(inputs, 0.11), name, 9, count=50, seed=1) == 0.0


@pytest.mark.parametrize(("name", "chance"), [("copy", 1 / 8), ("recall", 1 / 8), ("adding", 0.19)])
def test_a_guess_without_memory_is_right_as_often_as_chance(name: str, chance: float) -> None:
    """Of two uniform numbers the sum is within 0.1 of 1 with probability 1 − 0.9² = 0.19."""
    assert accuracy(memoryless(name), name, 9, count=20_000, seed=1) == pytest.approx(chance, abs=0.01)


@pytest.mark.parametrize("name", data.MEMORY_TASKS)
def test_a_window_sees_its_steps_and_none_before(name: str) -> None:
    torch.manual_seed(0)
    window = MemoryWindow(data.MEMORY_TASKS[name], hidden_size=8)
    inputs, _ = draw_any(name, np.random.Generator(np.random.Philox(1)), longest=60, count=3)
    while len(inputs) < 30:
        inputs = torch.cat([inputs, inputs])
    changed = inputs.clone()
    first_seen = len(inputs) - data.MEMORY_TASKS[name].num_outputs - WINDOW + 1
    changed[:first_seen] = changed[:first_seen].flip(1)
    assert not torch.equal(changed, inputs)
    torch.testing.assert_close(window._scores(changed), window._scores(inputs), rtol=0, atol=0)
    changed[first_seen] = 1 - changed[first_seen].clamp(max=1)
    assert not torch.equal(window._scores(changed)[0], window._scores(inputs)[0])


@pytest.mark.parametrize("cell", spec.CELLS)
@pytest.mark.parametrize("name", data.MEMORY_TASKS)
def test_every_cell_trains_on_every_task_and_its_loss_falls(name: str, cell: str) -> None:
    model = network(name, cell)
    seen: list[dict] = []
    config = TrainConfig(max_steps=160, batch_size=32, lr=0.02)
    found = remember(
        model, lambda g: draw_any(name, g, longest=6 if name == "copy" else 2, count=32), config, observe=seen.append
    )
    losses = [event["loss"] for event in seen if event["event"] == "step"]
    assert (found.steps, len(losses)) == (160, 160)
    assert np.mean(losses[-20:]) < 0.96 * np.mean(losses[:5])
    assert sum(event["event"] == "weights" for event in seen) == 11


def test_a_network_and_its_mirror_window_train_on_the_same_batches() -> None:
    batches: list[torch.Tensor] = []

    def draw(generator: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        batches.append(draw_any("recall", generator, longest=9, count=4)[0])
        return draw_any("recall", np.random.Generator(np.random.Philox(1)), longest=9, count=4)

    for model in (network("recall"), MemoryWindow(data.MEMORY_TASKS["recall"], hidden_size=4)):
        remember(model, draw, TrainConfig(max_steps=5))
    for one, other in zip(batches[:5], batches[5:], strict=True):
        torch.testing.assert_close(one, other)


def test_distances_of_training_are_all_met_and_short_ones_more_often() -> None:
    generator = np.random.Generator(np.random.Philox(1))
    lengths = [len(draw_any("recall", generator, longest=10, count=1)[0]) - 1 for _ in range(2000)]
    counts = np.bincount(lengths, minlength=11)
    assert (counts[1:] > 0).all()
    assert counts[0] == 0
    assert counts[1] > counts[4] > counts[10]


def test_so_far_reaches_what_is_right_without_a_gap() -> None:
    assert reach([1.0, 0.95, 0.5, 1.0], [1, 2, 4, 8]) == 2
    assert reach([0.1, 1.0], [1, 2]) == 0
    assert reach([1.0, 1.0], [1, 2]) == 2
