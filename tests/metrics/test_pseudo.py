"""A pseudo-perplexity: one figure per token, none that could be taken for a length or a probability of a text."""

import math

import pytest

from rnnkit.errors import ArgumentError
from rnnkit.metrics import PseudoLikelihoodScore
from rnnkit.metrics.pseudo import PSEUDO_LIKELIHOOD_COLUMNS

SCORE = PseudoLikelihoodScore(nll=600.0, num_tokens=200, num_characters=800, num_bytes=1000, unit="word")


def test_every_figure_follows_from_the_total():
    assert SCORE.nats_per_token == 3
    assert SCORE.pseudo_perplexity == math.exp(3)
    vast = PseudoLikelihoodScore(nll=1e6, num_tokens=1, num_characters=1, num_bytes=1, unit="word")
    assert vast.pseudo_perplexity == math.inf


def test_nothing_of_it_is_called_perplexity_or_is_per_character():
    written = SCORE.to_dict()
    assert set(written) == {
        "pseudo_perplexity", "nats_per_token", "nll", "num_tokens", "num_characters", "num_bytes", "unit"
    }  # fmt: skip
    assert not hasattr(SCORE, "perplexity") and not hasattr(SCORE, "bits_per_character")
    assert "perplexity" not in [column.label for column in PSEUDO_LIKELIHOOD_COLUMNS]


@pytest.mark.parametrize("name", ["num_tokens", "num_characters", "num_bytes"])
def test_a_text_of_nothing_is_refused(name):
    with pytest.raises(ArgumentError, match=f"{name} is 0"):
        PseudoLikelihoodScore(**{**vars(SCORE), name: 0})
