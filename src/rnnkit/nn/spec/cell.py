"""CellSpec: what a cell file states about one time step; also how a cell of your own is told."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from rnnkit.errors import ConfigError

Weights = Mapping[str, Tensor]
Step = Callable[[Tensor, tuple[Tensor, ...], Weights], tuple[Tensor, ...]]
Axes = tuple[str, ...]

# What torch.nn's layers have, in its order.
PARAMETERS: dict[str, Axes] = {
    "weight_ih": ("G*H", "I"),
    "weight_hh": ("G*H", "H"),
    "bias_ih": ("G*H",),
    "bias_hh": ("G*H",),
}
NORM_EPSILON = 1e-5  # as in csrc/gemm/row_norm.h
RECURRENT_MASK = "recurrent_mask"  # [B, H], beside the weights while recurrent dropout is on
WITHOUT_STATE: dict[str, Axes] = {name: axes for name, axes in PARAMETERS.items() if name.endswith("_ih")}


@dataclass(frozen=True)
class CellSpec:
    """One recurrent cell, in plain torch operations: any dtype, any device, differentiable as often as you like.

    Args:
        name: what layers, configurations, bundles and the native core call it.
        gates: the row blocks of `weight_ih` `[G*H, I]`, `weight_hh` `[G*H, H]` and of both biases `[G*H]`, in order.
        parts: the names of the state's parts, each `[B, H]`. The first part is also the output.
        step: `(projected, state, weights) -> (*state, *gates)`, where `projected` `[B, G*H]` is
            `x @ weight_ih.T + bias_ih`, and `weights` holds the cell's parameters by name; biases are absent from it
            when the layer has none. The gates, after their nonlinearities and in their order, are what `trace=True`
            shows; a step that leaves them out cannot be traced.
        source: the paper that published the equation.
        parameters: the axes of each by name, as products of G, H, I and numbers; those of torch.nn's layers by default.
            With `weight_hr` `("P", "H")` the first part of the state has the width P, a layer's `proj_size`.
            `weight_ih` `("G*H", "I")` is always there, `bias_ih` `("G*H",)` is added to the projection; what begins
            with "bias" is left out of layers with `bias=False`. Layer normalisation adds some (`layer_normed`). A
            layer appends `_l0`, `_l0_reverse`, … to the names.
    Raises: ConfigError for parameters that are named or shaped otherwise.
    """

    name: str
    gates: tuple[str, ...]
    parts: tuple[str, ...]
    step: Step
    source: str
    parameters: Mapping[str, Axes] = field(default_factory=lambda: dict(PARAMETERS), hash=False)

    def __post_init__(self) -> None:
        for name, axes in self.parameters.items():
            if not re.fullmatch(r"(weight|bias)_[a-z]+(_[a-z]+)*", name) or name.endswith("_reverse"):
                raise ConfigError(f"cell {self.name!r}: a parameter is named weight_… or bias_…, got {name!r}")
            if not all(re.fullmatch(r"([GHIP]|\d+)(\*([GHIP]|\d+))*", axis) for axis in axes):
                raise ConfigError(f"cell {self.name!r}: the axes of {name} are products of G, H, I, P, got {axes}")
        if self.is_projected and self.parameters.get("weight_hr") != ("P", "H"):
            raise ConfigError(f"cell {self.name!r}: an axis P goes with weight_hr of the axes ('P', 'H')")
        for name, axes in WITHOUT_STATE.items():
            if self.parameters.get(name, axes if name == "bias_ih" else None) != axes:
                raise ConfigError(f"cell {self.name!r}: {name} must have the axes {axes}; its rows are the gates")

    @property
    def is_projected(self) -> bool:
        """Whether the first part of the state, which is the output, has a width P of its own."""
        return any("P" in axis for axes in self.parameters.values() for axis in axes)

    def part_sizes(self, *, hidden_size: int, proj_size: int = 0) -> tuple[int, ...]:
        """The width of every part of the state."""
        return (proj_size if self.is_projected else hidden_size, *(hidden_size for _ in self.parts[1:]))

    def shapes(
        self, *, input_size: int, hidden_size: int, proj_size: int = 0, bias: bool = True
    ) -> dict[str, tuple[int, ...]]:
        """The shape of every parameter by name; without those that begin with "bias" unless `bias`."""
        sizes = {"G": len(self.gates), "H": hidden_size, "I": input_size, "P": proj_size}
        return {
            name: tuple(math.prod(sizes[f] if f in sizes else int(f) for f in axis.split("*")) for axis in axes)
            for name, axes in self.parameters.items()
            if bias or not name.startswith("bias")
        }


def recurrent(h: Tensor, weights: Weights, first: int = 0, last: int | None = None) -> Tensor:
    """U h + b_hh for the gates from `first` to before `last`: how a step multiplies `h` (or r∘h) by `weight_hh`.

    Recurrent dropout acts here: it is then U (mask ∘ h) + b_hh; and layer normalisation: then gain ∘ norm(U h) + b_hh,
    over all of these gates. A step that multiplies by itself cannot have either.
    """
    weight, bias, mask = weights["weight_hh"], weights.get("bias_hh"), weights.get(RECURRENT_MASK)
    size, gain = weight.shape[1], weights.get("weight_norm_hh")
    rows = slice(first * size, None if last is None else last * size)
    h, bias = h if mask is None else h * mask, None if bias is None else bias[rows]
    if gain is None:
        return F.linear(h, weight[rows], bias)
    return normalised(F.linear(h, weight[rows]), gain[rows], bias)


def squashed(c: Tensor, weights: Weights) -> Tensor:
    """tanh(c), by which a step shows its memory; with layer normalisation tanh(gain ∘ norm(c) + bias)."""
    gain = weights.get("weight_norm_c")
    return torch.tanh(c if gain is None else normalised(c, gain, weights.get("bias_norm_c")))


def normalised(x: Tensor, gain: Tensor, bias: Tensor | None = None) -> Tensor:
    """gain ∘ norm(x) + bias along the last axis.

    norm(x) = (x − mean(x)) / √(variance(x) + ε), ε = 1e-5. Source: Ba, Kiros and Hinton 2016, arXiv:1607.06450.
    """
    return F.layer_norm(x, x.shape[-1:], gain, bias, NORM_EPSILON)


def layer_normed(cell: CellSpec) -> CellSpec:
    """`cell` with the parameters of layer normalisation beside its own.

    W x + b_ih becomes gain_ih ∘ norm(W x) + b_ih, U h + b_hh likewise, over all gates that one product gives; of a
    memory c, which is carried as it is, h shows tanh(gain_c ∘ norm(c) + bias_c).
    """
    norms: dict[str, Axes] = {"weight_norm_ih": ("G*H",)}
    if "weight_hh" in cell.parameters:
        norms["weight_norm_hh"] = ("G*H",)
    if "c" in cell.parts:
        norms |= {"weight_norm_c": ("H",), "bias_norm_c": ("H",)}
    return replace(cell, parameters={**cell.parameters, **norms})
