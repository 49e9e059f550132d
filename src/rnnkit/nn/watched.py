"""Watched: recurrent layers step by step, so that gradients can be asked of every state and every use of a weight.

watched = Watched(layers)                 # takes the place of `layers` in a model; the equations themselves
y, _ = watched(x)
track = watched.tracks[0]                 # layer 0, forward
torch.autograd.grad(loss, track.states[t][0])           # ∂loss/∂h_t
torch.autograd.grad(loss, track.weights[t]["weight_hh"])    # what the use of the weight at step t contributes
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnkit.errors import ArgumentError
from rnnkit.nn import spec
from rnnkit.nn.recurrent import Recurrent
from rnnkit.nn.stack import Lengths, Parts
from rnnkit.state import State


@dataclass(frozen=True)
class Track:
    """One layer and direction of one call, over T steps.

    Attributes:
        name: "l0", "l0_reverse", "l1" …: how its parameters' names end.
        inputs: what it read, `[T, B, I]` or ids `[T, B]`.  first: its state before the step that it read first.
        states: after each step t, in the order of the input, the parts `[B, H]`; the first one is h.
        weights: for each step the layer's parameters by their cell's names, each a node of its own in the graph.
    """

    name: str
    cell: spec.CellSpec
    is_reverse: bool
    inputs: Tensor
    first: Parts
    states: list[Parts]
    weights: list[dict[str, Tensor]]
    around: Mapping[str, Any]

    def before(self, t: int) -> Parts:
        """The state that step t started from."""
        at = t + 1 if self.is_reverse else t - 1
        return self.states[at] if 0 <= at < len(self.states) else self.first

    def step(self, t: int, state: Parts, *, x: Tensor | None = None) -> Parts:
        """The state after step t, started from another one of any batch size, for a call with B = 1.

        Args: x: read in place of the step's own, [1, 1, I].
        """
        x = self.inputs[t : t + 1].detach() if x is None else x
        x = x.expand(1, len(state[0]), *x.shape[2:])
        return spec.unroll(self.cell, x, weights=self.weights[t], state=state, **self.around)[1]

    def values(self, t: int) -> dict[str, Tensor]:
        """Every gate and state part of step t by name, `[B, H]`, without gradient."""
        traced: dict[str, Tensor] = {}
        x = self.inputs[t : t + 1]
        spec.unroll(self.cell, x, weights=self.weights[t], state=self.before(t), trace=traced, **self.around)
        return {name: traced[name][0] for name in (*self.cell.gates, *self.cell.parts)}

    def jacobian(self, t: int) -> Tensor:
        """∂s_t/∂s_{t−1} `[S, S]` of all parts side by side, with what the layer reads at step t held fixed; B = 1."""
        before = self.before(t)
        sizes = [part.shape[1] for part in before]
        state = torch.cat(before, dim=1).detach().expand(sum(sizes), -1).clone().requires_grad_()
        after = torch.cat(self.step(t, state.split(sizes, dim=1)), dim=1)  # row i is there for ∂s_t[i]
        return torch.autograd.grad(after.diagonal().sum(), state)[0]


class Watched(nn.Module):
    """Stands in for `Recurrent` layers in a model; of dropout it knows nothing, so it is in eval mode always.

    Call: as `Recurrent`, of rows that are all T long.
    Raises: ArgumentError for shorter ones.
    Cost: a dozen small torch calls per step, layer and direction; every state stays in memory.
    """

    def __init__(self, layers: Recurrent) -> None:
        super().__init__()
        self.layers = layers.eval()
        self.tracks: list[Track] = []

    @property
    def num_directions(self) -> int:
        """D."""
        return self.layers.num_directions

    def initial_state(self, batch: int = 1) -> State:
        """As of the layers."""
        return self.layers.initial_state(batch)

    def forward(
        self, x: Tensor, state: State | None = None, *, lengths: Lengths | None = None, embedding: Tensor | None = None
    ) -> tuple[Tensor, State]:
        layers, steps = self.layers, x.shape[0]
        if lengths is not None and any(int(length) != steps for length in lengths):
            raise ArgumentError(f"lengths={list(lengths)}: what is watched is {steps} steps long in every row; cut it")
        x = x if embedding is None else F.embedding(x, embedding)
        state = layers.initial_state(x.shape[1]) if state is None else state
        self.tracks = []
        for layer in range(layers.num_layers):
            outputs, below = [], x
            for direction in range(layers.num_directions):
                index = layer * layers.num_directions + direction
                self.tracks.append(self._track(index, x, tuple(state.layers[index].values())))
                outputs.append(torch.stack([parts[0] for parts in self.tracks[-1].states]))
            x = torch.cat(outputs, dim=-1)
            if layers.residual and layer:
                x = below + x
        finals = [track.before(-1 if track.is_reverse else steps) for track in self.tracks]
        return x, State([dict(zip(layers.cell.parts, parts, strict=True)) for parts in finals])

    def _track(self, index: int, x: Tensor, first: Parts) -> Track:
        layers = self.layers
        suffix, is_reverse = layers._suffixes[index], index % layers.num_directions == 1
        own, around = layers._weights(suffix), layers._around(index, x)
        weights = [{name: weight.view_as(weight) for name, weight in own.items()} for _ in range(len(x))]
        run = partial(spec.unroll, layers.cell, **around)
        states, parts = [first] * len(x), first
        for t in reversed(range(len(x))) if is_reverse else range(len(x)):
            _, parts = run(x[t : t + 1], weights=weights[t], state=parts)
            states[t] = parts
        return Track(suffix[1:], layers.cell, is_reverse, x, first, states, weights, around)
