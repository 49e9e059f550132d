"""`rnnkit doctor`: what a text will do to training, before training."""

from __future__ import annotations

from typing import Annotated

import typer


def doctor(
    sources: Annotated[list[str], typer.Argument(help="Files, folders, .gz, or - for stdin.", metavar="SOURCES…")],
    tokenizer: Annotated[str, typer.Option(help="byte, char, word or bpe.")] = "char",
    encoding: Annotated[str, typer.Option(help="The text's encoding.")] = "utf-8",
    as_bytes: Annotated[bool, typer.Option("--bytes", help="Read the text as bytes, whatever they mean.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Report encoding, vocabulary and its cost, unknown words, duplicates, lengths, memory and time of a text."""
    from rnnkit import api
    from rnnkit.cli import terminal

    report = api.doctor(sources, tokenizer=tokenizer, encoding=encoding, as_bytes=as_bytes)
    if as_json:
        terminal.print_json(report.to_dict())
        return
    for line in report.lines():
        print(line)
