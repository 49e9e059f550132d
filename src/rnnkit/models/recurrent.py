"""What every model of recurrent layers shares: how its layers are chosen and checked, its tokens, and its bundle."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnkit.errors import ConfigError, ShapeError
from rnnkit.nn import Options, Recurrent, Watched, embedding_dropout, resolve_precision, spec, word_dropout
from rnnkit.nn.dropout import check_probability
from rnnkit.nn.options import checked_options
from rnnkit.nn.stack import checked_projection, checked_widths
from rnnkit.state import State

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class RecurrentConfig:
    """What fixes recurrent layers and what they read, in shape and regularisation; plain values, ready for JSON.

    Args:
        vocab_size: V, for tokens. embedding_size: E.
        cell, hidden_size, num_layers, bias: of the recurrent layers; hidden_size may be a width for each of them.
        proj_size: P, the width of an LSTM's h and so of what is read of it, below hidden_size; None: hidden_size.
        forget_bias: the forget gate's bias at the start (Jozefowicz et al. 2015); only for cells that have one.
        init, chrono, residual, trainable_state, layer_norm, weight_dropout, zoneout, recurrent_dropout, recompute: of
            the recurrent layers, see `rnnkit.nn.Options`.
        dropout: between layers. output_dropout: on the last hidden state. input_dropout: on the embedded input.
        locked_dropout: draw these three masks once per window and row instead of at each step.
        embedding_dropout: rows of the table. word_dropout: single tokens, replaced by `unk_id`; None: by zeros.
        precision: of the products, "fp32" or "bf16"; "auto" becomes the one that this machine is fast in.
    Raises: ConfigError, naming the field.
    """

    lists: ClassVar[tuple[str, ...]] = ("hidden_size", "zoneout")
    """Fields that may be tuples here, and are lists in JSON."""
    locked: ClassVar[tuple[str, ...]] = ("dropout", "input_dropout", "output_dropout")
    """What locked_dropout acts on."""

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
        object.__setattr__(self, "precision", resolve_precision(self.precision))
        for name in self.lists:
            if isinstance(value := getattr(self, name), list):
                object.__setattr__(self, name, tuple(value))
        for name, least in (("vocab_size", 0), ("embedding_size", 0), ("hidden_size", 1), ("num_layers", 1)):
            check_sizes(name, getattr(self, name), least=least)
        object.__setattr__(self, "num_layers", len(self.hidden_sizes))
        if self.cell not in spec.CELLS:
            raise ConfigError(f"cell={self.cell!r} does not exist; choose one of {', '.join(spec.CELLS)}")
        if self.proj_size is not None:
            self._check_projection(self.proj_size)
        for name in ("dropout", "output_dropout", "embedding_dropout", "word_dropout"):
            object.__setattr__(self, name, check_probability(name, getattr(self, name)))
        if self.dropout > 0 and self.num_layers == 1:
            raise ConfigError(
                f"dropout={self.dropout} acts between layers and there is one; use output_dropout or num_layers=2"
            )
        if self.locked_dropout and not any(getattr(self, name) for name in self.locked):
            names = f"{', '.join(self.locked[:-1])} or {self.locked[-1]}"
            raise ConfigError(f"locked_dropout has no effect without {names}; set one")
        if self.forget_bias != 1.0 and not self._has_forget_gate:
            where = f"in cell {self.cell}, which has no forget gate" if self.bias else "without bias"
            raise ConfigError(
                f"forget_bias={self.forget_bias} has no effect {where}; leave it out, or use lstm with bias"
            )
        if self.forget_bias != 1.0 and self.chrono is not None:
            raise ConfigError(
                f"forget_bias={self.forget_bias} and chrono={self.chrono} set the same gate; leave one out"
            )
        options = checked_options(spec.CELLS[self.cell], self.layer_options, bias=self.bias, widths=self.hidden_sizes)
        for name in ("input_dropout", "weight_dropout", "zoneout", "recurrent_dropout"):
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
        """The width of the last recurrent layer's output, in one direction."""
        return self.proj_size or self.hidden_sizes[-1]

    @property
    def layer_options(self) -> Options:
        """What the recurrent layers take beside sizes and `dropout`."""
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
            "forget_bias": self.forget_bias if self._has_forget_gate and self.chrono is None else None,
            "chrono": self.chrono,
        }

    @property
    def _has_forget_gate(self) -> bool:
        return self.bias and "f" in spec.CELLS[self.cell].gates

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The configuration that `to_dict` wrote. Raises: ConfigError for unknown or missing fields."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(values.keys() - known):
            raise ConfigError(
                f"model.{unknown[0]} is not a field of {cls.__name__}; there are {', '.join(sorted(known))}"
            )
        if "vocab_size" not in values:
            raise ConfigError("model.vocab_size is missing")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = asdict(self)
        return values | {name: list(values[name]) for name in self.lists if isinstance(values[name], tuple)}


# What acts on layers that are run whole, and so not where something is done between their steps.
_OF_WHOLE = ("dropout", "input_dropout", "weight_dropout", "zoneout", "recurrent_dropout", "layer_norm", "recompute",
             "trainable_state")  # fmt: skip


def refuse_whole(config: RecurrentConfig, *, why: str, remedy: str) -> None:
    """Raises: ConfigError for what acts on whole layers. Args: why: what makes the layers run step by step."""
    for name in _OF_WHOLE:
        if getattr(config, name):
            raise ConfigError(
                f"{name}={getattr(config, name)!r} is for layers that are run whole, and with {why} they run step by "
                f"step: leave it out, or {remedy}"
            )


def step_weights(layers: Recurrent) -> list[dict[str, Tensor]]:
    """The parameters of every layer by the names that its cell gives them, for `step_layers`."""
    suffixes = [f"_l{layer}" for layer in range(layers.num_layers)]
    return [
        {name: w for name in layers.cell.parameters if (w := getattr(layers, name + suffix, None)) is not None}
        for suffix in suffixes
    ]


def step_layers(
    layers: Recurrent, x: Tensor, parts: list[tuple[Tensor, ...]], weights: list[dict[str, Tensor]]
) -> tuple[Tensor, list[tuple[Tensor, ...]]]:
    """One step of layers that `refuse_whole` has passed: x [B, I] and every layer's parts -> (output [B, H], parts)."""
    after = []
    for layer, of in enumerate(weights):
        projected = F.linear(x, of["weight_ih"], of.get("bias_ih"))
        after.append(tuple(layers.cell.step(projected, parts[layer], of)[: len(layers.cell.parts)]))
        x = x + after[layer][0] if layers.residual and layer else after[layer][0]
    return x, after


def check_sizes(name: str, value: Any, *, least: int) -> None:
    """Raises: ConfigError unless `value` is an integer of at least `least`, or a tuple of them."""
    for size in value if isinstance(value, tuple) else (value,):
        if isinstance(size, bool) or not isinstance(size, int) or size < least:
            raise ConfigError(f"{name}={value!r} must be an integer of at least {least}")


class RecurrentModel(nn.Module):
    """An `embedding` or none, the layers `recurrent`, and how both become a bundle; a model adds what it decides."""

    kind: ClassVar[str]
    """Of the bundle."""
    config_class: ClassVar[type[RecurrentConfig]]
    config: Any
    embedding: nn.Embedding | None
    recurrent: Recurrent
    rate_of: Callable[[str, float], float] | None = None
    """What training multiplies the learning rate of a parameter by, after so many epochs; 0: it stays. None: 1."""

    def _add_layers(self, input_size: int, *, bidirectional: bool = False) -> None:
        config: RecurrentConfig = self.config
        self.recurrent = Recurrent(
            config.cell,
            input_size,
            config.hidden_size,
            config.num_layers,
            bias=config.bias,
            dropout=config.dropout,
            bidirectional=bidirectional,
            proj_size=config.proj_size or 0,
            precision=config.precision,
            **config.layer_options,
        )

    def initial_state(self, batch: int = 1) -> State:
        """What `batch` rows start from: zeros, or with `trainable_state` what was learned."""
        return self.recurrent.initial_state(batch)

    def traced(self, inputs: Tensor) -> list[dict[str, Tensor]]:
        """Every gate and state part of the layers over whole sequences, as `Recurrent` gives them with trace=True."""
        x, table = self._inputs(inputs)
        return self.recurrent(x, embedding=table, trace=True)[2]

    def watched(self) -> tuple[Self, Watched]:
        """A float64 copy in eval mode, whose layers are the equations step by step; and those layers, which keep what
        gradients can be asked of.
        """
        model = copy.deepcopy(self).double().eval()
        for module in model.modules():
            if isinstance(module, Recurrent):
                module.backend = "spec"
        watched = Watched(model.recurrent)
        model.recurrent = watched  # type: ignore[assignment]
        return model, watched

    def _inputs(self, inputs: Tensor) -> tuple[Tensor, Tensor | None]:
        """What the layers read of what the model is called with, and the table that ids stand for rows of."""
        return self._dropped_out(inputs)

    def _dropped_out(self, ids: Tensor) -> tuple[Tensor, Tensor | None]:
        """The ids and the table that the layers read, in training without dropped tokens and rows; None: one-hot."""
        config: RecurrentConfig = self.config
        table = None if self.embedding is None else self.embedding.weight
        if not self.training or not (config.embedding_dropout or config.word_dropout):
            return ids, table
        if table is None:
            table = torch.eye(config.vocab_size).to(next(self.parameters()))
        table = embedding_dropout(table, config.embedding_dropout)
        if config.word_dropout and config.unk_id is None:
            table = F.pad(table, (0, 0, 0, 1))  # a dropped word reads the row of zeros at V
        unknown = config.vocab_size if config.unk_id is None else config.unk_id
        return word_dropout(ids, config.word_dropout, replacement=unknown), table

    def export(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The content of a bundle: `config.json` as a dict, and float32 arrays by the names of the state_dict."""
        model = self.config.to_dict()
        config = {"format": FORMAT, "kind": self.kind, "precision": model.pop("precision"), "model": model}
        return config, {name: t.detach().cpu().numpy().astype(np.float32) for name, t in self.state_dict().items()}

    @classmethod
    def from_export(cls, config: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> Self:
        """The model that `export` described.

        Raises: ConfigError for another kind or format; ShapeError for a tensor missing, unknown or of another size.
        """
        if config.get("kind") != cls.kind or config.get("format") != FORMAT:
            raise ConfigError(
                f"kind {config.get('kind')!r}, format {config.get('format')!r} is no {cls.kind.replace('_', ' ')}"
                f" of format {FORMAT}"
            )
        model = cls(cls.config_class.from_dict({**config["model"], "precision": config["precision"]}))
        wanted = {name: list(value.shape) for name, value in model.state_dict().items()}
        for name in sorted(wanted.keys() | tensors.keys()):
            got = list(tensors[name].shape) if name in tensors else "nothing"
            if got != wanted.get(name, "nothing"):
                raise ShapeError(f"tensor {name}: got {got}, this model wants {wanted.get(name, 'nothing')}")
        model.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in tensors.items()})
        return model
