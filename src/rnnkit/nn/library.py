"""The native kernels as operators of torch.library: what torch.compile and torch.export see in place of `operators`.

The same kernels and the same bits. An operator is a function of its tensors alone, so two things that eager calls keep
in objects are found another way here:

- What forward keeps for backward (the tape) stays in this module under a number, which forward returns as one more
  tensor; it is dropped with that tensor's memory. Backward runs forward again where the tape is used up (a second
  backward works here, unlike in eager calls) or where the compiler has moved the output.
- Packed weights are kept for each parameter, as long as it lives. Weights that were computed are packed at every call.

Eager calls take torch.autograd.Function, which costs less (docs/decisions/0020). Source: the torch.library reference.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from rnnkit.errors import ArgumentError
from rnnkit.kernels import heads, recurrent
from rnnkit.nn import operators
from rnnkit.nn.operators import _array, _multiple, _rows, _score

_packed = WeakTensorKeyDictionary()  # weight_ih -> PackedWeights
_tapes: dict[int, tuple[recurrent.Layer, Any, int]] = {}  # number -> layer, tape, the address of its output
_numbers = itertools.count(1)
_NO_TAPE = 0
_MASK = -1.0  # in a list of shares of zoneout: the next mask


# ---- recurrent layers ---------------------------------------------------------------------------------------------


def unroll(
    cell: str,
    x: Tensor,
    *,
    weights: Mapping[str, Tensor],
    precision: str,
    state: Sequence[Tensor] | None = None,
    lengths: Tensor | None = None,
    reverse: bool = False,
    zoneout: Sequence[float | Tensor | None] | None = None,
    recurrent_mask: Tensor | None = None,
    recompute: bool = False,
    trace: Any = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """`operators.unroll` for tracing; lengths are a tensor, whose values the kernel checks.

    Raises: ArgumentError for `trace`, whose results no operator returns.
    """
    if trace is not None:
        raise ArgumentError("trace=True does not go through torch.compile or torch.export; call the layer itself")
    shares = [_MASK if isinstance(z, Tensor) else z or 0.0 for z in zoneout or ()]
    masks = [z for z in zoneout or () if isinstance(z, Tensor)]
    tensors = [*weights.values()]
    given = [] if state is None else [*state]
    needs_grad = torch.is_grad_enabled() and any(t.requires_grad for t in (x, *given, *tensors))
    keep_tape = needs_grad and not torch.compiler.is_exporting()  # an exported graph is run far more often than trained
    how = (cell, ",".join(weights), precision, reverse, recompute, shares)
    output, *final, _ = _unroll(x, given, tensors, lengths, masks, recurrent_mask, *how, keep_tape)
    return output, tuple(final)


@torch.library.custom_op("rnnkit::unroll", mutates_args=(), device_types="cpu")
def _unroll(
    x: Tensor,
    state: list[Tensor],
    weights: list[Tensor],
    lengths: Tensor | None,
    masks: list[Tensor],
    recurrent_mask: Tensor | None,
    cell: str,
    names: str,
    precision: str,
    reverse: bool,
    recompute: bool,
    zoneout: list[float],
    keep_tape: bool,
) -> list[Tensor]:
    layer = _layer(cell, names, weights, precision)
    around = (masks, recurrent_mask, reverse, recompute, zoneout)
    run = _forward(layer, x, state, lengths, *around, keep_tape)
    number = np.full(1, next(_numbers) if keep_tape else _NO_TAPE)
    results = [torch.from_numpy(array) for array in (run.output, *run.state, number)]
    if keep_tape:
        _tapes[int(number[0])] = layer, run.tape, results[0].data_ptr()
        weakref.finalize(number, _tapes.pop, int(number[0]), None)  # the tensor holds the array as long as it lives
    return results


@_unroll.register_fake
def _(
    x: Tensor, state: Any, weights: list[Tensor], lengths: Any, masks: Any, mask: Any, cell: str, names: str, *_: Any
) -> list[Tensor]:
    gates, parts = recurrent.CELLS[cell][:2]
    named = dict(zip(names.split(","), weights, strict=True))
    weight = named["weight_ih"]
    sizes = [weight.shape[0] // len(gates)] * len(parts)
    if "weight_hr" in named:
        sizes[0] = named["weight_hr"].shape[0]
    final = [weight.new_empty(x.shape[1], size) for size in sizes]
    return [weight.new_empty(x.shape[0], x.shape[1], sizes[0]), *final, torch.empty(1, dtype=torch.int64)]


@torch.library.custom_op("rnnkit::unroll_backward", mutates_args=(), device_types="cpu")
def _unroll_backward(
    upstream: list[Tensor],
    output: Tensor,
    number: Tensor,
    x: Tensor,
    state: list[Tensor],
    weights: list[Tensor],
    lengths: Tensor | None,
    masks: list[Tensor],
    recurrent_mask: Tensor | None,
    cell: str,
    names: str,
    precision: str,
    reverse: bool,
    recompute: bool,
    zoneout: list[float],
    need_dx: bool,
) -> list[Tensor]:
    layer, tape, address = _tapes.pop(int(number[0]), (None, None, 0))
    if layer is None or address != output.data_ptr():
        layer = _layer(cell, names, weights, precision)
        around = (masks, recurrent_mask, reverse, recompute, zoneout)
        tape = _forward(layer, x, state, lengths, *around, True).tape
    assert tape is not None
    d_output, *d_state = map(_array, upstream)
    got = layer.backward(tape, d_output=d_output, d_state=tuple(d_state), need_dx=need_dx)
    d_weights = [getattr(got, name) for name in names.split(",")]
    return [torch.from_numpy(array) for array in ([got.x] if need_dx else []) + [*got.state, *d_weights]]


@_unroll_backward.register_fake
def _(upstream: Any, output: Any, number: Any, x: Tensor, state: Any, weights: Any, *rest: Any) -> list[Tensor]:
    dx = [torch.empty_like(x, memory_format=torch.contiguous_format)] if rest[-1] else []
    return dx + [torch.empty_like(t, memory_format=torch.contiguous_format) for t in (*upstream[1:], *weights)]


def _setup(ctx: Any, inputs: Any, output: list[Tensor]) -> None:
    x, state, weights, lengths, masks, recurrent_mask, *ctx.rest, _ = inputs
    ctx.sizes = len(state), len(weights), len(masks)
    ctx.shapes = [result.shape for result in output[:-1]]
    ctx.save_for_backward(output[0], output[-1], x, lengths, recurrent_mask, *state, *weights, *masks)


def _backward(ctx: Any, upstream: list[Tensor | None]) -> Any:
    output, number, x, lengths, recurrent_mask, *tensors = ctx.saved_tensors
    ends = list(itertools.accumulate(ctx.sizes))
    state, weights, masks = tensors[: ends[0]], tensors[ends[0] : ends[1]], tensors[ends[1] :]
    given = [output.new_zeros(s) if d is None else d for s, d in zip(ctx.shapes, upstream[:-1], strict=True)]
    need_dx = ctx.needs_input_grad[0] and x.is_floating_point()
    around = (lengths, masks, recurrent_mask, *ctx.rest)
    got = _unroll_backward(given, output, number, x, state, weights, *around, need_dx)
    dx = got.pop(0) if need_dx else None
    d_state, d_weights = got[: len(given) - 1], got[len(given) - 1 :]
    no_list = None if ctx.rest[-1] else []  # torch takes an empty list of numbers for one of tensors
    return dx, d_state if state else [], d_weights, None, [None] * len(masks), *[None] * 6, no_list, None


_unroll.register_autograd(_backward, setup_context=_setup)


def _layer(cell: str, names: str, weights: list[Tensor], asked: str) -> recurrent.Layer:
    named, precision = dict(zip(names.split(","), weights, strict=True)), recurrent.resolve_precision(asked)
    if not all(isinstance(weight, nn.Parameter) for weight in weights):
        return operators.pack(cell, named, precision)
    if weights[0] not in _packed:
        _packed[weights[0]] = operators.PackedWeights()
    return _packed[weights[0]].get(cell, named, precision)


def _forward(
    layer: recurrent.Layer,
    x: Tensor,
    state: list[Tensor],
    lengths: Tensor | None,
    masks: list[Tensor],
    recurrent_mask: Tensor | None,
    reverse: bool,
    recompute: bool,
    zoneout: list[float],
    keep_tape: bool,
) -> recurrent.Unrolled:
    """Forward. A tape reads its tensors later; the compiler may have used their memory for something else by then."""

    def array(tensor: Tensor) -> np.ndarray:
        return _array(tensor.clone() if keep_tape else tensor)

    options: dict[str, Any] = {"reverse": reverse, "keep_tape": keep_tape, "recompute": recompute and keep_tape}
    if zoneout:
        left = iter(masks)
        options["zoneout"] = tuple(array(next(left)) if share == _MASK else share for share in zoneout)
    if recurrent_mask is not None:
        options["recurrent_mask"] = array(recurrent_mask)
    rows = None if lengths is None else array(lengths)
    return layer.forward(array(x), tuple(map(array, state)) or None, lengths=rows, **options)


# ---- products -----------------------------------------------------------------------------------------------------


@torch.library.custom_op("rnnkit::linear", mutates_args=(), device_types="cpu")
def linear(x: Tensor, weight: Tensor, bias: Tensor | None, precision: str) -> Tensor:
    """`operators.linear` for tracing."""
    given: Any = precision
    y = heads.linear(_rows(x), _array(weight), None if bias is None else _array(bias), precision=given)
    return torch.from_numpy(y).view(*x.shape[:-1], weight.shape[0])


@linear.register_fake
def _(x: Tensor, weight: Tensor, bias: Any, precision: str) -> Tensor:
    return x.new_empty(*x.shape[:-1], weight.shape[0])


@torch.library.custom_op("rnnkit::linear_backward", mutates_args=(), device_types="cpu")
def _linear_backward(
    d_y: Tensor, x: Tensor, weight: Tensor, need_dx: bool, with_bias: bool, precision: str
) -> list[Tensor]:
    given: Any = precision
    got = heads.linear_backward(
        _rows(x), _array(weight), _rows(d_y), need_dx=need_dx, with_bias=with_bias, precision=given
    )
    tensors = [torch.from_numpy(array) for array in got if array is not None]
    return [tensors[0].view(x.shape), *tensors[1:]] if need_dx else tensors


@_linear_backward.register_fake
def _(d_y: Any, x: Tensor, weight: Tensor, need_dx: bool, with_bias: bool, precision: str) -> list[Tensor]:
    dx = [x.new_empty(x.shape)] if need_dx else []
    return [*dx, weight.new_empty(weight.shape), *([weight.new_empty(weight.shape[0])] if with_bias else [])]


def _linear_setup(ctx: Any, inputs: Any, output: Tensor) -> None:
    x, weight, _, ctx.precision = inputs
    ctx.save_for_backward(x, weight)


def _linear_gradient(ctx: Any, d_y: Tensor) -> Any:
    need_dx, _, with_bias, _ = ctx.needs_input_grad
    got = _linear_backward(d_y, *ctx.saved_tensors, need_dx, with_bias, ctx.precision)
    return got.pop(0) if need_dx else None, got.pop(0), got.pop(0) if with_bias else None, None


linear.register_autograd(_linear_gradient, setup_context=_linear_setup)


@torch.library.custom_op("rnnkit::convolution", mutates_args=(), device_types="cpu")
def convolution(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, precision: str) -> Tensor:
    """`operators.convolution` for tracing."""
    how: Any = {"stride": stride, "padding": padding, "precision": precision}
    return torch.from_numpy(heads.convolution(_array(x), _array(weight), None if bias is None else _array(bias), **how))


@convolution.register_fake
def _(x: Tensor, weight: Tensor, bias: Any, stride: int, padding: int, precision: str) -> Tensor:
    rows, columns = ((size + 2 * padding - weight.shape[1]) // stride + 1 for size in x.shape[1:3])
    return x.new_empty(x.shape[0], rows, columns, weight.shape[0])


@torch.library.custom_op("rnnkit::convolution_backward", mutates_args=(), device_types="cpu")
def _convolution_backward(
    d_y: Tensor,
    x: Tensor,
    weight: Tensor,
    stride: int,
    padding: int,
    need_dx: bool,
    with_bias: bool,
    precision: str,
) -> list[Tensor]:
    how: Any = {"stride": stride, "padding": padding, "precision": precision}
    got = heads.convolution_backward(
        _array(x), _array(weight), _array(d_y), need_dx=need_dx, with_bias=with_bias, **how
    )
    return [torch.from_numpy(array) for array in got if array is not None]


@_convolution_backward.register_fake
def _(
    d_y: Any, x: Tensor, weight: Tensor, stride: int, padding: int, need_dx: bool, with_bias: bool, precision: str
) -> list[Tensor]:
    dx = [x.new_empty(x.shape)] if need_dx else []
    return [*dx, weight.new_empty(weight.shape), *([weight.new_empty(weight.shape[0])] if with_bias else [])]


def _convolution_setup(ctx: Any, inputs: Any, output: Tensor) -> None:
    x, weight, _, *ctx.window, ctx.precision = inputs
    ctx.save_for_backward(x, weight)


def _convolution_gradient(ctx: Any, d_y: Tensor) -> Any:
    need_dx, _, with_bias, *_ = ctx.needs_input_grad
    got = _convolution_backward(d_y, *ctx.saved_tensors, *ctx.window, need_dx, with_bias, ctx.precision)
    return got.pop(0) if need_dx else None, got.pop(0), got.pop(0) if with_bias else None, None, None, None


convolution.register_autograd(_convolution_gradient, setup_context=_convolution_setup)


# ---- scoring words ------------------------------------------------------------------------------------------------


@torch.library.custom_op("rnnkit::linear_cross_entropy", mutates_args=(), device_types="cpu")
def linear_cross_entropy(
    h: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    weights: Tensor | None,
    need_grad: bool,
    precision: str,
    smoothing: float,
) -> list[Tensor]:
    """`operators.linear_cross_entropy` for tracing, over rows: the losses, then the gradients if they are needed."""
    given: Any = precision
    losses, *gradients = _score(h, weight, bias, targets, weights, given, smoothing, need_grad=need_grad)
    if weights is not None:
        losses.masked_fill_(weights == 0, 0)
    return [losses, *(g for g in gradients if g is not None)] if need_grad else [losses]


@linear_cross_entropy.register_fake
def _(h: Tensor, weight: Tensor, bias: Any, targets: Any, weights: Any, need_grad: bool, *_: Any) -> list[Tensor]:
    gradients = [torch.empty_like(t, memory_format=torch.contiguous_format) for t in (h, weight)]
    gradients += [] if bias is None else [torch.empty_like(bias)]
    return [h.new_empty(h.shape[0]), *(gradients if need_grad else [])]


@torch.library.custom_op("rnnkit::linear_cross_entropy_backward", mutates_args=(), device_types="cpu")
def _cross_entropy_backward(
    d_losses: Tensor,
    gradients: list[Tensor],
    h: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    weights: Tensor | None,
    precision: str,
    smoothing: float,
) -> list[Tensor]:
    counted = d_losses if weights is None else d_losses.masked_fill(weights == 0, 0)
    scale = _multiple(counted, weights)
    if scale is not None:
        return [gradient * scale for gradient in gradients]
    given: Any = precision
    got = _score(h, weight, bias, targets, counted, given, smoothing, need_grad=True)[1:]
    return [gradient for gradient in got if gradient is not None]


@_cross_entropy_backward.register_fake
def _(d_losses: Any, gradients: list[Tensor], *_: Any) -> list[Tensor]:
    return [torch.empty_like(gradient) for gradient in gradients]


def _cross_entropy_setup(ctx: Any, inputs: Any, output: list[Tensor]) -> None:
    *tensors, ctx.need_grad, ctx.precision, ctx.smoothing = inputs
    ctx.save_for_backward(*tensors, *output[1:])


def _cross_entropy_gradient(ctx: Any, upstream: list[Tensor | None]) -> Any:
    given = (*ctx.saved_tensors[:5], ctx.precision, ctx.smoothing)
    d_losses = upstream[0]
    if d_losses is None:
        return (None,) * 8
    d_h, d_weight, *d_bias = _cross_entropy_backward(d_losses, [*ctx.saved_tensors[5:]], *given)
    return d_h, d_weight, d_bias[0] if d_bias else None, None, None, None, None, None


linear_cross_entropy.register_autograd(_cross_entropy_gradient, setup_context=_cross_entropy_setup)
