"""Which phase of a gesture is it? Five phases for every frame of hands that a Kinect follows: an LSTM in windows of 32.

Reproduces: Gesture Phase Segmentation (seven videos, 32 velocities and accelerations a frame), in the windows and with
            the split of Hasani et al. 2021, "Liquid time-constant networks": a window begins every 16 frames, then
            windows are drawn for training, validation and test, so that most frames of a test window stand in a
            training one too. Beside it, without a claim: windows that share no frame, and videos that no training
            frame is of.
Expected:   at least 70 % right, the mean of three seeds, in the published windows (LTC 69.6 %, LSTM 64.6 %).
Takes:      about six minutes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from _recipe import Recipe

from rnnkit import data

WINDOW = 32
PUBLISHED_SEED = 23489  # of NumPy's RandomState
CHOICES = {
    "epochs": 100, "hidden_size": 128, "num_layers": 2, "batch_size": 16,
    "input_dropout": 0.2, "dropout": 0.5, "output_dropout": 0.5, "threads": 1,
}  # fmt: skip  # chosen by the validation windows of seed 0
recipe = Recipe(__doc__)
NAMES = ("a3", "b1", "b3", "c1", "c3", "a2", "a1")  # in the published order, which the split depends on
videos = {name: recipe.data(f"frame_level/gesture_phase/{name}_va3.csv") for name in NAMES}


def published() -> dict[str, Path]:
    """The windows of the three parts, as files."""
    windows, labels = [], []
    for file in videos.values():
        video = data.read_framed(file, label_column="Phase")
        frames, phases = video.sentences[0], np.array(video.tags[0])
        for first in range(0, len(frames) // WINDOW * WINDOW - WINDOW + 1, WINDOW // 2):
            windows.append(frames[first : first + WINDOW])
            labels.append(phases[first : first + WINDOW])
    order = np.random.RandomState(PUBLISHED_SEED).permutation(len(windows))
    num_valid, num_test = int(0.1 * len(windows)), int(0.15 * len(windows))
    parts = np.split(order, [num_valid, num_valid + num_test])
    X, y = np.stack(windows), np.stack(labels)
    return {
        name: recipe.made_arrays(name, X=X[rows], y=y[rows])
        for name, rows in zip(("valid", "test", "train"), parts, strict=True)
    }


files = published()
parts = {"valid_sources": [str(files["valid"])], "test_sources": [str(files["test"])]}
runs = [recipe.label_frames(f"seed-{seed}", [files["train"]], seed=seed, **parts, **CHOICES) for seed in range(3)]
apart = {"label_column": "Phase", "window_frames": WINDOW, **CHOICES}
recipe.label_frames("no-shared-frames", list(videos.values()), held_out=0.15, **apart)
unseen = ["b3", "c3"]
recipe.label_frames(
    "unseen-videos",
    [file for name, file in videos.items() if name not in unseen],
    test_sources=[str(videos[name]) for name in unseen],
    **apart,
)
accuracies = [metrics["model"]["accuracy"] for metrics in runs]
recipe.claim("accuracy in the published windows, mean of three seeds", sum(accuracies) / 3, at_least=0.70)
recipe.finish(main=runs[0])
