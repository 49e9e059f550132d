"""`rnnkit eval`: judge a trained model on a text, beside the baselines of its run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    run: Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")],
    file: Annotated[
        str, typer.Argument(help="Text to judge on: a file, a folder, a .gz, or - for stdin.", metavar="FILE")
    ],
    reset_per_line: Annotated[
        bool, typer.Option("--reset-per-line", help="Also judge every line from a fresh state.")
    ] = False,
    encoding: Annotated[str, typer.Option(help="The text's encoding.")] = "utf-8",
    as_bytes: Annotated[bool, typer.Option("--bytes", help="Read the text as bytes, whatever they mean.")] = False,
    arpa: Annotated[
        list[Path] | None, typer.Option("--arpa", help="Also an n-gram model of another tool, from its ARPA file.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="Of products: fp32, fp32_split, bf16, int8 or auto; else as it was trained.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Score FILE with the model of RUN and with every baseline trained beside it. Needs no torch."""
    from rnnkit import api
    from rnnkit.cli import terminal

    model = api.LanguageModel.load(run, precision=precision)
    metrics = model.evaluate(file, reset_per_line=reset_per_line, encoding=encoding, as_bytes=as_bytes, arpa=arpa or ())
    if as_json:
        terminal.print_json(metrics)
        return
    title = f"{file}: {metrics['model']['num_tokens']:,} tokens"
    terminal.print_result_table(api.result_table(metrics), title=title)
    if reset_per_line:
        print()
        title = "reset per line: each line from a fresh state"
        terminal.print_result_table(api.result_table(metrics, reset_per_line=True), title=title)
