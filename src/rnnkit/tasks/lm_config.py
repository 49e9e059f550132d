"""LmConfig: every choice of a language-model run but the training itself; torch-free, so that it is checked at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from rnnkit.bundle.schema import GATES
from rnnkit.errors import nearest
from rnnkit.runtime import resolve_precision


class Section(BaseModel):
    """One section of a configuration: unknown keys are refused, and so is what would have no effect."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    owners: ClassVar[dict[str, tuple[Callable[[Any], bool], str]]] = {}
    """Fields that act only beside something else: whether it is there, and what to call its absence."""

    @model_validator(mode="after")
    def _nothing_is_ignored(self) -> Self:
        for name, (has_effect, absence) in self.owners.items():
            if getattr(self, name) != type(self).model_fields[name].default and not has_effect(self):
                raise ValueError(f"{name} has no effect {absence}: leave it out, or change that")
        return self


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
    cache_dir: str | None = Field(
        default=None,
        description="Where token files are kept; None: $RNNKIT_CACHE, or rnnkit in the user's cache folder.",
    )

    owners = {
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


class TokenizerConfig(Section):
    """What a token is."""

    kind: Literal["byte", "char", "word", "bpe"] = Field(
        default="char", description="Byte, character, word, or BPE piece."
    )
    vocab_size: int | None = Field(default=None, ge=2, description="Most tokens; None: all of them (bpe: 8192).")
    min_count: int = Field(default=1, ge=1, description="Tokens seen less often are unknown.")
    split_punctuation: bool = Field(default=False, description="Words of raw text: split their punctuation off.")
    special_tokens: tuple[str, ...] = Field(
        default=(), description='Entries that no text encodes to, such as "<pad>"; at the end of the vocabulary.'
    )


def _is_a_width_or_several(value: Any) -> Any:
    widths = value if isinstance(value, list | tuple) else [value]
    if not widths or any(type(width) is not int or width < 1 for width in widths):
        raise ValueError(f"hidden_size is {value!r}: give the units of every layer, at least 1, or a list of them")
    return value


def _runs_without_torch(cell: str) -> str:
    if cell not in GATES:
        near = nearest(cell, GATES)
        hint = f"did you mean {near!r}?" if near else f"choose one of {', '.join(GATES)}"
        raise ValueError(f"the run half, which writes samples and judges, has no cell {cell!r}: {hint}")
    return cell


def _is_settled_at_the_start(precision: str) -> str:
    return resolve_precision(precision)  # a run that another machine resumes stays what it is


Widths = Annotated[int | tuple[int, ...], BeforeValidator(_is_a_width_or_several)]
CellName = Annotated[str, AfterValidator(_runs_without_torch)]
PrecisionName = Annotated[Literal["fp32", "fp32_split", "bf16", "auto"], AfterValidator(_is_settled_at_the_start)]


class ModelConfig(Section):
    """The recurrent model: the fields of `rnnkit.models.generator.GeneratorConfig` that the text does not decide."""

    cell: CellName = Field(
        default="lstm",
        description=f"One time step: {', '.join(GATES)}. The GRU's reset gate acts before or after the product.",
    )
    hidden_size: Widths = Field(
        default=512, description="Units per layer H; or the width of each layer, as [512, 256], without num_layers."
    )
    num_layers: int = Field(default=1, ge=1, description="Recurrent layers L.")
    proj_size: int | None = Field(
        default=None,
        ge=1,
        description="lstm: the width P of its h, below hidden_size; None: not projected.",
    )
    embedding_size: int = Field(default=256, ge=0, description="Numbers per token E; 0 feeds one-hot rows.")
    bias: bool = Field(default=True, description="Bias in the recurrent layers.")
    forget_bias: float = Field(default=1.0, description="The forget gate's bias at the start.")
    init: Literal["uniform", "orthogonal"] = Field(
        default="uniform", description="The recurrent weights' start: as torch, or orthogonal for each gate."
    )
    chrono: int | None = Field(
        default=None, ge=3, description="Longest dependency expected, in tokens: spreads the gates' biases up to it."
    )
    residual: bool = Field(default=False, description="From the second layer on, add what a layer reads to its output.")
    trainable_state: bool = Field(default=False, description="Learn the state that a document starts from.")
    layer_norm: bool = Field(
        default=False, description="Normalise each step's products, and the memory that h shows (Ba et al. 2016)."
    )
    tied: bool = Field(default=False, description="Score with the embedding table itself.")
    softmax: Literal["full", "adaptive"] = Field(
        default="full", description="adaptive saves time with a large vocabulary of words."
    )
    cutoffs: tuple[int, ...] = Field(default=(), description="Where the clusters of the adaptive softmax end.")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Between layers.")
    input_dropout: float = Field(default=0.0, ge=0, lt=1, description="On the embedded input.")
    output_dropout: float = Field(default=0.1, ge=0, lt=1, description="On the last hidden state.")
    locked_dropout: bool = Field(default=False, description="One mask per window and row instead of one per step.")
    embedding_dropout: float = Field(default=0.0, ge=0, lt=1, description="On whole rows of the embedding table.")
    word_dropout: float = Field(default=0.0, ge=0, lt=1, description="On single input tokens.")
    weight_dropout: float = Field(
        default=0.0, ge=0, lt=1, description="On the recurrent weights, one mask per window (Merity et al. 2018)."
    )
    zoneout: float | tuple[float, ...] = Field(
        default=0.0, description="Probability that a unit keeps its old value; one for all of the state, or [h, c]."
    )
    recurrent_dropout: float = Field(
        default=0.0, ge=0, lt=1, description="On the h that enters the recurrent products, one mask per window and row."
    )
    recompute: bool = Field(
        default=False, description="Compute the gates again in backward: less memory, a third more time."
    )
    precision: PrecisionName = Field(
        default="fp32", description="Of matrix products; auto: bf16 where the processor has an instruction for it."
    )


Baseline = Literal["unigram", "kneser-ney", "window-mlp"]


class BaselinesConfig(Section):
    """What the model must beat."""

    kinds: tuple[Baseline, ...] = Field(
        default=("unigram", "kneser-ney", "window-mlp"), min_length=1, description="Which baselines the table shows."
    )
    ngram_order: int = Field(
        default=6, ge=2, le=6, description="Longest n of the n-gram models; all from 2 up are shown."
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

    owners = {
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

    owners = dict.fromkeys(
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

    @model_validator(mode="after")
    def _fits_together(self) -> LmConfig:
        if self.data.as_bytes and self.tokenizer.kind != "byte":
            raise ValueError(f"as_bytes goes with tokenizer kind byte, not {self.tokenizer.kind}")
        if self.model.softmax == "adaptive" and self.tokenizer.kind != "word":
            raise ValueError(
                f"softmax adaptive needs ids by falling frequency, not those of tokenizer kind {self.tokenizer.kind}; "
                "choose kind word, or softmax full"
            )
        return self
