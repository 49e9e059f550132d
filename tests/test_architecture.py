"""The house keeps its two halves apart: what the run half imports, and that no package escapes the import contracts."""

from __future__ import annotations

import configparser
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import rnnkit

ROOT = Path(__file__).parents[1]
RUN_HALF = [
    "rnnkit",
    "rnnkit.durable",
    "rnnkit.errors",
    "rnnkit.state",
    "rnnkit.kernels",
    "rnnkit.kernels.recurrent",
    "rnnkit.kernels.heads",
    "rnnkit.kernels.decode",
    "rnnkit.kernels.threads",
    "rnnkit.text",
    "rnnkit.automata",
    "rnnkit.metrics",
    "rnnkit.bundle",
    "rnnkit.data",
    "rnnkit.baselines",
    "rnnkit.runtime",
    "rnnkit.export",
    "rnnkit.serving.worker",
    "rnnkit.api",
    "rnnkit.cli",
]


@pytest.mark.parametrize("module", RUN_HALF)
def test_importing_the_run_half_leaves_torch_out(module: str) -> None:
    code = f"import {module}, sys, json; print(json.dumps([m for m in ('torch', 'tensorflow') if m in sys.modules]))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert json.loads(result.stdout) == []


def test_importing_the_runtime_waits_for_little_but_numpy() -> None:
    """What it takes is held by benchmarks/bench_startup.py; here, that nothing comes in that a model can do without."""
    code = "import sys, numpy; before = {*sys.modules}; import rnnkit.runtime; print(*sorted({*sys.modules} - before))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    new = result.stdout.split()
    packages = {name.partition(".")[0] for name in new} & sys.stdlib_module_names
    needed = {"atexit", "copy", "dataclasses", "errno", "fnmatch", "hashlib", "importlib", "inspect", "ast",
              "dis", "opcode", "tokenize", "token", "linecache", "ipaddress", "json", "ntpath", "pathlib",
              "urllib"}  # fmt: skip
    assert {name for name in packages if not name.startswith("_")} <= needed
    ours = {".".join(name.split(".")[1:2]) for name in new if name.startswith("rnnkit.")}
    assert ours == {"bundle", "durable", "errors", "kernels", "metrics", "runtime", "state", "text"}
    for name in (
        "regex",
        "grammar",
        "completion",
        "acceptor",
        "transducer",
        "encoder_decoder",
        "forecaster",
        "simulator",
    ):
        assert f"rnnkit.runtime.{name}" not in new


def test_every_package_is_under_an_import_contract() -> None:
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    protected = {
        name
        for section in contracts.sections()
        if contracts[section].get("type") == "protected"
        for name in contracts[section]["protected_modules"].split()
    }
    packages = {f"rnnkit.{module.name}" for module in pkgutil.iter_modules(rnnkit.__path__)}
    assert packages - protected == {"rnnkit.durable", "rnnkit.errors", "rnnkit.state"}


def test_the_run_half_is_forbidden_torch_by_contract_too() -> None:
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    listed = set(contracts["importlinter:contract:torch"]["source_modules"].split())
    assert {".".join(name.split(".")[:2]) for name in RUN_HALF} - listed == {"rnnkit", "rnnkit.api", "rnnkit.cli"}


def test_torch_is_pinned_in_one_place() -> None:
    pins = [
        path
        for path in ("pyproject.toml", "constraints.txt", "Makefile", ".ci/run")
        if "torch==2" in (ROOT / path).read_text(encoding="utf-8")
    ]
    assert pins == ["pyproject.toml"]
    assert (ROOT / "pyproject.toml").read_text(encoding="utf-8").count("torch==") == 1
