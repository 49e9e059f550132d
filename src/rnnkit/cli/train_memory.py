"""`rnnkit train memory`: how far back a cell remembers: share right against distance, beside what has no memory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def memory(
    tasks: Annotated[
        list[str] | None, typer.Argument(help="copy, adding, recall; default: all three.", metavar="TASK")
    ] = None,
    cells: Annotated[
        list[str] | None, typer.Option("--cell", help="Repeat it for several; default: elman_tanh, gru_after, lstm.")
    ] = None,
    longest: Annotated[int | None, typer.Option(help="Longest distance trained on, in steps; default: 100.")] = None,
    hidden_size: Annotated[int | None, typer.Option("--hidden-size", help="Units; default: 64.")] = None,
    max_steps: Annotated[int | None, typer.Option(help="Updates of each network; default: 3000.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Sequences of an update; default: 64.")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate; default: 0.003.")] = None,
    clip_norm: Annotated[float | None, typer.Option("--clip-norm", "--clip", help="Longest gradient; 1.")] = None,
    init: Annotated[str | None, typer.Option(help="Recurrent weights: uniform or orthogonal.")] = None,
    chrono: Annotated[int | None, typer.Option(help="Longest dependency, in steps: sets gate biases.")] = None,
    seed: Annotated[int | None, typer.Option(help="First weights and sequences.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads; they change no bit.")] = None,
    run: Annotated[Path | None, typer.Option("--run", "--out", help="The folder; default: runs/memory-N.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is in --run.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="memory.json to stdout, nothing else there.")] = False,
) -> None:
    """Train a network of each cell to copy, to add and to recall across a distance, and test every distance by itself.

    It leaves no model behind, but memory.json, memory.png and report.html.
    """
    from rnnkit import api
    from rnnkit.api.memory import memory_rows
    from rnnkit.cli import terminal

    line = terminal.LiveLine()

    def progress(event: dict[str, Any]) -> None:
        if event["event"] == "note":
            line.keep(event["text"])
        elif event["event"] == "step":
            line.show(f"{event['name']}, step {event['step']:,}", f"loss {event['loss']:.3f}")

    given = {"cells": cells, "longest": longest, "hidden_size": hidden_size, "max_steps": max_steps, "lr": lr,
             "batch_size": batch_size, "clip_norm": clip_norm, "init": init, "chrono": chrono, "seed": seed,
             "threads": threads}  # fmt: skip
    given = {name: value for name, value in given.items() if value is not None and value != []}
    try:
        found = api.measure_memory(*([tasks] if tasks else []), run=run, force=force, observers=[progress], **given)
    finally:
        line.close()
    if as_json:
        terminal.print_json(found)
        return
    for name in found["tasks"]:
        header, rows = memory_rows(found, name)
        terminal.print_table(header, rows, title=f"{name}: share right by distance")
        print()
    print(f"report: {found['report']}")
