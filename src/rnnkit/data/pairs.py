"""Pairs of a source and its targets: parallel files, CSV, TSV and JSONL; faults are named by row or counted."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnnkit.data.rows import (
    COLUMNS,
    EMPTY,
    LINES,
    TOO_LONG,
    UNEQUAL,
    UNREADABLE,
    Bad,
    content_of,
    objects_of,
    refuse_nothing,
    sifted,
    skipped_note,
    split_rows,
    suffix_of,
    table_rows,
    text_fault,
)
from rnnkit.data.tables import SEPARATORS, column_of
from rnnkit.errors import ArgumentError, DataError

SOURCE_COLUMNS = ("source", "src", "input")
TARGET_COLUMNS = ("target", "tgt", "output", "reference")


@dataclass(frozen=True)
class Pairs:
    """Sources with one target each, or with several that are as good.

    Attributes:
        sources: texts.
        targets: the targets of every source: a tuple of at least one; () where none were asked for.
        places: where each pair stands, for messages: "my.tsv, line 7".
        skipped: how many rows were left out, by the reason.
    """

    sources: list[str]
    targets: list[tuple[str, ...]]
    places: list[str]
    skipped: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, rows: np.ndarray | Sequence[int]) -> Pairs:
        """Those of `rows`, in their order."""
        return _pairs([_Row(self.sources[row], self.targets[row], self.places[row]) for row in rows])

    @property
    def fingerprint(self) -> str:
        """SHA-256 of sources and targets; where they stood does not count."""
        total = hashlib.sha256()
        for source, targets in zip(self.sources, self.targets, strict=True):
            for part in (source, f"{len(targets)} targets", *targets):
                data = part.encode()
                total.update(len(data).to_bytes(8, "little") + data)
        return total.hexdigest()

    @property
    def skipped_note(self) -> str:
        """What was left out, in words; "" where nothing was."""
        return skipped_note(self.skipped)

    def each(self) -> Pairs:
        """One pair for every target, to train on."""
        rows = [row._replace(targets=(target,)) for row in self._rows() for target in row.targets]
        return _pairs(rows, self.skipped)

    def grouped(self) -> Pairs:
        """Equal sources as one with all their different targets, where the first of them stands; to test on."""
        found: dict[str, _Row] = {}
        for row in self._rows():
            known = found.get(row.source, row._replace(targets=()))
            found[row.source] = known._replace(targets=tuple(dict.fromkeys(known.targets + row.targets)))
        return _pairs(list(found.values()), self.skipped)

    def within(self, num_tokens: Callable[[str], int], max_tokens: int, *, skip_bad: bool = False) -> Pairs:
        """The pairs whose sides all have at most `max_tokens` tokens as `num_tokens` counts them.

        Raises: DataError naming the first longer one, unless `skip_bad`; and where none is left.
        """

        def rows() -> Iterator[_Row | Bad]:
            for row in self._rows():
                for what, side in row.sides:
                    if (count := num_tokens(side)) > max_tokens:
                        wrong = f"{row.place}: the {what} has {count:,} tokens, at most {max_tokens:,} are allowed"
                        yield Bad(TOO_LONG, f"{wrong}; shorten it, allow more tokens")
                        break
                else:
                    yield row

        kept = _kept(rows(), skip_bad)
        if not kept.sources:
            raise DataError(f"{self.places[0]} and on: every pair has a side of more than {max_tokens:,} tokens")
        kept.skipped.update(self.skipped)
        return kept

    def _rows(self) -> Iterator[_Row]:
        return map(_Row, self.sources, self.targets, self.places)


def read_pairs(
    files: str | Path | Sequence[str | Path],
    *,
    source_column: str | int | None = None,
    target_column: str | int | Sequence[str | int] | None = None,
    has_header: bool | None = None,
    encoding: str = "utf-8",
    with_targets: bool = True,
    skip_bad: bool = False,
) -> Pairs:
    """The pairs of parallel files, or of tables one after another.

    Args:
        files: two parallel files, the sources and their targets line by line, and more of them for further references;
            or .csv (a comma, newline or quote inside a cell stands in double quotes), .tsv (tabs between cells, and
            a quote is a character like any other, as in the corpora that come so), .jsonl with an object on each line.
            Each also as .gz.
        source_column, target_column: columns of a table by name, or by number from 1; keys of objects. Several of the
            latter: several references, as where .jsonl holds a list. None: the only one that is there of
            `SOURCE_COLUMNS` and of `TARGET_COLUMNS`; a table without these names that has two columns is read without
            a header, the source first.
        has_header: of a .csv or .tsv. None: as it looks: with columns by number there is none, by name there is one.
        encoding: of all files.
        with_targets: False: one file of sources alone, or a table whose targets are not read.
        skip_bad: leave out rows that cannot be used and count them by reason (`Pairs.skipped`).
    Raises: DataError, one line, naming file, row and remedy: for an empty side, a line without its partner, a row with
        other columns than the first, bytes outside the encoding, a line that is no JSON; for files without a pair.
    Cost:   holds all of them in memory.
    """
    names = [str(name) for name in ([files] if isinstance(files, str | Path) else files)]
    columns = _Columns(source_column, target_column, has_header, with_targets)
    if not names:
        raise ArgumentError("no file was named; give two parallel files, or a .csv, .tsv or .jsonl of pairs")
    tables = [name for name in names if is_pair_table(name)]
    if not tables:
        if (source_column, target_column, has_header) != (None, None, None):
            raise ArgumentError(f"{names[0]} holds lines, it has no columns; leave source and target column out")
        return _kept(_parallel(names, encoding, with_targets, skip_bad), skip_bad, names)
    if len(tables) < len(names):
        other = next(name for name in names if name not in tables)
        raise ArgumentError(f"{tables[0]} is a table of pairs and {other} is not; give either tables or parallel files")
    return _kept((row for name in names for row in _table(name, columns, encoding, skip_bad)), skip_bad, names)


def is_pair_table(name: str | Path) -> bool:
    """Whether a file holds whole pairs, by its name: .csv, .tsv, .jsonl or .ndjson, also as .gz."""
    return suffix_of(name) in (*SEPARATORS, *LINES)


def split_pairs(pairs: Pairs, held_out: float, *, seed: int) -> tuple[Pairs, Pairs]:
    """(training, held out): about the share `held_out`, at random; equal sources stay together, and the file's order.

    Raises: DataError when there is one source only.
    """
    train, held = split_rows(pairs.sources, held_out, seed=seed, what="source", place=pairs.places[0])
    return pairs[train], pairs[held]


class _Row(NamedTuple):
    source: str
    targets: tuple[str, ...]
    place: str

    @property
    def sides(self) -> list[tuple[str, str]]:
        return [("source", self.source), *(("target", target) for target in self.targets)]


class _Columns(NamedTuple):
    source: str | int | None
    target: str | int | Sequence[str | int] | None
    has_header: bool | None
    with_targets: bool

    @property
    def targets(self) -> list[str | int]:
        """Those named, in order."""
        if self.target is None or not self.with_targets:
            return []
        return [self.target] if isinstance(self.target, str | int) else list(self.target)


def _kept(rows: Iterable[_Row | Bad], skip_bad: bool, names: Sequence[str] = ()) -> Pairs:
    """The rows that can be used. Raises: DataError for the first other one, or where `names` have no pair."""
    good, skipped = sifted(map(_checked, rows), skip_bad=skip_bad)
    if names and not good:
        refuse_nothing(names, skipped, "pair")
    return _pairs(good, skipped)


def _pairs(rows: Sequence[_Row], skipped: Counter[str] | None = None) -> Pairs:
    sources, targets, places = ([row[part] for row in rows] for part in range(3))
    return Pairs(sources, targets, places, Counter(skipped))  # type: ignore[arg-type]


def _checked(row: _Row | Bad) -> _Row | Bad:
    if isinstance(row, Bad):
        return row
    return next((bad for what, side in row.sides if (bad := text_fault(side, what, row.place))), row)


# ---- parallel files --------------------------------------------------------------------------------------------------


def _parallel(names: list[str], encoding: str, with_targets: bool, skip_bad: bool) -> Iterator[_Row | Bad]:
    if with_targets != (len(names) > 1):
        raise ArgumentError(
            f"{len(names)} parallel files, the first is {names[0]}; wanted are the sources' and one or more of their "
            f"targets', or a table whose name ends in {', '.join((*SEPARATORS, *LINES))}"
            if with_targets
            else f"{len(names)} files of sources were named; give one of them at a time"
        )
    sides = [content_of(name, encoding, skip_bad=skip_bad).removesuffix("\n").split("\n") for name in names]
    counts = [len(lines) for lines in sides]
    both = min(counts)
    for number, (source, *targets) in enumerate(zip(*(lines[:both] for lines in sides), strict=True), start=1):
        place = f"{names[0]}, line {number}"
        for name, target in zip(names[1:], targets, strict=True):
            if source.strip() and not target.strip():
                yield Bad(EMPTY, f"{name}, line {number}: the target is empty; fill it in, take the row out")
                break
        else:
            yield _Row(source, tuple(targets), place)
    if both < max(counts):
        longer = names[counts.index(max(counts))]
        shown = ", ".join(f"{name} has {count:,} lines" for name, count in zip(names, counts, strict=True))
        wrong = f"{longer}, line {both + 1}: has no partner ({shown}); find the line that is lost"
        yield from [Bad(UNEQUAL, wrong)] * (max(counts) - both)


# ---- tables ----------------------------------------------------------------------------------------------------------


def _table(name: str, columns: _Columns, encoding: str, skip_bad: bool) -> Iterator[_Row | Bad]:
    content = content_of(name, encoding, skip_bad=skip_bad)
    if suffix_of(name) in LINES:
        return _of_json(name, content, columns)
    numbered = columns._replace(source=_number(columns.source), target=[*map(_number, columns.targets)])
    return _of_cells(table_rows(name, content), numbered)


def _number(column: Any) -> Any:
    """A column's number, where digits give it as they come from the command line; else its name."""
    return int(column) if isinstance(column, str) and column.isdecimal() else column


def _of_cells(rows: Iterator[tuple[list[str], str] | Bad], columns: _Columns) -> Iterator[_Row | Bad]:
    at, targets_at = -1, list[int]()
    for row in rows:
        if isinstance(row, Bad):
            yield row
            continue
        cells, place = row
        is_header = False
        if at < 0:
            at, targets_at, is_header = _places_of(cells, columns, place)
        if not is_header:
            yield _Row(cells[at], tuple(cells[index] for index in targets_at), place)


def _places_of(first: list[str], columns: _Columns, place: str) -> tuple[int, list[int], bool]:
    """Where the source and the targets stand, and whether `first` is a header. Raises: DataError."""
    given = [one for one in (columns.source, *columns.targets) if one is not None]
    lowered = [cell.strip().lower() for cell in first]
    usual = [any(cell in known for cell in lowered) for known in (SOURCE_COLUMNS, TARGET_COLUMNS)]
    if columns.has_header is None:
        by_name = any(isinstance(one, str) for one in given)
        is_header = by_name or (not given and usual[0] and (usual[1] or not columns.with_targets))
    else:
        is_header = columns.has_header
    wanted: list[tuple[str | int | None, tuple[str, ...], str]] = [(columns.source, SOURCE_COLUMNS, "source")]
    if columns.with_targets:
        wanted += [(target, TARGET_COLUMNS, "target") for target in columns.targets or [None]]
    found = []
    for order, (one, known, what) in enumerate(wanted):
        if isinstance(one, int):
            if not 1 <= one <= len(first):
                raise DataError(f"{place}: there is no column {one} among {len(first)}; count from 1")
            found.append(one - 1)
        elif is_header:
            found.append(first.index(column_of(first, one, known, f"--{what}-column", place)))
        elif one is None and not given and len(first) == 1 + columns.with_targets:
            found.append(order)
        else:
            raise DataError(
                f"{place}: which of its {len(first)} columns is the {what}? No header names it; give its number with "
                f"--{what}-column, or a header"
            )
    return found[0], found[1:], is_header


def _of_json(name: str, content: str, columns: _Columns) -> Iterator[_Row | Bad]:
    if columns.has_header is not None or any(isinstance(one, int) for one in (columns.source, *columns.targets)):
        raise ArgumentError(f"{name}: has keys, no header and no numbered columns; name them with --source-column KEY")
    for row in objects_of(name, content):
        yield row if isinstance(row, Bad) else _json_row(*row, columns)


def _json_row(value: dict[str, Any], place: str, columns: _Columns) -> _Row | Bad:
    keys = list(value)
    try:
        source_key = column_of(keys, columns.source, SOURCE_COLUMNS, "--source-column", place)  # type: ignore[arg-type]
        wanted = (columns.targets or [None]) if columns.with_targets else []
        target_keys = [column_of(keys, key, TARGET_COLUMNS, "--target-column", place) for key in wanted]  # type: ignore[arg-type]
    except DataError as error:
        return Bad(COLUMNS, str(error))
    targets: list[str] = []
    for key in target_keys:
        targets += value[key] if isinstance(value[key], list) else [value[key]]
    for what, one in (("source", value[source_key]), *(("target", target) for target in targets)):
        if not isinstance(one, str):
            return Bad(UNREADABLE, f"{place}: the {what} is a {type(one).__name__} where text is wanted; quote it")
    if columns.with_targets and not targets:
        return Bad(EMPTY, f"{place}: the list of targets is empty; fill it in, take the row out")
    return _Row(value[source_key], tuple(targets), place)
