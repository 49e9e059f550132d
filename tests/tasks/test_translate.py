"""The translation task: from pairs to a run folder, resumed to the same bits, judged beside its baselines."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

import rnnkit
from rnnkit.api.translation import TranslateTrainConfig
from rnnkit.bundle import read_bundle
from rnnkit.errors import CheckpointError, ConfigError, DataError
from rnnkit.tasks.translate import TranslationTask
from rnnkit.tasks.translate_config import TranslateConfig
from rnnkit.training import fit

MODEL = {"hidden_size": 24, "embedding_size": 12, "input_dropout": 0.0, "output_dropout": 0.0, "label_smoothing": 0.0}
SMALL = TranslateTrainConfig(max_steps=7, batch_tokens=60, threads=1, eval_every_steps=3, checkpoint_every_s=0)


def drawn(count: int, seed: int) -> list[tuple[str, str]]:
    """A count, a colour and a noun in another order, the colour so many times: "two red cat" is "CAT RED RED"."""
    rng = random.Random(seed)
    numbers, pairs = {"one": 1, "two": 2, "three": 3}, []
    for _ in range(count):
        number, colour, noun = rng.choice(list(numbers)), rng.choice("abcdef"), rng.choice("uvwxyz")
        pairs.append((f"{number} {colour} {noun}", " ".join([noun, *[colour] * numbers[number]]).upper()))
    return pairs


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.tsv"
    path.write_text("".join(f"{source}\t{target}\n" for source, target in drawn(240, 0)), encoding="utf-8")
    return path


def configure(file: Path, **sections: Any) -> TranslateConfig:
    given: dict[str, Any] = {
        "data": {"sources": [str(file)], "held_out": 0.3},
        "model": MODEL,
        "baselines": {"kinds": ["copy-source", "nearest-source"]},  # the transformer has tests of its own
    }
    return TranslateConfig(**{key: {**given.get(key, {}), **sections.get(key, {})} for key in {*given, *sections}})


def task(config: TranslateConfig, training: TranslateTrainConfig = SMALL) -> TranslationTask:
    return TranslationTask(config, batch_tokens=training.batch_tokens)


def weights(folder: Path) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in read_bundle(folder).tensors.items()}


@pytest.mark.parametrize("feeds", [False, True])
def test_it_learns_and_stands_beside_its_baselines(file: Path, tmp_path: Path, feeds: bool) -> None:
    config = configure(file, model={"input_feeding": feeds}, scores={"figure": "exact"})
    training = TranslateTrainConfig(epochs=40, lr=0.02, batch_tokens=100, threads=1)
    metrics = fit(task(config, training), run_dir=tmp_path / "run", config=training).metrics
    assert metrics == json.loads((tmp_path / "run" / "metrics.json").read_bytes())
    by_name = {row["name"]: row for row in (metrics["model"], *metrics["baselines"])}
    assert list(by_name) == ["lstm-general", "copy-source", "nearest-source"]
    assert by_name["lstm-general"]["exact"] > 0.6 > by_name["copy-source"]["exact"] == 0
    assert by_name["copy-source"]["p_value"] < 0.05
    model = rnnkit.load(tmp_path / "run")
    assert isinstance(model, rnnkit.Translator)
    again = model.evaluate(file)
    assert [row["name"] for row in again["baselines"]] == ["copy-source", "nearest-source"]
    assert again["model"]["num_outputs"] == 240
    shown = metrics["report"]["shown"][0]
    assert np.shape(shown["attention"]) == (len(shown["output_tokens"]), len(shown["source_tokens"]))
    np.testing.assert_allclose(np.sum(shown["attention"], axis=1), 1, atol=1e-2)
    assert sum(bucket["count"] for bucket in metrics["report"]["by_length"]) == metrics["model"]["num_outputs"]


@torch.no_grad()
def test_the_loss_of_an_evaluation_is_what_the_run_half_says(file: Path, tmp_path: Path) -> None:
    made = task(configure(file))
    model = made.build_model().eval()
    made.save(model, tmp_path / "bundle")
    pairs = made.pairs.valid.pairs
    nats = rnnkit.runtime.EncoderDecoder.load(tmp_path / "bundle").nll(
        [(source, targets[0]) for source, targets in zip(pairs.sources, pairs.targets, strict=True)]
    )
    assert made.evaluate(model, max_tokens=10**6)["nll"] == pytest.approx(np.concatenate(nats).mean(), rel=1e-5)
    some = made.evaluate(model, max_tokens=5)["nll"]
    assert some == pytest.approx(
        np.concatenate(nats[:1] if len(nats[0]) + len(nats[1]) > 5 else nats[:2]).mean(), rel=1e-5
    )


def test_a_run_cut_anywhere_ends_with_the_same_bits(file: Path, tmp_path: Path) -> None:
    config = configure(file, model={"input_dropout": 0.1, "scheduled_sampling": 0.2})
    fit(task(config), run_dir=tmp_path / "whole", config=SMALL)

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
            fit(task(config), run_dir=folder, config=SMALL, observers=[stop_at(step)])
        fit(task(config), run_dir=folder, config=SMALL, resume=True)
        assert weights(folder) == weights(tmp_path / "whole")


def test_resuming_other_pairs_or_another_model_is_refused_by_name(file: Path, tmp_path: Path) -> None:
    fit(task(configure(file)), run_dir=tmp_path / "run", config=SMALL)
    for sections, message in (
        ({"model": {"hidden_size": 18}}, r"model\.hidden_size is 18"),
        ({"tokenizer": {"joint": True}}, r"tokenizer\.joint is True"),
        ({"data": {"split_seed": 1}}, "training pairs"),
    ):
        with pytest.raises(CheckpointError, match=message):
            fit(task(configure(file, **sections)), run_dir=tmp_path / "run", config=SMALL, resume=True)
    with pytest.raises(CheckpointError, match=r"training\.batch_tokens"):
        other = SMALL.model_copy(update={"batch_tokens": 90})
        fit(task(configure(file), other), run_dir=tmp_path / "run", config=other, resume=True)


def test_an_epoch_is_all_targets_and_as_many_updates_as_batches(file: Path) -> None:
    made = task(configure(file))
    train = made.pairs.train
    assert made.epoch.tokens == sum(map(len, train.targets))
    batches = list(made.streams(batch_size=60, window=1, stride=1))
    assert made.epoch.batches == pytest.approx(len(batches), abs=2)
    assert sum(int(batch.weights.sum()) for batch in batches) == made.epoch.tokens


def test_several_references_train_each_and_are_all_right_at_the_end(tmp_path: Path) -> None:
    rows = [{"source": f"w{n}", "target": ["x", f"y{n}"]} for n in range(30)]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    made = task(configure(path))
    assert len(made.pairs.train) == 2 * len({*made.pairs.train.pairs.sources})
    assert all(len(targets) == 2 for targets in made.pairs.test.pairs.targets)


def test_equal_test_sources_are_one_where_that_is_asked_for(file: Path) -> None:
    each, grouped = (task(configure(file, data={"group_test": group})).pairs.test for group in (False, True))
    assert len(grouped) == len(set(each.pairs.sources)) < len(each)


def test_what_a_token_is_follows_from_the_texts(file: Path, tmp_path: Path) -> None:
    texts = task(configure(file)).pairs.texts
    assert (texts.source.kind, texts.target.kind) == ("word", "word")
    path = tmp_path / "spelled.tsv"
    path.write_text("".join(f"word{n}\tW ER D\n" for n in range(20)), encoding="utf-8")
    texts = task(configure(path)).pairs.texts
    assert (texts.source.kind, texts.target.kind) == ("char", "word")


def test_one_long_pair_is_named_or_skipped_and_counted(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "long.tsv"
    path.write_text(file.read_text() + "one cat\t" + "cat " * 10_000 + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"long\.tsv, line 241: the target has 10,000 tokens, at most 400"):
        task(configure(path))
    with pytest.raises(DataError, match=r"\.tsv, line 1: the source has 3 tokens, at most 1"):
        task(configure(file, data={"max_tokens": 1}))
    path.write_text(path.read_text() + "one cat\n" * 3, encoding="utf-8")
    made = task(configure(path, data={"skip_bad": True}))
    assert made.pairs.skipped.total() == 4
    notes: list[str] = []

    def observe(event: dict[str, Any]) -> None:
        if event["event"] == "note":
            notes.append(event["text"])

    metrics = fit(made, run_dir=tmp_path / "run", config=SMALL, observers=[observe]).metrics
    assert sum(metrics["skipped"].values()) == 4
    assert any(text.startswith("4 rows were left out (3 ") for text in notes)


def test_choices_without_effect_are_refused(file: Path) -> None:
    for sections, message in (
        ({"data": {"sources": None}}, "data.sources is missing"),
        ({"tokenizer": {"joint": True, "source_kind": "char"}}, "source_kind has no effect with joint"),
        ({"model": {"shared_embedding": True}}, "set tokenizer.joint"),
    ):
        with pytest.raises(ValidationError, match=message):
            configure(file, **sections)
    for name in ("batch_size", "window", "stride", "ar", "tar"):
        with pytest.raises(ValidationError, match=f"{name} has no effect on pairs"):
            TranslateTrainConfig(**{name: 3})
    with pytest.raises(ConfigError, match="proj_size=4"):
        task(configure(file, model={"proj_size": 4})).build_model()


DATA = Path(os.environ.get("RNNKIT_DATA", Path(__file__).parents[3] / "shared" / "data")) / "translation"


def real(name: str) -> list[str]:
    files = [DATA / "multi30k" / "tok" / f"{name}.lc.norm.tok.{side}" for side in ("de", "en")]
    if not all(file.exists() for file in files):
        pytest.skip(f"{files[0]} is absent; point RNNKIT_DATA at the data folder")
    return [str(file) for file in files]


@pytest.mark.parametrize("kind", ["word", "bpe", "char"])
def test_real_captions_come_back_as_they_are_and_fill_their_batches(kind: str) -> None:
    config = TranslateConfig(**{"data": {"sources": real("val")}, "tokenizer": {"kind": kind, "joint": True}})
    made = TranslationTask(config, batch_tokens=2048)
    train = made.pairs.train
    for targets, ids in zip(train.pairs.targets, train.targets, strict=True):
        assert made.pairs.texts.decode(ids) == targets[0]
    held = room = 0
    for batch in made.streams(batch_size=2048, window=1, stride=1):
        sources, lengths, _ = batch.inputs
        held += int(lengths.sum() + batch.lengths.sum())
        room += sources.size + batch.targets.size
    assert held / room > 0.8


def test_real_sides_that_do_not_pair_up_are_named_by_row() -> None:
    sources = [real("val")[0], real("test_2016_flickr")[1]]
    with pytest.raises(DataError, match=r"val\.lc\.norm\.tok\.de, line 1001: has no partner .*--skip-bad"):
        task(TranslateConfig(**{"data": {"sources": sources}}))
    made = task(TranslateConfig(**{"data": {"sources": sources, "skip_bad": True}}))
    assert sum(len(part) for part in made.pairs.parts().values()) == 1000
