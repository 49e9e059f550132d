"""What do seven meters of a transformer read in the next 24, 48 or 168 hours? An LSTM over a linear autoregression.

Reproduces: ETTh1 with the published split (12, 4 and 4 months of 30 days) and figure: the squared error in training
            deviations, its mean over the seven series, all steps ahead and an origin at every hour of the test
            part (Zhou et al. 2021, "Informer"; LSTMa .650 / .702 / 1.212 in its table).
Expected:   at most .32 / .36 / .42, and within 3 % of ridge regression on a window as measured before (.309 / .342 /
            .396); a ridge of our own stands beside the model in every table.
Takes:      about fifteen minutes.
"""

from __future__ import annotations

from _recipe import Recipe

STEPS, MONTH = 14_400, 30 * 24
MEASURED = {24: (0.32, 0.309), 48: (0.36, 0.342), 168: (0.42, 0.396)}
CHOICES = {
    "lags": (0, 1, 2, 23, 24, 47, 95), "level": "last", "scale": "series", "series_id": True,
    "output": "point", "output_dropout": 0.2, "lr": 1e-3, "ema": 0.98, "threads": 1,
}  # fmt: skip  # chosen by the validation months
WINDOWS = {24: 96, 48: 96, 168: 336}  # likewise, of the linear autoregression alone
recipe = Recipe(__doc__)
rows = recipe.data("timeseries/ett/ETTh1.csv").read_text(encoding="utf-8").splitlines()[: STEPS + 1]
table = recipe.made_table("etth1", (row.split(",") for row in rows))
parts = {"test_size": 4 * MONTH, "valid_size": 4 * MONTH, "step_size": 1, "figure": "scaled_mse"}
runs = {}
for horizon in MEASURED:
    kinds = ("last-value", "seasonal-naive", "ridge")
    how = {"horizon": horizon, "window_size": WINDOWS[horizon], "kinds": kinds, **parts, **CHOICES}
    runs[horizon] = recipe.forecast(f"{horizon}-hours", [table], max_steps=240, **how)
for horizon, (most, ridge) in MEASURED.items():
    found = runs[horizon]["model"]["scaled_mse"]
    recipe.claim(f"squared error in deviations over {horizon} hours", found, at_most=most)
    recipe.claim(f"its ratio to ridge regression's over {horizon} hours", found / ridge, at_most=1.03)
recipe.finish(main=runs[24])
