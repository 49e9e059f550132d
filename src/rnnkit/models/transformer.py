"""Transformer: torch's own layers as an encoder and a decoder, the peer that an encoder-decoder stands beside."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnkit.errors import ConfigError
from rnnkit.nn import linear_cross_entropy
from rnnkit.state import State

_HEAD_SIZE = 32
_LEAST_WIDTH = 64  # of every layer, where there are several
_MOST_LAYERS = 3


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """Sizes of a Transformer.

    Args:
        vocab_size: V, of what is written; source_vocab_size: of what is read.
        shared_embedding: one table for both, which then share their vocabulary.
        hidden_size: numbers per place D, even and a multiple of num_heads.
        num_heads: of every attention; None: of 32 numbers each, or a single one.
        feedforward_size: rectified units between two layers of attention; None: 4·D.
        encoder_layers, num_layers: of the encoder and of the decoder.
        tied: score with the table of what is written.
        dropout: on embeddings and on what every part adds.
        label_smoothing: ε of the targets while training.
    Raises: ConfigError, naming the field.
    """

    vocab_size: int
    source_vocab_size: int
    shared_embedding: bool = False
    hidden_size: int = 256
    num_heads: int | None = None
    feedforward_size: int | None = None
    encoder_layers: int = 3
    num_layers: int = 3
    tied: bool = True
    dropout: float = 0.1
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        if self.feedforward_size is None:
            object.__setattr__(self, "feedforward_size", 4 * self.hidden_size)
        if self.num_heads is None:
            whole = type(self.hidden_size) is int and self.hidden_size > 0 and self.hidden_size % _HEAD_SIZE == 0
            object.__setattr__(self, "num_heads", self.hidden_size // _HEAD_SIZE if whole else 1)
        for name in (
            "vocab_size", "source_vocab_size", "hidden_size", "num_heads", "feedforward_size", "encoder_layers",
            "num_layers",
        ):  # fmt: skip
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ConfigError(f"{name}={value!r} must be an integer of at least 1")
        assert self.num_heads is not None
        if self.hidden_size % 2 or self.hidden_size % self.num_heads:
            raise ConfigError(
                f"hidden_size={self.hidden_size} must be even and a multiple of num_heads={self.num_heads}"
            )
        for name in ("dropout", "label_smoothing"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ConfigError(f"{name}={getattr(self, name)} must be in [0, 1)")
        if self.shared_embedding and self.source_vocab_size != self.vocab_size:
            raise ConfigError(
                f"shared_embedding needs one vocabulary, not of {self.source_vocab_size} and {self.vocab_size} tokens"
            )

    @property
    def num_parameters(self) -> int:
        """How many numbers are learned."""
        D, M = self.hidden_size, self.feedforward_size
        assert M is not None
        attention, feedforward, norm = 4 * (D * D + D), 2 * D * M + D + M, 2 * D
        layers = self.encoder_layers * (attention + feedforward + 2 * norm)
        layers += self.num_layers * (2 * attention + feedforward + 3 * norm) + 2 * norm
        tables = (0 if self.shared_embedding else self.source_vocab_size) + (2 - self.tied) * self.vocab_size
        return layers + tables * D + self.vocab_size

    @classmethod
    def of_size(cls, num_parameters: int, *, layers: int | None = None, **choices: Any) -> TransformerConfig:
        """The widest one that has no more parameters, at least one step wide.

        D grows in steps of a head's 32 numbers; what is then left goes to rectified units.

        Args:
            layers: of the encoder and of the decoder, each; None: as many, up to 3, as leave D at least 64.
            choices: every field but these numbers of layers and the two widths; with num_heads, D grows in steps of 8
                numbers per head.
        """
        if layers is None:
            found = (cls.of_size(num_parameters, layers=count, **choices) for count in range(_MOST_LAYERS, 1, -1))
            deep = next((config for config in found if config.hidden_size >= _LEAST_WIDTH), None)
            return deep or cls.of_size(num_parameters, layers=1, **choices)

        def of_width(width: int) -> TransformerConfig:
            return cls(hidden_size=width, encoder_layers=layers, num_layers=layers, **choices)

        heads = choices.get("num_heads")
        width = step = _HEAD_SIZE if heads is None else 8 * heads
        while of_width(width + step).num_parameters <= num_parameters:
            width += step
        found = of_width(width)
        units = (num_parameters - found.num_parameters) // (2 * layers * (2 * width + 1))
        return replace(found, feedforward_size=4 * width + max(units, 0))


class Transformer(nn.Module):
    """Attention in place of recurrence; trains in the same loop, by the interface of `EncoderDecoder`.

    x_t = √D·E[w_t] + P_t with P_t[2i], P_t[2i + 1] = sin, cos(t / 10000^{2i/D});  every part of a layer adds
    part(norm(x)) to x: attention to all places (in the decoder to those before), in the decoder attention to the
    encoder's outputs, and W₂ max(W₁ x + b₁, 0) + b₂;  logits = U norm(x) + b.

    Parameters: those of `torch.nn.TransformerEncoderLayer` and `TransformerDecoderLayer` below `encoder.{i}` and
    `decoder.{i}`; `encoder_norm`, `decoder_norm`; `embedding.weight` [V, D], `source_embedding.weight` [V_s, D] unless
    shared; `head.bias` [V] and, unless tied, `head.weight` [V, D].

    Start: matrices of layers uniform (Glorot and Bengio 2010), biases 0, tables N(0, 1/D).

    Source: Vaswani et al. 2017, arXiv:1706.03762; norms before each part: Xiong et al. 2020, arXiv:2002.04745.
    """

    kind = "transformer"

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        D = config.hidden_size
        self.embedding = nn.Embedding(config.vocab_size, D)
        self.source_embedding = None if config.shared_embedding else nn.Embedding(config.source_vocab_size, D)
        how: Any = {
            "d_model": D, "nhead": config.num_heads, "dim_feedforward": config.feedforward_size,
            "dropout": config.dropout, "batch_first": True, "norm_first": True,
        }  # fmt: skip
        self.encoder = nn.ModuleList(nn.TransformerEncoderLayer(**how) for _ in range(config.encoder_layers))
        self.decoder = nn.ModuleList(nn.TransformerDecoderLayer(**how) for _ in range(config.num_layers))
        self.encoder_norm, self.decoder_norm = nn.LayerNorm(D), nn.LayerNorm(D)
        self.head: Any = nn.Module()
        self.head.bias = nn.Parameter(torch.zeros(config.vocab_size))
        if not config.tied:
            self.head.weight = nn.Parameter(torch.empty(config.vocab_size, D))
        for name, parameter in self.named_parameters():
            if "embedding" in name or name == "head.weight":
                nn.init.normal_(parameter, std=D**-0.5)
            elif parameter.ndim == 2:
                nn.init.xavier_uniform_(parameter)

    def initial_state(self, batch: int = 1) -> State:
        """Empty: a transformer carries nothing from one sequence to the next."""
        return State([])

    def forward(
        self, inputs: tuple[Tensor, Tensor, Tensor], state: State | None = None, *, lengths: Any = None
    ) -> tuple[Tensor, State]:
        """Teacher forcing: (sources [S, B], their lengths [B], what stands before each target [T, B]) -> [T, B, D].

        What stands behind a source's length changes nothing; behind a target's, nothing that has a weight.
        """
        sources, source_lengths, previous = inputs
        is_behind = torch.arange(len(sources)) >= source_lengths[:, None]  # [B, S]
        is_behind[:, 0] = False  # a source of no tokens is read as its first id, rather than as NaN
        own = self.embedding if self.source_embedding is None else self.source_embedding
        memory = self._placed(own, sources)
        for layer in self.encoder:
            memory = layer(memory, src_key_padding_mask=is_behind)
        memory = self.encoder_norm(memory)
        x = self._placed(self.embedding, previous)
        is_later = torch.ones(len(previous), len(previous), dtype=torch.bool).triu(1)
        for layer in self.decoder:
            x = layer(x, memory, tgt_mask=is_later, tgt_is_causal=True, memory_key_padding_mask=is_behind)
        return self.decoder_norm(x).transpose(0, 1), State([])

    def loss(self, hidden: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """Nats per token `[T, B]`: −log p(target), while training against smoothed targets."""
        weight = self.embedding.weight if self.config.tied else self.head.weight
        smoothing = self.config.label_smoothing if self.training else 0.0
        return linear_cross_entropy(
            hidden, targets, weight=weight, bias=self.head.bias, weights=weights, label_smoothing=smoothing
        )

    def export(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """`config.json` of kind `transformer` and the weights as float32 arrays, named as in the state_dict."""
        config = {"format": 1, "kind": self.kind, "model": asdict(self.config), "precision": "fp32"}
        return config, {name: tensor.detach().cpu().numpy().copy() for name, tensor in self.state_dict().items()}

    def _placed(self, table: nn.Embedding, ids: Tensor) -> Tensor:
        """ids [T, B] -> [B, T, D], dropped out while training."""
        D = self.config.hidden_size
        x = table(ids.T) * D**0.5 + torch.from_numpy(places(len(ids), D))
        return F.dropout(x, self.config.dropout, self.training)


def places(count: int, size: int) -> np.ndarray:
    """P of the first `count` places, float32 [count, size]; a test holds the run half's to it."""
    angles = np.arange(count)[:, None] / 10_000.0 ** (np.arange(0, size, 2) / size)
    return np.stack([np.sin(angles), np.cos(angles)], axis=2).reshape(count, size).astype(np.float32)
