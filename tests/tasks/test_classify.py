"""The classification task: from a table to a run folder, resumed to the same bits, judged beside its baselines."""

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
from rnnkit.api.classification import ClassifyRunConfig, ClassifyTrainConfig
from rnnkit.bundle import read_bundle
from rnnkit.errors import CheckpointError, ConfigError, DataError
from rnnkit.tasks.classify import ClassificationTask
from rnnkit.tasks.classify_config import ClassifyConfig
from rnnkit.training import fit

MODEL = {"hidden_size": 8, "embedding_size": 6, "readout": ["last", "max", "mean", "attention"]}
SMALL = ClassifyTrainConfig(max_steps=7, batch_size=16, threads=1, eval_every_steps=3, checkpoint_every_s=0)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Texts of which one word in the middle tells the label."""
    rng = random.Random(0)
    lines = ["label,text"]
    for number in range(120):
        label = ("up", "down", "level")[number % 3]
        words = rng.choices(["one", "two", "three", "four", "five"], k=rng.randint(0, 9))
        words.insert(len(words) // 2, {"up": "rise", "down": "fall", "level": "stay"}[label])
        lines.append(f"{label},{' '.join(words)}")
    path = tmp_path / "table.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def configure(table: Path, **sections: Any) -> ClassifyConfig:
    given: dict[str, Any] = {"data": {"sources": [str(table)]}, "model": MODEL, "baselines": {"kinds": ["majority"]}}
    return ClassifyConfig(**{key: {**given.get(key, {}), **sections.get(key, {})} for key in {*given, *sections}})


def weights(folder: Path) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in read_bundle(folder).tensors.items()}


def test_it_learns_what_one_word_tells_and_the_table_stands_beside_its_baselines(table: Path, tmp_path: Path) -> None:
    config = configure(table, baselines={"kinds": ["majority", "naive-bayes", "logistic-regression"]})
    training = ClassifyTrainConfig(epochs=15, lr=0.02, batch_size=8, threads=1)
    metrics = fit(ClassificationTask(config), run_dir=tmp_path / "run", config=training).metrics
    assert metrics == json.loads((tmp_path / "run" / "metrics.json").read_bytes())
    by_name = {row["name"]: row for row in (metrics["model"], *metrics["baselines"])}
    assert list(by_name) == ["bi-lstm", "majority", "naive-bayes", "logistic-regression"]
    assert by_name["bi-lstm"]["accuracy"] > 0.9
    assert by_name["majority"]["accuracy"] == pytest.approx(1 / 3)
    assert by_name["majority"]["p_value"] < 1e-3
    assert by_name["bi-lstm"]["accuracy_low"] < by_name["bi-lstm"]["accuracy"] <= by_name["bi-lstm"]["accuracy_high"]
    assert {part: of["num_sequences"] for part, of in metrics["data"].items()} == {"train": 87, "valid": 9, "test": 24}
    model = rnnkit.Classifier.load(tmp_path / "run")
    kept = model.evaluation_sample()  # the test part, to judge precisions on
    assert kept is not None and len(kept[0]) == 24
    assert (model.log_probs(kept[0]).argmax(1) == kept[1]).mean() == pytest.approx(by_name["bi-lstm"]["accuracy"])
    again = model.evaluate(table)
    assert [row["name"] for row in again["baselines"]] == list(by_name)[1:]
    assert again["model"]["num_sequences"] == 120


def test_further_seeds_give_the_mean_of_the_table(table: Path, tmp_path: Path) -> None:
    """Each of them is the run that its seed gives alone."""
    config = configure(table, baselines={"seeds": 3})
    training = SMALL.model_copy(update={"seed": 5, "checkpoint_every_s": 60.0})
    metrics = fit(ClassificationTask(config), run_dir=tmp_path / "run", config=training).metrics
    alone = fit(
        ClassificationTask(configure(table)),
        run_dir=tmp_path / "alone",
        config=training.model_copy(update={"seed": 7}),
    ).metrics
    assert weights(tmp_path / "alone") == weights(tmp_path / "run" / "baselines" / "seed-2")
    assert [row["seed"] for row in metrics["seeds"]] == [5, 6, 7]
    assert metrics["seeds"][2]["accuracy"] == alone["model"]["accuracy"]
    accuracies = [row["accuracy"] for row in metrics["seeds"]]
    model = metrics["model"]
    assert (accuracies[0], np.mean(accuracies)) == (model["accuracy"], pytest.approx(model["seeds_mean"]))
    assert "seeds_mean" not in alone["model"]
    assert [row["name"] for row in rnnkit.Classifier.load(tmp_path / "run").evaluate(table)["baselines"]] == [
        "majority"
    ]


def test_a_run_cut_anywhere_ends_with_the_same_bits(table: Path, tmp_path: Path) -> None:
    config = configure(table, model={"output_dropout": 0.3, "word_dropout": 0.1, "label_smoothing": 0.1})
    fit(ClassificationTask(config), run_dir=tmp_path / "whole", config=SMALL)

    class Stop(Exception):
        pass

    def stop_at(step: int) -> Callable[[dict[str, Any]], None]:
        def observe(event: dict[str, Any]) -> None:
            if event["event"] == "checkpoint" and event["step"] == step:
                raise Stop

        return observe

    for step in (2, 6):  # within the first epoch of six batches, and at the beginning of the second
        folder = tmp_path / f"cut-{step}"
        with pytest.raises(Stop):
            fit(ClassificationTask(config), run_dir=folder, config=SMALL, observers=[stop_at(step)])
        fit(ClassificationTask(config), run_dir=folder, config=SMALL, resume=True)
        assert weights(folder) == weights(tmp_path / "whole")


def test_resuming_other_sequences_or_another_model_is_refused_by_name(table: Path, tmp_path: Path) -> None:
    fit(ClassificationTask(configure(table)), run_dir=tmp_path / "run", config=SMALL)
    for sections, message in (
        ({"model": {"hidden_size": 9}}, r"model\.hidden_size is 9"),
        ({"loss": {"class_weights": "balanced"}}, r"loss\.class_weights is 'balanced'"),
        ({"data": {"split_seed": 1}}, "the training sequences is not the one|the training sequences"),
    ):
        task = ClassificationTask(configure(table, **sections))
        with pytest.raises(CheckpointError, match=message):
            fit(task, run_dir=tmp_path / "run", config=SMALL, resume=True)


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"output_dropout": 0.6}},
        {"model": {"input_dropout": 0.6}},
        {"model": {"embedding_dropout": 0.3}},
        {"model": {"word_dropout": 0.4}},
        {"model": {"weight_dropout": 0.4}},
        {"model": {"recurrent_dropout": 0.4}},
        {"model": {"label_smoothing": 0.2}},
        {"model": {"bidirectional": False}},
        {"model": {"readout": ["mean"]}},
        {"model": {"init": "orthogonal"}},
        {"model": {"forget_bias": 0.0}},
        {"model": {"bias": False}},
        {"loss": {"class_weights": "balanced"}},
        {"tokenizer": {"kind": "char"}},
        {"data": {"held_out": 0.4}},
        {"data": {"valid_share": 0.4}},
    ],
)
def test_every_choice_changes_the_model(change: dict[str, Any], table: Path, tmp_path: Path) -> None:
    lines = table.read_text(encoding="utf-8").splitlines()
    table.write_text("\n".join(line for line in lines if not line.startswith("up") or "one" in line), encoding="utf-8")
    quick = SMALL.model_copy(update={"max_steps": 2, "checkpoint_every_s": 60.0})
    fit(ClassificationTask(configure(table)), run_dir=tmp_path / "a", config=quick)
    fit(ClassificationTask(configure(table, **change)), run_dir=tmp_path / "b", config=quick)
    assert weights(tmp_path / "a") != weights(tmp_path / "b")


def test_balanced_weights_make_every_label_count_the_same(table: Path) -> None:
    lines = table.read_text(encoding="utf-8").splitlines()
    table.write_text("\n".join(line for line in lines if not line.startswith("up") or "one" in line), encoding="utf-8")
    task = ClassificationTask(configure(table, loss={"class_weights": "balanced"}))
    batches = list(task.streams(batch_size=8, window=1, stride=1))
    targets, counted = (np.concatenate([getattr(b, name)[0] for b in batches]) for name in ("targets", "weights"))
    totals = [counted[targets == label].sum() for label in range(3)]
    np.testing.assert_allclose(totals, [len(targets) / 3] * 3, rtol=1e-5)


def test_other_files_for_validation_and_test_are_taken_whole(table: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("label,text\nup,rise\n", encoding="utf-8")
    task = ClassificationTask(configure(table, data={"test_sources": [str(other)], "valid_sources": [str(other)]}))
    assert {name: len(part) for name, part in task.sequences.parts().items()} == {"train": 120, "valid": 1, "test": 1}
    other.write_text("label,text\nup,rise\nsideways,rise\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"other\.csv, line 3: the label 'sideways' is not among those trained on"):
        ClassificationTask(configure(table, data={"test_sources": [str(other)]}))


@pytest.mark.parametrize("name", ["window", "stride", "ar", "tar"])
def test_what_belongs_to_streams_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match=rf"training\.{name} has no effect on whole sequences"):
        ClassifyRunConfig.model_validate(
            {"data": {"sources": ["x"]}, "training": {name: 7 if name in ("window", "stride") else 0.5}}
        )


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("data", {}, r"data\.sources is missing"),
        ("data", {"sources": []}, r"data\.sources is an empty list: name a file"),
        ("data", {"sources": ["x"], "test_sources": []}, r"data\.test_sources is an empty list"),
        ("data", {"sources": ["x"], "valid_sources": []}, r"data\.valid_sources is an empty list"),
        (
            "data",
            {"sources": ["x"], "test_sources": ["y"], "held_out": 0.3},
            "held_out has no effect with test_sources",
        ),
        ("data", {"sources": ["x"], "valid_sources": ["y"], "valid_share": 0.3}, "valid_share has no effect"),
        ("baselines", {"kinds": ["majority"], "ngram_order": 3}, "ngram_order has no effect without"),
        ("model", {"cell": "lstn"}, "did you mean 'lstm'"),
    ],
)
def test_a_choice_without_effect_is_refused(section: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ClassifyConfig.model_validate({"data": {"sources": ["x"]}, section: values})


# ---- series of numbers ----------------------------------------------------------------------------------------------


@pytest.fixture
def series(tmp_path: Path) -> Path:
    """Noise with a rise or a fall in it, beside a dimension a thousand times as large that tells nothing."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(8, 14, 60)
    X, y = rng.normal(size=(60, 14, 2)), np.arange(60) % 2
    X[:, 3:6, 0] += np.where(y, 3.0, -3.0)[:, None]
    X[:, :, 1] = 1000 * X[:, :, 1] + 5000
    np.savez(tmp_path / "series.npz", X=X, y=y, lengths=lengths)
    return tmp_path / "series.npz"


def test_series_are_scaled_learned_and_judged_beside_dtw(series: Path, tmp_path: Path) -> None:
    config = ClassifyConfig.model_validate({"data": {"sources": [str(series)]}, "model": {"hidden_size": 8}})
    training = ClassifyTrainConfig(epochs=12, lr=0.02, batch_size=8, threads=1)
    metrics = fit(ClassificationTask(config), run_dir=tmp_path / "run", config=training).metrics
    assert [row["name"] for row in metrics["baselines"]] == ["majority", "1nn-dtw"]
    assert metrics["model"]["accuracy"] > 0.9 > metrics["baselines"][1]["accuracy"]
    assert metrics["baselines"][1]["nats"] is None
    tensors = read_bundle(tmp_path / "run").tensors
    np.testing.assert_allclose(tensors["scale.mean"], [0, 5000], atol=300)
    np.testing.assert_allclose(tensors["scale.deviation"][1], 1000, rtol=0.1)
    again = rnnkit.Classifier.load(tmp_path / "run").evaluate(series)
    assert again["model"]["num_sequences"] == 60


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"tokenizer": {"kind": "char"}}, r"tokenizer\.kind has no effect on series"),
        ({"model": {"embedding_size": 7}}, r"model\.embedding_size has no effect on series"),
        (
            {"baselines": {"kinds": ["naive-bayes"]}},
            "naive-bayes does not read series of numbers; choose from majority",
        ),
        ({"baselines": {"ngram_order": 3}}, r"baselines\.ngram_order has no effect on series"),
    ],
)
def test_what_is_chosen_about_text_is_refused_of_series(series: Path, sections: dict[str, Any], message: str) -> None:
    config = ClassifyConfig.model_validate({"data": {"sources": [str(series)]}, **sections})
    with pytest.raises(ConfigError, match=message):
        ClassificationTask(config)


def test_text_among_series_is_refused(series: Path, table: Path) -> None:
    with pytest.raises(DataError, match=r"table\.csv, line 2: text, trained is on frames of 2"):
        ClassificationTask(
            ClassifyConfig.model_validate({"data": {"sources": [str(series)], "test_sources": [str(table)]}})
        )
    with pytest.raises(ConfigError, match="1nn-dtw does not read texts"):
        ClassificationTask(configure(table, baselines={"kinds": ["1nn-dtw"]}))


def test_predict_labels_a_file_of_series_and_not_stdin(series: Path, tmp_path: Path, capsys: Any) -> None:
    from rnnkit.cli import main

    settings = {"hidden_size": 4, "max_steps": 3, "threads": 1, "kinds": ["majority"]}
    rnnkit.Classifier.train(series, run=tmp_path / "run", **settings)
    capsys.readouterr()
    assert main(["predict", str(tmp_path / "run"), str(series)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 60
    assert lines[7].split("\t")[2].endswith("series.npz, row 7")
    assert main(["predict", str(tmp_path / "run")]) == 2
    assert "name a .ts or .npz FILE" in capsys.readouterr().err


# ---- report ---------------------------------------------------------------------------------------------------------


def test_the_report_says_where_the_model_is_right_and_where_not(table: Path, tmp_path: Path) -> None:
    lines = table.read_text(encoding="utf-8").splitlines()
    table.write_text("\n".join([*lines, "up,<b>fall fall</b>"] * 1), encoding="utf-8")
    other = tmp_path / "test.csv"
    other.write_text("\n".join([*lines[:30], "up,<b>fall fall fall</b>"]), encoding="utf-8")
    settings: dict[str, Any] = {"epochs": 15, "lr": 0.02, "batch_size": 8, "threads": 1, "kinds": ["majority"], **MODEL}
    model = rnnkit.Classifier.train(table, run=tmp_path / "run", test_sources=[str(other)], **settings)
    report, accuracy = model.metrics["report"], model.metrics["model"]["accuracy"]
    confusion = np.array(report["confusion"])
    assert confusion.sum() == 30
    assert confusion.diagonal().sum() / 30 == pytest.approx(accuracy)
    assert model.labels == ["down", "level", "up"] == list(report["per_label"])
    assert report["per_label"]["up"]["recall"] == pytest.approx(confusion[2, 2] / confusion[2].sum())
    assert report["worst"][0]["text"] == "<b>fall fall fall</b>"
    assert (report["worst"][0]["label"], report["worst"][0]["predicted"]) == ("up", "down")
    assert [point["share"] for point in report["seen"]] == [n / 10 for n in range(1, 11)]
    assert report["seen"][0]["accuracy"] < 0.7 < report["seen"][-1]["accuracy"] == accuracy
    assert sum(bucket["count"] for bucket in report["by_length"]) == 30
    assert sum(part["count"] for part in report["calibration"]) == 30
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;fall" in page
    assert "<b>fall" not in page
    assert page.count("data:image/png;base64,") == 2
    for name in ("confusion.png", "behaviour.png", "curve.png"):
        assert (tmp_path / "run" / name).read_bytes().startswith(b"\x89PNG")


SPELLED = {"tokenizer": {"characters": True}, "model": {"character_embedding_size": 6, "character_hidden_size": 8}}


def test_with_characters_unseen_words_are_told_by_their_spelling(tmp_path: Path) -> None:
    """Every word ends in what tells its label and is there once, so that a table of words knows none of the test's."""
    rng = random.Random(0)
    lines = ["label,text"]
    for number in range(300):
        ends = ("ing", "ed")[number % 2]
        lines.append(f"{ends},it {''.join(rng.choices('abcdefgh', k=rng.randint(4, 7)))}{ends} there")
    path = tmp_path / "table.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    training = ClassifyTrainConfig(epochs=12, lr=0.02, batch_size=16, threads=1)
    found = {}
    for name, sections in (("spelled", SPELLED), ("plain", {"tokenizer": {"kind": "word"}})):
        config = configure(path, **sections, baselines={"kinds": ["majority", "logistic-regression"]})
        found[name] = fit(ClassificationTask(config), run_dir=tmp_path / name, config=training).metrics
    assert found["spelled"]["model"]["accuracy"] > 0.9
    assert found["plain"]["model"]["accuracy"] < 0.7
    rows = [{row["name"]: row["accuracy"] for row in metrics["baselines"]} for metrics in found.values()]
    assert rows[0] == rows[1]  # baselines read the words alone, the same ones
    model = rnnkit.Classifier.load(tmp_path / "spelled")
    assert model.tokenizer is None and model.words is not None
    assert model.predict(["it cabbed there", "it cabbing there"]) == ["ed", "ing"]
    kept = model.evaluation_sample()
    assert kept is not None and (kept[0][0].ndim, kept[0][0].dtype) == (2, np.int64)
    again = model.evaluate(path)
    assert again["model"]["accuracy"] > 0.95
    assert [row["num_sequences"] for row in again["baselines"]] == [300, 300]


def test_a_run_with_characters_is_resumed_to_the_same_bits(table: Path, tmp_path: Path) -> None:
    config = configure(table, **{**SPELLED, "model": {**MODEL, **SPELLED["model"]}})
    whole = fit(ClassificationTask(config), run_dir=tmp_path / "whole", config=SMALL)
    assert whole.metrics["model"]["num_parameters"] > 0
    part = SMALL.model_copy(update={"max_steps": 3})
    fit(ClassificationTask(config), run_dir=tmp_path / "part", config=part)
    fit(ClassificationTask(config), run_dir=tmp_path / "again", config=SMALL)
    assert weights(tmp_path / "whole") == weights(tmp_path / "again") != weights(tmp_path / "part")


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"tokenizer": {"characters": True, "kind": "char"}}, "characters has no effect on tokens that are not words"),
        ({"tokenizer": {"max_characters": 9}}, "max_characters has no effect without characters"),
        (
            {"tokenizer": {"characters": True, "special_tokens": ["<x>"]}},
            "special_tokens has no effect with char",
        ),
        ({"model": {"character_hidden_size": 9}}, "character_hidden_size has no effect without tokenizer.characters"),
        ({"tokenizer": {"characters": True}, "transfer": {"from_run": "r"}}, "reads no spelling; leave characters out"),
        ({"tokenizer": {"characters": True}, "transfer": {"pretrain": ["t"]}}, "reads no spelling"),
    ],
)
def test_what_cannot_go_with_characters_is_refused(table: Path, sections: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        configure(table, **sections)


@pytest.mark.parametrize("sections", [{"tokenizer": {"max_characters": 5}}, {"tokenizer": {"vocab_size": 4}},
                                      {"tokenizer": {"min_count": 30}}, {"tokenizer": {"split_punctuation": True}},
                                      {"model": {"character_embedding_size": 5}},
                                      {"model": {"character_hidden_size": 5}}])  # fmt: skip
def test_every_choice_about_spelling_changes_the_model(tmp_path: Path, sections: dict[str, Any]) -> None:
    path = tmp_path / "table.csv"
    path.write_text("label,text\n" + 20 * "a,one-two three\nb,four seventeen\n", encoding="utf-8")
    shapes = []
    for chosen in ({}, sections):
        given = {key: {**SPELLED.get(key, {}), **chosen.get(key, {})} for key in {*SPELLED, *chosen}}
        task = ClassificationTask(configure(path, **given))
        tensors = {name: tensor.shape for name, tensor in task.build_model().state_dict().items()}
        shapes.append((tensors, [rows.shape for rows in task.sequences.train.sequences]))
    assert shapes[0] != shapes[1]
