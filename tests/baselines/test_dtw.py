"""Dynamic time warping against the plain recursion."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from rnnkit.baselines import NearestSeries
from rnnkit.errors import DataError


def recursion(x: np.ndarray, y: np.ndarray) -> float:
    @cache
    def cost(i: int, j: int) -> float:
        if i < 0 or j < 0:
            return 0.0 if i == j == -1 else np.inf
        return float(((x[i] - y[j]) ** 2).sum()) + min(cost(i - 1, j), cost(i, j - 1), cost(i - 1, j - 1))

    return cost(len(x) - 1, len(y) - 1)


def make(count: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(length, 2)).astype(np.float32) for length in rng.integers(1, 9, count)]


def test_the_distances_are_those_of_the_recursion() -> None:
    trained, given = make(9), make(6, seed=1)
    model = NearestSeries(trained, np.arange(9), num_labels=9)
    wanted = [[recursion(x, y) for y in trained] for x in given]
    np.testing.assert_allclose(wanted, [model._distances(x) for x in given], rtol=1e-5)
    assert np.array_equal(np.argmin(wanted, axis=1), model.log_probs(given).argmax(1))


def test_a_warped_copy_is_nearest_to_what_it_was_made_of(tmp_path: Path) -> None:
    trained = make(8)
    model = NearestSeries(trained, np.arange(8), num_labels=8)
    warped = [np.repeat(one, 3, axis=0) for one in trained]
    assert model.log_probs(warped).argmax(1).tolist() == list(range(8))
    model.save(tmp_path)
    assert np.array_equal(model.log_probs(warped), NearestSeries.load(tmp_path).log_probs(warped))
    (tmp_path / "series.npz").write_bytes(b"x")
    with pytest.raises(DataError, match=r"series\.npz is damaged"):
        NearestSeries.load(tmp_path)
