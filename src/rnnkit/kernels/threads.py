"""Which instructions and how many threads the native core uses."""

from __future__ import annotations

import os

from rnnkit.errors import ConfigError
from rnnkit.kernels import _core


def isa() -> str:
    """The instruction set in use: "amx", "avx512bf16", "avx512", "avx2" or "portable"; RNNKIT_ISA forces one."""
    return _core.isa()


def get_num_threads() -> int:
    """How many threads a kernel may use: RNNKIT_NUM_THREADS or the cores of this process, until `set_num_threads`."""
    return _core.get_num_threads()


def set_num_threads(count: int) -> None:
    """Let kernels use `count` threads from now on. No result depends on it.

    Raises: ArgumentError unless 1 <= count <= 4096.
    """
    _core.set_num_threads(count)


def _obey_environment() -> None:
    if _core.isa_problem is not None:
        raise ConfigError(_core.isa_problem)
    given = os.environ.get("RNNKIT_NUM_THREADS", "")
    if not given:
        return
    if not given.isdecimal() or not 1 <= int(given) <= 4096:
        raise ConfigError(f"RNNKIT_NUM_THREADS is {given!r}, want a number from 1 to 4096; unset it to use every core")
    _core.set_num_threads(int(given))


_obey_environment()
