"""Documents: texts with a name, read in pieces, so that a text larger than memory is as good as a short one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from itertools import accumulate

from rnnkit.errors import ArgumentError, DataError

PIECE_SIZE = 1 << 20  # characters or bytes read at a time


class Document:
    """A text held in memory; the readers' subclasses read theirs anew each time.

    Args:
        name: what messages call it: a path, "<stdin>", "pydoc_data.topics".
        text: str, or bytes when the document is read as bytes.
    Attributes:
        notes: what was changed while reading, for the user to be told ("byte order mark removed"). Complete after the
            document was read once.
    """

    def __init__(self, name: str, text: str | bytes) -> None:
        self.name = name
        self.notes: list[str] = []
        self._text = text
        self._length: int | None = len(text)

    def pieces(self) -> Iterator[str] | Iterator[bytes]:
        """The content from the start, in pieces cut anywhere; none for an empty document.

        Raises: DataError naming the file, the byte offset and the remedy.
        """
        text = self._text
        for start in range(0, len(text), PIECE_SIZE):
            yield text[start : start + PIECE_SIZE]  # type: ignore[misc]

    @property
    def text(self) -> str | bytes:
        """The whole content, in memory."""
        pieces = list(self.pieces())
        if pieces and isinstance(pieces[0], bytes):
            return b"".join(pieces)  # type: ignore[arg-type]
        return "".join(pieces)  # type: ignore[arg-type]

    def length(self) -> int:
        """Characters, or bytes when read as bytes. Cost: reads the document once; then remembered."""
        if self._length is None:
            self._length = sum(map(len, self.pieces()))
        return self._length

    def part(self, start: int, stop: int) -> Document:
        """Characters (or bytes) `start` … `stop`−1 as a document of its own, which reads from this one."""
        return _Part(self, start, stop)

    def first_line(self) -> int:
        """The number of the line it begins in, within its file; 1 unless it is a part."""
        return 1

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


class _Part(Document):
    def __init__(self, whole: Document, start: int, stop: int) -> None:
        self.name = whole.name
        self.notes = whole.notes
        self._whole, self._start, self._stop = whole, start, stop
        self._length = stop - start

    def first_line(self) -> int:
        before = sum(_count_lines(piece) for piece in self._whole.part(0, self._start).pieces())
        return self._whole.first_line() + before

    def pieces(self) -> Iterator[str] | Iterator[bytes]:
        at = 0
        for piece in self._whole.pieces():
            cut = piece[max(self._start - at, 0) : max(self._stop - at, 0)]
            if cut:
                yield cut  # type: ignore[misc]
            at += len(piece)
            if at >= self._stop:
                return


def digest(documents: Iterable[Document]) -> str:
    """SHA-256 of the documents' contents and boundaries; names do not count, nor how the content is stored."""
    total = hashlib.sha256()
    for document in documents:
        own = hashlib.sha256()
        for piece in document.pieces():
            own.update(utf8(piece, document.name))
        total.update(own.digest())
    return total.hexdigest()


def utf8(piece: str | bytes, name: str) -> bytes:
    """A piece as bytes. Raises: DataError naming a lone surrogate, which no file but a careless decoder gives."""
    if isinstance(piece, bytes):
        return piece
    try:
        return piece.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{name}: lone surrogate U+{ord(piece[error.start]):04X} after {piece[: error.start][-20:]!r} is no valid "
            "text; pass the encoding that the text is really in"
        ) from None


def default_documents() -> list[Document]:
    """The text that ships inside every Python: the language reference in `pydoc_data.topics`.

    One document: the topics in the order of their dict, each ending with a newline, with "\\n\\n" between them.
    465,126 characters in Python 3.11. The text differs between Python versions, so whoever quotes a figure
    quotes the version too; `Corpus.description` records both it and the text's SHA-256.
    """
    from pydoc_data.topics import topics

    return [Document("pydoc_data.topics", "\n\n".join(topics.values()))]


def split(
    documents: Iterable[Document], held_out: float = 0.1, *, by: str = "characters"
) -> tuple[list[Document], list[Document]]:
    """Cut documents into a training part and the end that is held out.

    With N characters in all documents together, the cut is at int((1 − held_out)·N).

    Args:
        held_out: the share of characters at the end (bytes, for documents read as bytes), 0 < held_out < 1.
        by: "characters" cuts exactly there, within a document; "lines" goes on to the start of the next line, so that
            no word is cut (and stays there where no line follows); "documents" holds out the last documents, as few of
            them as reach the share.
    Returns: (training, held-out): documents, and parts of the one that was cut.
    Raises: DataError when either part would be empty.
    Cost: reads the documents once to count.
    """
    documents = list(documents)
    if not 0 < held_out < 1:
        raise ArgumentError(f"held_out is {held_out}, it must be a share between 0 and 1; 0.1 holds out the last tenth")
    if by not in ("characters", "lines", "documents"):
        raise ArgumentError(f"cannot split by {by!r}; choose characters, lines or documents")
    lengths = [document.length() for document in documents]
    total = sum(lengths)
    cut = min(int((1 - held_out) * total), total - 1)
    if by == "documents":
        number = sum(end <= cut for end in accumulate(lengths))
        training, held = documents[:number], documents[number:]
    else:
        training, held, at = [], [], 0
        for document, length in zip(documents, lengths, strict=True):
            here = min(max(cut - at, 0), length)
            if by == "lines" and 0 < here < length:
                here = _next_line(document, here)
            if here == length:
                training.append(document)
            elif here == 0:
                held.append(document)
            else:
                training.append(document.part(0, here))
                held.append(document.part(here, length))
            at += length
    if not sum(document.length() for document in training) or not sum(document.length() for document in held):
        raise DataError(
            f"{names_of(documents)}: {total} characters in {len(documents)} documents cannot be split in two by {by}; "
            "give more text, or the held-out text itself with --valid FILE"
        )
    return training, held


def _count_lines(piece: str | bytes) -> int:
    return piece.count(b"\n") if isinstance(piece, bytes) else piece.count("\n")


def _next_line(document: Document, start: int) -> int:
    """Where the first line after character `start` begins, or `start` when none follows."""
    at = 0
    for piece in document.pieces():
        newline = b"\n" if isinstance(piece, bytes) else "\n"
        found = piece.find(newline, max(start - 1 - at, 0))  # type: ignore[arg-type]
        if found >= 0:
            after = at + found + 1
            return after if after < document.length() else start
        at += len(piece)
    return start


def names_of(documents: Iterable[Document], most: int = 3) -> str:
    """The documents' names for a message."""
    names = [document.name for document in documents]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
