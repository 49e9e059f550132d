"""Scenes of two shapes and what may be said of them: "a red circle left of a small blue square". Drawn from a seed.

A thing is a shape in a colour, at full size or small. Of each scene two captions are right, one from either thing; a
training image has one of them, drawn, a test image has both. Of the pairs of two different (colour, shape) a fifth is
held out: no training image has such a pair, whatever the sizes, the relation and the order; test images have no other.
Place, exact size, shade and background are the scene's own; noise is on every pixel.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np

SIDE = 48  # pixels
COLOURS = {
    "red": (215, 40, 40), "green": (40, 165, 60), "blue": (45, 70, 215), "yellow": (230, 205, 40),
    "purple": (140, 50, 165),
}  # fmt: skip
SHAPES = {
    "circle": lambda y, x: y**2 + x**2 <= 1,
    "square": lambda y, x: np.maximum(abs(y), abs(x)) <= 0.85,
    "triangle": lambda y, x: (y <= 0.9) & (abs(x) <= (y + 0.9) / 1.8),
    "cross": lambda y, x: (np.minimum(abs(y), abs(x)) <= 0.32) & (np.maximum(abs(y), abs(x)) <= 1),
}
RADII = {"": (8.0, 10.0), "small": (4.0, 5.5)}  # pixels, at least and at most
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
HELD_OUT_SHARE = 0.2

Kind = tuple[str, str]  # colour, shape


class Scene(NamedTuple):
    """pixels: uint8 [SIDE, SIDE, 3].  captions: both that are right."""

    pixels: np.ndarray
    captions: tuple[str, str]


def pairs_of_kinds() -> tuple[list[tuple[Kind, Kind]], list[tuple[Kind, Kind]]]:
    """(trained on, held out): the pairs of different kinds, in one order of the two. Always the same."""
    kinds = [(colour, shape) for colour in COLOURS for shape in SHAPES]
    pairs = list(combinations(kinds, 2))
    order = np.random.Generator(np.random.Philox(0)).permutation(len(pairs))
    cut = round(HELD_OUT_SHARE * len(pairs))
    return [pairs[at] for at in sorted(order[cut:])], [pairs[at] for at in sorted(order[:cut])]


def scenes(count: int, *, seed: int, held_out: bool) -> Iterator[Scene]:
    """Scenes of pairs that are trained on, or of those held out; the same seed gives the same ones."""
    draw = np.random.Generator(np.random.Philox(key=[seed, held_out]))
    pairs = pairs_of_kinds()[held_out]
    for _ in range(count):
        kinds = pairs[draw.integers(len(pairs))]
        yield _scene(draw, kinds if draw.integers(2) else kinds[::-1])


def write(folder: Path, found: Iterator[Scene], *, both: bool, seed: int = 0) -> Path:
    """Images as .png, and `captions.csv` with a row for both captions or for one that is drawn; the path of that."""
    from PIL import Image

    draw = np.random.Generator(np.random.Philox(seed))
    (folder / "images").mkdir(parents=True, exist_ok=True)
    table = folder / "captions.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "caption"])
        for number, scene in enumerate(found):
            name = f"{number:05}.png"
            Image.fromarray(scene.pixels).save(folder / "images" / name)
            own = scene.captions if both else [scene.captions[draw.integers(2)]]
            rows.writerows([name, caption] for caption in own)
    return table


def _scene(draw: np.random.Generator, kinds: tuple[Kind, Kind]) -> Scene:
    """The first thing stands in a drawn relation to the second one."""
    sizes = [("", "small")[draw.integers(2)] for _ in range(2)]
    radii = [draw.uniform(*RADII[size]) for size in sizes]
    relation = list(OPPOSITE)[draw.integers(4)]
    along, across = (1, 0) if relation in ("left of", "right of") else (0, 1)
    gap = sum(radii) + 1
    first, second = np.empty(2), np.empty(2)
    first[along] = draw.uniform(radii[0], SIDE - 1 - gap - radii[1])
    second[along] = draw.uniform(first[along] + gap, SIDE - 1 - radii[1])
    apart = second[along] - first[along]
    first[across] = draw.uniform(radii[0], SIDE - 1 - radii[0])
    second[across] = first[across] + draw.uniform(-apart / 3, apart / 3)  # so that no other relation could be meant
    second[across] = min(max(second[across], radii[1]), SIDE - 1 - radii[1])
    places = [first, second]
    if relation in ("right of", "below"):
        places = [(SIDE - 1) * _mask(along) + place * (1 - 2 * _mask(along)) for place in places]  # mirrored
    pixels = np.tile(draw.uniform(150, 235), (SIDE, SIDE, 3))
    at = np.arange(SIDE)
    for (colour, shape), place, radius in zip(kinds, places, radii, strict=True):
        inside = SHAPES[shape]((at[:, None] - place[0]) / radius, (at[None] - place[1]) / radius)
        pixels[inside] = np.array(COLOURS[colour]) + draw.uniform(-18, 18, 3)
    pixels += draw.normal(0, 6, pixels.shape)
    things = [
        " ".join(filter(None, ("a", size, colour, shape))) for size, (colour, shape) in zip(sizes, kinds, strict=True)
    ]
    captions = (f"{things[0]} {relation} {things[1]}", f"{things[1]} {OPPOSITE[relation]} {things[0]}")
    return Scene(pixels.clip(0, 255).astype(np.uint8), captions)


def _mask(axis: int) -> np.ndarray:
    return np.eye(2)[axis]
