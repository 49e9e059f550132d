"""What does a circuit put out that swings as a mass on a stiffening spring would? Sixteen units over a linear model.

Reproduces: Silverbox (Wigren and Schoukens 2013, "Three free data sets for development and benchmarking in nonlinear
            system identification"): trained on eight realisations of a multisine, weights chosen by the ninth, judged
            on the arrow part, a noise that grows beyond all amplitudes of the training. From rest and the inputs
            alone: no output of the arrow is read, and every step of it counts.
Expected:   a free-run RMS error of at most 2 mV (a plain LSTM 4 mV, the best published 0.26 mV, over measured outputs
            of up to 300 mV); the ARX model of the same lags, an MLP of them and a static fit stand beside it.
Takes:      about six minutes on one thread.
"""

from __future__ import annotations

from pathlib import Path

from _recipe import Recipe

ARROW, FIRST, LENGTH = 40_495, 40_580, 8_692  # steps: of the arrow; where the multisines begin, and of each of the ten
RATE = 1e7 / 2**14  # Hz
CHOICES = {
    "cell": "elman_tanh", "hidden_size": 16, "window_steps": 128, "forced_steps": 16, "batch_size": 64, "lr": 5e-3,
    "weight_decay": 0.0, "start_steps": 0, "eval_every_steps": 200, "threads": 1,
}  # fmt: skip  # chosen by the ninth multisine
recipe = Recipe(__doc__)
lines = recipe.data("dynamics/silverbox/SNLS80mV.csv").read_text(encoding="utf-8").splitlines()[1:]
volts = [tuple(map(float, line.split(",")[:2])) for line in lines if line.strip(" ,")]


def part(name: str, begin: int, end: int) -> Path:
    """Steps as a table in millivolts."""
    rows = ((f"{1000 * u:.7g}", f"{1000 * y:.7g}") for u, y in volts[begin:end])
    return recipe.made_table(name, [("in_mv", "out_mv"), *rows])


valid = FIRST + 8 * LENGTH
metrics = recipe.dynamics(
    "elman",
    [part("multisines", FIRST, valid)],
    max_steps=3000,
    valid_sources=[str(part("ninth", valid, valid + LENGTH))],
    test_sources=[str(part("arrow", 0, ARROW))],
    input_columns=("in_mv",),
    output_columns=("out_mv",),
    sample_rate=RATE,
    figure="rmse",
    **CHOICES,
)
arx = next(row for row in metrics["baselines"] if row["name"] == "arx")
recipe.claim("free-run RMS error on the arrow, mV", metrics["model"]["rmse"], at_most=2.0)
recipe.claim("its ratio to the ARX model's", metrics["model"]["rmse"] / arx["rmse"], below=1.0)
recipe.finish(main=metrics)
