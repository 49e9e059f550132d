"""Products in int8 by standard ONNX operators: weights by output channel, the other side by row, as it comes.

q = round(w / s) + 128,  s = max|w of its output channel| / 127;   y = s_x s (q_x − 128) (q − 128), the sum in int32

Both sides are stored as uint8 around 128: products of mixed signs saturate on x86 machines without VNNI, these do not.
The scale of a row comes from that row alone, so a result does not depend on batch mates, padding or chunking.

Source: Jacob et al. 2018, arXiv:1712.05877, section 2; symmetric, with one scale for each channel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rnnkit.export.graph import Graph

_ZERO = 128
_STEPS = 127
_SMALLEST = np.float32(1e-30)  # a row of zeros has no scale of its own


@dataclass(frozen=True)
class Quantized:
    """A weight [O, I] in eight bits: `values` uint8 [O, I], `scale` float32 [O]; weight ≈ scale (values − 128).

    `is_table`: stored as it is, for `embedding` to look up its rows; else turned, as a product wants it.
    """

    name: str
    values: np.ndarray
    scale: np.ndarray
    is_table: bool = False

    @classmethod
    def of(cls, name: str, weight: np.ndarray, *, is_table: bool = False) -> Quantized:
        """Quantise a float32 weight [O, I], each row of it by itself."""
        largest = np.abs(weight).max(axis=1, initial=0)
        scale = np.maximum(largest / np.float32(_STEPS), _SMALLEST).astype(np.float32)
        values = np.rint(weight / scale[:, None]) + _ZERO
        return cls(name, np.clip(values, _ZERO - _STEPS, _ZERO + _STEPS).astype(np.uint8), scale, is_table)

    def stored(self, graph: Graph) -> str:
        """The values in the file: [O, I] of a table, else [I, O]."""
        return graph.weight(f"{self.name}_int8", self.values if self.is_table else self.values.T)

    def stored_scale(self, graph: Graph) -> str:
        """The scales in the file: [O]."""
        return graph.weight(f"{self.name}_scale", self.scale)


def matmul(graph: Graph, x: str, weight: Quantized) -> str:
    """x float32 [..., I] times a weight [O, I] -> [..., O]."""
    largest = graph.op("ReduceMax", graph.op("Abs", x), axes=[-1], keepdims=1)
    scale = graph.op("Max", graph.op("Div", largest, _float(graph, _STEPS)), _float(graph, _SMALLEST))
    rounded = graph.op("Round", graph.op("Div", x, scale))
    rows = graph.cast(graph.op("Add", rounded, _float(graph, _ZERO)), np.uint8)
    turned = weight.stored(graph)
    if weight.is_table:
        turned = graph.op("Transpose", turned, perm=[1, 0])
    zero = graph.number(_ZERO, np.uint8)
    sums = graph.cast(graph.op("MatMulInteger", rows, turned, zero, zero), np.float32)
    # not sums * (s_x * s): ONNX Runtime 1.31 takes that for one scale of the whole of x, and uses its first row's
    return graph.op("Mul", graph.op("Mul", sums, scale), weight.stored_scale(graph))


def embedding(graph: Graph, ids: str, table: Quantized) -> str:
    """Rows of a table [V, E]: ids [T, B] -> float32 [T, B, E]."""
    scale = graph.op("Gather", table.stored_scale(graph), ids, axis=0)
    rows = _centred(graph, graph.op("Gather", table.stored(graph), ids, axis=0))
    return graph.op("Mul", rows, graph.op("Unsqueeze", scale, graph.number([-1])))


def one_hot_product(graph: Graph, ids: str, weight: Quantized) -> str:
    """What a weight [O, V] gives for one-hot rows: ids [T, B] -> float32 [T, B, O]; columns are looked up."""
    columns = _centred(graph, graph.op("Gather", weight.stored(graph), ids, axis=0))
    return graph.op("Mul", columns, weight.stored_scale(graph))


def _centred(graph: Graph, values: str) -> str:
    return graph.op("Sub", graph.cast(values, np.float32), _float(graph, _ZERO))


def _float(graph: Graph, value: float | np.floating) -> str:
    return graph.number(value, np.float32)
