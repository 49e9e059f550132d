"""Score a bidirectional language model on a text: how well each token is told from all the others around it."""

from __future__ import annotations

from rnnkit.metrics.language import TextScore
from rnnkit.metrics.table import Column


class PseudoLikelihoodScore(TextScore):
    """exp of the mean −log p(token | all others): a pseudo-perplexity, which no perplexity compares with.

    The product of these probabilities is no probability of the text: each token is guessed with the answers to all
    other guesses at hand. So there are no bits per character here, which would be lengths of a code that nobody can
    write. It compares models of one tokenizer on one text, each of which sees both sides.

    Args and Raises: as of `TextScore`.

    Source: Besag 1975, "Statistical analysis of non-lattice data", for the product; Salazar et al. 2020, "Masked
        language model scoring", section 2.3, for its name.
    """

    @property
    def pseudo_perplexity(self) -> float:
        """exp of the nats per token; infinite where that overflows."""
        return self._exp

    def to_dict(self) -> dict[str, float | int | str]:
        return {"pseudo_perplexity": self.pseudo_perplexity, **super().to_dict()}


PSEUDO_LIKELIHOOD_COLUMNS = (
    Column("pseudo_perplexity", "pseudo-perplexity", ",.2f", better="lower"),
    Column("nats_per_token", "nats/token", ".4f", better="lower"),
    Column("unseen_share", "unseen n-grams", ".1%"),
    Column("bytes", "bytes", ",.0f"),
    Column("train_seconds", "train s", ",.1f"),
)
"""The columns of every bidirectional language model's table; the keys are those of metrics.json."""
