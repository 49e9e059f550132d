"""`rnnkit predict`: score the lines that come in on stdin."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rnnkit.errors import ArgumentError, DataError, RnnkitError


class LineFormat(StrEnum):
    """How a scored line is written."""

    JSONL = "jsonl"
    TSV = "tsv"


def predict(
    run: Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")],
    output: Annotated[LineFormat, typer.Option("--format", help="jsonl, or tsv: nats, tokens, text.")] = LineFormat.TSV,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format jsonl.")] = False,
    encoding: Annotated[str, typer.Option(help="Of the lines.")] = "utf-8",
    as_bytes: Annotated[bool, typer.Option("--bytes", help="Score bytes as they are; for a byte model.")] = False,
) -> None:
    """Score every line of stdin with the model of RUN, each from a fresh state: its total nats, and per character."""
    from rnnkit.api import LanguageModel

    model = LanguageModel.load(run)
    for number, line in enumerate(sys.stdin.buffer, start=1):
        try:
            raw = line.removesuffix(b"\n")
            text = raw.decode(encoding, "replace" if as_bytes else "strict")
            score = model.score(raw if as_bytes else text).to_dict() if raw else {"nll": 0.0, "num_tokens": 0}
        except UnicodeDecodeError as error:
            raise DataError(
                f"stdin, line {number}, byte {error.start}: not {encoding}; name the --encoding, or use --bytes"
            ) from None
        except LookupError:
            raise ArgumentError(f"there is no encoding {encoding!r}; try utf-8, latin-1 or cp1252") from None
        except RnnkitError as error:
            raise type(error)(f"stdin, line {number}: {error}") from None
        if as_json or output is LineFormat.JSONL:
            print(json.dumps({"text": text, **score}, ensure_ascii=False), flush=True)
        else:
            print(f"{score['nll']:.4f}\t{score['num_tokens']}\t{text}", flush=True)
