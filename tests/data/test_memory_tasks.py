"""What a memory task asks is where it says, and nothing nearer the end tells it."""

import numpy as np
import pytest

from rnnkit import data
from rnnkit.errors import ArgumentError


def drawn(name: str, distance: int, count: int = 64) -> tuple[np.ndarray, np.ndarray]:
    return data.draw_memory(name, distance, count=count, generator=np.random.Generator(np.random.Philox(3)))


@pytest.mark.parametrize("distance", [5, 6, 40])
def test_every_copied_symbol_stands_the_distance_before_its_copy(distance: int) -> None:
    inputs, targets = drawn("copy", distance)
    assert inputs.shape == (distance + 5, 64)
    asked = len(inputs) - len(targets) + np.arange(len(targets))
    np.testing.assert_array_equal(inputs[asked - distance], targets)
    assert (inputs[asked] == 9).all()
    assert (inputs[5:-5] == 8).all()


@pytest.mark.parametrize("distance", [1, 2, 40])
def test_the_recalled_symbol_stands_the_distance_before_the_sign(distance: int) -> None:
    inputs, targets = drawn("recall", distance)
    assert inputs.shape == (distance + 1, 64)
    np.testing.assert_array_equal(inputs[-1 - distance], targets[0])
    assert (inputs[-1] == 8).all()
    assert inputs[:-1].max() < 8
    if distance > 1:
        assert (inputs[-2] != targets[0]).any()


@pytest.mark.parametrize("distance", [1, 2, 40])
def test_a_sum_is_of_the_two_marked_numbers_and_the_first_is_one_of_them(distance: int) -> None:
    inputs, targets = drawn("adding", distance)
    numbers, marks = inputs[..., 0], inputs[..., 1]
    assert inputs.shape == (distance + 1, 64, 2)
    assert (marks.sum(0) == 2).all()
    assert (marks[0] == 1).all()
    np.testing.assert_allclose((numbers * marks).sum(0), targets[0, :, 0], rtol=1e-6)
    if distance == 40:
        assert len({*marks[1:].argmax(0).tolist()}) > 20


def test_the_seed_decides() -> None:
    for name in data.MEMORY_TASKS:
        np.testing.assert_array_equal(drawn(name, 9)[0], drawn(name, 9)[0])
        other = data.draw_memory(name, 9, count=64, generator=np.random.Generator(np.random.Philox(4)))
        assert (other[0] != drawn(name, 9)[0]).any()


@pytest.mark.parametrize(("name", "distance"), [("copy", 4), ("adding", 0), ("recall", -1)])
def test_a_distance_that_is_too_short_is_named(name: str, distance: int) -> None:
    with pytest.raises(ArgumentError, match=f"distance {distance} is below"):
        drawn(name, distance)
    with pytest.raises(ArgumentError, match="'echo' does not exist; choose of copy"):
        drawn("echo", 9)


def test_tested_distances_go_from_the_shortest_to_twice_the_longest() -> None:
    for name, task in data.MEMORY_TASKS.items():
        found = data.memory_distances(name, 60)
        assert (found[0], found[-2], found[-1]) == (task.least, 60, 120)
        assert found == sorted({*found})
        with pytest.raises(ArgumentError, match="must be above"):
            data.memory_distances(name, task.least)
