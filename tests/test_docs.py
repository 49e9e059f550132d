"""The site's reference is complete: what a package promises in `__all__` has its place there."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

REFERENCE = Path(__file__).resolve().parents[1] / "docs" / "reference"
PACKAGES = ["rnnkit", "rnnkit.api", "rnnkit.nn", "rnnkit.training", "rnnkit.text", "rnnkit.data", "rnnkit.baselines"]


def described() -> set[str]:
    """Every name after `:::` on the pages."""
    pages = "\n".join(path.read_text(encoding="utf-8") for path in REFERENCE.glob("*.md"))
    return set(re.findall(r"^::: (\S+)$", pages, re.MULTILINE))


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_in_the_reference(package: str) -> None:
    last = {name.rpartition(".")[2] for name in described()}  # a name that two packages give stands once
    last.add("RnnkitError")  # rnnkit.errors stands there whole
    assert set(import_module(package).__all__) <= last


def test_what_the_reference_names_exists() -> None:
    for name in described():
        module, _, last = name.rpartition(".")
        assert hasattr(import_module(module), last), name
