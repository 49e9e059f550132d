import math

import pytest

from rnnkit.errors import ArgumentError
from rnnkit.metrics import LanguageModelScore

SCORE = LanguageModelScore(nll=600.0, num_tokens=200, num_characters=800, num_bytes=1000, unit="word")


def test_every_figure_follows_from_the_total():
    assert SCORE.nats_per_token == 3
    assert SCORE.perplexity == math.exp(3)
    assert SCORE.nats_per_character == 0.75
    assert SCORE.bits_per_character == 0.75 / math.log(2)
    assert SCORE.bits_per_byte == 0.6 / math.log(2)


def test_scores_per_character_do_not_depend_on_the_tokens():
    finer = LanguageModelScore(nll=600.0, num_tokens=800, num_characters=800, num_bytes=1000, unit="char")
    assert finer.bits_per_character == SCORE.bits_per_character
    assert finer.bits_per_byte == SCORE.bits_per_byte
    assert finer.perplexity != SCORE.perplexity


def test_a_score_survives_its_dictionary():
    written = SCORE.to_dict()
    assert written["perplexity"] == SCORE.perplexity
    assert LanguageModelScore.from_dict({**written, "seconds": 3}) == SCORE


def test_a_hopeless_model_has_infinite_perplexity():
    score = LanguageModelScore(nll=1e6, num_tokens=1, num_characters=1, num_bytes=1, unit="char")
    assert score.perplexity == math.inf


@pytest.mark.parametrize("change", [{"num_tokens": 0}, {"num_characters": 0}, {"num_bytes": -1}, {"nll": math.nan}])
def test_what_is_no_score_is_refused(change):
    (name,) = change
    values = {"nll": 1.0, "num_tokens": 1, "num_characters": 1, "num_bytes": 1, "unit": "char", **change}
    with pytest.raises(ArgumentError, match=name):
        LanguageModelScore(**values)
