"""A classifier that starts from a language model: its weights, how its parts learn, refusals, both steps at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import rnnkit
from rnnkit.api.classification import ClassifyRunConfig, ClassifyTrainConfig
from rnnkit.bundle import read_bundle
from rnnkit.errors import CheckpointError, ConfigError
from rnnkit.tasks.classify import ClassificationTask
from rnnkit.tasks.classify_config import ClassifyConfig
from rnnkit.training import fit

LM = {"kind": "word", "hidden_size": 6, "embedding_size": 4, "num_layers": 2, "max_steps": 2, "threads": 1,
      "baselines.kinds": ["unigram"], "sample_tokens": 0, "batch_size": 4}  # fmt: skip
SMALL = ClassifyTrainConfig(max_steps=6, batch_size=16, threads=1, eval_every_steps=6, weight_decay=0.0)
WORDS = ("rise", "fall")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("start")
    lines = [f"we saw prices {word} on day {n % 7}" for n in range(60) for word in WORDS]
    (folder / "lm.txt").write_text("\n".join(lines), encoding="utf-8")
    rows = [f"{('up', 'down')[n % 2]},prices {WORDS[n % 2]} on {('sea', 'land')[n % 3 > 0]}" for n in range(60)]
    (folder / "table.csv").write_text("\n".join(["label,text", *rows]), encoding="utf-8")
    rnnkit.LanguageModel.train(folder / "lm.txt", run=folder / "lm", **LM)
    rnnkit.LanguageModel.train(folder / "lm.txt", run=folder / "shallow", **{**LM, "num_layers": 1})
    rnnkit.BidirectionalLanguageModel.train(folder / "lm.txt", run=folder / "both", **{**LM, "num_layers": 1})
    return folder


def configure(files: Path, run: str = "lm", **sections: dict[str, Any]) -> ClassifyConfig:
    given: dict[str, Any] = {
        "data": {"sources": [str(files / "table.csv")]},
        "model": {"bidirectional": False},
        "baselines": {"kinds": ["majority"]},
        "transfer": {"from_run": str(files / run)},
    }
    return ClassifyConfig(**{key: {**given.get(key, {}), **sections.get(key, {})} for key in {*given, *sections}})


@pytest.mark.parametrize("run", ["lm", "shallow"])
def test_layers_table_and_tokeniser_are_the_language_models(run: str, files: Path) -> None:
    bundle = read_bundle(files / run)
    task = ClassificationTask(configure(files, run, model={"bidirectional": run == "shallow"}))
    model = task.build_model()
    own = {name: p.detach().numpy() for name, p in model.named_parameters()}
    theirs = {name for name in bundle.tensors if name.startswith(("recurrent.", "embedding."))}
    assert all(np.array_equal(own[name], bundle.tensors[name]) for name in theirs)
    assert {name.partition(".")[0] for name in own.keys() - theirs} == {"head"} | (
        {"recurrent"} if run != "lm" else set()
    )
    assert (task.sequences.tokenizer, task.config.model.hidden_size) == (bundle.tokenizer, 6)


@pytest.mark.parametrize("bidirectional", [True, False])
def test_both_directions_start_from_a_bidirectional_language_model(bidirectional: bool, files: Path) -> None:
    bundle = read_bundle(files / "both")
    task = ClassificationTask(configure(files, "both", model={"bidirectional": bidirectional}))
    own = {name: p.detach().numpy() for name, p in task.build_model().named_parameters()}
    taken = {name: name for name in bundle.tensors if name.startswith(("recurrent.", "embedding."))}
    if bidirectional:
        backwards = [name for name in bundle.tensors if name.startswith("reverse.")]
        assert len(backwards) == 4
        taken |= {f"recurrent.{name.partition('.')[2]}_reverse": name for name in backwards}
    assert all(np.array_equal(own[ours], bundle.tensors[name]) for ours, name in taken.items())
    assert own.keys() - taken == {"head.weight", "head.bias"}
    assert task.start is not None
    rates = {name: task.start.rate_of(name, 9.0) for name in own if name.startswith("recurrent.")}
    assert set(rates.values()) == {1 / 2.6}  # a start, not something new, in either direction


def test_the_head_learns_first_and_each_layer_below_it_later_and_slower(files: Path) -> None:
    start = ClassificationTask(configure(files, transfer={"rate_decay": 2.0, "unfreeze_every": 0.5})).start
    assert start is not None
    names = ("head.weight", "recurrent.weight_hh_l1", "recurrent.bias_ih_l0", "embedding.weight")
    rates = {epochs: [start.rate_of(name, epochs) for name in names] for epochs in (0.0, 0.5, 1.2, 1.5)}
    assert rates == {
        0.0: [1.0, 0.0, 0.0, 0.0], 0.5: [1.0, 0.5, 0.0, 0.0], 1.2: [1.0, 0.5, 0.25, 0.0], 1.5: [1.0, 0.5, 0.25, 0.125]
    }  # fmt: skip


@pytest.mark.parametrize(("unfreeze_every", "moved"), [(9.0, {"head"}), (0.0, {"head", "recurrent", "embedding"})])
def test_what_is_frozen_stays(unfreeze_every: float, moved: set[str], files: Path, tmp_path: Path) -> None:
    task = ClassificationTask(configure(files, transfer={"unfreeze_every": unfreeze_every}))
    torch.manual_seed(SMALL.seed)
    before = {name: p.detach().numpy().copy() for name, p in task.build_model().named_parameters()}
    fit(task, run_dir=tmp_path / "run", config=SMALL)
    after = read_bundle(tmp_path / "run").tensors
    assert {name.partition(".")[0] for name in before if not np.array_equal(before[name], after[name])} == moved


def test_a_slower_rate_moves_a_parameter_by_that_much_less(files: Path, tmp_path: Path) -> None:
    """Of one step of AdamW, whose length is the rate."""
    once = SMALL.model_copy(update={"max_steps": 1, "eval_every_steps": 1, "warmup_steps": 0, "clip_norm": None})
    moved = {}
    for decay in (1.0, 10.0):
        task = ClassificationTask(configure(files, transfer={"unfreeze_every": 0.0, "rate_decay": decay}))
        fit(task, run_dir=tmp_path / str(decay), config=once)
        assert task.start is not None
        after = read_bundle(tmp_path / str(decay)).tensors["recurrent.weight_hh_l0"]
        moved[decay] = np.abs(after - task.start.bundle.tensors["recurrent.weight_hh_l0"]).max()
    assert moved[1.0] / moved[10.0] == pytest.approx(100, rel=0.02)


@pytest.mark.parametrize(
    ("run", "sections", "message"),
    [
        ("lm", {"model": {"bidirectional": True}}, r"lm has 2 layers, .* model\.bidirectional=false"),
        ("lm", {"model": {"bidirectional": False, "hidden_size": 9}}, r"model\.hidden_size is 9, that of .*lm is 6"),
        ("lm", {"tokenizer": {"kind": "char"}}, r"tokenizer\.kind is 'char', that of .*lm is 'word'"),
        ("lm", {"tokenizer": {"min_count": 2}}, r"tokenizer\.min_count is 2"),
    ],
)
def test_what_the_language_model_has_decided_cannot_be_chosen(
    run: str, sections: dict[str, Any], message: str, files: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        ClassificationTask(configure(files, run, **sections))


def test_another_language_model_is_no_start_to_resume_from(files: Path, tmp_path: Path) -> None:
    fit(ClassificationTask(configure(files, "shallow")), run_dir=tmp_path / "run", config=SMALL)
    task = ClassificationTask(configure(files, "shallow", transfer={"rate_decay": 3.0}))
    with pytest.raises(CheckpointError, match=r"transfer\.rate_decay"):
        fit(task, run_dir=tmp_path / "run", config=SMALL, resume=True)


def test_both_steps_in_one_and_resumed(files: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = {
        "hidden_size": 6,
        "embedding_size": 4,
        "max_steps": 4,
        "batch_size": 16,
        "threads": 1,
        "tokenizer.kind": "word",
    }
    given: Any = {
        **options,
        "pretrain": [str(files / "lm.txt")],
        "pretrain_epochs": 0.5,
        "baselines.kinds": ["majority"],
    }
    model = rnnkit.Classifier.train(files / "table.csv", run=run, **given)
    language_model = rnnkit.BidirectionalLanguageModel.load(tmp_path / "run-lm")
    assert language_model.metrics["config"]["data"]["by_line"] is True
    tokenizer = language_model.tokenizer
    assert tokenizer.unk_id not in tokenizer.encode("sea saw")  # a word of ours, and one of the other text
    assert model.metrics["config"]["transfer"]["from_run"] == str(tmp_path / "run-lm")
    assert model.tokenizer is not None and model.tokenizer.digest() == tokenizer.digest()
    again = rnnkit.Classifier.train(run=run, resume=True)
    assert again.digest == model.digest


def test_one_start_is_enough(files: Path, tmp_path: Path) -> None:
    both = {"from_run": str(files / "lm"), "pretrain": [str(files / "lm.txt")]}
    with pytest.raises(ConfigError, match="give one of them"):
        rnnkit.Classifier.train(files / "table.csv", run=tmp_path / "run", **both)
    with pytest.raises(ConfigError, match="pretrain is a step of its own"):
        ClassificationTask(configure(files, transfer={"from_run": None, "pretrain": ["x"]}))
    with pytest.raises(ValueError, match="rate_decay has no effect without from_run or pretrain"):
        ClassifyRunConfig(data={"sources": ["x"]}, transfer={"rate_decay": 2.0})  # type: ignore[arg-type]
