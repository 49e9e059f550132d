"""DialogueConfig: every choice of a run on dialogues but the training itself; torch-free, so checked at once."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from rnnkit.tasks.sections import SequencesConfig
from rnnkit.tasks.translate_config import (
    TranslateBaselinesConfig,
    TranslateConfig,
    TranslateModelConfig,
    TranslateTokenizerConfig,
)


class DialogueDataConfig(SequencesConfig):
    """Which dialogues: to train on, to choose weights by, to make the table on."""

    sources: list[str] | None = Field(
        default=None, description="Dialogues: .jsonl with lists of turns, .csv or .tsv of turns, also as .gz."
    )
    held_out: float = Field(
        default=0.1, gt=0, lt=1, description="Share of the dialogues held out, without test_sources."
    )
    context: int = Field(default=3, ge=1, lt=2**31, description="How many turns the model reads before it answers.")
    speaker: str | None = Field(default=None, description="Whose turns are answers to learn; None: everybody's.")
    max_tokens: int = Field(default=400, ge=1, description="The most tokens that a context or an answer may have.")
    skip_bad: bool = Field(default=False, description="Leave out what cannot be used, and say how much it was.")


class DialogueTokenizerConfig(TranslateTokenizerConfig):
    """What a token is; contexts and answers share their vocabulary unless they are told not to."""

    joint: bool = Field(default=True, description="One vocabulary for both sides.")


class DialogueModelConfig(TranslateModelConfig):
    """As of translate, with one embedding for both sides."""

    shared_embedding: bool = Field(default=True, description="One embedding for both sides, of a joint vocabulary.")


class DialogueBaselinesConfig(TranslateBaselinesConfig):
    """What the model must beat."""

    kinds: tuple[Literal["last-turn", "most-frequent", "nearest-source", "transformer"], ...] | None = Field(  # type: ignore[assignment]
        default=None, min_length=1, description="Which the table shows; None: all."
    )

    owners: ClassVar = TranslateBaselinesConfig.owners


class DialogueConfig(TranslateConfig):
    """A run on dialogues: data, tokens, model, how answers are written and judged, baselines."""

    data: DialogueDataConfig = Field(default_factory=DialogueDataConfig)  # type: ignore[assignment]
    tokenizer: DialogueTokenizerConfig = Field(default_factory=DialogueTokenizerConfig)  # type: ignore[assignment]
    model: DialogueModelConfig = Field(default_factory=DialogueModelConfig)  # type: ignore[assignment]
    baselines: DialogueBaselinesConfig = Field(default_factory=DialogueBaselinesConfig)  # type: ignore[assignment]
