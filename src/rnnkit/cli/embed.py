"""`rnnkit embed`: a vector for every line that comes in on stdin, or for every sequence of a file."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnnkit.errors import RnnkitError, UsageError

if TYPE_CHECKING:
    from rnnkit.api import BidirectionalLanguageModel, Classifier, LanguageModel

_AT_ONCE = 512  # lines


def embed(
    run: Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")],
    file: Annotated[
        Path | None,
        typer.Argument(help="What to read in place of stdin: lines; for a classifier also a table or its series."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help=".npy: float32 [N, F]; .jsonl: text and vector on each line; default: the latter to stdout."),
    ] = None,
    readout: Annotated[
        str | None,
        typer.Option(metavar="KIND,KIND", help="Of a language model: last, mean, max, side by side; default: last."),
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="Of products: fp32, fp32_split, bf16, int8 or auto; else as it was trained.")
    ] = None,
    encoding: Annotated[str, typer.Option(help="Of the lines.")] = "utf-8",
    as_bytes: Annotated[bool, typer.Option("--bytes", help="Read bytes as they are; for a byte model.")] = False,
) -> None:
    """A vector for each line of stdin, or of FILE: what a classifier decides by, or a language model's outputs."""
    import numpy as np

    from rnnkit import api, durable
    from rnnkit.cli import terminal

    if out is not None and out.suffix not in (".npy", ".jsonl"):
        raise UsageError(f"--out {out} must end in .npy or .jsonl")
    model = api.load(run, precision=precision)
    if isinstance(model, api.Tagger):
        raise UsageError(f"{run} holds a tagger, which has an output for each word and no vector for a text")
    if isinstance(model, api.Describer):
        raise UsageError(f"{run} holds a model that says records; rnnkit predict runs it")
    if isinstance(model, api.Translator):
        raise UsageError(f"{run} holds a model that writes a text for another; rnnkit predict runs it")
    if isinstance(model, api.Simulator):
        raise UsageError(f"{run} holds a simulator, which reads records and no texts; rnnkit predict runs it")
    if isinstance(model, api.Forecaster):
        raise UsageError(f"{run} holds a forecaster, which reads series and no texts; rnnkit predict runs it")
    if isinstance(model, api.Classifier) and readout is not None:
        raise UsageError("--readout is a language model's; a classifier reads out as it was trained: leave it out")
    options = {} if readout is None else {"readout": readout.split(",")}
    rows, vectors, lines = _sequences(model, file, encoding, as_bytes), [], []
    while chunk := list(islice(rows, _AT_ONCE)):
        found = model.embed([_encoded(model, place, sequence) for place, sequence in chunk], **options)
        if out is not None and out.suffix == ".npy":
            vectors.append(found)
            continue
        for (place, sequence), vector in zip(chunk, found, strict=True):
            text = sequence.decode(errors="replace") if isinstance(sequence, bytes) else sequence
            shown = {"text": text} if isinstance(text, str) else {"place": place}
            # nine digits tell any two float32 apart
            line = json.dumps({**shown, "vector": [float(f"{value:.9g}") for value in vector]}, ensure_ascii=False)
            if out is None:
                print(line, flush=True)
            else:
                lines.append(line + "\n")
    if out is None:
        return
    data = "".join(lines).encode()
    if out.suffix == ".npy":
        buffer = io.BytesIO()
        np.save(buffer, np.concatenate(vectors) if vectors else model.embed([], **options), allow_pickle=False)
        data = buffer.getvalue()
    durable.write_file(out, data)
    terminal.note(f"wrote {out}")


def _sequences(
    model: LanguageModel | BidirectionalLanguageModel | Classifier, file: Path | None, encoding: str, as_bytes: bool
) -> Iterator[tuple[str, Any]]:
    """Every sequence after its place."""
    from rnnkit import api
    from rnnkit.cli import lines

    if isinstance(model, api.Classifier) and lines.reads_file(model, file, as_bytes=as_bytes):
        yield from model.read(file, encoding=encoding)  # type: ignore[arg-type]
        return
    with lines.given(file, encoding=encoding, as_bytes=as_bytes) as (name, texts):
        for number, text in enumerate(texts, start=1):
            yield f"{name}, line {number}", text


def _encoded(model: LanguageModel | BidirectionalLanguageModel | Classifier, place: str, sequence: Any) -> Any:
    """What the layers read. Raises: as the model's tokeniser, naming the place."""
    from rnnkit import api

    try:
        return model.encode(sequence) if isinstance(model, api.Classifier) else model.tokenizer.encode(sequence)
    except RnnkitError as error:
        raise type(error)(f"{place}: {error}") from None
