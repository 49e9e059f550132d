"""`rnnkit eval`: judge a trained model on a text or labelled sequences, beside the baselines of its run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rnnkit.errors import UsageError


def evaluate(
    run: Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")],
    file: Annotated[
        str,
        typer.Argument(
            help="What to judge on: a text as a file, a folder, a .gz, or - for stdin; for a classifier a table.",
            metavar="FILE",
        ),
    ],
    reset_per_line: Annotated[
        bool, typer.Option("--reset-per-line", help="Also judge every line from a fresh state.")
    ] = False,
    label_column: Annotated[str | None, typer.Option(help="Of a classifier's table; else as it was trained.")] = None,
    text_column: Annotated[str | None, typer.Option(help="Of a classifier's table; else as it was trained.")] = None,
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

    model = api.load(run, precision=precision)
    of_text = {"--reset-per-line": reset_per_line, "--bytes": as_bytes, "--arpa": bool(arpa)}
    of_tables = {"--label-column": label_column is not None, "--text-column": text_column is not None}
    is_classifier = isinstance(model, api.Classifier)
    for flag, is_given in (of_text if is_classifier else of_tables).items():
        if is_given:
            raise UsageError(
                f"{flag} has no effect on a {'classifier' if is_classifier else 'language model'}; leave it out"
            )
    if isinstance(model, api.Classifier):
        metrics = model.evaluate(file, label_column=label_column, text_column=text_column, encoding=encoding)
        if as_json:
            terminal.print_json(metrics)
            return
        title = f"{file}: {metrics['model']['num_sequences']:,} sequences"
        terminal.print_result_table(api.classification_table(metrics), title=title)
        return
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
