"""What `rnnkit predict` does with a model that writes: a text for each line of stdin or of a file, or each record."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from rnnkit.cli import lines
from rnnkit.errors import DataError, RnnkitError

if TYPE_CHECKING:
    from rnnkit.api import Describer, Translator
    from rnnkit.data import Record

_CHUNK = 1 << 16


def write(model: Translator, file: Path | None, encoding: str, *, is_jsonl: bool, options: dict[str, Any]) -> None:
    """Print what the model writes for every source.

    A line for each: the text; with n_best its number, score and text for each of them; or an object.

    Args: options: of `translate`, in place of those of the run's table; n_best may be None.
    """
    how = {**model.decoding, **options}
    n_best = how.pop("n_best", None)

    def show_lines(name: str, first: int, given: Sequence[str]) -> None:
        show(name, first, list(map(model.source_of_line, given)))

    def show(name: str, first: int, sources: Sequence[str]) -> None:
        for number, source in enumerate(sources, start=first):
            try:
                model.texts.encode_source(source)
            except RnnkitError as error:
                raise type(error)(f"{name}, line {number}: {error}") from None
        found = iter(model.translate([one for one in sources if one.strip()], n_best=n_best or 1, **how))
        for number, source in enumerate(sources, start=first):
            hypotheses = next(found) if source.strip() else []  # an empty line stays one
            if is_jsonl:
                shown = {"source": source, "hypotheses": [asdict(one) for one in hypotheses]}
                print(json.dumps(shown, ensure_ascii=False))
            elif n_best is None:
                print(hypotheses[0].text if hypotheses else "")
            else:
                for one in hypotheses:
                    print(number, f"{one.score:.4f}", one.text, sep="\t")
        sys.stdout.flush()

    if file is not None and model.is_table(file):
        show(str(file), 1, model.read(file, encoding=encoding).sources)
        return
    if file is None:
        _each_chunk("stdin", sys.stdin.buffer, encoding, show_lines)
        return
    try:
        with file.open("rb") as stream:
            _each_chunk(str(file), stream, encoding, show_lines)
    except OSError as error:
        raise DataError(f"{file}: cannot be opened: {error.strerror}; check the name") from None


def say(model: Describer, file: Path | None, encoding: str, *, is_jsonl: bool, options: dict[str, Any]) -> None:
    """Print what the model says of every record of a file, or on a line of stdin; as `write`, with slot errors.

    Args: options: of `describe`, in place of those of the run's table; n_best may be None.
    """
    how = dict(options)
    n_best = how.pop("n_best", None)

    def show(first: int, records: Sequence[Record | None]) -> None:
        found = iter(model.describe([one for one in records if one is not None], n_best=n_best or 1, **how))
        for number, record in enumerate(records, start=first):
            descriptions = next(found) if record is not None else []  # an empty line stays one
            if is_jsonl:
                said = {} if record is None else {"act": record.act, "slots": record.slots}
                print(json.dumps({**said, "texts": [asdict(one) for one in descriptions]}, ensure_ascii=False))
            elif n_best is None:
                print(descriptions[0].text if descriptions else "")
            else:
                for one in descriptions:
                    print(number, f"{one.score:.4f}", one.errors, one.text, sep="\t")
        sys.stdout.flush()

    def show_lines(name: str, first: int, given: Sequence[str]) -> None:
        numbered = enumerate(given, start=first)
        show(
            first, [model.record(line, f"{name}, line {number}") if line.strip() else None for number, line in numbered]
        )

    if file is None:
        _each_chunk("stdin", sys.stdin.buffer, encoding, show_lines)
    else:
        show(1, model.read(file, encoding=encoding).records)


def _each_chunk(name: str, stream: IO[bytes], encoding: str, show: Any) -> None:
    """Show what there is before waiting for more: lines from a pipe together, a single one that awaits its answer."""
    waiting: list[str] = []
    done = 0

    def flush() -> None:
        nonlocal done
        if waiting:
            show(name, done + 1, waiting)
            done += len(waiting)
            waiting.clear()

    def chunks() -> Iterator[bytes]:
        while data := stream.read1(_CHUNK):  # type: ignore[attr-defined]
            yield data
            flush()

    for line in lines.text_lines(chunks(), encoding, name=name):
        waiting.append(line)
    flush()
