"""The parity of the kernels under each instruction set that this machine can run, each in a process of its own.

`make test-slow` runs all tests that depend on the instruction set under each.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rnnkit.kernels import isa

TESTS = Path(__file__).parent
ALL = ("amx", "avx512bf16", "avx512", "avx2", "portable")
OTHERS = ALL[ALL.index(isa()) + 1 :]  # those that the best one here includes


def run_tests(name: str, *files: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", *(str(TESTS / file) for file in files)],
        cwd=TESTS.parents[1],
        env=os.environ | {"RNNKIT_ISA": name},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@pytest.mark.parametrize("name", OTHERS)
def test_parity_and_math(name):
    run_tests(name, "test_parity.py", "test_math.py", "test_gradcheck.py")
