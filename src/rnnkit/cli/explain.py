"""`rnnkit explain`: what happens inside a trained model while it reads, as one HTML file; and a tiny one by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rnnkit.errors import UsageError


def explain(
    run: Annotated[Path | None, typer.Argument(help="A run folder; none with --worked.", metavar="RUN")] = None,
    text: Annotated[
        str | None,
        typer.Argument(help="What to read: a text, for a tagger words; default: held-out data of the run."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the report; default: RUN/explain.")] = None,
    unit: Annotated[str | None, typer.Option(help="Colour the text by this one, as l0.h.3.")] = None,
    weight: Annotated[
        str | None, typer.Option(help="Take this one's gradient apart; default: the last recurrent weight.")
    ] = None,
    worked: Annotated[
        str | None, typer.Option(metavar="WORD", help="In place of RUN: a tiny network by hand, for example hello.")
    ] = None,
    cell: Annotated[str | None, typer.Option(help="With --worked; default: elman_tanh.")] = None,
    hidden_size: Annotated[int | None, typer.Option(help="With --worked; default: 3.")] = None,
    lr: Annotated[float | None, typer.Option(help="With --worked: of its updates; default: 0.1.")] = None,
    seed: Annotated[int | None, typer.Option(help="With --worked: of its first weights; default: 0.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="explain.json to stdout.")] = False,
) -> None:
    """Gates and states at every step, how far the gradient reaches, and which steps make it: report.html.

    With --worked every number of a tiny network that learns to write WORD: forward, loss, backward, update, sampling.
    """
    from rnnkit import api
    from rnnkit.cli import terminal

    of_run: dict[str, Any] = {"RUN": run, "TEXT": text, "--unit": unit, "--weight": weight}
    of_worked: dict[str, Any] = {"cell": cell, "hidden_size": hidden_size, "lr": lr, "seed": seed}
    if worked is not None:
        if given := [name for name, value in of_run.items() if value is not None]:
            raise UsageError(f"--worked has a network of its own, {given[0]} has no effect beside it: leave one out")
        found = api.explain_worked(
            worked, out=out, **{key: value for key, value in of_worked.items() if value is not None}
        )
        shown = found.pop("shown")
        if as_json:
            terminal.print_json(found)
        else:
            print(f"{shown}\n\nreport: {found['report']}")
        return
    if run is None:
        raise UsageError("name a RUN to look into, or a word to work through: rnnkit explain --worked hello")
    if given := [name for name, value in of_worked.items() if value is not None]:
        raise UsageError(
            f"--{given[0].replace('_', '-')} goes with --worked, a run was trained with its own: leave it out"
        )
    found = api.explain(run, text, out=out, unit=unit, weight=weight)
    if as_json:
        terminal.print_json(found)
        return
    at_least = "at least " if found["memory_length_is_cut"] else ""
    print(f"effective memory length: {at_least}{found['memory_length']} steps")
    if found["warning"]:
        print(found["warning"])
    print(f"report: {found['report']}")
