"""Simulator: recurrent layers beside a linear model that say what a system puts out, from what goes in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnkit.errors import ConfigError
from rnnkit.models.reader import Scale
from rnnkit.models.recurrent import (
    RecurrentConfig,
    RecurrentModel,
    check_sizes,
    refuse_whole,
    step_layers,
    step_weights,
)
from rnnkit.nn import linear
from rnnkit.state import State

MOST = 1e3  # deviations, beyond which a simulation that runs away is held


@dataclass(frozen=True, kw_only=True)
class SimulatorConfig(RecurrentConfig):
    """Everything that fixes a Simulator's shape and regularisation; plain values, ready for JSON.

    Args:
        num_inputs, num_outputs: I, O. input_lags: n, the last inputs that are read. output_lags: m, the last outputs;
            0: none, and whole blocks are then read at once. delay: steps after which an input can act.
        linear: whether a linear model of what is read is added to what the layers say.
        others: as of `RecurrentConfig`.
    Raises: ConfigError, naming the field.
    """

    vocab_size: int = 0
    hidden_size: int | tuple[int, ...] = 16
    num_inputs: int
    num_outputs: int
    input_lags: int = 2
    output_lags: int = 2
    delay: int = 0
    linear: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("num_inputs", 1), ("num_outputs", 1), ("input_lags", 1), ("output_lags", 0), ("delay", 0)):
            check_sizes(name, getattr(self, name), least=least)
        if self.output_lags:
            why = f"output_lags={self.output_lags}"
            refuse_whole(self, why=why, remedy="take output_lags=0")
            if self.output_dropout:
                raise ConfigError(
                    f"output_dropout={self.output_dropout} does nothing with {why}: leave it out, or take output_lags=0"
                )

    @property
    def input_size(self) -> int:
        """The numbers R that are read at each step."""
        return self.input_lags * self.num_inputs + self.output_lags * self.num_outputs


class Simulator(RecurrentModel):
    """Reads inputs and the last outputs, all scaled, and says the output of each step.

        said, _ = model(inputs, lengths=lengths)   # [T, B, R + 1] -> [T, B, O]
        losses = model.loss(said, targets)         # of every step, [T, B]

    r_t = (u_{t−d−n+1} … u_{t−d}, y_{t−m} … y_{t−1});  h_t = top layer over r_t;  ŷ_t = A r_t + U h_t + c

    where of the last outputs y those that were measured are read while the last number of the inputs is 1 (given), and
    what the model has said itself from then on: it learns to run free. Before a record begins all are 0, the means.
    The loss of a step is the mean of (y − ŷ)² over its outputs, of those that are there.

    Parameters: `recurrent.*`; `linear.weight` A [O, R]; `head.weight` U [O, H], `head.bias` c [O]; buffers
    `input_scale.*`, `output_scale.*`.

    Source: Ljung 1999, "System Identification" (output error); Williams and Zipser 1989 (teacher forcing).
    """

    kind = "simulator"
    config_class = SimulatorConfig
    config: SimulatorConfig

    def __init__(self, config: SimulatorConfig) -> None:
        super().__init__()
        self.config, self.embedding = config, None
        self._add_layers(config.input_size)
        self.head = nn.Linear(config.output_size, config.num_outputs)
        nn.init.zeros_(self.head.weight)  # before it has learned anything the layers say nothing
        nn.init.zeros_(self.head.bias)
        self.linear = nn.Linear(config.input_size, config.num_outputs, bias=False) if config.linear else None
        if self.linear is not None:
            nn.init.zeros_(self.linear.weight)
        self.input_scale, self.output_scale = Scale(config.num_inputs), Scale(config.num_outputs)

    def start_from(self, weight: np.ndarray, bias: np.ndarray) -> None:
        """Begin as a linear model. Args: weight: [O, R], scaled.  bias: [O]."""
        with torch.no_grad():
            self.head.bias.copy_(torch.from_numpy(bias))
            if self.linear is not None:
                self.linear.weight.copy_(torch.from_numpy(weight))

    def forward(
        self, inputs: Tensor, state: State | None = None, *, lengths: Any = None
    ) -> tuple[Tensor, State | None]:
        """Args: inputs: [T, B, R + 1]: what is read with every output measured, and 1 while outputs are given.

        Rows have their outputs given for the same number of first steps.
        Returns: said outputs [T, B, O], scaled; no State of a model that reads its own outputs.
        """
        read, is_given = inputs[..., :-1].contiguous(), inputs[..., -1]
        if not self.config.output_lags:
            hidden, after = self.recurrent(read, state, lengths=lengths)
            return self._said(read, hidden), after
        first = int(is_given[:, :1].sum())
        hidden, after = self.recurrent(read[:first], state)
        return torch.cat([self._said(read[:first], hidden), self._free(read[first:], after)]), None

    def _said(self, read: Tensor, hidden: Tensor) -> Tensor:
        said = linear(hidden.contiguous(), self.head.weight, self.head.bias, precision=self.config.precision)
        if self.linear is not None:
            said = said + linear(read, self.linear.weight, None, precision=self.config.precision)
        return said

    def _free(self, read: Tensor, state: State) -> Tensor:
        """Outputs of steps that read those said before: step by step, as every one needs the one before."""
        stack = self.recurrent
        width = self.config.num_outputs * self.config.output_lags
        parts = [tuple(layer[name] for name in stack.cell.parts) for layer in state.layers]
        weights = step_weights(stack)
        inputs, past = read[..., : read.shape[2] - width], read[0, :, read.shape[2] - width :] if len(read) else None
        said = []
        for t in range(len(read)):
            assert past is not None
            r = torch.cat([inputs[t], past], dim=1)
            x, parts = step_layers(stack, r, parts, weights)
            y = F.linear(x, self.head.weight, self.head.bias)
            y = y if self.linear is None else y + F.linear(r, self.linear.weight)
            said.append(y.clamp(-MOST, MOST))
            past = torch.cat([past[:, self.config.num_outputs :], said[-1]], dim=1)
        return torch.stack(said) if said else read.new_zeros(0, read.shape[1], self.config.num_outputs)

    def loss(self, said: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """The loss of every step [T, B]. Args: targets: [T, B, O], scaled; NaN where there is none."""
        is_there = ~targets.isnan()
        squares = (said - targets.nan_to_num(0.0)) ** 2 * is_there
        return squares.sum(-1) / is_there.sum(-1).clamp(min=1)
