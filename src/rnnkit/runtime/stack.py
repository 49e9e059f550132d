"""Recurrent layers one above the other, from token ids to hidden states."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rnnkit.bundle.schema import layer_cell, layer_parameters, zoneout_shares
from rnnkit.kernels import heads
from rnnkit.kernels.recurrent import Layer, Precision, Unrolled

__all__ = ["LAYERS", "Parts", "Stack", "Unrolled"]

_FOLD_BYTES = 64 << 20  # an embedding is multiplied into the first layer once, if the product stays below this

Parts = Sequence[tuple[np.ndarray, ...]]  # of every layer, in the cell's order

_DIRECTIONS: tuple[dict[str, bool], ...] = ({}, {"reverse": True})  # a layer of another making need not know reverse

LAYERS: dict[str, Callable[..., Any]] = {}  # what runs cells that the core does not have: rnnkit.register_cell fills it


class Stack:
    """The embedding (or one-hot rows) of a generator, or what another model has embedded; and its layers.

    x[l] = cell(x[l-1], state[l]), with `residual` x[l] = x[l-1] + cell(x[l-1], state[l]) for l > 0;  x[-1] = E[ids]

    Of two directions the outputs stand side by side.

    Args: model: the `model` object of the configuration. tensors: float32 arrays, already checked against it.
        precision: of the products. embeds: whether `forward` and `step` are given ids; else what the first layer reads.
        prefix: before the names of the layers' parameters.
    """

    def __init__(
        self,
        model: Mapping[str, Any],
        tensors: Mapping[str, np.ndarray],
        precision: Precision,
        *,
        embeds: bool = True,
        prefix: str = "recurrent.",
    ) -> None:
        cell, info = layer_cell(model)
        self.part_names: tuple[str, ...] = info.parts
        self.is_residual: bool = model.get("residual", False)
        self.table: np.ndarray | None = tensors.get("embedding.weight") if embeds else None
        ends = ("", "_reverse")[: 1 + model.get("bidirectional", False)]
        self.num_directions = len(ends)
        suffixes = [f"_l{index}{end}" for index in range(model["num_layers"]) for end in ends]
        self.layers: list[Any] = []
        """Of every layer its directions, one behind the other, as their states stand."""
        for suffix in suffixes:
            weight = tensors[f"{prefix}weight_ih{suffix}"]
            if not self.layers and self.table is not None and 4 * len(self.table) * len(weight) <= _FOLD_BYTES:
                # Then ids enter as one-hot rows, without a product: the same bits, but in int8, which need not round.
                weight = heads.linear(self.table, weight, precision="fp32" if precision == "int8" else precision).T
                self.table = None
            weights: dict[str, Any] = {name: tensors.get(f"{prefix}{name}{suffix}") for name in layer_parameters(model)}
            weights["weight_ih"] = weight
            run = LAYERS.get(cell, Layer)
            self.layers.append(run(cell, **weights, precision=precision, zoneout=zoneout_shares(model)))
        self.first = [  # the state of a text that has not begun: what was learned, or zeros
            tuple(
                tensors.get(f"{prefix}initial_{part}{suffix}", np.zeros(size, np.float32))
                for part, size in zip(self.part_names, layer.part_sizes, strict=True)
            )
            for suffix, layer in zip(suffixes, self.layers, strict=True)
        ]

    def initial(self, batch: int) -> Parts:
        """Every layer's state before the first token, [B, H] for each part."""
        return [tuple(np.repeat(part[None], batch, axis=0) for part in parts) for parts in self.first]

    def forward(
        self, inputs: np.ndarray, parts: Parts, *, lengths: np.ndarray | None = None
    ) -> tuple[np.ndarray, Parts]:
        """ids [T, B] or [T, B, I] -> the last layer's output [T, B, D*H], and every layer's state at each row's end."""
        x = self._entering(inputs)
        after: list[Any] = []
        while len(after) < len(self.layers):
            outputs = []
            for index in range(self.num_directions):
                run = self.layers[len(after)].forward(x, parts[len(after)], lengths=lengths, **_DIRECTIONS[index])
                after.append(run.state)
                outputs.append(run.output)
            output = outputs[0] if len(outputs) == 1 else np.concatenate(outputs, axis=2)
            x = x + output if self.is_residual and len(after) > self.num_directions else output
        return x, after

    def step(self, inputs: np.ndarray, parts: Parts) -> tuple[np.ndarray, Parts]:
        """`forward` in one direction for one step per row: ids [B] or [B, I] -> [B, H]."""
        x = self._entering(inputs)
        after = []
        for layer, before in zip(self.layers, parts, strict=True):
            output, state = layer.step(x, before)
            x = x + output if self.is_residual and after else output
            after.append(state)
        return x, after

    def _entering(self, inputs: np.ndarray) -> np.ndarray:
        """What the first layer reads."""
        if self.table is None:
            return inputs
        return heads.embedding(inputs.reshape(-1), self.table).reshape(*inputs.shape, self.table.shape[1])
