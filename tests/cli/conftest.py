"""Fixtures of the command-line tests: a call in this process, a text, and a small run made by the real command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from command import SMALL, TEXT, Outcome, spawn

from rnnkit.cli import main


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """`call("sample", run)` in this process."""

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    """A small text."""
    path = tmp_path / "my.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """A run folder made by the real command, and what the command printed."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "my.txt").write_text(TEXT, encoding="utf-8")
    outcome = spawn("train", "lm", "my.txt", "--run", "run", *SMALL, cwd=folder)
    assert outcome.code == 0, outcome.err
    return folder / "run", outcome


@pytest.fixture
def run(trained: tuple[Path, Outcome]) -> Path:
    """The folder of a small trained run."""
    return trained[0]
