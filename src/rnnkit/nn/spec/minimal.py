"""minGRU and minLSTM: gates that look at the input alone, so that the products of all steps can be done at once.

    z = σ(W_z x + b_z)                     update gate                        (min_gru)
    n = W_n x + b_n                        candidate
    h' = (1 − z) ∘ n + z ∘ h

    i = σ(W_i x + b_i)                     input gate                         (min_lstm)
    f = σ(W_f x + b_f)                     forget gate
    g = W_g x + b_g                        candidate
    h' = (f ∘ h + i ∘ g) / (f + i)

What is left of the loop over time is elementwise. There is no `weight_hh` and no `bias_hh`, and min_lstm has no memory.

**Which form.** Those of the paper's sections 3.1 and 3.2, with a linear candidate; not the log-space form of its
appendix, whose candidate is kept positive for the sake of a parallel scan. `z` keeps the old state, as in
`rnnkit.nn.spec.gru`; the paper's gate is 1 − z, so that its weights become ours by negating the `z` rows of `weight_ih`
and `bias_ih`.

**Gates in a trace.** Of min_lstm `i` and `f` are shown as they act: divided by their sum.

Source: Feng, Tung, Ahmed, Bengio and Hajimirsadeghi 2024, "Were RNNs All We Needed?", arXiv:2410.01201.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from rnnkit.nn.spec.cell import WITHOUT_STATE, CellSpec, Weights


def gru_step(projected: Tensor, state: tuple[Tensor, ...], weights: Weights):
    (h,) = state
    z, n = projected.chunk(2, dim=-1)
    z = torch.sigmoid(z)
    return (1 - z) * n + z * h, z, n


def lstm_step(projected: Tensor, state: tuple[Tensor, ...], weights: Weights):
    (h,) = state
    i, f, g = projected.chunk(3, dim=-1)
    odds = F.logsigmoid(i) - F.logsigmoid(f)  # i / (i + f) is 0 / 0 where both are shut
    i, f = torch.sigmoid(odds), torch.sigmoid(-odds)
    return f * h + i * g, i, f, g


SOURCE = "Feng et al. 2024"
MIN_GRU = CellSpec(
    "min_gru", gates=("z", "n"), parts=("h",), step=gru_step, source=SOURCE, parameters=dict(WITHOUT_STATE)
)
MIN_LSTM = CellSpec(
    "min_lstm", gates=("i", "f", "g"), parts=("h",), step=lstm_step, source=SOURCE, parameters=dict(WITHOUT_STATE)
)
