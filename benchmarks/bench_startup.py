"""What the run half costs before it does anything: `rnnkit --help`, its import over NumPy's, and its size on disk.

Of whole processes, from bytecode, as pip installs it: the wall time of `--help`, the CPU time of imports, measured in
turn with NumPy's. Sizes are of the installed files, without bytecode: rnnkit and the closure of what it depends on
without extras. Fails when a limit is broken (the quickest of the repeats counts).

Usage: python benchmarks/bench_startup.py [--repeats 10] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path

HELP_LIMIT_S = 0.3
IMPORT_LIMIT_S = 0.06  # of rnnkit.runtime, beyond NumPy's own
SIZE_LIMIT_BYTES = 130e6
HELP = [str(Path(sys.executable).with_name("rnnkit")), "--help"]


def seconds(commands: list[list[str]], repeats: int, clock: Callable[[], float]) -> list[list[float]]:
    """What each command takes, once for each repeat; the commands in turn, so that a busy machine is so for all."""
    found: list[list[float]] = [[] for _ in commands]
    with tempfile.TemporaryDirectory() as cache:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = cache
        for repeat in range(1 + repeats):
            for times, command in zip(found, commands, strict=True):
                start = clock()
                subprocess.run(command, check=True, capture_output=True, env=environment)
                if repeat:  # the first one compiles the modules, and fills the file cache
                    times.append(clock() - start)
    return found


def cpu_time() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def sizes() -> dict[str, int]:
    """Bytes of every distribution that the run half needs, by name."""
    found: dict[str, int] = {}
    waiting = ["rnnkit"]
    while waiting:
        name = re.split(r"[\s;\[<>=!~(]", waiting.pop())[0]
        if name.lower() in found:
            continue
        installed = distribution(name)
        waiting += [one for one in installed.requires or [] if ";" not in one]
        files = [Path(str(installed.locate_file(file))) for file in installed.files or []]
        found[name.lower()] = sum(file.stat().st_size for file in files if file.suffix != ".pyc" and file.exists())
    package, core = find_spec("rnnkit"), find_spec("rnnkit.kernels._core")  # an editable install lists neither
    assert package is not None and package.origin is not None and core is not None and core.origin is not None
    files = [file for file in Path(package.origin).parent.rglob("*") if file.is_file() and file.suffix != ".pyc"]
    found["rnnkit"] = sum(file.stat().st_size for file in {*files, Path(core.origin)})
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--json", action="store_true", help="print JSON on stdout")
    options = parser.parse_args()
    (times,) = seconds([HELP], options.repeats, time.perf_counter)
    imports = [[sys.executable, "-c", f"import {module}"] for module in ("numpy", "numpy, rnnkit.runtime")]
    numpy, both = map(min, seconds(imports, options.repeats, cpu_time))
    of_import, by_name = both - numpy, sizes()
    size = sum(by_name.values())
    machine = f"{platform.machine()}, Python {platform.python_version()}"
    results = {
        "help": {"least_s": min(times), "median_s": statistics.median(times), "limit_s": HELP_LIMIT_S},
        "import_over_numpy": {"least_s": of_import, "numpy_s": numpy, "limit_s": IMPORT_LIMIT_S},
        "installed": {"bytes": size, "limit_bytes": SIZE_LIMIT_BYTES, "by_distribution": by_name},
    }
    if options.json:
        print(json.dumps({"machine": machine, "results": results}))
    else:
        print(f"rnnkit --help: {min(times):.3f} s at least, {statistics.median(times):.3f} s median ({machine})")
        print(f"import rnnkit.runtime: {1e3 * of_import:.0f} ms over NumPy's {1e3 * numpy:.0f} ms")
        largest = sorted(by_name.items(), key=lambda item: -item[1])
        print(f"installed: {size / 1e6:.1f} MB: " + ", ".join(f"{name} {n / 1e6:.1f}" for name, n in largest))
    broken = []
    if min(times) > HELP_LIMIT_S:
        broken.append(f"--help over the limit of {HELP_LIMIT_S} s")
    if of_import > IMPORT_LIMIT_S:
        broken.append(f"import over the limit of {IMPORT_LIMIT_S} s")
    if size > SIZE_LIMIT_BYTES:
        broken.append(f"installed size over the limit of {SIZE_LIMIT_BYTES / 1e6:.0f} MB")
    for what in broken:
        print(f"bench_startup: {what}", file=sys.stderr)
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
