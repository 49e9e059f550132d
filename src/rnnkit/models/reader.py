"""Reader: what acceptor and transducer have in common: whole sequences of tokens or frames through recurrent layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnkit.errors import ConfigError
from rnnkit.nn import Options, Recurrent, embedding_dropout, linear, resolve_precision, spec, word_dropout
from rnnkit.nn.dropout import check_probability
from rnnkit.state import State

FORMAT = 1
_DROPOUTS = ("dropout", "input_dropout", "output_dropout", "embedding_dropout", "word_dropout", "weight_dropout",
             "recurrent_dropout")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ReaderConfig:
    """Everything that fixes a Reader's shape and regularisation; plain values, ready for JSON.

    Args:
        num_labels: C. vocab_size: V, for sequences of tokens, with embedding_size E; or input_size: I, for frames.
        cell, hidden_size, num_layers, bias, bidirectional: of the recurrent layers; hidden_size may be a width each.
        init, forget_bias, weight_dropout, recurrent_dropout: of the recurrent layers, see `rnnkit.nn.Options`.
        dropout: between layers. input_dropout: on what the first one reads. output_dropout: on what the head reads.
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
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


class Reader(nn.Module):
    """Embedding or scaling, then recurrent layers in one or two directions; `Acceptor` and `Transducer` add the rest.

    x_t = E[ids_t], or (frame_t − mean) / deviation;  h_1 … h_T = top layer over x, [D*H] wide

    Parameters: `embedding.weight` [V, E], or buffers `scale.mean` and `scale.deviation` [I]; `recurrent.*`.

    Start: recurrent weights as `rnnkit.nn.Recurrent`, embedding N(0, 0.1²), head uniform in ±1/√F with bias 0.
    """

    kind: ClassVar[str]
    config_class: ClassVar[type[ReaderConfig]]
    head: nn.Linear

    def __init__(self, config: ReaderConfig, *, more_inputs: int = 0) -> None:
        """Args: more_inputs: numbers that `_inputs` of a subclass puts behind every embedding."""
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size) if config.vocab_size else None
        self.scale = None if config.vocab_size else Scale(config.input_size)
        self.recurrent = Recurrent(
            config.cell,
            (config.embedding_size or config.input_size) + more_inputs,
            config.hidden_size,
            config.num_layers,
            bias=config.bias,
            dropout=config.dropout,
            bidirectional=config.bidirectional,
            precision=config.precision,
            **config.layer_options,
        )

    @property
    def width(self) -> int:
        """D*H of the top layer."""
        return self.recurrent.num_directions * self.config.hidden_sizes[-1]

    def _add_head(self, num_features: int) -> None:
        """The last parameters to be drawn."""
        self.head = nn.Linear(num_features, self.config.num_labels)
        nn.init.zeros_(self.head.bias)
        if self.embedding is not None:  # N(0, 1) would drown the few updates that a rare word gets
            nn.init.normal_(self.embedding.weight, std=0.1)

    def initial_state(self, batch: int = 1) -> State:
        """Zeros: what every sequence starts from."""
        return self.recurrent.initial_state(batch)

    def _read(self, inputs: Tensor, state: State | None, lengths: Tensor) -> tuple[Tensor, State]:
        """ids [T, B] or frames [T, B, I] -> the top layer's [T, B, D*H], 0 behind a row's end, and the State."""
        inputs, table = self._inputs(inputs)
        return self.recurrent(inputs, state, lengths=lengths, embedding=table)

    def _inputs(self, inputs: Tensor) -> tuple[Tensor, Tensor | None]:
        """What the layers read: scaled frames; or ids, while training some of them dropped, and the table."""
        if self.scale is not None:
            return self.scale(inputs), None
        assert self.embedding is not None
        config, table = self.config, self.embedding.weight
        if self.training and config.word_dropout and config.unk_id is None:
            table = F.pad(table, (0, 0, 0, 1))  # a dropped word reads the row of zeros at V
        if self.training:
            table = embedding_dropout(table, config.embedding_dropout)
            unknown = config.vocab_size if config.unk_id is None else config.unk_id
            inputs = word_dropout(inputs, config.word_dropout, replacement=unknown)
        return inputs, table

    def loss(self, features: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """Nats of every decision [T, B]: −log p(label), while training against smoothed labels.

        Args: features: from `forward`, of an acceptor with T = 1. labels: [T, B]. weights: how much each will count;
            nothing is left out for it.
        """
        log_probs = self.log_prob(features)
        losses = -log_probs.gather(-1, labels[..., None])[..., 0]
        if self.training and (share := self.config.label_smoothing):
            losses = (1 - share) * losses - share * log_probs.mean(-1)
        return losses

    def logits(self, features: Tensor) -> Tensor:
        """U features + c, [T, B, C]."""
        return linear(features, self.head.weight, self.head.bias, precision=self.config.precision)

    def log_prob(self, features: Tensor) -> Tensor:
        """Log-probabilities [T, B, C] of the labels."""
        return self.logits(features).log_softmax(-1)

    def export(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """`config.json` of this kind and float32 arrays, named as in the state_dict."""
        model = self.config.to_dict()
        config = {"format": FORMAT, "kind": self.kind, "precision": model.pop("precision"), "model": model}
        return config, {name: t.detach().cpu().numpy().astype(np.float32) for name, t in self.state_dict().items()}

    @classmethod
    def from_export(cls, config: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> Self:
        """The model that `export` described. Raises: ConfigError for another kind or format."""
        if config.get("kind") != cls.kind or config.get("format") != FORMAT:
            raise ConfigError(
                f"kind {config.get('kind')!r}, format {config.get('format')!r} is no {cls.kind} of format {FORMAT}"
            )
        model = cls(cls.config_class(**config["model"], precision=config["precision"]))
        model.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in tensors.items()})
        return model


class Scale(nn.Module):
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


def steps_of(inputs: Tensor, lengths: Any) -> Tensor:
    """The lengths [B] of a batch: `lengths`, or all of its T steps."""
    T, B = inputs.shape[:2]
    return torch.full((B,), T) if lengths is None else torch.as_tensor(lengths)
