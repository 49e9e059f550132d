"""A classifier's readouts as ONNX nodes: of all steps at once, on top of what a state keeps of those before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rnnkit.bundle.schema import output_widths
from rnnkit.runtime.readout import PARTS, STEPS

if TYPE_CHECKING:
    from rnnkit.export.models import _Writer


def written_readout(writer: _Writer, hidden: str, last: str, lengths: str) -> str:
    """Outputs of the last layer [T, B, F] and its last ones [B, F] -> what the decision reads [B, …].

    As `rnnkit.runtime.readout.Readout`, to rounding: that adds step by step.
    """
    graph, kinds = writer.graph, writer.model["readout"]
    kept = {name: size for kind in kinds for name, size in PARTS[kind].items()}
    if not kept:
        found = [part for kind in kinds for part in ([last] if kind == "last" else writer.states)]
        return found[0] if len(found) == 1 else graph.op("Concat", *found, axis=-1)
    width = (1 + writer.model["bidirectional"]) * output_widths(writer.model)[-1]
    sizes = {STEPS: 1} | {name: size or width for name, size in kept.items()}
    dtypes = {name: np.int64 if name == STEPS else np.float32 for name in sizes}
    before = {name: writer.before(name, dtypes[name], size) for name, size in sizes.items()}
    zero, one, lowest = (graph.number(value, np.float32) for value in (0, 1, -np.inf))
    steps = graph.op("Add", before[STEPS], graph.op("Unsqueeze", graph.cast(lengths, np.int64), graph.number([1])))
    is_first, is_empty = (graph.op("Equal", value, graph.number(0)) for value in (before[STEPS], steps))
    after = {STEPS: steps}

    def largest(values: str, old: str) -> str:
        """The largest of steps [T, B, …] and of what was there before [B, …]; 0 of none."""
        among = graph.op("ReduceMax", graph.op("Where", writer.is_alive, values, lowest), axes=[0], keepdims=0)
        found = graph.op("Max", among, graph.op("Where", is_first, lowest, old))
        return graph.op("Where", is_empty, zero, found)

    def total(values: str) -> str:
        return graph.op("ReduceSum", values, graph.number([0]), keepdims=0)

    features = []
    for kind in kinds:
        if kind == "last":
            features.append(last)
        elif kind == "states":
            features.extend(writer.states)
        elif kind == "max":
            after["largest"] = largest(hidden, before["largest"])
            features.append(after["largest"])
        elif kind == "mean":
            own = total(graph.op("Where", writer.is_alive, hidden, zero))
            after["total"] = graph.op("Add", before["total"], own)
            count = graph.cast(graph.op("Max", steps, graph.number(1)), np.float32)
            features.append(graph.op("Div", after["total"], count))
        else:
            keys = graph.op("Tanh", writer.linear(hidden, "attention.weight", "attention.bias"))
            scores = writer.linear(keys, "attention.score")  # [T, B, 1]
            top = after["top_score"] = largest(scores, before["top_score"])
            older = graph.op("Where", is_first, lowest, before["top_score"])
            scale = graph.op("Where", is_first, zero, graph.op("Exp", graph.op("Sub", older, top)))
            shares = graph.op("Exp", graph.op("Sub", scores, top))
            shares = graph.op("Where", writer.is_alive, shares, zero)
            for name, own in (("weight", shares), ("attended", graph.op("Mul", shares, hidden))):
                after[name] = graph.op("Add", graph.op("Mul", scale, before[name]), total(own))
            features.append(graph.op("Div", after["attended"], graph.op("Where", is_empty, one, after["weight"])))
    if writer.is_causal:
        writer.after |= {name: (after[name], dtypes[name], size) for name, size in sizes.items()}
    return features[0] if len(features) == 1 else graph.op("Concat", *features, axis=-1)
