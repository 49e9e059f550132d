"""The site tells the truth: every public name has its place in the reference, and every command shown is understood."""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer

from rnnkit.cli import app

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "docs" / "reference"
PACKAGES = [
    f"rnnkit{name}" for name in ("", ".api", ".nn", ".training", ".text", ".data", ".baselines", ".export", ".explain")
]


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


def commands() -> list[str]:
    """Every `rnnkit …` line of a shell block, in README and on the site, from its verb on."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    blocks = [block for page in pages for block in re.findall(r"```sh\n(.*?)```", page.read_text("utf-8"), re.DOTALL)]
    return re.findall(r"^(?:\.venv/bin/)?rnnkit (.+)$", "\n".join(blocks), re.MULTILINE)


def test_every_command_that_is_shown_is_understood() -> None:
    assert len(commands()) > 12
    for shown in commands():
        words = shlex.split(shown.partition("<")[0], comments=True)
        command: Any = typer.main.get_command(app)
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        command.make_context(shown, words)  # raises for an unknown option and for a missing argument
