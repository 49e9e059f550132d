"""`eval`, `score`, `compare`, `doctor`, `export-arpa` on a small run: figures beside baselines, also for machines."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import NAMES, SMALL, TEXT, Outcome

from rnnkit import LanguageModel
from rnnkit.baselines import NgramModel
from rnnkit.tasks.lm_score import scores


def test_eval_shows_the_model_beside_its_baselines_without_torch(run: Path, text_file: Path) -> None:
    code = "import sys; sys.modules['torch'] = None; from rnnkit.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "eval", str(run), str(text_file), "--json", "--reset-per-line"]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120, env=dict(os.environ))
    report = json.loads(result.stdout)
    assert {report["model"]["name"], *(row["name"] for row in report["baselines"])} == NAMES
    tokens = {row["num_tokens"] for row in [report["model"], *report["baselines"]]}
    assert tokens == {len(TEXT)}
    for row in [report["model"], *report["baselines"]]:
        by_line = row["reset_per_line"]
        assert by_line["num_characters"] == row["num_characters"]
        sees_past_the_line = row["name"] in ("lstm", "window-mlp")
        assert (by_line["nll"] != row["nll"]) == sees_past_the_line, row["name"]


def test_eval_of_the_held_out_text_repeats_the_table(run: Path, tmp_path: Path, call: Callable[..., Outcome]) -> None:
    metrics = json.loads((run / "metrics.json").read_bytes())
    held_out = TEXT[-metrics["model"]["num_characters"] :]
    (tmp_path / "held-out.txt").write_text(held_out, encoding="utf-8")
    report = json.loads(call("eval", run, tmp_path / "held-out.txt", "--json").out)
    for want, got in zip(
        [metrics["model"], *metrics["baselines"]], [report["model"], *report["baselines"]], strict=True
    ):
        assert want["nll"] == pytest.approx(got["nll"], rel=1e-12), want["name"]


def test_eval_judges_in_the_precision_asked_for(run: Path, text_file: Path, call: Callable[..., Outcome]) -> None:
    nll = {
        precision: json.loads(call("eval", run, text_file, "--json", "--precision", precision).out)["model"]["nll"]
        for precision in ("fp32", "bf16", "int8")
    }
    assert len(set(nll.values())) == 3
    assert nll["int8"] == pytest.approx(nll["fp32"], rel=0.02)
    refused = call("eval", run, text_file, "--precision", "int4")
    assert refused.code != 0
    assert "choose one of fp32, fp32_split, bf16, auto, int8" in refused.err


def test_eval_keeps_the_tokens_in_a_file_for_as_long_as_it_runs(
    run: Path, text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spy(scorer: Any, corpus: Any, *arguments: Any, **options: Any) -> dict[str, Any]:
        seen.append((type(corpus.tokens).__name__, len(list(scratch.iterdir()))))
        return scores(scorer, corpus, *arguments, **options)

    seen: list[tuple[str, int]] = []
    (scratch := tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setattr("rnnkit.api.evaluation.scores", spy)
    LanguageModel.load(run).evaluate(text_file)
    assert seen == [("memmap", 1)] * len(NAMES)
    assert not list(scratch.iterdir())


def test_eval_finds_an_ngram_that_counted_only_the_start_of_its_text(
    text_file: Path, tmp_path: Path, call: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rnnkit.baselines.report.MAX_TRAIN_TOKENS", 100)
    assert call("train", "lm", text_file, "--run", tmp_path / "run", *SMALL).code == 0
    report = json.loads(call("eval", tmp_path / "run", text_file, "--json").out)
    assert report["baselines"][0]["name"] == "unigram (first 100 tokens)"
    assert report["baselines"][0]["num_train_tokens"] == 100


def test_eval_prints_the_other_number_when_asked(run: Path, text_file: Path, call: Callable[..., Outcome]) -> None:
    outcome = call("eval", run, text_file, "--reset-per-line")
    carried, by_line = outcome.out.split("reset per line", 1)
    assert all(name in carried and name in by_line for name in NAMES)
    assert "reset per line" not in call("eval", run, text_file).out


def test_compare_prints_a_table_and_draws(run: Path, tmp_path: Path, call: Callable[..., Outcome]) -> None:
    picture = tmp_path / "curves.png"
    outcome = call("compare", run, "--picture", picture)
    assert outcome.code == 0
    assert "Kneser-Ney-2" in outcome.out
    assert picture.read_bytes().startswith(b"\x89PNG")
    rows = json.loads(call("compare", run, "--picture", picture, "--json").out)
    assert rows[0]["cell"] == "lstm"
    best = rows[0]["best_baseline"]
    assert f"{best['name']} {best['nats_per_character']:.4f}" in outcome.out


@pytest.mark.parametrize("content", ["{}", "[]", '{"model": {}, "baselines": []}'])
def test_compare_names_metrics_that_are_none(tmp_path: Path, content: str, call: Callable[..., Outcome]) -> None:
    (tmp_path / "metrics.json").write_text(content, encoding="utf-8")
    outcome = call("compare", tmp_path)
    assert outcome.code == 1
    assert f"{tmp_path / 'metrics.json'} is not a run's" in outcome.err


def test_an_exported_ngram_scores_as_in_the_table(
    run: Path, text_file: Path, tmp_path: Path, call: Callable[..., Outcome]
) -> None:
    assert call("export-arpa", run, "--out", tmp_path / "two.arpa").code == 0
    assert call("export-arpa", run, "--order", 1, "--out", tmp_path / "one.arpa").code == 0
    arguments = ["--arpa", tmp_path / "two.arpa", "--arpa", tmp_path / "one.arpa", "--reset-per-line"]
    rows = {row["name"]: row for row in json.loads(call("eval", run, text_file, *arguments, "--json").out)["baselines"]}
    for ours, read in (("Kneser-Ney-2", "two.arpa"), ("unigram", "one.arpa")):
        for want, got in (
            (rows[ours], rows[read]),
            (rows[ours]["reset_per_line"], rows[read]["reset_per_line"]),
        ):
            assert got["nll"] == pytest.approx(want["nll"], rel=1e-8)
            assert got["num_characters"] == want["num_characters"]
    assert rows["two.arpa"]["unseen_share"] == rows["Kneser-Ney-2"]["unseen_share"]
    assert "two.arpa" in call("eval", run, text_file, *arguments).out


def test_a_model_of_sentences_is_judged_line_by_line(
    run: Path, text_file: Path, tmp_path: Path, call: Callable[..., Outcome]
) -> None:
    ngrams = ["-9 <s> -0.1", "-2 </s>", "-3 <unk>", "-0.5 t -0.2", "", "\\2-grams:", "-0.01 <s> t", "-0.1 </s> t"]
    sizes = ["\\data\\", "ngram 1=4", "ngram 2=2", "", "\\1-grams:"]
    (tmp_path / "lines.arpa").write_text("\n".join([*sizes, *ngrams, "", "\\end\\", ""]))
    arguments = ["--arpa", tmp_path / "lines.arpa", "--reset-per-line", "--json"]
    row = json.loads(call("eval", run, text_file, *arguments).out)["baselines"][-1]
    assert row["name"] == "lines.arpa"
    assert row["nll"] == row["reset_per_line"]["nll"]
    (tmp_path / "one-line.txt").write_text(TEXT.split("\n")[0] + "\n")
    one = json.loads(call("eval", run, tmp_path / "one-line.txt", *arguments).out)["baselines"][-1]
    assert row["nll"] == pytest.approx(60 * one["nll"])


def test_arpa_files_that_are_not_there_are_named(
    run: Path, text_file: Path, tmp_path: Path, call: Callable[..., Outcome]
) -> None:
    (tmp_path / "bad.arpa").write_text("no model\n")
    for arguments, words in (
        (["eval", run, text_file, "--arpa", tmp_path / "bad.arpa"], "bad.arpa, line 1"),
        (["export-arpa", run, "--order", 5, "--out", tmp_path / "m.arpa"], "orders [1, 2], none of 5"),
        (["export-arpa", run, "--out", tmp_path / "no" / "m.arpa"], "m.arpa"),
    ):
        outcome = call(*arguments)
        assert outcome.code in (1, 2)
        assert outcome.err.count("\n") == 1
        assert words in outcome.err
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".arpa"] == ["bad.arpa"]


def test_a_name_in_the_metrics_leads_nowhere_outside_the_run(
    run: Path, text_file: Path, tmp_path: Path, call: Callable[..., Outcome]
) -> None:
    copied = Path(shutil.copytree(run, tmp_path / "run"))
    shutil.copytree(run / "baselines" / "window-mlp", tmp_path / "outside")
    metrics = json.loads((run / "metrics.json").read_bytes())
    metrics["baselines"][-1]["name"] = "../../outside"
    (copied / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    refused = call("eval", copied, text_file)
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert "names the baseline '../../outside', which is no name" in refused.err


def test_a_run_without_ngrams_has_none_to_export(run: Path, tmp_path: Path, call: Callable[..., Outcome]) -> None:
    copied = Path(shutil.copytree(run, tmp_path / "run"))
    metrics = json.loads((run / "metrics.json").read_bytes())
    metrics["baselines"] = [row for row in metrics["baselines"] if "n" not in row]
    (copied / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    refused = call("export-arpa", copied, "--out", tmp_path / "m.arpa")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "has no n-grams; train with" in refused.err


def variant(run: Path, folder: Path, nats: float, text: str) -> Path:
    """A run folder like `run` that scored `nats` on another text."""
    metrics = json.loads((run / "metrics.json").read_bytes())
    metrics["model"]["nats_per_character"] = nats
    metrics["data"]["test"]["text_sha256"] = text
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    return folder


def test_compare_ranks_only_runs_that_were_judged_on_one_text(
    run: Path, tmp_path: Path, call: Callable[..., Outcome]
) -> None:
    runs = [variant(run, tmp_path / name, nats, name[0]) for name, nats in (("a1", 3.0), ("b1", 1.0), ("a2", 2.0))]
    outcome = call("compare", *runs, "--picture", tmp_path / "curves.png")
    assert [line for line in outcome.err.splitlines() if "2 different texts" in line]
    places = [outcome.out.index(str(runs[number])) for number in (2, 0, 1)]
    assert places == sorted(places)
    assert outcome.out.count("perplexity") == 2
    rows = json.loads(call("compare", *runs, "--json").out)
    assert [(row["test_text"], row["nats_per_character"]) for row in rows] == [("a", 2.0), ("a", 3.0), ("b", 1.0)]
    assert "different texts" not in call("compare", runs[0], runs[2], "--picture", tmp_path / "curves.png").err


def test_compare_prints_its_table_where_nothing_can_be_drawn(
    run: Path, tmp_path: Path, call: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("compare", run, "--json").code == 0
    assert not list(tmp_path.iterdir())
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    outcome = call("compare", run)
    assert outcome.code == 0
    assert "Kneser-Ney-2" in outcome.out
    assert "no curves: drawing needs matplotlib" in outcome.err
    refused = call("compare", run, "--picture", "asked.png")
    assert refused.code == 2
    assert "pip install '.[train]'" in refused.err


def test_doctor_reports_and_refuses(tmp_path: Path, text_file: Path, call: Callable[..., Outcome]) -> None:
    outcome = call("doctor", text_file)
    assert outcome.code == 0
    assert "vocabulary" in outcome.out
    assert json.loads(call("doctor", text_file, "--json").out)["sizes"]["characters"] == len(TEXT)
    (tmp_path / "odd.txt").write_text("xyz\n" * 50, encoding="utf-8")
    for option in ("--valid", "--test"):
        report = json.loads(call("doctor", text_file, option, tmp_path / "odd.txt", "--json", "--window", 7).out)
        assert report["sizes"]["characters_held_out"] == 200
        assert report["assumed"]["window"] == 7
    both = call("doctor", text_file, "--valid", tmp_path / "odd.txt", "--test", tmp_path / "odd.txt", "--json")
    assert json.loads(both.out)["sizes"]["characters_held_out"] == 400
    assert call("doctor", text_file, "--test", tmp_path / "odd.txt", "--held-out", 0.2).code == 2
    (tmp_path / "bad.txt").write_bytes(b"caf\xe9 au lait\n" * 50)
    assert call("doctor", tmp_path / "bad.txt").code == 1


def test_score_ranks_lines_beside_the_best_baseline(run: Path, tmp_path: Path, call: Callable[..., Outcome]) -> None:
    lines = ["the cat", "", "zzxq", "a cat sat"] * 200  # more than are scored side by side
    path = tmp_path / "lines.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = [json.loads(line) for line in call("score", run, path, "--json").out.splitlines()]
    assert [row["text"] for row in rows] == lines
    model = LanguageModel.load(run)
    best = min(model.metrics["baselines"], key=lambda row: row["nll"])
    baseline = NgramModel.load(run / "baselines" / best["name"].lower()) if "n" in best else None
    for row in rows[:8]:
        want = model.score(row["text"]).nll if row["text"] else 0.0
        assert row["model"]["nll"] == pytest.approx(want, rel=1e-12)
        assert row["model"]["nats_per_token"] * row["num_tokens"] == pytest.approx(want)
        assert row["baseline"]["name"] == best["name"]
        if baseline is not None and row["text"]:
            ids = model.tokenizer.encode(row["text"])
            unknown = int((ids == model.tokenizer.unk_id).sum()) * model.tokenizer.unknown_nats
            assert row["baseline"]["nll"] == pytest.approx(baseline.total_nll(ids) + unknown)
    assert rows[:4] == rows[-4:]
    shown = call("score", run, path)
    assert shown.out.splitlines()[0].split("\t") == [
        *(f"{rows[0][key]['nats_per_token']:.4f}" for key in ("model", "baseline")), "7", "the cat",
    ]  # fmt: skip
    assert best["name"] in shown.err
    assert call("score", run, tmp_path / "none.txt").err.startswith(f"rnnkit: {tmp_path / 'none.txt'}: No such file")
    path.write_bytes(b"good\n\xff\n")
    assert f"{path}, line 2, byte 0: not utf-8" in call("score", run, path).err


def test_a_model_that_no_training_made_is_judged_beside_a_uniform_guess(
    run: Path, text_file: Path, tmp_path: Path, call: Callable[..., Outcome]
) -> None:
    """As `rnnkit import` writes it; a run that is not finished still has no figures."""
    model = LanguageModel.load(run)
    model.save(tmp_path / "imported")
    report = json.loads(call("eval", tmp_path / "imported", text_file, "--json").out)
    assert report["model"]["nll"] == pytest.approx(model.score(TEXT).nll)
    (uniform,) = report["baselines"]
    assert uniform["name"] == "uniform"
    assert uniform["nats_per_token"] == pytest.approx(math.log(model.vocab_size))
    assert "uniform" in call("eval", tmp_path / "imported", text_file).out
    (row,) = LanguageModel.load(tmp_path / "imported").score_lines(["the cat"])
    assert row["baseline"] == {"name": "uniform", "nll": pytest.approx(7 * math.log(model.vocab_size)),
                               "nats_per_token": pytest.approx(math.log(model.vocab_size))}  # fmt: skip
    (tmp_path / "imported" / "run.yaml").write_text("")
    refused = call("eval", tmp_path / "imported", text_file)
    assert refused.code == 1 and "give a finished run" in refused.err
