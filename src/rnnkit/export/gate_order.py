"""The order of a cell's gates in other formats: weights with our rows (torch's) become weights with theirs."""

from __future__ import annotations

import numpy as np

# Which of our gates stands at each of their places; ours are i f g o of an LSTM and r z n of a GRU.
ONNX = {
    "elman_tanh": (0,),
    "elman_relu": (0,),
    "lstm": (0, 3, 1, 2),  # i o f c
    "gru_before": (1, 0, 2),  # z r h
    "gru_after": (1, 0, 2),
}


def to_onnx(cell: str, array: np.ndarray) -> np.ndarray:
    """The blocks of rows of a weight or bias [G*H, …] in ONNX's order."""
    order = ONNX[cell]
    blocks = array.reshape(len(order), -1, *array.shape[1:])
    return np.concatenate([blocks[gate] for gate in order])
