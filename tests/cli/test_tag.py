"""`rnnkit train tag`, and `predict` and `eval` on its runs; no option is ignored."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
from arriving import COMMON, check_options
from command import Outcome

from rnnkit import runtime
from rnnkit.api.tagging import TagRunConfig

SMALL = ("--hidden-size=4", "--embedding-size=4", "--max-steps=4", "--batch-size=8", "--threads=1")
SPECIAL = {
    **COMMON,
    "--scheme": (["--scheme", "iob1"], "data.scheme", "iob1"),
    "--scheme-to": (["--scheme-to", "bioes"], "data.scheme_to", "bioes"),
    "--repair": (["--repair"], "data.repair", True),
    "--features": (["--features", "shape,suffix2"], "words.features", ("shape", "suffix2")),
    "--feature-embedding-size": (
        ["--features", "shape", "--feature-embedding-size", "7"],
        "model.feature_embedding_size",
        7,
    ),
    "--pretrain": (["--pretrain", "t"], "transfer.pretrain", ["t"]),
    "--pretrain-epochs": (["--pretrain-epochs", "0.5", "--pretrain", "t"], "transfer.pretrain_epochs", 0.5),
    "--pretrain-lr": (["--pretrain-lr", "0.001", "--pretrain", "t"], "transfer.pretrain_lr", 0.001),
    "--unfreeze-every": (["--unfreeze-every", "0.5", "--from", "r"], "transfer.unfreeze_every", 0.5),
    "--rate-decay": (["--rate-decay", "2", "--from", "r"], "transfer.rate_decay", 2.0),
    "--outside": (["--outside", "fitted"], "model.outside", "fitted"),
    "--lowercase": (["--cased"], "words.lowercase", False),
    "--characters": (["--no-characters"], "words.characters", False),
    "--baseline": (["--baseline", "hmm"], "baselines.kinds", ("hmm",)),
}


def test_every_option_arrives_under_the_key_it_is_named_after(monkeypatch: pytest.MonkeyPatch) -> None:
    check_options("tag", "Tagger", TagRunConfig, SPECIAL, monkeypatch)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tag") / "spans.conll"
    path.write_text("\n".join(f"in IN O\nNew NNP B-place\nYork{n} NNP I-place\n" for n in range(40)), encoding="utf-8")
    return path


def test_train_predict_and_eval(file: Path, tmp_path: Path, call: Callable[..., Outcome], monkeypatch: Any) -> None:
    run = tmp_path / "run"
    kinds = ("--baseline=most-frequent-tag", "--baseline=hmm")
    refused = call("train", "tag", file, "--run", run, *SMALL, "--tag-column", "4")
    assert (refused.code, refused.err.count("\n"), run.exists()) == (1, 1, False)
    assert "spans.conll, line 1: 3 columns between blanks, no word in column 1 and a tag in column 4" in refused.err

    done = call("train", "tag", file, "--run", run, *SMALL, *kinds)
    assert done.code == 0, done.err
    for word in ("bi-lstm-crf (this model)", "most-frequent-tag", "hmm", "F1", "recall", f"run folder: {run}"):
        assert word in done.out
    assert "nats/word" in done.err
    assert {"README.md", "report.html", "labels.json", "words.json", "run.yaml"} <= {p.name for p in run.iterdir()}
    again = call("train", "tag", "--resume", "--run", run, "--json")
    assert json.loads(again.out)["model"]["num_sentences"] == 8

    for name in ("torch", "sklearn", "scipy", "yaml", "matplotlib", "pycrfsuite"):  # only the run half is left
        monkeypatch.setitem(sys.modules, name, None)
    judged = call("eval", run, file, "--json")
    assert json.loads(judged.out)["model"]["num_sentences"] == 40
    assert "40 sentences" in call("eval", run, file).out
    assert call("eval", run, file, "--tag-column", "2").code == 1
    for flag in ("--reset-per-line", "--bytes", "--text-column=x"):
        assert f"{flag.split('=')[0]} has no effect on a tagger" in call("eval", run, file, flag).err

    found = call("predict", run, file).out.split("\n\n")
    rows = [line.split("\t") for line in found[0].splitlines()]
    assert [row[0] for row in rows] == ["in", "New", "York0"]
    assert {row[1] for row in rows} <= {"O", "B-place", "I-place"}
    first, *_ = call("predict", run, file, "--json").out.splitlines()
    assert json.loads(first) == {"words": [row[0] for row in rows], "tags": [row[1] for row in rows]}
    lines = tmp_path / "lines.txt"
    lines.write_text("in New York0\n\n", encoding="utf-8")
    with lines.open(encoding="utf-8") as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert call("predict", run).out.split("\n\n")[0] == found[0]
    assert "--bytes has no effect on a tagger" in call("predict", run, file, "--bytes").err
    assert "holds a tagger; rnnkit predict gives" in call("score", run, file).err
    assert "no vector for a text" in call("embed", run, file).err
    assert "F1" in call("bench", run, "--precision", "fp32", "--threads", 1, "--seconds", "0.01").out
    assert (
        "run is a run of train tag; only runs of train lm and train classify are compared" in call("compare", run).err
    )


def test_no_state_dict_is_written_of_a_tagger(tmp_path: Path, call: Callable[..., Outcome]) -> None:
    config, tensors, words = tiny.tagger()
    runtime.Transducer(config, tensors, labels=tiny.TAGS, words=words).save(tmp_path)
    refused = call("export", tmp_path, "--to", "torch")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "not of kind transducer; export it with --to bundle" in refused.err
