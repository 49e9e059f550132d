"""Files that a crash, a kill or a full disk leaves either old or new, never broken: `write_file`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from rnnkit.errors import SaveError

Data = bytes | bytearray | memoryview | Iterable[bytes | memoryview]


def write_file(path: str | Path, data: Data) -> None:
    """Replace `path` by `data`: write beside, fsync, replace, fsync the directory. One writer per path at a time.

    Once it returns, the new bytes survive a power cut; until then the old ones do.

    Args:    data: bytes, or the pieces of a file too large to join in memory.
    Raises:  SaveError, naming the path and the bytes written; the old file is intact and nothing is left beside it.
    Cost:    two fsyncs.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.tmp")
    stage_file(beside, data, path=path)
    with _save_error(path), _removed_on_failure(beside):
        beside.replace(path)
        sync_folder(path.parent)


def stage_file(beside: Path, data: Data, *, path: Path | None = None) -> None:
    """Write `beside` in full and fsync it, for a later rename to `path` (which messages name)."""
    pieces = [data] if isinstance(data, (bytes, bytearray, memoryview)) else data
    written = [0]
    with _save_error(path or beside, written), _removed_on_failure(beside):
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            for piece in pieces:
                rest = memoryview(piece)
                rest = rest.cast("B") if rest.nbytes else memoryview(b"")
                while rest:
                    count = os.write(descriptor, rest)
                    written[0] += count
                    rest = rest[count:]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make renames and new names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _save_error(path: Path, written: list[int] | None = None) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        done = "" if written is None else f" after {written[0]} bytes"
        raise SaveError(
            f"cannot write {path}{done}: {error.strerror or error}; what was there before is intact;"
            " free some space or choose another folder"
        ) from error


@contextlib.contextmanager
def _removed_on_failure(beside: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:  # KeyboardInterrupt too: nothing half-written stays
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
