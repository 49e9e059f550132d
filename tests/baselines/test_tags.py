"""Baselines of a tagger: figures by hand, CRFsuite's own decoding, saved and read back."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from rnnkit.baselines import TAG_BASELINES, FeatureCrf, HiddenMarkov, MostFrequentTag, TagBaseline
from rnnkit.baselines.tags import features_of
from rnnkit.errors import DataError


def drawn(count: int = 200, seed: int = 0) -> tuple[list[list[str]], list[list[str]]]:
    """Sentences of a grammar D N V (D N), whose words tell their tags but for `run`."""
    rng = np.random.default_rng(seed)
    words = {"D": ["the", "a"], "N": ["cat", "dog", "run", "Paris", "walks"], "V": ["sees", "run", "walks"]}
    sentences, tags = [], []
    for _ in range(count):
        path = ["D", "N", "V"] + (["D", "N"] if rng.random() < 0.5 else [])
        tags.append(path)
        sentences.append([words[tag][rng.integers(len(words[tag]))] for tag in path])
    return sentences, tags


def test_the_most_frequent_tag_is_that() -> None:
    model = MostFrequentTag.fit([["a", "b", "a"], ["a", "c"]], [["X", "Y", "Z"], ["X", "Y"]])
    assert model.predict([["a", "b", "d"], []]) == [["X", "Y", "Y"], []]


def test_an_hmm_tells_by_neighbours_and_by_the_ends_of_unknown_words() -> None:
    sentences, tags = drawn()
    model = HiddenMarkov.fit(sentences, tags)
    assert model.predict([["the", "run", "run"], ["a", "run", "walks", "the", "run"], []]) == [
        ["D", "N", "V"],
        ["D", "N", "V", "D", "N"],
        [],
    ]
    many = [["they", f"x{n}ing"] for n in range(5)] + [["they", f"x{n}ly"] for n in range(5)]
    guessing = HiddenMarkov.fit(many, [["P", "V"]] * 5 + [["P", "A"]] * 5)
    assert guessing.predict([["they", "singing"], ["they", "badly"]]) == [["P", "V"], ["P", "A"]]


def test_an_hmm_finds_the_best_of_all_paths() -> None:
    sentences, tags = drawn(30)
    model = HiddenMarkov.fit(sentences, tags)
    for words in (["run", "cat", "walks"], ["unknown", "run"]):
        scores = [model._scores(word) for word in words]
        chain = model._chain
        totals = {
            path: chain.start[path[0]]
            + chain.end[path[-1]]
            + sum(row[y] for row, y in zip(scores, path, strict=True))
            + sum(chain.transition[a, b] for a, b in itertools.pairwise(path))
            for path in itertools.product(range(3), repeat=len(words))
        }
        best = max(totals, key=lambda path: totals[path])
        assert model.predict([words]) == [[model.tags[y] for y in best]]


def test_a_crf_decodes_as_crfsuite_does(tmp_path: Path) -> None:
    pycrfsuite = pytest.importorskip("pycrfsuite")
    sentences, tags = drawn(60)
    model = FeatureCrf.fit(sentences, tags)
    trainer = pycrfsuite.Trainer(verbose=False)
    for words, of_sentence in zip(sentences, tags, strict=True):
        trainer.append(features_of(words), of_sentence)
    trainer.set_params({"c1": 0.1, "c2": 0.1, "max_iterations": 100, "feature.possible_transitions": True})
    trainer.train(str(tmp_path / "crf"))
    tagger = pycrfsuite.Tagger()
    tagger.open(str(tmp_path / "crf"))
    rng = np.random.default_rng(5)
    known = [*sorted({word for words in sentences for word in words}), "Unknown", "7th"]
    strange = [[known[i] for i in rng.integers(0, len(known), n)] for n in rng.integers(1, 9, 100)]
    assert [tagger.tag(features_of(words)) for words in strange] == model.predict(strange)
    assert model.predict([[]]) == [[]]
    assert model.predict(sentences) == tags


@pytest.mark.parametrize("kind", TAG_BASELINES.values(), ids=TAG_BASELINES)
def test_a_baseline_comes_back_and_damage_is_noticed(kind: type[TagBaseline], tmp_path: Path) -> None:
    if kind is FeatureCrf:
        pytest.importorskip("pycrfsuite")
    sentences, tags = drawn(60)
    model = kind.fit(sentences, tags)
    model.save(tmp_path)
    path = tmp_path / "tags.json"
    assert path.stat().st_size == model.num_bytes
    strange, _ = drawn(20, seed=9)
    strange.append(["never", "seen", "Before"])
    assert kind.load(tmp_path).predict(strange) == model.predict(strange)
    content = path.read_bytes()
    for damaged in (content[:-1], content.replace(b"D", b"E", 1), b"", b"{}", content.split(b"\n")[0]):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"tags\.json"):
            kind.load(tmp_path)
    path.unlink()
    with pytest.raises(DataError, match="fit the baseline again"):
        kind.load(tmp_path)
