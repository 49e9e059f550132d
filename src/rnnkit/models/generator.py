"""Generator: a language model, which reads tokens and scores the next one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnkit.errors import ConfigError, ShapeError
from rnnkit.nn import (
    AdaptiveSoftmax,
    Options,
    Recurrent,
    embedding_dropout,
    linear,
    linear_cross_entropy,
    resolve_precision,
    spec,
    word_dropout,
)
from rnnkit.nn.dropout import check_probability
from rnnkit.nn.options import checked_options
from rnnkit.nn.stack import checked_projection, checked_widths
from rnnkit.state import State

FORMAT = 1


@dataclass(frozen=True)
class GeneratorConfig:
    """Everything that fixes a Generator's shape and regularisation; plain values, ready for JSON.

    Args:
        vocab_size: V. embedding_size: E; 0 feeds one-hot rows of width V.
        cell, hidden_size, num_layers, bias: of the recurrent layers; hidden_size may be a width for each of them.
        proj_size: P, the width of an LSTM's h and so of what the head reads, below hidden_size; None: hidden_size.
        forget_bias: the forget gate's bias at the start (Jozefowicz et al. 2015); only for cells that have one.
        tied: score with the embedding table itself; a projection H→E precedes it when E ≠ H.
        softmax: "full" or "adaptive"; cutoffs: where the clusters of the adaptive one end.
        init, chrono, residual, trainable_state, layer_norm, weight_dropout, zoneout, recurrent_dropout, recompute: of
            the recurrent layers, see `rnnkit.nn.Options`.
        dropout: between layers. output_dropout: on the last hidden state. input_dropout: on the embedded input.
        locked_dropout: draw these three masks once per window and row instead of at each step.
        embedding_dropout: rows of the table. word_dropout: single tokens, replaced by `unk_id`; None: by zeros.
        precision: of the products, "fp32" or "bf16"; "auto" becomes the one that this machine is fast in.
    Raises: ConfigError, naming the field.
    """

    vocab_size: int
    embedding_size: int = 0
    cell: str = "lstm"
    hidden_size: int | tuple[int, ...] = 512
    num_layers: int = 1
    proj_size: int | None = None
    bias: bool = True
    forget_bias: float = 1.0
    init: Literal["uniform", "orthogonal"] = "uniform"
    chrono: int | None = None
    residual: bool = False
    trainable_state: bool = False
    layer_norm: bool = False
    tied: bool = False
    softmax: str = "full"
    cutoffs: tuple[int, ...] = ()
    dropout: float = 0.0
    input_dropout: float = 0.0
    output_dropout: float = 0.0
    locked_dropout: bool = False
    embedding_dropout: float = 0.0
    word_dropout: float = 0.0
    weight_dropout: float = 0.0
    zoneout: float | tuple[float, ...] = 0.0
    recurrent_dropout: float = 0.0
    recompute: bool = False
    unk_id: int | None = None
    precision: str = "fp32"

    def __post_init__(self) -> None:
        object.__setattr__(self, "cutoffs", tuple(self.cutoffs))
        object.__setattr__(self, "precision", resolve_precision(self.precision))
        if isinstance(self.hidden_size, list):
            object.__setattr__(self, "hidden_size", tuple(self.hidden_size))
        for name, least in (("vocab_size", 1), ("embedding_size", 0), ("hidden_size", 1), ("num_layers", 1)):
            value = getattr(self, name)
            for size in value if name == "hidden_size" and isinstance(value, tuple) else (value,):
                if isinstance(size, bool) or not isinstance(size, int) or size < least:
                    raise ConfigError(f"{name}={value!r} must be an integer of at least {least}")
        object.__setattr__(self, "num_layers", len(self.hidden_sizes))
        if self.cell not in spec.CELLS:
            raise ConfigError(f"cell={self.cell!r} does not exist; choose one of {', '.join(spec.CELLS)}")
        if self.proj_size is not None:
            self._check_projection(self.proj_size)
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
        for name in ("dropout", "embedding_dropout", "word_dropout"):
            object.__setattr__(self, name, check_probability(name, getattr(self, name)))
        if self.dropout > 0 and self.num_layers == 1:
            raise ConfigError(
                f"dropout={self.dropout} acts between layers and there is one; use output_dropout or num_layers=2"
            )
        if self.locked_dropout and not (self.dropout or self.input_dropout or self.output_dropout):
            raise ConfigError("locked_dropout has no effect without dropout, input_dropout or output_dropout; set one")
        if self.forget_bias != 1.0 and not (self.bias and "f" in spec.CELLS[self.cell].gates):
            where = f"in cell {self.cell}, which has no forget gate" if self.bias else "without bias"
            raise ConfigError(
                f"forget_bias={self.forget_bias} has no effect {where}; leave it out, or use lstm with bias"
            )
        if self.forget_bias != 1.0 and self.chrono is not None:
            raise ConfigError(
                f"forget_bias={self.forget_bias} and chrono={self.chrono} set the same gate; leave one out"
            )
        options = checked_options(spec.CELLS[self.cell], self.layer_options, bias=self.bias, widths=self.hidden_sizes)
        for name in ("input_dropout", "output_dropout", "weight_dropout", "zoneout", "recurrent_dropout"):
            object.__setattr__(self, name, options[name])
        if self.unk_id is not None and not 0 <= self.unk_id < self.vocab_size:
            raise ConfigError(f"unk_id={self.unk_id} is outside the vocabulary 0..{self.vocab_size - 1}")

    def _check_projection(self, proj_size: int) -> None:
        if self.cell not in spec.PROJECTED:
            raise ConfigError(
                f"proj_size={proj_size} goes with cell {', '.join(spec.PROJECTED)}, not {self.cell}; leave it out"
            )
        if checked_projection(spec.PROJECTED[self.cell], proj_size, widths=self.hidden_sizes) < 1:
            raise ConfigError(f"proj_size={proj_size} must be at least 1, or None for no projection")

    @property
    def hidden_sizes(self) -> tuple[int, ...]:
        """The width of every recurrent layer."""
        return checked_widths(self.hidden_size, self.num_layers)

    @property
    def output_size(self) -> int:
        """The width of the last recurrent layer's output."""
        return self.proj_size or self.hidden_sizes[-1]

    @property
    def layer_options(self) -> Options:
        """What the recurrent layers take beside sizes and `dropout`."""
        has_forget_gate = self.bias and "f" in spec.CELLS[self.cell].gates
        return {
            "input_dropout": self.input_dropout,
            "output_dropout": self.output_dropout,
            "locked_dropout": self.locked_dropout,
            "weight_dropout": self.weight_dropout,
            "zoneout": self.zoneout,
            "recurrent_dropout": self.recurrent_dropout,
            "layer_norm": self.layer_norm,
            "recompute": self.recompute,
            "residual": self.residual,
            "trainable_state": self.trainable_state,
            "init": self.init,
            "forget_bias": self.forget_bias if has_forget_gate and self.chrono is None else None,
            "chrono": self.chrono,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> GeneratorConfig:
        """The configuration that `to_dict` wrote. Raises: ConfigError for unknown or missing fields."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(values.keys() - known):
            raise ConfigError(f"model.{unknown[0]} is not a field of a generator; there are {', '.join(sorted(known))}")
        if "vocab_size" not in values:
            raise ConfigError("model.vocab_size is missing")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        widths = self.hidden_size if isinstance(self.hidden_size, int) else list(self.hidden_size)
        zoneout = list(self.zoneout) if isinstance(self.zoneout, tuple) else self.zoneout
        return asdict(self) | {"cutoffs": list(self.cutoffs), "hidden_size": widths, "zoneout": zoneout}


class Generator(nn.Module):
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

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        size, width = config.embedding_size, config.output_size
        self.embedding = nn.Embedding(config.vocab_size, size) if size else None
        self.recurrent = Recurrent(
            config.cell,
            size or config.vocab_size,
            config.hidden_size,
            config.num_layers,
            bias=config.bias,
            dropout=config.dropout,
            proj_size=config.proj_size or 0,
            precision=config.precision,
            **config.layer_options,
        )
        self.projection = None
        if config.tied and size != width:
            self.projection = nn.Linear(width, size, bias=False)
        if config.softmax == "adaptive":
            self.head = AdaptiveSoftmax(width, config.vocab_size, config.cutoffs, precision=config.precision)
        else:
            self.head = _Head(config.vocab_size, None if config.tied else width)
        if config.tied and self.embedding is not None:
            nn.init.uniform_(self.embedding.weight, -(size**-0.5), size**-0.5)

    def initial_state(self, batch: int = 1) -> State:
        """What `batch` streams start from: zeros, or with `trainable_state` what was learned."""
        return self.recurrent.initial_state(batch)

    def forward(self, ids: Tensor, state: State | None = None, *, lengths: Any = None) -> tuple[Tensor, State]:
        """Read `ids` `[T, B]`; `hidden[t]` is what the model knows after token t.

        Args: state: from `initial_state` or an earlier call; None: the former. lengths: `[B]`, a row stops there.
        Returns: hidden `[T, B, H]` (E wide when tied and E ≠ H) and the State after each row's last token.
        """
        config = self.config
        table = None if self.embedding is None else self.embedding.weight
        if self.training and (config.embedding_dropout or config.word_dropout):
            if table is None:
                table = torch.eye(config.vocab_size).to(next(self.parameters()))
            table = embedding_dropout(table, config.embedding_dropout)
            if config.word_dropout and config.unk_id is None:
                table = F.pad(table, (0, 0, 0, 1))  # a dropped word reads the row of zeros at V
            unknown = config.vocab_size if config.unk_id is None else config.unk_id
            ids = word_dropout(ids, config.word_dropout, replacement=unknown)
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

    # ---- to and from a bundle --------------------------------------------------------------------------------------

    def export(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The content of a bundle: `config.json` as a dict, and float32 arrays by parameter name."""
        model = self.config.to_dict()
        config = {"format": FORMAT, "kind": "language_model", "precision": model.pop("precision"), "model": model}
        arrays = {n: p.detach().cpu().numpy().astype(np.float32) for n, p in self.state_dict().items()}
        return config, arrays

    @classmethod
    def from_export(cls, config: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> Generator:
        """The model that `export` described.

        Raises: ConfigError for another kind or format; ShapeError for a tensor missing, unknown or of another size.
        """
        if config.get("kind") != "language_model" or config.get("format") != FORMAT:
            raise ConfigError(
                f"kind {config.get('kind')!r}, format {config.get('format')!r} is no language model of format {FORMAT}"
            )
        model = cls(GeneratorConfig.from_dict({**config["model"], "precision": config["precision"]}))
        wanted = {name: list(value.shape) for name, value in model.state_dict().items()}
        for name in sorted(wanted.keys() | tensors.keys()):
            got = list(tensors[name].shape) if name in tensors else "nothing"
            if got != wanted.get(name, "nothing"):
                raise ShapeError(f"tensor {name}: got {got}, this model wants {wanted.get(name, 'nothing')}")
        model.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in tensors.items()})
        return model


class _Head(nn.Module):
    """The parameters of a full softmax: `bias` [V] and, unless the embedding scores, `weight` [V, H]."""

    def __init__(self, vocab_size: int, hidden_size: int | None) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(vocab_size))
        self.register_parameter("weight", None)
        if hidden_size is not None:
            bound = hidden_size**-0.5
            self.weight = nn.Parameter(torch.empty(vocab_size, hidden_size).uniform_(-bound, bound))
