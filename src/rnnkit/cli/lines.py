"""The lines of a stream, for the verbs that judge each by itself."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from itertools import chain
from typing import IO

from rnnkit.errors import ArgumentError, DataError


def byte_lines(stream: IO[bytes]) -> Iterator[bytes]:
    """The lines as they are, without their newline."""
    return (line.removesuffix(b"\n") for line in stream)


def text_lines(stream: IO[bytes], encoding: str, *, name: str = "stdin") -> Iterator[str]:
    """The lines as training reads a text (no byte order mark, CR LF as LF, a CR alone stays), each as it comes.

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
