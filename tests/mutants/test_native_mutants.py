"""The kernel tests find every bug planted in csrc/, and nothing when there is none.

One build holds every bug, and one process runs the tests with each of them in turn (each_bug.py). So `make test` builds
the portable core once and tries all bugs in it, and `make test-slow` the same in every other instruction set.
"""

import functools
import json
import os
import re
import subprocess
import sys
import tempfile

import pytest
from native_build import REPOSITORY, build_with_bugs, run_tests

pytestmark = pytest.mark.timeout(1500)

HEADER = (REPOSITORY / "csrc" / "mutants.h").read_text()
BUGS = re.findall(r"^  (\w+),$", HEADER, re.MULTILINE)  # in the order of the enumeration; the first is "none"
LIKELY = {  # to find a bug of these places and names, which begins with it
    "tests/kernels/test_parity.py": "csrc",
    "tests/kernels/test_options.py": "around.h|mask|zoneout",
    "tests/kernels/test_options.py::test_a_trace": "trace",
    "tests/kernels/test_norm.py": "norm",
    "tests/kernels/test_heads.py": "csrc/heads",
    "tests/kernels/test_attention.py": "attention_",
    "tests/kernels/test_convolution.py": "convolution_",
    "tests/kernels/test_sampling_loop.py": "csrc/decode|stepper.cc",
    "tests/kernels/test_decode.py": "sample.cc",
    "tests/kernels/test_int8.py": "quads.h|in_eight",
}
PLANTED = subprocess.run(
    ["grep", "-roE", r"Bug::\w+", "csrc"], cwd=REPOSITORY, capture_output=True, text=True, check=True
).stdout.split()  # path:Bug::name
TESTS = dict.fromkeys(test.split("::")[0] for test in LIKELY)
FIRST = {place.split("::")[1]: test for test, what in LIKELY.items() for place in PLANTED if re.search(what, place)}

each_bug = pytest.mark.parametrize("bug", BUGS[1:])
OTHER_ISAS = ("avx2", "avx512", "avx512bf16", "amx")
each_other_isa = pytest.mark.parametrize("isa", [pytest.param(i, marks=pytest.mark.xdist_group(i)) for i in OTHER_ISAS])


@functools.cache
def load(core, isa):
    """Why this core does not load as this instruction set, or None."""
    program = "import mutants.core_override, rnnkit.kernels"
    given = {"RNNKIT_ISA": isa, "RNNKIT_TEST_CORE": str(core), "PYTHONPATH": str(REPOSITORY / "tests")}
    done = subprocess.run([sys.executable, "-c", program], env=os.environ | given, capture_output=True, text=True)
    return done.stderr if done.returncode else None


@functools.cache
def verdicts(isa, bugs):
    """What each of these bugs makes fail first, and what the same test says without it, by bug."""
    core = build_with_bugs("portable" if isa == "portable" else "all")
    if (problem := load(core, isa)) is not None:
        assert "RNNKIT_ISA is" in problem, problem  # any other reason is a fault
        pytest.skip(f"this machine has no {isa}")
    with tempfile.NamedTemporaryFile() as file:
        done = run_tests(
            core,
            *("-p", "mutants.each_bug", "-k", "not torch", *TESTS),
            RNNKIT_ISA=isa,
            RNNKIT_TEST_BUGS=json.dumps({BUGS.index(bug): FIRST[bug] for bug in bugs}),
            RNNKIT_TEST_VERDICTS=file.name,
            OMP_NUM_THREADS="1",  # torch's threads do not live through a fork
        )
        verdicts = file.read()
    assert verdicts, done.stdout[-3000:] + done.stderr[-3000:]
    return {BUGS[int(number)]: verdict for number, verdict in json.loads(verdicts).items()}


@pytest.fixture
def verdict(request):
    """`verdict(bug, isa)`: every bug that this session asks about in this instruction set is tried at once."""

    def of(bug, isa):
        given = [
            item.callspec.params
            for item in request.session.items
            if item.fspath == request.node.fspath and hasattr(item, "callspec")
        ]
        bugs = tuple(each["bug"] for each in given if "bug" in each and each.get("isa", "portable") == isa)
        return verdicts(isa, bugs)[bug]

    return of


def check_found(bug, verdict):
    failure, without = verdict
    assert not without, f"fails without a bug: {without}"
    assert failure, f"not found: {bug}"
    assert "AssertionError" in failure, failure


def test_there_are_enough_bugs():
    assert BUGS[0] == "none"
    assert len(BUGS) > 20
    assert set(BUGS[1:]) == FIRST.keys()


@each_bug
def test_the_suite_finds(bug, verdict):
    check_found(bug, verdict(bug, "portable"))


@pytest.mark.slow
@each_other_isa
@each_bug
def test_the_suite_finds_in_every_instruction_set(bug, isa, verdict):
    check_found(bug, verdict(bug, isa))


@pytest.mark.slow
def test_no_function_compiled_for_one_instruction_set_can_serve_another():
    """Every symbol that the linker may merge lies in the namespace of its instruction set."""
    folder = build_with_bugs("all").parent
    objects = [
        path
        for isa in ("amx", "avx512bf16", "avx512", "avx2")
        for path in folder.glob(f"CMakeFiles/rnnkit_{isa}.dir/**/*.o")
    ]
    assert len(objects) > 4
    for path in objects:
        isa = path.relative_to(folder).parts[1].removeprefix("rnnkit_").removesuffix(".dir")
        symbols = subprocess.run(["nm", "-C", "--defined-only", str(path)], capture_output=True, text=True, check=True)
        escaped = [
            line for line in symbols.stdout.splitlines() if line[17] in "WVuTDB" and f"rnnkit::{isa}::" not in line
        ]
        assert not escaped, f"{path.name}: {escaped[:5]}"
