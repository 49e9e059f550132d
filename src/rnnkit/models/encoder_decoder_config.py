"""EncoderDecoderConfig: everything that fixes an encoder-decoder's shape and regularisation."""

from __future__ import annotations

from dataclasses import dataclass, field

from rnnkit.errors import ConfigError
from rnnkit.models.recurrent import RecurrentConfig, check_sizes
from rnnkit.nn.dropout import check_probability

ENCODERS = ("recurrent", "set")
CONDITIONING = ("state", "concat", "both", "none")
ATTENTION = ("none", "dot", "general", "additive")


@dataclass(frozen=True, kw_only=True)
class EncoderDecoderConfig(RecurrentConfig):
    """Everything that fixes an EncoderDecoder's shape and regularisation; plain values, ready for JSON.

    Args:
        vocab_size: V, of what is written; source_vocab_size: of what is read. embedding_size: E, of both.
        shared_embedding: one table for both, which then share their vocabulary.
        encoder: "recurrent" layers over a sequence; or "set": tokens without an order, such as a record's attributes,
            each by itself through one layer of encoder_size units.
        hidden_size, num_layers: of the decoder, one width for all its layers; of the encoder where the next two say
            nothing. encoder_size: of each direction of the encoder; None: hidden_size, or half of it in each of two.
            encoder_layers: None: num_layers.
        bidirectional: whether the encoder also reads from the end.
        conditioning: how the decoder knows the source: its last "state" as the first one; the encoding by "concat" to
            every input; "both"; or "none", by attention alone.
        attention: "none", "dot", "general" or "additive". attention_size: K of "additive"; None: hidden_size.
        input_feeding: also read, at every step, what the last one decided by.
        tied: score with the table of what is written; a projection H→E precedes it when E ≠ H.
        copying: also write tokens of the source, as often as the attention looks at them; of one vocabulary.
        coverage: above 0 the attention also reads how much it has looked at each place before, and training adds so
            much of Σ_s min(a_s, that) to each token's loss; with attention "additive".
        label_smoothing: ε of the targets while training. scheduled_sampling: the share of what the decoder reads while
            training that it has predicted itself.
        input_dropout: on embeddings. output_dropout: on what the softmax reads.
        others: as of `RecurrentConfig`.
    Raises: ConfigError, naming the field.
    """

    source_vocab_size: int
    shared_embedding: bool = False
    encoder: str = "recurrent"
    encoder_size: int | None = None
    encoder_layers: int | None = None
    bidirectional: bool = True
    conditioning: str = "state"
    attention: str = "none"
    attention_size: int | None = None
    input_feeding: bool = False
    tied: bool = field(default=False)
    copying: bool = False
    coverage: float = 0.0
    label_smoothing: float = 0.0
    scheduled_sampling: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sizes("vocab_size", self.vocab_size, least=1)
        check_sizes("source_vocab_size", self.source_vocab_size, least=1)
        check_sizes("embedding_size", self.embedding_size, least=1)
        if not isinstance(self.hidden_size, int):
            raise ConfigError(f"hidden_size={self.hidden_size} has widths for layers; give one for all of them")
        if self.proj_size is not None:
            raise ConfigError(f"proj_size={self.proj_size} is for other models; leave it out")
        if self.trainable_state and self.takes_state:
            raise ConfigError(
                f"trainable_state with conditioning={self.conditioning!r}: the encoder starts the decoder"
            )
        for name, known in (("encoder", ENCODERS), ("conditioning", CONDITIONING), ("attention", ATTENTION)):
            if getattr(self, name) not in known:
                raise ConfigError(f"{name}={getattr(self, name)!r} does not exist; choose one of {', '.join(known)}")
        for name in ("encoder_size", "encoder_layers", "attention_size"):
            if getattr(self, name) is not None:
                check_sizes(name, getattr(self, name), least=1)
        if self.encoder == "set" and (self.bidirectional or self.encoder_layers not in (None, 1)):
            raise ConfigError(
                f"encoder='set' with bidirectional={self.bidirectional}, encoder_layers={self.encoder_layers}: a set "
                "has no order to read and one layer; set bidirectional to False, leave encoder_layers out"
            )
        own: dict[str, int | None] = {
            "encoder_size": self.encoder_size
            or (max(1, self.hidden_size // 2) if self.bidirectional else self.hidden_size),
            "encoder_layers": self.encoder_layers or (1 if self.encoder == "set" else self.num_layers),
        }
        if self.attention == "additive":
            own["attention_size"] = self.attention_size or self.hidden_size
        for name, value in own.items():
            object.__setattr__(self, name, value)
        for name in ("label_smoothing", "scheduled_sampling"):
            object.__setattr__(self, name, check_probability(name, getattr(self, name)))
        if self.conditioning == "none" and self.attention == "none":
            raise ConfigError("conditioning='none' without attention: the decoder would know nothing of the source")
        if self.attention_size is not None and self.attention != "additive":
            raise ConfigError(f"attention_size={self.attention_size} is for attention='additive'; leave it out")
        if self.attention == "dot" and self.encoding_size != self.hidden_size:
            raise ConfigError(
                f"attention='dot' multiplies states of {self.hidden_size} with encodings of {self.encoding_size} "
                "numbers; make them equal, or use 'general'"
            )
        if self.input_feeding and self.attention == "none":
            raise ConfigError("input_feeding feeds what attention found; choose an attention, or leave it out")
        if self.input_feeding and self.scheduled_sampling:
            raise ConfigError("scheduled_sampling does not go with input_feeding; leave one out")
        if self.copying and (self.attention == "none" or self.source_vocab_size != self.vocab_size):
            raise ConfigError(
                f"copying needs an attention, and one vocabulary: there are {self.source_vocab_size} and "
                f"{self.vocab_size} tokens; use a joint tokeniser"
            )
        if self.copying and self.label_smoothing:
            raise ConfigError(f"label_smoothing={self.label_smoothing} does not go with copying; set it to 0")
        if not isinstance(self.coverage, int | float) or not 0 <= self.coverage < 1000:
            raise ConfigError(f"coverage={self.coverage!r} must be a number of at least 0, for example 1.0")
        if self.coverage and self.attention != "additive":
            raise ConfigError(f"coverage={self.coverage:g} is read by attention='additive'; choose it, or leave it out")
        if self.shared_embedding and self.source_vocab_size != self.vocab_size:
            raise ConfigError(
                f"shared_embedding needs one vocabulary, there are {self.source_vocab_size} and {self.vocab_size} "
                "tokens; use a joint tokeniser"
            )

    @property
    def encoding_size(self) -> int:
        """The width W of the encoder's outputs."""
        assert self.encoder_size is not None
        return self.encoder_size * (1 + self.bidirectional)

    @property
    def decoder_input_size(self) -> int:
        """The width of what the decoder reads at every step: an embedding, what was fed, and the encoding."""
        width: int = self.hidden_size  # type: ignore[assignment]
        concat = self.encoding_size if self.conditioning in ("concat", "both") else 0
        return self.embedding_size + width * self.input_feeding + concat

    @property
    def has_bridge(self) -> bool:
        """Whether a layer makes the decoder's first state of what the encoder ended with."""
        is_other = self.bidirectional or self.encoding_size != self.hidden_size or self.encoder == "set"
        return self.takes_state and is_other

    @property
    def takes_state(self) -> bool:
        """Whether the decoder starts from what the encoder ended with."""
        return self.conditioning in ("state", "both")
