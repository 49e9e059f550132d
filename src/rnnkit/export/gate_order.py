"""The order of a cell's gates in other formats: weights with our rows (torch's) become weights with theirs."""

from __future__ import annotations

import numpy as np

# Which of our gates stands at each of their places; ours are i f g o of an LSTM, i g o of a coupled one and r z n of a
# GRU. None: a gate that we do not have and they do not read.
ONNX: dict[str, tuple[int | None, ...]] = {
    "elman_tanh": (0,),
    "elman_relu": (0,),
    "lstm": (0, 3, 1, 2),  # i o f c
    "lstm_peephole": (0, 3, 1, 2),
    "lstm_coupled": (0, 2, None, 1),  # with input_forget = 1
    "gru_before": (1, 0, 2),  # z r h
    "gru_after": (1, 0, 2),
}

# Keras' layers: which of their gates stands at each of our places; theirs are i f c o of an LSTM and z r h of a GRU.
KERAS = {"SimpleRNN": (0,), "LSTM": (0, 1, 2, 3), "GRU": (1, 0, 2)}


def from_keras(layer: str, array: np.ndarray) -> np.ndarray:
    """The blocks of rows of a weight or bias [G*H, …] of a Keras layer in our order."""
    order = list(KERAS[layer])
    blocks = array.reshape(len(order), -1, *array.shape[1:])
    return np.ascontiguousarray(blocks[order].reshape(array.shape))


def to_onnx(cell: str, array: np.ndarray) -> np.ndarray:
    """The blocks of rows of a weight or bias [G*H, …] in ONNX's order."""
    order = ONNX[cell]
    blocks = array.reshape(sum(gate is not None for gate in order), -1, *array.shape[1:])
    return np.concatenate([np.zeros_like(blocks[0]) if gate is None else blocks[gate] for gate in order])


def peepholes_to_onnx(array: np.ndarray) -> np.ndarray:
    """The peepholes i f o [3*H] in ONNX's order, i o f."""
    i, f, o = np.split(array, 3)
    return np.concatenate([i, o, f])
