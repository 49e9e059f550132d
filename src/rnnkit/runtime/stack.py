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

LAYERS: dict[str, Callable[..., Any]] = {}  # what runs cells that the core does not have: rnnkit.register_cell fills it


class Stack:
    """The embedding (or one-hot rows) and the layers of a generator.

    x[l] = cell(x[l-1], state[l]), with `residual` x[l] = x[l-1] + cell(x[l-1], state[l]) for l > 0;  x[-1] = E[ids]

    Args: model: the `model` object of the configuration. tensors: float32 arrays, already checked against it.
        precision: of the products.
    """

    def __init__(self, model: Mapping[str, Any], tensors: Mapping[str, np.ndarray], precision: Precision) -> None:
        cell, info = layer_cell(model)
        self.part_names: tuple[str, ...] = info.parts
        self.is_residual: bool = model.get("residual", False)
        self.table: np.ndarray | None = tensors.get("embedding.weight")
        self.layers: list[Any] = []
        for index in range(model["num_layers"]):
            weight = tensors[f"recurrent.weight_ih_l{index}"]
            if index == 0 and self.table is not None and 4 * len(self.table) * len(weight) <= _FOLD_BYTES:
                # Then ids enter as one-hot rows, without a product: the same bits, but in int8, which need not round.
                weight = heads.linear(self.table, weight, precision="fp32" if precision == "int8" else precision).T
                self.table = None
            names = layer_parameters(model)
            weights: dict[str, Any] = {name: tensors.get(f"recurrent.{name}_l{index}") for name in names}
            weights["weight_ih"] = weight
            run = LAYERS.get(cell, Layer)
            self.layers.append(run(cell, **weights, precision=precision, zoneout=zoneout_shares(model)))
        self.first = [  # the state of a text that has not begun: what was learned, or zeros
            tuple(
                tensors.get(f"recurrent.initial_{part}_l{index}", np.zeros(size, np.float32))
                for part, size in zip(self.part_names, layer.part_sizes, strict=True)
            )
            for index, layer in enumerate(self.layers)
        ]

    def initial(self, batch: int) -> Parts:
        """Every layer's state before the first token, [B, H] for each part."""
        return [tuple(np.repeat(part[None], batch, axis=0) for part in parts) for parts in self.first]

    def forward(self, ids: np.ndarray, parts: Parts, *, lengths: np.ndarray | None = None) -> tuple[np.ndarray, Parts]:
        """ids [T, B] -> hidden of the last layer [T, B, H], and every layer's state after each row's last step."""
        x = (
            ids
            if self.table is None
            else heads.embedding(ids.reshape(-1), self.table).reshape(*ids.shape, self.table.shape[1])
        )
        after = []
        for layer, before in zip(self.layers, parts, strict=True):
            unrolled = layer.forward(x, before, lengths=lengths)
            x = x + unrolled.output if self.is_residual and after else unrolled.output
            after.append(unrolled.state)
        return x, after

    def step(self, ids: np.ndarray, parts: Parts) -> tuple[np.ndarray, Parts]:
        """`forward` for one token per row: ids [B] -> [B, H]."""
        x = ids if self.table is None else heads.embedding(ids, self.table)
        after = []
        for layer, before in zip(self.layers, parts, strict=True):
            output, state = layer.step(x, before)
            x = x + output if self.is_residual and after else output
            after.append(state)
        return x, after
