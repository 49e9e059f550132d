"""The kernel tests find every bug planted in csrc/, and nothing when there is none.

One build holds every bug; which one is switched on is said when it is loaded (csrc/mutants.h). So `make test` builds
the portable core once and runs all bugs in it, and `make test-slow` the same in every other instruction set.
"""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from native_build import REPOSITORY, build, run_tests

pytestmark = pytest.mark.timeout(1500)

HEADER = (REPOSITORY / "csrc" / "mutants.h").read_text()
BUGS = re.findall(r"^  (\w+),$", HEADER, re.MULTILINE)  # in the order of the enumeration; the first is "none"
TESTS = {  # stopped at the first failure; the folder or file whose bugs a test finds
    "tests/kernels/test_parity.py": "csrc",
    "tests/kernels/test_options.py": "csrc/unroll/around.h",
    "tests/kernels/test_norm.py": "csrc/gemm/row_norm.h csrc/unroll/norm.h",
    "tests/kernels/test_heads.py": "csrc/heads",
    "tests/kernels/test_sampling_loop.py": "csrc/decode csrc/unroll/stepper.cc",
    "tests/kernels/test_decode.py": "csrc/decode/sample.cc",
    "tests/kernels/test_int8.py": "csrc/gemm/quads.h",
}
FIRST = {  # the test to run first, by bug
    bug: test
    for test, places in TESTS.items()
    for bug in re.findall(
        r"Bug::(\w+)",
        subprocess.run(
            ["grep", "-rhoE", r"Bug::\w+", *places.split()], cwd=REPOSITORY, capture_output=True, text=True
        ).stdout,
    )
}

each_bug = pytest.mark.parametrize("bug", BUGS[1:])
each_other_isa = pytest.mark.parametrize("isa", ["avx2", "avx512", "avx512bf16", "amx"])


@pytest.fixture(scope="module")
def portable(tmp_path_factory):
    return build(tmp_path_factory.mktemp("portable"), RNNKIT_ISAS="portable", RNNKIT_MUTANTS="ON")


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    return build(tmp_path_factory.mktemp("all"), RNNKIT_ISAS="all", RNNKIT_MUTANTS="ON")


@pytest.fixture(scope="module")
def portable_runs(portable, request):
    """The tests with each bug that is asked for, two at a time: most of a run is Python's start."""
    items = [item for item in request.session.items if "portable_runs" in item.fixturenames]
    bugs = [item.callspec.params["bug"] if hasattr(item, "callspec") else "none" for item in items]
    pool = ThreadPoolExecutor(2)
    yield {bug: pool.submit(run_with, bug, portable, "portable") for bug in bugs}
    pool.shutdown(cancel_futures=True)


def run_with(bug, core, isa):
    """The file that should find the bug by itself, then the others: collecting them all takes longer."""
    first = [test for test in TESTS if test == FIRST.get(bug)]
    options = {"RNNKIT_ISA": isa, "RNNKIT_BUG": str(BUGS.index(bug))}
    if first and (done := run_tests(core, *first, "-k", "not torch", **options)).returncode:
        return done
    return run_tests(core, *(test for test in TESTS if test not in first), "-k", "not torch", **options)


def check_found(bug, done):
    assert done.returncode == 1, f"not found: {bug}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    assert "AssertionError" in done.stdout


def check_clean(done):
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def skip_without(isa):
    program = "import rnnkit.kernels"
    done = subprocess.run([sys.executable, "-c", program], env=os.environ | {"RNNKIT_ISA": isa}, capture_output=True)
    if done.returncode != 0:
        assert b"RNNKIT_ISA is" in done.stderr, done.stderr  # any other reason is a fault
        pytest.skip(f"this machine has no {isa}")


def test_there_are_enough_bugs():
    assert BUGS[0] == "none"
    assert len(BUGS) > 20
    used = subprocess.run(["grep", "-rhoE", r"Bug::\w+", str(REPOSITORY / "csrc")], capture_output=True, text=True)
    assert {f"Bug::{bug}" for bug in BUGS[1:]} == set(used.stdout.split())


def test_the_core_without_a_bug_passes(portable_runs):
    check_clean(portable_runs["none"].result())


@each_bug
def test_the_suite_finds(bug, portable_runs):
    check_found(bug, portable_runs[bug].result())


@pytest.mark.slow
@each_other_isa
def test_the_core_without_a_bug_passes_in_every_instruction_set(isa, complete):
    skip_without(isa)
    check_clean(run_with("none", complete, isa))


@pytest.mark.slow
@each_other_isa
@each_bug
def test_the_suite_finds_in_every_instruction_set(bug, isa, complete):
    skip_without(isa)
    check_found(bug, run_with(bug, complete, isa))


@pytest.mark.slow
def test_no_function_compiled_for_one_instruction_set_can_serve_another(tmp_path):
    """Every symbol that the linker may merge lies in the namespace of its instruction set."""
    build(tmp_path, RNNKIT_ISAS="all")
    objects = [
        path
        for isa in ("amx", "avx512bf16", "avx512", "avx2")
        for path in tmp_path.glob(f"CMakeFiles/rnnkit_{isa}.dir/**/*.o")
    ]
    assert len(objects) > 4
    for path in objects:
        isa = path.relative_to(tmp_path).parts[1].removeprefix("rnnkit_").removesuffix(".dir")
        symbols = subprocess.run(["nm", "-C", "--defined-only", str(path)], capture_output=True, text=True, check=True)
        escaped = [
            line for line in symbols.stdout.splitlines() if line[17] in "WVuTDB" and f"rnnkit::{isa}::" not in line
        ]
        assert not escaped, f"{path.name}: {escaped[:5]}"
