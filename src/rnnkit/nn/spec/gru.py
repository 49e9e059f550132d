"""The GRU in both published forms, which differ in where the reset gate acts.

    r = σ(W_r x + b_r + U_r h + b_hr)                reset gate
    z = σ(W_z x + b_z + U_z h + b_hz)                update gate
    n = tanh(W_n x + b_n + U_n (r ∘ h) + b_hn)       candidate, reset *before* the product   (gru_before)
    n = tanh(W_n x + b_n + r ∘ (U_n h + b_hn))       candidate, reset *after* the product    (gru_after)
    h' = (1 − z) ∘ n + z ∘ h

**Mixing.** Two conventions are in print for the last line. Everything in rnnkit uses the one above, where z = 1 *keeps*
the old state (Cho et al. 2014, torch, cuDNN, ONNX, Keras). Chung et al. 2014 and several textbooks write
`h' = z ∘ n + (1 − z) ∘ h`; since 1 − σ(a) = σ(−a), a model in that convention becomes one in ours by negating the `z`
rows of `weight_ih`, `weight_hh`, `bias_ih` and `bias_hh`.

**Two biases.** `gru_before` needs only b + b_h; both are kept so that the two forms share one set of parameter names.

Source: Cho et al. 2014, arXiv:1406.1078, eq. 5-8 (before); the cuDNN manual and torch.nn.GRU (after). Gate order as
torch's.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rnnkit.nn.spec.cell import CellSpec, Weights, recurrent


def before_step(projected: Tensor, state: tuple[Tensor, ...], weights: Weights):
    (h,) = state
    input_r, input_z, input_n = projected.chunk(3, dim=-1)
    hidden_r, hidden_z = recurrent(h, weights, 0, 2).chunk(2, dim=-1)
    r = torch.sigmoid(input_r + hidden_r)
    z = torch.sigmoid(input_z + hidden_z)
    n = torch.tanh(input_n + recurrent(r * h, weights, 2))
    return (1 - z) * n + z * h, r, z, n


def after_step(projected: Tensor, state: tuple[Tensor, ...], weights: Weights):
    (h,) = state
    input_r, input_z, input_n = projected.chunk(3, dim=-1)
    hidden_r, hidden_z, hidden_n = recurrent(h, weights).chunk(3, dim=-1)
    r = torch.sigmoid(input_r + hidden_r)
    z = torch.sigmoid(input_z + hidden_z)
    n = torch.tanh(input_n + r * hidden_n)
    return (1 - z) * n + z * h, r, z, n


GRU_BEFORE = CellSpec("gru_before", gates=("r", "z", "n"), parts=("h",), step=before_step, source="Cho et al. 2014")
GRU_AFTER = CellSpec("gru_after", gates=("r", "z", "n"), parts=("h",), step=after_step, source="cuDNN; torch.nn.GRU")
