"""`rnnkit score`: how likely each line of a text is, beside what the baseline of the run makes of it."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from rnnkit.errors import UsageError


def score(
    run: Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")],
    file: Annotated[str, typer.Argument(help="A text, or - for stdin.", metavar="FILE")],
    precision: Annotated[
        str | None, typer.Option(help="Of products: fp32, fp32_split, bf16, int8 or auto; else as it was trained.")
    ] = None,
    encoding: Annotated[str, typer.Option(help="Of the lines.")] = "utf-8",
    as_bytes: Annotated[bool, typer.Option("--bytes", help="Score bytes as they are; for a byte model.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document per line on stdout.")] = False,
) -> None:
    """Nats per token of every line of FILE, each from a fresh state, to rank lines by.

    Columns: the model of RUN, the best baseline trained beside it (a uniform guess where it has none), tokens, text.
    """
    from rnnkit import api
    from rnnkit.cli import lines, terminal

    model = api.load(run, precision=precision)
    if isinstance(model, api.Tagger):
        raise UsageError(f"{run} holds a tagger; rnnkit predict gives each word its tag")
    if isinstance(model, api.Describer):
        raise UsageError(f"{run} holds a model that says records; rnnkit predict runs it, eval judges it")
    if isinstance(model, api.Translator):
        raise UsageError(f"{run} holds a model that writes a text for another; rnnkit predict runs it, eval judges it")
    if isinstance(model, api.Simulator):
        raise UsageError(f"{run} holds a simulator, which reads records and no texts; rnnkit eval judges it")
    if isinstance(model, api.Forecaster):
        raise UsageError(f"{run} holds a forecaster, which reads series and no texts; rnnkit eval judges it")
    if isinstance(model, api.Classifier):
        raise UsageError(f"{run} holds a classifier; rnnkit predict gives each line its label and probability")
    with contextlib.nullcontext(sys.stdin.buffer) if file == "-" else Path(file).open("rb") as stream:
        name = "stdin" if file == "-" else file
        given = lines.byte_lines(stream) if as_bytes else lines.text_lines(stream, encoding, name=name)
        for number, row in enumerate(model.score_lines(given)):
            if not number and not as_json:
                columns = f"{row['model']['name']}\t{row['baseline']['name']}\ttokens\ttext"
                terminal.note(f"nats per token:\n{columns}")
            if as_json:
                print(json.dumps(row, ensure_ascii=False))
                continue
            nats = "\t".join(f"{row[key]['nats_per_token']:.4f}" for key in ("model", "baseline"))
            print(f"{nats}\t{row['num_tokens']}\t{row['text']}")
