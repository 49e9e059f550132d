"""`rnnkit train translate`, and `predict` and `eval` on its runs; no option is ignored."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from arriving import COMMON, check_options
from command import Outcome

from rnnkit.api.translation import TranslateRunConfig

SMALL = ("--hidden-size=8", "--embedding-size=4", "--max-steps=4", "--batch-tokens=64", "--threads=1",
         "--baseline=copy-source", "--baseline=nearest-source")  # fmt: skip
SPECIAL = {
    **COMMON,
    "--hidden-size": (["--hidden-size", "7"], "model.hidden_size", 7),
    "--tokenizer": (["--tokenizer", "bpe"], "tokenizer.kind", "bpe"),
    "--source-tokenizer": (["--source-tokenizer", "char"], "tokenizer.source_kind", "char"),
    "--shared-embedding": (["--shared-embedding", "--joint"], "model.shared_embedding", True),
    "--copying": (["--copying", "--joint", "--label-smoothing", "0"], "model.copying", True),
    "--conditioning": (["--conditioning", "both"], "model.conditioning", "both"),
    "--attention": (["--attention", "dot"], "model.attention", "dot"),
    "--tokenize": (["--tokenize", "none"], "scores.tokenize", "none"),
    "--figure": (["--figure", "wer"], "scores.figure", "wer"),
    "--baseline": (["--baseline", "copy-source"], "baselines.kinds", ("copy-source",)),
}


def test_every_option_arrives_under_the_key_it_is_named_after(monkeypatch: pytest.MonkeyPatch) -> None:
    check_options("translate", "Translator", TranslateRunConfig, SPECIAL, monkeypatch)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch, call: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """`given("text", "predict", run)`: a call with this on stdin."""

    def run(text: str, *arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8"))
        return call(*arguments)

    return run


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("translate")
    files = folder / "train.de", folder / "train.en"
    for file, words in zip(files, (["ein Hund", "zwei Hunde"], ["a dog", "two dogs"]), strict=True):
        file.write_text("".join(f"{words[n % 2]} {n % 7}\n" for n in range(60)), encoding="utf-8")
    return files


def test_train_predict_and_eval(
    sides: tuple[Path, Path],
    tmp_path: Path,
    call: Callable[..., Outcome],
    given: Callable[..., Outcome],
    monkeypatch: Any,
) -> None:
    run = tmp_path / "run"
    broken = tmp_path / "broken.en"
    broken.write_text("a dog\n\n" * 30, encoding="utf-8")
    refused = call("train", "translate", sides[0], broken, "--run", run, *SMALL)
    assert (refused.code, refused.err.count("\n"), run.exists()) == (1, 1, False)
    assert "broken.en, line 2: the target is empty" in refused.err and "--skip-bad" in refused.err

    done = call("train", "translate", *sides, "--run", run, *SMALL)
    assert done.code == 0, done.err
    for word in ("lstm-general (this model)", "copy-source", "nearest-source", "BLEU", "chrF", f"run folder: {run}"):
        assert word in done.out
    assert "nats/token" in done.err and "token/s" in done.err
    files = {
        "README.md",
        "report.html",
        "source_target.json",
        "tokenizer.json",
        "run.yaml",
        "attention.png",
        "curve.png",
    }
    assert files <= {p.name for p in run.iterdir()}
    again = call("train", "translate", "--resume", "--run", run, "--json")
    assert json.loads(again.out)["task"] == "translate"
    estimate = call("train", "translate", *sides, "--dry-run", *SMALL)
    assert "tokens/s" in estimate.out

    for name in ("torch", "sklearn", "scipy", "yaml", "matplotlib"):  # only the run half is left
        monkeypatch.setitem(sys.modules, name, None)
    judged = json.loads(call("eval", run, *sides, "--json").out)
    assert judged["model"]["num_outputs"] == 60
    assert "60 sources" in call("eval", run, *sides, "--num-beams", "2").out
    for flag in ("--reset-per-line", "--bytes", "--label-column=x"):
        assert f"{flag.split('=')[0]} has no effect on a model that writes" in call("eval", run, *sides, flag).err

    lines = "ein Hund 3\n\nzwei Hunde 4\n"
    written = given(lines, "predict", run).out.split("\n")
    assert len(written) == 4 and written[1] == ""
    listed = [line.split("\t") for line in given(lines, "predict", run, "--n-best=2").out.splitlines()]
    assert [row[0] for row in listed] == ["1", "1", "3", "3"]
    assert float(listed[0][1]) >= float(listed[1][1]) and listed[0][2] == written[0]
    objects = [json.loads(line) for line in given(lines, "predict", run, "--json", "--n-best=2").out.splitlines()]
    assert [len(row["hypotheses"]) for row in objects] == [2, 0, 2]
    assert objects[0]["source"] == "ein Hund 3" and objects[0]["hypotheses"][0]["text"] == written[0]
    assert call("predict", run, sides[0]).out.count("\n") == 60
    made = json.loads(call("export", run, "--to", "bundle", "--int8", "--out", tmp_path / "small", "--json").out)
    assert made["relative_loss"] is not None and made["bytes"] < made["fp32_bytes"]
    assert given(lines, "predict", tmp_path / "small").out.count("\n") == 3
    for verb, arguments in (
        ("score", (sides[0],)),
        ("embed", ()),
        ("complete", ("ein",)),
        ("sample", ()),
        ("bench", ()),
    ):
        wrong = given("x\n", verb, run, *arguments)
        assert wrong.code != 0 and wrong.err.count("\n") == 1 and "Traceback" not in wrong.err, verb


def test_what_is_for_models_that_write_has_no_effect_on_others(
    tmp_path: Path, call: Callable[..., Outcome], given: Callable[..., Outcome]
) -> None:
    file = tmp_path / "labelled.csv"
    file.write_text("label,text\n" + "a,x y\nb,z w\n" * 20, encoding="utf-8")
    run = tmp_path / "run"
    small = ("--hidden-size=4", "--embedding-size=4", "--max-steps=2", "--threads=1", "--baseline=majority")
    assert call("train", "classify", file, "--run", run, *small).code == 0
    assert "--n-best is for a model that writes" in given("x\n", "predict", run, "--n-best=2").err
    assert "--num-beams has no effect on a classifier" in call("eval", run, file, "--num-beams=2").err
    assert "2 files to judge a classifier on" in call("eval", run, file, file).err
