"""TagConfig: every choice of a tagging run but the training itself; torch-free, so checked at once."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from rnnkit.tasks.sections import (
    Section,
    SeedsConfig,
    SequencesConfig,
    SequencesRunConfig,
    SpellingLayersConfig,
    StartConfig,
    Widths,
    refuse_sizes,
)


class TagDataConfig(SequencesConfig):
    """Which tagged sentences."""

    word_column: str | None = Field(
        default=None, description="The words': form (CoNLL-U), 1 (CoNLL), words or tokens (JSONL)."
    )
    tag_column: str | None = Field(
        default=None, description="The tags': upos (CoNLL-U), the last one (CoNLL), tags or labels (JSONL)."
    )
    scheme: Literal["auto", "none", "bio", "iob1", "bioes"] = Field(
        default="auto", description="How tags mark spans; auto: told by them; none: they are plain ones."
    )
    scheme_to: Literal["bio", "bioes"] = Field(
        default="bio", description="What tags of spans are converted to: what the model says."
    )
    repair: bool = Field(
        default=False, description="Read a tag that may not stand where it does as the CoNLL scorer does."
    )

    owners: ClassVar = {
        **SequencesConfig.owners,
        "scheme_to": (lambda data: data.scheme != "none", "with scheme none"),
        "repair": (lambda data: data.scheme != "none", "with scheme none"),
    }


FeatureName = Literal["shape", "prefix1", "prefix2", "prefix3", "prefix4", "suffix1", "suffix2", "suffix3", "suffix4"]


class TagWordsConfig(Section):
    """What is read of a word."""

    min_count: int = Field(default=1, ge=1, description="Words seen less often are unknown.")
    lowercase: bool = Field(default=True, description="Words that differ in case are one; their spelling keeps it.")
    characters: bool = Field(default=True, description="Also read how each word is spelled.")
    max_characters: int = Field(
        default=24, ge=2, le=1000, description="Of a longer word its first and its last half of so many are read."
    )

    features: tuple[FeatureName, ...] = Field(
        default=(),
        description="Also read of each word: its shape (Xx, d …), its first or last letters (prefix2, suffix3 …).",
    )

    owners: ClassVar = {"max_characters": (lambda words: words.characters, "without characters")}


class TagModelConfig(SpellingLayersConfig):
    """The recurrent model: the fields of `rnnkit.models.transducer.TransducerConfig` that the data does not decide."""

    hidden_size: Widths = Field(default=160, description="Units per layer and direction H; or the width of each layer.")
    embedding_size: int = Field(default=100, ge=1, description="Numbers per word E.")
    feature_embedding_size: int = Field(default=20, ge=1, description="Numbers per feature of a word.")
    input_dropout: float = Field(default=0.3, ge=0, lt=1, description="On what the first layer reads.")
    output_dropout: float = Field(default=0.4, ge=0, lt=1, description="On what is read out.")
    word_dropout: float = Field(
        default=0.05, ge=0, lt=1, description="On single words, whose spelling stays; it teaches to read it."
    )
    bidirectional: bool = Field(default=True, description="Read in both directions.")
    crf: bool | None = Field(default=None, description="Score whole sequences of tags; None: where they mark spans.")
    outside: Literal["plain", "fitted"] = Field(
        default="plain",
        description="Of spans; fitted: lower the score of O by what gives the best F1 on the validation part.",
    )
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1, description="Share of the target spread over all tags (Szegedy et al. 2016)."
    )


TagBaselineName = Literal["most-frequent-tag", "hmm", "feature-crf"]


class TagBaselinesConfig(SeedsConfig):
    """What the model must beat."""

    kinds: tuple[TagBaselineName, ...] | None = Field(
        default=None,
        min_length=1,
        description="Which the table shows; None: the first two, and where tags mark spans the CRF.",
    )


class TagConfig(SequencesRunConfig):
    """A tagging run: data, words, model, what it starts from, baselines."""

    data: TagDataConfig = Field(default_factory=TagDataConfig)
    words: TagWordsConfig = Field(default_factory=TagWordsConfig)
    model: TagModelConfig = Field(default_factory=TagModelConfig)
    transfer: StartConfig = Field(default_factory=StartConfig)
    baselines: TagBaselinesConfig = Field(default_factory=TagBaselinesConfig)

    @model_validator(mode="after")
    def _what_is_sized_is_read(self) -> TagConfig:
        spelled, featured = (f"words.{name}" for name in ("characters", "features"))
        is_spelled, is_featured = self.words.characters, bool(self.words.features)
        needs = {"feature_embedding_size": (featured, is_featured)}
        needs |= dict.fromkeys(("character_embedding_size", "character_hidden_size"), (spelled, is_spelled))
        refuse_sizes(self.model, needs)
        if not self.words.lowercase and (self.transfer.from_run or self.transfer.pretrain):
            raise ValueError(
                "words.lowercase has no effect with from_run or pretrain, whose words keep their case: leave it out"
            )
        return self
