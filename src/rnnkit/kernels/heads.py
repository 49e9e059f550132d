"""What surrounds the recurrence: embedding, convolution, linear layers, attention, softmax, cross-entropy.

Every result is float32 and bit-identical for any number of threads; a row's result depends on its own input alone.
`precision="bf16"` rounds what a product multiplies to bfloat16, "int8" (no gradients) to integers with scales, as in
`kernels.recurrent.Layer`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rnnkit.errors import ShapeError
from rnnkit.kernels import _core
from rnnkit.kernels.recurrent import Precision


def linear(x: Any, weight: Any, bias: Any | None = None, *, precision: Precision = "fp32") -> np.ndarray:
    """y = x Wᵀ + b, each element summed over I in one fixed order, then + b.

    These are the bits of a recurrent layer's input projection, so that an embedding may be folded into it.

    Args:    x: [N, I].  weight: [O, I].  bias: [O] or None.  All float32.
    Returns: [N, O].
    Raises:  ShapeError naming the axis, DtypeError.
    Cost:    2·N·O·I flop, and packing the weight (O·I), which `PackedLinear` does once.
    """
    return _core.linear(x, weight, bias, precision)


class PackedLinear:
    """`linear` with the weight packed once: what a runtime calls at every step. Same bits as `linear`.

    Args:    weight: [O, I].  bias: [O] or None.  Both float32; they are copied.
    Raises:  ShapeError naming the axis, DtypeError.
    Cost:    of a call: 2·N·O·I flop; for one row the time to read the weight once.
    """

    __slots__ = ("_packed",)

    def __init__(self, weight: Any, bias: Any | None = None, *, precision: Precision = "fp32") -> None:
        self._packed = _core.PackedLinear(weight, bias, precision)

    @property
    def input_size(self) -> int:
        return self._packed.input_size

    @property
    def output_size(self) -> int:
        return self._packed.output_size

    def __call__(self, x: Any) -> np.ndarray:  # [N, I] -> [N, O]
        return self._packed(x)


class LinearGradients(NamedTuple):
    """Gradients by name; None where none was asked for."""

    x: np.ndarray | None  # [N, I]
    weight: np.ndarray  # [O, I]
    bias: np.ndarray | None  # [O]


def linear_backward(
    x: Any, weight: Any, d_y: Any, need_dx: bool = True, with_bias: bool = True, *, precision: Precision = "fp32"
) -> LinearGradients:
    """Gradients of `linear`: dx = dy W, dW = dyᵀ x, db = Σ dy over rows.

    Args:    x: [N, I].  weight: [O, I].  d_y: [N, O].  All float32.
    Returns: (dx or None, dweight, dbias or None); with N = 0 the last two are zero.
    Raises:  ShapeError naming the axis, DtypeError.
    Cost:    4·N·O·I flop; sums over rows run in blocks of 256, so their error does not grow with N.
    """
    return LinearGradients(*_core.linear_backward(x, weight, d_y, need_dx, with_bias, precision))


def convolution(
    x: Any, weight: Any, bias: Any | None = None, *, stride: int = 1, padding: int = 0, precision: Precision = "fp32"
) -> np.ndarray:
    """y[n, r, c, o] = b[o] + Σ over i, j, k of W[o, i, j, k] · x[n, r·stride + i − padding, c·stride + j − padding, k].

    Each element is one fixed chain over the window: it does not depend on the other images. Outside of an image is 0.

    Args:    x: [N, height, width, C].  weight: [O, K, K, C].  bias: [O] or None.  All float32.
             stride: ≥ 1.  padding: rows and columns of zeros on each side, below K.
    Returns: [N, rows, columns, O] with rows = (height + 2·padding − K) // stride + 1, columns alike.
    Raises:  ShapeError naming the axis, ArgumentError, DtypeError.
    Cost:    2·N·rows·columns·O·K·K·C flop; patches of at most 4 MiB, or of one image, side by side.
    """
    return PackedConvolution(weight, bias, stride=stride, padding=padding, precision=precision)(x)


class PackedConvolution:
    """`convolution` with the weight packed once. Same bits as `convolution`.

    Args:    weight: [O, K, K, C].  bias: [O] or None.  Both float32; they are copied.
    Raises:  ShapeError naming the axis, DtypeError.
    """

    __slots__ = ("_packed", "_window")

    def __init__(
        self, weight: Any, bias: Any | None = None, *, stride: int = 1, padding: int = 0, precision: Precision = "fp32"
    ) -> None:
        weight = np.asarray(weight)
        if weight.ndim != 4 or weight.shape[1] != weight.shape[2] or 0 in weight.shape:
            raise ShapeError(f"weight has shape {list(weight.shape)}, wanted [O, K, K, C], of square windows")
        self._packed = _core.PackedLinear(weight.reshape(len(weight), -1), bias, precision)
        self._window = (weight.shape[1], stride, padding)

    def __call__(self, x: Any) -> np.ndarray:  # [N, height, width, C] -> [N, rows, columns, O]
        return _core.convolution(x, self._packed, *self._window)


def convolution_backward(
    x: Any,
    weight: Any,
    d_y: Any,
    *,
    stride: int = 1,
    padding: int = 0,
    need_dx: bool = True,
    with_bias: bool = True,
    precision: Precision = "fp32",
) -> LinearGradients:
    """Gradients of `convolution`, in its axes.

    Args:    x, weight, stride, padding: as of `convolution`.  d_y: float32 [N, rows, columns, O].
    Returns: (dx or None, dweight, dbias or None); with N = 0 the last two are zero.
    Raises:  ShapeError naming the axis, ArgumentError, DtypeError.
    Cost:    twice `convolution`.
    """
    return LinearGradients(*_core.convolution_backward(x, weight, d_y, stride, padding, need_dx, with_bias, precision))


def log_softmax(logits: Any) -> np.ndarray:
    """(l − max l) − log Σ exp(l − max l), row by row. A NaN makes its own row NaN and no other.

    Args:    logits: float32 [N, V], V ≥ 1; -inf gives -inf.
    Returns: [N, V].
    Raises:  ShapeError, DtypeError.
    """
    return _core.log_softmax(logits)


class CrossEntropy(NamedTuple):
    """Losses, and the gradients of Σ row_weights · losses (None when they were not asked for)."""

    losses: np.ndarray  # [N]
    x: np.ndarray | None  # [N, I]
    weight: np.ndarray | None  # [V, I]
    bias: np.ndarray | None  # [V]


def linear_cross_entropy(
    x: Any,
    weight: Any,
    bias: Any | None,
    targets: Any,
    row_weights: Any | None = None,
    need_grad: bool = True,
    *,
    precision: Precision = "fp32",
    label_smoothing: float = 0.0,
) -> CrossEntropy:
    """Loss and gradients of softmax cross-entropy over a linear layer, without ever holding [N, V] whole.

    losses[n] = log Σ_v exp(l[n, v]) − Σ_v q[n, v] l[n, v]  with  l = x Wᵀ + b  and q 1 at targets[n], else 0; smoothed
    by ε q is 1 − ε + ε/V there, else ε/V (Szegedy et al. 2016). Gradients of Σ row_weights · losses.

    Args:    x: float32 [N, I].  weight: float32 [V, I].  bias: float32 [V] or None.  targets: ints [N] in [0, V).
             row_weights: float32 [N], None = all 1. A row of weight 0 has loss 0 and gradient 0 and is not read:
             neither a NaN in it nor its target changes a bit.  label_smoothing: ε in [0, 1).
    Returns: CrossEntropy(losses, dx, dweight, dbias). A loss that is not finite is returned as it is.
    Raises:  ArgumentError naming the row of a wrong target; ShapeError, DtypeError.
    Cost:    6·N·V·I flop with gradients, 2·N·V·I without; memory for one chunk of logits (96 MiB, or 256 rows).
    """
    got = _core.linear_cross_entropy(x, weight, bias, targets, row_weights, need_grad, precision, label_smoothing)
    return CrossEntropy(*got)


class Attended(NamedTuple):
    """What every query found, and where."""

    context: np.ndarray  # [T, B, W]
    weights: np.ndarray  # [T, B, S]; 0 behind a row's length


def attention(queries: Any, keys: Any, values: Any, lengths: Any, score: Any | None = None) -> Attended:
    """A softmax over the keys of a query's row, and the mean of their values under it.

    context[t, b] = Σ_s a_s values[b, s], a = softmax over s < lengths[b] of q·k_s, or with a `score` v v·tanh(q + k_s)

    Args:    queries: [T, B, K].  keys: [B, S, K].  values: [B, S, W].  score: [K] or None.  All float32.
             lengths: ints [B] in [0, S]; what lies behind is not read: not even a NaN there changes a bit.
    Returns: Attended; of a row of length 0 both are 0. A row's are the same bits in any batch, and step by step.
    Raises:  ShapeError naming the axis, DtypeError; ArgumentError naming the row of a wrong length.
    Cost:    2·T·B·S·(K + W) flop; with a score T·B·S·K hyperbolic tangents.
    Source:  Luong, Pham, Manning 2015, arXiv:1508.04025 (dot); Bahdanau, Cho, Bengio 2015, arXiv:1409.0473 (additive).
    """
    return Attended(*_core.attention(queries, keys, values, score, lengths))


class AttentionGradients(NamedTuple):
    """Gradients by name; None where none was asked for."""

    queries: np.ndarray | None  # [T, B, K]
    keys: np.ndarray | None  # [B, S, K]
    values: np.ndarray | None  # [B, S, W]
    score: np.ndarray | None  # [K]


def attention_backward(
    queries: Any,
    keys: Any,
    values: Any,
    lengths: Any,
    score: Any | None,
    weights: Any,
    d_context: Any,
    d_weights: Any | None = None,
    *,
    need_queries: bool = True,
    need_keys: bool = True,
) -> AttentionGradients:
    """Gradients of `attention`, given its weights; those of keys and values are 0 behind a row's length.

    Args:    as of `attention`.  weights: its own.  d_context: [T, B, W].  d_weights: [T, B, S] or None.
             need_keys: the gradients of keys and values.
    Raises:  as `attention`.
    Cost:    about twice `attention`.
    """
    given = (queries, keys, values, score, lengths, weights, d_context, d_weights)
    return AttentionGradients(*_core.attention_backward(*given, need_queries, need_keys))


def embedding(ids: Any, table: Any) -> np.ndarray:
    """Rows of a table: table[ids].

    Args:    ids: ints [N] in [0, V).  table: float32 [V, E].
    Returns: [N, E].
    Raises:  ArgumentError naming the place of an id outside the table; ShapeError, DtypeError.
    """
    return _core.embedding(ids, table)
