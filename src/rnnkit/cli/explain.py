"""`rnnkit explain`: what happens inside a trained model while it reads, as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def explain(
    run: Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")],
    text: Annotated[
        str | None,
        typer.Argument(help="What to read: a text, for a tagger words; default: held-out data of the run."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the report; default: RUN/explain.")] = None,
    unit: Annotated[str | None, typer.Option(help="Colour the text by this one, as l0.h.3.")] = None,
    weight: Annotated[
        str | None, typer.Option(help="Take this one's gradient apart; default: the last recurrent weight.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="explain.json to stdout.")] = False,
) -> None:
    """Gates and states at every step, how far the gradient reaches, and which steps make it: report.html."""
    from rnnkit import api
    from rnnkit.cli import terminal

    found = api.explain(run, text, out=out, unit=unit, weight=weight)
    if as_json:
        terminal.print_json(found)
        return
    at_least = "at least " if found["memory_length_is_cut"] else ""
    print(f"effective memory length: {at_least}{found['memory_length']} steps")
    if found["warning"]:
        print(found["warning"])
    print(f"report: {found['report']}")
