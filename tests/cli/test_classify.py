"""`rnnkit train classify`, and `predict` and `eval` on its runs; no option is ignored."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from arriving import COMMON, check_options
from command import Outcome

from rnnkit.api.classification import ClassifyRunConfig

SMALL = ("--hidden-size=4", "--embedding-size=4", "--max-steps=4", "--batch-size=8", "--threads=1")
SPECIAL = {
    **COMMON,
    "--tokenizer": (["--tokenizer", "char"], "tokenizer.kind", "char"),
    "--max-characters": (["--max-characters", "9", "--characters"], "tokenizer.max_characters", 9),
    "--character-embedding-size": (
        ["--character-embedding-size", "9", "--characters"],
        "model.character_embedding_size",
        9,
    ),
    "--character-hidden-size": (["--character-hidden-size", "9", "--characters"], "model.character_hidden_size", 9),
    "--readout": (["--readout", "last,attention"], "model.readout", ("last", "attention")),
    "--pretrain": (["--pretrain", "t"], "transfer.pretrain", ["t"]),
    "--pretrain-epochs": (["--pretrain-epochs", "0.5", "--pretrain", "t"], "transfer.pretrain_epochs", 0.5),
    "--pretrain-lr": (["--pretrain-lr", "0.001", "--pretrain", "t"], "transfer.pretrain_lr", 0.001),
    "--unfreeze-every": (["--unfreeze-every", "0.5", "--from", "r"], "transfer.unfreeze_every", 0.5),
    "--rate-decay": (["--rate-decay", "2", "--from", "r"], "transfer.rate_decay", 2.0),
    "--class-weights": (["--class-weights", "balanced"], "loss.class_weights", "balanced"),
    "--label-separator": (["--label-separator", "|", "--multi-label"], "data.label_separator", "|"),
    "--thresholds": (["--thresholds", "half"], "loss.thresholds", "half"),
    "--baseline": (["--baseline", "majority"], "baselines.kinds", ("majority",)),
}


def test_every_option_arrives_under_the_key_it_is_named_after(monkeypatch: pytest.MonkeyPatch) -> None:
    check_options("classify", "Classifier", ClassifyRunConfig, SPECIAL, monkeypatch)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("classify") / "table.csv"
    rows = [f"{('up', 'down')[n % 2]},a {('rise', 'fall')[n % 2]} of {n}" for n in range(40)]
    path.write_text("\n".join(["direction,text", *rows]), encoding="utf-8")
    return path


def test_a_dry_run_estimates_and_writes_nothing(table: Path, call: Callable[..., Outcome], tmp_path: Path) -> None:
    arguments = ("train", "classify", table, *SMALL, "--label-column", "direction", "--dry-run")
    shown = call(*arguments)
    assert (shown.code, "sequences/s" in shown.out) == (0, True), shown.err
    estimate = json.loads(call(*arguments, "--json").out)
    assert (estimate["total_steps"], estimate["unit"]) == (4, "sequence")
    assert estimate["parameters"] > 4 * 4 * (4 + 4) * 2
    assert "--run has no effect with --dry-run" in call(*arguments, "--run", tmp_path / "run").err
    assert not (tmp_path / "run").exists()


def test_train_predict_and_eval(table: Path, tmp_path: Path, call: Callable[..., Outcome], monkeypatch: Any) -> None:
    run = tmp_path / "run"
    refused = call("train", "classify", table, "--run", run, *SMALL)
    assert (refused.code, refused.err.count("\n"), run.exists()) == (1, 1, False)
    assert "table.csv, line 1: no column label" in refused.err

    done = call("train", "classify", table, "--run", run, *SMALL, "--label-column", "direction")
    assert done.code == 0, done.err
    for word in ("bi-lstm (this model)", "majority", "naive-bayes", "logistic-regression", f"run folder: {run}"):
        assert word in done.out
    assert "nats/seq" in done.err
    assert {"README.md", "curve.png", "labels.json", "run.yaml", "metrics.json"} <= {p.name for p in run.iterdir()}
    assert "naive-bayes" in (run / "README.md").read_text(encoding="utf-8")
    again = call("train", "classify", "--resume", "--run", run, "--json")
    assert json.loads(again.out)["model"]["num_sequences"] == 8

    for name in ("torch", "sklearn", "scipy", "yaml", "matplotlib"):  # from here on there is only the run half
        monkeypatch.setitem(sys.modules, name, None)
    judged = call("eval", run, table, "--json")
    assert json.loads(judged.out)["model"]["num_sequences"] == 40
    assert call("eval", run, table, "--text-column", "other").code == 1
    for flag in ("--reset-per-line", "--bytes"):
        assert f"{flag} has no effect on a classifier" in call("eval", run, table, flag).err

    unlabelled = tmp_path / "new.csv"
    unlabelled.write_text('id,text\n7,"a rise, again"\n', encoding="utf-8")
    (found,) = call("predict", run, unlabelled).out.splitlines()
    assert found.split("\t")[2:] == [f"{unlabelled}, line 2", "a rise, again"]
    first, *_ = call("predict", run, table, "--json").out.splitlines()
    assert json.loads(first)["place"] == f"{table}, line 2"
    unlabelled.write_text("id,words\n7,a rise\n", encoding="utf-8")
    assert "new.csv, line 1: no column text or" in call("predict", run, unlabelled).err

    lines = tmp_path / "lines.txt"
    lines.write_text("a rise\n\n", encoding="utf-8")
    for form in ("tsv", "jsonl"):
        with lines.open(encoding="utf-8") as stdin:
            monkeypatch.setattr("sys.stdin", stdin)
            found = call("predict", run, "--format", form).out.splitlines()
        assert len(found) == 2
        if form == "tsv":
            label, share, text = found[0].split("\t")
            assert (label in ("up", "down"), 0.5 <= float(share) <= 1, text) == (True, True, "a rise")
        else:
            assert json.loads(found[0])["probabilities"].keys() == {"up", "down"}


def test_compare_pairs_classifiers_on_the_same_sequences(
    table: Path, tmp_path: Path, call: Callable[..., Outcome]
) -> None:
    runs, given = [], ("train", "classify", table, "--label-column", "direction", "--baseline", "majority")
    for name, more in {
        "short": ["--max-steps=1"],
        "long": ["--epochs=20", "--lr=0.03"],
        "other": ["data.split_seed=5", "--max-steps=1"],
    }.items():
        runs.append(tmp_path / name)
        done = call(*given, *[option for option in SMALL if not option.startswith(("--max-steps", more[0][:5]))], *more,
                    "--run", runs[-1])  # fmt: skip
        assert done.code == 0, done.err
    rows = json.loads(call("compare", *runs[:2], "--json").out)
    best, other = rows
    assert {best["run"], other["run"]} == {str(run) for run in runs[:2]} and best["accuracy"] >= other["accuracy"]
    assert "p_value" not in best
    assert other["difference"] == pytest.approx(best["accuracy"] - other["accuracy"])
    rights = [json.loads((Path(row["run"]) / "metrics.json").read_bytes())["right"] for row in rows]
    assert rights[0].count("1") / len(rights[0]) == pytest.approx(best["accuracy"])
    ours, theirs = (sum(a > b for a, b in zip(*pair, strict=True)) for pair in (rights, rights[::-1]))
    assert other["difference"] == pytest.approx((ours - theirs) / len(rights[0]))
    assert 0 < other["p_value"] <= 1

    picture = tmp_path / "compare.png"
    shown = call("compare", *runs, "--picture", picture)
    assert shown.code == 0 and picture.stat().st_size > 1000
    assert "(paired)" in shown.out
    assert "judged on 2 different sequences, a table for each" in shown.err

    old = json.loads((runs[0] / "metrics.json").read_bytes())
    del old["right"]
    (runs[0] / "metrics.json").write_text(json.dumps(old), encoding="utf-8")
    refused = call("compare", *runs[:2], "--json")
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert "short/metrics.json does not say which sequences were right" in refused.err
    old["task"] = "grammar"
    (runs[0] / "metrics.json").write_text(json.dumps(old), encoding="utf-8")
    assert "is a run of train grammar; only runs of train lm and train classify" in call("compare", *runs).err


def test_with_characters_lines_and_tables_are_labelled_and_no_onnx_file_is_written(
    table: Path, tmp_path: Path, call: Callable[..., Outcome], monkeypatch: Any
) -> None:
    run = tmp_path / "run"
    trained = call(
        "train", "classify", table, "--run", run, *SMALL, "--label-column", "direction", "--characters",
        "--character-hidden-size", 4,
    )  # fmt: skip
    assert trained.code == 0, trained.err
    assert not (run / "tokenizer.json").exists()
    lines = tmp_path / "lines.txt"
    lines.write_text("a rise\na fell\n\n", encoding="utf-8")
    labelled = call("predict", run, lines, "--json")
    assert [json.loads(line)["text"] for line in labelled.out.splitlines()] == ["a rise", "a fell", ""]
    assert len(call("predict", run, table).out.splitlines()) == 40
    assert call("eval", run, table).code == 0
    assert len(json.loads(call("embed", run, lines).out.splitlines()[0])["vector"]) > 4
    refused = call("predict", run, lines, "--bytes")
    assert (refused.code, "decode them first" in refused.err) == (2, True)
    refused = call("export", run, "--to", "onnx")
    assert (refused.code, "a classifier that reads words by their characters" in refused.err) == (2, True), refused.err
    small = call("export", run, "--to", "bundle", "--int8", "--out", tmp_path / "small")
    assert small.code == 0, small.err
    assert len(call("predict", tmp_path / "small", lines).out.splitlines()) == 3
