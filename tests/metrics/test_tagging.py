"""Scores of taggers against figures worked out by hand, and what the paired test says of equal and unequal ones."""

from __future__ import annotations

import numpy as np
import pytest

from rnnkit.errors import ArgumentError
from rnnkit.metrics.tagging import TaggingScore, paired_taggers


def test_figures_of_a_case_by_hand() -> None:
    gold = [["D", "N", "V"], ["N"], []]
    score = TaggingScore(gold, [["D", "V", "V"], ["N"], []], of_spans=False)
    assert score.accuracy == score.figure == 0.75
    assert score.counts.tolist() == [[2, 3, 3], [1, 1, 1], [0, 0, 0]]
    figures = score.to_dict()
    assert (figures["sentences_right"], figures["num_sentences"], figures["num_words"]) == (2 / 3, 3, 4)
    assert figures["low"] <= 0.75 <= figures["high"]
    assert "f1" not in figures
    spans = TaggingScore([["B-x", "I-x", "O"]], [["B-x", "O", "O"]], of_spans=True)
    assert (spans.accuracy, spans.figure) == (pytest.approx(2 / 3), 0.0)
    assert {"f1", "precision", "recall"} <= spans.to_dict().keys()


def test_the_paired_test_knows_equal_and_unequal_taggers() -> None:
    rng = np.random.default_rng(0)
    gold = [["N"] * 8 for _ in range(200)]

    def with_errors(share: float) -> TaggingScore:
        tags = [["V" if rng.random() < share else "N" for _ in row] for row in gold]
        return TaggingScore(gold, tags, of_spans=False)

    good, as_good, bad = with_errors(0.10), with_errors(0.10), with_errors(0.20)
    unequal = paired_taggers(good, bad)
    assert unequal["difference"] == pytest.approx(good.accuracy - bad.accuracy)
    assert unequal["p_value"] < 0.001
    assert 0 < unequal["difference_low"] < unequal["difference"] < unequal["difference_high"]
    assert paired_taggers(good, as_good)["p_value"] > 0.05
    itself = paired_taggers(good, good)
    assert (itself["difference"], itself["p_value"]) == (0.0, 1.0)


def test_an_interval_over_sentences_is_wider_where_mistakes_stand_together() -> None:
    gold = [["N"] * 10 for _ in range(100)]
    together = [["V"] * 10 if n < 20 else ["N"] * 10 for n in range(100)]
    apart = [["V"] * 2 + ["N"] * 8 for _ in range(100)]
    widths = []
    for tags in (together, apart):
        figures = TaggingScore(gold, tags, of_spans=False).to_dict()
        assert figures["accuracy"] == 0.8
        widths.append(figures["high"] - figures["low"])
    assert widths[0] > 0.1
    assert widths[1] == 0.0


def test_what_does_not_fit_together_is_refused() -> None:
    for gold, predicted in (([["N"]], [["N", "N"]]), ([["N"]], []), ([[]], [[]])):
        with pytest.raises(ArgumentError, match="do not fit together"):
            TaggingScore(gold, predicted, of_spans=False)
