"""Native cores built on purpose for a test: with a planted bug, with sanitizers, or to look at their symbols."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]


def cmake(*arguments: str) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # the environment's ninja and cmake
    done = subprocess.run(
        ["cmake", *arguments], env=os.environ | {"PATH": path}, capture_output=True, text=True, timeout=1200
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def build(name: str, **options: str | int) -> Path:
    """The extension module of the build with this name, brought up to date: each test that asks waits for one build."""
    import nanobind

    folder = REPOSITORY / "build" / "tests" / name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        cmake(
            *("-S", str(REPOSITORY), "-B", str(folder), "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release"),
            *("-DCMAKE_CXX_FLAGS_RELEASE=-O1 -DNDEBUG", f"-DPython_EXECUTABLE={sys.executable}"),
            f"-Dnanobind_DIR={nanobind.cmake_dir()}",
            *(f"-D{name}={value}" for name, value in options.items()),
        )
        cmake("--build", str(folder), "--parallel", str(len(os.sched_getaffinity(0))))
    return next(folder.glob("_core*.so"))


def build_with_bugs(isas: str) -> Path:
    """A core with every bug of csrc/mutants.h in it, and with AMX's tiles in plain memory to run anywhere."""
    return build(f"bugs-{isas}", RNNKIT_ISAS=isas, RNNKIT_MUTANTS="ON", RNNKIT_EMULATE_TILES="ON")


def run_tests(core: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The given kernel tests, in a process of their own that uses `core`."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", "-p", "mutants.core_override", *arguments],
        cwd=REPOSITORY,
        env=os.environ
        | {"RNNKIT_TEST_CORE": str(core), "RNNKIT_ISA": "portable", "PYTHONPATH": str(REPOSITORY / "tests")}
        | environment,
        capture_output=True,
        text=True,
        timeout=1200,
    )
