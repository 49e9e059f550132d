"""Where a run goes, and that nothing is lost or half-written on the way."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import TEXT

import rnnkit
from rnnkit.api.training import choose_folder
from rnnkit.errors import ConfigError, DataError, UsageError


@pytest.fixture
def old_run(tmp_path: Path) -> Path:
    """Something that looks like a run."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run/metrics.json").write_text("{}", encoding="utf-8")
    return tmp_path / "run"


def test_the_default_is_the_first_free_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Path("runs/lm-1") == choose_folder(None, resume=False, force=False)
    Path("runs/lm-1").mkdir(parents=True)
    assert Path("runs/lm-2") == choose_folder(None, resume=False, force=False)


def test_an_existing_run_is_refused_with_the_three_ways_out(old_run: Path) -> None:
    with pytest.raises(UsageError, match=r"--resume.*--force.*--run"):
        choose_folder(old_run, resume=False, force=False)
    assert old_run == choose_folder(old_run, resume=False, force=True)
    assert old_run == choose_folder(old_run, resume=True, force=False)


def test_a_folder_that_is_no_run_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years", encoding="utf-8")
    for force in (False, True):
        with pytest.raises(UsageError, match="is no run"):
            choose_folder(tmp_path, resume=False, force=force)
    with pytest.raises(UsageError, match="is no run"):
        choose_folder(tmp_path / "thesis.tex", resume=False, force=True)


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    assert tmp_path == choose_folder(tmp_path, resume=False, force=False)


@pytest.mark.parametrize(("resume", "force"), [(True, True), (True, False)])
def test_resume_needs_a_run_and_excludes_force(tmp_path: Path, resume: bool, force: bool) -> None:
    with pytest.raises(UsageError):
        choose_folder(tmp_path / "new", resume=resume, force=force)


@pytest.mark.parametrize("force", [False, True])
def test_bad_input_leaves_no_folder_and_no_loss(tmp_path: Path, old_run: Path, force: bool) -> None:
    run = old_run if force else tmp_path / "new"
    (tmp_path / "bad.txt").write_bytes(b"good so far \xff\xfe and no more" * 9)
    with pytest.raises(DataError, match=r"bad\.txt"):
        rnnkit.LanguageModel.train(tmp_path / "bad.txt", run=run, force=force)
    with pytest.raises(DataError, match=r"missing\.txt"):
        rnnkit.LanguageModel.train(tmp_path / "missing.txt", run=run, force=force)
    with pytest.raises(ConfigError, match="hidden_size"):
        rnnkit.LanguageModel.train(tmp_path / "bad.txt", run=run, force=force, hiden_size=3)
    (tmp_path / "good.txt").write_text(TEXT, encoding="utf-8")
    with pytest.raises(ConfigError, match="acts between layers"):
        rnnkit.LanguageModel.train(tmp_path / "good.txt", run=run, force=force, dropout=0.5)
    assert not (tmp_path / "new").exists()
    assert (old_run / "metrics.json").read_text(encoding="utf-8") == "{}"
