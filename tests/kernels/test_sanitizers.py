"""The kernel tests on a core built with AddressSanitizer and UndefinedBehaviorSanitizer."""

import subprocess
from pathlib import Path

import pytest
from native_build import build, run_tests

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

TESTS = [f"tests/kernels/test_{name}.py" for name in ("bad_calls", "parity", "exactness", "edges")]
# Not under the sanitizers: torch beside them, forks, and the counts of a pool that they switch off.
LEFT_OUT = "not torch and not forked and not memory_is_used_again"


@pytest.fixture(scope="module")
def core():
    return build("sanitized", RNNKIT_ISAS="avx2", RNNKIT_SANITIZE="ON")


def runtime_libraries() -> str:
    """The sanitizer's runtime, and the C++ library whose exceptions it must find before the interpreter starts."""
    libraries = []
    for name in ("libasan.so", "libstdc++.so"):
        found = subprocess.run(["g++", f"-print-file-name={name}"], capture_output=True, text=True).stdout.strip()
        if not Path(found).is_absolute():
            pytest.skip(f"the compiler has no {name}")
        libraries.append(str(Path(found).resolve()))
    return " ".join(libraries)


@pytest.mark.parametrize(("isa", "files"), [("portable", TESTS[:2]), ("avx2", TESTS)])
def test_kernel_tests_are_clean(core, isa, files):
    done = run_tests(
        core,
        *("-s", *files, "-k", LEFT_OUT),
        RNNKIT_ISA=isa,
        LD_PRELOAD=runtime_libraries(),
        ASAN_OPTIONS="detect_leaks=0:allocator_may_return_null=1",
        UBSAN_OPTIONS="print_stacktrace=1",
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
