"""`rnnkit train lm --bidirectional`, and what the other verbs make of such a run: run it, or refuse it by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command import TEXT, Outcome, spawn

FEW = ("--hidden-size=16", "--batch-size=4", "--window=16", "--max-steps=6", "--ngram-order=3", "--threads=1")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    folder = tmp_path_factory.mktemp("both")
    (folder / "my.txt").write_text(TEXT, encoding="utf-8")
    outcome = spawn("train", "lm", "my.txt", "--bidirectional", "--run", "run", *FEW, cwd=folder)
    assert outcome.code == 0, outcome.err
    return folder / "run", outcome


def test_training_shows_a_table_of_pseudo_perplexities_and_no_sample(both: tuple[Path, Outcome]) -> None:
    out = both[1].out
    assert "pseudo-perplexity" in out and "two-sided-3" in out and "bidirectional lstm (this model)" in out
    assert "perplexity" not in out.replace("pseudo-perplexity", "") and "sample:" not in out
    assert "nats/token" in both[1].err and "nats/char" not in both[1].err


def test_verbs_that_read_whole_texts_run_it(
    call: Callable[..., Outcome], both: tuple[Path, Outcome], tmp_path: Path
) -> None:
    run, lines = both[0], tmp_path / "lines.txt"
    lines.write_text("the cat sat on the mat.\na dog\n", encoding="utf-8")
    metrics = json.loads(call("eval", run, lines, "--json", "--reset-per-line").out)
    rows = [metrics["model"], *metrics["baselines"]]
    assert [row["name"] for row in rows] == ["bidirectional lstm", "unigram", "two-sided-2", "two-sided-3"]
    assert all(row["pseudo_perplexity"] > 1 and "perplexity" not in row for row in rows)
    assert all("pseudo_perplexity" in row["reset_per_line"] for row in rows)
    scored = [json.loads(line) for line in call("score", run, lines, "--json").out.splitlines()]
    predicted = [json.loads(line) for line in call("predict", run, lines, "--json").out.splitlines()]
    assert [row["text"] for row in scored] == ["the cat sat on the mat.", "a dog"]
    np.testing.assert_allclose([row["model"]["nll"] for row in scored], [row["nll"] for row in predicted], rtol=1e-6)
    assert all("pseudo_perplexity" in row for row in predicted)
    assert call("embed", run, lines, "--readout", "last,mean", "--out", tmp_path / "v.npy").code == 0
    assert np.load(tmp_path / "v.npy").shape == (2, 64)
    answers = json.loads(call("complete", run, "the c", "--after", "t sat", "-k", "3", "--json").out)
    assert len(answers) == 3 and answers[0]["probability"] >= answers[1]["probability"]
    small = call("export", run, "--to", "bundle", "--int8", "--out", tmp_path / "small")
    assert small.code == 0, small.err
    assert call("eval", tmp_path / "small", lines).code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sample", "RUN"], "so it cannot write, go on with a text or be stepped"),
        (["complete", "RUN", "the"], "say with --after what comes behind it"),
        (["bench", "RUN"], "bidirectional language model, without steps to time"),
        (["export", "RUN", "--to", "onnx", "--out", "x.onnx"], "which has no ONNX file"),
        (["eval", "RUN", "my.txt", "--arpa", "x.arpa"], "--arpa names n-grams of one side"),
        (
            ["compare", "RUN", "RUN"],
            "is a run of train bidirectional-lm; only runs of train lm and train classify are compared",
        ),
        (["train", "lm", "my.txt", "--bidirectional", "--stride", "3"], "stride 3 has no use"),
        (["train", "lm", "my.txt", "--bidirectional", "--sample-tokens", "3"], "cannot write: leave it out"),
        (["train", "lm", "my.txt", "model.bidirectional=true"], "--bidirectional"),
    ],
)
def test_verbs_that_go_on_with_a_text_refuse_it_by_name(
    arguments: list[str],
    message: str,
    call: Callable[..., Outcome],
    both: tuple[Path, Outcome],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my.txt").write_text(TEXT, encoding="utf-8")
    outcome = call(*[str(both[0]) if word == "RUN" else word for word in arguments])
    assert outcome.code != 0
    assert message in outcome.err, outcome.err
    assert len(outcome.err.strip().splitlines()) == 1


def test_after_has_no_effect_on_a_model_of_one_side(call: Callable[..., Outcome], run: Path) -> None:
    outcome = call("complete", run, "the", "--after", "cat")
    assert outcome.code == 2 and "--after has no effect" in outcome.err
