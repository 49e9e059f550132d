"""Video files as clips: frames of one size as bytes, and the labels that stand beside a file; PyAV decodes."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

from rnnkit.data.tables import SEPARATORS
from rnnkit.errors import DataError, MissingExtraError

SUFFIXES = (".mp4", ".avi", ".mkv", ".webm", ".mov", ".gif")


def is_video(path: str | Path) -> bool:
    """Whether a source is a video file by its name, or a folder, which holds some."""
    return Path(path).suffix.lower() in SUFFIXES or Path(path).is_dir()


def clips_of(source: str | Path) -> list[str]:
    """The video files of a source: itself, or those in a folder, sorted by name. Raises: DataError."""
    if not Path(source).is_dir():
        return [str(source)]
    found = sorted(str(path) for path in Path(source).iterdir() if path.suffix.lower() in SUFFIXES)
    if not found:
        raise DataError(f"{source}: the folder holds no video ({', '.join(SUFFIXES)}); name the files, or their folder")
    return found


def labels_beside(path: str) -> str:
    """The table with a row for every frame: the clip's own name, with .csv or .tsv. Raises: DataError without one."""
    tables = [Path(path).with_suffix(suffix) for suffix in SEPARATORS]
    found = [str(table) for table in tables if table.exists()]
    if len(found) != 1:
        what = "both" if found else "neither"
        raise DataError(
            f"{path}: {what} {' and '.join(table.name for table in tables)} beside it; wanted is one table of its "
            "labels, a row for every frame below the header"
        )
    return found[0]


def read_clip(path: str, *, size: tuple[int, int], grey: bool) -> np.ndarray:
    """The frames of a file's first video stream, in the order they are shown.

    A frame of another size is resized by area averaging: each new pixel is the mean of what it covers, so that no
    pixel is passed over; a larger one repeats what there is.

    Args:    size: height and width.  grey: one channel of brightness; else red, green and blue.
    Returns: uint8 [T, height, width, 1 or 3].
    Raises:  DataError naming the file, and the frame where it cannot be decoded; MissingExtraError without PyAV.
    Cost:    decodes all of it; a byte of memory for every number.
    """
    av = _pyav()
    if not Path(path).is_file():
        raise DataError(f"{path}: no such file; name a video, or a folder of them")
    frames: list[np.ndarray] = []
    try:
        with av.open(path) as container:
            if not container.streams.video:
                raise DataError(f"{path}: holds no video stream; give a file with pictures")
            stream = container.streams.video[0]
            stream.codec_context.options = {"err_detect": "explode"}  # else damage is painted over
            announced = stream.frames  # 0: the file does not say
            for frame in container.decode(stream):
                frames.append(resized(frame.to_ndarray(format="gray" if grey else "rgb24"), size))
    except (av.error.FFmpegError, OSError) as error:
        where = f"frame {len(frames)}: " if frames else ""
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{path}: {where}cannot be decoded ({reason}); is the file whole? Copy or encode it again"
        ) from None
    if len(frames) < announced:
        raise DataError(
            f"{path}: ends at frame {len(frames)} of the {announced} that it announces; copy or encode it again"
        )
    if not frames:
        raise DataError(f"{path}: holds no frame; give a video of at least one")
    return np.stack(frames)


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 [h, w] or [h, w, C] -> [height, width, C]."""
    image = image[..., None] if image.ndim == 2 else image
    if image.shape[:2] == size:
        return image
    rows, columns = (_averaging(old, new) for old, new in zip(image.shape[:2], size, strict=True))
    mean = np.stack([rows @ image[..., c].astype(np.float64) @ columns.T for c in range(image.shape[2])], axis=2)
    return np.rint(mean).astype(np.uint8)


@functools.cache
def _averaging(old: int, new: int) -> np.ndarray:
    """[new, old]: which share of each new pixel every old one covers, along one axis."""
    edges = np.arange(new + 1) * (old / new)
    at = np.arange(old)
    shares = np.minimum(edges[1:, None], at + 1) - np.maximum(edges[:-1, None], at)
    shares = np.maximum(shares, 0)
    return shares / shares.sum(1, keepdims=True)


def _pyav() -> Any:
    try:
        import av
    except ModuleNotFoundError as error:
        raise MissingExtraError("reading video files needs PyAV", extra="video") from error
    return av
