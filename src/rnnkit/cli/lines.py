"""The lines of a file or of stdin, for the verbs that judge each by itself."""

from __future__ import annotations

import codecs
import contextlib
import io
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING

from rnnkit.errors import ArgumentError, DataError, UsageError

if TYPE_CHECKING:
    from rnnkit.api import Classifier


@contextlib.contextmanager
def given(file: Path | None, *, encoding: str, as_bytes: bool) -> Iterator[tuple[str, Iterator[str] | Iterator[bytes]]]:
    """The name for messages, and the lines, of a file or of stdin. Raises: DataError; as `text_lines`."""
    with contextlib.ExitStack() as stack:
        name = "stdin" if file is None else str(file)
        try:
            stream: IO[bytes] = sys.stdin.buffer if file is None else stack.enter_context(file.open("rb"))
        except OSError as error:
            raise DataError(f"{file}: cannot be opened: {error.strerror}; check the name") from None
        yield name, byte_lines(stream) if as_bytes else text_lines(stream, encoding, name=name)


def reads_file(model: Classifier, file: Path | None, *, as_bytes: bool) -> bool:
    """Whether a classifier reads its sequences out of a table or a file of series, and not line by line.

    Raises: UsageError where it reads series and there is no file, and for bytes of what is no lines.
    """
    is_of_series = bool(model.config["model"]["input_size"])
    if is_of_series and file is None:
        raise UsageError("this classifier reads series of numbers, which stdin cannot give; name a .ts or .npz FILE")
    is_read = file is not None and (is_of_series or model.is_table(file))
    if is_read and as_bytes:
        raise UsageError(f"--bytes has no effect on {file}, which is a table or holds series; leave it out")
    return is_read


def byte_lines(stream: IO[bytes]) -> Iterator[bytes]:
    """The lines as they are, without their newline."""
    return (line.removesuffix(b"\n") for line in stream)


def text_lines(stream: Iterable[bytes], encoding: str, *, name: str = "stdin") -> Iterator[str]:
    """The lines of bytes, however those are cut, as training reads a text, each as it comes: no byte order mark, CR LF
    as LF, a CR alone stays.

    Raises: ArgumentError for an encoding that there is not; DataError with `name` and place for bytes that are not it.
    """
    try:
        io.TextIOWrapper(io.BytesIO(), encoding=encoding)  # refuses codecs that are not from bytes to text
    except LookupError:
        raise ArgumentError(f"there is no text encoding {encoding!r}; try utf-8, latin-1 or cp1252") from None
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    held, number = "", 1
    for data in chain(stream, [b""]):  # cut at bytes 0x0a, which need not be line ends; the empty one ends the decoder
        try:
            *lines, held = (held + decoder.decode(data, final=not data)).split("\n")
        except UnicodeError as error:
            place = f"{name}, line {number}, byte {getattr(error, 'start', 0)}"
            raise DataError(f"{place}: not {encoding}; name the --encoding, or use --bytes") from None
        for line in lines:
            yield (line.removeprefix("\ufeff") if number == 1 else line).removesuffix("\r")
            number += 1
    if held:
        yield held.removeprefix("\ufeff") if number == 1 else held
