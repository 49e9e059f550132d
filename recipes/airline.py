"""A year of airline passengers ahead, from 144 months: a small LSTM over a linear autoregression, beside AutoARIMA.

Reproduces: the series of Box and Jenkins, 1949 to 1960; the last four years are forecast a year ahead, from every third
            month on, each time from the months before it.
Expected:   a MASE below seasonal naive's, in the mean over origins; AutoARIMA, ETS and Theta stand beside it with an
            interval on the difference.
Takes:      about two minutes, most of it AutoARIMA's.
"""

from __future__ import annotations

from _recipe import Recipe

CHOICES = {
    "horizon": 12, "test_size": 48, "valid_size": 18, "step_size": 3, "hidden_size": 16, "lags": (0, 1, 11, 12, 23),
    "output_dropout": 0.2, "lr": 1e-3, "ema": 0.9, "threads": 1,
    "kinds": ("last-value", "seasonal-naive", "drift", "ridge", "window-mlp", "ets", "theta", "arima"),
}  # fmt: skip  # chosen by the months before the test part
recipe = Recipe(__doc__)
metrics = recipe.forecast("lstm", [recipe.data("timeseries/airline-passengers.csv")], max_steps=100, **CHOICES)
naive = next(row for row in metrics["baselines"] if row["name"] == "seasonal-naive")
recipe.claim("MASE over rolling origins", metrics["model"]["mase"], below=naive["mase"])
recipe.finish(main=metrics)
