"""Baselines of frames: what they learn, and that they come back as they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnnkit.baselines import FrameMlp
from rnnkit.errors import DataError
from rnnkit.metrics.frames import LabelsScore, NumbersScore


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


# ---- several labels and numbers --------------------------------------------------------------------------------------

NAMES = ["a", "b", "c"]


def several(count: int, *, seed: int, kind: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Each target is what the frame two steps before had: whether above 0, or 3·it + 5."""
    rng = np.random.default_rng(seed)
    frames = [rng.standard_normal((40, 3)).astype(np.float32) for _ in range(count)]
    before = [np.concatenate([np.zeros((2, 3), np.float32), one[:-2]]) for one in frames]
    return frames, [(one > 0).astype(np.float32) if kind == "labels" else 3 * one + 5 for one in before]


@pytest.mark.parametrize("num_targets", [1, 3])
@pytest.mark.parametrize("kind", ["labels", "numbers"])
def test_a_window_sees_several_labels_and_numbers(kind: str, num_targets: int, tmp_path: Path) -> None:
    (frames, targets), (held, wanted) = (several(n, seed=seed, kind=kind) for n, seed in ((60, 0), (10, 1)))
    targets, wanted = ([one[:, :num_targets] for one in of_all] for of_all in (targets, wanted))
    lost = {}
    for name in ("majority" if kind == "labels" else "mean", "frame-mlp", "window-mlp"):
        of: Any = {"targets": kind, "names": NAMES[:num_targets], "before": 2, "after": 0}
        model = FrameMlp.fit(name, frames, targets, **of)  # type: ignore[arg-type]
        score = (
            LabelsScore(wanted, model.log_probs(held)).nats / num_targets
            if kind == "labels"
            else NumbersScore(wanted, model.predict(held), deviation=np.full(num_targets, 3.0)).scaled_rmse
        )
        lost[name] = score
        model.save(tmp_path / name)
        again = FrameMlp.load(tmp_path / name)
        assert again.targets == kind
        assert all(map(np.array_equal, again._scores(held[0]), model._scores(held[0])))
        said, said_again = ([list(map(list, one)) for one in system.predict(held)] for system in (model, again))
        assert said == said_again
    floor = 0.69 if kind == "labels" else 0.97
    assert lost["window-mlp"] < 0.3 < floor < lost["frame-mlp"] < 1.2
    assert lost["majority" if kind == "labels" else "mean"] == pytest.approx(floor, abs=0.08)


def test_the_last_value_is_what_was_read() -> None:
    rng = np.random.default_rng(0)
    frames = [np.cumsum(rng.normal(size=(20, 2)), axis=0).astype(np.float32)]
    model = FrameMlp.fit("last-value", frames, frames, before=0, after=0, targets="numbers", names=["u", "v"])
    assert np.array_equal(model.predict(frames)[0], frames[0].astype(np.float64))
    on = [np.repeat(rng.integers(0, 2, (60, 2)), 5, axis=0).astype(np.float32)]
    before = [np.concatenate([np.zeros((1, 2), np.float32), on[0][:-1]])]
    model = FrameMlp.fit("last-value", before, on, before=0, after=0, targets="labels", names=["u", "v"])
    for k in range(2):
        for was in (0, 1):
            rows = before[0][:, k] == was
            wanted = (on[0][rows, k].sum() + 0.5) / (rows.sum() + 1)
            assert np.exp(model.log_probs(before)[0][rows, k]) == pytest.approx(wanted)


def test_a_label_seldom_there_does_not_make_what_is_read_large() -> None:
    on = np.zeros((500, 2), np.float32)
    on[7, 1] = on[::2, 0] = 1
    model = FrameMlp.fit("frame-mlp", [on], [on], before=0, after=0, targets="labels", names=["u", "v"])
    assert np.abs(model._windows(on)).max() == 1
