"""Where a result was made: the machine, the instruction set, the threads and the commit, noted beside every number."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rnnkit import runtime


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Within it, the native core uses `count` threads (None: as many as before) and torch one; both come back after.

    torch's own workers spin while they wait, on the cores that the native core needs, and slow its
    steps down wherever another program wants a core too.
    """
    import torch

    native, torchs = runtime.get_num_threads(), torch.get_num_threads()
    try:
        runtime.set_num_threads(native if count is None else count)
        torch.set_num_threads(1)
        yield
    finally:
        runtime.set_num_threads(native)
        torch.set_num_threads(torchs)


def describe_machine() -> dict[str, Any]:
    """Processor, cores, threads, instruction set and versions, JSON-able; torch's where it is installed."""
    try:
        torch_version = version("torch")
    except PackageNotFoundError:
        torch_version = None
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": runtime.get_num_threads(),
        "isa": runtime.isa(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch_version,
    }


@functools.cache
def commit() -> str | None:
    """The commit of the rnnkit checkout in use, with `+` when files differ from it; None for an installed package."""
    folder = Path(__file__).resolve().parents[3]
    try:
        head = _git(folder, "rev-parse", "HEAD")
        return head + ("+" if _git(folder, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


@functools.cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
