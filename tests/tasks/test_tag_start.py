"""A tagger that starts from a language model: its weights and words, how its parts learn, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

import rnnkit
from rnnkit.api.classification import ClassifyTrainConfig
from rnnkit.bundle import read_bundle
from rnnkit.errors import CheckpointError, ConfigError
from rnnkit.tasks.tag import TaggingTask
from rnnkit.tasks.tag_config import TagConfig
from rnnkit.text.word import WordTokenizer
from rnnkit.training import fit

LM = {"kind": "word", "hidden_size": 6, "embedding_size": 4, "max_steps": 2, "threads": 1,
      "baselines.kinds": ["unigram"], "sample_tokens": 0, "batch_size": 4}  # fmt: skip
SMALL = ClassifyTrainConfig(max_steps=6, batch_size=16, threads=1, eval_every_steps=6, weight_decay=0.0)
BESIDE: dict[str, Any] = {
    "words": {"features": ["shape"], "max_characters": 4},
    "model": {"character_embedding_size": 3, "character_hidden_size": 5, "feature_embedding_size": 2},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("start")
    lines = [f"We saw prices {word} on day {n % 7}" for n in range(60) for word in ("rise", "fall")]
    (folder / "lm.txt").write_text("\n".join(lines), encoding="utf-8")
    rows = [f"Prices N\n{('rise', 'sank')[n % 2]} V\non P\n{('sea', 'land')[n % 3 > 0]} N\n" for n in range(60)]
    (folder / "tags.conll").write_text("\n".join(rows), encoding="utf-8")
    rnnkit.LanguageModel.train(folder / "lm.txt", run=folder / "lm", **LM)
    rnnkit.LanguageModel.train(folder / "lm.txt", run=folder / "deep", **{**LM, "num_layers": 2})
    rnnkit.LanguageModel.train(folder / "lm.txt", run=folder / "letters", **{**LM, "kind": "char"})
    rnnkit.BidirectionalLanguageModel.train(folder / "lm.txt", run=folder / "both", **LM)
    return folder


def configure(files: Path, run: str = "lm", **sections: dict[str, Any]) -> TagConfig:
    given: dict[str, Any] = {
        "data": {"sources": [str(files / "tags.conll")]},
        "baselines": {"kinds": ["most-frequent-tag"]},
        "words": {"characters": False},
        "transfer": {"from_run": str(files / run)},
    }
    return TagConfig(**{key: {**given.get(key, {}), **sections.get(key, {})} for key in {*given, *sections}})


def parameters(task: TaggingTask) -> dict[str, np.ndarray]:
    torch.manual_seed(SMALL.seed)
    return {name: p.detach().numpy().copy() for name, p in task.build_model().named_parameters()}


def test_layers_and_words_are_the_language_models(files: Path) -> None:
    bundle = read_bundle(files / "lm")
    task = TaggingTask(configure(files))
    own, words, theirs = parameters(task), task.sentences.words, bundle.tokenizer
    assert isinstance(theirs, WordTokenizer)
    assert (set(words.words), words.lowercase) == ({*theirs.words} - {"\n", "<unk>"}, False)
    ids = words.encode(["We", "we", "rise", "sank"])
    assert ids[1] == ids[3] == words.unk_id
    for word, row in zip(("We", "<unk>", "rise", "<unk>"), ids, strict=True):
        table = bundle.tensors["embedding.weight"][theirs.words.index(word)]
        assert np.array_equal(own["embedding.weight"][row], table)
    names = [name for name in bundle.tensors if name.startswith("recurrent.")]
    assert all(np.array_equal(own[name], bundle.tensors[name]) for name in names)
    assert {name for name in own if name.startswith("recurrent.")} == {*names, *(f"{name}_reverse" for name in names)}


def test_features_and_characters_stand_beside_the_language_models_input(files: Path) -> None:
    bundle = read_bundle(files / "lm")
    config = configure(files, **BESIDE | {"words": {**BESIDE["words"], "characters": True}})
    own = parameters(TaggingTask(config))
    weight = own["recurrent.weight_ih_l0"]
    assert weight.shape == (24, 4 + 2 + 2 * 5)
    assert np.array_equal(weight[:, :4], bundle.tensors["recurrent.weight_ih_l0"])
    assert np.abs(weight[:, 4:]).min() > 0


def test_layers_that_read_backwards_start_from_a_bidirectional_language_model(files: Path) -> None:
    bundle = read_bundle(files / "both")
    own = parameters(
        TaggingTask(configure(files, "both", **BESIDE | {"words": {"characters": True, **BESIDE["words"]}}))
    )
    assert np.array_equal(own["recurrent.weight_hh_l0_reverse"], bundle.tensors["reverse.weight_hh_l0"])
    weight, theirs = own["recurrent.weight_ih_l0_reverse"], bundle.tensors["reverse.weight_ih_l0"]
    assert np.array_equal(weight[:, :4], theirs)
    assert weight.shape[1] > 4


@pytest.mark.parametrize(
    ("unfreeze_every", "moved"),
    [(9.0, {"head", "characters", "features", "crf"}),
     (0.0, {"head", "characters", "features", "crf", "recurrent", "embedding"})],
)  # fmt: skip
def test_what_is_frozen_stays_and_what_is_new_learns(
    unfreeze_every: float, moved: set[str], files: Path, tmp_path: Path
) -> None:
    sections = BESIDE | {
        "words": {**BESIDE["words"], "characters": True},
        "model": {**BESIDE["model"], "bidirectional": False, "crf": True},
        "transfer": {"unfreeze_every": unfreeze_every},
    }
    task = TaggingTask(configure(files, **sections))
    before = parameters(task)
    fit(task, run_dir=tmp_path / "run", config=SMALL)
    after = read_bundle(tmp_path / "run").tensors
    assert {name.partition(".")[0] for name in before if not np.array_equal(before[name], after[name])} == moved
    model = rnnkit.load(tmp_path / "run")
    assert isinstance(model, rnnkit.Tagger)
    assert len(model.predict([["Prices", "fall"]])[0]) == 2


@pytest.mark.parametrize("transfer", [{"from_run": "lm"}, {"pretrain": ["lm.txt"]}])
def test_the_case_of_words_is_the_language_models(transfer: dict[str, Any], files: Path) -> None:
    with pytest.raises(ValidationError, match=r"words\.lowercase has no effect with from_run or pretrain"):
        TagConfig.model_validate(
            {"data": {"sources": [str(files / "tags.conll")]}, "words": {"lowercase": False}, "transfer": transfer}
        )


@pytest.mark.parametrize(
    ("run", "sections", "message"),
    [
        ("deep", {}, r"deep has 2 layers, .* model\.bidirectional=false"),
        ("lm", {"model": {"hidden_size": 9}}, r"model\.hidden_size is 9, that of .*lm is 6"),
        ("lm", {"words": {"min_count": 2}}, r"words\.min_count is 2, but .*lm has the words"),
        ("letters", {}, r"letters reads tokens of kind 'char'; a tagger needs one of kind word"),
    ],
)
def test_what_the_language_model_has_decided_cannot_be_chosen(
    run: str, sections: dict[str, Any], message: str, files: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        TaggingTask(configure(files, run, **sections))


def test_a_tagger_is_no_start_and_another_language_model_none_to_resume_from(files: Path, tmp_path: Path) -> None:
    fit(TaggingTask(configure(files)), run_dir=tmp_path / "run", config=SMALL)
    with pytest.raises(ConfigError, match="run is of kind transducer; a tagger starts from a language model"):
        TaggingTask(configure(files, transfer={"from_run": str(tmp_path / "run")}))
    task = TaggingTask(configure(files, transfer={"rate_decay": 3.0}))
    with pytest.raises(CheckpointError, match=r"transfer\.rate_decay"):
        fit(task, run_dir=tmp_path / "run", config=SMALL, resume=True)
    with pytest.raises(ValueError, match="unfreeze_every has no effect without from_run"):
        configure(files, transfer={"from_run": None, "unfreeze_every": 2.0})


def test_both_steps_in_one_and_resumed(files: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {"max_steps": 3, "batch_size": 8, "threads": 1, "hidden_size": 6, "embedding_size": 4,
                             "kinds": ["most-frequent-tag"], "min_count": 2}  # fmt: skip
    run = tmp_path / "run"
    model = rnnkit.Tagger.train(
        files / "tags.conll", run=run, pretrain=[str(files / "lm.txt")], pretrain_epochs=0.5, **given
    )
    first = rnnkit.BidirectionalLanguageModel.load(tmp_path / "run-lm")
    assert first.metrics["config"]["data"]["by_line"] is True
    assert isinstance(first.tokenizer, WordTokenizer)
    assert {"saw", "sank"} < {*first.tokenizer.words}  # of the other text, and of the sentences
    assert model.words is not None
    assert {*model.words.words} == {*first.tokenizer.words} - {"\n", "<unk>"}
    assert model.metrics["config"]["transfer"]["from_run"] == str(tmp_path / "run-lm")
    assert rnnkit.Tagger.train(run=run, resume=True).digest == model.digest


def test_two_steps_are_refused_before_the_first(files: Path, tmp_path: Path) -> None:
    text = [str(files / "lm.txt")]
    with pytest.raises(ConfigError, match="2 layers, and those above the first read one direction alone"):
        rnnkit.Tagger.train(files / "tags.conll", run=tmp_path / "run", pretrain=text, num_layers=2)
    assert not (tmp_path / "run-lm").exists()
    with pytest.raises(ConfigError, match="pretrain is a step of its own"):
        TaggingTask(configure(files, transfer={"from_run": None, "pretrain": text}))
