"""Peers as processes, and how to time them fairly: all in one interleaved run, none without parity.

with Peers({"rnnkit": [python, "rnnkit_peer.py"], "torch": [...]}, reference=[...]) as peers:
    timing = peers.measure(case, budget_s=10)
"""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
sys.path.append(str(HERE / "peers"))
from worker import Case, LayerCase  # noqa: E402

TURN_S = 0.05  # a peer's turn is at least so long: a clock's step and a process's waking do not count
PAUSE_S = 0.005  # between turns, and as often as needed until the last peer's idle workers have stopped spinning
LONGEST_PAUSE_S = 0.1  # torch's spin for 12 ms, ONNX Runtime's for 45 ms; where nobody can tell, so long in any case
KEPT = 6  # exact results of as many cases
HOPELESS = 2.5  # times slower than the fastest peer of its dtype: one turn is enough
# What numerics.md allows between a float32 or bf16 result and exact arithmetic: outputs, dx, gradients of parameters.
TOLERANCE = {"fp32": (1e-6, 2e-6, 5e-6), "bf16": (1e-2, 1.5e-2, 2e-2), "int8": (5e-2, 5e-2, 5e-2)}
# A norm restores every scale, roundings too: those of a normed LSTM grow tenfold in 30 steps. It is compared over few.
NORMED_STEPS = 4
SLACK = 10  # peers may be as much less accurate than we may; another gate order or layout is off by about 1


def is_ours(name: str) -> bool:
    return name.startswith("rnnkit")


def dtype_of(name: str) -> str:
    return next((dtype for dtype in ("bf16", "int8") if dtype in name), "fp32")


@dataclass
class Timing:
    """Seconds of one case by peer, one value for each round; who is not timed, and why."""

    case: Case
    seconds: dict[str, list[float]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)  # has no such case
    refused: dict[str, str] = field(default_factory=dict)  # failed parity

    def median(self, name: str) -> float:
        return statistics.median(self.seconds[name])

    def ratio(self, name: str, over: str) -> float:
        """How many times longer `name` takes than `over`, as the median over the rounds."""
        pairs = zip(self.seconds[name], self.seconds[over], strict=False)
        return statistics.median(a / b for a, b in pairs)

    def best(self, names: Iterable[str]) -> str | None:
        """The fastest of those that were timed."""
        return min((name for name in names if name in self.seconds), key=self.median, default=None)


class Peers:
    """Worker processes that take turns; while one works the others wait on a pipe. One starts when it is first asked.

    Args:    commands: for each name, what starts its process.  reference: the process everybody is compared with.
             is_cpu_time: count the CPU time of a process, not time on the wall.
    """

    def __init__(
        self, commands: Mapping[str, Sequence[str]], reference: Sequence[str], *, is_cpu_time: bool = False
    ) -> None:
        self._is_cpu_time = is_cpu_time
        self._commands = {**commands, "reference": reference}
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._folder = tempfile.TemporaryDirectory()
        self._exact: dict[str, dict[str, np.ndarray]] = {}
        self._last: subprocess.Popen[str] | None = None

    def __enter__(self) -> Peers:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            process.communicate()  # closes stdin, which ends the worker
        self._folder.cleanup()

    def names(self) -> list[str]:
        return [name for name in self._commands if name != "reference"]

    def measure(self, case: Case, *, budget_s: float, names: Sequence[str] = (), min_rounds: int = 3) -> Timing:
        """Prepare, compare, then time in rounds of one turn each, in a new order every round.

        budget_s: for all of it, though min_rounds are made in any case. Who fails parity is named in `refused`
        and is not timed.
        """
        timing, end = Timing(case), time.perf_counter() + budget_s
        exact = self._reference(case)
        ready = []
        for name in names or self.names():
            results = self._prepare(name, "job", case, timing)
            if results is None:
                continue
            if wrong := self._compare(results, exact, dtype_of(name), 1 if is_ours(name) else SLACK):
                timing.refused[name] = wrong
            else:
                ready.append(name)
        self._time({name: (name, "job") for name in ready}, timing, end, min_rounds)
        self._forget()
        return timing

    def measure_variants(
        self,
        process: str,
        cases: Mapping[str, Case],
        *,
        budget_s: float,
        exact: Sequence[str] = (),
        min_rounds: int = 3,
    ) -> Timing:
        """Several cases of one process against each other; those named in `exact` must pass parity."""
        timing, end = Timing(next(iter(cases.values()))), time.perf_counter() + budget_s
        jobs = {}
        for name, case in cases.items():
            is_normed = isinstance(case, LayerCase) and case.options.get("layer_norm")
            compared = replace(case, T=min(case.T, NORMED_STEPS)) if is_normed else case
            results = self._prepare(process, name, compared, timing, under=name)
            if is_normed and results is not None:
                self._prepare(process, name, case, timing, under=name)
            if results is None:
                continue
            if name in exact and (wrong := self._compare(results, self._reference(compared), dtype_of(process), 1)):
                timing.refused[name] = wrong
            else:
                jobs[name] = (process, name)
        self._time(jobs, timing, end, min_rounds)
        self._forget()
        return timing

    def _time(self, jobs: Mapping[str, tuple[str, str]], timing: Timing, end: float, min_rounds: int) -> None:
        first = {name: min(self._turn(*job, 1) for _ in range(2)) for name, job in jobs.items()}
        timing.seconds = {name: [seconds] for name, seconds in first.items()}
        hopeful = []
        for name, seconds in first.items():
            rivals = [s for n, s in first.items() if not is_ours(n) and dtype_of(n) == dtype_of(name)]
            if is_ours(name) or len(rivals) < 2 or seconds <= HOPELESS * min(rivals):
                hopeful.append(name)
        times = {name: max(1, round(TURN_S / first[name])) for name in hopeful}
        timing.seconds |= {name: [] for name in hopeful}
        order, rounds = random.Random(0), 0
        least = min_rounds if time.perf_counter() < end else 1  # out of time: one round, so that the whole ends
        while hopeful and (rounds < least or time.perf_counter() < end):
            for name in order.sample(hopeful, len(hopeful)):
                timing.seconds[name].append(self._turn(*jobs[name], times[name]))
            rounds += 1

    def _reference(self, case: Case) -> dict[str, np.ndarray] | None:
        """The exact results. The last ones are kept: other precisions want them, and forward is a part of backward."""
        key, with_gradients = (json.dumps(vars(case) | mode) for mode in ({}, {"mode": "train"}))
        for known in (key, with_gradients if getattr(case, "mode", "") == "forward" else key):
            if known in self._exact:
                return self._exact[known]
        found = self._prepare("reference", "job", case, Timing(case))
        self._forget("reference")
        if found is not None:
            self._exact[key] = found
            if len(self._exact) > KEPT:
                del self._exact[next(iter(self._exact))]
        return found

    def _prepare(
        self, process: str, job: str, case: Case, timing: Timing, *, under: str = ""
    ) -> dict[str, np.ndarray] | None:
        path = Path(self._folder.name) / f"{process}.npz"
        kind = type(case).__name__
        answer = self._ask(process, do="prepare", job=job, kind=kind, case=vars(case), results=str(path))
        if "not_offered" in answer:
            timing.left_out[under or process] = answer["not_offered"]
            return None
        with np.load(path) as loaded:
            results = dict(loaded)
        path.unlink()
        return results

    def _compare(
        self, found: dict[str, np.ndarray], exact: dict[str, np.ndarray] | None, dtype: str, slack: float
    ) -> str:
        """What is wrong with these results, or nothing."""
        if exact is None:
            return "there is nothing to compare it with"
        outputs, dx, parameters = TOLERANCE[dtype]
        for what, value in found.items():
            allowed = slack * {"y": outputs, "log_probs": outputs, "x": dx}.get(what, parameters)
            want = exact[what]
            error = np.linalg.norm(value.astype(np.float64) - want) / np.linalg.norm(want)
            if not error <= allowed:
                return f"{what} is off by {error:.1e}, at most {allowed:g} allowed"
        return ""

    def _turn(self, process: str, job: str, times: int) -> float:
        self._rest()
        return self._ask(process, do="run", job=job, times=times, is_cpu_time=self._is_cpu_time)["seconds"]

    def _rest(self) -> None:
        """Until the process that worked last is quiet: its spinning workers would take a core from the next one."""
        end, before = time.perf_counter() + LONGEST_PAUSE_S, float("-inf")
        while time.perf_counter() < end and self._last is not None:
            now = cpu_seconds(self._last.pid)
            if now - before < PAUSE_S / 5:
                return
            before = now
            time.sleep(PAUSE_S)

    def _forget(self, *names: str) -> None:
        for name in names or self._processes:
            self._ask(name, do="forget")

    def _ask(self, name: str, **request: Any) -> dict[str, Any]:
        if name not in self._processes:
            self._processes[name] = subprocess.Popen(
                self._commands[name], cwd=HERE / "peers", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        process = self._last = self._processes[name]
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise SystemExit(f"{name}: its process ended with {process.wait()}; its message stands above")
        return json.loads(line)


def cpu_seconds(pid: int) -> float:
    """What the threads of a process have used so far; not a number where the system does not tell."""
    used = 0
    try:
        for path in Path(f"/proc/{pid}/task").iterdir():
            used += int((path / "schedstat").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError):
        return float("nan")
    return 1e-9 * used


def shares(cases: Sequence[Any], weights: Sequence[float], seconds: float) -> Iterator[tuple[Any, float]]:
    """Each case with its share of the time that is left, so that what one takes too long the later ones give up."""
    end = time.perf_counter() + seconds
    for i, case in enumerate(cases):
        yield case, max(0.0, end - time.perf_counter()) * weights[i] / sum(weights[i:])


def geometric_mean(ratios: Iterable[float]) -> float:
    return float(np.exp(np.mean(np.log(list(ratios)))))
