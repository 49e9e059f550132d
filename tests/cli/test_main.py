"""The command line as a whole: it starts without torch, fails in one line, and says what it is for."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable

import pytest
from command import Outcome, spawn

from rnnkit import api

VERBS = (
    "train",
    "sample",
    "complete",
    "eval",
    "predict",
    "embed",
    "explain",
    "score",
    "serve",
    "chat",
    "doctor",
    "compare",
    "bench",
    "export",
    "import",
    "export-arpa",
)


def test_help_loads_neither_torch_nor_numpy_nor_rich() -> None:
    code = (
        "import sys, json\nfrom rnnkit.cli import main\nassert main(['--help']) == 0\n"
        "heavy = ('torch', 'numpy', 'rich', 'pydantic', 'matplotlib', 'yaml')\n"
        "print(json.dumps([m for m in heavy if m in sys.modules]), file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(result.stderr) == []
    listed = re.findall(r"^  ([a-z-]+)  ", result.stdout.partition("Commands:")[2], re.MULTILINE)
    assert sorted(listed) == sorted(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, call: Callable[..., Outcome]) -> None:
    outcome = call(verb, "--help")
    assert outcome.code == 0
    assert "Usage: rnnkit" in outcome.out


def test_no_arguments_show_the_help(call: Callable[..., Outcome]) -> None:
    assert "Commands:" in call().out


def test_python_m_is_the_command() -> None:
    for arguments, code, out in ((["--version"], 0, "0.1.0\n"), (["sampel"], 2, "")):
        done = subprocess.run(
            [sys.executable, "-m", "rnnkit", *arguments], capture_output=True, text=True, check=False, timeout=60
        )
        assert (done.returncode, done.stdout) == (code, out)


def test_version(call: Callable[..., Outcome]) -> None:
    assert call("--version").out == "0.1.0\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sampel", "x"], "Did you mean 'sample'?"),
        (["train", "lm", "--hiden-size", "3"], "--hidden-size"),
        (["train", "lm", "--hidden-size", "three"], "--hidden-size"),
        (["train", "lm", "--time-limit", "soon"], "write 90s, 2m or 1h"),
        (["train", "lm", "training.lrr=1"], "the nearest known is training.lr"),
        (["train", "lm", "--lr", "-1"], "training.lr is -1.0"),
        (["train", "lm", "--cell", "lstn"], "'lstm'"),
        (["train", "lm", "--resume"], "add --run"),
        (["train", "lm", "--config", "nowhere.yaml"], "nowhere.yaml"),
        (["complete", "run"], "'TEXT'"),
    ],
)
def test_wrong_use_is_one_line_and_code_2(arguments: list[str], message: str, call: Callable[..., Outcome]) -> None:
    outcome = call(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("rnnkit: ")
    assert outcome.err.count("\n") == 1
    assert message in outcome.err


def test_a_fault_of_ours_is_one_line_too_and_names_the_switch(
    monkeypatch: pytest.MonkeyPatch, call: Callable[..., Outcome]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(api, "doctor", broken, raising=False)
    outcome = call("doctor", "my.txt")
    assert outcome.code == 1
    assert outcome.err == "rnnkit: internal error, ZeroDivisionError: planted; RNNKIT_TRACEBACK=1 shows where\n"
    monkeypatch.setenv("RNNKIT_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        call("doctor", "my.txt")


def test_ctrl_c_exits_130(monkeypatch: pytest.MonkeyPatch, call: Callable[..., Outcome]) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "doctor", interrupted, raising=False)
    assert call("doctor", "my.txt").code == 130


def test_completion_is_offered() -> None:
    assert "--install-completion" in spawn("--help").out
    outcome = spawn("--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert (outcome.code, outcome.err) == (0, "")
    assert "_rnnkit_completion()" in outcome.out
