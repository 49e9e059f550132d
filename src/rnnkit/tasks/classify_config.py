"""ClassifyConfig: every choice of a classification run but the training itself; torch-free, so checked at once."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from rnnkit.bundle.schema import MAX_NGRAM_ORDER
from rnnkit.tasks.sections import (
    Section,
    SeedsConfig,
    SequencesConfig,
    SequencesRunConfig,
    SpellingLayersConfig,
    StartConfig,
    TokenizerConfig,
    Widths,
    refuse_sizes,
)


class ClassifyDataConfig(SequencesConfig):
    """Which labelled sequences."""

    label_column: str | None = Field(
        default=None, description="The label's column or key; None: label, class, target, category or sentiment."
    )
    text_column: str | None = Field(
        default=None, description="The text's column or key; None: text, sentence, document, review or name."
    )
    multi_label: bool = Field(
        default=False,
        description="A sequence may have several labels, or none: what stands for a label is cut at `label_separator`. "
        "Lists of them, in .jsonl and .parquet, are several without it.",
    )
    label_separator: str = Field(default=",", min_length=1, description="What stands between two labels.")

    owners: ClassVar = {
        **SequencesConfig.owners,
        "label_separator": (lambda data: data.multi_label, "without multi_label"),
    }


class ClassifyTokenizerConfig(TokenizerConfig):
    """What a token is."""

    kind: Literal["byte", "char", "word", "bpe"] | None = Field(  # type: ignore[assignment]
        default=None,
        description="Byte, character, word, or BPE piece; None: characters where texts are single words, else words.",
    )
    characters: bool = Field(default=False, description="Of words, also read how each is spelled.")
    max_characters: int = Field(
        default=24, ge=2, le=1000, description="Of a longer word its first and its last half of so many are read."
    )

    owners: ClassVar = {
        "max_characters": (lambda tokens: tokens.characters, "without characters"),
        "characters": (lambda tokens: tokens.kind in (None, "word"), "on tokens that are not words"),
        "special_tokens": (lambda tokens: not tokens.characters, "with characters"),
    }


class ClassifyModelConfig(SpellingLayersConfig):
    """The recurrent model: the fields of `rnnkit.models.acceptor.AcceptorConfig` that the data does not decide."""

    hidden_size: Widths = Field(default=128, description="Units per layer and direction H; or the width of each layer.")
    embedding_size: int = Field(default=100, ge=1, description="Numbers per token E.")
    input_dropout: float = Field(default=0.2, ge=0, lt=1, description="On what the first layer reads.")
    output_dropout: float = Field(default=0.3, ge=0, lt=1, description="On what is read out.")
    word_dropout: float = Field(
        default=0.05, ge=0, lt=1, description="On single input tokens; it also teaches what an unknown one means."
    )
    bidirectional: bool = Field(default=True, description="Read in both directions.")
    readout: tuple[Literal["last", "max", "mean", "attention", "states"], ...] = Field(
        default=("max", "mean"),
        min_length=1,
        description="What is decided by, one or several, side by side: of the top layer's outputs; states: the last "
        "states of all layers.",
    )
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1, description="Share of the target spread over all labels (Szegedy et al. 2016)."
    )
    ngrams: int = Field(
        default=0,
        ge=0,
        le=MAX_NGRAM_ORDER,
        description="Tokens in the longest n-gram of a linear model that decides with the layers; 0: there is none.",
    )


class ClassifyLossConfig(Section):
    """How the labels count."""

    class_weights: Literal["none", "balanced"] = Field(
        default="none", description="balanced: a label counts in inverse proportion to how often it is there."
    )
    calibrate: bool = Field(
        default=False,
        description="Divide the logits by a temperature with the fewest nats on the validation part (Guo et al. 2017).",
    )
    thresholds: Literal["half", "shared", "per_label"] = Field(
        default="shared",
        description="Of several labels, from which probability one is there: 0.5; or what gives the best F1 on the "
        "validation part, one for all labels or one for each.",
    )


ClassifyBaseline = Literal["majority", "naive-bayes", "logistic-regression", "1nn-dtw"]
OF_TOKENS: tuple[ClassifyBaseline, ...] = ("majority", "naive-bayes", "logistic-regression")
OF_FRAMES: tuple[ClassifyBaseline, ...] = ("majority", "1nn-dtw")


class ClassifyBaselinesConfig(SeedsConfig):
    """What the model must beat."""

    kinds: tuple[ClassifyBaseline, ...] | None = Field(
        default=None,
        min_length=1,
        description="Which the table shows; None: all that read texts, or all that read series.",
    )
    ngram_order: int | None = Field(
        default=None, ge=1, le=8, description="Longest n of their n-grams; None: 4 for characters and bytes, else 2."
    )

    owners: ClassVar = {
        "ngram_order": (
            lambda baselines: bool({"naive-bayes", "logistic-regression"} & {*(baselines.kinds or OF_TOKENS)}),
            "without a baseline of n-grams among kinds",
        )
    }


class ClassifyConfig(SequencesRunConfig):
    """A classification run: data, tokeniser, model, loss, what it starts from, baselines."""

    data: ClassifyDataConfig = Field(default_factory=ClassifyDataConfig)
    tokenizer: ClassifyTokenizerConfig = Field(default_factory=ClassifyTokenizerConfig)
    model: ClassifyModelConfig = Field(default_factory=ClassifyModelConfig)
    loss: ClassifyLossConfig = Field(default_factory=ClassifyLossConfig)
    transfer: StartConfig = Field(default_factory=StartConfig)
    baselines: ClassifyBaselinesConfig = Field(default_factory=ClassifyBaselinesConfig)

    @model_validator(mode="after")
    def _what_is_spelled_is_read(self) -> ClassifyConfig:
        need = ("tokenizer.characters", self.tokenizer.characters)
        refuse_sizes(self.model, dict.fromkeys(("character_embedding_size", "character_hidden_size"), need))
        if self.tokenizer.characters and (self.transfer.from_run or self.transfer.pretrain):
            raise ValueError(
                "tokenizer.characters: a language model to start from reads no spelling; leave characters out, or "
                "from_run and pretrain"
            )
        return self

    @model_validator(mode="after")
    def _ngrams_are_weighed_once(self) -> ClassifyConfig:
        if self.model.ngrams and self.loss.calibrate:
            raise ValueError(
                "loss.calibrate has no effect with model.ngrams, whose weight and temperature are fitted to the "
                "validation part together: leave it out"
            )
        if self.model.ngrams and self.loss.class_weights != "none":
            raise ValueError(
                f"loss.class_weights is {self.loss.class_weights!r}, and n-grams are fitted on texts that all count "
                "alike: leave it out, or model.ngrams"
            )
        return self
