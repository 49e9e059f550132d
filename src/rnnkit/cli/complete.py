"""`rnnkit complete`: the likeliest next tokens after a text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rnnkit.errors import UsageError


def complete(
    run: Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")],
    text: Annotated[
        str, typer.Argument(help="What comes before, for example 'the students opened their'.", metavar="TEXT")
    ],
    after: Annotated[
        str | None, typer.Option(help="Of a bidirectional model: what comes behind the token that is asked for.")
    ] = None,
    k: Annotated[int, typer.Option("--num", "-k", min=1, help="How many.")] = 10,
    precision: Annotated[
        str | None, typer.Option(help="Of products: fp32, fp32_split, bf16, int8 or auto; else as it was trained.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Print what the model of RUN expects after TEXT, with probabilities; a bidirectional one between two texts."""
    from rnnkit import api
    from rnnkit.cli import terminal

    model = api.load(run, precision=precision)
    if isinstance(model, api.BidirectionalLanguageModel):
        if after is None:
            raise UsageError(f"{run} reads both sides of a token: say with --after what comes behind it, if only ''")
        answers = model.fill(text, after, k=k)
    else:
        if after is not None:
            raise UsageError(f"--after has no effect on what {run} holds, which reads what comes before: leave it out")
        answers = api.LanguageModel.load(run, precision=precision).complete(text, k=k)
    if as_json:
        terminal.print_json([{"text": token, "probability": probability} for token, probability in answers])
        return
    terminal.print_table(["next", "probability"], [[repr(token), f"{p:.2%}"] for token, p in answers])
