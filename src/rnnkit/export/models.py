"""A whole model as an ONNX graph, from its configuration and weights: state in, log-probabilities and state out."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnkit.bundle.schema import CELLS, layer_widths, output_widths
from rnnkit.export import layers
from rnnkit.export.graph import OPSET, Graph
from rnnkit.export.layers import Sequences
from rnnkit.export.quantize import Quantized, embedding, matmul, one_hot_product

_DESCRIPTION = """\
A next-token model. ids int64 [T, B]; sequence_lens int32 [B] in 0..T; the state of every row in, and out under the
same names with next_ before them. log_probs float32 [T, B, V] are natural logarithms; log_probs[t] is about the token
after ids[t], 0 behind a row's length. {fresh} Before the first token of a document stands token {begin_id}."""


def serialize(
    config: Mapping[str, Any], tensors: Mapping[str, np.ndarray], *, int8: bool, begin_id: int, digest: str
) -> bytes:
    """The ONNX file of a bundle's configuration and tensors, which are known to belong together.

    Raises: ArgumentError for what no file can say.
    """
    graph = Graph()
    model = config["model"]
    ids = graph.input("ids", np.int64, ["T", "B"])
    lengths = graph.input("sequence_lens", np.int32, ["B"])
    writer = _Writer(graph, model, tensors, int8)
    is_recurrent = config["kind"] == "language_model"
    features = writer.recurrent(ids, lengths) if is_recurrent else writer.window_mlp(ids, lengths)
    log_probs = graph.op("Where", writer.is_alive, writer.log_probs(features), graph.number(0, np.float32))
    graph.output(log_probs, "log_probs", np.float32, ["T", "B", model["vocab_size"]])
    for name, (value, kind, width) in writer.after.items():
        graph.output(value, f"next_{name}", kind, ["B", width])
    fresh = "A fresh state is zeros." if is_recurrent else f"A fresh context is {begin_id} everywhere."
    first = _initial_state(tensors)
    if first:
        fresh = "A fresh state, the same for every row, is in the metadata: rnnkit.initial_state, JSON by input name."
    metadata = {
        "rnnkit.bundle": digest,
        "rnnkit.kind": config["kind"],
        "rnnkit.precision": "int8" if int8 else "fp32",
        "rnnkit.begin_id": str(begin_id),
        "rnnkit.opset": str(OPSET),
        **({"rnnkit.initial_state": json.dumps(first)} if first else {}),
    }
    return graph.serialize(
        config["kind"], description=_DESCRIPTION.format(fresh=fresh, begin_id=begin_id), metadata=metadata
    )


def _initial_state(tensors: Mapping[str, np.ndarray]) -> dict[str, list[float]]:
    """What was learned as a state to start from, by the input's name; in the fewest digits that give the float32."""
    prefix = "recurrent.initial_"
    named = {name.removeprefix(prefix): array for name, array in tensors.items() if name.startswith(prefix)}
    return {name: [float(str(value)) for value in array] for name, array in named.items()}


class _Writer:
    """The parts of one model, written into one graph."""

    def __init__(self, graph: Graph, model: Mapping[str, Any], tensors: Mapping[str, np.ndarray], int8: bool) -> None:
        self.graph = graph
        self.model = model
        self.tensors = tensors
        self.int8 = int8
        self.is_alive = ""  # bool [T, B, 1]
        self.after: dict[str, tuple[str, Any, int]] = {}  # of every part of the state: its value, type and width

    # ---- what reads the tokens ---------------------------------------------------------------------------------------

    def recurrent(self, ids: str, lengths: str) -> str:
        """ids [T, B] -> hidden of the last layer [T, B, H]."""
        graph, cell = self.graph, self.model["cell"]
        ids = self._read(ids, lengths)
        rows = Sequences(lengths, self.is_alive)
        x = ""
        widths = zip(layer_widths(self.model), output_widths(self.model), strict=True)
        for index, (H, P) in enumerate(widths):
            below = x
            sizes = {f"{part}_l{index}": H if place else P for place, part in enumerate(CELLS[cell].parts)}
            state = [graph.input(name, np.float32, ["B", size]) for name, size in sizes.items()]
            if self.int8 or not layers.has_operator(self.model):
                x, after = layers.scanned_layer(
                    graph, self.model, self.tensors, index, self._projected(ids, x, index), state, rows, int8=self.int8
                )
            else:
                x = x or self._input(ids)
                x, after = layers.operator_layer(graph, cell, self.tensors, index, x, state, rows)
            if below and self.model.get("residual"):
                x = graph.op("Add", below, x)
            self.after |= {n: (value, np.float32, sizes[n]) for n, value in zip(sizes, after, strict=True)}
        return x

    def window_mlp(self, ids: str, lengths: str) -> str:
        """ids [T, B] -> features [T, B, F]; the state is the last tokens, `context` int64 [B, n-1], oldest first."""
        graph, window = self.graph, self.model["order"] - 1
        context = graph.input("context", np.int64, ["B", window])
        ids = self._read(ids, lengths)
        turned = graph.op("Transpose", ids, perm=[1, 0])
        tokens = graph.op("Concat", context, turned, axis=1)  # [B, n-1+T]
        offsets = graph.number(np.arange(window))
        ends = graph.op("Unsqueeze", graph.cast(lengths, np.int64), graph.number([1]))
        after = graph.op("GatherElements", tokens, graph.op("Add", ends, offsets), axis=1)
        self.after["context"] = (after, np.int64, window)
        steps = graph.op("Unsqueeze", self._steps(ids), graph.number([1]))
        places = graph.op("Add", steps, graph.number(np.arange(1, window + 1)))  # [T, n-1]
        seen = graph.op("Gather", tokens, places, axis=1)  # [B, T, n-1]
        x = self._embedded(graph.op("Transpose", seen, perm=[1, 0, 2]))
        x = graph.op("Reshape", x, graph.number([0, 0, window * self.model["embedding_size"]]))
        features = graph.op("Tanh", self._linear(x, "hidden.weight", "hidden.bias"))
        return graph.op("Concat", features, x, axis=-1) if self.model["direct"] else features

    def _read(self, ids: str, lengths: str) -> str:
        """`ids` with zeros behind each row's length, where anything may stand; sets `is_alive`."""
        graph = self.graph
        steps = graph.op("Unsqueeze", self._steps(ids), graph.number([1]))
        ends = graph.op("Unsqueeze", graph.cast(lengths, np.int64), graph.number([0]))
        is_alive = graph.op("Less", steps, ends)  # [T, B]
        self.is_alive = graph.op("Unsqueeze", is_alive, graph.number([2]))
        return graph.op("Where", is_alive, ids, graph.number(0))

    def _steps(self, ids: str) -> str:
        """0 … T-1."""
        graph = self.graph
        T = graph.op("Gather", graph.op("Shape", ids), graph.number(0), axis=0)
        return graph.op("Range", graph.number(0), T, graph.number(1))

    def _input(self, ids: str) -> str:
        """What the first layer reads in float32: embedded tokens, or one-hot rows."""
        if self.model["embedding_size"]:
            return self._embedded(ids)
        graph, V = self.graph, self.model["vocab_size"]
        known = graph.op("Gather", graph.number(np.arange(V)), ids, axis=0)  # refuses ids that OneHot makes zeros of
        return graph.op("OneHot", known, graph.number(V), graph.number([0, 1], np.float32), axis=-1)

    def _projected(self, ids: str, x: str, index: int) -> str:
        """What a layer's input gives to its gates where the step is written out: [T, B, G*H]."""
        graph, name = self.graph, f"recurrent.weight_ih_l{index}"
        if not self.int8:
            projected = self._linear(x or self._input(ids), name)
        elif index == 0 and not self.model["embedding_size"]:
            projected = one_hot_product(graph, ids, Quantized.of(name, self.tensors[name]))
        else:
            projected = matmul(graph, x or self._embedded(ids), Quantized.of(name, self.tensors[name]))
        if (gain := self.tensors.get(f"recurrent.weight_norm_ih_l{index}")) is not None:
            projected = layers.normalised(graph, projected, f"norm_ih_l{index}", gain)
        bias = layers.input_bias(self.model["cell"], self.tensors, index)
        return projected if bias is None else graph.op("Add", projected, graph.weight(f"bias_l{index}", bias))

    def _embedded(self, ids: str) -> str:
        name = "embedding.weight"
        if self.int8:
            return embedding(self.graph, ids, Quantized.of(name, self.tensors[name], is_table=True))
        return self.graph.op("Gather", self.graph.weight(name, self.tensors[name]), ids, axis=0)

    # ---- what scores them --------------------------------------------------------------------------------------------

    def log_probs(self, x: str) -> str:
        """Features [T, B, F] -> [T, B, V], by a full, tied or adaptive softmax."""
        graph = self.graph
        if self.model["softmax"] == "adaptive":
            return self._adaptive(x)
        if not self.model.get("tied"):
            return graph.op("LogSoftmax", self._linear(x, "head.weight", "head.bias"), axis=-1)
        if "projection.weight" in self.tensors:
            x = self._linear(x, "projection.weight")
        return graph.op("LogSoftmax", self._linear(x, "embedding.weight", "head.bias"), axis=-1)

    def _adaptive(self, x: str) -> str:
        """log p(w) = log p(cluster of w | x) + log p(w | cluster, x); the first cluster is scored with the choice."""
        graph, cutoffs = self.graph, list(self.model["cutoffs"])
        choice = graph.op("LogSoftmax", self._linear(x, "head.head.weight"), axis=-1)
        bounds = [0, *range(cutoffs[0], cutoffs[0] + len(cutoffs) + 1)]
        parts = [
            graph.op("Slice", choice, graph.number([low]), graph.number([high]), graph.number([-1]))
            for low, high in itertools.pairwise(bounds)
        ]
        for index in range(len(cutoffs)):
            narrow = self._linear(x, f"head.tail.{index}.0.weight")
            within = graph.op("LogSoftmax", self._linear(narrow, f"head.tail.{index}.1.weight"), axis=-1)
            parts[index + 1] = graph.op("Add", within, parts[index + 1])
        return graph.op("Concat", *parts, axis=-1)

    def _linear(self, x: str, weight: str, bias: str | None = None) -> str:
        """x [T, B, I] -> [T, B, O]. An embedding's table that also scores is stored once."""
        graph, array = self.graph, self.tensors[weight]
        is_table = weight == "embedding.weight"
        if self.int8:
            product = matmul(graph, x, Quantized.of(weight, array, is_table=is_table))
        elif is_table:
            product = graph.op("MatMul", x, graph.op("Transpose", graph.weight(weight, array), perm=[1, 0]))
        else:
            product = graph.op("MatMul", x, graph.weight(weight, array.T))
        return product if bias is None else graph.op("Add", product, graph.weight(bias, self.tensors[bias]))
