"""Generator: a language model, which reads tokens and scores the next one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from rnnkit.errors import ConfigError
from rnnkit.models.recurrent import RecurrentConfig, RecurrentModel, check_sizes
from rnnkit.nn import AdaptiveSoftmax, linear, linear_cross_entropy
from rnnkit.state import State


@dataclass(frozen=True)
class GeneratorConfig(RecurrentConfig):
    """Everything that fixes a Generator's shape and regularisation; plain values, ready for JSON.

    Args:
        vocab_size: V. embedding_size: E; 0 feeds one-hot rows of width V.
        tied: score with the embedding table itself; a projection H→E precedes it when E ≠ H.
        softmax: "full" or "adaptive"; cutoffs: where the clusters of the adaptive one end.
        others: as of `RecurrentConfig`.
    Raises: ConfigError, naming the field.
    """

    lists = ("hidden_size", "zoneout", "cutoffs")

    vocab_size: int
    tied: bool = field(default=False, kw_only=True)
    softmax: str = field(default="full", kw_only=True)
    cutoffs: tuple[int, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "cutoffs", tuple(self.cutoffs))
        check_sizes("vocab_size", self.vocab_size, least=1)
        super().__post_init__()
        if self.softmax not in ("full", "adaptive"):
            raise ConfigError(f"softmax={self.softmax!r} does not exist; choose 'full' or 'adaptive'")
        if self.softmax == "adaptive" and not self.cutoffs:
            raise ConfigError("softmax='adaptive' needs cutoffs, for example (2000, 10000) for 30000 words")
        if self.softmax == "full" and self.cutoffs:
            raise ConfigError(f"cutoffs={self.cutoffs} go with softmax='adaptive'; leave them out or set it")
        if self.tied and self.embedding_size == 0:
            raise ConfigError("tied=True needs an embedding to tie to; set embedding_size, for example to hidden_size")
        if self.tied and self.softmax == "adaptive":
            raise ConfigError("tied=True goes with softmax='full'; the adaptive softmax has tables of its own")


class Generator(RecurrentModel):
    """Embedding (or one-hot), recurrent layers, softmax.

        hidden, state = model(ids, state)               # ids [T, B] -> hidden [T, B, H]; E wide when tied and E ≠ H
        losses = model.loss(hidden, targets, weights)   # nats per token [T, B]

    Parameters: `embedding.weight` [V, E] unless one-hot; `recurrent.*`; `projection.weight` [E, H] when tied and E ≠ H;
    `head.bias` [V] and, unless tied, `head.weight` [V, H]; adaptive: `head.head.weight`, `head.tail.{i}.{0,1}.weight`.

    Start: recurrent weights uniform in ±1/√H as torch.nn, forget gate at `forget_bias`; embedding N(0, 1), or uniform
    in ±1/√E when it also scores; head uniform in ±1/√H with bias 0. Where layers differ in width, H is the last one's;
    behind projected layers it is P.

    Source: Mikolov et al. 2010; tying: Press and Wolf 2017, arXiv:1608.05859.
    """

    kind = "language_model"
    config_class = GeneratorConfig

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        size, width = config.embedding_size, config.output_size
        self.embedding = nn.Embedding(config.vocab_size, size) if size else None
        self._add_layers(size or config.vocab_size)
        self.projection = None
        if config.tied and size != width:
            self.projection = nn.Linear(width, size, bias=False)
        if config.softmax == "adaptive":
            self.head = AdaptiveSoftmax(width, config.vocab_size, config.cutoffs, precision=config.precision)
        else:
            self.head = _Head(config.vocab_size, None if config.tied else width)
        if config.tied and self.embedding is not None:
            nn.init.uniform_(self.embedding.weight, -(size**-0.5), size**-0.5)

    def forward(self, ids: Tensor, state: State | None = None, *, lengths: Any = None) -> tuple[Tensor, State]:
        """Read `ids` `[T, B]`; `hidden[t]` is what the model knows after token t.

        Args: state: from `initial_state` or an earlier call; None: the former. lengths: `[B]`, a row stops there.
        Returns: hidden `[T, B, H]` (E wide when tied and E ≠ H) and the State after each row's last token.
        """
        ids, table = self._inputs(ids)
        hidden, new_state = self.recurrent(ids, state, lengths=lengths, embedding=table)
        if self.projection is not None:
            hidden = linear(hidden, self.projection.weight, precision=self.config.precision)
        return hidden, new_state

    def loss(self, hidden: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """Nats per token `[T, B]`: −log p(targets | hidden).

        Args: hidden: from `forward`. targets: ids `[T, B]`. weights: `[T, B]`, how much each token will count;
            where 0 the loss is 0 and nothing is read. Summing `weights · loss` makes backward cheapest.
        """
        if isinstance(self.head, AdaptiveSoftmax):
            return self.head(hidden, targets, weights=weights)
        scores = {"weight": self._scores(), "bias": self.head.bias, "precision": self.config.precision}
        return linear_cross_entropy(hidden, targets, weights=weights, **scores)

    def log_prob(self, hidden: Tensor) -> Tensor:
        """Log-probabilities `[T, B, V]` of the next token. Materialises all of them; `loss` does not."""
        if isinstance(self.head, AdaptiveSoftmax):
            return self.head.log_prob(hidden)
        return linear(hidden, self._scores(), self.head.bias, precision=self.config.precision).log_softmax(-1)

    def _scores(self) -> Tensor:
        if self.embedding is not None and self.config.tied:
            return self.embedding.weight
        weight: Tensor = self.head.weight  # type: ignore[assignment]
        return weight


class _Head(nn.Module):
    """The parameters of a full softmax: `bias` [V] and, unless the embedding scores, `weight` [V, H]."""

    def __init__(self, vocab_size: int, hidden_size: int | None) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(vocab_size))
        self.register_parameter("weight", None)
        if hidden_size is not None:
            bound = hidden_size**-0.5
            self.weight = nn.Parameter(torch.empty(vocab_size, hidden_size).uniform_(-bound, bound))
