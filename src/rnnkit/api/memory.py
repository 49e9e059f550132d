"""measure_memory: how far back networks of several cells remember, task by task: a table, a picture, a page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rnnkit import data
from rnnkit.api.explanation_page import Section, write_report
from rnnkit.api.html_page import table
from rnnkit.api.training import choose_folder, require_torch
from rnnkit.errors import ArgumentError

CELLS = ("elman_tanh", "gru_after", "lstm")
NO_MEMORY = "memoryless guess"
_ENOUGH = 0.9  # of the outputs right: so far a network is said to remember
_TESTED = 1000  # sequences of each distance


def measure_memory(
    tasks: Sequence[str] = tuple(data.MEMORY_TASKS),
    *,
    cells: Sequence[str] = CELLS,
    longest: int = 100,
    hidden_size: int = 64,
    max_steps: int = 3000,
    batch_size: int = 64,
    lr: float = 3e-3,
    clip_norm: float = 1.0,
    init: str = "uniform",
    chrono: int | None = None,
    seed: int = 0,
    threads: int | None = None,
    run: str | Path | None = None,
    force: bool = False,
    observers: Sequence[Callable[[dict[str, Any]], None]] = (),
) -> dict[str, Any]:
    """Train a network of every cell on every task, at distances up to `longest`, and test each distance by itself.

    Beside them stand an MLP over a window of steps, trained alike, and the best guess of what has no memory.

    Args:   tasks: of `rnnkit.data.MEMORY_TASKS`.  cells: of `rnnkit.nn.spec.CELLS`.
            longest: distance trained on, in steps; twice that is tested too.  max_steps: updates of each network.
            init, chrono: as of `rnnkit.nn.Options`; chrono goes with cells that have gates.
            run: the folder for `memory.json`, `memory.png` and `report.html`; None: `runs/memory-N`.
            force: replace what is there.  observers: called with events `note`, `step` and `weights`.
    Returns: the content of `memory.json`; `report`: where the page is.
    Raises: MissingExtraError without torch; UsageError for a folder in use; ArgumentError, ConfigError; DivergedError.
    Cost:   with the defaults one to two minutes on one thread.
    """
    require_torch()
    import torch

    from rnnkit.api.config import build
    from rnnkit.tasks.machine import commit, describe_machine
    from rnnkit.tasks.machine import threads as with_threads
    from rnnkit.tasks.memory import MemoryNetwork, MemoryWindow, accuracy, draw_any, memoryless, reach
    from rnnkit.training import TrainConfig
    from rnnkit.training.memory import remember

    for what, given in (("task", tasks), ("cell", cells)):
        if not given or len(set(given)) < len(given):
            raise ArgumentError(f"{what}s {', '.join(given)!r}: name at least one {what}, and each once")
    if unknown := [name for name in tasks if name not in data.MEMORY_TASKS]:
        raise ArgumentError(f"task {unknown[0]!r} does not exist; choose of {', '.join(data.MEMORY_TASKS)}")
    distances = {name: data.memory_distances(name, longest) for name in tasks}
    chosen = {"max_steps": max_steps, "batch_size": batch_size, "lr": lr, "clip_norm": clip_norm, "seed": seed}
    config = build(TrainConfig, options=chosen)
    how: dict[str, Any] = {"hidden_size": hidden_size}

    def networks(name: str) -> list[Callable[[], Any]]:
        task = data.MEMORY_TASKS[name]
        of_cell = {**how, "init": init, "chrono": chrono}
        made: list[Callable[[], Any]] = [lambda cell=cell: MemoryNetwork(task, cell=cell, **of_cell) for cell in cells]
        return [*made, lambda: MemoryWindow(task, **how)]

    for make in networks(tasks[0]):  # refuses what cannot be, before anything is written
        make()
    folder = choose_folder(run, resume=False, force=force, task="memory")
    folder.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {}
    with with_threads(threads), torch.random.fork_rng(devices=[]):
        for name in tasks:
            guess = [accuracy(memoryless(name), name, d, count=_TESTED, seed=seed) for d in distances[name]]
            rows = [{"name": NO_MEMORY, "accuracy": guess, "reach": reach(guess, distances[name], least=_ENOUGH)}]
            for make in networks(name):
                torch.manual_seed(seed)
                network = make()

                def observe(event: dict[str, Any], of: str = f"{name}, {network.name}") -> None:
                    for observer in observers:
                        observer({**event, "name": of})

                taken = remember(
                    network, partial(draw_any, name, longest=longest, count=batch_size), config, observe=observe
                )
                network.eval()
                found = [accuracy(network.said, name, d, count=_TESTED, seed=seed) for d in distances[name]]
                row = {
                    "name": network.name,
                    "accuracy": found,
                    "reach": reach(found, distances[name], least=_ENOUGH),
                    "num_parameters": sum(p.numel() for p in network.parameters()),
                    "train_seconds": taken.seconds,
                    "loss": taken.loss,
                    "clip_share": taken.clip_share,
                }
                rows.insert(len(rows) - 1, row)
                observe(
                    {
                        "event": "note",
                        "text": f"{name}, {network.name}: right {_ENOUGH:.0%} up to a distance of "
                        f"{_reached(row, distances[name])} steps",
                    }
                )
            results[name] = {"distances": distances[name], "rows": rows}
        machine = describe_machine()
    values: dict[str, Any] = {
        "task": "memory",
        "config": {"cells": [*cells], "longest": longest, "init": init, "chrono": chrono, "num_tested": _TESTED, **how,
                   "training": config.model_dump(mode="json")},
        "tasks": results,
        "train_seconds": sum(row.get("train_seconds", 0.0) for of in results.values() for row in of["rows"]),
        "commit": commit(),
        "machine": machine,
    }  # fmt: skip
    return _write(folder, values)


def memory_rows(values: dict[str, Any], name: str) -> tuple[list[str], list[list[str]]]:
    """Header and cells of the table of one task. Args: values: of `measure_memory`."""
    of_task = values["tasks"][name]
    header = ["", *(f"{distance}" for distance in of_task["distances"]), "remembers, steps"]
    rows = [
        [row["name"], *(f"{share:.0%}" for share in row["accuracy"]), _reached(row, of_task["distances"])]
        for row in of_task["rows"]
    ]
    return header, rows


def _reached(row: dict[str, Any], distances: Sequence[int]) -> str:
    if not row["reach"]:
        return f"fewer than {distances[0]}"
    return f"{'at least ' * (row['reach'] == distances[-1])}{row['reach']}"


def _write(folder: Path, values: dict[str, Any]) -> dict[str, Any]:
    from rnnkit.api import explanation_pictures as draw

    opening = Section("How far back each cell remembers")
    config = values["config"]
    steps, tested = config["training"]["max_steps"], config["num_tested"]
    opening.say(
        f"Networks of one layer of {config['hidden_size']} units, each trained for {steps:,} updates on sequences "
        f"whose distances are drawn up to {config['longest']} steps, then tested on {tested:,} fresh sequences of each "
        "distance; the last one is twice as long as any trained on. A cell remembers so many steps as it is right "
        f"about {_ENOUGH:.0%} at every distance up to there. The window MLP is trained alike and sees a few steps; the "
        "memoryless guess is the best that can be said unread."
    )
    picture = draw.draw_memory(values["tasks"], longest=config["longest"])
    opening.show("memory.png", picture, title="share right over the distance, task by task")
    sections = [opening]
    for name in values["tasks"]:
        task = data.MEMORY_TASKS[name]
        section = Section(f"{name.capitalize()}: {task.says}")
        near = f" A sum is right within {data.NEAR}." if not task.num_inputs else ""
        section.say(f"Share right by the distance in steps.{near}")
        section.parts.append(table(*memory_rows(values, name)))
        sections.append(section)
    return write_report(folder, "Memory of recurrent cells", sections, values, {}, numbers="memory.json")
