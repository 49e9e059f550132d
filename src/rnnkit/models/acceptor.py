"""Acceptor: a model that reads a whole sequence, of tokens or of frames of numbers, and decides once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnkit.errors import ConfigError
from rnnkit.models.reader import Reader, ReaderConfig, steps_of
from rnnkit.nn import linear, spec
from rnnkit.nn.dropout import dropout
from rnnkit.state import State

READOUTS = ("last", "max", "mean", "attention", "states")


@dataclass(frozen=True, kw_only=True)
class AcceptorConfig(ReaderConfig):
    """As `ReaderConfig`, and what the decision reads.

    Args:   readout: what of the top layer's outputs, one or several of "last", "max", "mean" and "attention", side by
                side, or of all layers their "states"; see `Acceptor`.
            multi_label: each of the C labels is there or not, by itself; else a sequence has exactly one.
    Raises: ConfigError, naming the field.
    """

    lists = ("hidden_size", "zoneout", "readout")

    readout: tuple[str, ...] = ("last",)
    multi_label: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "readout", tuple(self.readout))
        super().__post_init__()
        if not self.readout or len(set(self.readout)) < len(self.readout) or set(self.readout) - set(READOUTS):
            raise ConfigError(f"readout={list(self.readout)} must be different ones of {', '.join(READOUTS)}")

    @property
    def read_out_width(self) -> int:
        """The width of what the decision reads."""
        return sum(self.states_width if kind == "states" else self.width for kind in self.readout)

    @property
    def states_width(self) -> int:
        """The width of all layers' states together: of each direction of a layer its h, and what else it keeps."""
        widths = [self.proj_size or hidden for hidden in self.hidden_sizes]
        others = len(spec.CELLS[self.cell].parts) - 1
        return (1 + self.bidirectional) * (sum(widths) + others * sum(self.hidden_sizes))


class Acceptor(Reader):
    """Embedding or scaling, recurrent layers in one or two directions, a readout, a softmax over labels.

        features, _ = model(inputs, lengths=lengths)   # ids [T, B] or frames [T, B, I] -> [1, B, F]
        losses = model.loss(features, labels)          # nats per sequence [1, B]

    x_t as of `Reader`;  h_1 … h_T = top layer over x, [D*H] wide;  over a row's own steps

        last: h_T forward beside h_1 backward     max: max_t h_t     mean: 1/T Σ_t h_t
        attention: Σ_t a_t h_t,  a = softmax_t(s·tanh(W h_t + b))
        states: the states of all layers after a row's last step, forward and backward: h and, of an LSTM, c

    and logits = U [readouts side by side] + c, under a softmax over the labels; with `multi_label` under a sigmoid for
    each of them. Of no steps max, mean and attention are 0, and states the initial ones.

    Parameters: those of `Reader`; `attention.weight` [D*H, D*H], `.bias` [D*H], `.score` [1, D*H]; `head.weight`
    [C, F], `head.bias` [C], with F = D*H for each readout but states, which has as many as they are.

    Start: recurrent weights as `rnnkit.nn.Recurrent`, embedding N(0, 0.1²), head uniform in ±1/√F with bias 0.

    Source: max: Collobert and Weston 2008; attention: Yang et al. 2016, "Hierarchical attention networks", eq. 5–7.
    """

    kind = "acceptor"
    config_class = AcceptorConfig

    def __init__(self, config: AcceptorConfig) -> None:
        super().__init__(config)
        self.attention = _Attention(config.width, config.precision) if "attention" in config.readout else None
        self._add_head(config.read_out_width)

    def forward(self, inputs: Tensor, state: State | None = None, *, lengths: Any = None) -> tuple[Tensor, State]:
        """Read whole sequences.

        Args:    inputs: ids [T, B], words with characters [T, B, 1 + W], or frames [T, B, I]. state: None, or
                     `initial_state`. lengths: [B]; None: all T.
        Returns: what the decision reads, [1, B, F], and the layers' State after each row's last step.
        """
        steps = steps_of(inputs, lengths)
        hidden, after = self._read(inputs, state, steps)
        features = torch.cat([self._read_out(kind, hidden, after, steps) for kind in self.config.readout], dim=-1)
        return dropout(features, self.config.output_dropout if self.training else 0.0)[None], after

    def loss(self, features: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """As `Reader.loss`; with `multi_label` of labels [1, B, C] of 0 and 1, summed over them: nats [1, B].

        Smoothed, a label that is there counts 1 − ε/2, another ε/2.
        """
        if not self.config.multi_label:
            return super().loss(features, labels, weights)
        wanted = labels.to(features.dtype)
        if self.training and (share := self.config.label_smoothing):
            wanted = (1 - share) * wanted + share / 2
        return F.binary_cross_entropy_with_logits(self.logits(features), wanted, reduction="none").sum(-1)

    def log_prob(self, features: Tensor) -> Tensor:
        """Log-probabilities [1, B, C] of the labels; with `multi_label` of each by itself."""
        return F.logsigmoid(self.logits(features)) if self.config.multi_label else super().log_prob(features)

    def _read_out(self, kind: str, hidden: Tensor, after: State, lengths: Tensor) -> Tensor:
        """[T, B, D*H] -> [B, D*H]; states: as wide as they are together."""
        if kind == "states":
            return torch.cat([part for parts in after.layers for part in parts.values()], dim=-1)
        if kind == "last":
            return torch.cat([parts["h"] for parts in after.layers[-self.recurrent.num_directions :]], dim=-1)
        if kind == "mean":  # outputs behind a row's end are 0
            return hidden.sum(0) / lengths.clamp(min=1)[:, None]
        behind = torch.arange(len(hidden))[:, None] >= lengths  # [T, B]
        if kind == "max":
            if not len(hidden):
                return hidden.new_zeros(hidden.shape[1:])
            largest = hidden.masked_fill(behind[..., None], -torch.inf).amax(0)
            return largest.masked_fill((lengths == 0)[:, None], 0.0)
        assert self.attention is not None
        scores = self.attention(hidden).masked_fill(behind, -torch.inf)
        shares = scores.softmax(0).masked_fill(behind, 0.0)  # of a row without steps softmax gives NaN
        return (shares[..., None] * hidden).sum(0)


class _Attention(nn.Module):
    """s·tanh(W h + b) for every step: [T, B, F] -> [T, B]."""

    def __init__(self, width: int, precision: str) -> None:
        super().__init__()
        bound = width**-0.5
        self.weight = nn.Parameter(torch.empty(width, width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(width))
        self.score = nn.Parameter(torch.empty(1, width).uniform_(-bound, bound))
        self.precision = precision

    def forward(self, hidden: Tensor) -> Tensor:
        keys = torch.tanh(linear(hidden, self.weight, self.bias, precision=self.precision))
        return linear(keys, self.score, precision=self.precision)[..., 0]
