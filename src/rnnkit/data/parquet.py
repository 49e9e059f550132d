"""Rows of a Parquet file, each with its place, a few columns at a time; pyarrow reads it, an extra."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import Any

from rnnkit.errors import DataError, MissingExtraError

SUFFIX = ".parquet"


def parquet_rows(
    path: str, chosen: Callable[[list[str], str], Sequence[str | None]], *, with_nulls: bool = False
) -> Iterator[tuple[list[Any], list[str | None], str]]:
    """The values of the chosen columns in every row, those columns, and the row's place: "my.parquet, row 0".

    Args:   path: a file that is there.  chosen: from the file's columns and its name to the wanted ones; None among
                them gives None.  with_nulls: a missing value is None, and no fault.
    Raises: MissingExtraError without pyarrow; DataError naming file, row and column: for a file that is not Parquet or
            is damaged, and a value that is missing.
    Cost:   holds one batch of rows at a time, of the wanted columns alone.
    """
    parquet = _pyarrow_parquet()
    try:
        with parquet.ParquetFile(path) as file:
            columns = list(chosen(list(file.schema_arrow.names), path))
            wanted = [name for name in columns if name is not None]
            number = 0
            for batch in file.iter_batches(columns=wanted):
                values = {name: batch.column(name).to_pylist() for name in wanted}
                for row in range(batch.num_rows):
                    place = f"{path}, row {number}"
                    found = [None if name is None else values[name][row] for name in columns]
                    for name, value in zip(columns, found, strict=True):
                        if name is not None and value is None and not with_nulls:
                            raise DataError(f"{place}, column {name!r}: is null; fill it in, or take the row out")
                    yield found, columns, place
                    number += 1
    except DataError:
        raise
    except (OSError, ValueError) as error:  # pyarrow's errors are of these
        what = " ".join(str(error).split())
        raise DataError(f"{path}: cannot be read as Parquet ({what}); write it again with pyarrow or pandas") from None


def _pyarrow_parquet() -> Any:
    try:
        return import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingExtraError("a Parquet file needs `pyarrow`", extra="parquet") from error
