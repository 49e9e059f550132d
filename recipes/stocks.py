"""Does anything forecast the next five days of five stocks better than their last value? The honest table.

Reproduces: nothing that is published: the daily prices of MSFT, IBM, SBUX, AAPL and the S&P 500, 2007 to 2016, whose
            last two years are forecast a week ahead from every fifth day, each from the days before it.
Expected:   no system is clearly better than the last value: the claims are that the LSTM is not worse by more than a
            tenth, and the table's interval says whether the difference is more than chance.
Takes:      about a minute.
"""

from __future__ import annotations

from _recipe import Recipe

CHOICES = {
    "horizon": 5, "frequency": "rows", "test_size": 500, "valid_size": 250, "hidden_size": 16, "window_size": 20,
    "level": "last", "lags": (1, 2, 5, 10, 19), "output_dropout": 0.3, "lr": 1e-3, "ema": 0.95, "threads": 1,
    "kinds": ("last-value", "drift", "ridge", "window-mlp"),
}  # fmt: skip  # chosen by the year before the test part
recipe = Recipe(__doc__)
metrics = recipe.forecast("lstm", [recipe.data("timeseries/stocks/stockdata.csv")], max_steps=200, **CHOICES)
last = next(row for row in metrics["baselines"] if row["name"] == "last-value")
recipe.claim("MASE of the LSTM over that of the last value", metrics["model"]["mase"] / last["mase"], at_most=1.1)
recipe.claim("its difference to the last value, lower end of 95 %", last["difference_low"], at_most=0.0)
recipe.finish(main=metrics)
