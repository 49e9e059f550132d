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
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=separator, strict=True)
    limit = csv.field_size_limit(_LONGEST_CELL)
    try:
        header = next(reader, [])
        yield header, f"{name}, line 1"
        started = reader.line_num + 1
        for cells in reader:
            place, started = f"{name}, line {started}", reader.line_num + 1
            if len(cells) == len(header):
                yield cells, place
            elif cells:
                raise DataError(
                    f"{place}: {len(cells)} cells, the header has {len(header)}; "
                    "put double quotes around a cell that holds the separator"
                )
    except csv.Error as error:
        raise DataError(
            f"{name}, line {reader.line_num}: {error}; a cell that begins with a double quote ends with one, "
            "and a double quote inside it is written twice"
        ) from None
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
