"""Each verb on a small run: what it prints, for people and for machines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import SMALL, SMALLEST, TEXT, Outcome, spawn

from rnnkit import LanguageModel
from rnnkit.tasks.lm_score import scores

NAMES = {"lstm", "unigram", "Kneser-Ney-2", "window-mlp"}


@pytest.fixture
def run(trained: tuple[Path, Outcome]) -> Path:
    """The folder of a small trained run."""
    return trained[0]


# ---- train -----------------------------------------------------------------------------------------------------------


def test_train_prints_progress_to_stderr_and_table_sample_and_folder_to_stdout(trained: tuple[Path, Outcome]) -> None:
    out, err = trained[1].out, trained[1].err
    assert all(name in out for name in NAMES)
    assert "sample:" in out
    assert "run folder: run" in out
    assert "note: window-mlp will train after lstm" in err
    assert "training lstm" in err
    assert "note: counting n-grams of " in err
    assert "held-out" in err
    assert "\r" not in err  # no terminal: plain lines


def test_the_run_folder_holds_bundle_metrics_curve_card_and_samples(run: Path) -> None:
    files = {path.name for path in run.iterdir()}
    assert files >= {"manifest.json", "config.json", "model.safetensors", "tokenizer.json", "metrics.json", "README.md"}
    assert (run / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert any((run / "samples").iterdir())
    assert {path.name for path in (run / "baselines").iterdir()} == {"unigram", "kneser-ney-2", "window-mlp"}


def test_the_model_card_has_the_measured_table(run: Path) -> None:
    card = (run / "README.md").read_text(encoding="utf-8")
    metrics = json.loads((run / "metrics.json").read_bytes())
    assert f"{metrics['model']['nats_per_character']:.4f}" in card
    assert all(name in card for name in NAMES)


def test_train_json_is_metrics_and_nothing_else(text_file: Path, tmp_path: Path) -> None:
    outcome = spawn("train", "lm", text_file, "--run", tmp_path / "run", *SMALLEST, "--json")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out) == json.loads((tmp_path / "run/metrics.json").read_bytes())


def test_a_second_train_into_the_same_folder_is_refused_and_force_replaces(
    text_file: Path, tmp_path: Path, call: Callable[..., Outcome]
) -> None:
    arguments = ["train", "lm", text_file, "--run", tmp_path / "run", *SMALLEST]
    assert call(*arguments).code == 0
    (tmp_path / "run/mark").touch()
    refused = call(*arguments)
    assert refused.code == 2
    assert "--resume" in refused.err
    assert (tmp_path / "run/mark").exists()
    assert call(*arguments, "--force").code == 0
    assert not (tmp_path / "run/mark").exists()


def test_resume_of_another_configuration_names_the_key(
    text_file: Path, tmp_path: Path, call: Callable[..., Outcome]
) -> None:
    arguments = ["train", "lm", text_file, "--run", tmp_path / "run", *SMALLEST]
    assert call(*arguments).code == 0
    refused = call(*arguments, "--resume", "--lr", "0.1")
    assert refused.code == 1
    assert "training.lr" in refused.err
    assert call(*arguments, "--resume").code == 0


def test_dry_run_estimates_and_writes_nothing(text_file: Path, tmp_path: Path, call: Callable[..., Outcome]) -> None:
    outcome = call("train", "lm", text_file, *SMALL, "--dry-run")
    assert outcome.code == 0
    assert all(word in outcome.out for word in ("parameters", "memory", "epoch"))
    assert not (tmp_path / "runs").exists()
    estimate = json.loads(call("train", "lm", text_file, *SMALL, "--dry-run", "--json").out)
    assert estimate["parameters"] > 0


def test_dry_run_counts_the_activations_of_a_window(text_file: Path) -> None:
    peaks = []
    text_file.write_text(TEXT * 10, encoding="utf-8")
    for rows in (4, 1024):
        arguments = (*SMALLEST, "--hidden-size=128", "--window=128", f"--batch-size={rows}", "--dry-run", "--json")
        peaks.append(json.loads(spawn("train", "lm", text_file, *arguments).out)["peak_bytes"])
    kept = (1024 - 4) * 128 * (4 + 1) * 128 * 4  # four gates and an output, in float32, for every token
    assert peaks[1] - peaks[0] > 0.8 * kept  # the smaller run peaks before its first step, by some megabytes


@pytest.mark.parametrize("option", ["--run=run", "--resume", "--force", "--tensorboard"])
def test_dry_run_refuses_what_it_would_ignore(option: str, text_file: Path, call: Callable[..., Outcome]) -> None:
    outcome = call("train", "lm", text_file, "--dry-run", option)
    assert outcome.code == 2
    assert f"{option.partition('=')[0]} has no effect with --dry-run" in outcome.err


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        (b"", (), "empty"),
        (b"caf\xe9 au lait" * 50, (), "--encoding"),
        (TEXT.encode(), ("--dropout", "0.5"), "num_layers"),
        (TEXT.encode(), ("--locked-dropout", "--output-dropout", "0"), "locked_dropout has no effect"),
        (TEXT.encode(), ("--cell", "gru_after", "model.forget_bias=2"), "forget_bias=2.0 has no effect"),
        (TEXT.encode(), ("--no-bias", "model.forget_bias=2"), "forget_bias=2.0 has no effect without bias"),
        (TEXT.encode(), ("--tied", "--embedding-size", "0"), "embedding_size"),
    ],
)
def test_bad_input_is_one_line_and_no_folder(
    content: bytes, arguments: tuple[str, ...], message: str, tmp_path: Path, call: Callable[..., Outcome]
) -> None:
    (tmp_path / "bad.txt").write_bytes(content)
    outcome = call("train", "lm", tmp_path / "bad.txt", "--run", tmp_path / "run", *arguments)
    assert outcome.code in (1, 2)
    assert outcome.err.count("\n") == 1
    assert message in outcome.err
    assert not (tmp_path / "run").exists()


def test_tensorboard_writes_events(text_file: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    LanguageModel.train(
        text_file, run=tmp_path / "run", tensorboard=True, max_steps=2, hidden_size=4, batch_size=2, window=8,
        kinds=["unigram"], sample_tokens=3,
    )  # fmt: skip
    assert list((tmp_path / "run/tensorboard/lstm").glob("events*"))


def test_tensorboards_files_are_closed_however_a_run_ends(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = pytest.importorskip("torch.utils.tensorboard").SummaryWriter
    closed, close = [], writer.close
    monkeypatch.setattr(writer, "close", lambda self: (closed.append(self.log_dir), close(self)))

    def stop(event: dict[str, Any]) -> None:
        if event["event"] == "eval":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LanguageModel.train(
            text_file, run=tmp_path / "run", tensorboard=True, max_steps=2, hidden_size=4, batch_size=2, window=8,
            kinds=["unigram"], sample_tokens=3, observers=[stop],
        )  # fmt: skip
    assert closed == [str(tmp_path / "run" / "tensorboard" / "lstm")]


def test_tensorboard_absent_names_the_extra(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[..., Outcome]
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    outcome = call("train", "lm", text_file, "--run", tmp_path / "run", *SMALL, "--tensorboard")
    assert outcome.code == 2
    assert "rnnkit[tensorboard]" in outcome.err
    assert not (tmp_path / "run").exists()


# ---- sample, complete, predict ---------------------------------------------------------------------------------------


def test_a_seed_names_a_text_on_any_number_of_threads(run: Path) -> None:
    texts = {
        spawn("sample", run, "--prompt", "the ", "--seed", 3, "-n", 50, RNNKIT_NUM_THREADS=threads).out
        for threads in ("1", "2")
    }
    assert len(texts) == 1
    assert texts.pop().startswith("the ")


@pytest.mark.parametrize(
    "option",
    [
        ("--temperature", 0),
        ("--top-k", 2),
        ("--top-p", 0.3),
        ("--repetition-penalty", 3),
        ("--seed", 5),
        ("--prompt", "a"),
        ("--max-new-tokens", 9),
    ],
)
def test_every_decoding_option_changes_the_text(
    option: tuple[str, float], run: Path, call: Callable[..., Outcome]
) -> None:
    assert call("sample", run, "-n", 80).out != call("sample", run, "-n", 80, *option).out


def test_a_reader_that_leaves_early_is_met_with_silence(run: Path) -> None:
    command = [sys.executable, "-c", "import sys; from rnnkit.cli import main; sys.exit(main())"]
    arguments = ["sample", str(run), "-n", "100000"]
    with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.read(20)
        process.stdout.close()
        assert process.wait(timeout=120) == 0
        assert process.stderr.read() == b""


def test_complete_lists_probabilities(run: Path, call: Callable[..., Outcome]) -> None:
    answers = json.loads(call("complete", run, "the c", "-k", 3, "--json").out)
    assert len(answers) == 3
    assert all(0 < answer["probability"] <= 1 for answer in answers)
    assert "%" in call("complete", run, "the c").out


def test_predict_scores_each_line_alone(run: Path) -> None:
    lines = spawn("predict", run, stdin="the cat\n\nthe cat\n").out.splitlines()
    assert lines[0] == lines[2]
    assert lines[1] == "0.0000\t0\t"
    scored = [json.loads(line) for line in spawn("predict", run, "--json", stdin="the cat\n").out.splitlines()]
    assert f"{scored[0]['nll']:.4f}\t{scored[0]['num_tokens']}\tthe cat" == lines[0]


def test_predict_names_the_line_that_it_cannot_read(run: Path) -> None:
    command = [sys.executable, "-c", "import sys; from rnnkit.cli import main; sys.exit(main())", "predict", str(run)]
    result = subprocess.run(command, input=b"the cat\ncaf\xe9\n", capture_output=True, timeout=120, check=False)
    assert result.returncode == 1
    assert result.stdout.count(b"\n") == 1
    assert result.stderr == (b"rnnkit: stdin, line 2, byte 3: not utf-8; name the --encoding, or use --bytes\n")


@pytest.mark.parametrize(
    ("encoding", "mark", "line_end"),
    [
        ("utf-8", "", "\r\n"),
        ("utf-8", "\ufeff", "\n"),
        ("utf-16-le", "\ufeff", "\r\n"),
        ("utf-16", "", "\n"),
        ("latin-1", "", "\r\n"),
    ],
)
def test_predict_reads_lines_as_training_does(encoding: str, mark: str, line_end: str, run: Path) -> None:
    odd = "\u0a0a\u010a" if "16" in encoding else "\xe9"  # in UTF-16 with bytes 0x0a that end no line
    lines = ["the cat", "", "the do\rg", odd, "the cat"]

    def predict(data: bytes, *options: str) -> list[str]:
        command = [sys.executable, "-c", "import sys; from rnnkit.cli import main; sys.exit(main())", "predict"]
        result = subprocess.run(
            [*command, str(run), *options], input=data, capture_output=True, check=True, timeout=120
        )
        return result.stdout.decode().split("\n")

    want = predict("\n".join(lines).encode())
    assert [line.split("\t")[2] for line in want[:-1]] == lines
    assert predict((mark + line_end.join(lines)).encode(encoding), "--encoding", encoding) == want


@pytest.mark.parametrize(
    ("encoding", "message"),
    [("hex", "no text encoding 'hex'"), ("utf-9", "no text encoding 'utf-9'"), ("utf-16", "byte 0: not utf-16")],
)
def test_predict_refuses_what_it_cannot_decode(encoding: str, message: str, run: Path) -> None:
    refused = spawn("predict", run, "--encoding", encoding, stdin="a\n")
    assert refused.code == 1 + (encoding != "utf-16")
    assert refused.err.count("\n") == 1
    assert message in refused.err


def test_predict_reads_bytes_as_they_are(tmp_path: Path, text_file: Path) -> None:
    options = ["--tokenizer", "byte", "--max-steps=1", "--hidden-size=4", "--baseline", "unigram", "--sample-tokens=1"]
    assert spawn("train", "lm", text_file, "--run", tmp_path / "run", *options).code == 0
    scored = spawn("predict", tmp_path / "run", "--bytes", stdin="\ufeffthe cat\r\n").out
    assert scored.split("\t")[1] == "11"


# ---- eval, compare, doctor -------------------------------------------------------------------------------------------


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
    assert outcome.out.count("best baseline") == 2
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
    assert "rnnkit[train]" in refused.err


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


@pytest.mark.parametrize("verb", ["sample", "complete", "eval", "predict", "compare", "export-arpa"])
def test_a_folder_that_is_no_run_is_named(verb: str, tmp_path: Path, call: Callable[..., Outcome]) -> None:
    rest = {"complete": ["x"], "eval": ["x"], "export-arpa": ["--out", "x"]}.get(verb, [])
    outcome = call(verb, tmp_path, *rest)
    assert outcome.code == 1
    assert outcome.err.count("\n") == 1
    assert str(tmp_path) in outcome.err
