"""The neural peer without memory: a multilayer perceptron that sees the last n-1 tokens and nothing before them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnnkit.errors import ConfigError
from rnnkit.nn import AdaptiveSoftmax, linear, linear_cross_entropy
from rnnkit.nn.dropout import dropout
from rnnkit.state import State


@dataclass(frozen=True, kw_only=True)
class WindowMLPConfig:
    """Sizes of a window MLP.

    Args:
        vocab_size: number of tokens V.
        begin_id: the token that stands before the first token of a document.
        order: n; the model sees n-1 tokens, as an n-gram of this order does. At least 2.
        embedding_size: numbers per token E.
        hidden_size: tanh units H.
        direct: also feed the embedded window straight into the softmax (Bengio's matrix W).
        dropout: share of hidden units dropped in training.
        softmax: "full", or "adaptive" with `cutoffs` for a large vocabulary.
    """

    vocab_size: int
    begin_id: int
    order: int = 11
    embedding_size: int = 32
    hidden_size: int = 512
    direct: bool = False
    dropout: float = 0.0
    softmax: str = "full"
    cutoffs: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "cutoffs", tuple(self.cutoffs))
        for name in ("vocab_size", "embedding_size", "hidden_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, it must be at least 1")
        if self.order < 2:
            raise ConfigError(f"order is {self.order}, a window MLP needs at least 2: one token to predict the next")
        if not 0 <= self.begin_id < self.vocab_size:
            raise ConfigError(f"begin_id {self.begin_id} is outside the vocabulary of {self.vocab_size} tokens")
        if not 0.0 <= self.dropout < 1.0:
            raise ConfigError(f"dropout is {self.dropout}, it must be in [0, 1)")
        if self.softmax not in ("full", "adaptive"):
            raise ConfigError(f"softmax is {self.softmax!r}, it is one of: full, adaptive")


class WindowMLP(torch.nn.Module):
    """Predict each token from the n-1 before it.

    x_t = [E[w_{t-n+2}], …, E[w_t]];  a_t = tanh(W x_t + d);  logits_t = U·a_t + b, or U·[a_t, x_t] + b when `direct`.

    It has the generator's interface, so it trains in the same loop. Its state is the part `context` [B, n-1]: the last
    tokens seen, oldest first (int64); a fresh row holds `begin_id` throughout, so no window looks across a document.

    Parameters: `embedding.weight` [V, E], `hidden.weight` [H, (n-1)·E] (oldest token first), `hidden.bias` [H],
    `head.weight` [V, H or H+(n-1)·E], `head.bias` [V]; adaptive: `head.head.weight`, `head.tail.{i}.{0,1}.weight`.

    Cost:   2·H·(n-1)·E + 2·V·H flop per token, forward.
    Source: Bengio, Ducharme, Vincent, Jauvin 2003, "A neural probabilistic language model", JMLR 3, eq. 1.
    """

    def __init__(self, config: WindowMLPConfig) -> None:
        super().__init__()
        self.config = config
        width = (config.order - 1) * config.embedding_size
        self.embedding = torch.nn.Embedding(config.vocab_size, config.embedding_size)
        self.hidden = torch.nn.Linear(width, config.hidden_size)
        features = config.hidden_size + (width if config.direct else 0)
        if config.softmax == "adaptive":
            self.head = AdaptiveSoftmax(features, config.vocab_size, config.cutoffs)
        else:
            self.head = torch.nn.Linear(features, config.vocab_size)

    def initial_state(self, batch: int = 1) -> State:
        """A context of begin tokens for each of `batch` rows."""
        context = torch.full((batch, self.config.order - 1), self.config.begin_id, dtype=torch.int64)
        return State([{"context": context}])

    def forward(
        self, ids: Tensor, state: State | None = None, *, lengths: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Features for every step.

        Args:
            ids:     [T, B] int, the tokens in order.
            state:   the context before `ids`; begin tokens when None.
            lengths: [B] int in 0..T; a row's state is the one after its own length.
        Returns:
            [T, B, H] (plus (n-1)·E when `direct`), and the state after the last step.
        """
        steps, batch = ids.shape
        window = self.config.order - 1
        before = (self.initial_state(batch) if state is None else state).layers[0]["context"]
        tokens = torch.cat([before, ids.T.to(torch.int64)], dim=1)  # [B, n-1+T]
        embedded = self.embedding(tokens[:, 1:].unfold(1, window, 1))  # [B, T, n-1, E]
        embedded = embedded.transpose(0, 1).reshape(steps, batch, -1)
        features = torch.tanh(linear(embedded, self.hidden.weight, self.hidden.bias))
        if self.training:
            features = dropout(features, self.config.dropout)
        if self.config.direct:
            features = torch.cat([features, embedded], dim=-1)
        ends = torch.full((batch,), steps) if lengths is None else lengths.to(torch.int64)
        context = tokens.gather(1, ends[:, None] + torch.arange(window))
        return features, State([{"context": context}])

    def loss(self, hidden: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """Nats per token `[T, B]` of `targets`, given what `forward` returned; as `Generator.loss`."""
        if isinstance(self.head, AdaptiveSoftmax):
            return self.head(hidden, targets, weights=weights)
        return linear_cross_entropy(hidden, targets, weight=self.head.weight, bias=self.head.bias, weights=weights)

    def export(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """`config.json` of kind `window_mlp` and the weights as float32 arrays, named as in the state_dict."""
        model = asdict(self.config) | {"cutoffs": list(self.config.cutoffs)}
        config = {"format": 1, "kind": "window_mlp", "model": model, "precision": "fp32"}
        return config, {name: tensor.detach().numpy().copy() for name, tensor in self.state_dict().items()}
