"""Each verb on a small run: what it prints, for people and for machines. Judging has a file of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import COMMAND, NAMES, SMALL, SMALLEST, TEXT, Outcome, spawn

from rnnkit import LanguageModel

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
        done = subprocess.run([*COMMAND, "train", "lm", text_file, *arguments], capture_output=True, check=True)
        peaks.append(json.loads(done.stdout)["peak_bytes"])
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
    assert "pip install '.[tensorboard]'" in outcome.err
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
        ("--min-p", 0.5),
        ("--no-repeat-ngram-size", 2),
        ("--prefix", "a dog"),
        ("--stop", "a"),
        ("--regex", "[a-z ]+"),
        ("--num-beams", 3),
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


def test_sample_by_beams_prints_each_text_with_its_scores(run: Path, call: Callable[..., Outcome]) -> None:
    arguments = ["sample", run, "--prompt", "the ", "-n", 9, "--num-beams", 4, "--num-return", 3]
    want = LanguageModel.load(run).beam_search("the ", num_beams=4, num_return=3, max_new_tokens=9)
    found = json.loads(call(*arguments, "--json").out)
    assert found == {"prompt": "the ", "hypotheses": [vars(one) for one in want]}
    assert call(*arguments).out.startswith(f"{want[0].score:.4f}\t{want[0].log_prob:.4f}\tthe {want[0].text}")
    single = call("sample", run, "--prompt", "the ", "-n", 9, "--num-beams", 4)
    assert single.out == f"the {want[0].text}\n"
    penalised = json.loads(call(*arguments, "--length-penalty", 2, "--json").out)
    assert penalised["hypotheses"][0]["score"] == pytest.approx(want[0].log_prob / 81)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--num-beams", 3, "--temperature", 0.5), "--temperature has no effect with --num-beams"),
        (("--num-beams", 3, "--seed", 5), "--seed has no effect with --num-beams"),
        (("--num-return", 2), "--num-return has no effect without --num-beams"),
        (("--length-penalty", 0.5), "--length-penalty has no effect without --num-beams"),
        (("--num-beams", -1), "num_beams is -1"),
    ],
)
def test_sample_refuses_what_it_would_ignore(
    options: tuple[object, ...], message: str, run: Path, call: Callable[..., Outcome]
) -> None:
    outcome = call("sample", run, *options)
    assert outcome.code == 2
    assert message in outcome.err


def test_sample_writes_in_the_precision_asked_for(run: Path, call: Callable[..., Outcome]) -> None:
    assert len({call("sample", run, "-n", 3000, "--precision", name).out for name in ("fp32", "bf16", "int8")}) == 3
    assert "choose one of" in call("sample", run, "--precision", "int4").err


def test_complete_and_predict_compute_in_the_precision_asked_for(run: Path) -> None:
    for verb in (("complete", run, "the c"), ("predict", run)):
        found = [
            spawn(*verb, "--json", "--precision", name, stdin="the cat sat\n").out for name in ("fp32", "bf16", "int8")
        ]
        assert len(set(found)) == 3
        assert "choose one of" in spawn(*verb, "--precision", "int4").err


def test_a_reader_that_leaves_early_is_met_with_silence(run: Path) -> None:
    command = [*COMMAND, "sample", str(run), "-n", "100000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
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
    command = [*COMMAND, "predict", str(run)]
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
        command = [*COMMAND, "predict", str(run), *options]
        result = subprocess.run(command, input=data, capture_output=True, check=True, timeout=120)
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


# ---- all of them ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["sample", "complete", "eval", "predict", "compare", "export-arpa"])
def test_a_folder_that_is_no_run_is_named(verb: str, tmp_path: Path, call: Callable[..., Outcome]) -> None:
    rest = {"complete": ["x"], "eval": ["x"], "export-arpa": ["--out", "x"]}.get(verb, [])
    outcome = call(verb, tmp_path, *rest)
    assert outcome.code == 1
    assert outcome.err.count("\n") == 1
    assert str(tmp_path) in outcome.err
