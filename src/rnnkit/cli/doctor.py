"""`rnnkit doctor`: what a text will do to training, before training."""

from __future__ import annotations

from typing import Annotated, Any

import typer


def doctor(
    sources: Annotated[
        list[str] | None,
        typer.Argument(help="Files, folders, .gz, or - for stdin; nothing: the default text.", metavar="SOURCE"),
    ] = None,
    valid_sources: Annotated[
        list[str] | None, typer.Option("--valid", help="Text that will be judged on, or that chooses the weights.")
    ] = None,
    test_sources: Annotated[list[str] | None, typer.Option("--test", help="Text that will be judged on.")] = None,
    held_out: Annotated[float | None, typer.Option(help="Share held out at the end, without the two.")] = None,
    tokenizer: Annotated[str | None, typer.Option(help="byte, char, word or bpe.")] = None,
    vocab_size: Annotated[int | None, typer.Option(help="Most tokens.")] = None,
    min_count: Annotated[int | None, typer.Option(help="Tokens seen less often are unknown.")] = None,
    split_punctuation: Annotated[bool, typer.Option("--split-punctuation", help="Words: punctuation apart.")] = False,
    encoding: Annotated[str | None, typer.Option(help="The text's encoding.")] = None,
    as_bytes: Annotated[bool, typer.Option("--bytes", help="Read the text as bytes, whatever they mean.")] = False,
    hidden_size: Annotated[int | None, typer.Option(help="Units, for the estimates.")] = None,
    embedding_size: Annotated[int | None, typer.Option(help="Numbers per token, for the estimates.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Parallel streams, for the estimates.")] = None,
    window: Annotated[int | None, typer.Option(help="Steps of one update, for the estimates.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Report encoding, vocabulary and its cost, unknown words, duplicates, lengths, memory and time of a text.

    Exit code 1 says that training would refuse the text.
    """
    from rnnkit import api
    from rnnkit.cli import terminal

    options = {
        "held_out_sources": [*(valid_sources or []), *(test_sources or [])] or None,
        "held_out": held_out,
        "tokenizer": tokenizer,
        "vocab_size": vocab_size,
        "min_count": min_count,
        "encoding": encoding,
        "hidden_size": hidden_size,
        "embedding_size": embedding_size,
        "batch_size": batch_size,
        "window": window,
    }
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    report = api.doctor(sources or None, split_punctuation=split_punctuation, as_bytes=as_bytes, **given)
    if as_json:
        terminal.print_json(report.to_dict())
    else:
        for line in report.lines():
            print(line)
    if report.has_errors:
        raise typer.Exit(1)
