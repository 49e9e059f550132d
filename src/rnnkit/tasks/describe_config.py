"""DescribeConfig: every choice of a run on records but the training itself; torch-free, so checked at once."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from rnnkit.tasks.sections import Section, SequencesConfig, SequencesRunConfig
from rnnkit.tasks.translate_config import (
    DecodingConfig,
    TranslateScoreConfig,
    WriterBaselinesConfig,
    WriterModelConfig,
)


class DescribeDataConfig(SequencesConfig):
    """Which records: to train on, to choose weights by, to make the table on."""

    sources: list[str] | None = Field(
        default=None, description="Records with their texts: .jsonl, .json, .csv, .tsv, also as .gz."
    )
    held_out: float = Field(default=0.1, gt=0, lt=1, description="Share of the records held out, without test_sources.")
    text_column: str | None = Field(
        default=None, description="text, ref, reference, sentence, description or target; a name."
    )
    max_tokens: int = Field(default=400, ge=1, description="The most tokens that a record or a text may have.")
    skip_bad: bool = Field(default=False, description="Leave out rows that cannot be used, and say how many they were.")
    references: Literal["own", "record", "features"] = Field(
        default="record",
        description="What a test record is judged by: its own texts; those of all equal records, taken as one; those "
        "of all that differ in filled-in values alone, with its values (as Wen et al. 2016).",
    )


class DescribeTokenizerConfig(Section):
    """What a token is: of a record an attribute, of a text a word; a value that is filled in is one placeholder."""

    lowercase: bool = Field(default=False, description="Read capital letters of texts as small ones.")
    min_count: int = Field(default=1, ge=1, description="Tokens seen less often are unknown.")
    split_punctuation: bool | None = Field(
        default=None, description="Marks at a word's ends are tokens of their own; None: as texts have them."
    )
    filled_share: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="A slot whose values stand in at least this share of its texts is filled in; another is read.",
    )


class DescribeModelConfig(WriterModelConfig):
    """The model: as of every writer, and what reads a record."""

    encoder: Literal["recurrent", "set"] = Field(
        default="recurrent", description="Reads attributes as a sequence, or as a set without an order."
    )
    bidirectional: bool | None = Field(  # type: ignore[assignment]
        default=None, description="A recurrent encoder reads in both directions; None: it does."
    )

    @model_validator(mode="after")
    def _a_set_has_no_order(self) -> Self:
        if self.encoder == "set" and (self.bidirectional or self.encoder_layers not in (None, 1)):
            raise ValueError("model.encoder set has no order and one layer: leave bidirectional and encoder_layers out")
        return self


class DescribeDecodingConfig(DecodingConfig):
    """How texts are written for the table, and by `predict` unless it is told otherwise."""

    num_beams: int = Field(
        default=10, ge=1, le=256, description="Texts followed at a time, of which the best is chosen; 1: greedy."
    )
    rerank: bool = Field(default=True, description="Of the texts of a beam take the best with the fewest slot errors.")


class DescribeScoreConfig(TranslateScoreConfig):
    """How texts are judged."""

    slot_words: dict[str, tuple[str, ...]] = Field(
        default={}, description="By slot the words that say it, where no value is filled in; of none it is not counted."
    )
    uncounted_acts: tuple[str, ...] = Field(
        default=(), description="Dialogue acts whose slots are not counted, and never decide."
    )
    num_best: int = Field(
        default=1, ge=1, le=256, description="Also judge so many of the best texts of each record together."
    )


class DescribeBaselinesConfig(WriterBaselinesConfig):
    """What the model must beat."""

    kinds: tuple[Literal["template-filler", "nearest-record", "transformer"], ...] | None = Field(
        default=None, min_length=1, description="Which the table shows; None: all."
    )


class DescribeConfig(SequencesRunConfig):
    """A run on records: data, tokens, model, how texts are written and judged, baselines."""

    data: DescribeDataConfig = Field(default_factory=DescribeDataConfig)
    tokenizer: DescribeTokenizerConfig = Field(default_factory=DescribeTokenizerConfig)
    model: DescribeModelConfig = Field(default_factory=DescribeModelConfig)
    decoding: DescribeDecodingConfig = Field(default_factory=DescribeDecodingConfig)
    scores: DescribeScoreConfig = Field(default_factory=DescribeScoreConfig)
    baselines: DescribeBaselinesConfig = Field(default_factory=DescribeBaselinesConfig)

    @model_validator(mode="after")
    def _a_beam_holds_the_best(self) -> Self:
        if self.scores.num_best > self.decoding.num_beams:
            raise ValueError(
                f"scores.num_best is {self.scores.num_best}, a beam has {self.decoding.num_beams} texts: raise "
                "decoding.num_beams, or leave it out"
            )
        return self
