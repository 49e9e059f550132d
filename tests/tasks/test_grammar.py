"""The grammar task: the texts asked for, a network that goes far beyond its training, the exact automaton."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnnkit
from rnnkit.api.config import build
from rnnkit.api.grammar import GrammarRunConfig
from rnnkit.automata import Dfa, named
from rnnkit.errors import ArgumentError, CheckpointError, ConfigError, DataError, JsonError, TrainingInterrupted
from rnnkit.tasks.grammar_language import LABELS, ExactRecognizer, language_of

FEW = {"num_train": 40, "num_valid": 20, "num_test": 60, "longest": 6, "hidden_size": 4, "max_steps": 3, "threads": 1}


def configure(spec: str = "tomita-5", **options: Any) -> GrammarRunConfig:
    return build(GrammarRunConfig, options={"data.sources": [spec], **FEW, **options})


def parts(config: GrammarRunConfig) -> dict[str, Any]:
    return {name: part.examples for name, part in config.make_task().sequences.parts().items()}


def test_parts_are_as_many_and_as_long_as_asked_for_and_each_label_is_right() -> None:
    drawn = parts(configure(test_longest=30))
    assert {name: len(part) for name, part in drawn.items()} == {"train": 40, "valid": 20, "test": 60}
    longest = {name: max(map(len, part.inputs)) for name, part in drawn.items()}
    assert longest["train"] <= 9  # 6, and an edit or three
    assert 15 < longest["valid"] <= 27 and 20 < longest["test"] <= 33
    assert max(map(len, parts(configure(valid_longest=6))["valid"].inputs)) <= 9
    language = named("tomita-5")
    for part in drawn.values():
        assert part.labels == [LABELS[not language.accepts(text)] for text in part.inputs]
        assert part.labels.count("accepted") == len(part) / 2


def test_what_is_asked_of_the_texts_changes_them() -> None:
    def lengths(**options: Any) -> float:
        return float(
            np.mean([len(text) for text in parts(configure(num_train=400, longest=20, **options))["train"].inputs])
        )

    assert lengths(short_bias=2) < 5 < 9 < lengths(short_bias=0)
    usual = parts(configure())
    for options in ({"near_share": 0.0}, {"sample_seed": 1}, {"short_bias": 0.0}):
        assert parts(configure(**options))["train"].inputs != usual["train"].inputs
    assert parts(configure(seed=1))["train"].inputs == usual["train"].inputs
    assert max(map(len, usual["test"].inputs)) > 40  # ten times the longest, unless it is named
    narrow = configure("(ab)*", symbols="abc").make_task().sequences
    assert narrow.tokenizer.characters == "abc"


def test_no_part_repeats_the_draws_of_another() -> None:
    alike = {"num_valid": 40, "num_test": 40, "longest": 30, "test_longest": 30, "short_bias": 0.0}
    drawn = parts(configure("parity", **alike))
    texts = [{text for text in part.inputs if len(text) > 15} for part in drawn.values()]
    assert all(texts)
    assert not texts[0] & texts[1] and not texts[1] & texts[2] and not texts[0] & texts[2]


def test_a_near_miss_longer_than_any_text_counts_with_the_longest() -> None:
    task = configure(test_longest=6).make_task()
    assert max(map(len, task.sequences.test.examples.inputs)) > 6
    assert [(row["from"], row["to"], row["count"]) for row in task._by_length([])] == [(0, 6, 60)]


def test_parity_is_learned_from_short_texts_and_holds_at_ten_times_their_length(tmp_path: Path) -> None:
    model = rnnkit.Recognizer.train(
        "parity", run=tmp_path / "run", longest=10, num_train=2000, num_valid=200, num_test=400, epochs=12, threads=1,
        restarts=3,
    )  # fmt: skip
    metrics = model.metrics
    assert metrics["training"]["restarts"] == 0  # nothing was wrong
    rows = {row["name"]: row for row in (metrics["model"], *metrics["baselines"])}
    assert list(rows) == ["elman-tanh", "majority", "logistic-regression", "automaton"]
    assert rows["elman-tanh"]["accuracy"] == rows["automaton"]["accuracy"] == 1.0
    assert max(rows["majority"]["accuracy"], rows["logistic-regression"]["accuracy"]) < 0.7
    assert rows["automaton"]["nats"] == 0
    buckets = metrics["lengths"]
    assert [(row["from"], row["to"]) for row in buckets] == [
        (0, 10),
        *((10 * n + 1, 10 * n + 10) for n in range(1, 10)),
    ]
    assert sum(row["count"] for row in buckets) == 400
    assert {row["accuracy"]["elman-tanh"] for row in buckets} == {1.0}
    assert buckets[0]["trained_on"] > 0 == buckets[-1]["trained_on"]
    assert model.accepts(["", "1", "0110", "10" * 50]) == [True, False, True, True]
    assert {"lengths.png", "report.html", "behaviour.png", "metrics.json"} <= {f.name for f in model.path.iterdir()}  # type: ignore[union-attr]

    table = tmp_path / "more.jsonl"
    table.write_text("\n".join(json.dumps({"text": t, "label": l}) for t, l in [("11", LABELS[0]), ("1x1", LABELS[1])]))
    again = rnnkit.Classifier.load(tmp_path / "run").evaluate(table)
    assert [row["accuracy"] for row in again["baselines"]][-1] == 1.0


def test_a_resumed_run_has_the_texts_of_the_first_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    Path("mine.json").write_text(json.dumps(named("tomita-2").to_dict()))  # type: ignore[attr-defined]
    first = rnnkit.Recognizer.train("mine.json", run=tmp_path / "run", **FEW)
    digest = first.digest
    monkeypatch.chdir(tmp_path / "other")
    assert rnnkit.Recognizer.train(run=tmp_path / "run", resume=True).digest == digest
    monkeypatch.chdir(tmp_path)
    Path("parity").mkdir()  # a folder that is called like a grammar
    rnnkit.Recognizer.train("parity", run=tmp_path / "named", **FEW)
    assert rnnkit.Recognizer.train(run=tmp_path / "named", resume=True).metrics["config"]["data"]["sources"] == [
        "parity"
    ]


@pytest.mark.parametrize("spec", ["dyck-2", "tomita-3", "(a|bc)*"])
def test_the_exact_automaton_comes_back_from_its_file(spec: str, tmp_path: Path) -> None:
    task = configure(spec).make_task()
    test, tokenizer = task.sequences.test, task.sequences.tokenizer
    exact = ExactRecognizer.of(spec, task.sequences.language, tokenizer)
    exact.save(tmp_path)
    for one in (exact, ExactRecognizer.load(tmp_path, tokenizer)):
        assert (one.log_probs(test.sequences).argmax(1) == test.targets).all()
    (tmp_path / "automaton.json").write_text('{"format": 1, "name": "dyck-9"}')
    with pytest.raises(ArgumentError, match="no grammar 'dyck-9'"):
        ExactRecognizer.load(tmp_path, tokenizer)


def test_a_word_is_a_name_a_file_or_an_expression(tmp_path: Path) -> None:
    assert language_of("anbn").accepts("aabb")
    assert language_of("a{2}b{2}").accepts("aabb")
    file = tmp_path / "even.json"
    file.write_text(json.dumps(Dfa.from_regex("(aa)*").to_dict()))
    assert [language_of(str(file)).accepts(text) for text in ("aa", "a")] == [True, False]


@pytest.mark.parametrize(
    ("spec", "options", "error", "message"),
    [
        ("tomita-8", {}, ArgumentError, "'tomita-8' is none of tomita-1, .*dyck-4, anbn, no .json file"),
        ("(a", {}, ArgumentError, "character 0, .* not closed"),
        ("nowhere.json", {}, DataError, "nowhere.json: No such file"),
        ("broken.json", {}, JsonError, "broken.json is no JSON at line 1"),
        ("partial.json", {}, DataError, "partial.json: wanted is an object with the keys"),
        ("parity", {"symbols": "01"}, ArgumentError, "symbols='01' belongs to a regular expression"),
        ("a{50,}", {}, ArgumentError, "no text of 0 to 6 characters belongs to the language; ask for longer ones"),
        ("[ab]*", {}, ArgumentError, "every text of 0 to 6 characters belongs"),
        (
            "(ab)*",
            {"symbols": "a"},
            ArgumentError,
            r"over 'a' the empty one alone belongs to \(ab\)\*: name in symbols",
        ),
        ("(a{7})*", {}, ArgumentError, r"over 'a' the empty one alone belongs .*, or ask for longer ones"),
        ("parity", {"valid_longest": 5}, ConfigError, "valid_longest 5 is shorter than longest 6; raise it"),
        ("parity", {"valid_longest": 7, "test_longest": 6}, ConfigError, "valid_longest 7 is above test_longest 6"),
        ("parity", {"test_longest": 5}, ConfigError, "test_longest 5 is shorter than longest 6; raise it"),
        ("parity", {"character_hidden_size": 9}, ConfigError, "character_hidden_size has no effect without words"),
        ("parity", {"ngram_order": 3, "kinds": ["automaton"]}, ConfigError, "ngram_order has no effect without"),
        ("parity", {"window": 8}, ConfigError, "window has no effect on whole sequences"),
    ],
)
def test_what_cannot_be_is_refused_by_name_before_training(
    spec: str, options: dict[str, Any], error: type[Exception], message: str, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.json").write_text("{")
    Path("partial.json").write_text('{"format": 1}')
    with pytest.raises(error, match=message):
        configure(spec, **options).make_task()


def test_a_run_has_one_grammar() -> None:
    with pytest.raises(ConfigError, match=r"data\.sources is missing: name a grammar"):
        build(GrammarRunConfig, options={})
    with pytest.raises(ConfigError, match="holds 2 grammars, parity, anbn; give one"):
        build(GrammarRunConfig, options={"data.sources": ["parity", "anbn"]})
    assert build(GrammarRunConfig, options={"data.sources": ["parity"], "seed": 3}).training.epochs == 15


def test_training_begins_anew_while_a_text_to_choose_by_is_wrong(tmp_path: Path) -> None:
    notes: list[str] = []

    def watch(event: dict[str, Any]) -> None:
        if event["event"] == "note":
            notes.append(event["text"])

    hopeless = {**FEW, "restarts": 2, "num_test": 20}
    model = rnnkit.Recognizer.train("tomita-5", run=tmp_path / "three", observers=[watch], **hopeless)
    assert [text.partition(": ")[2] for text in notes if "wrong" in text] == [
        "beginning anew from other weights, 1 of 2",
        "beginning anew from other weights, 2 of 2",
    ]
    metrics = model.metrics
    assert metrics["training"]["restarts"] == 2 and metrics["seed"] == 0
    alone = {}
    for start in range(3):
        options = {**hopeless, "restarts": 0, "seed": start * 1_000_003}
        one = rnnkit.Recognizer.train("tomita-5", run=tmp_path / str(start), **options)
        assert one.metrics["training"]["restarts"] == 0
        best = min((at["error"], at["nll"]) for at in one.metrics["curve"])
        alone[best] = one
    assert len({one.digest for one in alone.values()}) == 3
    kept = alone[min(alone)]  # the start with the fewest errors is the run, and the figures are its own
    assert kept.digest == model.digest
    assert [at["nll"] for at in metrics["curve"]] == [at["nll"] for at in kept.metrics["curve"]]
    assert metrics["training"]["best_step"] == kept.metrics["training"]["best_step"]


def test_a_run_stopped_in_a_later_start_goes_on_there(tmp_path: Path) -> None:
    options = {**FEW, "restarts": 1, "num_test": 20, "checkpoint_every_s": 0}
    whole = rnnkit.Recognizer.train("tomita-5", run=tmp_path / "whole", **options)
    steps: list[int] = []

    def stop(event: dict[str, Any]) -> None:
        if event["event"] == "checkpoint":
            steps.append(event["step"])
            if steps[-2:] == [1, 2] and len(steps) > 3:
                raise TrainingInterrupted("enough")

    with pytest.raises(TrainingInterrupted):
        rnnkit.Recognizer.train("tomita-5", run=tmp_path / "halves", observers=[stop], **options)
    assert rnnkit.Recognizer.train(run=tmp_path / "halves", resume=True).digest == whole.digest
    with pytest.raises(CheckpointError, match=r"training\.seed is 5"):
        rnnkit.Recognizer.train("tomita-5", run=tmp_path / "halves", resume=True, seed=5, **options)
