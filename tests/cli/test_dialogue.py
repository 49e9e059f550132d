"""`rnnkit train dialogue`, `chat`, and `predict` and `eval` on its runs; no option is ignored."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from arriving import COMMON, check_options
from command import Outcome

from rnnkit.api.dialogue import DialogueRunConfig

SHAKESPEARE = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "lm_char" / "tinyshakespeare.txt"
SMALL = ("--hidden-size=16", "--embedding-size=12", "--max-steps=6", "--batch-tokens=256", "--threads=1",
         "--baseline=last-turn", "--baseline=most-frequent", "--baseline=nearest-source", "--num-beams=2")  # fmt: skip
SPECIAL = {
    **COMMON,
    "--hidden-size": (["--hidden-size", "7"], "model.hidden_size", 7),
    "--tokenizer": (["--tokenizer", "bpe"], "tokenizer.kind", "bpe"),
    "--separate": (["--separate", "--two-embeddings"], "tokenizer.joint", False),
    "--joint": (["--separate", "--two-embeddings"], "tokenizer.joint", False),
    "--shared-embedding": (["--two-embeddings"], "model.shared_embedding", False),
    "--copying": (["--copying", "--label-smoothing", "0"], "model.copying", True),
    "--conditioning": (["--conditioning", "both"], "model.conditioning", "both"),
    "--attention": (["--attention", "dot"], "model.attention", "dot"),
    "--tokenize": (["--tokenize", "none"], "scores.tokenize", "none"),
    "--figure": (["--figure", "wer"], "scores.figure", "wer"),
    "--baseline": (["--baseline", "last-turn"], "baselines.kinds", ("last-turn",)),
}


def test_every_option_arrives_under_the_key_it_is_named_after(monkeypatch: pytest.MonkeyPatch) -> None:
    check_options("dialogue", "Responder", DialogueRunConfig, SPECIAL, monkeypatch)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch, call: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """`given("text", "chat", run)`: a call with this on stdin."""

    def run(text: str, *arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8"))
        return call(*arguments)

    return run


@pytest.fixture(scope="module")
def talks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes of Shakespeare's speakers where they are there, else made ones."""
    path = tmp_path_factory.mktemp("dialogue") / "talks.jsonl"
    if SHAKESPEARE.exists():
        blocks = [block.partition(":\n") for block in SHAKESPEARE.read_text(encoding="utf-8").split("\n\n")[:240]]
        turns = [{"speaker": who, "text": " ".join(said.split()[:12])} for who, _, said in blocks if said.strip()]
    else:
        turns = [{"speaker": "ab"[at % 2], "text": f"word{at % 7} and word{at % 5}"} for at in range(240)]
    scenes = (turns[at : at + 6] for at in range(0, len(turns), 6))
    path.write_text("".join(json.dumps({"turns": scene}) + "\n" for scene in scenes if len(scene) > 1), "utf-8")
    return path


@pytest.fixture(scope="module")
def run(talks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from rnnkit.cli import main

    folder = tmp_path_factory.mktemp("run") / "run"
    assert main(["train", "dialogue", str(talks), "--run", str(folder), "--context=2", *SMALL]) == 0
    return folder


def test_the_table_the_files_and_the_split(run: Path, talks: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["task"] == "dialogue"
    assert [row["name"] for row in metrics["baselines"]] == ["last-turn", "most-frequent", "nearest-source"]
    for row in (metrics["model"], *metrics["baselines"]):
        assert 0 <= row["distinct_1"] <= 1 and 0 <= row["distinct_2"] <= 1
    (frequent,) = (row for row in metrics["baselines"] if row["name"] == "most-frequent")
    assert frequent["distinct_1"] < 0.2  # it says the same to everybody
    scenes = len(talks.read_text(encoding="utf-8").splitlines())
    places = {row["place"].rpartition(", turn")[0] for row in metrics["report"]["worst"]}
    assert len(places) <= max(1, round(0.1 * scenes))  # whole dialogues are held out
    assert {"README.md", "report.html", "dialogue.json"} <= {path.name for path in run.iterdir()}
    assert "rnnkit chat ." in (run / "README.md").read_text(encoding="utf-8")


def test_a_broken_turn_is_named_or_skipped_and_counted(
    talks: Path, tmp_path: Path, call: Callable[..., Outcome]
) -> None:
    broken = tmp_path / "broken.jsonl"
    rows = [*talks.read_text(encoding="utf-8").splitlines()[:20], '{"turns": ["hello", " "]}', '{"turns": ["alone"]}']
    broken.write_text("\n".join(rows), encoding="utf-8")
    refused = call("train", "dialogue", broken, "--run", tmp_path / "run", *SMALL)
    assert (refused.code, refused.err.count("\n"), (tmp_path / "run").exists()) == (1, 1, False)
    assert "broken.jsonl, line 21, turn 2: the turn is empty" in refused.err and "--skip-bad" in refused.err
    done = call("train", "dialogue", broken, "--run", tmp_path / "run", "--skip-bad", *SMALL)
    assert done.code == 0, done.err
    assert "2 rows were left out (2 an empty side)" in done.err
    stranger = call("train", "dialogue", talks, "--run", tmp_path / "other", "--speaker=Nobody", *SMALL)
    assert stranger.code == 1 and "'Nobody' answers nothing; speakers are" in stranger.err


def test_chat_remembers_and_can_be_kept(
    run: Path, tmp_path: Path, given: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("torch", "sklearn", "scipy", "yaml", "matplotlib"):  # only the run half is left
        monkeypatch.setitem(sys.modules, name, None)
    whole = given("Speak, speak.\n\nWho is it?\nGo on.\n", "chat", run)
    assert whole.code == 0, whole.err
    assert (whole.out.count("\n"), whole.err, "\x1b" in whole.out) == (3, "", False)  # an empty line is no turn
    state = tmp_path / "talk.json"
    parts = [given(line, "chat", run, "--state", state) for line in ("Speak, speak.\n", "Who is it?\n", "Go on.")]
    assert "".join(part.out for part in parts) == whole.out
    assert json.loads(state.read_bytes())["count"] == 6
    objects = [json.loads(line) for line in given("Speak, speak.\nWho?\n", "chat", run, "--json").out.splitlines()]
    assert [(row["turn"], row["count"]) for row in objects] == [("Speak, speak.", 2), ("Who?", 4)]
    assert objects[0]["reply"] == whole.out.split("\n")[0]
    drawn = [
        given("Speak.\nSpeak.\n", "chat", run, "--temperature=1", f"--seed={seed}", "--max-new-tokens=9").out
        for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    state.write_text("{}", encoding="utf-8")
    assert "this is no conversation" in given("x\n", "chat", run, "--state", state).err
    assert given("", "chat", run).out == ""


def test_what_chat_cannot_do_is_refused(run: Path, tmp_path: Path, call: Callable[..., Outcome]) -> None:
    for arguments, message in (
        (("--top-k=3",), "--top-k has no effect without --temperature"),
        (("--seed=0",), "--seed has no effect without --temperature"),
        (("--temperature=1", "--num-beams=2"), "--num-beams has no effect with --temperature"),
        (("--temperature=-1",), "--temperature is -1"),
    ):
        refused = call("chat", run, *arguments)
        assert refused.code == 2 and message in refused.err


def test_chat_with_a_run_that_is_no_dialogue_says_what_to_do(tmp_path: Path, call: Callable[..., Outcome]) -> None:
    text, pairs = tmp_path / "a.txt", tmp_path / "a.tsv"
    text.write_text("to be or not to be " * 60, encoding="utf-8")
    pairs.write_text("".join(f"a {n}\tb {n}\n" for n in range(30)), encoding="utf-8")
    few = ("--hidden-size=8", "--max-steps=1", "--threads=1")
    made = call("train", "lm", text, "--run", tmp_path / "lm", "--baseline=unigram", *few)
    assert made.code == 0, made.err
    made = call("train", "translate", pairs, "--run", tmp_path / "pairs", "--baseline=copy-source", *few)
    assert made.code == 0, made.err
    for name, verb in (("lm", "rnnkit sample"), ("pairs", "rnnkit predict")):
        refused = call("chat", tmp_path / name)
        assert refused.code == 2
        assert verb in refused.err and "rnnkit train dialogue makes one to talk to" in refused.err


def test_predict_and_eval(run: Path, talks: Path, tmp_path: Path, call: Callable[..., Outcome], given: Any) -> None:
    one, two = given("Who is it?\nSpeak.\tWho is it?\n", "predict", run, "--json").out.splitlines()
    assert json.loads(one)["source"] == "Who is it?"
    assert json.loads(two)["source"] == "Speak. <turn> Who is it?"
    asked = tmp_path / "asked.jsonl"
    asked.write_text('{"turns": ["Old.", "Speak.", "Who is it?"]}\n{"turns": ["Who is it?"]}\n', encoding="utf-8")
    found = [json.loads(line) for line in call("predict", run, asked, "--json").out.splitlines()]
    assert [row["source"] for row in found] == ["Speak. <turn> Who is it?", "Who is it?"]
    assert found[0]["hypotheses"] == json.loads(two)["hypotheses"]
    judged = json.loads(call("eval", run, talks, "--json").out)
    assert [row["name"] for row in judged["baselines"]] == ["last-turn", "most-frequent", "nearest-source"]
    nearest = judged["baselines"][2]
    assert nearest["exact"] > 0.5 > judged["model"]["exact"]  # it has read most of these turns
    assert judged["model"]["distinct_2"] >= 0
    refused = call("eval", run, talks, "--source-column=x")
    assert refused.code == 2 and "--source-column has no effect on a model of dialogue" in refused.err


def test_colour_and_prompts_on_a_terminal_alone(run: Path) -> None:
    def talk(environment: dict[str, str]) -> str:
        master, slave = pty.openpty()
        child = subprocess.Popen(
            [sys.executable, "-m", "rnnkit", "chat", str(run)],
            stdin=slave, stdout=slave, stderr=slave, env={**os.environ, **environment},
        )  # fmt: skip
        os.close(slave)
        os.write(master, b"Speak.\n\x04")  # Ctrl-D
        shown, end = b"", time.monotonic() + 120
        while time.monotonic() < end:
            if select.select([master], [], [], 1)[0]:
                try:
                    shown += os.read(master, 4096)
                except OSError:  # the other side is closed
                    break
        assert child.wait(timeout=120) == 0
        os.close(master)
        return shown.decode()

    coloured = talk({})
    assert "Ctrl-D ends" in coloured and "\x1b[36m" in coloured
    assert "\x1b" not in talk({"NO_COLOR": "1"})
