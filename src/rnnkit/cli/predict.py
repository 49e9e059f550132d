"""`rnnkit predict`: score the lines that come in on stdin."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class LineFormat(StrEnum):
    """How a scored line is written."""

    JSONL = "jsonl"
    TSV = "tsv"


def predict(
    run: Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")],
    output: Annotated[LineFormat, typer.Option("--format", help="jsonl, or tsv: nats, tokens, text.")] = LineFormat.TSV,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format jsonl.")] = False,
) -> None:
    """Score every line of stdin with the model of RUN, each from a fresh state: its total nats, and per character."""
    from rnnkit.api import LanguageModel
    from rnnkit.errors import RnnkitError

    model = LanguageModel.load(run)
    sys.stdin.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    for number, line in enumerate(sys.stdin, start=1):
        text = line.removesuffix("\n")
        try:
            score = model.score(text).to_dict() if text else {"nll": 0.0, "num_tokens": 0}
        except RnnkitError as error:
            raise type(error)(f"stdin, line {number}: {error}") from None
        if as_json or output is LineFormat.JSONL:
            print(json.dumps({"text": text, **score}, ensure_ascii=False), flush=True)
        else:
            print(f"{score['nll']:.4f}\t{score['num_tokens']}\t{text}", flush=True)
