"""What a forecaster's step costs: one series in a call, and 10,000 of them, per series. `--cpu` counts processor time.

An LSTM of 64 units over 7 lags of a window of 96 hours and the calendar, which says 24 steps ahead; one thread.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np

from rnnkit import runtime
from rnnkit.bundle.schema import check_config
from rnnkit.bundle.series import SeriesFacts

MODEL = {
    "vocab_size": 0, "embedding_size": 0, "cell": "lstm", "hidden_size": 64, "num_layers": 1, "bias": True,
    "window": 96, "horizon": 24, "output": "quantiles", "quantile_levels": [0.05, 0.5, 0.95], "num_components": 3,
    "level": "mean", "scale": "window", "lags": [0, 1, 2, 23, 24, 47, 95], "calendar": [[24, 1], [168, 1]],
    "num_past": 0, "num_future": 0, "num_static": 0, "linear": True, "recursive": False, "log": False,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cpu", action="store_true", help="processor time in place of the clock's, on a busy machine")
    clock = time.process_time if parser.parse_args().cpu else time.perf_counter
    runtime.set_num_threads(1)
    config = {"format": 1, "kind": "forecaster", "precision": "fp32", "model": MODEL}
    generator = np.random.default_rng(0)
    tensors = {name: generator.normal(0, 0.1, shape).astype(np.float32) for name, shape in check_config(config).items()}
    names = {"past": [], "future": [], "static": []}
    facts = SeriesFacts([], np.zeros((0, 2), "f4"), np.zeros((0, 0), "f4"), ("seconds", 3600, 0, 1), names)
    model = runtime.Forecaster(config, tensors, series=facts)
    found = {}
    for rows, count in ((1, 2000), (10_000, 30)):
        y, state, seconds = generator.normal(size=rows).astype(np.float32), model.initial_state(rows), []
        for _ in range(count):
            started = clock()
            _, state = model.step(y, state)
            seconds.append(clock() - started)
        found[rows] = statistics.median(seconds) / rows * 1e6
        print(f"{rows:>6} series in a call: {found[rows]:.2f} us for each")
    print(f"{found[1] / found[10_000]:.1f} times cheaper")


if __name__ == "__main__":
    main()
