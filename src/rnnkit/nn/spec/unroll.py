"""The plain loop over time: the reference every faster backend must agree with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from rnnkit.nn.spec.cell import CellSpec


def unroll(
    cell: CellSpec,
    x: Tensor,
    *,
    weights: Mapping[str, Tensor],
    state: Sequence[Tensor] | None = None,
    lengths: Tensor | None = None,
    reverse: bool = False,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run `cell` over every step of `x`.

    Args:
        x: `[T, B, I]`, or integers `[T, B]` that stand for one-hot rows of width I.
        weights: the cell's parameters by name, biases or none.
        state: one `[B, H]` per part of the cell; None means zeros.
        lengths: `[B]`, each in 0..T. A row stops after its length: its later outputs are 0, its final state is the one
            at its length, and what `x` holds there is never read.
        reverse: run each row from its last valid step to its first.

    Returns: the outputs `[T, B, H]` and the final state, one `[B, H]` per part.
    Cost: 2·T·B·G·H·(I+H) flop, and a dozen small torch calls per step.
    """
    steps, batch = x.shape[:2]
    weight_ih, bias_ih = weights["weight_ih"], weights.get("bias_ih")
    size = weight_ih.shape[0] // len(cell.gates)
    if state is None:
        state = [weight_ih.new_zeros(batch, size) for _ in cell.parts]
    state = tuple(state)
    running = None
    if lengths is not None:
        running = torch.arange(steps, device=x.device)[:, None] < lengths.to(x.device)  # [T, B]
        x = x.masked_fill(~running if x.dim() == 2 else ~running[..., None], 0)
    if x.is_floating_point():
        projected = F.linear(x, weight_ih, bias_ih)
    else:
        projected = F.embedding(x, weight_ih.t())
        projected = projected if bias_ih is None else projected + bias_ih
    outputs = [weight_ih.new_zeros(0)] * steps
    for t in reversed(range(steps)) if reverse else range(steps):
        new = cell.step(projected[t], state, weights)[: len(state)]
        if running is None:
            outputs[t], state = new[0], new
        else:
            is_running = running[t][:, None]
            outputs[t] = torch.where(is_running, new[0], 0)
            state = tuple(torch.where(is_running, n, old) for n, old in zip(new, state, strict=True))
    return torch.stack(outputs) if steps else weight_ih.new_zeros(0, batch, size), state
