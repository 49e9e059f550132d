"""What a writer of captions must beat: the caption of the most similar training picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from rnnkit.baselines.archive import packed, read_arrays, unpacked, write_arrays
from rnnkit.errors import ArgumentError

_GRID = 4  # cells along each side
_DIRECTIONS = 8
_LEVELS = 4  # of each colour


class NearestPicture:
    """The caption of the training picture that looks most alike; of equally near ones the first.

    Args: features: [N, F] as `picture_features` gives them.  captions: [N] one for each.
    """

    def __init__(self, features: np.ndarray, captions: Sequence[str]) -> None:
        if len(features) != len(captions) or not len(features):
            raise ArgumentError(
                f"{len(features)} pictures, {len(captions)} captions do not pair up; give as many of both"
            )
        self.features, self.captions = np.asarray(features, np.float32), list(captions)

    def write(self, sources: np.ndarray) -> list[str]:
        """Captions of pictures with `sources` [M, F] as features."""
        known = self.features.astype(np.float64)
        apart = (known**2).sum(1) - 2 * np.asarray(sources, np.float64) @ known.T  # but for what all have in common
        return [self.captions[row] for row in apart.argmin(1)]

    def save(self, folder: str | Path) -> None:
        """Write `pictures.npz` and `pictures.json`. Raises: SaveError."""
        write_arrays(folder, "pictures", {}, {"features": self.features} | packed("captions", self.captions))

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote. Raises: DataError naming the file."""

        def make(head: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
            return cls(arrays["features"], unpacked("captions", arrays))

        return read_arrays(folder, "pictures", make)


def picture_features(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """What pictures look like in 240 numbers, float32 [N, 240].

    Three parts, each of length 1: the mean red, green and blue in the cells of a 4 × 4 grid (48); how often each of 64
    colours, four levels of each channel, stands anywhere (64); and in each cell how strong edges are in each of 8
    directions (128), a histogram of gradients.

    Args:   pictures: uint8 [height, width, 3] each, of at least 4 × 4 pixels, of any sizes.
    Source: the edges: Dalal and Triggs 2005, "Histograms of oriented gradients for human detection", without blocks.
    """
    return np.array([_features(picture) for picture in pictures], np.float32).reshape(len(pictures), -1)


def _features(picture: np.ndarray) -> np.ndarray:
    if picture.ndim != 3 or picture.shape[2] != 3 or min(picture.shape[:2]) < _GRID:
        raise ArgumentError(
            f"a picture is {list(picture.shape)}; wanted is [height, width, 3], each side at least {_GRID}"
        )
    height, width, _ = picture.shape
    rows, columns = np.arange(height) * _GRID // height, np.arange(width) * _GRID // width
    cell = (rows[:, None] * _GRID + columns).ravel()
    pixels = picture.reshape(-1, 3)
    sizes = np.bincount(cell)
    means = np.stack([np.bincount(cell, pixels[:, c]) / sizes for c in range(3)], axis=1) / 255
    levels = (pixels.astype(np.int64) * _LEVELS) // 256
    colours = np.bincount(levels @ [_LEVELS * _LEVELS, _LEVELS, 1], minlength=_LEVELS**3).astype(np.float64)
    down, across = np.gradient(picture.mean(2))
    angle = np.arctan2(down, across) % np.pi  # an edge has no sign
    direction = np.minimum((angle / np.pi * _DIRECTIONS).astype(np.int64), _DIRECTIONS - 1).ravel()
    strength = np.hypot(down, across).ravel()
    edges = np.bincount(cell * _DIRECTIONS + direction, strength, minlength=_GRID * _GRID * _DIRECTIONS)
    parts = (means.ravel(), colours, edges)
    return np.concatenate([part / max(float(np.linalg.norm(part)), 1e-12) for part in parts])
