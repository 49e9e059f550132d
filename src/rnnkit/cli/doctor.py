"""`rnnkit doctor`: what a text will do to training, before training."""

from __future__ import annotations

from typing import Annotated

import typer


def doctor(
    sources: Annotated[
        list[str] | None,
        typer.Argument(help="Files, folders, .gz, or - for stdin; nothing: the default text.", metavar="[SOURCES…]"),
    ] = None,
    test_sources: Annotated[list[str] | None, typer.Option("--test", help="Text that will be judged on.")] = None,
    held_out: Annotated[float, typer.Option(help="Share held out at the end, without --test.")] = 0.1,
    vocab_size: Annotated[int | None, typer.Option(help="Most tokens.")] = None,
    min_count: Annotated[int, typer.Option(help="Tokens seen less often are unknown.")] = 1,
    tokenizer: Annotated[str, typer.Option(help="byte, char, word or bpe.")] = "char",
    encoding: Annotated[str, typer.Option(help="The text's encoding.")] = "utf-8",
    as_bytes: Annotated[bool, typer.Option("--bytes", help="Read the text as bytes, whatever they mean.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Report encoding, vocabulary and its cost, unknown words, duplicates, lengths, memory and time of a text.

    Exit code 1 says that training would refuse the text.
    """
    from rnnkit import api
    from rnnkit.cli import terminal

    report = api.doctor(
        sources or None,
        held_out_sources=test_sources or None,
        held_out=held_out,
        tokenizer=tokenizer,
        vocab_size=vocab_size,
        min_count=min_count,
        encoding=encoding,
        as_bytes=as_bytes,
    )
    if as_json:
        terminal.print_json(report.to_dict())
    else:
        for line in report.lines():
            print(line)
    if report.has_errors:
        raise typer.Exit(1)
