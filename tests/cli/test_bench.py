"""`rnnkit bench`: every case is measured, what a precision costs is what the model says, and nothing is made up."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from command import TEXT, Outcome

from rnnkit import api, runtime, text
from rnnkit.bundle import evaluation, write_bundle
from rnnkit.errors import ArgumentError

QUICK = ("--seconds", "0.01")


@pytest.fixture(scope="module")
def measured(trained: tuple[Path, Outcome]) -> dict[str, Any]:
    return api.bench(trained[0], threads=[1, 2], seconds=0.01)


def test_every_precision_and_number_of_threads_has_its_row(measured: dict[str, Any]) -> None:
    cases = [(row["runtime"], row["precision"], row["threads"]) for row in measured["rows"]]
    ours = [("rnnkit", precision, count) for precision in ("fp32", "bf16", "int8") for count in (1, 2)]
    assert cases == [*ours, *(("onnxruntime", precision, count) for precision in ("fp32", "int8") for count in (1, 2))]
    for row in measured["rows"]:
        assert 0 < row["step_us"]["p50"] <= row["step_us"]["p99"]
        assert row["step_us"]["count"] >= 100
        assert row["peak_bytes"] > 10 << 20
        if row["runtime"] == "rnnkit":
            assert row["tokens_per_s"] > 0
            assert row["tokens_per_s_64"] > 0
            assert 0 <= row["model_bytes"] < row["peak_bytes"]


def test_the_loss_is_what_each_precision_says_of_the_held_out_tokens(run: Path, measured: dict[str, Any]) -> None:
    sample = runtime.LanguageModel.load(run).evaluation_sample()
    assert sample is not None
    assert measured["sample"] == {"source": "held-out text kept in the bundle", "num_tokens": len(sample[0])}
    nats = {}
    for name in ("fp32", "bf16", "int8"):
        model = runtime.LanguageModel.load(run, precision=name)
        nats[name] = model.total_nll(*sample) / len(sample[0])
    assert len(set(nats.values())) == 3
    for row in measured["rows"]:
        if row["runtime"] == "rnnkit":
            assert row["nats_per_token"] == nats[row["precision"]]
            assert row["relative_loss"] == pytest.approx(nats[row["precision"]] / nats["fp32"] - 1)


def test_the_tokens_that_are_kept_are_the_beginning_of_the_test_text(run: Path) -> None:
    model = runtime.LanguageModel.load(run)
    sample = model.evaluation_sample()
    assert sample is not None
    ids, starts = sample
    metrics = api.LanguageModel.load(run).metrics
    assert len(ids) == min(4096, metrics["data"]["test"]["num_tokens"])
    held_out = metrics["data"]["test"]["num_characters"]
    assert TEXT[-held_out:].startswith(model.tokenizer.decode(ids))
    assert starts.tolist() == [0]


def test_the_verb_prints_a_table_and_where_its_figures_come_from(run: Path, call: Callable[..., Outcome]) -> None:
    outcome = call("bench", run, *QUICK, "--threads", "1", "--precision", "int8,fp32")
    assert outcome.code == 0, outcome.err
    assert "rnnkit, int8" in outcome.out
    assert "rnnkit, bf16" not in outcome.out
    assert "onnxruntime, fp32" in outcome.out
    assert "held-out text kept in the bundle" in outcome.out
    assert "judging fp32 on " in outcome.err


def test_another_text_and_json(run: Path, tmp_path: Path, call: Callable[..., Outcome]) -> None:
    other = tmp_path / "other.txt"
    other.write_text("the cat sat on the log.\n", encoding="utf-8")
    outcome = call("bench", run, *QUICK, "--threads", "1", "--precision", "bf16", "--text", other, "--json")
    found = json.loads(outcome.out)
    assert found["sample"] == {"source": str(other), "num_tokens": 24}
    score = runtime.LanguageModel.load(run, precision="bf16").score("the cat sat on the log.\n")
    assert found["rows"][0]["nats_per_token"] == pytest.approx(score.nll / 24)
    assert found["rows"][0]["relative_loss"] != 0  # fp32 was judged, though it was not asked for


def test_a_bundle_without_held_out_tokens_is_measured_and_says_so(tmp_path: Path, call: Callable[..., Outcome]) -> None:
    runtime.LanguageModel.from_parts(*tiny.parts()).save(tmp_path / "run")
    outcome = call("bench", tmp_path / "run", *QUICK, "--threads", "1", "--precision", "fp32", "--json")
    found = json.loads(outcome.out)
    assert found["sample"] is None
    assert found["rows"][0]["relative_loss"] is None
    assert "keeps no held-out data" in found["notes"][0]


def test_without_onnx_runtime_there_is_a_note(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[..., Outcome]
) -> None:
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('none here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    outcome = call("bench", run, *QUICK, "--threads", "1", "--precision", "fp32")
    assert outcome.code == 0
    assert "onnxruntime, fp32 " not in outcome.out
    assert outcome.err.count("pip install '.[onnx]'") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--precision", "fp64"), "choose some of fp32, bf16, int8"),
        (("--precision", ""), "choose some of fp32, bf16, int8"),
        (("--threads", "two"), "--threads is 'two'"),
        (("--threads", "0"), "give numbers from 1"),
        (("--seconds", "0"), "seconds is 0"),
        (("--text", "nowhere.txt"), "nowhere.txt"),
        (("--bytes",), "--encoding and --bytes say how a --text is read"),
        (("--encoding", "latin-1"), "--encoding and --bytes say how a --text is read"),
    ],
)
def test_wrong_use_is_one_line(options: tuple[str, str], message: str, run: Path, call: Callable[..., Outcome]) -> None:
    outcome = call("bench", run, *options)
    assert outcome.code != 0
    assert message in outcome.err
    assert outcome.err.count("\n") == 1


def test_it_needs_no_torch(run: Path) -> None:
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from rnnkit import api; api.bench(sys.argv[1], precisions=['fp32'], threads=[1], seconds=0.01)"
    )
    subprocess.run([sys.executable, "-c", program, str(run)], check=True, timeout=120)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_classifier_is_timed_by_the_sequence_and_judged_by_its_accuracy(tmp_path: Path, bidirectional: bool) -> None:
    config, tensors, tokens = tiny.classifier(bidirectional=bidirectional, hidden_size=20, readout=["max"])
    model = runtime.Acceptor(config, tensors, labels=tiny.LABELS, tokenizer=tokens)
    sequences = [np.array([]).astype(int), *(np.arange(n) % 9 for n in range(1, 25))]
    targets = model.log_probs(sequences).argmax(1)
    targets[3] = (targets[3] + 1) % 3
    files = model._files | evaluation.of_sequences(sequences, targets)
    write_bundle(tmp_path / "run", config=config, tensors=tensors, files=files)
    found = api.bench(tmp_path / "run", threads=[1], seconds=0.01)
    assert found["sample"] == {"source": "held-out sequences kept in the bundle", "num_sequences": 25}
    assert [(row["runtime"], row["precision"]) for row in found["rows"]] == [
        *(("rnnkit", precision) for precision in ("fp32", "bf16", "int8")),
        *(("onnxruntime", precision) for precision in ("fp32", "int8")),
    ]
    for row in found["rows"]:
        assert 0 < row["sequence_us"]["p50"] <= row["sequence_us"]["p99"]
        assert (row["step_us"] is None) == bidirectional
    assert found["rows"][0]["accuracy"] == 0.96 and found["rows"][0]["relative_loss"] == 0
    for row in found["rows"][:3]:
        loaded = runtime.Acceptor.load(tmp_path / "run", precision=row["precision"])
        assert row["accuracy"] == (loaded.log_probs(sequences).argmax(1) == targets).mean()
        assert row["sequences_per_s_64"] > 0
    with pytest.raises(ArgumentError, match="text is for language models"):
        api.bench(tmp_path / "run", text=tmp_path / "my.txt")


def test_a_classifier_of_spelled_words_that_keeps_no_sequences_is_timed_on_words(tmp_path: Path) -> None:
    words = text.WordReader(["the", "fox"], "efhotx", max_characters=4, split_punctuation=True)
    spelling = {"num_characters": words.num_characters, "character_embedding_size": 3, "character_hidden_size": 4}
    config, tensors, _ = tiny.classifier(bidirectional=False, vocab_size=words.vocab_size, **spelling)
    runtime.Acceptor(config, tensors, labels=tiny.LABELS, words=words).save(tmp_path)
    (row,) = api.bench(tmp_path, precisions=["fp32"], threads=[1], seconds=0.01)["rows"]
    assert row["runtime"] == "rnnkit" and row["step_us"]["p50"] > 0 and row["sequences_per_s_64"] > 0


def test_its_table_has_columns_of_its_own(tmp_path: Path, call: Callable[..., Outcome]) -> None:
    config, tensors, tokens = tiny.classifier()
    runtime.Acceptor(config, tensors, labels=tiny.LABELS, tokenizer=tokens).save(tmp_path)
    outcome = call("bench", tmp_path, "--threads", 1, "--precision", "fp32", *QUICK)
    assert outcome.code == 0, outcome.err
    assert "sequences" in outcome.out and "accuracy" in outcome.out
    assert "train it with a test part" in outcome.err


@pytest.mark.parametrize("name", ["spelled, forwards", "crf", "frames, forwards"])
def test_a_tagger_is_timed_by_the_step_and_the_sequence_and_judged_by_what_its_labels_are(
    name: str, tmp_path: Path
) -> None:
    is_forwards, words, plain = name.endswith("forwards"), None, {"crf": False, "scheme": None}
    shape: dict[str, Any] = {} if name == "crf" else {**plain, "bidirectional": False}
    if name == "frames, forwards":
        config, tensors, _ = tiny.tagger()
        no_words = dict.fromkeys(("num_characters", "character_embedding_size", "character_hidden_size"), 0)
        config["model"] |= {**shape, **no_words, "vocab_size": 0, "embedding_size": 0, "input_size": 3}
        tensors = {n: np.abs(a) + 0.1 if n.startswith("scale") else a for n, a in tiny.tensors(config).items()}
        tensors = {n: a.astype(np.float32) for n, a in tensors.items()}
        sequences: list[Any] = [np.full((n, 3), n / 7, np.float32) for n in range(1, 20)]
    else:
        config, tensors, words = tiny.tagger(**shape)
        sequences = [["the", "fox", "unknown"][: n % 3 + 1] for n in range(19)]
    model = runtime.Transducer(config, tensors, labels=tiny.TAGS, words=words)
    targets = [np.array([model.labels.index(label) for label in row]) for row in model.predict(sequences)]
    files = model._files | evaluation.of_steps(sequences, targets)
    write_bundle(tmp_path / "run", config=config, tensors=tensors, files=files)
    found = api.bench(tmp_path / "run", threads=[1], seconds=0.01)
    assert found["sample"] == {"source": "held-out sequences kept in the bundle", "num_sequences": 19}
    by_runtime = {(row["runtime"], row["precision"]): row for row in found["rows"]}
    assert (("onnxruntime", "fp32") in by_runtime) == (name == "frames, forwards")
    assert any("no ONNX file" in note for note in found["notes"]) == (name != "frames, forwards")
    for row in found["rows"]:
        assert 0 < row["sequence_us"]["p50"] <= row["sequence_us"]["p99"]
        assert (row["step_us"] is not None) == is_forwards
        assert ("f1" in row) == (name == "crf")
    best = by_runtime["rnnkit", "fp32"]
    assert (best["accuracy"], best["relative_loss"]) == (1, 0)
    for precision in ("bf16", "int8"):
        loaded, row = runtime.Transducer.load(tmp_path / "run", precision=precision), by_runtime["rnnkit", precision]
        right = [a == loaded.labels[b] for mine, gold in zip(loaded.predict(sequences), targets, strict=True)
                 for a, b in zip(mine, gold, strict=True)]  # fmt: skip
        assert row["accuracy"] == np.mean(right)
    with pytest.raises(ArgumentError, match=r"a (tagger|labeller of frames) is judged on what its"):
        api.bench(tmp_path / "run", text=tmp_path / "my.txt")


def test_a_taggers_table_has_the_figure_it_is_chosen_by(tmp_path: Path, call: Callable[..., Outcome]) -> None:
    config, tensors, words = tiny.tagger()
    runtime.Transducer(config, tensors, labels=tiny.TAGS, words=words).save(tmp_path)
    outcome = call("bench", tmp_path, "--threads", 1, "--precision", "fp32", *QUICK)
    assert outcome.code == 0, outcome.err
    assert "sequences" in outcome.out and "F1" in outcome.out
    assert "train it with a test part" in outcome.err
