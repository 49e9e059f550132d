"""One recurrent layer as ONNX nodes: in float32 an operator of ONNX where it has all of it, else a step in Scan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnkit.bundle.schema import CELLS, zoneout_shares
from rnnkit.errors import ArgumentError
from rnnkit.export import gate_order
from rnnkit.export.graph import Graph
from rnnkit.export.quantize import Quantized, matmul

_OPERATORS = {
    "elman_tanh": "RNN",
    "elman_relu": "RNN",
    "lstm": "LSTM",
    "lstm_peephole": "LSTM",
    "lstm_coupled": "LSTM",
    "gru_before": "GRU",
    "gru_after": "GRU",
}
_EPSILON = 1e-5  # added to the variance, as csrc/unroll/norm.h


@dataclass(frozen=True)
class Sequences:
    """What every layer needs to know of the rows: names of values of the graph.

    `lengths`: int32 [B].  `is_alive`: bool [T, B, 1], whether a step lies within its row's length.
    """

    lengths: str
    is_alive: str


def has_operator(model: Mapping[str, Any]) -> bool:
    """Whether ONNX has an operator that computes the layers of a configuration."""
    is_plain = not (model.get("layer_norm") or model.get("proj_size") or zoneout_shares(model))
    return is_plain and model["cell"] in _OPERATORS


def operator_layer(
    graph: Graph, cell: str, tensors: Mapping[str, np.ndarray], layer: str, x: str, state: list[str], rows: Sequences
) -> tuple[str, list[str]]:
    """A layer (`l0`, …) by ONNX's LSTM, GRU or RNN: x [T, B, I], state parts [B, H] -> output [T, B, H], state parts.

    A row of length 0 gives its state back: ONNX says nothing of such rows, and ONNX Runtime gives zeros.
    """
    weights = []
    for kind, name in (("weight_ih", "W"), ("weight_hh", "R")):
        array = gate_order.to_onnx(cell, tensors[f"recurrent.{kind}_{layer}"])
        weights.append(graph.weight(f"{name}_{layer}", array[None]))
    biases = [tensors.get(f"recurrent.{kind}_{layer}") for kind in ("bias_ih", "bias_hh")]
    bias = ""
    if all(array is not None for array in biases):
        ordered = [gate_order.to_onnx(cell, array) for array in biases if array is not None]
        bias = graph.weight(f"B_{layer}", np.concatenate(ordered)[None])
    attributes: dict[str, object] = {"hidden_size": tensors[f"recurrent.weight_hh_{layer}"].shape[1]}
    if cell.startswith("gru"):
        attributes["linear_before_reset"] = int(cell == "gru_after")
    if cell.startswith("elman"):
        attributes["activations"] = ["Relu" if cell == "elman_relu" else "Tanh"]
    if cell == "lstm_coupled":
        attributes["input_forget"] = 1
    peepholes = []
    if (weight := tensors.get(f"recurrent.weight_peephole_{layer}")) is not None:
        peepholes.append(graph.weight(f"P_{layer}", gate_order.peepholes_to_onnx(weight)[None]))
    axis = graph.number([0])
    first = [graph.op("Unsqueeze", part, axis) for part in state]  # [1, B, H]: the axis of directions
    y, *last = graph.ops(
        _OPERATORS[cell], x, *weights, bias, rows.lengths, *first, *peepholes, outputs=1 + len(state), **attributes
    )  # y: [T, 1, B, H]
    has_steps = graph.op("Greater", rows.lengths, graph.number(0, np.int32))
    has_steps = graph.op("Unsqueeze", has_steps, graph.number([1]))  # [B, 1]
    after = [
        graph.op("Where", has_steps, graph.op("Squeeze", part, axis), before)
        for part, before in zip(last, state, strict=True)
    ]
    return graph.op("Squeeze", y, graph.number([1])), after


def scanned_layer(
    graph: Graph,
    model: Mapping[str, Any],
    tensors: Mapping[str, np.ndarray],
    layer: str,
    projected: str,
    state: list[str],
    rows: Sequences,
    *,
    int8: bool,
) -> tuple[str, list[str]]:
    """A layer by its step: projected [T, B, G*H] is what the input gives, normalised, biases in.

    ONNX has no quantised GRU or RNN, its quantised LSTM is one runtime's own, and minGRU, minLSTM, zoneout, layer
    normalisation and projections it has not at all: so the step is written out, and Scan takes it through time. What
    lies behind a row's length repeats its last output.
    """
    cell = model["cell"]
    if cell not in _STEPS:
        raise ArgumentError(
            f"cell {cell!r} has no ONNX nodes: a cell of your own cannot be exported; use it from Python"
        )
    rows_of_gates = len(tensors[f"recurrent.weight_ih_{layer}"])
    H = rows_of_gates // CELLS[cell].gates
    step, weights = graph.subgraph(), Recurrent(tensors, layer, H, int8)
    widths = [weights.output_size, *[H] * (len(state) - 1)]
    before = [step.input(f"before_{layer}_{part}", np.float32, ["B", size]) for part, size in enumerate(widths)]
    gates = step.input(f"projected_{layer}", np.float32, ["B", rows_of_gates])
    is_alive = step.input(f"is_alive_{layer}", np.bool_, ["B", 1])
    after = _STEPS[cell](step, before, gates, weights)
    shares = zoneout_shares(model) or [0.0] * len(state)
    after = [
        _mixed(step, step.number(share, np.float32), new, old) if share else new
        for share, new, old in zip(shares, after, before, strict=True)
    ]
    kept = [step.op("Where", is_alive, new, old) for new, old in zip(after, before, strict=True)]
    for part, (value, size) in enumerate(zip([*kept, kept[0]], [*widths, widths[0]], strict=True)):
        step.output(value, f"after_{layer}_{part}", np.float32, ["B", size])
    *last, y = graph.ops(
        "Scan", *state, projected, rows.is_alive, outputs=len(state) + 1, body=step.proto(f"step_{layer}"),
        num_scan_inputs=2,
    )  # fmt: skip
    return y, last


def input_bias(cell: str, tensors: Mapping[str, np.ndarray], layer: str) -> np.ndarray | None:
    """What can be added to a layer's projected input once, outside of time: [G*H], or None without biases."""
    ours, theirs = (tensors.get(f"recurrent.{kind}_{layer}") for kind in ("bias_ih", "bias_hh"))
    if ours is None or theirs is None:
        return ours
    total = ours + theirs
    if cell == "gru_after":  # the reset gate multiplies the candidate's second bias
        split = 2 * (len(ours) // 3)
        total[split:] = ours[split:]
    return total


# ---- the cells, as src/rnnkit/nn/spec has them ----------------------------------------------------------------------


@dataclass(frozen=True)
class Recurrent:
    """A layer's weights that meet the state; `int8`: whether their products are in eight bits."""

    tensors: Mapping[str, np.ndarray]
    layer: str
    hidden_size: int
    int8: bool

    @property
    def output_size(self) -> int:
        """The width of h."""
        narrow = self.tensors.get(f"recurrent.weight_hr_{self.layer}")
        return self.hidden_size if narrow is None else len(narrow)

    @property
    def bias(self) -> np.ndarray | None:
        """bias_hh [G*H]."""
        return self.tensors.get(f"recurrent.bias_hh_{self.layer}")

    def product(self, graph: Graph, h: str, first: int, last: int) -> str:
        """What h gives to the gates from `first` to before `last`: [B, that many · H], normalised if the layer is."""
        name, rows = f"recurrent.weight_hh_{self.layer}", slice(first * self.hidden_size, last * self.hidden_size)
        product = self._times(graph, h, f"{name}_{first}_{last}", self.tensors[name][rows])
        gain = self.tensors.get(f"recurrent.weight_norm_hh_{self.layer}")
        return product if gain is None else normalised(graph, product, f"norm_hh_{self.layer}_{first}", gain[rows])

    def shown(self, graph: Graph, o: str, c: str) -> str:
        """h of gate o and memory c: o∘tanh(c), c normalised if the layer is, times weight_hr if it has one."""
        gain = self.tensors.get(f"recurrent.weight_norm_c_{self.layer}")
        if gain is not None:
            bias = self.tensors.get(f"recurrent.bias_norm_c_{self.layer}")
            c = normalised(graph, c, f"norm_c_{self.layer}", gain, bias)
        h, name = graph.op("Mul", o, graph.op("Tanh", c)), f"recurrent.weight_hr_{self.layer}"
        return self._times(graph, h, name, self.tensors[name]) if name in self.tensors else h

    def _times(self, graph: Graph, x: str, name: str, weight: np.ndarray) -> str:
        if self.int8:
            return matmul(graph, x, Quantized.of(name, weight))
        return graph.op("MatMul", x, graph.weight(name, weight.T))

    def peepholes(self, graph: Graph) -> list[str]:
        """What i, f and o multiply the memory by, in float32, each [H]."""
        name = f"recurrent.weight_peephole_{self.layer}"
        return [
            graph.weight(f"{name}_{gate}", p) for gate, p in zip("ifo", np.split(self.tensors[name], 3), strict=True)
        ]


def normalised(graph: Graph, x: str, name: str, gain: np.ndarray, bias: np.ndarray | None = None) -> str:
    """Rows of x [..., F] with mean 0 and variance 1, times the gain [F], plus the bias."""
    names = [graph.weight(f"{name}_gain", gain), *([] if bias is None else [graph.weight(f"{name}_bias", bias)])]
    return graph.op("LayerNormalization", x, *names, axis=-1, epsilon=_EPSILON)


def _elman(activation: str) -> Callable[[Graph, list[str], str, Recurrent], list[str]]:
    def step(graph: Graph, state: list[str], gates: str, weights: Recurrent) -> list[str]:
        return [graph.op(activation, graph.op("Add", gates, weights.product(graph, state[0], 0, 1)))]

    return step


def _lstm(graph: Graph, state: list[str], gates: str, weights: Recurrent) -> list[str]:
    h, c = state
    total = graph.op("Add", gates, weights.product(graph, h, 0, 4))
    i, f, g, o = graph.ops("Split", total, outputs=4, axis=-1)
    i, f, o = (graph.op("Sigmoid", gate) for gate in (i, f, o))
    c = graph.op("Add", graph.op("Mul", f, c), graph.op("Mul", i, graph.op("Tanh", g)))
    return [weights.shown(graph, o, c), c]


def _lstm_peephole(graph: Graph, state: list[str], gates: str, weights: Recurrent) -> list[str]:
    h, c = state
    total = graph.op("Add", gates, weights.product(graph, h, 0, 4))
    i, f, g, o = graph.ops("Split", total, outputs=4, axis=-1)
    peephole_i, peephole_f, peephole_o = weights.peepholes(graph)
    i = graph.op("Sigmoid", graph.op("Add", i, graph.op("Mul", peephole_i, c)))
    f = graph.op("Sigmoid", graph.op("Add", f, graph.op("Mul", peephole_f, c)))
    c = graph.op("Add", graph.op("Mul", f, c), graph.op("Mul", i, graph.op("Tanh", g)))
    o = graph.op("Sigmoid", graph.op("Add", o, graph.op("Mul", peephole_o, c)))
    return [weights.shown(graph, o, c), c]


def _lstm_coupled(graph: Graph, state: list[str], gates: str, weights: Recurrent) -> list[str]:
    h, c = state
    total = graph.op("Add", gates, weights.product(graph, h, 0, 3))
    i, g, o = graph.ops("Split", total, outputs=3, axis=-1)
    c = _mixed(graph, graph.op("Sigmoid", i), c, graph.op("Tanh", g))
    return [weights.shown(graph, graph.op("Sigmoid", o), c), c]


def _min_gru(graph: Graph, state: list[str], gates: str, weights: Recurrent) -> list[str]:
    z, n = graph.ops("Split", gates, outputs=2, axis=-1)
    return [_mixed(graph, graph.op("Sigmoid", z), n, state[0])]


def _min_lstm(graph: Graph, state: list[str], gates: str, weights: Recurrent) -> list[str]:
    i, f, g = graph.ops("Split", gates, outputs=3, axis=-1)
    i, f = (graph.op("Softplus", graph.op("Neg", gate)) for gate in (i, f))  # -log of either gate
    return [_mixed(graph, graph.op("Sigmoid", graph.op("Sub", i, f)), g, state[0])]


def _gru_before(graph: Graph, state: list[str], gates: str, weights: Recurrent) -> list[str]:
    (h,) = state
    H = weights.hidden_size
    rz, n = graph.ops("Split", gates, graph.number([2 * H, H]), outputs=2, axis=-1)
    rz = graph.op("Sigmoid", graph.op("Add", rz, weights.product(graph, h, 0, 2)))
    r, z = graph.ops("Split", rz, outputs=2, axis=-1)
    n = graph.op("Tanh", graph.op("Add", n, weights.product(graph, graph.op("Mul", r, h), 2, 3)))
    return [_mixed(graph, z, n, h)]


def _gru_after(graph: Graph, state: list[str], gates: str, weights: Recurrent) -> list[str]:
    (h,) = state
    H = weights.hidden_size
    sizes = graph.number([2 * H, H])
    rz, n = graph.ops("Split", gates, sizes, outputs=2, axis=-1)
    hidden_rz, hidden_n = graph.ops("Split", weights.product(graph, h, 0, 3), sizes, outputs=2, axis=-1)
    r, z = graph.ops("Split", graph.op("Sigmoid", graph.op("Add", rz, hidden_rz)), outputs=2, axis=-1)
    if weights.bias is not None:
        hidden_n = graph.op("Add", hidden_n, graph.weight(f"bias_hh_{weights.layer}_n", weights.bias[2 * H :]))
    return [_mixed(graph, z, graph.op("Tanh", graph.op("Add", n, graph.op("Mul", r, hidden_n))), h)]


def _mixed(graph: Graph, z: str, n: str, h: str) -> str:
    kept = graph.op("Mul", z, h)
    return graph.op("Add", graph.op("Mul", graph.op("Sub", graph.number(1, np.float32), z), n), kept)


_STEPS = {
    "elman_tanh": _elman("Tanh"),
    "elman_relu": _elman("Relu"),
    "lstm": _lstm,
    "lstm_peephole": _lstm_peephole,
    "lstm_coupled": _lstm_coupled,
    "gru_before": _gru_before,
    "gru_after": _gru_after,
    "min_gru": _min_gru,
    "min_lstm": _min_lstm,
}
