"""ONNX Runtime: a graph of its one recurrent operator; it has no gradients."""

from __future__ import annotations

import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from worker import Case, Job, NotOffered, serve

# torch's gate order to ONNX's: LSTM i f g o -> i o f c, GRU r z n -> z r h
ORDER = {"lstm": (0, 3, 1, 2), "gru_before": (1, 0, 2), "gru_after": (1, 0, 2)}
OPERATOR = {"lstm": "LSTM", "gru_before": "GRU", "gru_after": "GRU", "elman_tanh": "RNN", "elman_relu": "RNN"}


def model(case: Case, arrays: dict[str, np.ndarray]) -> onnx.ModelProto:
    order = list(ORDER.get(case.cell, (0,)))

    def in_order(name: str) -> np.ndarray:
        value = arrays[name]
        return value.reshape(len(order), case.H, -1)[order].reshape(value.shape)[None]

    weights = {"W": in_order("weight_ih"), "R": in_order("weight_hh")}
    weights["B"] = np.concatenate([in_order("bias_ih"), in_order("bias_hh")], axis=1)
    attributes: dict[str, object] = {"hidden_size": case.H}
    if case.cell.startswith("gru"):
        attributes["linear_before_reset"] = int(case.cell == "gru_after")
    if case.cell == "elman_relu":
        attributes["activations"] = ["Relu"]
    inputs = ["X", "W", "R", "B"] + (["lengths"] if case.is_ragged else [])
    node = helper.make_node(OPERATOR[case.cell], inputs, ["Y"], **attributes)
    declared = [helper.make_tensor_value_info("X", TensorProto.FLOAT, [case.T, case.B, case.I])]
    if case.is_ragged:
        declared.append(helper.make_tensor_value_info("lengths", TensorProto.INT32, [case.B]))
    y = helper.make_tensor_value_info("Y", TensorProto.FLOAT, [case.T, 1, case.B, case.H])
    graph = helper.make_graph(
        [node], "peer", declared, [y], [numpy_helper.from_array(value, name) for name, value in weights.items()]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def prepare(case: Case, threads: int) -> Job:
    if case.mode != "forward":
        raise NotOffered("ONNX Runtime has no gradients")
    arrays = case.arrays()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        model(case, arrays).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feed = {"X": arrays["x"]} | ({"lengths": arrays["lengths"].astype(np.int32)} if case.is_ragged else {})
    latest = {}

    def run() -> None:
        latest["y"] = session.run(None, feed)[0][:, 0]

    return Job(run, lambda: {"y": latest["y"]})


if __name__ == "__main__":
    serve(lambda case: prepare(case, int(sys.argv[1])))
