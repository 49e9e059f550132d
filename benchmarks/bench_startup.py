"""How long `rnnkit --help` takes, wall time of whole processes; fails when the quickest of them needs over 0.3 s.

Usage: python benchmarks/bench_startup.py [--repeats 10] [--json]
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

LIMIT_S = 0.3
COMMAND = [str(Path(sys.executable).with_name("rnnkit")), "--help"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--json", action="store_true", help="print JSON on stdout")
    options = parser.parse_args()
    subprocess.run(COMMAND, check=True, capture_output=True)  # compiles the modules, fills the file cache
    seconds = []
    for _ in range(options.repeats):
        start = time.perf_counter()
        subprocess.run(COMMAND, check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    machine = f"{platform.machine()}, Python {platform.python_version()}"
    result = {"least_s": min(seconds), "median_s": statistics.median(seconds), "limit_s": LIMIT_S}
    if options.json:
        print(json.dumps({"machine": machine, "results": result}))
    else:
        print(f"rnnkit --help: {result['least_s']:.3f} s at least, {result['median_s']:.3f} s median ({machine})")
    if result["least_s"] > LIMIT_S:
        print(f"bench_startup: over the limit of {LIMIT_S} s", file=sys.stderr)
    return int(result["least_s"] > LIMIT_S)


if __name__ == "__main__":
    sys.exit(main())
