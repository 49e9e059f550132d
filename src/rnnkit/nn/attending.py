"""Attention on the native kernels, as a differentiable torch operation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rnnkit.kernels import heads
from rnnkit.nn.operators import _array, _refuse_double_backward, _tensor, is_native


def attention(
    queries: Tensor, keys: Tensor, values: Tensor, lengths: Tensor, *, score: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """What each query finds in the keys of its row; on the native core for float32 on the CPU.

    context[t, b] = Σ_s a_s values[b, s], a = softmax over s < lengths[b] of q·k_s, or with a `score` v v·tanh(q + k_s)

    Args:    queries: `[T, B, K]`. keys: `[B, S, K]`. values: `[B, S, W]`. score: `[K]`. lengths: integers `[B]`.
    Returns: the context `[T, B, W]`, and the weights a `[T, B, S]`, 0 behind a row's length.
    Raises:  ShapeError, DtypeError, ArgumentError. Cost, source: as `rnnkit.kernels.heads.attention`.
    """
    if is_native(queries, keys, values, score) and not torch.compiler.is_compiling():
        return _Attention.apply(queries, keys, values, score, lengths)  # type: ignore[return-value]
    behind = torch.arange(keys.shape[1], device=keys.device) >= lengths[:, None]  # [B, S]
    keys, values = (part.masked_fill(behind[..., None], 0.0) for part in (keys, values))
    if score is None:
        scores = torch.einsum("tbk,bsk->tbs", queries, keys)
    else:
        scores = torch.tanh(queries[:, :, None] + keys) @ score
    weights = scores.masked_fill(behind, -torch.inf).softmax(-1).masked_fill(behind, 0.0)  # of no keys softmax is NaN
    return torch.einsum("tbs,bsw->tbw", weights, values), weights


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, values: Tensor, score: Any, lengths: Tensor) -> Any:
        of_score = None if score is None else _array(score)
        got = heads.attention(_array(queries), _array(keys), _array(values), _array(lengths), of_score)
        weights = torch.from_numpy(got.weights)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(queries, keys, values, lengths, score, weights)
        return torch.from_numpy(got.context), weights

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor | None) -> Any:
        _refuse_double_backward()
        queries, keys, values, lengths, score, weights = ctx.saved_tensors
        d_context, d_weights = upstream
        if d_context is None:
            d_context = weights.new_zeros(*queries.shape[:2], values.shape[2])
        got = heads.attention_backward(
            _array(queries),
            _array(keys),
            _array(values),
            _array(lengths),
            None if score is None else _array(score),
            _array(weights),
            _array(d_context),
            None if d_weights is None else _array(d_weights),
            need_queries=ctx.needs_input_grad[0],
            need_keys=ctx.needs_input_grad[1] or ctx.needs_input_grad[2],
        )
        return *map(_tensor, got), None
