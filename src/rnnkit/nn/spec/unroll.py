"""The plain loop over time: the reference every faster backend must agree with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from rnnkit.errors import ConfigError
from rnnkit.nn.spec.cell import RECURRENT_MASK, CellSpec, normalised


def unroll(
    cell: CellSpec,
    x: Tensor,
    *,
    weights: Mapping[str, Tensor],
    state: Sequence[Tensor] | None = None,
    lengths: Tensor | None = None,
    reverse: bool = False,
    zoneout: Sequence[float | Tensor | None] | None = None,
    recurrent_mask: Tensor | None = None,
    trace: dict[str, Tensor] | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run `cell` over every step of `x`.

    Args:
        x: `[T, B, I]`, or integers `[T, B]` that stand for one-hot rows of width I.
        weights: the cell's parameters by name, biases or none.
        state: one `[B, H]` per part of the cell; None means zeros.
        lengths: `[B]`, each in 0..T. A row stops after its length: its later outputs are 0, its final state is the one
            at its length, and what `x` holds there is never read.
        reverse: run each row from its last valid step to its first.
        zoneout: for each part what stays of its old value: a share z of it, z∘old + (1 − z)∘new; or a bool mask
            `[T, B, H]` of the units that stay. Step by step the cell itself sees the blend of the step before; an
            LSTM's h comes from its new c before the blend (Krueger et al. 2017, arXiv:1606.01305).
        recurrent_mask: `[B, H]`, times which h enters the recurrent products (Gal and Ghahramani 2016).
        trace: a dict to put every gate and part into, each `[T, B, H]`, detached, 0 beyond a row's length.

    Returns: the outputs `[T, B, H]` and the final state, one `[B, H]` per part.
    Raises: ConfigError where the cell's step leaves out what layer normalisation, `recurrent_mask` or `trace` need.
    Cost: 2·T·B·G·H·(I+H) flop, and a dozen small torch calls per step.
    """
    steps, batch = x.shape[:2]
    weight_ih, bias_ih = weights["weight_ih"], weights.get("bias_ih")
    proj_size = weights["weight_hr"].shape[0] if cell.is_projected else 0
    sizes = cell.part_sizes(hidden_size=weight_ih.shape[0] // len(cell.gates), proj_size=proj_size)
    if state is None:
        state = [weight_ih.new_zeros(batch, size) for size in sizes]
    state = tuple(state)
    running = None
    if lengths is not None:
        running = torch.arange(steps, device=x.device)[:, None] < lengths.to(x.device)  # [T, B]
        x = x.masked_fill(~running if x.dim() == 2 else ~running[..., None], 0)
    gain = weights.get("weight_norm_ih")
    if x.is_floating_point():
        projected = F.linear(x, weight_ih, bias_ih if gain is None else None)
    else:
        projected = F.embedding(x, weight_ih.t())
        projected = projected if bias_ih is None or gain is not None else projected + bias_ih
    if gain is not None:
        projected = normalised(projected, gain, bias_ih)
    given = _Watched(weights if recurrent_mask is None else {**weights, RECURRENT_MASK: recurrent_mask})
    outputs = [weight_ih.new_zeros(0)] * steps
    traced = {name: [weight_ih.new_zeros(0)] * steps for name in (() if trace is None else cell.gates + cell.parts)}
    for t in reversed(range(steps)) if reverse else range(steps):
        stepped = cell.step(projected[t], state, given)
        new, gates = stepped[: len(state)], stepped[len(state) :]
        if unread := [name for name in _NORMS if name in weights and name not in given.read]:
            acts = "multiply h by weight_hh with rnnkit.nn.spec.recurrent and show c with rnnkit.nn.spec.squashed"
            raise ConfigError(
                f"layer_norm: the step of cell {cell.name} does not read {unread[0]}; leave layer_norm out, or let the "
                f"step {acts}"
            )
        if recurrent_mask is not None and RECURRENT_MASK not in given.read:
            raise ConfigError(
                f"recurrent dropout has no effect on cell {cell.name}, which does not multiply h by weight_hh with "
                "rnnkit.nn.spec.recurrent; leave it out, or write the step with it"
            )
        if zoneout is not None:
            new = tuple(_kept(z, t, old, n) for z, old, n in zip(zoneout, state, new, strict=True))
        if trace is not None:
            if len(gates) != len(cell.gates):
                raise ConfigError(f"trace=True: the step of cell {cell.name} returns no gates; add them to its state")
            for name, value in (*zip(cell.gates, gates, strict=True), *zip(cell.parts, new, strict=True)):
                traced[name][t] = value.detach() if running is None else torch.where(running[t][:, None], value, 0)
        if running is None:
            outputs[t], state = new[0], new
        else:
            is_running = running[t][:, None]
            outputs[t] = torch.where(is_running, new[0], 0)
            state = tuple(torch.where(is_running, n, old) for n, old in zip(new, state, strict=True))
    nothing = weight_ih.new_zeros(0, batch, sizes[0])
    if trace is not None:
        trace |= {name: torch.stack(values).detach() if steps else nothing for name, values in traced.items()}
    return torch.stack(outputs) if steps else nothing, state


_NORMS = ("weight_norm_hh", "weight_norm_c")  # what a step must act on


class _Watched(dict[str, Tensor]):
    """A cell's weights; says which names among them were asked for."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__(weights)
        self.read: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.read.add(name)
        return super().get(name, default)


def _kept(z: float | Tensor | None, t: int, old: Tensor, new: Tensor) -> Tensor:
    if isinstance(z, Tensor):
        return torch.where(z[t], old, new)
    return z * old + (1 - z) * new if z else new
