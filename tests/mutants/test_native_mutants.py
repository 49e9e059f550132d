"""The kernel tests find every bug planted in csrc/, and nothing when there is none."""

import re
import subprocess

import pytest
from native_build import REPOSITORY, build, run_tests

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

HEADER = (REPOSITORY / "csrc" / "mutants.h").read_text()
BUGS = re.findall(r"^  (\w+),$", HEADER, re.MULTILINE)  # in the order of the enumeration; the first is "none"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("native")


def run_parity(folder, number):
    core = build(folder, RNNKIT_ISAS="portable", RNNKIT_MUTANT=number)
    return run_tests(core, "tests/kernels/test_parity.py", "-k", "not torch")


def test_the_core_without_a_bug_passes(folder):
    done = run_parity(folder, 0)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_there_are_enough_bugs():
    assert BUGS[0] == "none"
    assert len(BUGS) > 20
    used = subprocess.run(["grep", "-rhoE", r"Bug::\w+", str(REPOSITORY / "csrc")], capture_output=True, text=True)
    assert {f"Bug::{bug}" for bug in BUGS[1:]} == set(used.stdout.split())


@pytest.mark.parametrize("bug", BUGS[1:])
def test_the_suite_finds(bug, folder):
    done = run_parity(folder, BUGS.index(bug))
    assert done.returncode == 1, f"not found: {bug}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    assert "AssertionError" in done.stdout


def test_no_function_compiled_for_one_instruction_set_can_serve_another(folder):
    """Every symbol that the linker may merge lies in the namespace of its instruction set."""
    build(folder, RNNKIT_ISAS="all", RNNKIT_MUTANT=0)
    objects = [path for isa in ("avx512", "avx2") for path in folder.glob(f"CMakeFiles/rnnkit_{isa}.dir/**/*.o")]
    assert len(objects) > 4
    for path in objects:
        isa = path.relative_to(folder).parts[1].removeprefix("rnnkit_").removesuffix(".dir")
        symbols = subprocess.run(["nm", "-C", "--defined-only", str(path)], capture_output=True, text=True, check=True)
        escaped = [
            line for line in symbols.stdout.splitlines() if line[17] in "WVuTDB" and f"rnnkit::{isa}::" not in line
        ]
        assert not escaped, f"{path.name}: {escaped[:5]}"
