"""Everything that `doctor` counts in a text, in one pass over its pieces."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from rnnkit.data.documents import Document, utf8
from rnnkit.text.word import words_of

MIN_DUPLICATE = 20  # shorter lines repeat without meaning anything
_SUSPECT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u200b\u2060\ufeff\ufffd\u202a-\u202e\u2066-\u2069]")
_MISREAD = re.compile("Ã[\x80-\xbf]|â(?:€|\x80)|Â[\xa0-\xbf]")  # UTF-8 that was read as Latin-1 or cp1252


@dataclass
class Survey:
    """Counts of one text. Places are "name:line"; histograms count in powers of two: k → lengths 2^k … 2^(k+1)−1."""

    num_characters: int = 0
    num_bytes: int = 0
    num_lines: int = 0
    num_documents: int = 0
    characters: np.ndarray = field(default_factory=lambda: np.zeros(0x110000, np.int64))  # by code point
    words: Counter[str] = field(default_factory=Counter)
    lines: dict[bytes, str] = field(default_factory=dict)  # digest of a line → where it first stood
    num_long_lines: int = 0  # of at least MIN_DUPLICATE characters: those that are compared
    num_repeated: int = 0  # of those, how many stood before
    suspects: dict[str, str] = field(default_factory=dict)  # character → first place
    misread: str | None = None  # first place
    not_composed: str | None = None  # first place whose characters are not in NFC
    num_spaced_marks: int = 0
    longest_line: tuple[int, str] = (0, "")
    line_lengths: Counter[int] = field(default_factory=Counter)
    document_lengths: Counter[int] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    split_punctuation: bool = False  # whether `words` has punctuation marks as words of their own

    @classmethod
    def of(cls, documents: Iterable[Document], *, split_punctuation: bool = False) -> Survey:
        """Count. Cost: one pass; memory for the distinct words, and about 150 bytes per distinct long line."""
        survey = cls(split_punctuation=split_punctuation)
        for document in documents:
            survey._add(document)
        return survey

    @property
    def num_words(self) -> int:
        return self.words.total()

    @property
    def distinct_characters(self) -> int:
        return int(np.count_nonzero(self.characters))

    @property
    def looks_tokenised(self) -> bool:
        """Whether words and punctuation already stand apart: "the end ." """
        marks = self.characters[ord(".")] + self.characters[ord(",")]
        return self.words["<unk>"] > 0 or (marks > 100 and self.num_spaced_marks > 0.9 * marks)

    def _add(self, document: Document) -> None:
        before = self.num_characters
        self.num_documents += 1
        for number, line in enumerate(_lines(self._counted(document)), document.first_line()):
            self._add_line(line, f"{document.name}:{number}")
        self.document_lengths[_octave(self.num_characters - before)] += 1
        self.notes += [f"{document.name}: {note}" for note in document.notes]

    def _counted(self, document: Document) -> Iterator[str]:
        for piece in document.pieces():
            data = utf8(piece, document.name)
            text = piece if isinstance(piece, str) else piece.decode("latin-1")
            self.num_characters += len(text)
            self.num_bytes += len(data)
            counts = np.bincount(np.frombuffer(text.encode("utf-32-le"), "<u4"))
            self.characters[: len(counts)] += counts
            yield text

    def _add_line(self, line: str, place: str) -> None:
        self.num_lines += 1
        self.line_lengths[_octave(len(line))] += 1
        if len(line) > self.longest_line[0]:
            self.longest_line = len(line), place
        words = line.split()
        self.words.update(words_of(line, split_punctuation=True) if self.split_punctuation else words)
        self.num_spaced_marks += words.count(".") + words.count(",")
        for character in set(_SUSPECT.findall(line)):
            self.suspects.setdefault(character, place)
        if not line.isascii():
            if self.misread is None and _MISREAD.search(line):
                self.misread = place
            if self.not_composed is None and not unicodedata.is_normalized("NFC", line):
                self.not_composed = place
        stripped = line.strip()
        if len(stripped) >= MIN_DUPLICATE:
            self.num_long_lines += 1
            key = hashlib.blake2b(stripped.encode(), digest_size=12).digest()
            if self.lines.setdefault(key, place) is not place:
                self.num_repeated += 1


def _lines(pieces: Iterable[str]) -> Iterator[str]:
    held: list[str] = []
    for piece in pieces:
        first, *rest = piece.split("\n")
        held.append(first)
        for line in rest:
            yield "".join(held)
            held = [line]
    if last := "".join(held):
        yield last


def _octave(length: int) -> int:
    """k for a length of 2^k … 2^(k+1)−1; −1 for 0."""
    return length.bit_length() - 1
