"""What stands word for word in the training text, told of a run's own samples."""

import json
from pathlib import Path

import numpy as np
import pytest
from command import TEXT

from rnnkit import api
from rnnkit.api.memorized import copied, said_of
from rnnkit.errors import ArgumentError


def test_a_piece_of_the_training_text_is_found_whole_and_strange_text_is_not(run: Path) -> None:
    model = api.LanguageModel.load(run)
    source = run.parent / "my.txt"
    whole = copied(run, TEXT[5:65], model=model, sources=source)
    assert (whole["longest_span"], whole["ngram_share"], whole["longest_text"]) == (60, 1.0, TEXT[5:65])
    strange = copied(run, "tatatatat nogogogo ddddddddd", model=model, sources=source)
    assert strange["ngram_share"] == 0
    assert strange["longest_span"] < 8
    half = copied(run, TEXT[:40] + "ddddddddddddddd" + TEXT[:4], model=model, sources=source)
    assert half["longest_span"] == 40
    assert 0 < half["ngram_share"] < 1
    assert half["num_tokens"] == half["held_out"]["num_tokens"] == 59


def test_spans_are_those_of_a_search_by_hand(run: Path, tmp_path: Path) -> None:
    generator = np.random.default_rng(2)
    words = ["cat", "sat", "dog", "mat", "log"]
    train = " ".join(generator.choice(words, size=400))
    (tmp_path / "t.txt").write_text(train, encoding="utf-8")
    text = " ".join(generator.choice(words, size=40))
    found = copied(run, text, model=api.LanguageModel.load(run), sources=tmp_path / "t.txt")
    kept = train[: round(0.9 * len(train))]  # what is not held out
    spans = [text[a:b] for a in range(len(text)) for b in range(a + 1, len(text) + 1) if text[a:b] in kept]
    assert found["longest_span"] == max(map(len, spans))
    grams = [text[at : at + 8] for at in range(len(text) - 7)]
    assert found["ngram_share"] == pytest.approx(np.mean([gram in kept for gram in grams]))


def test_sample_says_what_it_copied(call, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.parent)
    plain = call("sample", run, "-n", "60", "--seed", "4")
    told = call("sample", run, "-n", "60", "--seed", "4", "--copied")
    assert told.out == plain.out
    values = json.loads(call("sample", run, "-n", "60", "--seed", "4", "--copied", "--json").out)["copied"]
    assert said_of(values) in told.err
    assert values["num_tokens"] == 60


def test_without_the_training_text_sample_says_so_in_one_line(
    call, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = call("sample", run, "-n", "20", "--copied")
    assert refused.code == 1
    assert "training text cannot be read" in refused.err
    assert refused.err.strip().count("\n") == 0
    assert "--copied has no effect with --num-beams" in call("sample", run, "--num-beams", "2", "--copied").err
    with pytest.raises(ArgumentError, match="no token"):
        copied(run, "", model=api.LanguageModel.load(run))
