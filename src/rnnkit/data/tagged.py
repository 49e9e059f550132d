"""Tagged sequences out of CoNLL, CoNLL-U and JSONL files; faults are named by file, line and column."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Self, TypeVar

import numpy as np

from rnnkit.data.documents import utf8
from rnnkit.data.readers import read_documents
from rnnkit.errors import ArgumentError, DataError, nearest
from rnnkit.metrics.spans import OUTSIDE, Scheme, convert, detect_scheme, fault_of, split_tag

CONLLU_COLUMNS = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
WORD_KEYS = ("words", "tokens")
TAG_KEYS = ("tags", "labels")
_LINES = (".jsonl", ".ndjson")
_AROUND = 6  # words shown on each side of one
_DOCUMENT = "-DOCSTART-"


@dataclass(frozen=True)
class Tagged:
    """Sentences with a tag for every word.

    Attributes:
        sentences: words.  tags: one for each, as the file spells it; of a file read without them all "".
        files:     for each sentence the name of its file.
        lines:     for each word the number of its line there; of JSONL that of its sentence.
    """

    sentences: list[Any]
    tags: list[list[str]]
    files: list[str]
    lines: list[list[int]]

    noun: ClassVar = "tag"
    """What a message calls one."""

    def __len__(self) -> int:
        return len(self.sentences)

    def __getitem__(self, rows: np.ndarray) -> Self:
        """Those of `rows`, in their order."""
        parts = (self.sentences, self.tags, self.files, self.lines)
        return type(self)(*([part[row] for row in rows] for part in parts))

    def place(self, sentence: int, word: int = 0) -> str:
        """Where a word stands, for messages: "my.conll, line 7"."""
        shown = f"{self.files[sentence]}, line {self.lines[sentence][word]}"
        is_of_lines = len(set(self.lines[sentence])) == 1 < len(self.lines[sentence])
        return f"{shown}, word {word + 1}" if is_of_lines else shown

    def shown(self, sentence: int, word: int) -> dict[str, str]:
        """A word and those around it, for a report."""
        words = self.sentences[sentence]
        return {"word": words[word], "text": " ".join(words[max(word - _AROUND, 0) : word + _AROUND + 1])}

    @property
    def num_words(self) -> int:
        return sum(map(len, self.sentences))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of words and tags; where they stood does not count."""
        total = hashlib.sha256()
        for number, (words, tags) in enumerate(zip(self.sentences, self.tags, strict=True)):
            data = utf8("\n".join(f"{word}\t{tag}" for word, tag in zip(words, tags, strict=True)), self.place(number))
            total.update(len(data).to_bytes(8, "little") + data)
        return total.hexdigest()


TaggedT = TypeVar("TaggedT", bound=Tagged)


def read_tagged(
    sources: str | Path | Sequence[str | Path],
    *,
    word_column: str | None = None,
    tag_column: str | None = None,
    encoding: str = "utf-8",
    labelled: bool = True,
) -> Tagged:
    """The tagged sentences of files, in order.

    Args:
        sources: .conllu (ten columns; ranges and empty nodes are left out); .jsonl with an object on each line that has
            two lists of one length; anything else is CoNLL: a word on each line with its columns, between tabs, or
            where the first line has none between blanks; an empty line ends a sentence, and -DOCSTART- is left out.
            Each also as .gz.
        word_column, tag_column: a name for CoNLL-U (form and upos), a key for JSONL (words or tokens, tags or labels),
            the number from 1 for CoNLL (1, and the last one; negative ones count from the end).
        encoding: of all files.
        labelled: False: no tags are read, nor need there be any.
    Raises: DataError naming file, line and remedy: a file that cannot be read or has no sentence, a column that is
        missing, a line with another number of them, a word or tag that is empty.
    Cost:   holds all of them in memory.
    """
    columns = _Columns(word_column, tag_column, labelled)
    found = Tagged([], [], [], [])
    for source in [sources] if isinstance(sources, str | Path) else sources:
        before = len(found)
        for document in read_documents([source], encoding=encoding):
            suffix = Path(document.name.removesuffix(".gz")).suffix.lower()
            reader = _json_rows if suffix in _LINES else _conllu_rows if suffix == ".conllu" else _conll_rows
            text = document.text
            assert isinstance(text, str)
            rows: list[_Row] = []
            for row in (*reader(document.name, text.split("\n"), columns), None):
                if row is not None:
                    rows.append(row)
                elif rows:
                    found.sentences.append([row.word for row in rows])
                    found.tags.append([row.tag for row in rows])
                    found.files.append(document.name)
                    found.lines.append([row.line for row in rows])
                    rows = []
        if len(found) == before:
            raise DataError(f"{source}: holds no sentence; give a file with a word and its tag on each line")
    return found


def split_tagged(tagged: TaggedT, held_out: float, *, seed: int) -> tuple[TaggedT, TaggedT]:
    """(training, held out): the share `held_out` of the sequences, at random; the order of the file stays.

    Raises: DataError for a single sentence.
    """
    if not 0 < held_out < 1:
        raise ArgumentError(f"held_out is {held_out}, it must be a share between 0 and 1; 0.1 holds out every tenth")
    if len(tagged) < 2:
        raise DataError(
            f"{tagged.place(0)}: one sequence is left to train on, so none can be held out; give more, or --test FILE "
            "and --valid FILE"
        )
    count = min(max(round(held_out * len(tagged)), 1), len(tagged) - 1)
    is_held = np.zeros(len(tagged), bool)
    is_held[np.random.Generator(np.random.Philox(seed)).permutation(len(tagged))[:count]] = True
    return tagged[np.flatnonzero(~is_held)], tagged[np.flatnonzero(is_held)]


def scheme_of(tagged: Tagged, given: Scheme | Literal["auto", "none"] = "auto") -> Scheme | None:
    """The scheme of spans that tags are in; None: they are no spans. Raises: DataError naming the first fault's row.

    Args: given: "auto": told by the tags; "none": they are taken as they are.
    """
    if given == "none":
        return None
    scheme = detect_scheme(tagged.tags) if given == "auto" else given
    if scheme == "iob1" and given == "auto" and _first_fault(tagged, "iob1") is not None:
        scheme = "bio"  # with an error or more: in IOB1 a B would be one too
    return scheme


def in_scheme(tagged: Tagged, scheme: Scheme, *, to: Scheme, repair: bool = False) -> Tagged:
    """Tags of spans in another scheme.

    Args:   repair: read a tag that may not stand where it does as the CoNLL scorer does, see `metrics.spans_of`.
    Raises: DataError naming the first such row.
    """
    fault = _first_fault(tagged, scheme, is_repaired=repair)
    if fault is not None:
        (sentence, word), what = fault
        raise DataError(
            f"{tagged.place(sentence, word)}: the tag {what}; correct it, have all such read as the CoNLL scorer does "
            "with --repair, or take tags for plain ones with --scheme none"
        )
    return replace(tagged, tags=[convert(tags, to) for tags in tagged.tags])


def known_tags(tagged: Tagged, scheme: Scheme | None) -> list[str]:
    """The tags of training sentences, sorted; of spans all that the scheme has for each type, O first.

    Raises: DataError where there is one only.
    """
    found = {tag for tags in tagged.tags for tag in tags}
    if scheme is not None:
        letters = "BIES" if scheme == "bioes" else "BI"
        kinds = sorted({parts.type for tag in found if (parts := split_tag(tag)) and parts.type})
        return [OUTSIDE, *(f"{letter}-{kind}" for kind in kinds for letter in letters)]
    if len(found) < 2:
        raise DataError(f"{tagged.place(0)} and on: every {tagged.noun} is {min(found)!r}; give two or more")
    return sorted(found)


def tag_ids(tagged: Tagged, labels: Sequence[str]) -> list[np.ndarray]:
    """The place of every tag among `labels`, int64 [T] for each sentence. Raises: DataError naming an unseen one."""
    ids = {label: index for index, label in enumerate(labels)}
    for sentence, tags in enumerate(tagged.tags):
        for word, tag in enumerate(tags):
            if tag not in ids:
                shown = ", ".join(map(repr, labels[:5])) + (f" and {len(labels) - 5} more" if len(labels) > 5 else "")
                raise DataError(
                    f"{tagged.place(sentence, word)}: the {tagged.noun} {tag!r} is not among those trained on "
                    f"({shown}); correct it, or take it out"
                )
    return [np.array([ids[tag] for tag in tags], np.int64) for tags in tagged.tags]


class _Columns(NamedTuple):
    word: str | None
    tag: str | None
    labelled: bool


class _Row(NamedTuple):
    """A word of a file; None ends a sentence."""

    word: str
    tag: str
    line: int


_Rows = Iterator["_Row | None"]


def _first_fault(tagged: Tagged, scheme: Scheme, *, is_repaired: bool = False) -> tuple[tuple[int, int], str] | None:
    """(sentence, word) and what is wrong there; of repaired tags only what is no tag of a span at all."""
    for sentence, tags in enumerate(tagged.tags):
        if is_repaired:
            wrong = next((word for word, tag in enumerate(tags) if split_tag(tag) is None), None)
            if wrong is not None:
                return (sentence, wrong), f"{tags[wrong]!r} is no tag of a span"
        elif (fault := fault_of(tags, scheme)) is not None:
            return (sentence, fault[0]), fault[1]
    return None


def _conllu_rows(name: str, lines: list[str], columns: _Columns) -> _Rows:
    at = {}
    for what, given, usual in (("word", columns.word, "form"), ("tag", columns.tag, "upos")):
        column = (given or usual).lower()
        if column not in CONLLU_COLUMNS:
            near = nearest(column, CONLLU_COLUMNS)
            hint = f"; is it {near}?" if near else f"; it has {', '.join(CONLLU_COLUMNS)}"
            raise ArgumentError(f"CoNLL-U has no column {given!r} to read a {what} from{hint}")
        at[what] = CONLLU_COLUMNS.index(column)
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            yield None
        elif not line.startswith("#"):
            cells, place = line.split("\t"), f"{name}, line {number}"
            if len(cells) != len(CONLLU_COLUMNS):
                raise DataError(
                    f"{place}: {len(cells)} columns between tabs, CoNLL-U has {len(CONLLU_COLUMNS)}; mend it"
                )
            if "-" in cells[0] or "." in cells[0]:  # a range of words written as one, or a word that is not written
                continue
            yield _row(cells[at["word"]], cells[at["tag"]], number, place, columns)


def _conll_rows(name: str, lines: list[str], columns: _Columns) -> _Rows:
    word_at, tag_at = (_number(given, default) for given, default in ((columns.word, 1), (columns.tag, -1)))
    first = next((line for line in lines if line.strip() and not line.startswith(_DOCUMENT)), "")
    separator = "\t" if "\t" in first else None
    width = len(first.split(separator))
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            yield None
            continue
        if line.startswith(_DOCUMENT):
            continue
        cells, place = line.split(separator), f"{name}, line {number}"
        if len(cells) != width:
            between = "tabs" if separator else "blanks"
            raise DataError(f"{place}: {len(cells)} columns between {between}, the first line has {width}; mend it")
        wanted = [word_at, tag_at] if columns.labelled else [word_at]
        if any(not -width <= at < width for at in wanted) or (columns.labelled and word_at == tag_at % width):
            raise DataError(
                f"{place}: {width} columns between {'tabs' if separator else 'blanks'}, no word in column "
                f"{columns.word or 1} and a tag in column {columns.tag or 'last'}; give others with --word-column and "
                "--tag-column"
            )
        yield _row(cells[word_at], cells[tag_at] if columns.labelled else "", number, place, columns)


def _number(given: str | None, default: int) -> int:
    """The index of a column by its number from 1, or from −1 backwards."""
    try:
        number = default if given is None else int(given)
    except ValueError:
        number = 0
    if number == 0:
        raise ArgumentError(f"{given!r} is no column of a CoNLL file; give its number, from 1, or from -1 backwards")
    return number - 1 if number > 0 else number


def _json_rows(name: str, lines: list[str], columns: _Columns) -> _Rows:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        place = f"{name}, line {number}"
        try:
            value: Any = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{place}: is no JSON ({error}); every line holds one object") from None
        if not isinstance(value, dict):
            raise DataError(f"{place}: holds a {type(value).__name__}; every line holds one object")
        words = _strings(value, columns.word, WORD_KEYS, "--word-column", place)
        tags = _strings(value, columns.tag, TAG_KEYS, "--tag-column", place) if columns.labelled else [""] * len(words)
        if len(words) != len(tags):
            raise DataError(f"{place}: {len(words)} words and {len(tags)} tags; give each word one")
        for word, (text, tag) in enumerate(zip(words, tags, strict=True), start=1):
            yield _row(text, tag, number, f"{place}, word {word}", columns)
        yield None


def _strings(value: dict[str, Any], given: str | None, usual: Sequence[str], flag: str, place: str) -> list[str]:
    keys = [key for key in ([given] if given is not None else usual) if key in value]
    if len(keys) != 1:
        shown = ", ".join(map(str, value))[:200]
        wanted = given if given is not None else " or ".join(usual)
        raise DataError(f"{place}: {'more than one' if keys else 'no'} key {wanted} among {shown}; name it with {flag}")
    entries = value[keys[0]]
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise DataError(f"{place}, key {keys[0]!r}: a list of texts is wanted; split it into words")
    return entries


def _row(word: str, tag: str, line: int, place: str, columns: _Columns) -> _Row:
    if not word.strip():
        raise DataError(f"{place}: the word is empty; fill it in, or take the line out")
    if columns.labelled and not tag.strip():
        raise DataError(f"{place}: the tag is empty; fill it in, or take the line out")
    return _Row(word, tag if columns.labelled else "", line)
