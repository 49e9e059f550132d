"""The drawn scenes: what is held out is never trained on, captions are true of the pixels, a seed gives the same."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnnkit import data

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


@pytest.fixture(scope="module")
def shapes() -> Any:
    spec = importlib.util.spec_from_file_location("_shapes", RECIPES / "_shapes.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules["_shapes"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def things_of(caption: str) -> tuple[list[tuple[str, ...]], str]:
    """Of a caption: both things as their words, and the relation."""
    for relation in ("left of", "right of", "above", "below"):
        if f" {relation} " in caption:
            return [tuple(part.split()[1:]) for part in caption.split(f" {relation} ")], relation
    raise AssertionError(caption)


def places(shapes: Any, pixels: np.ndarray, colour: str) -> np.ndarray:
    """Rows and columns of the pixels in a colour."""
    apart = abs(pixels.astype(float) - shapes.COLOURS[colour]).max(2)
    return np.argwhere(apart < 45)


def test_no_training_scene_has_a_pair_that_is_held_out_and_test_scenes_have_no_other(shapes: Any) -> None:
    trained, held = shapes.pairs_of_kinds()
    assert len(trained) + len(held) == 190
    assert len(held) == 38
    for pairs, is_held in ((trained, False), (held, True)):
        seen = set()
        for scene in shapes.scenes(2_000, seed=3, held_out=is_held):
            things, _ = things_of(scene.captions[0])
            seen.add(frozenset(thing[-2:] for thing in things))
        assert seen == set(map(frozenset, pairs))
    assert not set(map(frozenset, trained)) & set(map(frozenset, held))


def test_a_seed_gives_the_same_scenes_and_another_one_others(shapes: Any) -> None:
    first, again, other = (list(shapes.scenes(5, seed=seed, held_out=False)) for seed in (1, 1, 2))
    assert [scene.captions for scene in first] == [scene.captions for scene in again]
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a.pixels, b.pixels) for a, b in zip(first, other, strict=True))


def test_both_captions_are_true_of_the_pixels(shapes: Any) -> None:
    for scene in shapes.scenes(300, seed=0, held_out=False):
        assert scene.pixels.shape == (shapes.SIDE, shapes.SIDE, 3)
        (one, other), relation = things_of(scene.captions[0])
        (second, first), back = things_of(scene.captions[1])
        assert (one, other) == (first, second)
        assert shapes.OPPOSITE[relation] == back
        if one[-2] == other[-2]:
            continue  # one colour: its pixels are both things'
        here, there = (places(shapes, scene.pixels, thing[-2]) for thing in (one, other))
        axis = 1 if relation in ("left of", "right of") else 0
        sign = 1 if relation in ("left of", "above") else -1
        way = np.median(there, axis=0) - np.median(here, axis=0)
        assert sign * way[axis] > max(6, 1.5 * abs(way[1 - axis]))
        for thing, found in ((one, here), (other, there)):
            height = np.ptp(found[:, 0])
            assert (height < 12) == (thing[0] == "small")


def test_written_scenes_are_read_as_pictures_with_one_caption_or_both(shapes: Any, tmp_path: Path) -> None:
    pytest.importorskip("PIL", reason="images need Pillow")
    scenes = list(shapes.scenes(6, seed=0, held_out=True))
    for both in (False, True):
        table = shapes.write(tmp_path / str(both), iter(scenes), both=both)
        found = data.read_pictures(table, size=(shapes.SIDE, shapes.SIDE))
        assert np.array_equal(found.pixels, np.stack([scene.pixels for scene in scenes]))
        for own, scene in zip(found.captions, scenes, strict=True):
            assert set(own) <= set(scene.captions)
            assert len(own) == 1 + both
