"""Trace: every gate, candidate and state part of every layer at every step of one input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from rnnkit.errors import ArgumentError
from rnnkit.models.recurrent import RecurrentModel

WORDS = {
    "i": "input gate",
    "f": "forget gate",
    "o": "output gate",
    "g": "candidate",
    "n": "candidate",
    "r": "reset gate",
    "z": "update gate",
    "h": "hidden",
    "c": "memory",
}


@dataclass(frozen=True)
class Trace:
    """What `trace` found.

    Attributes:
        layers: for each layer and direction, "l0", "l0_reverse" …, its gates and then its state's parts by name,
            float32 `[T, H]` each.
        parts: the names of those that are parts of the state; the others are gates, after their nonlinearity.
    """

    layers: dict[str, dict[str, np.ndarray]]
    parts: tuple[str, ...]

    def unit(self, name: str) -> np.ndarray:
        """One unit at every step, [T]. Args: name: "l0.h.3": layer, value, number. Raises: ArgumentError."""
        layer, value, number = (*name.split("."), "", "")[:3]
        values = self.layers.get(layer, {}).get(value)
        if values is None or not number.isdigit() or int(number) >= values.shape[1]:
            known = f"layers {', '.join(self.layers)}, values {', '.join(next(iter(self.layers.values())))}"
            width = "" if values is None else f", units 0 to {values.shape[1] - 1}"
            raise ArgumentError(f"unit {name!r} does not exist: there are {known}{width}; write it as l0.h.3")
        return values[:, int(number)]

    def most_varied(self, count: int) -> list[str]:
        """The units of the state, of all layers, that differ most from step to step, by their standard deviation."""
        spread = [
            (float(deviation), f"{layer}.{part}.{number}")
            for layer, values in self.layers.items()
            for part in self.parts
            for number, deviation in enumerate(np.tanh(values[part]).std(0))
        ]
        return [name for _, name in sorted(spread, key=lambda one: (-one[0], one[1]))[:count]]


def trace(model: RecurrentModel, inputs: Any) -> Trace:
    """Run `model` over one sequence and keep every value.

    Args:   inputs: what the model is called with, of B = 1.
    Raises: ShapeError, DtypeError, as the layers; ConfigError for a cell whose step shows no gates.
    Cost:   a forward pass; 4·T·(G + parts)·H bytes per layer and direction.
    """
    was_training = model.training
    model.eval()
    with torch.no_grad():
        found = model.traced(torch.as_tensor(inputs))
    model.train(was_training)
    layers = model.recurrent
    ends = ("", "_reverse")[: layers.num_directions]
    names = [f"l{number}{end}" for number in range(layers.num_layers) for end in ends]
    order = (*layers.cell.gates, *layers.cell.parts)
    values = [{name: of_one[name][:, 0].numpy() for name in order} for of_one in found]
    return Trace(dict(zip(names, values, strict=True)), layers.cell.parts)
