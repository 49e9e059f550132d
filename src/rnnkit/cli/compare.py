"""`rnnkit compare`: several runs in one table and one picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rnnkit.errors import MissingExtraError, SaveError

_OF_TEXTS = ["run", "cell", "parameters", "perplexity", "nats/char", "bits/char", "best baseline", "training"]
_OF_CLASSIFIERS = ["run", "cell", "parameters", "accuracy", "95 % from", "to", "macro F1", "nats", "behind the best",
                   "p (paired)", "best baseline", "training"]  # fmt: skip


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.", metavar="RUN")],
    picture: Annotated[
        Path | None,
        typer.Option("--picture", "-o", help="Where to draw the curves; compare.png unless --json is given."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Print the scores of several runs side by side and draw their curves; of classifiers with a paired test."""
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
    columns, cells = (_OF_CLASSIFIERS, _classifier_cells) if "accuracy" in rows[0] else (_OF_TEXTS, _text_cells)
    if as_json:
        terminal.print_json(rows)
    else:
        for number, text in enumerate(texts):
            if number:
                print()
            terminal.print_table(
                columns,
                [[row["run"], row["cell"], *cells(row)] for row in rows if row["test_text"] == text],
            )
    if len(texts) > 1:
        what = "texts" if columns is _OF_TEXTS else "sequences"
        terminal.note(f"judged on {len(texts)} different {what}, a table for each: only figures of one table compare")
    if drawn is not None:
        terminal.note(f"curves: {drawn}")


def _text_cells(row: dict[str, Any]) -> list[str]:
    from rnnkit.cli import terminal

    return [
        f"{row['num_parameters']:,}",
        terminal.figure(row["perplexity"], 2),
        terminal.figure(row["nats_per_character"], 4),
        terminal.figure(row["bits_per_character"], 4),
        "{name} {nats_per_character:.4f}".format(**row["best_baseline"]),
        terminal.duration(row["train_seconds"]),
    ]


def _classifier_cells(row: dict[str, Any]) -> list[str]:
    from rnnkit.cli import terminal

    behind = ["", ""]
    if "difference" in row:
        spread = "{difference:.2%} ({difference_low:.2%} … {difference_high:.2%})".format(**row)
        behind = [spread, f"{row['p_value']:.2g}"]
    return [
        f"{row['num_parameters']:,}",
        *(f"{row[name]:.2%}" for name in ("accuracy", "accuracy_low", "accuracy_high", "macro_f1")),
        "" if row["nats"] is None else f"{row['nats']:.4f}",
        *behind,
        "{name} {accuracy:.2%}".format(**row["best_baseline"]),
        terminal.duration(row["train_seconds"]),
    ]
