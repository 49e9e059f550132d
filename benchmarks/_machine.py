"""What the machine can do at best, measured in the same run: the ceiling that every figure is a share of."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from _peers import HERE, Peers, dtype_of, is_ours
from worker import GATES, GemmCase, LayerCase, SampleCase

from rnnkit import kernels
from rnnkit.kernels import _core

SIZE = 2048
WEIGHT_BYTES = {"fp32": 4, "bf16": 2, "int8": 1}
FUNCTIONS = {  # that the equations of one step need for each unit: sigmoids, tanhs
    "lstm": (3, 2),
    "lstm_projected": (3, 2),
    "gru_after": (2, 1),
    "gru_before": (2, 1),
    "elman_tanh": (0, 1),
}


def measure(peers: Peers, *, threads: int, budget_s: float) -> dict[str, Any]:
    """Instruction peaks and read bandwidth per core (machine.cc), products of large squares by us and by torch."""
    found: dict[str, Any] = {"machine": platform.machine(), "cpu": cpu_name(), "threads": threads, "isa": kernels.isa()}
    found["per_core"] = native_rates(threads)
    found["per_core"] |= {f"{name}_per_us": round(function_rate(name) / 1e6) for name in ("sigmoid", "tanh")}
    names = [name for name in peers.names() if is_ours(name) or name in ("torch", "torch bf16")]
    timing = peers.measure(GemmCase(SIZE), names=names, budget_s=budget_s)
    found["gemm_gflops"] = {name: round(1e-9 * timing.case.flop / min(s)) for name, s in timing.seconds.items()}
    found["gemm_refused"] = timing.refused
    return found


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def native_rates(threads: int) -> dict[str, Any]:
    """machine.cc, built for this machine. Empty without a compiler."""
    with tempfile.TemporaryDirectory() as folder:
        program = str(Path(folder) / "machine")
        build = [os.environ.get("CXX", "c++"), "-std=c++20", "-O3", "-march=native", "-pthread"]
        try:
            subprocess.run([*build, str(HERE / "machine.cc"), "-o", program], check=True)
            return json.loads(subprocess.run([program, str(threads)], check=True, capture_output=True).stdout)
        except (OSError, subprocess.CalledProcessError) as error:
            return {"not_measured": str(error)}


def function_rate(name: str) -> float:
    """Values per second of one core, by our own kernel: the least of many runs over a second-level cache's worth."""
    x, seconds = np.linspace(-4, 4, 1 << 16, dtype=np.float32), []
    for _ in range(200):
        start = time.perf_counter()
        _core.apply_math(name, x)
        seconds.append(time.perf_counter() - start)
    return x.size / min(seconds)


def gemm_rate(machine: dict[str, Any], dtype: str) -> float:
    """Flop per second of the fastest large product in this dtype, ours or torch's."""
    return 1e9 * max((g for name, g in machine["gemm_gflops"].items() if dtype_of(name) == dtype), default=0.0)


def peak_rate(machine: dict[str, Any], dtype: str) -> float:
    """Flop per second of all cores in this dtype, by the instructions' own rate."""
    core = machine["per_core"]
    kinds = ("fp32_gflops",) if dtype == "fp32" else ("bf16_gflops", "amx_gflops")
    return 1e9 * machine["threads"] * max(core.get(kind, 0) for kind in kinds)


def least_time(machine: dict[str, Any], case: LayerCase, dtype: str) -> float | None:
    """Seconds of the products at the full rate of the instructions, and of the sigmoids and tanhs at ours."""
    rate, core = peak_rate(machine, dtype), machine["per_core"]
    if not rate:
        return None
    sigmoids, tanhs = FUNCTIONS[case.cell]
    per_value = 1e-6 * (sigmoids / core["sigmoid_per_us"] + tanhs / core["tanh_per_us"]) / machine["threads"]
    return case.flop / rate + int(case.lengths().sum()) * case.H * per_value


def weights_read(case: LayerCase | SampleCase) -> int:
    """Weights that one step, or one token, has to read; of the first layer's input a token reads a column."""
    if isinstance(case, LayerCase):
        return GATES[case.cell] * case.H * (case.I + case.H)
    return 4 * case.H * case.H * (2 * case.num_layers - 1) + case.vocab_size * case.H


def read_time(machine: dict[str, Any], case: LayerCase | SampleCase, dtype: str) -> float:
    """Seconds that reading those weights takes at least, the cores sharing them, from where they fit."""
    bytes_read = weights_read(case) * WEIGHT_BYTES[dtype] / machine["threads"]
    rates = machine["per_core"].get("read_gb_per_s", {})
    fitting = [rate for kb, rate in rates.items() if int(kb) * 1024 >= bytes_read] or list(rates.values())[-1:]
    return bytes_read / (1e9 * fitting[0]) if fitting else 0.0
