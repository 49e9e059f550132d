"""Score a language model on a text, in units that compare across tokenizers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from rnnkit.errors import ArgumentError
from rnnkit.metrics.table import Column


@dataclass(frozen=True, kw_only=True)
class TextScore:
    """What a text cost a model, and the sizes to divide that by; a kind of model adds what it may be called.

    Args:
        nll: total nats of the text's tokens.
        num_tokens, num_characters, num_bytes: sizes of that text; bytes are those of its UTF-8.
        unit: what a token is: "byte", "char", "word" or "bpe".
    Raises: ArgumentError for a count below 1 or an nll that is no number.
    """

    nll: float
    num_tokens: int
    num_characters: int
    num_bytes: int
    unit: str

    def __post_init__(self) -> None:
        for name in ("num_tokens", "num_characters", "num_bytes"):
            if getattr(self, name) < 1:
                raise ArgumentError(f"{name} is {getattr(self, name)}: nothing was scored; pass a longer text")
        if math.isnan(self.nll):
            raise ArgumentError("nll is not a number; look for the first such token in the model's nll(tokens)")

    @property
    def nats_per_token(self) -> float:
        return self.nll / self.num_tokens

    @property
    def _exp(self) -> float:
        """Of the nats per token; infinite where that overflows."""
        return math.exp(self.nats_per_token) if self.nats_per_token < 709 else math.inf

    def to_dict(self) -> dict[str, float | int | str]:
        """The arguments and everything derived, for metrics.json."""
        return {"nats_per_token": self.nats_per_token, **vars(self)}


class LanguageModelScore(TextScore):
    """How well a model predicted a text.

    perplexity = exp(nll / num_tokens) depends on the tokenizer; nats and bits per character or byte do not, so that
    models of words, subwords, characters and bytes compare on the same text.

    Args and Raises: as of `TextScore`; nll: negative log-likelihood.
    """

    @property
    def perplexity(self) -> float:
        """exp of the nats per token; infinite where that overflows."""
        return self._exp

    @property
    def nats_per_character(self) -> float:
        return self.nll / self.num_characters

    @property
    def bits_per_character(self) -> float:
        return self.nats_per_character / math.log(2)

    @property
    def bits_per_byte(self) -> float:
        return self.nll / self.num_bytes / math.log(2)

    def to_dict(self) -> dict[str, float | int | str]:
        derived = ("perplexity", "nats_per_character", "bits_per_character", "bits_per_byte")
        return {**{name: getattr(self, name) for name in derived}, **super().to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` gave; what is derived is derived again, and other keys are left alone."""
        return cls(**{name: values[name] for name in ("nll", "num_tokens", "num_characters", "num_bytes", "unit")})


LANGUAGE_MODEL_COLUMNS = (
    Column("perplexity", "perplexity", ",.2f", better="lower"),
    Column("nats_per_character", "nats/char", ".4f", better="lower"),
    Column("bits_per_character", "bits/char", ".4f", better="lower"),
    Column("unseen_share", "unseen n-grams", ".1%"),
    Column("bytes", "bytes", ",.0f"),
    Column("train_seconds", "train s", ",.1f"),
)
"""The columns of every language model's table; the keys are those of metrics.json."""
