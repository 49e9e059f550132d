"""Readers: files, many files, folders, .gz and stdin as documents; what cannot be read is named, with a remedy."""

from __future__ import annotations

import codecs
import contextlib
import gzip
import io
import os
import stat
import sys
import tempfile
import weakref
import zlib
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import IO

from rnnkit.data.documents import PIECE_SIZE, Document, default_documents
from rnnkit.errors import ArgumentError, DataError, nearest

FOLDER_SUFFIXES = (".txt", ".txt.gz")
_FEW_NULS = 100  # a text may hold; more of them, and a fifth of all characters, and it is no text
_SPOOL_BYTES = 1 << 26  # stdin and pipes up to this size stay in memory, longer ones go to a temporary file


def read_documents(
    sources: Sequence[str | Path] | None, *, encoding: str = "utf-8", as_bytes: bool = False, errors: str = "strict"
) -> list[Document]:
    """The documents of `sources`, one per file, in order. Nothing is read yet but the first bytes.

    Args:
        sources: files, "-" for stdin, and folders: every file below one whose name ends in .txt or .txt.gz, sorted by
            path (hidden files and folders are left out). A name ending in .gz is decompressed. None: the text that
            ships inside Python (`default_documents`).
        encoding: of all files. A byte order mark is removed; CR LF becomes LF, and a CR alone stays. Both are noted.
        as_bytes: read bytes as they are, with no change at all, for a byte tokeniser.
        errors: "surrogateescape" keeps each byte that is not in `encoding` as a lone surrogate instead of raising.
    Raises: DataError for a file that is missing (with the nearest name), unreadable or empty; while reading, for
        bytes that are not in `encoding`, for a text full of NULs and for damaged .gz data (with the place).
        ArgumentError for an encoding that does not exist.
    """
    if sources is None:
        if as_bytes:
            return [Document(document.name, document.text.encode()) for document in default_documents()]  # type: ignore[union-attr]
        return default_documents()
    if isinstance(sources, str | Path):
        sources = [sources]
    encoding = _checked_encoding(encoding)
    documents = [
        FileDocument(path, encoding=encoding, as_bytes=as_bytes, errors=errors)
        for source in sources
        for path in _files(str(source))
    ]
    if not documents:
        raise DataError("no source was named; give a file, a folder, or - for stdin")
    if all(document.is_empty for document in documents):
        raise DataError(f"{documents[0].name}: the file is empty; give a file with text")
    return [document for document in documents if not document.is_empty]


class FileDocument(Document):
    """A document that is read from its file each time; stdin and pipes are kept aside on the first reading."""

    def __init__(self, path: str, *, encoding: str, as_bytes: bool, errors: str = "strict") -> None:
        self.name = "<stdin>" if path == "-" else path
        self.notes = []
        self._length = None
        self._path, self._encoding, self._as_bytes, self._errors = path, encoding, as_bytes, errors
        self._spool = _spooled(path)
        if self._spool is not None:
            weakref.finalize(self, self._spool.close)
        self._gzip = path.endswith(".gz")
        with self._opened() as file:
            self._first = self._read(file, 4, at=0)
        self.is_empty = not self._first
        if not as_bytes:
            self._look_at_first_bytes()

    def pieces(self) -> Iterator[str] | Iterator[bytes]:
        return self._byte_pieces() if self._as_bytes else self._text_pieces()

    def _byte_pieces(self) -> Iterator[bytes]:
        at = 0
        with self._opened() as file:
            while data := self._read(file, PIECE_SIZE, at=at):
                yield data
                at += len(data)

    def _text_pieces(self) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder(self._encoding)(self._errors)
        at, line, held, num_crlf, is_first = 0, 1, "", 0, True
        for data in chain(self._byte_pieces(), [b""]):  # the empty piece ends the decoder
            pending = len(decoder.getstate()[0])
            try:
                text = held + decoder.decode(data, final=not data)
            except UnicodeError as error:
                raise self._bad_bytes(error, at=at - pending, line=line) from None
            at += len(data)
            if is_first and text:
                is_first = False
                if text[0] == "\ufeff":
                    text = text[1:]
                    self._note("byte order mark removed")
            nuls = text.count("\0")
            if nuls > max(_FEW_NULS, len(text) // 5):
                raise DataError(
                    f"{self.name}: {nuls:,} of {len(text):,} characters from line {line} on are NUL, as in UTF-16 or "
                    "a binary file; pass --encoding utf-16-le or utf-16-be, or --bytes"
                )
            held = ""
            if data and text.endswith("\r"):  # its LF may stand in the next piece
                text, held = text[:-1], "\r"
            line += text.count("\n")
            num_crlf += text.count("\r\n")
            if text:
                yield text.replace("\r\n", "\n")
        if num_crlf:
            self._note(f"{num_crlf:,} line ends CR LF read as LF")

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        with contextlib.ExitStack() as stack:
            if self._spool is not None:
                file: IO[bytes] = self._spool
                file.seek(0)
            else:
                try:
                    file = stack.enter_context(Path(self._path).open("rb"))
                except OSError as error:
                    raise DataError(f"{self.name}: cannot be opened: {error.strerror}; check its permissions") from None
            yield stack.enter_context(gzip.GzipFile(fileobj=file)) if self._gzip else file  # type: ignore[misc]

    def _read(self, file: IO[bytes], size: int, *, at: int) -> bytes:
        try:
            return file.read(size)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DataError(
                f"{self.name}: damaged gzip data after {at:,} decompressed bytes ({error}); "
                "fetch the file again, or rename it if it is not compressed"
            ) from None
        except OSError as error:
            raise DataError(f"{self.name}: cannot be read at byte {at:,}: {error.strerror}; check the disk") from None

    def _look_at_first_bytes(self) -> None:
        if self._first[:2] == b"\x1f\x8b":
            raise DataError(f"{self.name}: this is gzip data; name the file with .gz at the end, or pass --bytes")
        for mark, name in ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
            if self._first.startswith(mark) and self._encoding == "utf-8":
                raise DataError(f"{self.name}: byte offset 0 holds a UTF-16 byte order mark; pass --encoding {name}")

    def _bad_bytes(self, error: UnicodeError, *, at: int, line: int) -> DataError:
        if not isinstance(error, UnicodeDecodeError):
            return DataError(f"{self.name}: is not {self._encoding} ({error}); pass --encoding NAME, or --bytes")
        offset = at + error.start
        line += error.object[: error.start].count(b"\n")
        what = f"byte 0x{error.object[error.start]:02x}" if error.start < len(error.object) else "the end of the file"
        other = "latin-1" if self._encoding == "utf-8" else "utf-8"
        return DataError(
            f"{self.name}: {what} at offset {offset}, line {line}, is not valid {self._encoding} ({error.reason}); "
            f"pass --encoding {other} (or whatever the file is in), or --bytes to read it as bytes"
        )


def _checked_encoding(encoding: str) -> str:
    try:
        io.TextIOWrapper(io.BytesIO(), encoding=encoding)  # refuses codecs that are not from bytes to text
        return codecs.lookup(encoding).name
    except LookupError:
        from encodings.aliases import aliases

        known = sorted({*aliases, *aliases.values()})
        near = nearest(encoding.lower().replace("-", "_"), known)
        hint = f"did you mean {near!r}?" if near else "utf-8, latin-1, cp1252 and utf-16 are usual ones"
        raise ArgumentError(f"there is no text encoding {encoding!r}; {hint}") from None


def _files(source: str) -> list[str]:
    """The files of one source."""
    if source == "-":
        return [source]
    path = Path(source)
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise _missing(path) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise DataError(f"{source!r}: cannot be opened: {error}; check the name and its permissions") from None
    if stat.S_ISDIR(mode):
        return _files_below(path)
    if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
        raise DataError(f"{source}: is a device or a socket; give a file, a folder, or - for stdin")
    return [source]


def _files_below(folder: Path) -> list[str]:
    found, others = [], 0
    for parent, folders, names in os.walk(folder, onerror=_refuse_folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            if name.startswith("."):
                continue
            if name.endswith(FOLDER_SUFFIXES):
                found.append(Path(parent, name))
            else:
                others += 1
    if not found:
        raise DataError(
            f"{folder}: no file in this folder ends in {' or '.join(FOLDER_SUFFIXES)} ({others} others do not count); "
            "name the files themselves"
        )
    return [str(path) for path in sorted(found, key=lambda path: path.relative_to(folder).parts)]


def _refuse_folder(error: OSError) -> None:
    raise DataError(f"{error.filename}: the folder cannot be read: {error.strerror}; check its permissions")


def _missing(path: Path) -> DataError:
    parent = path.parent
    while not parent.is_dir():  # the first part of the path that does not exist is what was misspelt
        path, parent = parent, parent.parent
    try:
        near = nearest(path.name, [entry.name for entry in parent.iterdir()])
    except OSError:
        near = None
    hint = f"did you mean {parent / near}?" if near else f"look at what is in {parent.resolve()}"
    return DataError(f"{path}: no such file or folder; {hint}")


def _spooled(path: str) -> IO[bytes] | None:
    """A copy of what can be read only once: stdin, or a named pipe; None for a file."""
    if path != "-" and stat.S_ISREG(Path(path).stat().st_mode):
        return None
    spool = tempfile.SpooledTemporaryFile(_SPOOL_BYTES)  # noqa: SIM115 - lives as long as the document
    with contextlib.ExitStack() as stack:
        stream = sys.stdin.buffer if path == "-" else stack.enter_context(Path(path).open("rb"))
        while data := stream.read(PIECE_SIZE):
            spool.write(data)
    return spool  # type: ignore[return-value]
