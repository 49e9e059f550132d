"""A whole model as an ONNX graph, from its configuration and weights: state in, log-probabilities and state out."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnnkit.bundle.schema import CELLS, layer_widths, output_widths
from rnnkit.export import layers
from rnnkit.export.cost import output_of
from rnnkit.export.graph import OPSET, Graph
from rnnkit.export.layers import Sequences
from rnnkit.export.quantize import Quantized, embedding, matmul, one_hot_product
from rnnkit.export.readout import written_readout
from rnnkit.metrics.chain import Chain

_NEXT_TOKEN = """\
A next-token model. ids int64 [T, B]; sequence_lens int32 [B] in 0..T; the state of every row in, and out under the
same names with next_ before them. log_probs float32 [T, B, V] are natural logarithms; log_probs[t] is about the token
after ids[t], 0 behind a row's length. {fresh} Before the first token of a document stands token {begin_id}."""
_ACCEPTOR = """\
A classifier of sequences: {input}; sequence_lens int32 [B] in 0..T. log_probs float32 [B, C] are natural logarithms, of
the labels in the metadata: rnnkit.labels, JSON. {state}"""
_TRANSDUCER = """\
A tagger: {input}; sequence_lens int32 [B] in 0..T. {output} float32 [T, B, C], of the labels in the metadata:
rnnkit.labels, JSON; 0 behind a row's length. {meaning} {state}"""
_STEPS = """\
log_probs are natural logarithms."""
_CHAIN = """\
The best labels are those of the largest sum of scores and of what stands between labels in the metadata: rnnkit.chain,
JSON: start [C], transition [C][C] from the row's label to the column's, end [C]; null: not allowed. Before that the
score of O is lowered by rnnkit.outside_bias, if that is there."""
_CAUSAL = """\
It reads forwards: the state of every row goes in, and out under the same names with next_ before them; log_probs say
what the rows are as far as they have come. {fresh}"""
_ZEROS = "A fresh state is zeros."
_LEARNED = "A fresh state, the same for every row, is in the metadata: rnnkit.initial_state, JSON by input name."
_INITIAL = "recurrent.initial_"  # what the names of a learned state's tensors begin with


def serialize(
    config: Mapping[str, Any],
    tensors: Mapping[str, np.ndarray],
    *,
    int8: bool,
    digest: str,
    begin_id: int = 0,
    labels: Sequence[str] = (),
    chain: Chain | None = None,
) -> bytes:
    """The ONNX file of a bundle's configuration and tensors, which are known to belong together.

    Args:   begin_id: of a next-token model.  labels: of a classifier or a tagger.  chain: of a tagger, between labels.
    Raises: ArgumentError for what no file can say.
    """
    graph = Graph()
    kind, model = config["kind"], config["model"]
    metadata = {"rnnkit.bundle": digest, "rnnkit.kind": kind, "rnnkit.precision": "int8" if int8 else "fp32"}
    is_causal = not model.get("bidirectional") and not model.get("crf")  # no state can go on under a CRF
    writer = _Writer(graph, model, tensors, int8, is_causal=is_causal)
    first = _initial_state(tensors) if writer.is_causal else {}
    fresh = _LEARNED if first else _ZEROS
    if kind == "acceptor":
        log_probs, shape = writer.decision(), ["B", model["num_labels"]]
        given = f"frames float32 [T, B, {model['input_size']}]" if model["input_size"] else "ids int64 [T, B]"
        state = _CAUSAL.format(fresh=fresh) if writer.is_causal else ""
        description = _ACCEPTOR.format(input=given, state=state).strip()
        metadata |= {"rnnkit.labels": json.dumps(list(labels), ensure_ascii=False)}
    elif kind == "transducer":
        log_probs, shape = writer.steps(), ["T", "B", model["num_labels"]]
        state = _CAUSAL.format(fresh=fresh) if is_causal else ""
        meaning = f"{'' if model['crf'] else _STEPS} {'' if chain is None else _CHAIN}"
        description = _TRANSDUCER.format(input=writer.given, output=output_of(model), meaning=meaning, state=state)
        description = " ".join(description.split())
        metadata |= {"rnnkit.labels": json.dumps(list(labels), ensure_ascii=False)}
        metadata |= {} if chain is None else {"rnnkit.chain": json.dumps(_written_chain(chain))}
        metadata |= {"rnnkit.outside_bias": repr(bias)} if (bias := model.get("outside_bias")) else {}
    else:
        if kind == "window_mlp":
            fresh = f"A fresh context is {begin_id} everywhere."
        log_probs, shape = writer.next_tokens(kind == "language_model"), ["T", "B", model["vocab_size"]]
        description = _NEXT_TOKEN.format(fresh=fresh, begin_id=begin_id)
        metadata |= {"rnnkit.begin_id": str(begin_id)}
    metadata |= {"rnnkit.initial_state": json.dumps(first)} if first else {}
    graph.output(log_probs, output_of(model), np.float32, shape)
    for name, (value, dtype, width) in writer.after.items():
        graph.output(value, f"next_{name}", dtype, ["B", width])
    return graph.serialize(kind, description=description, metadata=metadata | {"rnnkit.opset": str(OPSET)})


def _written_chain(chain: Chain) -> dict[str, Any]:
    def written(values: np.ndarray) -> list[Any]:
        if values.ndim == 2:
            return [written(row) for row in values]
        return [float(str(value)) if np.isfinite(value) else None for value in values]

    return {name: written(values) for name, values in chain._asdict().items()}


def _initial_state(tensors: Mapping[str, np.ndarray]) -> dict[str, list[float]]:
    """What was learned as a state to start from, by the input's name; in the fewest digits that give the float32."""
    named = {name.removeprefix(_INITIAL): array for name, array in tensors.items() if name.startswith(_INITIAL)}
    return {name: [float(str(value)) for value in array] for name, array in named.items()}


class _Writer:
    """The parts of one model, written into one graph; `is_causal`: whether a state goes in and out."""

    def __init__(
        self,
        graph: Graph,
        model: Mapping[str, Any],
        tensors: Mapping[str, np.ndarray],
        int8: bool,
        *,
        is_causal: bool = True,
    ) -> None:
        self.graph = graph
        self.model = model
        self.tensors = tensors
        self.int8 = int8
        self.is_causal = is_causal
        self.states: list[str] = []  # every part of all layers' states after the last step
        self.given = ""  # of a tagger: its input in words
        self.after: dict[str, tuple[str, Any, int]] = {}  # of every part of the state: its value, type and width

    def next_tokens(self, is_recurrent: bool) -> str:
        """ids [T, B] -> log-probabilities of the tokens after them [T, B, V]."""
        graph = self.graph
        ids, lengths = graph.input("ids", np.int64, ["T", "B"]), graph.input("sequence_lens", np.int32, ["B"])
        ids = self._read(ids, lengths)
        x = self.recurrent(ids, lengths)[0] if is_recurrent else self.window_mlp(ids, lengths)
        return graph.op("Where", self.is_alive, self.log_probs(x), graph.number(0, np.float32))

    def decision(self) -> str:
        """ids [T, B] or frames [T, B, I] -> log-probabilities of the labels [B, C]."""
        graph, size = self.graph, self.model["input_size"]
        x = graph.input("frames", np.float32, ["T", "B", size]) if size else graph.input("ids", np.int64, ["T", "B"])
        lengths = graph.input("sequence_lens", np.int32, ["B"])
        x = self._read(x, lengths)
        if size:
            mean, deviation = (graph.weight(name, self.tensors[name]) for name in ("scale.mean", "scale.deviation"))
            x = graph.op("Div", graph.op("Sub", x, mean), deviation)
        hidden, last = self.recurrent(x, lengths)
        features = written_readout(self, hidden, graph.op("Concat", *last, axis=-1), lengths)
        logits = self.linear(features, "head.weight", "head.bias")
        if self.model.get("multi_label"):
            return graph.op("Neg", graph.op("Softplus", graph.op("Neg", logits)))
        return graph.op("LogSoftmax", logits, axis=-1)

    def steps(self) -> str:
        """ids [T, B], words with features [T, B, 1 + N] or frames [T, B, I] -> scores of the labels [T, B, C]."""
        graph, model, per_word = self.graph, self.model, self.model.get("features_per_word", 0)
        if size := model["input_size"]:
            self.given, x = f"frames float32 [T, B, {size}]", graph.input("frames", np.float32, ["T", "B", size])
        elif per_word:
            self.given = f"ids int64 [T, B, {1 + per_word}], of a word and of its features"
            x = graph.input("ids", np.int64, ["T", "B", 1 + per_word])
        else:
            self.given, x = "ids int64 [T, B]", graph.input("ids", np.int64, ["T", "B"])
        lengths = graph.input("sequence_lens", np.int32, ["B"])
        x = self._read(x, lengths, is_wide=bool(size or per_word))
        if size:
            mean, deviation = (graph.weight(name, self.tensors[name]) for name in ("scale.mean", "scale.deviation"))
            x = graph.op("Div", graph.op("Sub", x, mean), deviation)
        elif per_word:
            words = graph.op("Squeeze", graph.op("Gather", x, graph.number([0]), axis=2), graph.number([2]))
            features = graph.op("Gather", x, graph.number(np.arange(1, 1 + per_word)), axis=2)
            read = self._embedded(features, "features.weight")  # [T, B, N, J]
            read = graph.op("Reshape", read, graph.number([0, 0, per_word * model["feature_embedding_size"]]))
            x = graph.op("Concat", self._embedded(words), read, axis=-1)
        hidden, _ = self.recurrent(x, lengths, is_read=bool(size or per_word))
        scores = self.linear(hidden, "head.weight", "head.bias")
        if not model["crf"]:
            scores = graph.op("LogSoftmax", scores, axis=-1)
        return graph.op("Where", self.is_alive, scores, graph.number(0, np.float32))

    def before(self, name: str, dtype: Any, width: int) -> str:
        """A part of the state: an input of a causal model, else what every sequence starts from, [B, width]."""
        if self.is_causal:
            return self.graph.input(name, dtype, ["B", width])
        shape = self.graph.op("Concat", self._rows, self.graph.number([width]), axis=0)
        learned = self.tensors.get(_INITIAL + name)
        return self.graph.op("Expand", self.graph.number(0 if learned is None else learned, dtype), shape)

    # ---- what reads the sequences ------------------------------------------------------------------------------------

    def recurrent(self, given: str, lengths: str, *, is_read: bool | None = None) -> tuple[str, list[str]]:
        """ids [T, B], or frames [T, B, I] -> outputs of the last layer [T, B, D*H], and its h in each direction [B, H].

        A layer that reads from the end is one that reads forwards between two reversals of each row's own steps.
        is_read: whether `given` is what the first layer reads, and no ids; None: of a model of frames.
        """
        graph, last = self.graph, []
        rows = Sequences(lengths, self.is_alive)
        ends = ("", "_reverse")[: 1 + self.model.get("bidirectional", False)]
        x = given if is_read or (is_read is None and self.model.get("input_size")) else ""
        for index, (H, P) in enumerate(zip(layer_widths(self.model), output_widths(self.model), strict=True)):
            outputs, last = [], []
            for end in ends:
                layer = f"l{index}{end}"
                sizes = {f"{p}_{layer}": H if place else P for place, p in enumerate(CELLS[self.model["cell"]].parts)}
                state = [self.before(name, np.float32, size) for name, size in sizes.items()]
                ids, below = (self._reversed(value, lengths) if value and end else value for value in (given, x))
                y, after = self._layer(layer, ids, below, state, rows)
                outputs.append(self._reversed(y, lengths) if end else y)
                last.append(after[0])
                self.states += after
                if self.is_causal:
                    self.after |= {n: (value, np.float32, sizes[n]) for n, value in zip(sizes, after, strict=True)}
            y = outputs[0] if len(outputs) == 1 else graph.op("Concat", *outputs, axis=-1)
            x = graph.op("Add", x, y) if index and self.model.get("residual") else y
        return x, last

    def _layer(self, layer: str, ids: str, x: str, state: list[str], rows: Sequences) -> tuple[str, list[str]]:
        """One layer forwards; `x`: what it reads, or "" for the first one of ids."""
        graph, model = self.graph, self.model
        if self.int8 or not layers.has_operator(model):
            gates = self._projected(ids, x, layer)
            return layers.scanned_layer(graph, model, self.tensors, layer, gates, state, rows, int8=self.int8)
        return layers.operator_layer(graph, model["cell"], self.tensors, layer, x or self._input(ids), state, rows)

    def _reversed(self, x: str, lengths: str) -> str:
        """x [T, B, …] with each row's own steps in the other order."""
        lengths = self.graph.cast(lengths, np.int64)
        return self.graph.op("ReverseSequence", x, lengths, batch_axis=1, time_axis=0)

    def window_mlp(self, ids: str, lengths: str) -> str:
        """ids [T, B] -> features [T, B, F]; the state is the last tokens, `context` int64 [B, n-1], oldest first."""
        graph, window = self.graph, self.model["order"] - 1
        context = self.before("context", np.int64, window)
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
        features = graph.op("Tanh", self.linear(x, "hidden.weight", "hidden.bias"))
        return graph.op("Concat", features, x, axis=-1) if self.model["direct"] else features

    def _read(self, x: str, lengths: str, *, is_wide: bool | None = None) -> str:
        """x, zeros behind each row's length, where anything may stand; sets `is_alive`, bool [T, B, 1].

        is_wide: whether x is [T, B, I], and not [T, B]; None: of frames.
        """
        graph, is_frames = self.graph, bool(self.model.get("input_size"))
        steps = graph.op("Unsqueeze", self._steps(x), graph.number([1]))
        ends = graph.op("Unsqueeze", graph.cast(lengths, np.int64), graph.number([0]))
        is_alive = graph.op("Less", steps, ends)  # [T, B]
        self.is_alive = graph.op("Unsqueeze", is_alive, graph.number([2]))
        self._rows = graph.op("Shape", lengths)  # [B]
        zero = graph.number(0, np.float32 if is_frames else np.int64)
        return graph.op("Where", self.is_alive if (is_frames if is_wide is None else is_wide) else is_alive, x, zero)

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

    def _projected(self, ids: str, x: str, layer: str) -> str:
        """What a layer's input gives to its gates where the step is written out: [T, B, G*H]."""
        graph, name = self.graph, f"recurrent.weight_ih_{layer}"
        if not self.int8:
            projected = self.linear(x or self._input(ids), name)
        elif not x and not self.model["embedding_size"]:
            projected = one_hot_product(graph, ids, Quantized.of(name, self.tensors[name]))
        else:
            projected = matmul(graph, x or self._embedded(ids), Quantized.of(name, self.tensors[name]))
        if (gain := self.tensors.get(f"recurrent.weight_norm_ih_{layer}")) is not None:
            projected = layers.normalised(graph, projected, f"norm_ih_{layer}", gain)
        bias = layers.input_bias(self.model["cell"], self.tensors, layer)
        return projected if bias is None else graph.op("Add", projected, graph.weight(f"bias_{layer}", bias))

    def _embedded(self, ids: str, name: str = "embedding.weight") -> str:
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
            return graph.op("LogSoftmax", self.linear(x, "head.weight", "head.bias"), axis=-1)
        if "projection.weight" in self.tensors:
            x = self.linear(x, "projection.weight")
        return graph.op("LogSoftmax", self.linear(x, "embedding.weight", "head.bias"), axis=-1)

    def _adaptive(self, x: str) -> str:
        """log p(w) = log p(cluster of w | x) + log p(w | cluster, x); the first cluster is scored with the choice."""
        graph, cutoffs = self.graph, list(self.model["cutoffs"])
        choice = graph.op("LogSoftmax", self.linear(x, "head.head.weight"), axis=-1)
        bounds = [0, *range(cutoffs[0], cutoffs[0] + len(cutoffs) + 1)]
        parts = [
            graph.op("Slice", choice, graph.number([low]), graph.number([high]), graph.number([-1]))
            for low, high in itertools.pairwise(bounds)
        ]
        for index in range(len(cutoffs)):
            narrow = self.linear(x, f"head.tail.{index}.0.weight")
            within = graph.op("LogSoftmax", self.linear(narrow, f"head.tail.{index}.1.weight"), axis=-1)
            parts[index + 1] = graph.op("Add", within, parts[index + 1])
        return graph.op("Concat", *parts, axis=-1)

    def linear(self, x: str, weight: str, bias: str | None = None) -> str:
        """x [..., I] -> [..., O]. An embedding's table that also scores is stored once."""
        graph, array = self.graph, self.tensors[weight]
        is_table = weight == "embedding.weight"
        if self.int8:
            product = matmul(graph, x, Quantized.of(weight, array, is_table=is_table))
        elif is_table:
            product = graph.op("MatMul", x, graph.op("Transpose", graph.weight(weight, array), perm=[1, 0]))
        else:
            product = graph.op("MatMul", x, graph.weight(weight, array.T))
        return product if bias is None else graph.op("Add", product, graph.weight(bias, self.tensors[bias]))
