"""The LSTM: a memory `c` that is kept, overwritten and shown through three gates.

    i = σ(W_i x + b_i + U_i h + b_hi)      input gate
    f = σ(W_f x + b_f + U_f h + b_hf)      forget gate
    g = tanh(W_g x + b_g + U_g h + b_hg)   candidate
    o = σ(W_o x + b_o + U_o h + b_ho)      output gate
    c' = f ∘ c + i ∘ g
    h' = o ∘ tanh(c')

Source: Hochreiter and Schmidhuber 1997; with the forget gate: Gers, Schmidhuber and Cummins 2000. Gate order as
torch's.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rnnkit.nn.spec.cell import CellSpec, Weights, recurrent, squashed


def step(projected: Tensor, state: tuple[Tensor, ...], weights: Weights):
    h, c = state
    i, f, g, o = (projected + recurrent(h, weights)).chunk(4, dim=-1)
    i, f, g, o = torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o)
    c = f * c + i * g
    return o * squashed(c, weights), c, i, f, g, o


LSTM = CellSpec("lstm", gates=("i", "f", "g", "o"), parts=("h", "c"), step=step, source="Gers et al. 2000")
