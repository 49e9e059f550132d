"""A corpus: documents tokenised once into one memory-mapped file, so that a text larger than memory trains."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Self

import numpy as np

from rnnkit.data.documents import Document, digest, names_of, utf8
from rnnkit.errors import DataError, SaveError
from rnnkit.text import Tokenizer

_MAGIC = b"rnnkit tokens 1\n"  # 16 bytes: the tokens behind it stay aligned
_HINT = "delete it: it is made anew from the text"


@dataclass(frozen=True, eq=False)
class Corpus:
    """Token ids of documents, one after the other.

    Attributes:
        tokens: [N] unsigned integers of the smallest width that holds the vocabulary; a read-only memory map when the
            corpus is a file.
        document_starts: [D] int64, where each document begins in `tokens`; ascending, the first is 0.
        num_characters, num_bytes: of the text (bytes of its UTF-8). A document read as bytes counts as characters the
            bytes that are not UTF-8 continuation bytes, which is exact where it is valid UTF-8.
        num_unknown: how many of the tokens stand for unknown text.
        fingerprint: SHA-256 of ids and document starts; equal exactly when training would see the same.
        description: JSON-able: names of the documents, what was changed while reading them (`notes`), SHA-256 of the
            text, Python version, tokeniser kind and digest.
    """

    tokens: np.ndarray
    document_starts: np.ndarray
    num_characters: int
    num_bytes: int
    num_unknown: int
    fingerprint: str
    description: dict[str, Any]

    def __len__(self) -> int:
        return len(self.tokens)

    @classmethod
    def build(cls, documents: Iterable[Document], tokenizer: Tokenizer, path: str | Path | None = None) -> Self:
        """Tokenise `documents` piece by piece.

        Args:
            path: the file to keep the tokens in; None keeps them in memory. A file that already holds these documents
                in this tokeniser's ids (by SHA-256 of text and tokeniser) is opened and nothing is tokenised; any other
                corpus there is replaced, all at once when the new one is complete.
        Raises: DataError for an empty text, and whatever is wrong with it; SaveError naming path and bytes when the
            file cannot be written (what was there before is intact).
        Cost: reads the text once, and once more to compare digests when `path` exists. Memory: one piece, unless path
            is None.
        """
        documents = list(documents)
        if path is None:
            file = io.BytesIO()
            _write(file, documents, tokenizer)
            return cls._read(np.frombuffer(file.getvalue(), np.uint8), "<memory>")
        path = Path(path)
        with contextlib.suppress(DataError):
            if path.exists() and cls.open(path)._is_of(documents, tokenizer):
                return cls.open(path)
        _write_durably(path, documents, tokenizer)
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open what `build` wrote. Raises: DataError when there is no such file, or it is cut off or no corpus."""
        try:
            mapped = np.memmap(path, np.uint8, mode="r")
        except ValueError:
            raise DataError(f"{path}: an empty file, not a token file; {_HINT}") from None
        except OSError as error:
            raise DataError(f"{path}: the token file cannot be opened: {error.strerror}; build it first") from None
        return cls._read(mapped, str(path))

    def document(self, number: int) -> np.ndarray:
        """The tokens of one document."""
        ends = np.append(self.document_starts[1:], len(self.tokens))
        return self.tokens[self.document_starts[number] : ends[number]]

    def by_line(self, tokenizer: Tokenizer) -> Self:
        """The same tokens with every line as a document; it ends with the token that holds its newline."""
        after = 1 + np.flatnonzero(ends_of_lines(tokenizer)[self.tokens])
        starts = np.union1d(self.document_starts, after[after < len(self.tokens)]).astype("<i8")
        fingerprint = hashlib.sha256(bytes.fromhex(self.fingerprint) + starts.tobytes()).hexdigest()
        return replace(self, document_starts=starts, fingerprint=fingerprint)

    def _is_of(self, documents: list[Document], tokenizer: Tokenizer) -> bool:
        if self.description.get("tokenizer_sha256") != tokenizer.digest():
            return False
        return self.description.get("text_sha256") == digest(documents)

    @classmethod
    def _read(cls, data: np.ndarray, name: str) -> Self:
        """The file's parts: magic, tokens, document starts, JSON footer, its length (8 bytes), magic."""
        size, edge = len(data), len(_MAGIC)
        if size < 2 * edge + 8 or data[:edge].tobytes() != _MAGIC or data[-edge:].tobytes() != _MAGIC:
            raise DataError(f"{name}: this is no token file, or it is cut off; {_HINT}")
        footer_size = int.from_bytes(data[-edge - 8 : -edge].tobytes(), "little")
        footer_start = size - edge - 8 - footer_size
        if footer_start < edge:
            raise DataError(f"{name}: the token file's footer is longer than the file; {_HINT}")
        try:
            footer = json.loads(data[footer_start : size - edge - 8].tobytes())
            num_tokens, num_documents = int(footer.pop("num_tokens")), int(footer.pop("num_documents"))
            dtype = np.dtype({1: "<u1", 2: "<u2", 4: "<u4"}[footer.pop("token_bytes")])
            starts_at = edge + num_tokens * dtype.itemsize
            if min(num_tokens, num_documents) < 1 or starts_at + 8 * num_documents != footer_start:
                raise ValueError("sizes do not add up")
            return cls(
                tokens=data[edge:starts_at].view(dtype),
                document_starts=np.frombuffer(data[starts_at:footer_start].tobytes(), "<i8"),
                **footer,
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DataError(f"{name}: the token file is damaged ({error}); {_HINT}") from None


def ends_of_lines(tokenizer: Tokenizer) -> np.ndarray:
    """[V] bool: the tokens that hold a newline (of BPE, one may hold the next line's indentation too)."""
    return np.array(["\n" in tokenizer.decode([token]) for token in range(tokenizer.vocab_size)])


def token_dtype(vocab_size: int) -> np.dtype:
    """The narrowest unsigned integer for ids 0 … vocab_size−1."""
    return np.dtype("<u1" if vocab_size <= 1 << 8 else "<u2" if vocab_size <= 1 << 16 else "<u4")


def _write(file: IO[bytes], documents: list[Document], tokenizer: Tokenizer) -> None:
    dtype = token_dtype(tokenizer.vocab_size)
    starts: list[int] = []
    counts = {"num_characters": 0, "num_bytes": 0, "num_unknown": 0}
    num_tokens, fingerprint, text = 0, hashlib.sha256(), hashlib.sha256()
    file.write(_MAGIC)
    for document in documents:
        own, start = hashlib.sha256(), num_tokens
        try:
            for ids in tokenizer.encode_pieces(_counted(document, own, counts)):
                if tokenizer.unk_id is not None:
                    counts["num_unknown"] += int(np.count_nonzero(ids == tokenizer.unk_id))
                fingerprint.update(ids.astype("<i4").tobytes())
                file.write(ids.astype(dtype).tobytes())
                num_tokens += len(ids)
        except DataError as error:
            if str(error).startswith(document.name):
                raise
            raise DataError(f"{document.name}: {error}") from None
        text.update(own.digest())
        if num_tokens > start:  # a document without tokens (only spaces, for words) is none
            starts.append(start)
    if not num_tokens:
        raise DataError(f"{names_of(documents)}: the text has no tokens; give a text with at least one")
    array = np.array(starts, "<i8").tobytes()
    fingerprint.update(array)
    footer = {
        "num_tokens": num_tokens,
        "num_documents": len(starts),
        "token_bytes": dtype.itemsize,
        **counts,
        "fingerprint": fingerprint.hexdigest(),
        "description": {
            "documents": [document.name for document in documents[:1000]],
            "num_documents": len(documents),
            "notes": [f"{document.name}: {note}" for document in documents[:1000] for note in document.notes],
            "text_sha256": text.hexdigest(),
            "python": ".".join(map(str, sys.version_info[:3])),
            "tokenizer": tokenizer.kind,
            "tokenizer_sha256": tokenizer.digest(),
        },
    }
    footer_bytes = json.dumps(footer).encode()
    file.write(array + footer_bytes + len(footer_bytes).to_bytes(8, "little") + _MAGIC)


def _counted(document: Document, own: Any, counts: dict[str, int]) -> Iterator[Any]:
    """The document's pieces; passes them through the digest `own` and adds to `counts`."""
    for piece in document.pieces():
        data = utf8(piece, document.name)
        own.update(data)
        counts["num_bytes"] += len(data)
        counts["num_characters"] += len(piece) if isinstance(piece, str) else _num_characters(piece)
        yield piece


def _num_characters(data: bytes) -> int:
    codes = np.frombuffer(data, np.uint8)
    return int(np.count_nonzero((codes & 0xC0) != 0x80))


def _write_durably(path: Path, documents: list[Document], tokenizer: Tokenizer) -> None:
    """Write beside, sync, replace, sync the folder. A killed process leaves at most a `.part` file, which is litter."""
    written = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                try:
                    _write(file, documents, tokenizer)
                finally:
                    written = file.tell()
                file.flush()
                os.fsync(file.fileno())
            Path(part).replace(path)
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise SaveError(
            f"{path}: the token file could not be written after {written:,} bytes: {error.strerror or error}; "
            "free some space or name another folder"
        ) from None
