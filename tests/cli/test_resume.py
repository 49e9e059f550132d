"""`rnnkit train` stopped by Ctrl-C and taken up again: the run folder knows what it was, from any folder."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from command import COMMAND, SMALLEST, TEXT, Outcome

from rnnkit.api.config import read_yaml


def train_until_ctrl_c(*arguments: object, cwd: Path) -> str:
    """Press Ctrl-C after the first evaluation. Returns: what was printed to stderr."""
    command = [*COMMAND, "train", "lm", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd) as process:
        assert process.stdout is not None and process.stderr is not None
        printed = ""
        while "held-out" not in printed and (line := process.stderr.readline()):
            printed += line
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
    assert (process.returncode, out) == (130, ""), printed + err
    return printed + err


def test_ctrl_c_saves_exits_130_and_resume_needs_no_more_than_the_run(text_file: Path, tmp_path: Path) -> None:
    endless = [*SMALLEST, "--max-steps=1000000", "--eval-every-steps=1"]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    first = train_until_ctrl_c(text_file.name, "--run", "run", *endless, cwd=tmp_path)
    second = train_until_ctrl_c("--resume", "--run", tmp_path / "run", cwd=elsewhere)
    assert "training lstm" in first
    assert "resuming lstm" in second
    stops = []
    for printed in (first, second):
        assert "Traceback" not in printed
        stopped = re.search(r"\nrnnkit: stopped after step ([\d,]+); everything is saved in .*resume.*\n$", printed)
        assert stopped, printed
        stops.append(int(stopped[1].replace(",", "")))
    assert 1 <= stops[0] < stops[1]
    assert not list(elsewhere.iterdir())


def test_resume_alone_goes_on_with_the_configuration_of_the_run(
    text_file: Path, tmp_path: Path, call: Callable[..., Outcome]
) -> None:
    run = tmp_path / "run"
    assert call("train", "lm", text_file, "--run", run, *SMALLEST, "--lr=0.01").code == 0
    kept = read_yaml(run / "run.yaml")
    assert (kept["training"]["lr"], kept["data"]["sources"]) == (0.01, [str(text_file.resolve())])
    assert call("train", "lm", "--resume", "--run", run, "--threads=1").code == 0
    refused = call("train", "lm", "--resume", "--run", run, "--lr=0.02")
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert "resume with training.lr=0.01" in refused.err


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        ("x" + TEXT, (), "the training text is not the one that the run in"),
        (TEXT[:-2] + "!\n", (), "the held-out text is not the one that the run in"),
        (TEXT, ("--held-out=0.2",), "data.held_out is 0.2"),
        (TEXT, ("--tokenizer=byte",), "tokenizer.kind is 'byte'"),
    ],
)
def test_another_text_is_named_as_such(
    change: str, arguments: tuple[str, ...], message: str, text_file: Path, tmp_path: Path, call: Callable[..., Outcome]
) -> None:
    run = tmp_path / "run"
    text_file.write_text(TEXT.replace("log.", "log!"), encoding="utf-8")
    assert call("train", "lm", text_file, "--run", run, *SMALLEST).code == 0
    text_file.write_text(change.replace("log.", "log!"), encoding="utf-8")
    refused = call("train", "lm", "--resume", "--run", run, *arguments)
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert message in refused.err
    assert str(run) in refused.err
