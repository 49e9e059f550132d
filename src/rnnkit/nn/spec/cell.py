"""CellSpec: what a cell file states about one time step, and the registry finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

Step = Callable[[Tensor, tuple[Tensor, ...], Tensor, Tensor | None], tuple[Tensor, ...]]


@dataclass(frozen=True)
class CellSpec:
    """One recurrent cell, in plain torch operations: any dtype, any device, differentiable as often as you like.

    Args:
        name: what layers, configurations, bundles and the native core call it.
        gates: the row blocks of `weight_ih` `[G*H, I]`, `weight_hh` `[G*H, H]` and of both biases `[G*H]`, in order.
        parts: the names of the state's parts, each `[B, H]`. The first part is also the output.
        step: `(projected, state, weight_hh, bias_hh) -> (*state, *gates)`, where `projected` `[B, G*H]` is
            `x @ weight_ih.T + bias_ih` and `bias_hh` may be None. The gates, after their nonlinearities and in their
            order, are what `trace=True` shows; a step that leaves them out cannot be traced.
        source: the paper that published the equation.
    """

    name: str
    gates: tuple[str, ...]
    parts: tuple[str, ...]
    step: Step
    source: str
