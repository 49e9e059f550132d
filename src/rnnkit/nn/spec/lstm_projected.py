"""The LSTM with a projection: what is shown and fed back is narrower than the memory.

    i, f, o = σ(W x + b + U h + b_h);  g = tanh(…)     as in `rnnkit.nn.spec.lstm`, with U [4*H, P]
    c' = f ∘ c + i ∘ g                                 [B, H]
    h' = W_r (o ∘ tanh(c'))                            [B, P]

`weight_hr` is W_r `[P, H]`; torch.nn.LSTM has it with `proj_size=P`.

Source: Sak, Senior and Beaufays 2014, arXiv:1402.1128, without its second, non-recurrent projection.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from rnnkit.nn.spec.cell import PARAMETERS, CellSpec, Weights, recurrent, squashed


def step(projected: Tensor, state: tuple[Tensor, ...], weights: Weights):
    h, c = state
    i, f, g, o = (projected + recurrent(h, weights)).chunk(4, dim=-1)
    i, f, g, o = torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o)
    c = f * c + i * g
    return F.linear(o * squashed(c, weights), weights["weight_hr"]), c, i, f, g, o


LSTM_PROJECTED = CellSpec(
    "lstm_projected",
    gates=("i", "f", "g", "o"),
    parts=("h", "c"),
    step=step,
    source="Sak et al. 2014",
    parameters=PARAMETERS | {"weight_hh": ("G*H", "P"), "weight_hr": ("P", "H")},
)
