"""Acceptor: a model that reads a whole sequence, of tokens or of frames of numbers, and decides once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnkit.errors import ConfigError
from rnnkit.nn import Options, Recurrent, embedding_dropout, linear, resolve_precision, spec, word_dropout
from rnnkit.nn.dropout import check_probability, dropout
from rnnkit.state import State

FORMAT = 1
READOUTS = ("last", "max", "mean", "attention")
_DROPOUTS = ("dropout", "input_dropout", "output_dropout", "embedding_dropout", "word_dropout", "weight_dropout",
             "recurrent_dropout")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class AcceptorConfig:
    """Everything that fixes an Acceptor's shape and regularisation; plain values, ready for JSON.

    Args:
        num_labels: C. vocab_size: V, for sequences of tokens, with embedding_size E; or input_size: I, for frames.
        cell, hidden_size, num_layers, bias, bidirectional: of the recurrent layers; hidden_size may be a width each.
        readout: what of the top layer's outputs the decision reads, one or several of "last", "max", "mean" and
            "attention", side by side; see `Acceptor`.
        init, forget_bias, weight_dropout, recurrent_dropout: of the recurrent layers, see `rnnkit.nn.Options`.
        dropout: between layers. input_dropout: on what the first one reads. output_dropout: on what is read out.
        locked_dropout: draw the first two once per row instead of at each step.
        embedding_dropout: rows of the table. word_dropout: single tokens, replaced by `unk_id`; None: by zeros.
        label_smoothing: ε; the targets are (1 − ε) on the label and ε / C on every one (Szegedy et al. 2016).
        precision: of the products, as in `GeneratorConfig`.
    Raises: ConfigError, naming the field.
    """

    num_labels: int
    vocab_size: int = 0
    input_size: int = 0
    embedding_size: int = 0
    cell: str = "lstm"
    hidden_size: int | tuple[int, ...] = 128
    num_layers: int = 1
    bias: bool = True
    bidirectional: bool = True
    readout: tuple[str, ...] = ("last",)
    init: str = "uniform"
    forget_bias: float = 1.0
    dropout: float = 0.0
    input_dropout: float = 0.0
    output_dropout: float = 0.0
    locked_dropout: bool = False
    embedding_dropout: float = 0.0
    word_dropout: float = 0.0
    weight_dropout: float = 0.0
    recurrent_dropout: float = 0.0
    label_smoothing: float = 0.0
    unk_id: int | None = None
    precision: str = "fp32"

    def __post_init__(self) -> None:
        object.__setattr__(self, "readout", tuple(self.readout))
        object.__setattr__(self, "precision", resolve_precision(self.precision))
        if isinstance(self.hidden_size, Sequence):
            object.__setattr__(self, "hidden_size", tuple(self.hidden_size))
            object.__setattr__(self, "num_layers", len(self.hidden_sizes))
        if self.num_labels < 2:
            raise ConfigError(f"num_labels={self.num_labels}: there is nothing to decide between fewer than 2 labels")
        if bool(self.vocab_size) == bool(self.input_size):
            raise ConfigError(
                f"vocab_size={self.vocab_size}, input_size={self.input_size}: give one, for tokens or for frames"
            )
        if bool(self.embedding_size) != bool(self.vocab_size):
            raise ConfigError(f"embedding_size={self.embedding_size}: tokens need one of at least 1, frames have none")
        if self.cell not in spec.CELLS:
            raise ConfigError(f"cell={self.cell!r} does not exist; choose one of {', '.join(spec.CELLS)}")
        if not self.readout or len(set(self.readout)) < len(self.readout) or set(self.readout) - set(READOUTS):
            raise ConfigError(f"readout={list(self.readout)} must be different ones of {', '.join(READOUTS)}")
        if self.dropout > 0 and len(self.hidden_sizes) == 1:
            raise ConfigError(
                f"dropout={self.dropout} acts between layers and there is one; use output_dropout or num_layers=2"
            )
        if self.locked_dropout and not (self.dropout or self.input_dropout):
            raise ConfigError("locked_dropout has no effect without dropout or input_dropout; set one")
        if self.forget_bias != 1.0 and not self._has_forget_gate:
            raise ConfigError(
                f"forget_bias={self.forget_bias} has no effect in cell {self.cell} as it is; leave it out"
            )
        if not self.vocab_size and (self.embedding_dropout or self.word_dropout):
            raise ConfigError("embedding_dropout and word_dropout act on tokens, not on frames; use input_dropout")
        for name in (*_DROPOUTS, "label_smoothing"):
            object.__setattr__(self, name, check_probability(name, getattr(self, name)))

    @property
    def hidden_sizes(self) -> tuple[int, ...]:
        """The width of every recurrent layer."""
        return self.hidden_size if isinstance(self.hidden_size, tuple) else (self.hidden_size,) * self.num_layers

    @property
    def layer_options(self) -> Options:
        """What the recurrent layers take beside sizes and `dropout`."""
        return {
            "input_dropout": self.input_dropout,
            "locked_dropout": self.locked_dropout,
            "weight_dropout": self.weight_dropout,
            "recurrent_dropout": self.recurrent_dropout,
            "init": self.init,  # type: ignore[typeddict-item]
            "forget_bias": self.forget_bias if self._has_forget_gate else None,
        }

    @property
    def _has_forget_gate(self) -> bool:
        return self.bias and "f" in spec.CELLS[self.cell].gates

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        widths = list(self.hidden_size) if isinstance(self.hidden_size, tuple) else self.hidden_size
        return asdict(self) | {"readout": list(self.readout), "hidden_size": widths}


class Acceptor(nn.Module):
    """Embedding or scaling, recurrent layers in one or two directions, a readout, a softmax over labels.

        features, _ = model(inputs, lengths=lengths)   # ids [T, B] or frames [T, B, I] -> [1, B, R*D*H]
        losses = model.loss(features, labels)          # nats per sequence [1, B]

    x_t = E[ids_t], or (frame_t − mean) / deviation;  h_1 … h_T = top layer over x, [D*H] wide;  over a row's own steps

        last: h_T forward beside h_1 backward     max: max_t h_t     mean: 1/T Σ_t h_t
        attention: Σ_t a_t h_t,  a = softmax_t(s·tanh(W h_t + b))

    and logits = U [readouts side by side] + c. Of no steps max, mean and attention are 0.

    Parameters: `embedding.weight` [V, E], or buffers `scale.mean` and `scale.deviation` [I]; `recurrent.*`;
    `attention.weight` [D*H, D*H], `.bias` [D*H], `.score` [1, D*H]; `head.weight` [C, R*D*H], `head.bias` [C].

    Start: recurrent weights as `rnnkit.nn.Recurrent`, embedding N(0, 0.1²), head uniform in ±1/√(R*D*H) with bias 0.

    Source: max: Collobert and Weston 2008; attention: Yang et al. 2016, "Hierarchical attention networks", eq. 5–7.
    """

    def __init__(self, config: AcceptorConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size) if config.vocab_size else None
        self.scale = None if config.vocab_size else _Scale(config.input_size)
        self.recurrent = Recurrent(
            config.cell,
            config.embedding_size or config.input_size,
            config.hidden_size,
            config.num_layers,
            bias=config.bias,
            dropout=config.dropout,
            bidirectional=config.bidirectional,
            precision=config.precision,
            **config.layer_options,
        )
        width = self.recurrent.num_directions * config.hidden_sizes[-1]
        self.attention = _Attention(width, config.precision) if "attention" in config.readout else None
        self.head = nn.Linear(len(config.readout) * width, config.num_labels)
        nn.init.zeros_(self.head.bias)
        if self.embedding is not None:  # N(0, 1) would drown the few updates that a rare word gets
            nn.init.normal_(self.embedding.weight, std=0.1)

    def initial_state(self, batch: int = 1) -> State:
        """Zeros: what every sequence starts from."""
        return self.recurrent.initial_state(batch)

    def forward(self, inputs: Tensor, state: State | None = None, *, lengths: Any = None) -> tuple[Tensor, State]:
        """Read whole sequences.

        Args:    inputs: ids [T, B] or frames [T, B, I]. state: None, or `initial_state`. lengths: [B]; None: all T.
        Returns: what the decision reads, [1, B, R*D*H], and the layers' State after each row's last step.
        """
        config, table = self.config, None
        T, B = inputs.shape[:2]
        steps = torch.full((B,), T) if lengths is None else torch.as_tensor(lengths)
        if self.scale is not None:
            inputs = self.scale(inputs)
        elif self.embedding is not None:
            table = self.embedding.weight
            if self.training and config.word_dropout and config.unk_id is None:
                table = F.pad(table, (0, 0, 0, 1))  # a dropped word reads the row of zeros at V
            if self.training:
                table = embedding_dropout(table, config.embedding_dropout)
                unknown = config.vocab_size if config.unk_id is None else config.unk_id
                inputs = word_dropout(inputs, config.word_dropout, replacement=unknown)
        hidden, after = self.recurrent(inputs, state, lengths=steps, embedding=table)
        features = torch.cat([self._read_out(kind, hidden, after, steps) for kind in config.readout], dim=-1)
        return dropout(features, config.output_dropout if self.training else 0.0)[None], after

    def loss(self, features: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """Nats per sequence [1, B]: −log p(labels), while training against smoothed labels.

        Args: features: from `forward`. labels: [1, B]. weights: how much each will count; nothing is left out for it.
        """
        log_probs = self.log_prob(features)
        losses = -log_probs.gather(-1, labels[..., None])[..., 0]
        if self.training and (share := self.config.label_smoothing):
            losses = (1 - share) * losses - share * log_probs.mean(-1)
        return losses

    def log_prob(self, features: Tensor) -> Tensor:
        """Log-probabilities [1, B, C] of the labels."""
        return linear(features, self.head.weight, self.head.bias, precision=self.config.precision).log_softmax(-1)

    def export(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """`config.json` of kind `acceptor` and float32 arrays, named as in the state_dict."""
        model = self.config.to_dict()
        config = {"format": FORMAT, "kind": "acceptor", "precision": model.pop("precision"), "model": model}
        return config, {name: t.detach().cpu().numpy().astype(np.float32) for name, t in self.state_dict().items()}

    @classmethod
    def from_export(cls, config: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> Acceptor:
        """The model that `export` described. Raises: ConfigError for another kind or format."""
        if config.get("kind") != "acceptor" or config.get("format") != FORMAT:
            raise ConfigError(
                f"kind {config.get('kind')!r}, format {config.get('format')!r} is no acceptor of format {FORMAT}"
            )
        model = cls(AcceptorConfig(**config["model"], precision=config["precision"]))
        model.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in tensors.items()})
        return model

    def _read_out(self, kind: str, hidden: Tensor, after: State, lengths: Tensor) -> Tensor:
        """[T, B, D*H] -> [B, D*H]."""
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


class _Scale(nn.Module):
    """(x − mean) / deviation, from the training frames: buffers, which no optimiser touches."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, input_size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(input_size))
        self.register_buffer("deviation", torch.ones(input_size))

    def fit(self, frames: np.ndarray) -> None:
        """Of the training frames [N, I]; a dimension that never changes keeps the deviation 1."""
        deviation = frames.std(0, dtype=np.float64)
        self.mean.copy_(torch.from_numpy(frames.mean(0, dtype=np.float64)))
        self.deviation.copy_(torch.from_numpy(np.where(deviation > 0, deviation, 1.0)))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.deviation


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
