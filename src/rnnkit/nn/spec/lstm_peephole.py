"""The LSTM whose gates also see the memory, each unit its own, through one weight per gate: it can count and time.

    i = σ(W_i x + b_i + U_i h + b_hi + p_i ∘ c)    input gate
    f = σ(W_f x + b_f + U_f h + b_hf + p_f ∘ c)    forget gate
    g = tanh(W_g x + b_g + U_g h + b_hg)           candidate
    c' = f ∘ c + i ∘ g
    o = σ(W_o x + b_o + U_o h + b_ho + p_o ∘ c')   output gate, which sees the memory after the step
    h' = o ∘ tanh(c')

`weight_peephole` `[3*H]` holds p_i, p_f, p_o in this order; without it the cell is `lstm`.

Source: Gers and Schmidhuber 2000, "Recurrent nets that time and count", with the tanh around the memory that Graves
2013 (arXiv:1308.0850, eq. 7-11) and ONNX have.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rnnkit.nn.spec.cell import PARAMETERS, CellSpec, Weights, recurrent, squashed


def step(projected: Tensor, state: tuple[Tensor, ...], weights: Weights):
    h, c = state
    i, f, g, o = (projected + recurrent(h, weights)).chunk(4, dim=-1)
    peephole_i, peephole_f, peephole_o = weights["weight_peephole"].chunk(3)
    i, f, g = torch.sigmoid(i + peephole_i * c), torch.sigmoid(f + peephole_f * c), torch.tanh(g)
    c = f * c + i * g
    o = torch.sigmoid(o + peephole_o * c)
    return o * squashed(c, weights), c, i, f, g, o


LSTM_PEEPHOLE = CellSpec(
    "lstm_peephole",
    gates=("i", "f", "g", "o"),
    parts=("h", "c"),
    step=step,
    source="Gers and Schmidhuber 2000",
    parameters=PARAMETERS | {"weight_peephole": ("3*H",)},
)
