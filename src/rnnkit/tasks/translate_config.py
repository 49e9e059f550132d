"""TranslateConfig: every choice of a run on pairs of texts but the training itself; torch-free, so checked at once."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from rnnkit.tasks.sections import LayersConfig, Section, SeedsConfig, SequencesConfig, SequencesRunConfig


class TranslateDataConfig(SequencesConfig):
    """Which pairs: to train on, to choose weights by, to make the table on."""

    sources: list[str] | None = Field(
        default=None, description="Two parallel files, or tables of pairs (.csv, .tsv, .jsonl), also as .gz."
    )
    held_out: float = Field(default=0.1, gt=0, lt=1, description="Share of the sources held out, without test_sources.")
    source_column: str | None = Field(
        default=None, description="Of a table: source, src or input; a name, or a number from 1."
    )
    target_column: str | None = Field(
        default=None, description="Of a table: target, tgt, output or reference; a name, or a number from 1."
    )
    has_header: bool | None = Field(
        default=None, description="Whether a table's first row names its columns; None: as it looks."
    )
    max_tokens: int = Field(default=400, ge=1, description="The most tokens that a side may have.")
    skip_bad: bool = Field(default=False, description="Leave out rows that cannot be used, and say how many they were.")
    group_test: bool = Field(
        default=False, description="Of the test part take equal sources as one, each of their targets as good."
    )


TokenKind = Literal["byte", "char", "word", "bpe"]


class TranslateTokenizerConfig(Section):
    """What a token is."""

    kind: TokenKind | None = Field(
        default=None, description="Byte, character, word, or BPE piece; None: characters of a side of single words."
    )
    source_kind: TokenKind | None = Field(default=None, description="Of the sources; None: as `kind`.")
    joint: bool = Field(default=False, description="One vocabulary for both sides.")
    lowercase: bool = Field(default=False, description="Read capital letters as small ones, on both sides.")
    vocab_size: int | None = Field(
        default=None, ge=2, description="Most tokens of each vocabulary; None: all of them (bpe: 8192)."
    )
    min_count: int = Field(default=1, ge=1, description="Tokens seen less often are unknown.")
    split_punctuation: bool = Field(default=False, description="Words of raw text: split their punctuation off.")

    owners: ClassVar = {"source_kind": (lambda tokens: not tokens.joint, "with joint")}


class WriterModelConfig(LayersConfig):
    """A model that writes: the fields of `rnnkit.models.encoder_decoder.EncoderDecoderConfig` that data leaves open."""

    hidden_size: int = Field(default=256, ge=1, description="Units of every layer of the decoder H.")  # type: ignore[assignment]
    embedding_size: int = Field(default=256, ge=1, description="Numbers per token E, on both sides.")
    encoder_size: int | None = Field(
        default=None, ge=1, description="Units of each direction of the encoder; None: H, or H/2 in each of two."
    )
    encoder_layers: int | None = Field(default=None, ge=1, description="Layers of the encoder; None: num_layers.")
    bidirectional: bool = Field(default=True, description="The encoder reads in both directions.")
    conditioning: Literal["state", "concat", "both", "none"] = Field(
        default="state",
        description="How the decoder knows the source: its last state as the first; the encoding beside every input; "
        "both; none: by attention alone.",
    )
    attention: Literal["none", "dot", "general", "additive"] = Field(
        default="general", description="How the decoder looks back (Luong et al. 2015; additive: Bahdanau et al. 2015)."
    )
    attention_size: int | None = Field(default=None, ge=1, description="additive: numbers of a key K; None: H.")
    input_feeding: bool = Field(default=False, description="Also read what the last token was decided by.")
    tied: bool = Field(default=False, description="Score with the embedding of the targets.")
    input_dropout: float = Field(default=0.2, ge=0, lt=1, description="On embeddings.")
    output_dropout: float = Field(default=0.3, ge=0, lt=1, description="On what the softmax reads.")
    coverage: float = Field(
        default=0.0,
        ge=0,
        lt=1000,
        description="additive: above 0 read how much each place was looked at, and add so much of looking twice to the "
        "loss.",
    )
    label_smoothing: float = Field(
        default=0.1, ge=0, lt=1, description="Share of the target spread over all tokens (Szegedy et al. 2016)."
    )
    scheduled_sampling: float = Field(
        default=0.0, ge=0, lt=1, description="Share of what the decoder reads while training that it predicted itself."
    )


class TranslateModelConfig(WriterModelConfig):
    """The model: as of every writer, and what reads and writes tokens of one vocabulary."""

    shared_embedding: bool = Field(default=False, description="One embedding for both sides, of a joint vocabulary.")
    copying: bool = Field(
        default=False, description="Also write tokens of the source that the attention looks at (See et al. 2017)."
    )


class DecodingConfig(Section):
    """How texts are written for the table, and by `predict` unless it is told otherwise."""

    num_beams: int = Field(default=5, ge=1, le=256, description="Texts followed at a time; 1: greedy.")
    length_penalty: float = Field(default=1.0, description="Above 0 favours longer texts, below 0 shorter ones.")
    max_new_tokens: int | None = Field(
        default=None, ge=1, description="Where a text is cut off; None: at twice the source's tokens and twenty more."
    )
    early_stopping: bool = Field(default=False, description="End a search at num_beams whole texts.")


class TranslateScoreConfig(Section):
    """How texts are judged."""

    tokenize: Literal["13a", "intl", "char", "zh", "none"] = Field(
        default="13a", description="How BLEU cuts texts: 13a as WMT has it; none: where they are tokenised."
    )
    figure: Literal["bleu", "exact", "wer", "cer"] = Field(default="bleu", description="What systems are compared by.")


class WriterBaselinesConfig(SeedsConfig):
    """What a model that writes must beat: a kind of data has baselines of its own, all the transformer."""

    kinds: Any = Field(default=None, min_length=1, description="Which the table shows; None: all.")
    transformer_layers: int | None = Field(
        default=None, ge=1, description="Of its encoder and decoder, each; None: 3, or fewer that are not narrow."
    )
    transformer_heads: int | None = Field(
        default=None, ge=1, description="Of each of its attentions; None: one for every 32 numbers."
    )
    transformer_dropout: float = Field(default=0.1, ge=0, lt=1, description="On what each of its parts adds.")
    transformer_lr: float | None = Field(
        default=None, gt=0, description="Its peak learning rate; None: 0.016/√D, 0.001 at 256 numbers per place."
    )
    transformer_warmup_steps: int = Field(default=400, ge=0, description="Updates from 0 to that rate.")

    owners: ClassVar = {
        name: (lambda chosen: chosen.kinds is None or "transformer" in chosen.kinds, "without transformer among kinds")
        for name in (
            "transformer_layers", "transformer_heads", "transformer_dropout", "transformer_lr",
            "transformer_warmup_steps",
        )
    }  # fmt: skip


class TranslateBaselinesConfig(WriterBaselinesConfig):
    """What the model must beat."""

    kinds: tuple[Literal["copy-source", "nearest-source", "transformer"], ...] | None = Field(
        default=None, min_length=1, description="Which the table shows; None: all."
    )


class TranslateConfig(SequencesRunConfig):
    """A run on pairs: data, tokens, model, how texts are written and judged, baselines."""

    data: TranslateDataConfig = Field(default_factory=TranslateDataConfig)
    tokenizer: TranslateTokenizerConfig = Field(default_factory=TranslateTokenizerConfig)
    model: TranslateModelConfig = Field(default_factory=TranslateModelConfig)
    decoding: DecodingConfig = Field(default_factory=DecodingConfig)
    scores: TranslateScoreConfig = Field(default_factory=TranslateScoreConfig)
    baselines: TranslateBaselinesConfig = Field(default_factory=TranslateBaselinesConfig)

    @model_validator(mode="after")
    def _one_table_needs_one_vocabulary(self) -> TranslateConfig:
        if self.model.shared_embedding and not self.tokenizer.joint:
            raise ValueError("model.shared_embedding is one table for both sides: set tokenizer.joint, or leave it out")
        if self.model.copying and not self.tokenizer.joint:
            raise ValueError("model.copying writes tokens of the source: set tokenizer.joint, or leave it out")
        if self.model.copying and self.model.label_smoothing:
            raise ValueError(
                f"model.label_smoothing {self.model.label_smoothing:g} does not go with model.copying: set it to 0"
            )
        return self
