"""`rnnkit compare`: several runs in one table and one picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.", metavar="RUN…")],
    picture: Annotated[Path, typer.Option("--picture", "-o", help="Where to draw the curves.")] = Path("compare.png"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Print the scores of several runs side by side and draw their learning curves."""
    from rnnkit import api
    from rnnkit.cli import terminal

    rows = api.compare(runs, picture=picture)
    if as_json:
        terminal.print_json(rows)
    else:
        terminal.print_table(
            ["run", "cell", "parameters", "perplexity", "nats/char", "bits/char", "best baseline", "training"],
            [
                [
                    row["run"],
                    row["cell"],
                    f"{row['num_parameters']:,}",
                    terminal.figure(row["perplexity"], 2),
                    terminal.figure(row["nats_per_character"], 4),
                    terminal.figure(row["bits_per_character"], 4),
                    row["best_baseline"],
                    terminal.duration(row["train_seconds"]),
                ]
                for row in rows
            ],
        )
    terminal.note(f"curves: {picture}")
