"""rnnkit and its peers in one interleaved run: a table, a picture, and what was promised with its figures.

Every peer is a process of its own in an environment of its own; all take turns; whose results disagree with exact
arithmetic is not timed. A ratio is a peer's time divided by ours in the same round (above 1: rnnkit is faster), the
median over the rounds; the machine's own rates are measured in the same run.

Usage: make bench, or python benchmarks/bench.py [--quick] [--only layers --cell lstm] [--minutes 25] [--out runs/bench]
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _layers
import _loads
import _machine
import _report
import _streams
import _variants
from _peers import HERE, Peers

from rnnkit import kernels

# Without tiles fp32_split is fp32 once more.
PRECISIONS = ("fp32", *(("fp32_split",) if kernels.isa() == "amx" else ()), "bf16", "int8")
# What each section takes of the time; the rest is the start of the processes.
SECTIONS = {
    "layers": 0.64,
    "streams": 0.08,
    "options": 0.08,
    "last_step": 0.01,
    "lengths": 0.05,
    "heads": 0.02,
    "busy": 0.06,
}


def commands(python: str, threads: int) -> dict[str, list[str]]:
    ours = {name: [sys.executable, "rnnkit_peer.py", str(threads), name] for name in PRECISIONS}
    torch, jax, ort = ([python, f"{peer}_peer.py", str(threads)] for peer in ("torch", "jax", "onnxruntime"))
    return {
        **{("rnnkit" if name == "fp32" else f"rnnkit {name}"): command for name, command in ours.items()},
        "torch": torch,
        "torch flush": [*torch, "flush"],
        "torch bf16": [*torch, "bf16"],
        "torch bf16 flush": [*torch, "bf16", "flush"],
        "torch.compile": [*torch, "compile"],
        "jax": jax,
        "jax bf16": [*jax, "bf16"],
        "onnxruntime": ort,
        "onnxruntime int8": [*ort, "int8"],
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    python = HERE.parent / ".venv" / "peers" / "bin" / "python"
    parser.add_argument(
        "--peers", default=str(python), metavar="PYTHON", help="of the environment that holds the peers"
    )
    parser.add_argument("--threads", type=int, default=kernels.get_num_threads())
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="for a busy machine: CPU time of one thread in place of time on the wall",
    )
    parser.add_argument("--minutes", type=float, help="in all (25; with --quick 4)")
    parser.add_argument("--quick", action="store_true", help="few small cases: does it run?")
    parser.add_argument("--only", choices=SECTIONS, action="append", help="this section only; may be given again")
    parser.add_argument(
        "--cell",
        choices=_layers.CELLS + _layers.MORE_CELLS,
        action="append",
        help="layers of this cell only; may be given again",
    )
    parser.add_argument("--out", type=Path, help="folder for bench.json, bench.md and bench.png")
    parser.add_argument("--json", action="store_true", help="print JSON on stdout, not the tables")
    chosen = parser.parse_args()
    chosen.peers = str(Path(chosen.peers).absolute())  # not resolved: a link is what makes it that environment's
    if not Path(chosen.peers).exists():
        parser.error(f"{chosen.peers} is absent: `make bench` installs the peers there, or name it with --peers")
    if chosen.cpu_time:
        chosen.threads = 1
    return chosen


def main() -> int:
    options = arguments()
    start, minutes = time.perf_counter(), options.minutes or (4 if options.quick else 25)
    sections, load = options.only or list(SECTIONS), os.getloadavg()[0]
    reference = [sys.executable, "rnnkit_peer.py", str(options.threads), "fp64"]
    with Peers(commands(options.peers, options.threads), reference, is_cpu_time=options.cpu_time) as peers:
        machine = _machine.measure(peers, threads=options.threads, budget_s=60 * minutes * 0.02)
        machine["date"] = datetime.date.today().isoformat()
        machine |= {"load": load, "clock": "CPU time of one thread" if options.cpu_time else "time on the wall"}
        report: dict[str, Any] = {"machine": machine}
        common: dict[str, Any] = {"quick": options.quick}
        measure: dict[str, Callable[[float], Any]] = {
            "layers": lambda s: _layers.measure(
                peers, machine, cells=tuple(options.cell or _layers.CELLS), seconds=s, **common
            ),
            "streams": lambda s: _streams.measure(peers, machine, seconds=s, **common),
            "options": lambda s: _variants.measure_options(peers, seconds=s, **common),
            "last_step": lambda s: _variants.measure_last_step(peers, seconds=s),
            "lengths": lambda s: _variants.measure_lengths(peers, seconds=s, **common),
            "heads": lambda s: _loads.measure_heads(peers, seconds=s, **common),
            "busy": lambda s: _loads.measure_busy(peers, seconds=s, **common),
        }
        for section in sections:
            left = 60 * minutes - (time.perf_counter() - start)
            later = sections[sections.index(section) :]
            report[section] = measure[section](left * SECTIONS[section] / sum(SECTIONS[name] for name in later))
    report["minutes"] = round((time.perf_counter() - start) / 60, 1)
    report["promises"] = [vars(promise) | {"is_kept": promise.is_kept} for promise in _report.promises(report)]
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "bench.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        (options.out / "bench.md").write_text(_report.to_markdown(report), encoding="utf-8")
        _report.draw(report, options.out / "bench.png")
    print(json.dumps(report) if options.json else _report.to_markdown(report))
    refused = [name for row in report.get("layers", []) for name in row["refused"] if name.startswith("rnnkit")]
    return int(bool(refused))


if __name__ == "__main__":
    sys.exit(main())
