"""The next two days of 414 hourly series of the M4 competition: one LSTM for all of them, over a linear autoregression.

Reproduces: the hourly part of the M4 competition (Makridakis et al. 2020), horizon 48, its sMAPE and MASE: seasonal
            naive 13.912 and 1.193, the organisers' MLP 13.842 and RNN 14.698, the winner (ES-RNN) 9.328 and 0.893.
Expected:   sMAPE at most 11.5 in one global model; the 90 % interval covers 85 to 95 % of what came.
Takes:      about eight minutes.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator

from _recipe import Recipe

recipe = Recipe(__doc__)
CHOICES = {
    "horizon": 48, "season": 24, "window_size": 168, "log": True, "figure": "smape", "lr": 2e-3, "ema": 0.98,
    "threads": 1,
    "kinds": ("last-value", "seasonal-naive", "ridge", "window-mlp"),
}  # fmt: skip  # chosen by the last two days before the test part


def rows() -> Iterator[tuple[str, ...]]:
    """The competition's two files as one long table: what is to be forecast stands behind what was given."""
    yield ("unique_id", "ds", "y")
    files = (recipe.data(f"timeseries/m4/Hourly-{part}.csv") for part in ("train", "test"))
    given, asked = (list(csv.reader(file.open(encoding="utf-8")))[1:] for file in files)
    for (name, *before), (other, *after) in zip(given, asked, strict=True):
        if name != other:
            raise SystemExit(f"the files name {name} and {other} in one row")
        for hour, value in enumerate([*filter(None, before), *after]):
            yield name, str(hour), value


metrics = recipe.forecast("lstm", [recipe.made_table("hourly", rows())], max_steps=400, **CHOICES)
recipe.claim("sMAPE, one model of 414 series", metrics["model"]["smape"], at_most=11.5)
recipe.claim("share of values in the 90 % interval", metrics["model"]["coverage"], at_least=0.85)
recipe.claim("the same", metrics["model"]["coverage"], at_most=0.95)
recipe.finish(main=metrics)
