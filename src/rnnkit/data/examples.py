"""Labelled sequences out of tables, folders and files of series; faults are named by file, line and column."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnnkit import text
from rnnkit.data.documents import Document, utf8
from rnnkit.data.parquet import SUFFIX as PARQUET
from rnnkit.data.parquet import parquet_rows
from rnnkit.data.readers import read_documents
from rnnkit.data.series import npz_rows, ts_rows
from rnnkit.data.tables import SEPARATORS, cells_of, column_of
from rnnkit.errors import ArgumentError, DataError

LABEL_COLUMNS = ("label", "class", "target", "category", "sentiment")
TEXT_COLUMNS = ("text", "sentence", "document", "review", "name")
_LINES = (".jsonl", ".ndjson")
_SERIES = (".ts", ".npz")


Labels = str | tuple[str, ...]  # of one sequence: its label, or where it may have several all of them


@dataclass(frozen=True)
class Examples:
    """Sequences with a label each, or with any number of them.

    Attributes:
        inputs: texts, or series of frames float32 [T, I].
        labels: as the file spells them: a text each, or of every sequence a tuple of texts.
        places: where each one stands, for messages: "my.csv, line 7".
    """

    inputs: list[Any]
    labels: list[Any]
    places: list[str]

    def __post_init__(self) -> None:
        """Raises: DataError for sequences of more than one kind, naming the first of another."""
        sizes = [_input_size(sequence) for sequence in self.inputs]
        for size, place in zip(sizes, self.places, strict=True):
            if size != sizes[0]:
                shown = [f"frames of {one}" if one else "text" for one in (size, sizes[0])]
                raise DataError(f"{place}: {shown[0]} among {shown[1]}; give sequences of one kind and size")

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, rows: np.ndarray) -> Examples:
        """Those of `rows`, in their order."""
        return Examples(*([part[row] for row in rows] for part in (self.inputs, self.labels, self.places)))

    @property
    def input_size(self) -> int:
        """The dimensions I of every frame; 0 for texts."""
        return _input_size(self.inputs[0])

    @property
    def has_several(self) -> bool:
        """Whether a sequence may have several labels, or none."""
        return len(self) > 0 and not isinstance(self.labels[0], str)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of sequences and labels; where they stood does not count."""
        total = hashlib.sha256()
        for sequence, label, place in zip(self.inputs, self.labels, self.places, strict=True):
            for part in (sequence, *((label,) if isinstance(label, str) else (f"{len(label)} labels", *label))):
                data = utf8(part, place) if isinstance(part, str) else part.tobytes()
                total.update(len(data).to_bytes(8, "little") + data)
        return total.hexdigest()


def read_examples(
    sources: str | Path | Sequence[str | Path],
    *,
    label_column: str | None = None,
    text_column: str | None = None,
    encoding: str = "utf-8",
    labelled: bool = True,
    multi_label: bool = False,
    label_separator: str = ",",
) -> Examples:
    """The labelled sequences of files and folders, in order: texts, or series of numbers, not both.

    Args:
        sources: .csv and .tsv with a header line (a comma, newline or quote inside a cell stands in double quotes),
            .jsonl with an object on each line, each also as .gz; .parquet (needs pyarrow); or a folder with a .txt for
            each label, named after it, that has a text on every line. Series: .ts (UCR), or .npz with X [N, T, I],
            y [N], and lengths [N].
        label_column, text_column: names of columns, or keys; None: the only one that is there of `LABEL_COLUMNS` and
            of `TEXT_COLUMNS`, whatever its case.
        encoding: of all files.
        labelled: False: tables need no label column, and what stands in it is not read: their labels are empty.
        multi_label: a sequence may have several labels, or none: what stands for a label is cut at `label_separator`.
            Without it they are several where .jsonl and .parquet hold lists.
    Raises: DataError naming file, line, column and remedy: for a file that cannot be read or has no examples, a column
        that is missing, a ragged row, an empty cell.
    Cost:   holds all of them in memory.
    """
    columns = Columns(label_column, text_column, labelled)
    if multi_label and not label_separator:
        raise ArgumentError("label_separator is empty; give what stands between two labels, as in a,b")
    inputs: list[Any] = []
    labels: list[Labels] = []
    places: list[str] = []
    for source in [sources] if isinstance(sources, str | Path) else sources:
        before = len(inputs)
        rows = _folder_rows if Path(source).is_dir() else _file_rows
        for label, sequence, place in rows(str(source), columns, encoding):
            if labelled and multi_label and isinstance(label, str):
                label = tuple(part.strip() for part in label.split(label_separator)) if label.strip() else ()
            for value, what in ((label, "label"), (sequence, "text")):
                if isinstance(value, str) and not value.strip() and (labelled or what == "text"):
                    raise DataError(f"{place}: the {what} is empty; fill it in, or take the line out")
            if isinstance(label, tuple):
                if not all(part.strip() for part in label):
                    raise DataError(f"{place}: a label of several is empty; fill it in, or take it out")
                label = tuple(dict.fromkeys(label))
            if labels and isinstance(label, tuple) != isinstance(labels[0], tuple):
                raise DataError(
                    f"{place}: {'several labels' if isinstance(label, tuple) else 'one label'} among sequences with "
                    f"{'one' if isinstance(label, tuple) else 'several'}; give each a list of them, or cut texts with "
                    "--multi-label"
                )
            labels.append(label)
            inputs.append(sequence)
            places.append(place)
        if len(inputs) == before:
            raise DataError(f"{source}: holds no examples; give a file with at least one below its header")
    return Examples(inputs, labels, places)


def split_examples(examples: Examples, held_out: float, *, seed: int) -> tuple[Examples, Examples]:
    """(training, held out): the share `held_out` of every label's examples, at random; the order of the file stays.

    A label with a single example stays in training; one with several gives at least one and keeps at least one. Where
    sequences have several labels, the rarest label of all shares out its sequences first, then the next among the rest
    (Sechidis, Tsoumakas and Vlahavas 2011, "On the stratification of multi-label data", in one pass); what it stands
    for is then a part in which each label is about as frequent.

    Raises: DataError when nothing would be held out.
    """
    if not 0 < held_out < 1:
        raise ArgumentError(f"held_out is {held_out}, it must be a share between 0 and 1; 0.1 holds out every tenth")
    generator = np.random.Generator(np.random.Philox(seed))
    is_held = np.zeros(len(examples), bool)
    for rows in _groups(examples):
        count = min(max(round(held_out * len(rows)), 1), len(rows) - 1)
        is_held[generator.permutation(rows)[:count]] = True
    if not is_held.any():
        raise DataError(
            f"{examples.places[0]} and on: every label has a single example, so none can be held out; "
            "give more, or the held-out file itself with --test FILE"
        )
    return examples[np.flatnonzero(~is_held)], examples[np.flatnonzero(is_held)]


def _groups(examples: Examples) -> Iterator[np.ndarray]:
    """The rows that are shared out together: those of a label, or of several the rarest one that they have."""
    if not examples.has_several:
        labels = np.array(examples.labels)
        yield from (np.flatnonzero(labels == label) for label in np.unique(labels))
        return
    counts = Counter(chain.from_iterable(examples.labels))
    own = [min(labels, key=lambda label: (counts[label], label), default="") for labels in examples.labels]
    for rarest in sorted(set(own), key=lambda label: (counts[label], label)):
        yield np.array([row for row, label in enumerate(own) if label == rarest])


def tokenizer_of(examples: Examples, kind: str | None, **options: Any) -> text.Tokenizer:
    """A tokeniser built from training examples, and from nothing else.

    Args: as `rnnkit.text.build`; kind: None: characters where most texts are a single word, of which a new text has
        others; else words.
    """
    if kind is None:
        num_single = sum(len(one.split()) < 2 for one in examples.inputs)
        kind = "char" if 2 * num_single > len(examples) else "word"
    return text.build(kind, examples.inputs, **options)


def known_labels(examples: Examples) -> list[str]:
    """The labels of training examples, sorted. Raises: DataError where there is one only."""
    labels = sorted(set(chain.from_iterable(_each(examples))))
    if len(labels) < 2:
        which = f"every label is {labels[0]!r}" if labels else "no sequence has a label"
        raise DataError(f"{examples.places[0]} and on: {which}; give examples of two or more")
    return labels


def label_ids(examples: Examples, labels: Sequence[str]) -> np.ndarray:
    """The place of every example's label among `labels`, int64 [N]; of several, which it has, [N, C] of 0 and 1.

    Raises: DataError naming the first unseen one.
    """
    ids = {label: index for index, label in enumerate(labels)}
    for own, place in zip(_each(examples), examples.places, strict=True):
        for label in own:
            if label in ids:
                continue
            shown = ", ".join(map(repr, labels[:5])) + (f" and {len(labels) - 5} more" if len(labels) > 5 else "")
            raise DataError(
                f"{place}: the label {label!r} is not among those trained on ({shown}); correct it, or take it out"
            )
    if not examples.has_several:
        return np.array([ids[label] for (label,) in _each(examples)], np.int64)
    targets = np.zeros((len(examples), len(labels)), np.int64)
    for row, own in enumerate(_each(examples)):
        targets[row, [ids[label] for label in own]] = 1
    return targets


def _each(examples: Examples) -> list[tuple[str, ...]]:
    """The labels of every example, one or several."""
    return [(label,) if isinstance(label, str) else label for label in examples.labels]


def is_table(source: str | Path) -> bool:
    """Whether a file is a table of examples, by its name: .csv, .tsv, .jsonl or .ndjson, also .gz; or .parquet."""
    return _suffix(source) in (*SEPARATORS, *_LINES, PARQUET)


Rows = Iterator[tuple[Labels, Any, str]]  # label, text or frames, place


class Columns(NamedTuple):
    """The names of columns, None: the usual ones; and whether there must be one of labels."""

    label: str | None
    text: str | None
    labelled: bool


def _folder_rows(source: str, columns: Columns, encoding: str) -> Rows:
    if given := [name for name in columns[:2] if name is not None]:
        raise ArgumentError(f"{source} is a folder with a file for each label, it has no column {given[0]!r}")
    for document in read_documents([source], encoding=encoding):
        label = Path(document.name).name.removesuffix(".gz").removesuffix(".txt")
        for number, line in enumerate(_text(document).split("\n"), start=1):
            if line.strip():
                yield label, line, f"{document.name}, line {number}"


def _input_size(sequence: Any) -> int:
    return 0 if isinstance(sequence, str) else sequence.shape[1]


def _file_rows(source: str, columns: Columns, encoding: str) -> Rows:
    suffix = _suffix(source)
    known = (*SEPARATORS, *_LINES, PARQUET, *_SERIES)
    if suffix not in known and Path(source).exists():  # what is not there is named where it is opened
        raise DataError(
            f"{source}: cannot tell its format by the name; it must end in {', '.join(known)}, "
            "or be a folder with a .txt for each label"
        )
    if suffix in _SERIES and (given := [name for name in columns[:2] if name is not None]):
        raise ArgumentError(f"{source} is a file of series, it has no column {given[0]!r}; leave the name out")
    if suffix == PARQUET and not source.lower().endswith(PARQUET):
        raise DataError(f"{source}: a Parquet file is compressed inside; decompress this one, and name it {PARQUET}")
    is_binary = suffix in (".npz", PARQUET)
    (document,) = read_documents([source], encoding=encoding, as_bytes=is_binary)  # names what cannot be opened
    if suffix == ".npz":
        yield from npz_rows(source)
    elif suffix == PARQUET:
        for (label, sequence), (label_key, text_key), place in parquet_rows(
            source, lambda names, name: _chosen(names, columns, name)
        ):
            yield _checked(label, sequence, place, label_key=label_key, text_key=text_key)
    elif suffix == ".ts":
        yield from ts_rows(document)
    elif suffix in SEPARATORS:
        yield from _csv_rows(document.name, _text(document), SEPARATORS[suffix], columns)
    else:
        yield from _json_rows(document.name, _text(document), columns)


def _suffix(source: str | Path) -> str:
    return Path(str(source).removesuffix(".gz")).suffix.lower()


def _text(document: Document) -> str:
    content = document.text
    assert isinstance(content, str)
    return content


def _csv_rows(name: str, content: str, separator: str, columns: Columns) -> Rows:
    rows = cells_of(name, content, separator)
    header, place = next(rows)
    label_column, text_column = _chosen(header, columns, place)
    text_at = header.index(text_column)
    for cells, place in rows:
        yield "" if label_column is None else cells[header.index(label_column)], cells[text_at], place


def _json_rows(name: str, content: str, columns: Columns) -> Rows:
    for number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{name}, line {number}"
        try:
            value: Any = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{place}: is no JSON ({error}); every line holds one object") from None
        if not isinstance(value, dict):
            raise DataError(f"{place}: holds a {type(value).__name__}; every line holds one object")
        label_key, text_key = _chosen(list(value), columns, place)
        columns = columns._replace(label=label_key, text=text_key)
        label = None if label_key is None else value[label_key]
        yield _checked(label, value[text_key], place, label_key=label_key, text_key=text_key)


def _checked(
    label: Any, sequence: Any, place: str, *, label_key: str | None, text_key: str | None
) -> tuple[Labels, str, str]:
    """A row of typed values. Raises: DataError naming the key."""
    if not isinstance(sequence, str):
        raise DataError(f"{place}, key {text_key!r}: a {type(sequence).__name__} where text is wanted; quote it")
    if label_key is None:
        return "", sequence, place
    for one in label if isinstance(label, list) else [label]:
        if not isinstance(one, str | int):
            raise DataError(
                f"{place}, key {label_key!r}: a {type(one).__name__} is no label; give a text or integer, or a list "
                "of them"
            )
    return tuple(map(str, label)) if isinstance(label, list) else str(label), sequence, place


def _chosen(header: list[str], columns: Columns, place: str) -> tuple[str | None, str]:
    """The names of the label's and the text's column in `header`; None where no label is asked for."""
    label = column_of(header, columns.label, LABEL_COLUMNS, "--label-column", place) if columns.labelled else None
    flag = "--text-column" if columns.labelled else None  # what only reads texts has no such option
    return label, column_of(header, columns.text, TEXT_COLUMNS, flag, place)
