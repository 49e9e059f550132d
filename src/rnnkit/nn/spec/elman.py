"""The simple recurrent network: the new hidden state is a squashed sum of input and old hidden state.

    h' = tanh(W x + b + U h + b_h)        (elman_tanh)
    h' = max(0, W x + b + U h + b_h)      (elman_relu)

Source: Elman 1990, "Finding Structure in Time"; with ReLU: Le, Jaitly and Hinton 2015, arXiv:1504.00941.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rnnkit.nn.spec.cell import CellSpec, Weights, recurrent


def tanh_step(projected: Tensor, state: tuple[Tensor, ...], weights: Weights):
    (h,) = state
    h = torch.tanh(projected + recurrent(h, weights))
    return h, h


def relu_step(projected: Tensor, state: tuple[Tensor, ...], weights: Weights):
    (h,) = state
    h = torch.relu(projected + recurrent(h, weights))
    return h, h


ELMAN_TANH = CellSpec("elman_tanh", gates=("h",), parts=("h",), step=tanh_step, source="Elman 1990")
ELMAN_RELU = CellSpec("elman_relu", gates=("h",), parts=("h",), step=relu_step, source="Le, Jaitly and Hinton 2015")
