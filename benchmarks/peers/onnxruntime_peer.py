"""ONNX Runtime: onnxruntime_peer.py THREADS [int8]. A graph of its operators, state in and out; it has no gradients.

int8 is its own dynamic quantisation, which knows the LSTM and no other cell.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from worker import Job, LayerCase, NotOffered, SampleCase, serve

# torch's gate order to ONNX's: LSTM i f g o -> i o f c, GRU r z n -> z r h
ORDER = {"lstm": (0, 3, 1, 2), "gru_before": (1, 0, 2), "gru_after": (1, 0, 2)}
OPERATOR = {"lstm": "LSTM", "gru_before": "GRU", "gru_after": "GRU", "elman_tanh": "RNN", "elman_relu": "RNN"}


IS_INT8 = "int8" in sys.argv
logging.disable(logging.WARNING)  # its advice on how to quantise


class Graph:
    """Nodes and weights as they come, then a session."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, np.ndarray] = {}
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, shape: list[int], kind: int = TensorProto.FLOAT) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, name: str, shape: list[int]) -> None:
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def weight(self, name: str, value: np.ndarray) -> str:
        self.weights[name] = value
        return name

    def node(self, operator: str, inputs: list[str], outputs: list[str], **attributes: object) -> None:
        self.nodes.append(helper.make_node(operator, inputs, outputs, **attributes))

    def recurrent(
        self, cell: str, H: int, arrays: dict[str, np.ndarray], x: str, tail: str, *, lengths: str, state: list[str]
    ) -> list[str]:
        """A layer with weights in torch's layout; the names of Y [T, 1, B, H] and of the final state."""
        order = list(ORDER.get(cell, (0,)))

        def in_order(name: str) -> np.ndarray:
            value = arrays[name]
            return value.reshape(len(order), H, -1)[order].reshape(value.shape)[None]

        biases = np.concatenate([in_order("bias_ih"), in_order("bias_hh")], axis=1)
        given = [x, self.weight("W" + tail, in_order("weight_ih")), self.weight("R" + tail, in_order("weight_hh"))]
        attributes: dict[str, object] = {"hidden_size": H}
        if cell.startswith("gru"):
            attributes["linear_before_reset"] = int(cell == "gru_after")
        if cell == "elman_relu":
            attributes["activations"] = ["Relu"]
        names = [kind + tail for kind in (("Y", "Yh", "Yc") if cell == "lstm" else ("Y", "Yh"))]
        self.node(OPERATOR[cell], [*given, self.weight("B" + tail, biases), lengths, *state], names, **attributes)
        return names

    def session(self, threads: int) -> onnxruntime.InferenceSession:
        weights = [numpy_helper.from_array(value, name) for name, value in self.weights.items()]
        graph = helper.make_graph(self.nodes, "peer", self.inputs, self.outputs, weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        content = quantized(model) if IS_INT8 else model.SerializeToString()
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def quantized(model: onnx.ModelProto) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        quantize_dynamic(model, path, op_types_to_quantize=["LSTM"], weight_type=QuantType.QInt8)
        return path.read_bytes()


def layer_job(case: LayerCase, threads: int) -> Job:
    if case.mode not in ("forward", "step"):
        raise NotOffered("ONNX Runtime has no gradients")
    if case.cell not in OPERATOR:
        raise NotOffered(f"ONNX has no operator for {case.cell}")
    if IS_INT8 and (case.cell != "lstm" or case.mode != "step"):
        raise NotOffered("int8 is measured for the LSTM's step: ONNX Runtime quantises no other cell")
    arrays, graph = case.arrays(), Graph()
    if case.mode == "step":
        return step_job(case, arrays, graph, threads)
    x = graph.input("X", [case.T, case.B, case.I])
    lengths = graph.input("lengths", [case.B], TensorProto.INT32) if case.is_ragged else ""
    graph.recurrent(case.cell, case.H, arrays, x, "", lengths=lengths, state=[])
    graph.output("Y", [case.T, 1, case.B, case.H])
    session = graph.session(threads)
    feed = {"X": arrays["x"]} | ({"lengths": case.lengths().astype(np.int32)} if case.is_ragged else {})
    latest = {}

    def run() -> None:
        latest["y"] = session.run(["Y"], feed)[0][:, 0]

    return Job(run, lambda: {"y": latest["y"]})


def step_job(case: LayerCase, arrays: dict[str, np.ndarray], graph: Graph, threads: int) -> Job:
    x = graph.input("X", [1, case.B, case.I])
    parts = [f"h{part}" for part in range(2 if case.cell == "lstm" else 1)]
    state = [graph.input(part, [1, case.B, case.H]) for part in parts]
    _, *after = graph.recurrent(case.cell, case.H, arrays, x, "", lengths="", state=state)
    for name in after:
        graph.output(name, [1, case.B, case.H])
    session, outputs = graph.session(threads), np.empty((case.T, case.B, case.H), np.float32)

    def run() -> None:
        carry = [np.zeros((1, case.B, case.H), np.float32)] * len(parts)
        for t in range(case.T):
            carry = session.run(after, {"X": arrays["x"][t : t + 1], **dict(zip(parts, carry, strict=True))})
            outputs[t] = carry[0][0]

    return Job(run, lambda: {"y": outputs})


def sample_job(case: SampleCase, threads: int) -> Job:
    """The loop people write: one call for each token, the state handed back, a draw with NumPy."""
    arrays, graph = case.arrays(), Graph()
    ids = graph.input("ids", [1, 1], TensorProto.INT64)
    eye = graph.weight("eye", np.eye(case.vocab_size, dtype=np.float32))
    graph.node("Gather", [eye, ids], ["x0"])
    parts, after = [], []
    for layer in range(case.num_layers):
        weights = {
            name: arrays[f"recurrent.{name}_l{layer}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        }
        state = [graph.input(f"{part}{layer}", [1, 1, case.H]) for part in "hc"]
        _, *final = graph.recurrent("lstm", case.H, weights, f"x{layer}", str(layer), lengths="", state=state)
        graph.node("Identity", [final[0]], [f"x{layer + 1}"])
        parts, after = parts + state, after + final
    for name in after:
        graph.output(name, [1, 1, case.H])
    graph.node("MatMul", [f"x{case.num_layers}", graph.weight("head", arrays["head.weight"].T.copy())], ["scores"])
    graph.node("Add", ["scores", graph.weight("bias", arrays["head.bias"])], ["logits"])
    graph.output("logits", [1, 1, case.vocab_size])
    session, names = graph.session(threads), ["logits", *after]

    def step(token: int, carry: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
        feed = dict(zip(parts, carry, strict=True)) | {"ids": np.array([[token]])}
        logits, *carry = session.run(names, feed)
        scores = logits[0, 0] - logits.max()
        return scores - np.log(np.exp(scores).sum()), carry

    def start() -> list[np.ndarray]:
        return [np.zeros((1, 1, case.H), np.float32)] * len(parts)

    def run() -> None:
        token, carry, rng = 0, start(), np.random.default_rng(1)
        for _ in range(case.num_tokens):
            log_probs, carry = step(token, carry)
            token = min(int(np.searchsorted(np.exp(log_probs).cumsum(), rng.random())), case.vocab_size - 1)

    def results() -> dict[str, np.ndarray]:
        carry, found = start(), []
        for token in arrays["ids"]:
            log_probs, carry = step(token, carry)
            found.append(log_probs)
        return {"log_probs": np.stack(found)}

    return Job(run, results)


if __name__ == "__main__":
    count = int(sys.argv[1])
    serve(LayerCase=lambda case: layer_job(case, count), SampleCase=lambda case: sample_job(case, count))
