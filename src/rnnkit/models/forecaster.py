"""Forecaster: recurrent layers that read a series and say after every value what the next h will be."""

from __future__ import annotations

import math
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
from rnnkit.nn import Options, linear
from rnnkit.nn.dropout import dropout
from rnnkit.state import State

OUTPUTS = {"point": 1, "quantiles": 0, "normal": 2, "student_t": 3, "negative_binomial": 2, "mixture": 3}
_LEAST = 1e-4  # of a scaled deviation


@dataclass(frozen=True, kw_only=True)
class ForecasterConfig(RecurrentConfig):
    """Everything that fixes a Forecaster's shape and regularisation; plain values, ready for JSON.

    Args:
        window: W, the last values that the linear part reads. lags: those of them that the layers read, 0 the newest.
        horizon: h. recursive: the network says the next step alone.
        output: "point", "quantiles" at `quantile_levels`, or a distribution: "normal", "student_t",
            "negative_binomial", "mixture" of `num_components` normal ones.
        level, scale: what is subtracted from a window and what it is divided by, see `ForecastInputs`.
        calendar: pairs of steps and cycles in them. num_past, num_future, num_static: covariates.
        log: whether it reads and says logarithms of values above 0; of points and quantiles.
        linear: whether a linear autoregression is added to what the layers say.
        gap: which of the past covariates is the time since the value before; None: values come in even steps.
        others: as of `RecurrentConfig`.
    Raises: ConfigError, naming the field.
    """

    lists = (*RecurrentConfig.lists, "quantile_levels", "lags", "calendar")
    locked = ("dropout", "input_dropout")

    vocab_size: int = 0
    window: int
    horizon: int
    hidden_size: int | tuple[int, ...] = 64
    output: str = "quantiles"
    quantile_levels: tuple[float, ...] = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
    num_components: int = 3
    level: str = "mean"
    scale: str = "window"
    lags: tuple[int, ...] = ()
    calendar: tuple[tuple[int, int], ...] = ()
    num_past: int = 0
    num_future: int = 0
    num_static: int = 0
    linear: bool = True
    recursive: bool = False
    log: bool = False
    gap: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("window", "horizon", "num_components"):
            check_sizes(name, getattr(self, name), least=1)
        for name in ("num_past", "num_future", "num_static"):
            check_sizes(name, getattr(self, name), least=0)
        if self.output not in OUTPUTS:
            raise ConfigError(f"output={self.output!r} must be one of {', '.join(OUTPUTS)}")
        if self.output == "quantiles" and 0.5 not in self.quantile_levels:
            raise ConfigError(
                f"quantile_levels={self.quantile_levels} lack 0.5, the median, which is the point forecast"
            )
        if self.recursive and self.output == "quantiles":
            raise ConfigError("recursive needs something to draw from: take a distribution as output, or point")
        if self.log and self.output not in ("point", "quantiles"):
            raise ConfigError(f"log goes with points and quantiles, not with output={self.output!r}; leave it out")
        if self.output == "negative_binomial" and self.level != "zero":
            raise ConfigError(f"level={self.level!r}: counts have no level that could be subtracted; take level=zero")
        if self.gap is not None:
            if not 0 <= self.gap < self.num_past:
                raise ConfigError(f"gap={self.gap} is none of the {self.num_past} past covariates; give its number")
            refuse_whole(self, why="gap", remedy="forecast even steps")
        if self.input_size == 0:
            raise ConfigError("the layers would read nothing: give lags, a calendar or covariates")

    @property
    def steps_ahead(self) -> int:
        """The steps that the network says at once."""
        return 1 if self.recursive else self.horizon

    @property
    def step_size(self) -> int:
        """The numbers K that it says of each."""
        if self.output == "quantiles":
            return len(self.quantile_levels)
        return OUTPUTS[self.output] * (self.num_components if self.output == "mixture" else 1)

    @property
    def input_size(self) -> int:
        """What the layers read."""
        beside = self.num_past + self.num_future * self.steps_ahead + self.num_static
        return len(self.lags) + 2 * len(self.calendar) + beside

    @property
    def layer_options(self) -> Options:
        """As of `RecurrentConfig`: output_dropout acts on what the head reads."""
        return {**super().layer_options, "output_dropout": 0.0}


class Forecaster(RecurrentModel):
    """Reads windows, scaled, and what stands beside them; the run half says how those are made (`ForecastInputs`).

        features, _ = model(inputs, lengths=lengths)     # [T, B, W + …] -> [T, B, W + H]
        losses = model.loss(features, targets)           # of every step, [T, B]

    h_t = top layer over what is read beside x_t;  z_t = A x_t + U h_t + c, [h, K];  a scaled number of step t + k is

        point:     z;  the loss is the squared error
        quantiles: the sorted z_1 … z_Q;  the mean over levels q of max(q (y − z), (q − 1) (y − z))
        normal, student_t, mixture, negative_binomial: mean or location z, deviation or dispersion log(1 + exp(z)),
            degrees of freedom 2 + log(1 + exp(z)), weights softmax(z), of counts the mean scale_t · log(1 + exp(z));
            the loss is −log p(y)

    where y is (y_{t+k} − level_t) / scale_t. The loss of a step is the mean over its h values, of those that are there.

    With `gap` values come in uneven steps: before each step all that the layers remember, of every layer and part, is
    multiplied by exp(−log(1 + exp(r)) · Δ / Δ̄), Δ the time since the value before and Δ̄ its mean in training. So a
    gap of 2 forgets exactly what two gaps of 1 forget, and there is one value where those have two.

    Parameters: `recurrent.*`; with `gap` `decay` r [Σ H]; `autoregression.weight` A [h·K, W]; `head.weight` U [h·K, H],
    `head.bias` c [h·K];
    buffers `past_scale.*`, `future_scale.*`, `static_scale.*` of covariates.

    Source: Salinas et al. 2020, arXiv:1704.04110 (DeepAR); Wen et al. 2017, arXiv:1711.11053 (all steps at once, after
            every value); Smyl 2020 (windows scaled as they come); Che et al. 2018 (GRU-D: states that decay).
    """

    kind = "forecaster"
    config_class = ForecasterConfig
    config: ForecasterConfig

    def __init__(self, config: ForecasterConfig) -> None:
        super().__init__()
        self.config, self.embedding = config, None
        self._add_layers(config.input_size)
        outputs = config.steps_ahead * config.step_size
        self.head = nn.Linear(config.output_size, outputs)
        nn.init.zeros_(self.head.weight)  # before it has learned anything the layers say nothing
        nn.init.zeros_(self.head.bias)
        self.autoregression = nn.Linear(config.window, outputs, bias=False) if config.linear else None
        if self.autoregression is not None:
            nn.init.zeros_(self.autoregression.weight)
        self.decay = None
        if config.gap is not None:
            cell, size = self.recurrent.cell, 0
            for width in config.hidden_sizes:
                size += sum(cell.part_sizes(hidden_size=width, proj_size=config.proj_size or 0))
            self.decay = nn.Parameter(torch.full((size,), -3.0))  # at first a gap of usual size forgets 5 %
        for kind in ("past", "future", "static"):
            size = getattr(config, f"num_{kind}")
            self.add_module(f"{kind}_scale", Scale(size) if size else None)

    def start_from(self, weight: np.ndarray, errors: np.ndarray) -> None:
        """Begin with a linear autoregression. Args: weight: [h, W], scaled.  errors: [N, h], its own in training."""
        config, steps = self.config, self.config.steps_ahead
        bias = np.zeros((steps, config.step_size))
        rows = np.zeros((steps, config.step_size, config.window))
        spread = np.log(np.expm1(np.maximum(errors[:, :steps].std(0), 1e-2)))
        located = {"quantiles": slice(None), "mixture": slice(config.num_components, 2 * config.num_components)}
        at = located.get(config.output, slice(0, 1))
        if config.output == "negative_binomial":
            return
        rows[:, at] = weight[:steps, None]
        if config.output == "quantiles":
            bias[:] = np.quantile(errors[:, :steps], config.quantile_levels, axis=0).T
        elif config.output == "mixture":
            places = np.linspace(-1, 1, config.num_components) if config.num_components > 1 else np.zeros(1)
            bias[:, at] = places * np.exp(spread)[:, None]
            bias[:, 2 * config.num_components :] = spread[:, None]
        elif config.output != "point":
            bias[:, 1] = spread
        with torch.no_grad():
            self.head.bias.copy_(torch.from_numpy(bias.reshape(-1)))
            if self.autoregression is not None:
                self.autoregression.weight.copy_(torch.from_numpy(rows.reshape(-1, config.window)))

    def forward(self, inputs: Tensor, state: State | None = None, *, lengths: Any = None) -> tuple[Tensor, State]:
        """Args: inputs: [T, B, W + I], scaled windows, and what the layers read.  lengths: [B]; None: all T.

        Returns: what the outputs are made of, [T, B, W + H], and the layers' State after each row's last step.
        """
        window, beside = inputs[..., : self.config.window], inputs[..., self.config.window :]
        if self.decay is None:
            hidden, after = self.recurrent(beside.contiguous(), state, lengths=lengths)
        else:
            hidden, after = self._with_gaps(beside, state, lengths)
        hidden = dropout(hidden, self.config.output_dropout if self.training else 0.0)
        return torch.cat([window, hidden], dim=-1), after

    def _with_gaps(self, read: Tensor, state: State | None, lengths: Any) -> tuple[Tensor, State]:
        """As the layers over read [T, B, I], whose state decays before each step; step by step."""
        config, layers, scale = self.config, self.recurrent, self.past_scale
        assert isinstance(scale, Scale) and self.decay is not None and config.gap is not None
        at = len(config.lags) + 2 * len(config.calendar) + config.gap
        gaps = (
            read[..., at] * scale.deviation[config.gap] + scale.mean[config.gap]
        )  # as they were before they were scaled
        gaps = gaps.clamp(min=0) / _usual_gap(scale.mean[config.gap])
        state = layers.initial_state(read.shape[1]) if state is None else state
        parts = [tuple(layer[name] for name in layers.cell.parts) for layer in state.layers]
        sizes, weights, said = [part.shape[1] for of in parts for part in of], step_weights(layers), []
        rates = F.softplus(self.decay)
        alive = None if lengths is None else torch.arange(len(read))[:, None] < torch.as_tensor(lengths)
        for t in range(len(read)):
            kept = iter(torch.exp(-gaps[t][:, None] * rates).split(sizes, dim=1))
            before = [tuple(part * next(kept) for part in of) for of in parts]
            output, after = step_layers(layers, read[t], before, weights)
            if alive is not None:
                is_on = alive[t][:, None]
                output = torch.where(is_on, output, 0)
                after = [
                    tuple(torch.where(is_on, new, old) for new, old in zip(*of, strict=True))
                    for of in zip(after, parts, strict=True)
                ]
            said.append(output)
            parts = after
        hidden = torch.stack(said) if said else read.new_zeros(0, read.shape[1], config.output_size)
        return hidden, State([dict(zip(layers.cell.parts, of, strict=True)) for of in parts])

    def outputs(self, features: Tensor) -> Tensor:
        """z, [T, B, h, K]."""
        window, hidden = features[..., : self.config.window], features[..., self.config.window :]
        z = linear(hidden.contiguous(), self.head.weight, self.head.bias, precision=self.config.precision)
        if self.autoregression is not None:
            z = z + linear(window.contiguous(), self.autoregression.weight, None, precision=self.config.precision)
        return z.unflatten(-1, (self.config.steps_ahead, self.config.step_size))

    def loss(self, features: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """The loss of every step [T, B].

        Args: targets: [T, B, h + 1]: scaled values, NaN where there is none, and behind them the scale of the step.
        """
        scaled, scale = targets[..., :-1], targets[..., -1:]
        is_there = ~scaled.isnan()
        losses = self._losses(self.outputs(features), scaled.nan_to_num(0.0), scale) * is_there
        return losses.sum(-1) / is_there.sum(-1).clamp(min=1)

    def _losses(self, z: Tensor, y: Tensor, scale: Tensor) -> Tensor:
        output = self.config.output
        if output == "point":
            return (y - z[..., 0]) ** 2
        if output == "quantiles":
            levels = torch.tensor(self.config.quantile_levels, dtype=z.dtype)
            off = y[..., None] - z
            return torch.maximum(levels * off, (levels - 1) * off).mean(-1)
        if output == "normal":
            return _log_deviations(y, z[..., 0], _positive(z[..., 1]))
        if output == "student_t":
            spread, freedom = _positive(z[..., 1]), 2 + _positive(z[..., 2])
            half, square = (freedom + 1) / 2, ((y - z[..., 0]) / spread) ** 2
            whole = torch.lgamma(half) - torch.lgamma(freedom / 2) - torch.log(freedom * math.pi) / 2 - spread.log()
            return half * torch.log1p(square / freedom) - whole
        if output == "mixture":
            weights, means, deviations = z.chunk(3, dim=-1)
            each = weights.log_softmax(-1) - _log_deviations(y[..., None], means, _positive(deviations))
            return -torch.logsumexp(each, -1)
        count, mean, r = (y * scale).round(), scale * _positive(z[..., 0]), 1 / _positive(z[..., 1])
        counted = torch.lgamma(count + r) - torch.lgamma(r) - torch.lgamma(count + 1)
        return -(counted + r * torch.log(r / (r + mean)) + count * torch.log(mean / (r + mean)))


def _usual_gap(mean: Tensor) -> Tensor:
    """What gaps are measured in: their mean in training, or 1."""
    return torch.where(mean > 0, mean, torch.ones_like(mean))


def _positive(z: Tensor) -> Tensor:
    return F.softplus(z) + _LEAST


def _log_deviations(y: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """−log p(y) of normal distributions."""
    return ((y - mean) / deviation) ** 2 / 2 + deviation.log() + math.log(2 * math.pi) / 2
