"""ONNX Runtime computes the same from the same random weights: its cells, both directions, ragged lengths."""

import numpy as np
import pytest
import torch

from rnnkit import nn
from rnnkit.nn import spec

# torch's gate order to ONNX's: LSTM i f g o -> i o f c, GRU r z n -> z r h
ORDER = {"lstm": (0, 3, 1, 2), "lstm_peephole": (0, 3, 1, 2), "gru_before": (1, 0, 2), "gru_after": (1, 0, 2)}
ORDER["lstm_coupled"] = (0, 2, 0, 1)  # with input_forget = 1 the third is not read
OPERATOR = dict.fromkeys(("lstm", "lstm_peephole", "lstm_coupled"), "LSTM")
OPERATOR |= {"gru_before": "GRU", "gru_after": "GRU", "elman_tanh": "RNN", "elman_relu": "RNN"}


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def field(number, value):
    """One field of a protobuf message: a number, or anything that comes as bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def declaration(name, rank, element):
    dims = b"".join(field(1, field(2, f"{name}{axis}")) for axis in range(rank))
    return field(1, name) + field(2, field(1, field(1, element) + field(2, dims)))


def onnx_model(cell, hidden_size, directions):
    """A model of one recurrent operator whose weights are inputs, in ONNX's wire format (onnx.proto3)."""
    parts = len(spec.CELLS[cell].parts)
    inputs = ["X", "W", "R", "B", "L", "H", "C", "P"][: 5 + parts + (cell == "lstm_peephole")]
    outputs = ["Y", "Yh", "Yc"][: 1 + parts]
    attributes = field(5, field(1, "hidden_size") + field(3, hidden_size) + field(20, 2))
    if directions == 2:
        attributes += field(5, field(1, "direction") + field(4, "bidirectional") + field(20, 3))
    if cell.startswith("gru"):
        attributes += field(5, field(1, "linear_before_reset") + field(3, int(cell == "gru_after")) + field(20, 2))
    if cell == "lstm_coupled":
        attributes += field(5, field(1, "input_forget") + field(3, 1) + field(20, 2))
    if cell == "elman_relu":
        names = b"".join(field(9, "Relu") for _ in range(directions))
        attributes += field(5, field(1, "activations") + names + field(20, 8))
    node = b"".join(field(1, name) for name in inputs) + b"".join(field(2, name) for name in outputs)
    graph = field(1, node + field(4, OPERATOR[cell]) + attributes) + field(2, "peer")
    ranks = {"B": 2, "L": 1, "P": 2, "Y": 4}
    graph += b"".join(field(11, declaration(n, ranks.get(n, 3), 6 if n == "L" else 1)) for n in inputs)
    graph += b"".join(field(12, declaration(n, ranks.get(n, 3), 1)) for n in outputs)
    return field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 14))


@pytest.mark.parametrize("bidirectional", [False, True], ids=["one way", "both ways"])
@pytest.mark.parametrize("cell", OPERATOR)
def test_onnx_runtime_gives_the_same(cell, bidirectional):
    onnxruntime = pytest.importorskip("onnxruntime")
    T, B, I, H = 9, 4, 5, 7
    torch.manual_seed(4)
    layer = nn.Recurrent(cell, I, H, bidirectional=bidirectional)
    x, lengths = torch.randn(T, B, I), [9, 1, 4, 6]
    state = layer.initial_state(B).map(torch.randn_like)
    with torch.no_grad():
        y, final = layer(x, state, lengths=lengths)
    gates, order = len(spec.CELLS[cell].gates), ORDER.get(cell, (0,))
    parameters = {n: p.detach().numpy() for n, p in layer.named_parameters()}

    def rows(kind):
        blocks = [parameters[kind + end].reshape(gates, H, -1)[list(order)] for end in layer._suffixes]
        return np.stack([block.reshape(len(order) * H, -1) for block in blocks])

    feed = {"X": x.numpy(), "W": rows("weight_ih"), "R": rows("weight_hh"), "L": np.array(lengths, np.int32)}
    feed["B"] = np.concatenate([rows("bias_ih"), rows("bias_hh")], axis=1)[..., 0]
    for name, part in zip("HC", spec.CELLS[cell].parts, strict=False):
        feed[name] = torch.stack([parts[part] for parts in state.layers]).numpy()
    if cell == "lstm_peephole":  # ours are i f o, ONNX's i o f
        peepholes = [parameters["weight_peephole" + end].reshape(3, H)[[0, 2, 1]] for end in layer._suffixes]
        feed["P"] = np.stack(peepholes).reshape(-1, 3 * H)
    session = onnxruntime.InferenceSession(
        onnx_model(cell, H, layer.num_directions), providers=["CPUExecutionProvider"]
    )
    want_y, *want_final = session.run(None, feed)  # Y: [T, D, B, H]
    np.testing.assert_allclose(y.numpy(), want_y.transpose(0, 2, 1, 3).reshape(T, B, -1), rtol=0, atol=2e-6)
    for part, want in zip(spec.CELLS[cell].parts, want_final, strict=True):
        got = torch.stack([parts[part] for parts in final.layers]).numpy()
        np.testing.assert_allclose(got, want, rtol=0, atol=2e-6)
    assert not y[1:, 1].any()  # padding is exactly zero
