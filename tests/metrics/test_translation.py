"""BLEU and chrF are sacrebleu's, with any number of references; intervals, paired tests, what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rnnkit.errors import ArgumentError, MissingExtraError
from rnnkit.metrics.translation import (
    TOKENIZERS,
    TranslationScore,
    bleu_of,
    paired_translations,
    translation_columns,
)

sacrebleu = pytest.importorskip("sacrebleu", reason="BLEU needs sacrebleu")
DATA = Path(os.environ.get("RNNKIT_DATA", Path(__file__).parents[3] / "shared" / "data"))
MULTI30K = DATA / "translation" / "multi30k" / "tok"
WORDS = ["the", "a", "big", "small", "dog", "cat", "house", "sees", "runs", ".", ",", "Under", "and", "over"]


def corpus(count: int, *, seed: int = 0) -> tuple[list[str], list[tuple[str, ...]]]:
    """Outputs that share some words with their one to three references."""
    draw = np.random.default_rng(seed)
    outputs, references = [], []
    for _ in range(count):
        words = list(draw.choice(WORDS, draw.integers(3, 12)))
        own = [words[: draw.integers(1, 12)] + list(draw.choice(WORDS, 3)) for _ in range(draw.integers(1, 4))]
        outputs.append(" ".join(words))
        references.append(tuple(map(" ".join, own)))
    return outputs, references


def by_sacrebleu(metric: str, outputs: list[str], references: list[tuple[str, ...]], **options: object) -> float:
    columns = [[own[k] if k < len(own) else None for own in references] for k in range(3)]
    return getattr(sacrebleu.metrics, metric)(**options).corpus_score(outputs, columns).score


@pytest.mark.parametrize("tokenize", TOKENIZERS)
@pytest.mark.parametrize("lowercase", [False, True])
def test_bleu_and_chrf_are_sacrebleus_with_any_number_of_references(tokenize: str, lowercase: bool) -> None:
    outputs, references = corpus(40)
    score = TranslationScore(outputs, references, tokenize=tokenize, lowercase=lowercase)
    for order in (1, 2, 4):
        wanted = by_sacrebleu(
            "BLEU", outputs, references, tokenize=tokenize, lowercase=lowercase, max_ngram_order=order, force=True
        )
        assert score.bleu(order) == pytest.approx(wanted, rel=1e-12)
    assert score.chrf == by_sacrebleu("CHRF", outputs, references, lowercase=lowercase)
    case = "lc" if lowercase else "mixed"
    assert score.signatures["bleu_signature"].startswith(
        f"nrefs:var|case:{case}|eff:no|tok:{tokenize}|smooth:exp|version:"
    )
    assert score.signatures["chrf_signature"].startswith(f"nrefs:var|case:{case}|eff:yes|nc:6|nw:0|space:no|version:")


@pytest.mark.parametrize(
    ("outputs", "references"),
    [
        (["x"], [("y",)]),
        ([""], [("a b",)]),
        (["a"], [("a",)]),
        (["a b c d e"], [("a b q d e",)]),
        (["a b c d e"], [("a q c r e",)]),
        (["a b c d", ""], [("a b c d",), ("long one here",)]),
    ],
)
def test_bleu_of_tiny_corpora_is_sacrebleus_smoothed(outputs: list[str], references: list[tuple[str]]) -> None:
    score = TranslationScore(outputs, references, tokenize="none")
    assert score.bleu() == pytest.approx(by_sacrebleu("BLEU", outputs, references, tokenize="none"), rel=1e-12)


def test_figures_of_a_case_by_hand() -> None:
    score = TranslationScore(["a b  c", "d e"], [("a b c", "x"), ("d f e",)], tokenize="none", figure="wer")
    found = score.to_dict()
    assert (found["exact"], found["wer"], found["cer"]) == (0.5, 1 / 6, (1 + 2) / 10)
    assert found["length_ratio"] == 5 / 6
    assert found["low"] <= found["wer"] <= found["high"]
    assert score.is_exact.tolist() == [True, False]
    assert found["num_outputs"] == 2
    assert score.sentence_scores()[0] > score.sentence_scores()[1]


def test_a_better_system_is_told_from_a_worse_one_and_one_from_itself_is_not() -> None:
    outputs, references = corpus(200)
    better = [own[0] if row % 3 else out for row, (out, own) in enumerate(zip(outputs, references, strict=True))]
    for figure, sign in (("bleu", 1), ("exact", 1), ("wer", -1), ("cer", -1)):
        ours, theirs = (TranslationScore(texts, references, figure=figure) for texts in (better, outputs))
        found = paired_translations(ours, theirs)
        assert sign * found["difference"] > 0
        assert sign * found["difference_low"] > 0
        assert found["p_value"] < 0.01
        assert paired_translations(ours, ours)["p_value"] == 1
        low, high = (ours.to_dict()[key] for key in ("low", "high"))
        counts, function = ours.counts()
        assert low < function(counts.sum(0)[None])[0] < high
    assert found["difference"] == pytest.approx(ours.to_dict()["cer"] - theirs.to_dict()["cer"])


def test_bleu_of_many_resamples_is_that_of_each() -> None:
    counts = TranslationScore(*corpus(30)).bleu_counts
    sums = np.stack([counts[:k].sum(0) for k in range(1, 30)])
    for got, row in zip(bleu_of(sums), sums, strict=True):
        wanted = sacrebleu.metrics.BLEU.compute_bleu(
            row[2:6].tolist(), row[6:].tolist(), int(row[0]), int(row[1]), smooth_method="exp"
        )
        assert got == pytest.approx(wanted.score, rel=1e-12)


def test_what_does_not_fit_is_refused_by_name() -> None:
    with pytest.raises(ArgumentError, match="2 outputs and 1 references do not fit"):
        TranslationScore(["a", "b"], [("a",)])
    with pytest.raises(ArgumentError, match="output 1 has no reference"):
        TranslationScore(["a", "b"], [("a",), ()])
    with pytest.raises(ArgumentError, match="tokenize is '13b'; choose 13a"):
        TranslationScore(["a"], [("a",)], tokenize="13b")
    with pytest.raises(ArgumentError, match="figure is 'ter'; choose bleu"):
        TranslationScore(["a"], [("a",)], figure="ter")


def test_without_sacrebleu_the_extra_is_named_and_the_other_figures_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    score = TranslationScore(["a"], [("a",)], figure="exact")
    assert score.is_exact.all()
    with pytest.raises(MissingExtraError, match=r"sacrebleu; in .*\[translation\]"):
        score.bleu()


def test_the_measures_are_imported_without_sacrebleu() -> None:
    code = "import sys, rnnkit.metrics; assert 'sacrebleu' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.skipif(not MULTI30K.exists(), reason="needs the Multi30k files")
def test_the_reference_itself_scores_a_hundred_and_the_source_next_to_nothing() -> None:
    source, target = (
        (MULTI30K / f"test_2016_flickr.lc.norm.tok.{side}").read_text("utf-8").splitlines() for side in ("de", "en")
    )
    references = [(one,) for one in target]
    assert TranslationScore(target, references, tokenize="none").bleu() == pytest.approx(100)
    copied = TranslationScore(source, references, tokenize="none")
    assert copied.bleu() == pytest.approx(by_sacrebleu("BLEU", source, references, tokenize="none", force=True))
    assert copied.bleu() < 2


@pytest.mark.parametrize(("figure", "as_shown"), [("bleu", ".2f"), ("exact", ".2%"), ("wer", ".2%"), ("cer", ".2%")])
def test_the_interval_stands_behind_its_figure_and_is_written_like_it(figure, as_shown):
    columns = translation_columns(figure)
    at = [column.key for column in columns].index(figure)
    shown = columns[at : at + 6]
    assert [column.key for column in shown[1:]] == ["low", "high", "seeds_mean", "seeds_low", "seeds_high"]
    assert {column.format for column in shown} == {as_shown}
