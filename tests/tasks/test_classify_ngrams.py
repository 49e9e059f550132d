"""N-grams beside a classifier's layers: counted in the training part, weighed on the validation part, in the table."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

import rnnkit
from rnnkit.api.classification import ClassifyTrainConfig
from rnnkit.api.classification_report import model_card
from rnnkit.baselines import BagOfNgrams
from rnnkit.bundle import read_bundle
from rnnkit.errors import ArgumentError, CheckpointError, ConfigError
from rnnkit.tasks.classify import ClassificationTask
from rnnkit.tasks.classify_config import ClassifyConfig
from rnnkit.tasks.grammar_config import GrammarConfig
from rnnkit.training import fit

MODEL = {"hidden_size": 8, "embedding_size": 6}
QUICK = ClassifyTrainConfig(max_steps=6, batch_size=16, threads=1, eval_every_steps=3)

LEARNS = ClassifyTrainConfig(max_steps=40, lr=0.02, batch_size=16, threads=1)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Texts in which the pair "not good" and the single "bad" tell one label, most of the time."""
    rng = random.Random(0)
    lines = ["label,text"]
    for number in range(240):
        label = ("up", "down")[number % 2]
        said = rng.choice(["good", "not bad"] if label == "up" else ["bad", "not good"])
        noise = rng.choices(["it", "is", "a", "film", f"w{number}"], k=rng.randint(0, 8))
        if rng.random() < 0.1:
            label = "up"
        lines.append(f"{label},{' '.join([*noise[:3], said, *noise[3:]])}")
    path = tmp_path / "table.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def configure(path: Path, **sections: Any) -> ClassifyConfig:
    given: dict[str, Any] = {"data": {"sources": [str(path)]}, "model": MODEL, "baselines": {"kinds": ["majority"]}}
    return ClassifyConfig(**{key: {**given.get(key, {}), **sections.get(key, {})} for key in {*given, *sections}})


def train(path: Path, run: Path, *, training: ClassifyTrainConfig = QUICK, **sections: Any) -> dict[str, Any]:
    return fit(ClassificationTask(configure(path, **sections)), run_dir=run, config=training).metrics


def log_softmax(scores: np.ndarray) -> np.ndarray:
    return scores - np.logaddexp.reduce(scores, axis=1)[:, None]


@pytest.mark.parametrize("kind", ["word", "char"])
def test_the_bundle_is_the_network_and_the_bag_each_with_a_weight(kind: str, table: Path, tmp_path: Path) -> None:
    """The weights are those of the fewest nats on the validation part, by a coarse look around them."""
    sections: dict[str, Any] = {"tokenizer": {"kind": kind}, "data": {"valid_share": 0.4}}
    metrics = train(table, tmp_path / "run", model={**MODEL, "ngrams": 2}, training=LEARNS, **sections)
    train(table, tmp_path / "without", model=MODEL, training=LEARNS, **sections)
    assert metrics["model"]["name"] == "bi-lstm+ngrams"
    assert [row["name"] for row in metrics["baselines"]] == ["majority", "ngrams", "layers"]
    model, plain = (rnnkit.Classifier.load(tmp_path / name) for name in ("run", "without"))
    bag = BagOfNgrams.load(tmp_path / "run" / "baselines" / "ngrams")
    assert (bag.order, bag.with_ends) == (2, kind == "char")
    scaled = model._tensors["head.weight"] / plain._tensors["head.weight"]
    own = float(np.median(scaled))
    np.testing.assert_allclose(np.full_like(scaled, own), scaled, rtol=1e-4)
    shared = [name for name in plain._tensors if not name.startswith("head.")]
    assert all(np.array_equal(plain._tensors[name], model._tensors[name]) for name in shared)
    is_end = bag.grams == bag.vocab_size + 1
    counted = np.abs(bag.weight[~is_end]) > 1e-3
    its = float(np.median(model._tensors["ngrams.weight"][counted] / bag.weight[~is_end][counted]))
    assert own > 0 and its > 0 and is_end.sum() == bag.with_ends
    task = ClassificationTask(configure(table, **sections))
    valid, test = task.sequences.valid, task.sequences.test

    def mixed(a: float, b: float, sequences: list[np.ndarray]) -> np.ndarray:
        return log_softmax(a * plain.log_probs(sequences) + b * bag.scores(sequences))

    np.testing.assert_allclose(mixed(own, its, test.sequences), model.log_probs(test.sequences), atol=1e-4)

    def nats(a: float, b: float) -> float:
        return -mixed(a, b, valid.sequences)[np.arange(len(valid)), valid.targets].mean()

    best = nats(own, its)
    for a, b in ((1.2, 1.2), (0.8, 0.8), (1.3, 0.7), (0.7, 1.3)):
        assert best < nats(own * a, its * b) + 1e-4


def test_only_training_texts_are_counted_and_words_speak_by_their_spelling(tmp_path: Path) -> None:
    """Every text's words are there once, so that only what they end in tells the label; ids are those of words that a
    language model of other texts knows, too.
    """
    rng = random.Random(0)
    made = [("".join(rng.choices("abcdefgh", k=6)), ("ing", "ed")[number % 2]) for number in range(200)]
    (tmp_path / "table.csv").write_text("label,text\n" + "\n".join(f"{e},it {w}{e}" for w, e in made))
    (tmp_path / "other.txt").write_text("\n".join(f"it {w}{e}" for w, e in made))
    lm = {"kind": "word", "max_steps": 2, "sample_tokens": 0, "baselines.kinds": ["unigram"], "threads": 1}
    rnnkit.LanguageModel.train(tmp_path / "other.txt", run=tmp_path / "lm", hidden_size=8, embedding_size=6, **lm)
    sections: dict[str, Any] = {"transfer": {"from_run": str(tmp_path / "lm")}}
    shape = {"model": {"ngrams": 1, "bidirectional": False}}
    config = ClassifyConfig(data={"sources": [str(tmp_path / "table.csv")]}, **sections, **shape)  # type: ignore[arg-type]
    task = ClassificationTask(config)
    term = task._ngrams
    assert term is not None
    test = task.sequences.test
    assert (term.bag.scores(test.sequences).argmax(1) == test.targets).mean() > 0.85
    counts = BagOfNgrams.fit("naive-bayes", task.sequences.train.sequences, task.sequences.train.targets, num_labels=2,
                             vocab_size=task.sequences.vocab_size, order=1)  # fmt: skip
    assert len(counts.grams) < len(term.bag.grams) == task.sequences.vocab_size
    unknown = task.sequences.spelled_words
    assert unknown is not None and unknown.count(None) == 2


def test_each_seed_has_its_own_weights_and_the_table_their_mean(table: Path, tmp_path: Path) -> None:
    sections: dict[str, Any] = {"model": {**MODEL, "ngrams": 2}, "data": {"valid_share": 0.4}}
    metrics = train(table, tmp_path / "run", training=LEARNS, **sections, baselines={"seeds": 2})
    first, second = (read_bundle(tmp_path / "run" / name).tensors for name in (".", "baselines/seed-1"))
    assert not np.array_equal(first["head.weight"], second["head.weight"])
    is_there = first["ngrams.weight"] != 0
    ratio = (second["ngrams.weight"][is_there] / first["ngrams.weight"][is_there]).reshape(-1, 1)
    np.testing.assert_allclose(np.full_like(ratio, ratio[0, 0]), ratio, rtol=1e-4)
    assert ratio[0, 0] != 1
    alone = train(table, tmp_path / "alone", training=LEARNS.model_copy(update={"seed": 1}), **sections)
    assert metrics["seeds"][1]["nats"] == alone["model"]["nats"]
    layers = [of["baselines"][-1] for of in (metrics, alone)]
    assert [row["name"] for row in layers] == ["layers", "layers"] and "seeds_mean" not in layers[1]
    assert layers[0]["seeds_mean"] == pytest.approx((layers[0]["accuracy"] + layers[1]["accuracy"]) / 2)


def test_the_layers_alone_are_the_run_without_ngrams(table: Path, tmp_path: Path) -> None:
    metrics = train(table, tmp_path / "run", model={**MODEL, "ngrams": 2})
    plain = train(table, tmp_path / "without", model=MODEL)
    assert "decided by max, mean and n-grams of up to 2 tokens; " in model_card(metrics, name="run")
    assert "n-grams" not in model_card(plain, name="without").partition("## Measured")[0]
    assert metrics["baselines"][-1]["nats"] == plain["model"]["nats"]
    assert metrics["baselines"][-1]["num_parameters"] == plain["model"]["num_parameters"]
    assert read_bundle(tmp_path / "run" / "baselines" / "layers").digest == read_bundle(tmp_path / "without").digest


def test_eval_judges_the_bag_alone_too_and_the_longest_ngram_counts(table: Path, tmp_path: Path) -> None:
    """Labels follow pairs, which single words do not tell."""
    training = ClassifyTrainConfig(max_steps=1, batch_size=16, threads=1)
    for order in (1, 2):
        train(table, tmp_path / str(order), model={**MODEL, "ngrams": order}, training=training)
    found = [rnnkit.Classifier.load(tmp_path / str(order)).evaluate(table) for order in (1, 2)]
    single, pairs = (of["model"]["accuracy"] for of in found)
    assert pairs > 0.9 > single + 0.02
    assert [row["name"] for row in found[1]["baselines"]] == ["majority", "ngrams", "layers"]
    assert found[1]["baselines"][1]["accuracy"] > 0.9


def test_a_resumed_run_ends_with_the_same_bits_and_another_order_is_refused(table: Path, tmp_path: Path) -> None:
    config = configure(table, model={**MODEL, "ngrams": 2})
    often = QUICK.model_copy(update={"checkpoint_every_s": 0.0})
    fit(ClassificationTask(config), run_dir=tmp_path / "whole", config=often)

    class Stop(Exception):
        pass

    def stop(event: dict[str, Any]) -> None:
        if event["event"] == "checkpoint" and event["step"] == 4:
            raise Stop

    with pytest.raises(Stop):
        fit(ClassificationTask(config), run_dir=tmp_path / "cut", config=often, observers=[stop])
    other = ClassificationTask(configure(table, model={**MODEL, "ngrams": 1}))
    with pytest.raises(CheckpointError, match=r"model\.ngrams is 1, the run .* was trained with 2"):
        fit(other, run_dir=tmp_path / "cut", config=often, resume=True)
    fit(ClassificationTask(config), run_dir=tmp_path / "cut", config=often, resume=True)
    assert read_bundle(tmp_path / "whole").digest == read_bundle(tmp_path / "cut").digest


def test_several_labels_and_spelling_have_ngrams_too(table: Path, tmp_path: Path) -> None:
    rows = [line.split(",", 1) for line in table.read_text(encoding="utf-8").splitlines()[1:]]
    several = tmp_path / "several.jsonl"
    lines = [json.dumps({"text": text, "label": [label, *["not"] * ("not" in text)]}) for label, text in rows]
    several.write_text("\n".join(lines), encoding="utf-8")
    metrics = train(several, tmp_path / "several", model={**MODEL, "ngrams": 2})
    bag = BagOfNgrams.load(tmp_path / "several" / "baselines" / "ngrams")
    assert bag.has_several and bag.weight.shape[1] == 3
    assert metrics["model"]["micro_f1"] > 0.9
    assert "thresholds" in metrics["baselines"][1]
    model = rnnkit.Classifier.load(tmp_path / "several")
    assert model.predict(["a film not good"])[0] == ["down", "not"]
    spelled = train(table, tmp_path / "spelled", model={**MODEL, "ngrams": 2}, tokenizer={"characters": True})
    assert spelled["model"]["accuracy"] > 0.8
    model = rnnkit.Classifier.load(tmp_path / "spelled")
    assert model.words is not None
    plain = model.log_probs(["a film not good"])
    assert not np.array_equal(plain, model.log_probs(["a not film good"]))
    again = model.evaluate(table)
    assert [row["name"] for row in again["baselines"]] == ["majority", "ngrams", "layers"]


def test_a_forward_model_is_told_word_by_word(table: Path, tmp_path: Path) -> None:
    train(table, tmp_path / "run", model={**MODEL, "ngrams": 2, "bidirectional": False})
    model = rnnkit.Classifier.load(tmp_path / "run")
    assert model.tokenizer is not None
    state = None
    for token in model.tokenizer.encode("a film not good"):
        log_probs, state = model.step(int(token), state)
    assert np.array_equal(log_probs, model.log_probs(["a film not good"]))


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"model": {"ngrams": -1}}, "greater than or equal to 0"),
        ({"model": {"ngrams": 9}}, "less than or equal to 8"),
        ({"model": {"ngrams": 2}, "loss": {"calibrate": True}}, r"loss\.calibrate has no effect with model\.ngrams"),
        ({"model": {"ngrams": 2}, "loss": {"class_weights": "balanced"}}, "n-grams are fitted on texts that all count"),
    ],
)
def test_what_cannot_go_with_ngrams_is_refused(table: Path, sections: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        configure(table, **sections)


def test_a_grammar_and_series_have_none(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"model\.ngrams is of train classify"):
        GrammarConfig.model_validate({"data": {"sources": ["tomita-1"]}, "model": {"ngrams": 2}})
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "series.npz", X=rng.normal(size=(40, 5, 2)), y=np.array(["a", "b"] * 20))
    with pytest.raises(ConfigError, match=r"model\.ngrams has no effect on series of numbers"):
        ClassificationTask(ClassifyConfig(data={"sources": [str(tmp_path / "series.npz")]}, model={"ngrams": 2}))  # type: ignore


@pytest.mark.parametrize(
    "sections",
    [{"model": {**MODEL, "ngrams": 8}}, {"baselines": {"kinds": ["naive-bayes"], "ngram_order": 8}}],
    ids=["the model's", "a baseline's"],
)
def test_ngrams_that_do_not_fit_are_refused_before_the_training(table: Path, sections: dict[str, Any]) -> None:
    words = " ".join(f"v{number}" for number in range(300))
    table.write_text(table.read_text(encoding="utf-8") + f"\nup,{words}" * 9, encoding="utf-8")
    with pytest.raises(ArgumentError, match=r"8-grams over \d+ tokens do not fit 64 bits"):
        ClassificationTask(configure(table, **sections))
