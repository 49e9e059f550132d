"""Recordings with a label for every frame, out of tables, `.npz` files and videos; faults are named by their place."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from rnnkit.data.documents import utf8
from rnnkit.data.examples import LABEL_COLUMNS
from rnnkit.data.readers import read_documents
from rnnkit.data.series import npz_recordings
from rnnkit.data.tables import SEPARATORS, cells_of, column_of
from rnnkit.data.tagged import Tagged
from rnnkit.data.video import SUFFIXES, clips_of, is_video, labels_beside, read_clip
from rnnkit.errors import ArgumentError, DataError

_Recording = tuple[list[str], np.ndarray, str, list[int]]  # labels, frames, what stands before a row, rows


@dataclass(frozen=True)
class Framed(Tagged):
    """Recordings with a label for every frame.

    Attributes:
        sentences: float32 [T, I] each; of videos uint8 [T, height, width, channels].
        tags:      a label for each frame; of recordings read without them all "".
        files:     for each what stands before the number of a row, as "my.csv, line" or "my.npz, row 3, frame".
        lines:     for each frame that number.
    """

    noun: ClassVar = "label"

    def __post_init__(self) -> None:
        """Raises: DataError for frames of more than one size, naming the first of another."""
        for number, frames in enumerate(self.sentences):
            if frames.shape[1:] != self.frame_shape:
                raise DataError(
                    f"{self.place(number)}: {frames_of(frames.shape[1:])} among {frames_of(self.frame_shape)}; "
                    "give recordings of one size"
                )

    @property
    def input_size(self) -> int:
        """The numbers I of every frame."""
        return math.prod(self.frame_shape)

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """The axes of every frame: (I,), or of videos height, width and channels."""
        return self.sentences[0].shape[1:]

    def place(self, sentence: int, word: int = 0) -> str:
        return f"{self.files[sentence]} {self.lines[sentence][word]}"

    def shown(self, sentence: int, word: int) -> dict[str, str]:
        """Nothing: numbers say little to a reader."""
        return {}

    @property
    def fingerprint(self) -> str:
        """SHA-256 of frames and labels; where they stood does not count."""
        total = hashlib.sha256()
        for number, (frames, labels) in enumerate(zip(self.sentences, self.tags, strict=True)):
            for data in (frames.tobytes(), utf8("\n".join(labels), self.place(number))):
                total.update(len(data).to_bytes(8, "little") + data)
        return total.hexdigest()

    def cut(self, num_frames: int | None) -> Self:
        """Recordings cut into windows of so many frames one after the other, the last one with what is left."""
        if num_frames is None:
            return self
        cut = type(self)([], [], [], [])
        for number, frames in enumerate(self.sentences):
            for first in range(0, len(frames), num_frames):
                window = slice(first, first + num_frames)
                cut.sentences.append(frames[window])
                cut.tags.append(self.tags[number][window])
                cut.files.append(self.files[number])
                cut.lines.append(self.lines[number][window])
        return cut


def read_framed(
    sources: str | Path | Sequence[str | Path],
    *,
    label_column: str | None = None,
    encoding: str = "utf-8",
    labelled: bool = True,
    frame_size: tuple[int, int] = (32, 32),
    grey: bool = False,
) -> Framed:
    """The labelled recordings of files, in order.

    Args:
        sources: .csv or .tsv with a header line, also as .gz: a recording, each row a frame, one column its label and
            all others numbers; or .npz with X [N, T, I], y [N, T] of integers or texts, and where recordings differ
            in length `lengths` [N]. Or videos (.mp4 and others that PyAV opens), or a folder of them: beside each,
            under the same name with .csv or .tsv, a table with its frames' labels, whose other columns are not read.
        label_column: of tables; None: the only one of `LABEL_COLUMNS` that is there, whatever its case.
        encoding: of all tables.
        labelled: False: no labels are read, nor need there be any; a column of them is passed over.
        frame_size: height and width that a video's frames are brought to, by area averaging.
        grey: of videos, their brightness alone.
    Raises: DataError naming file, row and remedy: a file that cannot be read or has no frame, a missing column, a
        ragged row, a cell that is no number or not finite, an empty label, labels that are not as many as frames;
        MissingExtraError for a video without PyAV.
    Cost:   holds all of them in memory, of videos height · width · channels bytes for each frame.
    """
    found: list[_Recording] = []
    for source in [sources] if isinstance(sources, str | Path) else sources:
        path = str(source)
        if is_video(path):
            clips = clips_of(path)
            found += [_of_video(clip, label_column, labelled, encoding, frame_size, grey) for clip in clips]
            continue
        suffix = Path(path.removesuffix(".gz")).suffix.lower()
        if suffix not in (*SEPARATORS, ".npz") and Path(path).exists():  # what is not there is named where it is opened
            raise DataError(
                f"{path}: cannot tell its format by the name; it must end in {', '.join(SEPARATORS)} or .npz, "
                f"a video in {', '.join(SUFFIXES)} "
                "(a .ts file has one label for a whole series: rnnkit train classify)"
            )
        if suffix == ".npz" and label_column is not None and labelled:
            raise ArgumentError(f"{path} has no column {label_column!r}: its labels are the array y; leave it out")
        (document,) = read_documents([path], encoding=encoding, as_bytes=suffix == ".npz")
        before = len(found)
        if suffix == ".npz":
            for labels, frames, place in npz_recordings(path, labelled=labelled):
                found.append((labels, frames, f"{place}, frame", list(range(len(frames)))))
        else:
            content = document.text
            assert isinstance(content, str)
            rows = cells_of(document.name, content, SEPARATORS[suffix])
            found.append(_of_table(rows, document.name, label_column, labelled))
        if not any(len(frames) for _, frames, *_ in found[before:]):
            raise DataError(f"{path}: holds no frame; give a file with at least one row below its header")
    found = [recording for recording in found if recording[0]]
    framed = Framed([one[1] for one in found], [one[0] for one in found], [one[2] for one in found],
                    [one[3] for one in found])  # fmt: skip
    for number, labels in enumerate(framed.tags if labelled else []):
        if "" in map(str.strip, labels):
            place = framed.place(number, [label.strip() for label in labels].index(""))
            raise DataError(f"{place}: the label is empty; fill it in, or take the row out")
    return framed


def frames_of(shape: tuple[int, ...]) -> str:
    """What a message calls frames of these axes."""
    return f"frames of {shape[0]} numbers" if len(shape) == 1 else f"pictures of {' x '.join(map(str, shape))}"


def _of_video(
    path: str, label_column: str | None, labelled: bool, encoding: str, size: tuple[int, int], grey: bool
) -> _Recording:
    clip = read_clip(path, size=size, grey=grey)
    numbers = list(range(len(clip)))
    if not labelled:
        return [""] * len(clip), clip, f"{path}, frame", numbers
    table = labels_beside(path)
    (document,) = read_documents([table], encoding=encoding)
    assert isinstance(document.text, str)
    rows = cells_of(table, document.text, SEPARATORS[Path(table).suffix])
    header, first = next(rows)
    at = header.index(column_of(header, label_column, LABEL_COLUMNS, "--label-column", first))
    labels = [cells[at] for cells, _ in rows]
    if len(labels) != len(clip):
        raise DataError(
            f"{table}: {len(labels)} rows of labels, {path} has {len(clip)} frames; give every frame one row"
        )
    return labels, clip, f"{path}, frame", numbers


def _of_table(rows: Iterator[tuple[list[str], str]], name: str, label_column: str | None, labelled: bool) -> _Recording:
    header, first = next(rows)
    if labelled:
        label_columns = {column_of(header, label_column, LABEL_COLUMNS, "--label-column", first)}
    else:
        usual = LABEL_COLUMNS if label_column is None else (label_column.lower(),)
        label_columns = {column for column in header if column.strip().lower() in usual}
    numbers_at = [at for at, column in enumerate(header) if column not in label_columns]
    if not numbers_at:
        raise DataError(f"{first}: no column beside the label; give each frame its numbers")
    labels, frames, lines = [], [], []
    for cells, place in rows:
        frames.append([_number(cells[at], place, header[at]) for at in numbers_at])
        labels.append(next((cells[header.index(column)] for column in label_columns), "") if labelled else "")
        lines.append(int(place.rpartition(" ")[2]))
    return labels, np.array(frames, np.float32).reshape(len(frames), len(numbers_at)), f"{name}, line", lines


def _number(cell: str, place: str, column: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{place}, column {column!r}: {cell!r} is no finite number; fill it in, or take the column out")
    return value
