"""The tagging task: from files to a run folder, resumed to the same bits, judged beside its baselines."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

import rnnkit
from rnnkit import metrics as measures
from rnnkit.api.classification import ClassifyTrainConfig
from rnnkit.api.tagging import TagRunConfig
from rnnkit.bundle import read_bundle
from rnnkit.errors import CheckpointError, ConfigError, DataError
from rnnkit.tasks import tag_decision
from rnnkit.tasks.tag import TaggingTask
from rnnkit.tasks.tag_config import TagConfig
from rnnkit.training import fit

MODEL = {"hidden_size": 8, "embedding_size": 6, "character_embedding_size": 4, "character_hidden_size": 5}
SMALL = ClassifyTrainConfig(max_steps=7, batch_size=16, threads=1, eval_every_steps=3, checkpoint_every_s=0)


def drawn(count: int, seed: int, *, spans: bool = False) -> str:
    """Sentences D A* N V; words of A end in -ish, `run` is N or V by its place. As spans: A* N is one."""
    rng = random.Random(seed)
    sentences = []
    for _ in range(count):
        adjectives = [
            f"{rng.choice('bcdfg')}{rng.choice('aeiou')}{rng.choice('klmn')}ish" for _ in range(rng.randint(0, 2))
        ]
        words = [rng.choice(["the", "a"]), *adjectives, rng.choice(["cat", "run", "run"]), rng.choice(["run", "sees"])]
        tags = ["D", *["A"] * len(adjectives), "N", "V"]
        if spans:
            inside = ["I-np"] * len(adjectives)
            tags = ["O", "B-np", *inside, "O"]
        sentences.append("\n".join(f"{word} {tag}" for word, tag in zip(words, tags, strict=True)))
    return "\n\n".join(sentences) + "\n"


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    (tmp_path / "plain.conll").write_text(drawn(120, 0), encoding="utf-8")
    return tmp_path / "plain.conll"


@pytest.fixture
def spans(tmp_path: Path) -> Path:
    (tmp_path / "spans.conll").write_text(drawn(120, 0, spans=True), encoding="utf-8")
    return tmp_path / "spans.conll"


def configure(file: Path, **sections: Any) -> TagConfig:
    kinds = {"kinds": ["most-frequent-tag"]}
    given: dict[str, Any] = {"data": {"sources": [str(file)]}, "model": MODEL, "baselines": kinds}
    return TagConfig(**{key: {**given.get(key, {}), **sections.get(key, {})} for key in {*given, *sections}})


def weights(folder: Path) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in read_bundle(folder).tensors.items()}


def test_it_learns_from_place_and_spelling_and_stands_beside_its_baselines(plain: Path, tmp_path: Path) -> None:
    config = configure(plain, baselines={"kinds": ["most-frequent-tag", "hmm"]})
    training = ClassifyTrainConfig(epochs=15, lr=0.02, batch_size=8, threads=1)
    metrics = fit(TaggingTask(config), run_dir=tmp_path / "run", config=training).metrics
    assert metrics == json.loads((tmp_path / "run" / "metrics.json").read_bytes())
    by_name = {row["name"]: row for row in (metrics["model"], *metrics["baselines"])}
    assert list(by_name) == ["bi-lstm", "most-frequent-tag", "hmm"]
    model, frequent = by_name["bi-lstm"], by_name["most-frequent-tag"]
    assert model["accuracy"] > 0.97
    assert frequent["accuracy"] < 0.9
    assert frequent["p_value"] < 0.01
    assert frequent["difference"] == pytest.approx(model["accuracy"] - frequent["accuracy"])
    assert frequent["low"] < frequent["accuracy"] < frequent["high"]
    assert {part: of["num_sentences"] for part, of in metrics["data"].items()} == {"train": 86, "valid": 10, "test": 24}
    assert metrics["scheme"] is None
    assert "f1" not in model
    again = rnnkit.Tagger.load(tmp_path / "run").evaluate(plain)
    assert [row["name"] for row in again["baselines"]] == ["most-frequent-tag", "hmm"]
    assert again["model"]["num_sentences"] == 120
    report = metrics["report"]
    assert sum(map(sum, report["confusion"])) == model["num_words"]
    assert report["words"]["known"]["count"] + report["words"]["unknown"]["count"] == model["num_words"]
    assert sum(bucket["count"] for bucket in report["by_length"]) == 24


def test_spans_are_converted_held_to_their_scheme_and_scored_as_spans(spans: Path, tmp_path: Path) -> None:
    pytest.importorskip("pycrfsuite")
    config = configure(spans, data={"scheme_to": "bioes"}, baselines={"kinds": None})
    training = ClassifyTrainConfig(epochs=15, lr=0.02, batch_size=8, threads=1)
    metrics = fit(TaggingTask(config), run_dir=tmp_path / "run", config=training).metrics
    rows = [metrics["model"], *metrics["baselines"]]
    assert [row["name"] for row in rows] == ["bi-lstm-crf", "most-frequent-tag", "hmm", "feature-crf"]
    assert metrics["labels"] == ["O", "B-np", "I-np", "E-np", "S-np"]
    assert metrics["model"]["f1"] > 0.95
    assert metrics["report"]["per_type"]["np"]["f1"] == metrics["model"]["f1"]
    assert metrics["model"]["low"] <= metrics["model"]["f1"] <= metrics["model"]["high"]
    model = rnnkit.load(tmp_path / "run")
    assert isinstance(model, rnnkit.Tagger)
    again = model.evaluate(spans)  # a file in BIO is converted to what the model says
    tagged = rnnkit.data.read_tagged(spans)
    score = measures.SpanScore(tagged.tags, model.predict(tagged.sentences))
    assert again["model"]["f1"] == score.f1 > 0.95
    assert metrics["curve"][-1]["error"] == 1 - metrics["curve"][-1]["f1"]


def test_a_run_cut_anywhere_ends_with_the_same_bits(spans: Path, tmp_path: Path) -> None:
    config = configure(spans, model={"word_dropout": 0.1})
    fit(TaggingTask(config), run_dir=tmp_path / "whole", config=SMALL)

    class Stop(Exception):
        pass

    def stop_at(step: int) -> Callable[[dict[str, Any]], None]:
        def observe(event: dict[str, Any]) -> None:
            if event["event"] == "checkpoint" and event["step"] == step:
                raise Stop

        return observe

    for step in (2, 6):
        folder = tmp_path / f"cut-{step}"
        with pytest.raises(Stop):
            fit(TaggingTask(config), run_dir=folder, config=SMALL, observers=[stop_at(step)])
        fit(TaggingTask(config), run_dir=folder, config=SMALL, resume=True)
        assert weights(folder) == weights(tmp_path / "whole")


def test_resuming_other_sentences_or_another_model_is_refused_by_name(plain: Path, tmp_path: Path) -> None:
    fit(TaggingTask(configure(plain)), run_dir=tmp_path / "run", config=SMALL)
    for sections, message in (
        ({"model": {"hidden_size": 9}}, r"model\.hidden_size is 9"),
        ({"words": {"lowercase": False}}, r"words\.lowercase is False"),
        ({"data": {"split_seed": 1}}, "the training sentences"),
    ):
        task = TaggingTask(configure(plain, **sections))
        with pytest.raises(CheckpointError, match=message):
            fit(task, run_dir=tmp_path / "run", config=SMALL, resume=True)


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"crf": False}},
        {"model": {"crf": False, "label_smoothing": 0.2}},
        {"model": {"word_dropout": 0.4}},
        {"model": {"character_hidden_size": 6}},
        {"model": {"character_embedding_size": 6}},
        {"model": {"bidirectional": False}},
        {"words": {"characters": False}, "model": {"character_embedding_size": 32, "character_hidden_size": 48}},
        {"words": {"max_characters": 2}},
        {"words": {"min_count": 3}},
        {"words": {"lowercase": False}},
        {"words": {"features": ["shape", "suffix2"]}},
        {"words": {"features": ["shape"]}, "model": {"feature_embedding_size": 3}},
        {"data": {"scheme_to": "bioes"}},
        {"data": {"scheme": "none"}},
        {"data": {"word_column": "2", "tag_column": "1"}},
    ],
    ids=str,
)
def test_every_choice_changes_the_weights(change: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "spans.conll"
    file.write_text("Cats O\nthe O\n\n" + drawn(60, 1, spans=True), encoding="utf-8")
    fit(TaggingTask(configure(file)), run_dir=tmp_path / "a", config=SMALL)
    if change.get("data", {}).get("word_column"):
        file.write_text("\n".join(" ".join(reversed(line.split())) for line in file.read_text().split("\n")))
        fit(TaggingTask(configure(file, **change)), run_dir=tmp_path / "b", config=SMALL)
        assert weights(tmp_path / "a") == weights(tmp_path / "b")
        return
    fit(TaggingTask(configure(file, **change)), run_dir=tmp_path / "b", config=SMALL)
    assert weights(tmp_path / "a") != weights(tmp_path / "b")


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"data": {"sources": None}}, r"data\.sources is missing"),
        ({"data": {"scheme": "none", "repair": True}}, "repair has no effect with scheme none"),
        ({"words": {"characters": False, "max_characters": 9}}, "max_characters has no effect without characters"),
        ({"words": {"characters": False}}, r"model\.character_embedding_size has no effect without words\.characters"),
        ({"model": {"feature_embedding_size": 9}}, r"model\.feature_embedding_size has no effect without words\.feat"),
        ({"words": {"features": ["lemma"]}}, "features"),
        ({"baselines": {"seeds": 0}}, "seeds"),
        ({"baselines": {"kinds": []}}, "kinds"),
    ],
)
def test_what_has_no_effect_is_refused(plain: Path, sections: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        configure(plain, **sections)


def test_the_score_of_o_is_fitted_on_validation_and_stored(spans: Path, tmp_path: Path) -> None:
    """As what gives the best F1 there; the figures of the curve are with it."""
    config = configure(spans, model={"outside": "fitted"}, data={"valid_share": 0.5})
    training = SMALL.model_copy(update={"max_steps": 12, "lr": 0.01})
    metrics = fit(TaggingTask(config), run_dir=tmp_path / "run", config=training).metrics
    plain = fit(TaggingTask(configure(spans, data={"valid_share": 0.5})), run_dir=tmp_path / "plain", config=training)
    model = rnnkit.Tagger.load(tmp_path / "run")
    bias = model.config["model"]["outside_bias"]
    assert bias in tag_decision.BIASES
    assert bias != 0
    assert rnnkit.Tagger.load(tmp_path / "plain").config["model"]["outside_bias"] == 0
    valid = TaggingTask(config).sentences.valid.tagged
    found = {}
    for tried in tag_decision.BIASES:
        model.config["model"]["outside_bias"] = tried
        found[tried] = measures.SpanScore(valid.tags, model.predict(valid.sentences)).f1
    best = max(entry["f1"] for entry in metrics["curve"])
    assert found[bias] == max(found.values()) == pytest.approx(best)
    assert best > max(entry["f1"] for entry in plain.metrics["curve"])


def test_the_score_of_o_of_plain_tags_is_refused(plain: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.outside=fitted has no effect on plain tags"):
        TaggingTask(configure(plain, model={"outside": "fitted"}))


def test_further_seeds_give_the_mean_of_the_table(spans: Path, tmp_path: Path) -> None:
    """Each of them is the run that its seed gives alone."""
    config = configure(spans, baselines={"seeds": 3})
    training = SMALL.model_copy(update={"seed": 5, "checkpoint_every_s": 60.0, "max_steps": 30, "lr": 0.01})
    metrics = fit(TaggingTask(config), run_dir=tmp_path / "run", config=training).metrics
    alone = training.model_copy(update={"seed": 7})
    own = fit(TaggingTask(configure(spans)), run_dir=tmp_path / "alone", config=alone).metrics
    assert weights(tmp_path / "alone") == weights(tmp_path / "run" / "baselines" / "seed-2")
    assert [row["seed"] for row in metrics["seeds"]] == [5, 6, 7]
    assert metrics["seeds"][2]["f1"] == own["model"]["f1"]
    scores = [row["f1"] for row in metrics["seeds"]]
    assert len({*scores}) > 1
    model = metrics["model"]
    assert (scores[0], np.mean(scores)) == (model["f1"], pytest.approx(model["seeds_mean"]))
    assert model["seeds_low"] < model["seeds_mean"] < model["seeds_high"]
    assert "mean of seeds" in rnnkit.api.tagging_table(metrics).to_markdown()
    assert [row["name"] for row in metrics["baselines"]] == ["most-frequent-tag"]
    assert "seeds_mean" not in own["model"]


def test_smoothing_beside_a_crf_is_refused(spans: Path) -> None:
    with pytest.raises(ConfigError, match=r"label_smoothing=0\.1 has no effect on whole sequences"):
        TaggingTask(configure(spans, model={"label_smoothing": 0.1})).build_model()


def test_faults_of_files_are_named_by_row(spans: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.conll"
    other.write_text("the O\ncat B-vp\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"other\.conll, line 2: the tag 'B-vp' is not among those trained on"):
        TaggingTask(configure(spans, data={"test_sources": [str(other)]}))
    other.write_text("the O\ncat I-np\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"other\.conll, line 2: the tag 'I-np' may not stand after 'O' in BIO"):
        TaggingTask(configure(spans, data={"test_sources": [str(other)]}))
    task = TaggingTask(configure(spans, data={"test_sources": [str(other)], "repair": True}))
    assert task.sentences.test.tagged.tags == [["O", "B-np"]]


def test_its_pages_show_tables_tags_and_mistakes(spans: Path, tmp_path: Path) -> None:
    config = TagRunConfig(
        data={"sources": [str(spans)]}, model=MODEL, baselines={"kinds": ["hmm"]}, training=SMALL.model_dump()
    )  # type: ignore[arg-type]
    metrics = fit(config.make_task(), run_dir=tmp_path / "run", config=config.training).metrics
    pages = config.pages(metrics, "my-run")
    assert set(pages) == {"curve.png", "confusion.png", "report.html", "README.md"}
    html = pages["report.html"].decode()
    assert all(part in html for part in ("hmm", "B-np", "Worst mistakes", "spans.conll, line", "data:image/png"))
    card = pages["README.md"].decode()
    assert "They mark spans (BIO)" in card
    assert "| hmm |" in card
