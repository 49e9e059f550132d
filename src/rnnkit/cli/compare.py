"""`rnnkit compare`: several runs in one table and one picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rnnkit.errors import MissingExtraError, SaveError


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.", metavar="RUN")],
    picture: Annotated[
        Path | None,
        typer.Option("--picture", "-o", help="Where to draw the curves; compare.png unless --json is given."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Print the scores of several runs side by side and draw their learning curves."""
    from rnnkit import api
    from rnnkit.cli import terminal

    drawn = picture or (None if as_json else Path("compare.png"))
    try:
        rows = api.compare(runs, picture=drawn)
    except (MissingExtraError, SaveError) as error:
        if picture is not None:
            raise
        terminal.note(f"no curves: {error}")
        rows, drawn = api.compare(runs), None
    texts = dict.fromkeys(row["test_text"] for row in rows)
    columns = ["run", "cell", "parameters", "perplexity", "nats/char", "bits/char", "best baseline", "training"]
    if as_json:
        terminal.print_json(rows)
    else:
        for number, text in enumerate(texts):
            if number:
                print()
            terminal.print_table(
                columns,
                [
                    [
                        row["run"],
                        row["cell"],
                        f"{row['num_parameters']:,}",
                        terminal.figure(row["perplexity"], 2),
                        terminal.figure(row["nats_per_character"], 4),
                        terminal.figure(row["bits_per_character"], 4),
                        "{name} {nats_per_character:.4f}".format(**row["best_baseline"]),
                        terminal.duration(row["train_seconds"]),
                    ]
                    for row in rows
                    if row["test_text"] == text
                ],
            )
    if len(texts) > 1:
        terminal.note(f"judged on {len(texts)} different texts, a table for each: only figures of one table compare")
    if drawn is not None:
        terminal.note(f"curves: {drawn}")
