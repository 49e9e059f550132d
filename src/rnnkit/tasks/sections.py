"""Sections of a configuration that every task has: what a token is, the recurrent layers; torch-free."""

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


class SequencesConfig(Section):
    """Labelled sequences: to train on, to choose weights by, to make the table on."""

    sources: list[str] | None = Field(
        default=None, description="Files to train on; which formats, says the task's page."
    )
    valid_sources: list[str] | None = Field(
        default=None, description="What the best weights are chosen by; None: `valid_share` of the training ones."
    )
    test_sources: list[str] | None = Field(
        default=None, description="What the table is made on; None: `held_out` of `sources`."
    )
    held_out: float = Field(
        default=0.2, gt=0, lt=1, description="Share held out (of every label's sequences), without test_sources."
    )
    valid_share: float = Field(
        default=0.1, gt=0, lt=1, description="Share of what is left to choose weights by, without valid_sources."
    )
    split_seed: int = Field(default=0, ge=0, lt=2**63, description="Which ones are held out.")
    encoding: str = Field(default="utf-8", description="Of all sources.")

    owners: ClassVar = {
        "held_out": (lambda data: data.test_sources is None, "with test_sources"),
        "valid_share": (lambda data: data.valid_sources is None, "with valid_sources"),
    }

    @model_validator(mode="after")
    def _has_sources(self) -> Self:
        if self.sources is None:
            raise ValueError("data.sources is missing: name a file of labelled sequences")
        for name in ("sources", "valid_sources", "test_sources"):
            if getattr(self, name) == []:
                raise ValueError(f"data.{name} is an empty list: name a file, or leave it out")
        return self


class SeedsConfig(Section):
    """How often a model is trained; a section of baselines has it."""

    seeds: int = Field(
        default=1, ge=1, le=11, description="Trainings, from `seed` on, that the model's figure is also the mean of."
    )


class StartConfig(Section):
    """A trained language model to start from (Howard and Ruder 2018)."""

    from_run: str | None = Field(default=None, description="The run of a language model to start from; None: none.")
    pretrain: list[str] | None = Field(
        default=None,
        description="Texts that a language model is trained on first, with the training texts, in RUN-lm.",
    )
    pretrain_epochs: float = Field(default=2.0, gt=0, description="Passes over them.")
    pretrain_lr: float = Field(default=2e-3, gt=0, description="The language model's peak learning rate.")
    unfreeze_every: float = Field(
        default=1.0,
        ge=0,
        description="Epochs after which the next lower layer begins to learn, the head first; 0: all at once.",
    )
    rate_decay: float = Field(
        default=2.6, ge=1, description="What the learning rate is divided by from each layer to the one below."
    )

    owners: ClassVar = {
        **dict.fromkeys(
            ("pretrain_epochs", "pretrain_lr"), (lambda transfer: transfer.pretrain is not None, "without pretrain")
        ),
        **dict.fromkeys(
            ("unfreeze_every", "rate_decay"),
            (lambda transfer: bool(transfer.from_run or transfer.pretrain), "without from_run or pretrain"),
        ),
    }


class SequencesRunConfig(Section):
    """A run on labelled sequences, with a section `data` among others."""

    @model_validator(mode="before")
    @classmethod
    def _has_data(cls, values: Any) -> Any:
        """Without the section, its own check would not run."""
        return {"data": {}, **values} if isinstance(values, dict) else values


class LayersConfig(Section):
    """Recurrent layers and what they read: the fields of `rnnkit.models.recurrent.RecurrentConfig` without the data's.

    A task's model section adds its own, and its defaults.
    """

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
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Between layers.")
    input_dropout: float = Field(default=0.0, ge=0, lt=1, description="On the embedded input.")
    output_dropout: float = Field(default=0.0, ge=0, lt=1, description="On the last hidden state.")
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


class SpellingLayersConfig(LayersConfig):
    """As `LayersConfig`, of words whose spelling is read, too."""

    character_embedding_size: int = Field(default=32, ge=1, description="Numbers per character.")
    character_hidden_size: int = Field(
        default=48, ge=1, description="Units per direction of the LSTM that reads a word's characters."
    )


def refuse_sizes(model: Section, needs: dict[str, tuple[str, bool]]) -> None:
    """Refuse sizes of what is not read. Args: needs: by a size's name what it needs, and whether that is chosen.

    Raises: ValueError, which pydantic reports.
    """
    for name, (what, is_chosen) in needs.items():
        if not is_chosen and getattr(model, name) != type(model).model_fields[name].default:
            raise ValueError(f"model.{name} has no effect without {what}: leave it out")
