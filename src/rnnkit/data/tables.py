"""Tables: the cells of CSV and TSV files with the place of each row, and which column is meant."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from rnnkit.errors import DataError

SEPARATORS = {".csv": ",", ".tsv": "\t"}
_LONGEST_CELL = 1 << 30  # characters; the csv module's own limit is 128 Ki


def cells_of(name: str, content: str, separator: str) -> Iterator[tuple[list[str], str]]:
    """The header of a table, then its rows, each with its place; lines without anything are left out.

    Raises: DataError naming file, line and remedy: a row with another number of cells, a quote that does not end.
    """
    size: int | None = None
    for cells, place in rows_of(name, content, separator):
        if cells is None:
            raise DataError(place)
        if size is None:
            size = len(cells)
        if len(cells) == size:
            yield cells, place
        elif cells:
            raise DataError(
                f"{place}: {len(cells)} cells, the header has {size}; "
                "put double quotes around a cell that holds the separator"
            )
    if size is None:
        yield [], f"{name}, line 1"


def rows_of(name: str, content: str, separator: str) -> Iterator[tuple[list[str] | None, str]]:
    """The rows of a table as they stand, ([], place) for a line without anything.

    A row whose quotes are wrong comes as (None, what is wrong); the next one is the line after it.

    Raises: DataError for a quote that does not end, since it hides every row below it.
    """
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=separator, strict=True)
    limit = csv.field_size_limit(_LONGEST_CELL)
    started = 1
    try:
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                wrong = (
                    f"{name}, line {reader.line_num}: {error}; a cell that begins with a double quote ends with one, "
                    "and a double quote inside it is written twice"
                )
                if "end of data" in str(error):
                    raise DataError(wrong) from None
                yield None, wrong
            else:
                yield cells, f"{name}, line {started}"
            started = reader.line_num + 1
    finally:
        csv.field_size_limit(limit)


def column_of(header: Sequence[str], given: str | None, usual: Sequence[str], flag: str | None, place: str) -> str:
    """The column `given`, or the only one with a usual name, whatever its case.

    Raises: DataError naming `flag`, or where there is none the usual name.
    """
    names = [given] if given is not None else [name for name in header if name.strip().lower() in usual]
    present = [name for name in names if name in header]
    if len(present) != 1 or list(header).count(present[0]) != 1:
        what = "more than one" if present else "no"
        wanted = given if given is not None else " or ".join(usual)
        remedy = f"call it {usual[0]}" if flag is None else f"name it with {flag} NAME"
        raise DataError(f"{place}: {what} column {wanted} among {', '.join(header)[:200]}; {remedy}")
    return present[0]
