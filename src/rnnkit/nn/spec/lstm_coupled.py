"""The LSTM with its forget gate tied to the input gate: it forgets as much as it writes, with three gates for four.

    i = σ(W_i x + b_i + U_i h + b_hi)      input gate
    g = tanh(W_g x + b_g + U_g h + b_hg)   candidate
    o = σ(W_o x + b_o + U_o h + b_ho)      output gate
    c' = (1 − i) ∘ c + i ∘ g
    h' = o ∘ tanh(c')

Source: Greff et al. 2017, "LSTM: A Search Space Odyssey", arXiv:1503.04069, variant CIFG.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rnnkit.nn.spec.cell import CellSpec, Weights, recurrent, squashed


def step(projected: Tensor, state: tuple[Tensor, ...], weights: Weights):
    h, c = state
    i, g, o = (projected + recurrent(h, weights)).chunk(3, dim=-1)
    i, g, o = torch.sigmoid(i), torch.tanh(g), torch.sigmoid(o)
    c = (1 - i) * c + i * g
    return o * squashed(c, weights), c, i, g, o


LSTM_COUPLED = CellSpec("lstm_coupled", gates=("i", "g", "o"), parts=("h", "c"), step=step, source="Greff et al. 2017")
