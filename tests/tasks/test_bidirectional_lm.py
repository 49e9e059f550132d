"""A run of a bidirectional language model: its table, its bundle, resumed bit for bit, and what has no place in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnnkit
from rnnkit.api.config import build
from rnnkit.api.training import BidirectionalRunConfig, RunConfig
from rnnkit.baselines import TwoSidedNgramModel
from rnnkit.errors import ConfigError, TrainingInterrupted

TEXT = "the cat sat on the mat. a dog lay on the log.\n" * 40
FEW: dict[str, Any] = {"hidden_size": 8, "batch_size": 3, "window": 8, "max_steps": 6, "ngram_order": 3, "threads": 1}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RNNKIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def every_key(value: Any) -> set[str]:
    if isinstance(value, list):
        return set().union(*map(every_key, value)) if value else set()
    return set(value) | set().union(*map(every_key, value.values())) if isinstance(value, dict) and value else set()


def test_a_run_leaves_a_table_of_pseudo_perplexities_beside_n_grams_that_see_both_sides(
    text: Path, tmp_path: Path
) -> None:
    model = rnnkit.BidirectionalLanguageModel.train(text, run=tmp_path / "run", **FEW)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["task"] == "bidirectional-lm"
    rows = [metrics["model"], *metrics["baselines"]]
    assert [row["name"] for row in rows] == ["bidirectional lstm", "unigram", "two-sided-2", "two-sided-3"]
    assert len({row["num_tokens"] for row in rows}) == 1
    for row in rows:
        assert row["pseudo_perplexity"] == pytest.approx(np.exp(row["nats_per_token"]))
        assert row["reset_per_line"]["nll"] != row["nll"] or row["name"] in ("unigram", "two-sided-2")  # see one line
    assert not {"perplexity", "nats_per_character", "bits_per_character", "bits_per_byte"} & every_key(metrics)
    held_out = TEXT[int(0.9 * len(TEXT)) :]
    assert model.score(held_out).nll == pytest.approx(rows[0]["nll"], rel=1e-6)
    ids = model.tokenizer.encode(held_out)
    for order in (2, 3):
        counted = TwoSidedNgramModel.load(tmp_path / "run" / "baselines" / f"two-sided-{order}")
        assert counted.total_nll(ids) == rows[order]["nll"]
    files = {file.name for file in (tmp_path / "run").iterdir()}
    assert {"curve.png", "README.md", "model.safetensors", "run.yaml"} <= files and "samples" not in files
    card = (tmp_path / "run" / "README.md").read_text(encoding="utf-8")
    assert "pseudo-perplexity" in card and "rnnkit sample" not in card
    sample = rnnkit.load(tmp_path / "run").evaluation_sample()  # type: ignore[union-attr]
    assert sample is not None and len(sample[0]) == len(ids)


def test_it_learns_what_one_side_does_not_tell(tmp_path: Path) -> None:
    """A line is u, whether u and v are alike, v: without both of them the middle is a coin."""
    rng = np.random.default_rng(0)
    lines = ["".join(rng.choice(list("ab"), 2)) for _ in range(3000)]
    text = tmp_path / "text.txt"
    text.write_text("".join(f"{u}{'x' if u == v else 'o'}{v}\n" for u, v in lines), encoding="utf-8")
    options = {**FEW, "max_steps": 150, "batch_size": 8, "window": 30, "hidden_size": 16, "ngram_order": 3}
    model = rnnkit.BidirectionalLanguageModel.train(text, run=tmp_path / "run", lr=2e-2, **options)
    ids = model.tokenizer.encode(text.read_text(encoding="utf-8")[:400])
    middle = np.arange(1, 400, 4)
    assert model.nll(ids)[middle].mean() < 0.1 < np.log(2)
    assert model.fill("axa\na", "b\nbxb\n", k=1)[0][0] == "o"


def test_a_resumed_run_is_the_same_run(text: Path, tmp_path: Path) -> None:
    whole = rnnkit.BidirectionalLanguageModel.train(text, run=tmp_path / "whole", checkpoint_every_s=0, **FEW)

    def stop(event: dict[str, Any]) -> None:
        if event["event"] == "checkpoint" and event["step"] == 3:
            raise TrainingInterrupted("enough")

    with pytest.raises(TrainingInterrupted):
        rnnkit.BidirectionalLanguageModel.train(
            text, run=tmp_path / "halves", checkpoint_every_s=0, observers=[stop], **FEW
        )
    again = rnnkit.BidirectionalLanguageModel.train(run=tmp_path / "halves", resume=True)
    assert again.digest == whole.digest


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 4}, "stride 4 has no use for a bidirectional model"),
        ({"kinds": ["kneser-ney", "window-mlp"]}, "window-mlp sees what is before a token alone"),
        ({"sample_tokens": 20}, "sample_tokens is 20, and a bidirectional model cannot write"),
        ({"sample_prompt": "the"}, "sample_prompt has no effect with sample_tokens 0"),
        ({"model.bidirectional": False}, "makes a rnnkit.LanguageModel: train one, or leave it out"),
        ({"ngram_order": 10}, "ngram_order"),
    ],
)
def test_what_has_no_place_in_it_is_refused_by_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(BidirectionalRunConfig, options={**FEW, **options})


def test_one_class_does_not_train_what_the_other_is_for(text: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"makes a rnnkit\.BidirectionalLanguageModel: train that"):
        rnnkit.LanguageModel.train(text, run=tmp_path / "run", **FEW, **{"model.bidirectional": True})
    assert not (tmp_path / "run").exists()
    task = build(RunConfig, options={"data.sources": [str(text)], "model.bidirectional": True}).make_task()
    assert task.name == "bidirectional lstm"
    assert build(BidirectionalRunConfig, options={}).baselines.ngram_order == 9
    assert build(RunConfig, options={}).baselines.ngram_order == 6


@pytest.mark.parametrize(
    "change",
    [{"tied": True}, {"num_layers": 2}, {"cell": "gru_after"}, {"word_dropout": 0.2}, {"ar": 1.0}, {"tar": 1.0}],
)
def test_an_option_changes_what_is_learned(change: dict[str, Any], text: Path, tmp_path: Path) -> None:
    plain, changed = (
        rnnkit.BidirectionalLanguageModel.train(text, run=tmp_path / str(n), **{**FEW, "kinds": ["unigram"], **extra},
                                                **{"baselines.ngram_order": 6}).digest
        for n, extra in enumerate(({"ngram_order": 6}, {"ngram_order": 6, **change}))
    )  # fmt: skip
    assert plain != changed
