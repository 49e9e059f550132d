"""Baselines of frames: what they learn, and that they come back as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rnnkit.baselines import FrameMlp
from rnnkit.errors import DataError


def recordings(count: int, *, num_labels: int, seed: int) -> tuple[list[np.ndarray], list[list[str]]]:
    """Each label is what the frame two steps before was the largest number of; the first two are "l0"."""
    rng = np.random.default_rng(seed)
    frames = [rng.standard_normal((40, num_labels)).astype(np.float32) for _ in range(count)]
    labels = [["l0"] * 2 + [f"l{best}" for best in one.argmax(1)[:-2]] for one in frames]
    return frames, labels


@pytest.mark.parametrize("num_labels", [2, 3])
def test_a_window_sees_what_a_frame_does_not(num_labels: int, tmp_path: Path) -> None:
    train, held = (recordings(n, num_labels=num_labels, seed=seed) for n, seed in ((60, 0), (10, 1)))
    right = {}
    for kind in ("majority", "frame-mlp", "window-mlp"):
        model = FrameMlp.fit(kind, *train, before=2, after=1)
        found = model.predict(held[0])
        right[kind] = np.mean([a == b for pair in zip(found, held[1], strict=True) for a, b in zip(*pair, strict=True)])
        for log_probs in model.log_probs(held[0]):
            assert np.exp(log_probs).sum(1) == pytest.approx(1.0)
        assert kind != "majority" or len({label for of_one in found for label in of_one}) == 1
        model.save(tmp_path / kind)
        again = FrameMlp.load(tmp_path / kind)
        assert np.array_equal(again.log_probs(held[0])[3], model.log_probs(held[0])[3])
        assert again.labels == [f"l{n}" for n in range(num_labels)]
    assert right["window-mlp"] > 0.85 > 0.75 > right["frame-mlp"]


def test_what_is_not_whole_is_refused_by_name(tmp_path: Path) -> None:
    model = FrameMlp.fit("majority", *recordings(3, num_labels=2, seed=0), before=0, after=0)
    model.save(tmp_path)
    path = tmp_path / "frames.npz"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"frames\.npz is damaged"):
        FrameMlp.load(tmp_path)
    assert model.log_probs([np.zeros((0, 2), np.float32)])[0].shape == (0, 2)
