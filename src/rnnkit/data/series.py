"""Labelled series of numbers out of UCR's `.ts` and NumPy's `.npz` files; what cannot be read is named by its place."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from rnnkit.data.documents import Document
from rnnkit.errors import DataError

Row = tuple[str, np.ndarray, str]  # label, frames float32 [T, I], place


def ts_rows(document: Document) -> Iterator[Row]:
    """The series of a `.ts` file: `@` header lines, then on each line a series, its dimensions between colons, the
    values of one between commas, the label last.

    Raises: DataError naming line and remedy: timestamps, no labels, a missing value, dimensions of different lengths.
    Source: the format of the UEA and UCR archives, Bagnall et al. 2018, arXiv:1811.00075.
    """
    content = document.text
    assert isinstance(content, str)
    header: dict[str, str] = {}
    is_data = False
    for number, line in enumerate(content.split("\n"), start=1):
        line, place = line.strip(), f"{document.name}, line {number}"
        if not line or line.startswith("#"):
            continue
        if not is_data:
            key, _, value = line.partition(" ")
            if not key.startswith("@"):
                raise DataError(f"{place}: a header line begins with @, and @data stands before the series")
            header[key[1:].lower()] = value.strip().lower()
            is_data = key.lower() == "@data"
            if is_data and header.get("timestamps") == "true":
                raise DataError(
                    f"{place}: the series have timestamps; write them at even steps, with @timeStamps false"
                )
            if is_data and not header.get("classlabel", "false").startswith("true"):
                raise DataError(f"{place}: the header says that there are no labels; wanted is @classLabel true")
            continue
        *dimensions, label = line.split(":")
        if not dimensions or not label.strip():
            raise DataError(f"{place}: no label after the last colon; end every series with its label")
        try:
            columns = [[float(value) for value in dimension.split(",")] for dimension in dimensions]
        except ValueError as error:
            raise DataError(f"{place}: {error}; every value is a number, a missing one must be filled in") from None
        if len({len(column) for column in columns}) > 1:
            raise DataError(
                f"{place}: the dimensions have {sorted({len(c) for c in columns})} values; give as many of each"
            )
        yield label.strip(), finite_frames(np.array(columns).T, place), place


def npz_rows(path: str) -> Iterator[Row]:
    """The series of a `.npz` file: `X` [N, T, I] or [N, T], `y` [N], and where lengths differ `lengths` [N].

    Raises: DataError naming the array. Nothing in the file is executed: pickled objects are refused.
    """
    X, y, lengths = _npz_arrays(path)
    for row, (series, label, length) in enumerate(zip(X, y, lengths, strict=True)):
        place = f"{path}, row {row}"
        yield str(label), finite_frames(series[:length].reshape(length, -1), place), place


def npz_recordings(path: str, *, labelled: bool = True) -> Iterator[tuple[Any, np.ndarray, str]]:
    """Recordings with something for every frame: `X` [N, T, I] or [N, T], `y` [N, T] of integers or texts, a label
    each, or of numbers [N, T] or [N, T, K]; `lengths` [N] as in `npz_rows`.

    Args:    labelled: False: `y` need not be there and is not read; labels are empty.
    Returns: labels, or numbers float32 [T, K]; frames float32 [T, I]; the place.
    Raises:  as `npz_rows`; DataError naming the first of the numbers that is not finite.
    """
    X, y, lengths = _npz_arrays(path, of_steps=True, labelled=labelled)
    for row, (series, targets, length) in enumerate(zip(X, y, lengths, strict=True)):
        place = f"{path}, row {row}"
        if y.ndim == 3 or y.dtype.kind in "fb":
            of_frames: Any = finite_frames(targets[:length].reshape(length, -1), f"{place} of y")
        else:
            of_frames = [str(label) for label in targets[:length]]
        yield of_frames, finite_frames(series[:length].reshape(length, -1), place), place


def _npz_arrays(
    path: str, *, of_steps: bool = False, labelled: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """X, y and lengths. Args: of_steps: y has a label for every step."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays: dict[str, Any] = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path}: cannot be read as .npz ({error}); write it with numpy.savez, without objects"
        ) from None
    if not {"X", *(("y",) if labelled else ())} <= arrays.keys() <= {"X", "y", "lengths"}:
        raise DataError(f"{path}: holds {', '.join(sorted(arrays))[:200]}; wanted are X, y and perhaps lengths")
    X = arrays["X"]
    y = arrays["y"] if labelled else np.full(X.shape[: 1 + of_steps], "")
    if (
        X.ndim not in (2, 3)
        or X.dtype.kind not in ("fiub" if of_steps else "fiu")
        or not (
            (y.shape == X.shape[: 1 + of_steps] and y.dtype.kind in ("iuUfb" if of_steps else "iuU"))
            or (of_steps and y.ndim == 3 and y.shape[:2] == X.shape[:2] and y.size and y.dtype.kind in "iufb")
        )
    ):
        wanted = "integers or texts [N, T], or numbers [N, T, K]" if of_steps else "integers or texts [N]"
        raise DataError(
            f"{path}: X is {X.dtype} {list(X.shape)}, y {y.dtype} {list(y.shape)}; wanted are numbers [N, T, I] and "
            f"{wanted}"
        )
    lengths = arrays.get("lengths", np.full(len(X), X.shape[1]))
    is_wrong = lengths.shape != X.shape[:1] or lengths.dtype.kind not in "iu"
    if is_wrong or ((lengths < 0) | (lengths > X.shape[1])).any():
        raise DataError(f"{path}: lengths must be {len(X)} integers in 0..{X.shape[1]}")
    return X, y, lengths


def finite_frames(values: np.ndarray, place: str) -> np.ndarray:
    """As float32. Raises: DataError naming the first value that is not finite."""
    wrong = ~np.isfinite(values)
    if wrong.any():
        step, column = np.argwhere(wrong)[0]
        raise DataError(f"{place}: step {step} of dimension {column} is {values[step, column]}; fill it in")
    return values.astype(np.float32)
