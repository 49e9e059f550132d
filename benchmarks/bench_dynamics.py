"""What a simulator makes of audio: samples a second in blocks, against 44.1 kHz. `--cpu` counts processor time.

An LSTM of 16 units on one thread: over the last 32 inputs alone, whose blocks run at once, and over two inputs and two
of its own outputs, which goes step by step.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import numpy as np

from rnnkit import runtime
from rnnkit.bundle.schema import check_config
from rnnkit.bundle.system import SystemFacts

RATE = 44_100
MODEL: dict[str, Any] = {
    "vocab_size": 0, "embedding_size": 0, "cell": "lstm", "hidden_size": 16, "num_layers": 1, "bias": True,
    "num_inputs": 1, "num_outputs": 1, "delay": 0, "linear": True,
}  # fmt: skip
LAGS = {"inputs alone": (32, 0), "inputs and outputs": (2, 2)}
BLOCKS = (64, 512, 4096)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cpu", action="store_true", help="processor time in place of the clock's, on a busy machine")
    clock = time.process_time if parser.parse_args().cpu else time.perf_counter
    runtime.set_num_threads(1)
    generator = np.random.default_rng(0)
    for name, (n, m) in LAGS.items():
        config = {
            "format": 1, "kind": "simulator", "precision": "fp32", "model": {**MODEL, "input_lags": n, "output_lags": m}
        }  # fmt: skip
        shapes = check_config(config)
        tensors = {of: generator.normal(0, 0.1, shape).astype(np.float32) for of, shape in shapes.items()}
        tensors |= {of: np.ones(1, np.float32) for of in shapes if of.endswith("deviation")}
        model = runtime.Simulator(config, tensors, system=SystemFacts(("in",), ("out",), float(RATE)))
        audio = generator.normal(size=(8192, 1, 1)).astype(np.float32)
        whole, _ = model(audio)
        for size in BLOCKS:
            state, seconds, found = model.initial_state(), [], []
            for first in range(0, len(audio), size):
                started = clock()
                said, state = model(audio[first : first + size], state)
                seconds.append(clock() - started)
                found.append(said)
            assert np.array_equal(np.concatenate(found), whole)  # the same bits
            rate = size / statistics.median(seconds)
            print(f"{name}, blocks of {size:>4}: {rate:>10,.0f} samples/s, {rate / RATE:6.1f} times real time")


if __name__ == "__main__":
    main()
