"""GrammarConfig: every choice of a grammar run but the training itself; torch-free, so checked at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from rnnkit.tasks.classify_config import (
    ClassifyLossConfig,
    ClassifyModelConfig,
    ClassifyTokenizerConfig,
)
from rnnkit.tasks.sections import CellName, Section, SeedsConfig, SequencesRunConfig, Widths, refuse_sizes

# Times `longest`. Weights that only seem right are told by texts longer than those trained on.
_VALID, _TEST = 4, 10


def _found(sources: list[str]) -> list[str]:
    """A file by its whole path, so that a run can be resumed from anywhere."""
    if len(sources) != 1:
        raise ValueError(f"data.sources holds {len(sources)} grammars, {', '.join(sources)}; give one")
    return [str(Path(source).resolve()) if source.endswith(".json") else source for source in sources]


class GrammarDataConfig(Section):
    """Which texts: drawn, half of them from the language, half not."""

    sources: Annotated[list[str], AfterValidator(_found)] | None = Field(
        default=None, description="One grammar: a name, a regular expression, or a .json file of an automaton."
    )
    symbols: str | None = Field(
        default=None,
        min_length=1,
        description="Of a regular expression: the characters of texts; None: those of its matches, printable ASCII.",
    )
    longest: int = Field(default=40, ge=1, le=10_000, description="Characters of the longest text trained on.")
    test_longest: int | None = Field(
        default=None, ge=1, le=100_000, description="Characters of the longest text in the table; None: 10 · longest."
    )
    valid_longest: int | None = Field(
        default=None, ge=1, le=100_000, description="Of the longest text to choose weights by; None: 4 · longest."
    )
    num_train: int = Field(default=8000, ge=20, description="Texts to train on.")
    num_valid: int = Field(
        default=1000, ge=20, description="Texts to choose the best weights by, up to `valid_longest`."
    )
    num_test: int = Field(default=2000, ge=20, description="Texts in the table, up to `test_longest`.")
    near_share: float = Field(
        default=0.5, ge=0, le=1, description="Of the texts that do not belong: one to three edits from one that does."
    )
    short_bias: float = Field(
        default=1.5, ge=0, description="A length n is trained on in proportion to (n + 1)^-short_bias; 0: all alike."
    )
    sample_seed: int = Field(default=0, ge=0, lt=2**60, description="Of the texts.")

    has_files: ClassVar = False

    @model_validator(mode="after")
    def _has_a_grammar(self) -> GrammarDataConfig:
        if self.sources is None:
            raise ValueError("data.sources is missing: name a grammar, tomita-5 or (ab)* or my-automaton.json")
        return self

    @model_validator(mode="after")
    def _reaches_as_far(self) -> GrammarDataConfig:
        for name in ("valid_longest", "test_longest"):
            if (value := getattr(self, name)) is not None and value < self.longest:
                raise ValueError(f"{name} {value} is shorter than longest {self.longest}; raise it")
        valid, test = self.longest_judged
        if valid > test:
            raise ValueError(f"valid_longest {valid} is above test_longest {test}; lower it")
        return self

    @property
    def longest_judged(self) -> tuple[int, int]:
        """Characters of the longest text to choose weights by, and of the longest in the table."""
        test = self.test_longest or _TEST * self.longest
        return self.valid_longest or min(_VALID * self.longest, test), test


class GrammarModelConfig(ClassifyModelConfig):
    """The recurrent model: as of `classify`, but small, forward, and without dropout: texts abound."""

    cell: CellName = Field(
        default="elman_tanh",
        description="Recurrent cell; one whose memory grows without bound loses count on long texts.",
    )
    hidden_size: Widths = Field(default=32, description="Units per layer and direction H; or the width of each layer.")
    bidirectional: bool = Field(default=False, description="Read in both directions; it cannot be stepped then.")
    readout: tuple[Literal["last", "max", "mean", "attention", "states"], ...] = Field(
        default=("last",), min_length=1, description=ClassifyModelConfig.model_fields["readout"].description
    )
    embedding_size: int = Field(default=8, ge=1, description="Numbers per character E.")
    input_dropout: float = Field(default=0.0, ge=0, lt=1, description="On what the first layer reads.")
    output_dropout: float = Field(default=0.0, ge=0, lt=1, description="On what is read out.")
    word_dropout: float = Field(default=0.0, ge=0, lt=1, description="On single characters.")


GrammarBaseline = Literal["majority", "naive-bayes", "logistic-regression", "automaton"]


class GrammarBaselinesConfig(SeedsConfig):
    """What the model is seen beside: bags of n-grams, and the exact automaton, which is always right."""

    kinds: tuple[GrammarBaseline, ...] = Field(
        default=("majority", "logistic-regression", "automaton"), min_length=1, description="Which the table shows."
    )
    ngram_order: int | None = Field(default=None, ge=1, le=8, description="Longest n of the n-grams; None: 4.")

    owners: ClassVar = {
        "ngram_order": (
            lambda baselines: bool({"naive-bayes", "logistic-regression"} & {*baselines.kinds}),
            "without a baseline of n-grams among kinds",
        )
    }


class GrammarConfig(SequencesRunConfig):
    """A grammar run: texts, model, baselines. Every character is a token, and both labels count alike."""

    data: GrammarDataConfig = Field(default_factory=GrammarDataConfig)
    model: GrammarModelConfig = Field(default_factory=GrammarModelConfig)
    baselines: GrammarBaselinesConfig = Field(default_factory=GrammarBaselinesConfig)

    @model_validator(mode="after")
    def _characters_are_no_words(self) -> GrammarConfig:
        need = ("words, and these tokens are characters", False)
        refuse_sizes(self.model, dict.fromkeys(("character_embedding_size", "character_hidden_size"), need))
        if self.model.ngrams:
            raise ValueError(
                "model.ngrams is of train classify; a grammar is learned by the layers alone: leave it out"
            )
        return self

    @property
    def tokenizer(self) -> ClassifyTokenizerConfig:
        return ClassifyTokenizerConfig(kind="char")

    @property
    def loss(self) -> ClassifyLossConfig:
        return ClassifyLossConfig()
