"""Recordings with something for every frame, out of tables, `.npz` files and videos; faults are named by their place.

One label, several labels or numbers; of videos one label. Over 400 lines: what a frame has is told, checked and cut
along one chain, and every fault in it is named by the same places.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from rnnkit.data.documents import utf8
from rnnkit.data.examples import LABEL_COLUMNS
from rnnkit.data.readers import read_documents
from rnnkit.data.series import npz_recordings
from rnnkit.data.tables import SEPARATORS, cells_of, column_of
from rnnkit.data.tagged import Tagged
from rnnkit.data.video import SUFFIXES, clips_of, is_video, labels_beside, read_clip
from rnnkit.errors import ArgumentError, DataError
from rnnkit.metrics.frames import TargetKind


class _Recording(NamedTuple):
    targets: Any  # labels, or numbers float32 [T, K]
    frames: np.ndarray
    place: str  # what stands before a row
    rows: list[int]
    names: tuple[str, ...]  # of the K targets
    columns: tuple[str, ...]  # of the frames


@dataclass(frozen=True)
class Framed(Tagged):
    """Recordings with something for every frame.

    Attributes:
        sentences: float32 [T, I] each; of videos uint8 [T, height, width, channels].
        tags:  of kind "label" a label for each frame, of recordings read without them all ""; of the other kinds
            float32 [T, K] each, where 1 says that a label is there, or numbers.
        files: for each what stands before the number of a row, as "my.csv, line" or "my.npz, row 3, frame".
        lines: for each frame that number.
        kind:  "label", "labels" or "numbers".
        names: what the K targets are called; of kind "label" none.
        columns: what the I numbers of a frame are called; of videos none.
    """

    kind: TargetKind = "label"
    names: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()

    noun: ClassVar = "label"

    def __post_init__(self) -> None:
        """Raises: DataError for frames or targets of more than one size, naming the first of another."""
        for number, frames in enumerate(self.sentences):
            if frames.shape[1:] != self.frame_shape:
                raise DataError(
                    f"{self.place(number)}: {frames_of(frames.shape[1:])} among {frames_of(self.frame_shape)}; "
                    "give recordings of one size"
                )
            if self.kind != "label" and np.shape(self.tags[number])[1:] != (len(self.names),):
                raise DataError(
                    f"{self.place(number)}: {np.shape(self.tags[number])[-1]} {self.kind} for each frame among those "
                    f"of {len(self.names)}; give recordings of one size"
                )

    def __getitem__(self, rows: np.ndarray) -> Self:
        parts = {name: getattr(self, name) for name in ("sentences", "tags", "files", "lines")}
        return replace(self, **{name: [part[row] for row in rows] for name, part in parts.items()})

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
        """SHA-256 of frames and targets; where they stood does not count."""
        total = hashlib.sha256()
        for number, (frames, targets) in enumerate(zip(self.sentences, self.tags, strict=True)):
            is_text = self.kind == "label"
            of_frames = utf8("\n".join(targets), self.place(number)) if is_text else np.asarray(targets).tobytes()
            for data in (frames.tobytes(), of_frames):
                total.update(len(data).to_bytes(8, "little") + data)
        return total.hexdigest()

    def cut(self, num_frames: int | None) -> Self:
        """Recordings cut into windows of so many frames one after the other, the last one with what is left."""
        if num_frames is None:
            return self
        cut = replace(self, sentences=[], tags=[], files=[], lines=[])
        for number, frames in enumerate(self.sentences):
            for first in range(0, len(frames), num_frames):
                window = slice(first, first + num_frames)
                cut.sentences.append(frames[window])
                cut.tags.append(self.tags[number][window])
                cut.files.append(self.files[number])
                cut.lines.append(self.lines[number][window])
        return cut

    def next_frames(self) -> Self:
        """The same recordings where every frame is what is to be said, and the one before it what is read.

        The first of a recording's labels is said after a frame of zeros; its first numbers, which zeros say nothing of,
        are left out, and with them a recording of one frame.
        Raises: DataError where no frame is left; ArgumentError for recordings of one label a frame.
        """
        if self.kind == "label":
            raise ArgumentError("a frame is no label, so none can be the next; give recordings of labels or numbers")
        if self.kind == "labels":
            before = [np.concatenate([np.zeros_like(one[:1]), one[:-1]]) for one in self.sentences]
            return replace(self, sentences=before, tags=self.sentences, names=self.columns)
        rows = [row for row, one in enumerate(self.sentences) if len(one) > 1]
        if not rows and len(self):
            raise DataError(f"{self.place(0)}: no recording has a second frame to predict; give longer ones")
        return replace(
            self,
            sentences=[self.sentences[row][:-1] for row in rows],
            tags=[self.sentences[row][1:] for row in rows],
            files=[self.files[row] for row in rows],
            lines=[self.lines[row][1:] for row in rows],
            names=self.columns,
        )

    def up_to_next(self, kind: TargetKind) -> Self:
        """Recordings without targets as `next_frames` has them read, and beyond: what is said last is of the frame
        after the end, whose number is that of one more row. Args: kind: "labels" or "numbers".
        """
        before = self.sentences
        if kind == "labels":
            before = [np.concatenate([np.zeros_like(one[:1]), one]) for one in before]
        lines = [[*of_one, of_one[-1] + 1][-len(one) :] for one, of_one in zip(before, self.lines, strict=True)]
        return replace(self, sentences=before, tags=[[""] * len(one) for one in before], lines=lines)


def read_framed(
    sources: str | Path | Sequence[str | Path],
    *,
    targets: TargetKind | None = None,
    label_column: str | None = None,
    target_columns: Sequence[str] | None = None,
    feature_columns: Sequence[str] | None = None,
    next_frame: bool = False,
    window_frames: int | None = None,
    encoding: str = "utf-8",
    labelled: bool = True,
    frame_size: tuple[int, int] = (32, 32),
    grey: bool = False,
) -> Framed:
    """The labelled recordings of files, in order.

    Args:
        sources: .csv or .tsv with a header line, also as .gz: a recording, each row a frame; or .npz with X [N, T, I],
            y [N, T] of integers or texts, a label for every frame, or of numbers [N, T, K], and where recordings differ
            in length `lengths` [N]. Or videos (.mp4 and others that PyAV opens), or a folder of them: beside each,
            under the same name with .csv or .tsv, a table with its frames' labels, whose other columns are not read.
        targets: what a frame has; None: one label; or where `target_columns` or an array y of K numbers (or [N, T] of
            floats or booleans) say so, several labels if all of them are 0 or 1, else numbers.
        label_column: of tables, that of one label; None: the only one of `LABEL_COLUMNS` that is there, whatever its
            case.
        target_columns: of tables, those of several labels or of numbers.
        feature_columns: of tables, the numbers of a frame; None: all columns but those of its targets.
        next_frame: the frames themselves are the targets, each of the frame before it: see `Framed.next_frames`; and if
            not labelled `Framed.up_to_next`, for which `targets` says what they are.
        window_frames: cut recordings into windows, see `Framed.cut`; of the next frame only labelled ones.
        encoding: of all tables.
        labelled: False: no targets are read, nor need there be any; columns of them are passed over.
        frame_size: height and width that a video's frames are brought to, by area averaging.
        grey: of videos, their brightness alone.
    Raises: DataError naming file, row and remedy: a file that cannot be read or has no frame, a missing column, a
        ragged row, a cell that is no number or not finite, an empty label, targets that are not as many as frames, or
        not what `targets` says; ArgumentError for columns that are asked for where there are none, or twice;
        MissingExtraError for a video without PyAV.
    Cost:   holds all of them in memory, of videos height · width · channels bytes for each frame.
    """
    chosen = _Columns(targets, label_column, target_columns, feature_columns, next_frame, labelled)
    chosen.check()
    found: list[_Recording] = []
    for source in [sources] if isinstance(sources, str | Path) else sources:
        path = str(source)
        if is_video(path):
            clips = clips_of(path)
            found += [_of_video(clip, chosen, encoding, frame_size, grey) for clip in clips]
            continue
        suffix = Path(path.removesuffix(".gz")).suffix.lower()
        if suffix not in (*SEPARATORS, ".npz") and Path(path).exists():  # what is not there is named where it is opened
            raise DataError(
                f"{path}: cannot tell its format by the name; it must end in {', '.join(SEPARATORS)} or .npz, "
                f"a video in {', '.join(SUFFIXES)} "
                "(a .ts file has one label for a whole series: rnnkit train classify)"
            )
        (document,) = read_documents([path], encoding=encoding, as_bytes=suffix == ".npz")
        before = len(found)
        if suffix == ".npz":
            found += _of_arrays(path, chosen)
        else:
            content = document.text
            assert isinstance(content, str)
            found.append(_of_table(cells_of(document.name, content, SEPARATORS[suffix]), document.name, chosen))
        if not any(len(recording.frames) for recording in found[before:]):
            raise DataError(f"{path}: holds no frame; give a file with at least one row below its header")
    found = [recording for recording in found if len(recording.frames)]
    if not found:
        raise DataError("no source was named; give a table, a .npz file or a video")
    first = found[0]
    for one in found:
        _check_order(one.columns, first.columns, f"{one.place} {one.rows[0]}")
    framed = Framed(
        [one.frames for one in found], [one.targets for one in found], [one.place for one in found],
        [one.rows for one in found], _kind_of(found, targets) if labelled else "label", first.names, first.columns,
    )  # fmt: skip
    if labelled and framed.kind == "label":
        _check_labels(framed)
    if not next_frame:
        return framed.cut(window_frames)
    if labelled:
        return framed.cut(window_frames).next_frames()
    assert targets is not None  # it was checked above
    return framed.up_to_next(targets)


def check_order(framed: Framed, wanted: Sequence[str]) -> None:
    """Raises: DataError for as many columns of other names, or in another order; arrays have no names."""
    _check_order(framed.columns, wanted, framed.place(0))


def _check_order(columns: Sequence[str], wanted: Sequence[str], place: str) -> None:
    are_named = all(names != tuple(map(str, range(len(names)))) for names in (tuple(columns), tuple(wanted)))
    if are_named and len(columns) == len(wanted) and tuple(columns) != tuple(wanted):
        raise DataError(
            f"{place}: the columns {', '.join(columns)}, where others are {', '.join(wanted)}; give the same in one "
            "order, or name them with --feature-columns"
        )


def check_columns(
    targets: TargetKind | None,
    label_column: str | None,
    target_columns: Sequence[str] | None,
    feature_columns: Sequence[str] | None,
    *,
    next_frame: bool,
) -> None:
    """Raises: ArgumentError for choices of `read_framed` that exclude each other."""
    _Columns(targets, label_column, target_columns, feature_columns, next_frame, labelled=True).check()


class _Columns(NamedTuple):
    """What to read of a file."""

    targets: TargetKind | None
    label: str | None
    several: Sequence[str] | None
    features: Sequence[str] | None
    next_frame: bool
    labelled: bool

    def check(self) -> None:
        """Raises: ArgumentError for choices that exclude each other."""
        if self.label is not None and self.several is not None:
            raise ArgumentError("label_column and target_columns both say what a frame has; leave one out")
        if self.targets == "label" and (self.several is not None or self.next_frame):
            what = "target_columns are labels or numbers" if self.several is not None else "a next frame is no label"
            raise ArgumentError(f"targets is 'label', but {what}; leave one out")
        if self.targets not in (None, "label") and self.label is not None:
            raise ArgumentError(f"targets is {self.targets!r}, label_column names one label; use target_columns")
        if self.next_frame and not self.labelled and self.targets is None:
            raise ArgumentError("targets is None; say whether the next frame is labels or numbers")
        if self.next_frame and (self.label is not None or self.several is not None):
            raise ArgumentError("next_frame has the frames themselves for targets; leave the columns of others out")
        for what, names in (("target_columns", self.several), ("feature_columns", self.features)):
            if names is not None and (not names or len(set(names)) < len(names)):
                raise ArgumentError(f"{what} are {list(names)}; give each column once, and one at least")
        if both := {*(self.several or ()), *([self.label] if self.label else ())} & {*(self.features or ())}:
            raise ArgumentError(f"the column {min(both)!r} is both feature and target; leave one out")

    def refuse_names(self, path: str) -> None:
        """Raises: ArgumentError for columns of a file that has none."""
        for name in (self.label, *(self.several or ())) if self.labelled else ():
            if name is not None:
                raise ArgumentError(f"{path} has no column {name!r}: its labels are the array y; leave it out")
        for name in self.features or ():
            raise ArgumentError(f"{path} has no column {name!r}: its frames are the array X; leave it out")


def _of_arrays(path: str, chosen: _Columns) -> Iterator[_Recording]:
    chosen.refuse_names(path)
    for targets, frames, place in npz_recordings(path, labelled=chosen.labelled and not chosen.next_frame):
        if chosen.targets in ("labels", "numbers") and chosen.labelled and isinstance(targets, list):
            with contextlib.suppress(ValueError):  # `_kind_of` names what texts are not
                targets = np.array(targets, np.float32).reshape(len(frames), 1)
        names = tuple(map(str, range(targets.shape[1]))) if isinstance(targets, np.ndarray) else ()
        columns = tuple(map(str, range(frames.shape[1])))
        if chosen.next_frame and chosen.labelled:
            targets, names = frames, columns
        yield _Recording(targets, frames, f"{place}, frame", list(range(len(frames))), names, columns)


def _of_table(rows: Iterator[tuple[list[str], str]], name: str, chosen: _Columns) -> _Recording:
    header, first = next(rows)
    label, several = None, list(chosen.several or ())
    if chosen.labelled:
        for column in several:
            column_of(header, column, (), "--target-columns", first)
        if not several and not chosen.next_frame:
            label = column_of(header, chosen.label, LABEL_COLUMNS, "--label-column", first)
        passed_over = {label, *several}
    elif several or chosen.next_frame:
        passed_over = {*several}
    else:
        usual = LABEL_COLUMNS if chosen.label is None else (chosen.label.lower(),)
        passed_over = {column for column in header if column.strip().lower() in usual}
    columns = [column for column in header if column not in passed_over]
    if chosen.features is not None:
        columns = [column_of(header, column, (), "--feature-columns", first) for column in chosen.features]
    if not columns:
        raise DataError(f"{first}: no column beside the label; give each frame its numbers")
    at = [header.index(column) for column in columns]
    targets_at = [header.index(column) for column in several] if chosen.labelled else []
    if chosen.features is None:  # two columns of one name are two numbers
        at = [number for number, column in enumerate(header) if column not in passed_over]
    frames, targets, lines = [], [], []
    for cells, place in rows:
        frames.append([_number(cells[number], place, header[number]) for number in at])
        if targets_at:
            targets.append([_number(cells[number], place, header[number]) for number in targets_at])
        else:
            targets.append("" if label is None else cells[header.index(label)])
        lines.append(int(place.rpartition(" ")[2]))
    array = np.array(frames, np.float32).reshape(len(frames), len(at))
    names = tuple(several)
    found: Any = targets
    if chosen.next_frame and chosen.labelled:
        found, names = array, tuple(columns)
    elif targets_at:
        found = np.array(targets, np.float32).reshape(len(targets), len(several))
    return _Recording(found, array, f"{name}, line", lines, names, tuple(columns))


def _kind_of(found: Sequence[_Recording], targets: TargetKind | None) -> TargetKind:
    """What frames have. Raises: DataError for recordings of different kinds, or of another one than `targets`."""
    is_text = [isinstance(one.targets, list) for one in found]
    if any(is_text) != all(is_text) or (any(is_text) and targets not in (None, "label")):
        one = found[is_text.index(True)]
        wanted = "numbers" if targets is None else targets
        raise DataError(f"{one.place} {one.rows[0]}: a label, where others or the choice of targets want {wanted}; "
                        "give recordings of one kind")  # fmt: skip
    if all(is_text):
        return "label"
    if targets == "label":
        raise DataError(f"{found[0].place} {found[0].rows[0]}: several labels or numbers, the choice of targets wants "
                        "one label; leave it out")  # fmt: skip
    if targets == "numbers":
        return targets
    for one in found:
        odd = np.argwhere((one.targets != 0) & (one.targets != 1))
        if len(odd):
            if targets is None:
                return "numbers"
            frame, number = odd[0]
            raise DataError(
                f"{one.place} {one.rows[frame]}: {one.names[number]!r} is {one.targets[frame, number]:g}; a label is "
                "there or not, 1 or 0: correct it, or choose the targets numbers"
            )
    return "labels"


def _check_labels(framed: Framed) -> None:
    for number, labels in enumerate(framed.tags):
        if "" in map(str.strip, labels):
            place = framed.place(number, [label.strip() for label in labels].index(""))
            raise DataError(f"{place}: the label is empty; fill it in, or take the row out")


def frames_of(shape: tuple[int, ...]) -> str:
    """What a message calls frames of these axes."""
    return f"frames of {shape[0]} numbers" if len(shape) == 1 else f"pictures of {' x '.join(map(str, shape))}"


def _of_video(path: str, chosen: _Columns, encoding: str, size: tuple[int, int], grey: bool) -> _Recording:
    if chosen.several is not None or chosen.features is not None or chosen.next_frame:
        raise ArgumentError(
            f"{path}: frames of videos are pictures with one label; leave target_columns, feature_columns and "
            "next_frame out"
        )
    clip = read_clip(path, size=size, grey=grey)
    numbers = list(range(len(clip)))
    if not chosen.labelled:
        return _Recording([""] * len(clip), clip, f"{path}, frame", numbers, (), ())
    table = labels_beside(path)
    (document,) = read_documents([table], encoding=encoding)
    assert isinstance(document.text, str)
    rows = cells_of(table, document.text, SEPARATORS[Path(table).suffix])
    header, first = next(rows)
    at = header.index(column_of(header, chosen.label, LABEL_COLUMNS, "--label-column", first))
    labels = [cells[at] for cells, _ in rows]
    if len(labels) != len(clip):
        raise DataError(
            f"{table}: {len(labels)} rows of labels, {path} has {len(clip)} frames; give every frame one row"
        )
    return _Recording(labels, clip, f"{path}, frame", numbers, (), ())


def _number(cell: str, place: str, column: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{place}, column {column!r}: {cell!r} is no finite number; fill it in, or take the column out")
    return value
