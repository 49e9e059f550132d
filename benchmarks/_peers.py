"""Peers as processes, and how to time them fairly: all in one interleaved run, none without parity.

with Peers({"rnnkit": [python, "rnnkit_peer.py"], "torch": [...]}) as peers:
    timing = peers.measure(case, budget_s=10)
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rnnkit import kernels

HERE = Path(__file__).parent
sys.path.append(str(HERE / "peers"))
from worker import LayerCase, SampleCase  # noqa: E402

Case = LayerCase | SampleCase

OURS = "rnnkit"
TOLERANCE = {"bf16": 5e-2, "fp32": 2e-4}  # of the norm of a result; a wrong gate order or layout is off by about 1
TURN_S = 0.05  # a peer's turn is at least so long: a clock's step and a process's waking do not count


class ParityError(Exception):
    """A peer computed something else. Nothing of this case is timed."""


@dataclass
class Timing:
    """Seconds of one case by peer, one value for each round; who was left out, and why."""

    case: Case
    seconds: dict[str, list[float]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def median(self, peer: str) -> float:
        return statistics.median(self.seconds[peer])

    def ratio(self, ours: str, peers: Sequence[str]) -> tuple[str, float] | None:
        """The fastest of `peers` and how many times longer it takes than `ours`, as the median over the rounds."""
        offered = [peer for peer in peers if peer in self.seconds]
        if ours not in self.seconds or not offered:
            return None
        best = min(offered, key=self.median)
        return best, statistics.median(t / o for t, o in zip(self.seconds[best], self.seconds[ours], strict=True))


class Peers:
    """Worker processes that take turns; while one works the others wait on a pipe."""

    def __init__(self, commands: Mapping[str, Sequence[str]]) -> None:
        self._commands = dict(commands)
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._folder = tempfile.TemporaryDirectory()

    def __enter__(self) -> Peers:
        for name, command in self._commands.items():
            self._processes[name] = subprocess.Popen(
                command, cwd=HERE / "peers", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            process.communicate()  # closes stdin, which ends the worker
        self._folder.cleanup()

    def measure(self, case: Case, *, budget_s: float, min_rounds: int = 5, only: Sequence[str] = ()) -> Timing:
        """Prepare, compare, then time in rounds of one turn each, in a new order every round.

        Raises: ParityError naming peer, result and error, before anything is timed.
        """
        timing = Timing(case)
        results = self._prepare(case, only or list(self._processes), timing)
        self._check_parity(results)
        times = {name: max(1, round(TURN_S / self._turn(name, 1))) for name in results}
        timing.seconds = {name: [] for name in results}
        start, order = time.perf_counter(), random.Random(0)
        names = list(results)
        while len(timing.seconds[names[0]]) < min_rounds or time.perf_counter() - start < budget_s:
            for name in order.sample(names, len(names)):
                timing.seconds[name].append(self._turn(name, times[name]))
        return timing

    def _prepare(self, case: Case, names: Sequence[str], timing: Timing) -> dict[str, dict[str, np.ndarray]]:
        results = {}
        for name in names:
            path = Path(self._folder.name) / f"{name}.npz"
            answer = self._ask(name, do="prepare", kind=type(case).__name__, case=vars(case), results=str(path))
            if "not_offered" in answer:
                timing.left_out[name] = answer["not_offered"]
                continue
            with np.load(path) as loaded:
                results[name] = dict(loaded)
            path.unlink()
        return results

    def _check_parity(self, results: dict[str, dict[str, np.ndarray]]) -> None:
        want = results[OURS]
        for name, found in results.items():
            tolerance = TOLERANCE["bf16" if "bf16" in name else "fp32"]
            for what in want:
                error = np.linalg.norm(found[what] - want[what]) / np.linalg.norm(want[what])
                if not error <= tolerance:
                    raise ParityError(f"{name}'s {what} lies {error:.1e} from {OURS}'s, at most {tolerance:g} allowed")

    def _turn(self, name: str, times: int) -> float:
        return self._ask(name, do="run", times=times)["seconds"]

    def _ask(self, name: str, **request: Any) -> dict[str, Any]:
        process = self._processes[name]
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise SystemExit(f"{name}: its process ended with {process.wait()}; its message stands above")
        return json.loads(line)


def geometric_mean(ratios: Sequence[float]) -> float:
    return float(np.exp(np.mean(np.log(ratios))))


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that every benchmark with peers has."""
    parser.add_argument("--peers", default=str(HERE.parent / ".venv" / "peers" / "bin" / "python"), metavar="PYTHON")
    parser.add_argument("--threads", type=int, default=kernels.get_num_threads())
    parser.add_argument("--budget", type=float, default=10.0, help="seconds of timing for each case (10)")
    parser.add_argument("--quick", action="store_true", help="few small cases, a second each: does it run?")
    parser.add_argument("--json", action="store_true", help="print JSON on stdout")


def check_options(options: argparse.Namespace) -> argparse.Namespace:
    """The options, if the peers are there."""
    if not Path(options.peers).exists():
        raise SystemExit(f"{options.peers} is absent: `make bench` installs the peers there, or name it with --peers")
    if options.quick:
        options.budget = 1.0
    return options


def machine(threads: int) -> dict[str, Any]:
    """Which machine, and what it can do at best: torch's matrix products and a copy, the fastest of several."""
    torch.set_num_threads(threads)

    def fastest(work: Any) -> float:
        times = []
        for _ in range(7):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        return min(times)

    size, found = 2048, {"machine": platform.machine(), "threads": threads, "isa": kernels.isa()}
    for name, dtype in (("fp32_gflops", torch.float32), ("bf16_gflops", torch.bfloat16)):
        a, b = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
        found[name] = round(2e-9 * size**3 / fastest(lambda a=a, b=b: a @ b))
    block = np.ones(1 << 28, np.uint8)
    found["read_gb_per_s"] = round(1e-9 * block.nbytes / fastest(lambda: block.view(np.int64).sum()), 1)
    return found
