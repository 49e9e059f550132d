"""LmConfig: every choice of a language-model run but the training itself; torch-free, so that it is checked at once."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from rnnkit.tasks.sections import LayersConfig, Section, TokenizerConfig


class DataConfig(Section):
    """Which text. With nothing set: the Python language reference that ships inside Python (`pydoc_data.topics`)."""

    sources: list[str] | None = Field(
        default=None, description="Files, folders, .gz, or - for stdin; None: the default text."
    )
    valid_sources: list[str] | None = Field(
        default=None,
        description="Text to choose the best weights by; None: what the table is made on; alone: also that.",
    )
    test_sources: list[str] | None = Field(
        default=None, description="Text that the table is made on; None: `held_out`."
    )
    held_out: float = Field(
        default=0.1, gt=0, lt=1, description="Share of the end of `sources` held out, without test_sources."
    )
    encoding: str = Field(default="utf-8", description="Of all sources.")
    as_bytes: bool = Field(default=False, description="Read bytes, whatever they mean; goes with tokenizer kind byte.")
    by_line: bool = Field(
        default=False,
        description="Every line is a document of its own: the model reads it from the initial state.",
    )
    cache_dir: str | None = Field(
        default=None,
        description="Where token files are kept; None: $RNNKIT_CACHE, or rnnkit in the user's cache folder.",
    )

    owners: ClassVar = {
        "held_out": (lambda data: data.test_sources is None, "with test_sources"),
        "encoding": (lambda data: data.sources is not None and not data.as_bytes, "on the default text or as_bytes"),
    }

    @model_validator(mode="after")
    def _fits_together(self) -> DataConfig:
        if self.sources is None and (self.valid_sources or self.test_sources):
            raise ValueError("valid_sources and test_sources go with sources: name the text to train on too")
        return self

    @model_validator(mode="before")
    @classmethod
    def _judges_on_what_it_chooses_by(cls, values: Any) -> Any:
        """A validation text without a test text is both, as a test text without a validation text is."""
        if isinstance(values, dict) and values.get("valid_sources") and not values.get("test_sources"):
            return {**values, "test_sources": values["valid_sources"], "valid_sources": None}
        return values


class ModelConfig(LayersConfig):
    """The recurrent model: the fields of `rnnkit.models.generator.GeneratorConfig` that the text does not decide."""

    bidirectional: bool = Field(
        default=False,
        description="Score each token by all others on both sides of it, with layers for each; it cannot write.",
    )
    tied: bool = Field(default=False, description="Score with the embedding table itself.")
    softmax: Literal["full", "adaptive"] = Field(
        default="full", description="adaptive saves time with a large vocabulary of words."
    )
    cutoffs: tuple[int, ...] = Field(default=(), description="Where the clusters of the adaptive softmax end.")
    output_dropout: float = Field(default=0.1, ge=0, lt=1, description="On the last hidden state.")


Baseline = Literal["unigram", "kneser-ney", "window-mlp"]


class BaselinesConfig(Section):
    """What the model must beat."""

    kinds: tuple[Baseline, ...] = Field(
        default=("unigram", "kneser-ney", "window-mlp"), min_length=1, description="Which baselines the table shows."
    )
    ngram_order: int = Field(
        default=6,
        ge=2,
        le=9,
        description="Longest n of the n-gram models; all from 2 up are shown. Of a bidirectional model the context's "
        "n - 1 tokens are the nearest on both sides, and the default is 9.",
    )
    mlp_order: int | None = Field(
        default=None, ge=2, description="n of the window MLP; None: 11 for characters and bytes, else 6."
    )
    mlp_embedding_size: int | None = Field(
        default=None, ge=1, description="None: 32 for characters and bytes, else 128."
    )
    mlp_hidden_size: int = Field(default=512, ge=1, description="Its tanh units.")
    mlp_direct: bool = Field(default=False, description="Feed the window straight into the softmax too (Bengio's W).")
    mlp_lr: float = Field(default=2e-3, gt=0, description="Its peak learning rate (AdamW, cosine).")

    owners: ClassVar = {
        "ngram_order": (lambda baselines: "kneser-ney" in baselines.kinds, "without kneser-ney among kinds"),
        **dict.fromkeys(
            ("mlp_order", "mlp_embedding_size", "mlp_hidden_size", "mlp_direct", "mlp_lr"),
            (lambda baselines: "window-mlp" in baselines.kinds, "without window-mlp among kinds"),
        ),
    }


class SamplesConfig(Section):
    """Samples written during training, after every evaluation."""

    sample_tokens: int = Field(default=300, ge=0, description="Length in tokens; 0: no samples.")
    sample_prompt: str = Field(default="", description="What they continue; empty: the beginning of a document.")
    sample_temperature: float = Field(default=0.8, ge=0, description="0 is greedy.")

    owners: ClassVar = dict.fromkeys(
        ("sample_prompt", "sample_temperature"),
        (lambda samples: samples.sample_tokens > 0, "with sample_tokens 0"),
    )


class LmConfig(Section):
    """A language-model run: data, tokeniser, model, baselines, samples."""

    data: DataConfig = Field(default_factory=DataConfig)
    tokenizer: TokenizerConfig = Field(default_factory=TokenizerConfig)
    model: ModelConfig = Field(default_factory=ModelConfig)
    baselines: BaselinesConfig = Field(default_factory=BaselinesConfig)
    samples: SamplesConfig = Field(default_factory=SamplesConfig)

    @model_validator(mode="before")
    @classmethod
    def _of_both_sides(cls, values: Any) -> Any:
        """A bidirectional model writes no samples, and is judged beside n-grams that see both sides too."""
        if not isinstance(values, dict) or not _is_bidirectional(values.get("model")):
            return values
        judged, written = values.get("baselines", {}), values.get("samples", {})
        if isinstance(judged, dict):
            kinds = judged.get("kinds", ("unigram", "kneser-ney"))
            order = {"ngram_order": 9} if "kneser-ney" in kinds else {}
            values = {**values, "baselines": {"kinds": kinds, **order, **judged}}
        if isinstance(written, dict):
            values = {**values, "samples": {"sample_tokens": 0, **written}}
        return values

    @model_validator(mode="after")
    def _fits_together(self) -> LmConfig:
        if self.model.bidirectional and "window-mlp" in self.baselines.kinds:
            raise ValueError(
                "the baseline window-mlp sees what is before a token alone, a bidirectional model both sides; "
                "choose from unigram, kneser-ney"
            )
        if self.model.bidirectional and self.samples.sample_tokens:
            raise ValueError(
                f"sample_tokens is {self.samples.sample_tokens}, and a bidirectional model cannot write: leave it out"
            )
        if self.data.as_bytes and self.tokenizer.kind != "byte":
            raise ValueError(f"as_bytes goes with tokenizer kind byte, not {self.tokenizer.kind}")
        if self.model.softmax == "adaptive" and self.tokenizer.kind != "word":
            raise ValueError(
                f"softmax adaptive needs ids by falling frequency, not those of tokenizer kind {self.tokenizer.kind}; "
                "choose kind word, or softmax full"
            )
        return self


def _is_bidirectional(model: Any) -> bool:
    """Whether a section `model`, checked or not, asks for both sides."""
    return bool(model.get("bidirectional") if isinstance(model, dict) else getattr(model, "bidirectional", False))
