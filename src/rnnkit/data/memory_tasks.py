"""Tasks that measure memory: what must be said lies a known number of steps back. Drawn by a seed, NumPy only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnkit.errors import ArgumentError

NUM_SYMBOLS = 8
NUM_COPIED = 5
NEAR = 0.1  # how near a sum must be to count as right


@dataclass(frozen=True)
class MemoryTask:
    """What a task is.

    Attributes:
        num_inputs: different tokens; 0: it reads two numbers at every step.
        num_outputs: last steps at which something must be said.  least: the shortest distance.
        says: what must be said, for people.
    """

    name: str
    num_inputs: int
    num_outputs: int
    least: int
    says: str


MEMORY_TASKS = {
    task.name: task
    for task in (
        MemoryTask("copy", NUM_SYMBOLS + 2, NUM_COPIED, NUM_COPIED, "five symbols, in their order"),
        MemoryTask("adding", 0, 1, 1, "the sum of the two marked numbers"),
        MemoryTask("recall", NUM_SYMBOLS + 1, 1, 1, "the symbol that came first"),
    )
}


def draw_memory(name: str, distance: int, *, count: int, generator: np.random.Generator) -> tuple[Any, Any]:
    """Sequences of a task, in which `distance` steps lie between what is asked and where it stood.

        copy     a b c d e · · · · ? ? ? ? ?     five of eight symbols, blanks, and five times the sign to say them
        adding   .3* .9 .1 .7* .2                a number at every step, two of them marked: the first, and any other
        recall   a c h c b f ?                   one of eight symbols, others that do not count, and the sign to say it

    Args:    distance: copy: from each symbol to its copy, at least 5; adding: from the first number to the last step,
             where the sum is said; recall: from the symbol to the sign.  count: B.
    Returns: inputs, ids [T, B] or numbers and marks [T, B, 2], float32; targets of the last steps, ids [K, B] or sums
             [1, B, 1].
    Raises:  ArgumentError for a name that does not exist, or a distance that is too short.
    Source:  copy, adding: Hochreiter and Schmidhuber 1997; recall: the latch of Bengio, Simard and Frasconi 1994.
    """
    if name not in MEMORY_TASKS:
        raise ArgumentError(f"task {name!r} does not exist; choose of {', '.join(MEMORY_TASKS)}")
    task = MEMORY_TASKS[name]
    if distance < task.least:
        raise ArgumentError(f"distance {distance} is below {task.least}, the shortest of {name}; ask for a longer one")
    if name == "adding":
        numbers, marks = generator.random((distance + 1, count)), np.zeros((distance + 1, count))
        marks[0] = 1
        marks[generator.integers(1, distance + 1, size=count), np.arange(count)] = 1
        sums = (numbers * marks).sum(0)
        return np.stack([numbers, marks], axis=-1).astype(np.float32), sums[None, :, None].astype(np.float32)
    if name == "copy":
        symbols = generator.integers(NUM_SYMBOLS, size=(NUM_COPIED, count))
        blanks = np.full((distance - NUM_COPIED, count), NUM_SYMBOLS)
        return np.concatenate([symbols, blanks, np.full_like(symbols, NUM_SYMBOLS + 1)]), symbols
    symbols = generator.integers(NUM_SYMBOLS, size=(1, count))
    others = generator.integers(NUM_SYMBOLS, size=(distance - 1, count))
    return np.concatenate([symbols, others, np.full_like(symbols, NUM_SYMBOLS)]), symbols


def memory_distances(name: str, longest: int) -> list[int]:
    """Some distances from the shortest to `longest`, and twice `longest`. Raises: ArgumentError."""
    least = MEMORY_TASKS[name].least
    if longest <= least:
        raise ArgumentError(f"longest {longest} must be above {least}, the shortest distance of {name}")
    inside = {round(distance) for distance in np.geomspace(least, longest, 9)}
    return [*sorted(inside), 2 * longest]
