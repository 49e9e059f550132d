"""A year of sunspots ahead, from 235 years of months: an LSTM over a linear autoregression, beside AutoARIMA.

Reproduces: the monthly Zurich sunspot numbers, 1749 to 1983; the last twenty years are forecast a year ahead, from an
            origin at every sixth month, each from the months before it. The season is the solar cycle of 132 months.
Expected:   a MASE below seasonal naive's, in the mean over origins; the 90 % interval covers 85 to 95 % of what came.
            AutoARIMA, which leaves a season of 132 months out, stands beside it with an interval on the difference.
Takes:      about five minutes, half of it AutoARIMA's.
"""

from __future__ import annotations

from _recipe import Recipe

CHOICES = {
    "horizon": 12, "season": 132, "test_size": 240, "valid_size": 360, "step_size": 6, "hidden_size": 32,
    "window_size": 160, "lags": (0, 1, 2, 3, 6, 11, 12, 23, 47, 95, 131), "calendar": False, "output_dropout": 0.2,
    "lr": 1e-3, "ema": 0.95, "threads": 1,
    "kinds": ("last-value", "seasonal-naive", "drift", "ridge", "window-mlp", "arima"),
}  # fmt: skip  # chosen by the thirty years before the test part
recipe = Recipe(__doc__)
metrics = recipe.forecast("lstm", [recipe.data("timeseries/monthly-sunspots.csv")], max_steps=300, **CHOICES)
naive = next(row for row in metrics["baselines"] if row["name"] == "seasonal-naive")
recipe.claim("MASE over rolling origins", metrics["model"]["mase"], below=naive["mase"])
recipe.claim("share of values in the 90 % interval", metrics["model"]["coverage"], at_least=0.85)
recipe.claim("the same", metrics["model"]["coverage"], at_most=0.95)
recipe.finish(main=metrics)
