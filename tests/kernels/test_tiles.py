"""The products on AMX's tiles, on any machine with AVX-512-BF16: a build that keeps the tiles in plain memory."""

import pytest
from native_build import build_with_bugs, run_tests

from rnnkit import kernels

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
FILES = ("test_parity.py", "test_exactness.py", "test_heads.py", "test_sampling_loop.py")


@pytest.mark.skipif(kernels.isa() not in ("amx", "avx512bf16"), reason="tiles are turned over in registers of AVX-512")
def test_products_on_tiles():
    done = run_tests(
        build_with_bugs("all"),
        *(f"tests/kernels/{file}" for file in FILES),
        "-k",
        "not torch and not memory",
        RNNKIT_ISA="amx",
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
