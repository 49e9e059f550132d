"""The README tells the truth: its Python blocks, and the tutorial's, run as they stand, with a small model and text."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from command import TEXT

import rnnkit

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "batch_size": 4,
    "window": 16,
    "max_steps": 4,
    "sample_tokens": 0,
    "kinds": ["unigram"],
}


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", README + TUTORIAL, re.DOTALL))
def test_the_python_that_is_shown_first_runs(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my.txt").write_text(TEXT + "Once, students opened their books. A line to be judged, O!\n", encoding="utf-8")
    train = rnnkit.LanguageModel.train

    def quickly(*sources: Any, time_limit_s: float, **options: Any) -> rnnkit.LanguageModel:
        assert time_limit_s > 0
        return train(*sources, **options, **SMALL)

    monkeypatch.setattr(rnnkit.LanguageModel, "train", quickly)
    exec(compile(block, "shown", "exec"), {})


def test_every_page_the_readme_names_exists() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_every_command_in_the_readme_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = re.findall(r"`make ([a-z-]+)`|^make ([a-z-]+)", README, re.MULTILINE)
    assert named
    assert {first or second for first, second in named} <= targets


@pytest.mark.parametrize("page", ["README.md", "docs/how-to/install.md"])
def test_the_torch_that_is_named_is_the_one_that_is_pinned(page: str) -> None:
    pinned = re.findall(r'"torch==([^"]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    named = re.findall(r"torch(?:==| )(\d[\d.]*\d)", (ROOT / page).read_text(encoding="utf-8"))
    assert len(pinned) == 1
    assert set(named) == set(pinned)


def test_the_measured_part_is_what_the_committed_results_say() -> None:
    sys.path.insert(0, str(ROOT / "recipes"))
    try:
        measured = importlib.import_module("_measured")
    finally:
        sys.path.pop(0)
    for page in measured.pages():
        assert measured.with_measured(page) == page.read_text(encoding="utf-8"), page
