"""Rows of tables and objects of JSON lines; one that cannot be used is raised, or left out and counted by reason."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from rnnkit.data.readers import read_documents
from rnnkit.data.tables import rows_of
from rnnkit.errors import ArgumentError, DataError

LINES = (".jsonl", ".ndjson")

EMPTY = "an empty side"
UNEQUAL = "no partner"
COLUMNS = "too many or too few columns"
ENCODING = "no valid text"
UNREADABLE = "unreadable"
TOO_LONG = "too long"

T = TypeVar("T")


class Bad(NamedTuple):
    """A row that cannot be used: why, in few words, and its place with what is wrong and a remedy."""

    reason: str
    message: str


def sifted(rows: Iterable[T | Bad], *, skip_bad: bool) -> tuple[list[T], Counter[str]]:
    """The good rows, and how many others were left out by reason.

    Raises: DataError for the first of the others, unless `skip_bad`.
    """
    good: list[T] = []
    skipped: Counter[str] = Counter()
    for row in rows:
        if not isinstance(row, Bad):
            good.append(row)
        elif skip_bad:
            skipped[row.reason] += 1
        else:
            raise DataError(f"{row.message}, or leave such rows out with --skip-bad")
    return good, skipped


def skipped_note(skipped: Counter[str]) -> str:
    """What was left out, in words: "3 rows left out (2 an empty side, 1 too long)"; "" where nothing was."""
    total = sum(skipped.values())
    if not total:
        return ""
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in skipped.most_common())
    return f"{total:,} {'row' if total == 1 else 'rows'} left out ({reasons})"


def refuse_nothing(names: Iterable[str], skipped: Counter[str], what: str) -> None:
    """Raises: DataError that the files hold nothing usable."""
    note = skipped_note(skipped)
    shown = ", ".join(names)[:200]
    raise DataError(f"{shown}: holds no {what}{f'; {note}' if note else ''}; give at least one")


def text_fault(text: str, what: str, place: str) -> Bad | None:
    """What is wrong with a text: it is empty, or bytes outside the encoding stand in it."""
    if not text.strip():
        return Bad(EMPTY, f"{place}: the {what} is empty; fill it in, take the row out")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        wrong = f"{place}: the {what} is no valid text after {text[: error.start][-20:]!r}"
        return Bad(ENCODING, f"{wrong}; pass the encoding that the file is really in")
    return None


def split_rows(
    keys: Sequence[Hashable], held_out: float, *, seed: int, what: str, place: str
) -> tuple[np.ndarray, np.ndarray]:
    """Rows (to train on, held out): about the share `held_out` of the keys; equal ones stay together, and the order.

    Args: what, place: of a key and the first row, for a message. Raises: ArgumentError; DataError for one key alone.
    """
    groups: dict[Hashable, list[int]] = {}
    for row, key in enumerate(keys):
        groups.setdefault(key, []).append(row)
    if len(groups) < 2:
        raise DataError(f"{place} and on: there is a single {what}, so none can be held out; give more of them")
    is_held = held_out_rows(list(groups.values()), held_out, seed=seed)
    return np.flatnonzero(~is_held), np.flatnonzero(is_held)


def held_out_rows(groups: Sequence[Sequence[int]], held_out: float, *, seed: int) -> np.ndarray:
    """Which rows are held out, bool [rows]: of groups of rows, at least two, whole ones at random; never all.

    Raises: ArgumentError for what is no share.
    """
    if not 0 < held_out < 1:
        raise ArgumentError(f"held_out is {held_out}, it must be a share between 0 and 1; 0.1 holds out every tenth")
    order = np.random.Generator(np.random.Philox(seed)).permutation(len(groups))
    count = min(max(round(held_out * len(groups)), 1), len(groups) - 1)
    is_held = np.zeros(sum(map(len, groups)), bool)
    for index in order[:count]:
        is_held[groups[index]] = True
    return is_held


# ---- reading them ----------------------------------------------------------------------------------------------------


def suffix_of(name: str | Path) -> str:
    """How a file's name ends, in small letters and without .gz."""
    return Path(str(name).removesuffix(".gz")).suffix.lower()


def content_of(name: str, encoding: str, *, skip_bad: bool) -> str:
    """A file's text; where bad rows are skipped, a byte outside the encoding costs its own row alone."""
    (document,) = read_documents([name], encoding=encoding, errors="surrogateescape" if skip_bad else "strict")
    content = document.text
    assert isinstance(content, str)
    return content


def table_rows(name: str, content: str) -> Iterator[tuple[list[str], str] | Bad]:
    """The cells of every row with its place, the first row also; as many in each as in that one.

    A .csv puts cells with a comma, newline or quote in double quotes; in a .tsv a quote is a character like any other.
    """
    size = 0
    for cells, place in rows_of(name, content, ",") if suffix_of(name) == ".csv" else _tab_rows(name, content):
        if cells is None:
            yield Bad(UNREADABLE, place)
        elif size and cells and len(cells) != size:
            yield Bad(COLUMNS, f"{place}: {len(cells)} columns, the first row has {size}; give it as many")
        elif cells:
            size = len(cells)
            yield cells, place


def objects_of(name: str, content: str) -> Iterator[tuple[dict[str, Any], str] | Bad]:
    """The object on every line with its place; empty lines are passed over."""
    for number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{name}, line {number}"
        try:
            value: Any = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield Bad(UNREADABLE, f"{place}: is no JSON ({error}); write one object on every line")
            continue
        if isinstance(value, dict):
            yield value, place
        else:
            yield Bad(UNREADABLE, f"{place}: holds a {type(value).__name__}; write one object on every line")


def _tab_rows(name: str, content: str) -> Iterator[tuple[list[str], str]]:
    for number, line in enumerate(content.split("\n"), start=1):
        yield line.split("\t") if line else [], f"{name}, line {number}"
