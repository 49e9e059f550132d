"""Classifiers of several labels, and calibrated ones: learned, judged beside baselines, bundled, run without torch."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import rnnkit
from rnnkit import data
from rnnkit.api.classification import ClassifyTrainConfig
from rnnkit.bundle import read_bundle, write_bundle
from rnnkit.cli import main
from rnnkit.errors import ConfigError, DataError, SchemaError
from rnnkit.metrics import score_of
from rnnkit.runtime import Acceptor
from rnnkit.tasks.classify import ClassificationTask
from rnnkit.tasks.classify_config import ClassifyConfig
from rnnkit.training import fit

WORDS = {"comedy": "laugh", "crime": "murder", "love": "kiss"}
MODEL = {"hidden_size": 8, "embedding_size": 6, "readout": ["max", "states"]}
LEARNS = ClassifyTrainConfig(epochs=15, lr=0.03, batch_size=8, threads=1)
QUICK = ClassifyTrainConfig(max_steps=3, batch_size=16, threads=1)
ALL_BASELINES = {"kinds": ["majority", "naive-bayes", "logistic-regression"]}


def rows(count: int, seed: int) -> list[tuple[list[str], str]]:
    """Texts of which single words tell the labels, none to three."""
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        labels = [label for label in WORDS if rng.random() < 0.35]
        words = rng.choices(["a", "film", "about", "the", "one"], k=rng.randint(2, 7)) + [WORDS[one] for one in labels]
        rng.shuffle(words)
        found.append((labels, " ".join(words)))
    return found


@pytest.fixture
def several(tmp_path: Path) -> Path:
    path = tmp_path / "films.jsonl"
    lines = [json.dumps({"label": labels, "text": text}) for labels, text in rows(160, 0)]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def configure(path: Path, **sections: Any) -> ClassifyConfig:
    given: dict[str, Any] = {"data": {"sources": [str(path)]}, "model": MODEL, "baselines": {"kinds": ["majority"]}}
    return ClassifyConfig(**{key: {**given.get(key, {}), **sections.get(key, {})} for key in {*given, *sections}})


def test_it_learns_which_labels_each_text_has(several: Path, tmp_path: Path) -> None:
    task = ClassificationTask(configure(several, baselines={**ALL_BASELINES, "seeds": 2}))
    metrics = fit(task, run_dir=tmp_path / "run", config=LEARNS).metrics
    by_name = {row["name"]: row for row in (metrics["model"], *metrics["baselines"])}
    assert list(by_name) == ["bi-lstm", "majority", "naive-bayes", "logistic-regression"]
    model, majority = by_name["bi-lstm"], by_name["majority"]
    assert min(model["micro_f1"], model["macro_f1"]) > 0.9 > 0.7 > majority["micro_f1"]
    assert model["accuracy"] > 0.75 > 0.4 > majority["accuracy"]
    assert majority["p_value"] < 1e-3
    assert by_name["logistic-regression"]["micro_f1"] > 0.9
    assert model["seeds_mean"] == pytest.approx(np.mean([row["accuracy"] for row in metrics["seeds"]]))
    report = metrics["report"]
    counts = np.array(report["counts"])
    assert counts.shape == (3, 3)
    assert 2 * counts[:, 0].sum() / (2 * counts[:, 0] + counts[:, 1] + counts[:, 2]).sum() == model["micro_f1"]
    assert [point["share"] for point in report["seen"]] == [n / 10 for n in range(1, 11)]
    assert sum(bucket["count"] for bucket in report["by_length"]) == model["num_sequences"]
    assert all(set(row) == {"place", "text", "label", "predicted", "probability"} for row in report["worst"])
    assert metrics["data"]["train"]["per_label"] == dict(
        zip(task.sequences.labels, task.sequences.train.targets.sum(0).tolist(), strict=True)
    )


def test_the_run_half_says_what_the_learn_half_learned(several: Path, tmp_path: Path) -> None:
    for changes in ({}, {"calibrate": True, "thresholds": "per_label"}):
        task = ClassificationTask(configure(several, loss=changes))
        folder = tmp_path / f"run-{len(changes)}"
        metrics = fit(task, run_dir=folder, config=LEARNS).metrics
        model, valid = Acceptor.load(folder), task.sequences.valid
        from rnnkit.models.acceptor import Acceptor as Learned

        bundle = read_bundle(folder)
        learned = Learned.from_export(bundle.config, bundle.tensors).eval()
        inputs, lengths = data.padded(valid.sequences)
        with torch.no_grad():
            wanted = learned.log_prob(learned(torch.from_numpy(inputs), lengths=torch.from_numpy(lengths))[0])[0]
        np.testing.assert_allclose(wanted.numpy(), model.log_probs(valid.sequences), atol=1e-5)
        assert model.is_multi_label and not model.is_causal
        texts = task.sequences.test.examples.inputs
        shares, found = model.predict_proba(texts), model.predict(texts)
        assert model.thresholds is not None
        for of_text, labels in zip(shares, found, strict=True):
            assert labels == [one for one, share, least in zip(model.labels, of_text, model.thresholds, strict=True)
                              if share >= least]  # fmt: skip
        score = score_of(model.log_probs(texts), task.sequences.test.targets, model.thresholds)
        assert score.accuracy == metrics["model"]["accuracy"]
        kept = model.evaluation_sample()
        assert kept is not None and kept[1].shape == (len(texts), 3)
        again = rnnkit.Classifier.load(folder).evaluate(several)
        assert again["model"]["num_sequences"] == 160
        assert again["baselines"][0]["micro_f1"] > 0
    assert len(set(model.thresholds.tolist())) == 3


@pytest.mark.parametrize("kind", ["half", "shared", "per_label"])
def test_thresholds_are_the_ones_asked_for(kind: str, several: Path, tmp_path: Path) -> None:
    task = ClassificationTask(configure(several, loss={"thresholds": kind}))
    metrics = fit(task, run_dir=tmp_path / "run", config=QUICK).metrics
    thresholds = Acceptor.load(tmp_path / "run").thresholds
    if kind == "half":
        assert thresholds is None and "thresholds" not in metrics["baselines"][0]
        return
    assert thresholds is not None and thresholds.shape == (3,)
    assert (len(set(thresholds.tolist())) == 1) == (kind == "shared")
    assert (len(set(metrics["baselines"][0]["thresholds"])) == 1) == (kind == "shared")


def test_a_forward_model_of_several_labels_is_told_step_by_step(several: Path, tmp_path: Path) -> None:
    task = ClassificationTask(configure(several, model={"bidirectional": False}))
    fit(task, run_dir=tmp_path / "run", config=QUICK)
    model = Acceptor.load(tmp_path / "run")
    ids = task.sequences.test.sequences[0]
    state = model.initial_state()
    for token in ids.tolist():
        log_probs, state = model.step(token, state)
    assert np.array_equal(log_probs, model.log_probs([ids]))


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"loss": {"class_weights": "balanced"}}, r"loss\.class_weights is 'balanced', which weighs a sequence by"),
        ({"baselines": {"kinds": ["1nn-dtw"]}}, "1nn-dtw does not read texts of several labels"),
    ],
)
def test_what_does_not_go_with_several_labels_is_refused(sections: dict[str, Any], message: str, several: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        ClassificationTask(configure(several, **sections))


def test_what_does_not_go_with_one_label_is_refused(several: Path, tmp_path: Path) -> None:
    single = tmp_path / "single.csv"
    single.write_text("label,text\n" + "".join(f"{'ab'[n % 2]},t {n}\n" for n in range(20)), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"loss\.thresholds has no effect where every sequence has one label"):
        ClassificationTask(configure(single, loss={"thresholds": "half"}))
    with pytest.raises(ValueError, match="label_separator has no effect without multi_label"):
        configure(single, data={"label_separator": "|"})
    with pytest.raises(DataError, match=r"films\.jsonl, line 1: several labels, trained is on one"):
        ClassificationTask(configure(single, data={"test_sources": [str(several)]}))
    with pytest.raises(DataError, match=r"single\.csv, line 2: one label, trained is on several; .*--multi-label"):
        ClassificationTask(configure(several, data={"test_sources": [str(single)]}))
    fit(ClassificationTask(configure(single)), run_dir=tmp_path / "run", config=QUICK)
    assert main(["eval", str(tmp_path / "run"), str(single), "--label-separator", "|"]) == 2
    bundle = read_bundle(tmp_path / "run")
    labels = json.dumps({"labels": ["a", "b"], "thresholds": [0.5, 0.5]}).encode()
    write_bundle(tmp_path / "run", config=bundle.config, tensors=bundle.tensors,
                 files={**bundle.files, "labels.json": labels})  # fmt: skip
    with pytest.raises(SchemaError, match="thresholds are for a model of several labels"):
        Acceptor.load(tmp_path / "run")


@pytest.mark.parametrize("thresholds", [[0.5], [0.5, 0.5, 2], [0.5, 0.5, "x"], [0.5, 0.5, True], "0.5", None])
def test_thresholds_that_are_none_are_refused(thresholds: Any, several: Path, tmp_path: Path) -> None:
    fit(ClassificationTask(configure(several)), run_dir=tmp_path / "run", config=QUICK)
    bundle = read_bundle(tmp_path / "run")
    labels = json.dumps({"labels": [*WORDS], "thresholds": thresholds}).encode()
    write_bundle(tmp_path / "bad", config=bundle.config, tensors=bundle.tensors,
                 files={**bundle.files, "labels.json": labels})  # fmt: skip
    with pytest.raises(SchemaError, match=r"thresholds must be 3 numbers from 0 to 1"):
        Acceptor.load(tmp_path / "bad")


def test_the_verbs_train_predict_and_judge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "films.csv"
    table.write_text(
        "label,text\n" + "".join(f"{'|'.join(labels)},{text}\n" for labels, text in rows(160, 0)), encoding="utf-8"
    )
    run = str(tmp_path / "run")
    options = ["--hidden-size=8", "--embedding-size=6", "--epochs=15", "--lr=0.03", "--batch-size=8", "--threads=1"]
    given = ["train", "classify", str(table), "--run", run, "--multi-label", "--label-separator", "|", *options]
    assert main(given) == 0
    shown = capsys.readouterr().out
    assert "micro" in shown and "logistic-regression" in shown
    assert {"confusion.png", "behaviour.png", "report.html", "README.md"} <= {p.name for p in Path(run).iterdir()}
    assert "some or none of the labels above" in (Path(run) / "README.md").read_text(encoding="utf-8")
    new = tmp_path / "new.txt"
    new.write_text("a kiss and a laugh\nthe film\n", encoding="utf-8")
    assert main(["predict", run, str(new), "--json"]) == 0
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (first["labels"], second["labels"]) == (["comedy", "love"], [])
    assert first["probabilities"]["crime"] < 0.5 < first["probabilities"]["love"]
    assert main(["predict", run, str(new)]) == 0
    cells = capsys.readouterr().out.splitlines()[0].split("\t")
    assert cells[0] == "comedy,love" and len(cells[1].split(",")) == 2 and cells[2] == "a kiss and a laugh"
    assert main(["eval", run, str(table), "--json"]) == 0  # cut where it was cut in training
    assert json.loads(capsys.readouterr().out)["model"]["num_sequences"] == 160


# ---- calibration -----------------------------------------------------------------------------------------------------


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    """Every fourth label is wrong, so nobody can be sure of any."""
    rng = random.Random(0)
    lines = ["label,text"]
    for number in range(400):
        is_up = number % 2 == 0
        words = [*rng.choices(["one", "two", "three", "four"], k=rng.randint(1, 5)), "rise" if is_up else "fall"]
        lines.append(f"{'up' if is_up != (rng.random() < 0.25) else 'down'},{' '.join(words)}")
    path = tmp_path / "noisy.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_a_temperature_mends_certainty_and_no_decision(noisy: Path, tmp_path: Path) -> None:
    free = {"input_dropout": 0.0, "output_dropout": 0.0, "word_dropout": 0.0, "hidden_size": 16, "label_smoothing": 0.8}
    shown = {}
    for calibrate in (False, True):
        config = configure(noisy, loss={"calibrate": calibrate}, model=free, data={"valid_share": 0.4})
        shown[calibrate] = fit(ClassificationTask(config), run_dir=tmp_path / str(calibrate), config=LEARNS).metrics
    plain, mended = shown[False], shown[True]
    assert mended["model"]["accuracy"] == plain["model"]["accuracy"]
    assert mended["report"]["confusion"] == plain["report"]["confusion"]
    report = mended["report"]
    assert "temperature" not in plain["report"]
    assert report["temperature"] < 0.7  # labels smoothed so far make it shy
    assert report["uncalibrated"]["ece"] == pytest.approx(plain["report"]["ece"], abs=1e-5)
    assert report["uncalibrated"]["nats"] == pytest.approx(plain["model"]["nats"], rel=1e-5)
    assert report["ece"] < report["uncalibrated"]["ece"] - 0.05
    assert mended["model"]["nats"] < plain["model"]["nats"]
    before, after = (read_bundle(tmp_path / str(calibrate)).tensors for calibrate in (False, True))
    for name in before:
        scale = np.float32(report["temperature"]) if name.startswith("head.") else np.float32(1)
        assert np.array_equal(before[name] / scale, after[name])


def test_the_page_shows_the_error_before_and_after(noisy: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"max_steps": 5, "threads": 1, "kinds": ["majority"], "calibrate": True, **MODEL}
    model = rnnkit.Classifier.train(noisy, run=tmp_path / "run", **settings)
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    report = model.metrics["report"]
    assert f"{report['uncalibrated']['ece']:.2%} before, {report['ece']:.2%} after" in page
