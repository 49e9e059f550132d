"""The native kernels as differentiable torch operations: unroll a layer, multiply by a matrix, score words.

Every product runs in the core in a fixed order, so gradients too are the same bits for any number of threads. The
kernels keep what one backward needs and overwrite it on the way, so:

- a second backward through `unroll` (`retain_graph=True`) and gradients of gradients (`create_graph=True`) are refused;
  `backend="spec"` allows both;
- tensors that backward reads must not change in place before it: torch's own check reports it.

Inside torch.compile and torch.export the same kernels run as the operators of `rnnkit.nn.library`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rnnkit.errors import ArgumentError, RnnkitError
from rnnkit.kernels import heads, recurrent

_REMEDY = "use backend='spec', which is plain torch and slower"


class DifferentiationError(RnnkitError, RuntimeError):
    """Backward was asked for something the native kernels do not keep."""


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


def _tensor(array: np.ndarray | None) -> Tensor | None:
    return None if array is None else torch.from_numpy(array)


def is_native(*tensors: Tensor | None) -> bool:
    """Whether all of these are float32 on the CPU, which is what the core computes in."""
    return all(t is None or (t.dtype == torch.float32 and t.device.type == "cpu") for t in tensors)


def _refuse_double_backward() -> None:
    if torch.is_grad_enabled():
        raise DifferentiationError(f"create_graph=True: the native kernels have no gradient of a gradient; {_REMEDY}")


# ---- recurrent layers ---------------------------------------------------------------------------------------------


class PackedWeights:
    """The weights of one direction of one layer in the core's own layout, packed again only when one of them changed.

    A change is seen by address, by torch's version counter, and, since edits through `.data` do not move that counter,
    by a few sampled values. After editing single elements through `.data`, call `flatten_parameters()` on the layer.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget what was packed."""
        self._key: tuple[Any, ...] | None = None
        self._held: list[Tensor] = []  # keeps the addresses in the key from being given to other tensors
        self._samples: list[np.ndarray] = []
        self._layer: recurrent.Layer | None = None

    def __reduce__(self) -> tuple[type[PackedWeights], tuple[()]]:
        return PackedWeights, ()  # copies and pickles of a module pack again

    def get(self, cell: str, weights: Mapping[str, Tensor], precision: recurrent.Precision = "fp32") -> recurrent.Layer:
        """The packed form of a cell's parameters, which are given by name."""
        key = (precision, *((w.data_ptr(), 0 if w.is_inference() else w._version) for w in weights.values()))
        if self._layer is None or key != self._key[:-1] or self._sampled() != self._key[-1]:  # type: ignore[index]
            self._layer = pack(cell, weights, precision)
            self._held = [w.detach() for w in weights.values()]
            flat = [held.view(-1) if held.is_contiguous() else held.reshape(-1) for held in self._held]
            self._samples = [f[:: max(1, len(f) // 16)].numpy() for f in flat]
            self._key = (*key, self._sampled())
        return self._layer

    def _sampled(self) -> bytes:
        return b"".join(sample.tobytes() for sample in self._samples)


def pack(cell: str, weights: Mapping[str, Tensor], precision: recurrent.Precision = "fp32") -> recurrent.Layer:
    """Pack a cell's parameters for the core, without a cache."""
    arrays: dict[str, Any] = {name: _array(weight) for name, weight in weights.items()}
    return recurrent.Layer(cell, **arrays, precision=precision)


def unroll(
    layer: recurrent.Layer,
    x: Tensor,
    *,
    weights: Mapping[str, Tensor],
    state: Sequence[Tensor] | None = None,
    lengths: np.ndarray | None = None,
    reverse: bool = False,
    zoneout: Sequence[float | Tensor | None] | None = None,
    recurrent_mask: Tensor | None = None,
    trace: dict[str, Tensor] | None = None,
    recompute: bool = False,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run one direction of one layer over `x` on the native core; same contract as `spec.unroll`.

    Args:
        layer: the packed form of `weights`.
        weights: the cell's parameters by name, for the gradient.
        lengths: int64 `[B]`.
        zoneout, recurrent_mask, trace: as in `spec.unroll`. recompute: backward computes the gates again.
    Raises: DifferentiationError in backward, see the module's head.
    Cost: that of the kernel; no copy unless `x`, a state or an upstream gradient is not contiguous.
    """
    state = () if state is None else tuple(state)
    tensors = (x, *state, *weights.values())
    options: dict[str, Any] = {"lengths": lengths, "reverse": reverse, "trace": trace is not None}
    if zoneout is not None:
        options["zoneout"] = tuple(_array(z) if isinstance(z, Tensor) else z for z in zoneout)
    if recurrent_mask is not None:
        options["recurrent_mask"] = _array(recurrent_mask)
    if torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
        options["recompute"] = recompute
        output, *final = _Unroll.apply(layer, options, len(state), tuple(weights), trace, *tensors)  # type: ignore[misc]
        return output, tuple(final)
    run = layer.forward(_array(x), tuple(map(_array, state)) or None, **options)
    _show(run, trace)
    return torch.from_numpy(run.output), tuple(map(torch.from_numpy, run.state))


def _show(run: recurrent.Unrolled, trace: dict[str, Tensor] | None) -> None:
    if trace is not None and run.trace is not None:
        trace |= {name: torch.from_numpy(values) for name, values in run.trace.items()}


class _Unroll(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        layer: Any,
        options: dict[str, Any],
        num_parts: int,
        names: tuple[str, ...],
        trace: dict[str, Tensor] | None,
        x: Tensor,
        *tensors: Any,
    ) -> Any:
        state = tuple(map(_array, tensors[:num_parts])) or None
        run = layer.forward(_array(x), state, keep_tape=True, **options)
        _show(run, trace)
        output, final = torch.from_numpy(run.output), tuple(map(torch.from_numpy, run.state))
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, output, *tensors)  # read by the tape: saved so that torch notices changes in place
        ctx.layer, ctx.tape, ctx.num_parts, ctx.names = layer, run.tape, num_parts, names
        return output, *final

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor | None) -> Any:
        _refuse_double_backward()
        if ctx.tape is None:
            raise DifferentiationError(
                "second backward through one unroll: the native kernels overwrite what they kept; add the losses and "
                f"call backward once, call the layer again, or {_REMEDY}"
            )
        _ = ctx.saved_tensors
        tape, ctx.tape = ctx.tape, None
        d_output, *d_state = (None if d is None else _array(d) for d in upstream)
        got = ctx.layer.backward(tape, d_output=d_output, d_state=tuple(d_state), need_dx=ctx.needs_input_grad[5])
        d_initial = got.state if ctx.num_parts else ()
        gradients = (got.x, *d_initial, *(getattr(got, name) for name in ctx.names))
        return None, None, None, None, None, *map(_tensor, gradients)


# ---- products -----------------------------------------------------------------------------------------------------


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, precision: str = "fp32") -> Tensor:
    """y = x Wᵀ + b, as torch.nn.functional.linear; on the native core for float32 on the CPU.

    Each row is one fixed chain over I: its bits do not depend on the other rows or on the number of threads.

    Args: x: `[..., I]`. weight: `[O, I]`. bias: `[O]`. precision: of the native core; elsewhere torch's dtype decides.
    Returns: `[..., O]`. Cost: 2·N·O·I flop.
    """
    if not is_native(x, weight, bias):
        return F.linear(x, weight, bias)
    if torch.compiler.is_compiling():
        return torch.ops.rnnkit.linear(x, weight, bias, precision)
    return _Linear.apply(x, weight, bias, precision)  # type: ignore[return-value]


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, precision: recurrent.Precision) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.precision = precision
        y = heads.linear(_rows(x), _array(weight), None if bias is None else _array(bias), precision=precision)
        return torch.from_numpy(y).view(*x.shape[:-1], weight.shape[0])

    @staticmethod
    def backward(ctx: Any, d_y: Tensor) -> Any:  # type: ignore[override]
        _refuse_double_backward()
        x, weight = ctx.saved_tensors
        need_dx, _, with_bias, _ = ctx.needs_input_grad
        dx, d_weight, d_bias = heads.linear_backward(
            _rows(x), _array(weight), _rows(d_y), need_dx=need_dx, with_bias=with_bias, precision=ctx.precision
        )
        dx = _tensor(dx)
        return None if dx is None else dx.view(x.shape), _tensor(d_weight), _tensor(d_bias), None


def convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: int = 1,
    padding: int = 0,
    precision: str = "fp32",
) -> Tensor:
    """A square window over images, channels last; on the native core for float32 on the CPU.

    y[n, r, c, o] = b[o] + Σ over i, j, k of W[o, i, j, k] · x[n, r·stride + i − padding, c·stride + j − padding, k]

    Args: x: `[N, height, width, C]`. weight: `[O, K, K, C]`. bias: `[O]`. precision: as of `linear`.
    Returns: `[N, rows, columns, O]`. Raises: ShapeError, ArgumentError. Cost: 2·N·rows·columns·O·K²·C flop.
    """
    if not is_native(x, weight, bias):
        y = F.conv2d(x.permute(0, 3, 1, 2), weight.permute(0, 3, 1, 2), bias, stride, padding)
        return y.permute(0, 2, 3, 1)
    if torch.compiler.is_compiling():
        return torch.ops.rnnkit.convolution(x, weight, bias, stride, padding, precision)
    return _Convolution.apply(x, weight, bias, stride, padding, precision)  # type: ignore[return-value]


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: int,
        padding: int,
        precision: recurrent.Precision,
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.how = {"stride": stride, "padding": padding, "precision": precision}
        return torch.from_numpy(
            heads.convolution(_array(x), _array(weight), None if bias is None else _array(bias), **ctx.how)
        )

    @staticmethod
    def backward(ctx: Any, d_y: Tensor) -> Any:  # type: ignore[override]
        _refuse_double_backward()
        x, weight = ctx.saved_tensors
        need_dx, _, with_bias, *_ = ctx.needs_input_grad
        got = heads.convolution_backward(
            _array(x), _array(weight), _array(d_y), need_dx=need_dx, with_bias=with_bias, **ctx.how
        )
        return *map(_tensor, got), None, None, None


def _rows(x: Tensor) -> np.ndarray:
    return _array(x).reshape(-1, x.shape[-1])


# ---- scoring words ------------------------------------------------------------------------------------------------


def linear_cross_entropy(
    h: Tensor,
    targets: Tensor,
    *,
    weight: Tensor,
    bias: Tensor | None = None,
    weights: Tensor | None = None,
    precision: str = "fp32",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Negative log-probability of each target under softmax(h Wᵀ + b), without ever holding all N·V scores.

    loss_n = log Σ_v exp(h_n·W_v + b_v) − (h_n·W_target + b_target), in nats; 0 where the row's weight is 0. Smoothed,
    the second term is (1 − ε) of it and ε of the mean over all v (Szegedy et al. 2016).

    Forward already computes the gradients of `Σ weights·loss`. Backward uses them when its upstream gradient is a
    multiple of `weights`, at no cost when it equals `weights`; any other upstream gradient costs the forward again.

    Args:
        h: `[..., I]`. targets: integers `[...]` in 0..V-1. weight: `[V, I]`. bias: `[V]` or None.
        weights: `[...]`, how much each row will count; rows with 0 are not read. None: all count 1.
        precision: of the native core's products; elsewhere torch's dtype decides. label_smoothing: ε in [0, 1).
    Returns: the unweighted losses `[...]`.
    Raises: ArgumentError for a target outside the vocabulary (from the core, naming the row); ShapeError.
    Cost: 2·N·V·I flop, three times that when gradients are needed; memory O(V·I).
    """
    if targets.shape != h.shape[:-1]:
        raise ArgumentError(f"targets have shape {list(targets.shape)}, h wants {list(h.shape[:-1])}; one per row")
    if weights is not None and weights.shape != targets.shape:
        raise ArgumentError(f"weights have shape {list(weights.shape)}, targets {list(targets.shape)}; one per row")
    rows, flat = h.reshape(-1, h.shape[-1]), targets.reshape(-1)
    row_weights = None if weights is None else weights.reshape(-1).to(h.dtype)
    if is_native(h, weight, bias):
        needs_grad = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (h, weight, bias))
        if torch.compiler.is_compiling():
            traced = torch.ops.rnnkit.linear_cross_entropy
            given = (rows, weight, bias, flat, row_weights, needs_grad, precision, label_smoothing)
            return traced(*given)[0].view(targets.shape)
        losses: Tensor = _LinearCrossEntropy.apply(  # type: ignore[assignment]
            rows, weight, bias, flat, row_weights, needs_grad, precision, label_smoothing
        )
        return losses.view(targets.shape)
    if row_weights is not None:
        counts = row_weights != 0
        rows, flat = torch.where(counts[:, None], rows, 0), flat.masked_fill(~counts, 0)
    logits = F.linear(rows, weight, bias)
    losses = F.cross_entropy(logits, flat.long(), reduction="none", label_smoothing=label_smoothing)
    return (losses if row_weights is None else torch.where(row_weights != 0, losses, 0)).view(targets.shape)


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        h: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Any,
        weights: Any,
        grad: bool,
        precision: recurrent.Precision,
        smoothing: float,
    ) -> Any:
        losses, *gradients = _score(h, weight, bias, targets, weights, precision, smoothing, need_grad=grad)
        ctx.how = precision, smoothing
        ctx.save_for_backward(h, weight, bias, targets, weights)
        ctx.gradients = gradients if grad else None
        return losses if weights is None else losses.masked_fill_(weights == 0, 0)

    @staticmethod
    def backward(ctx: Any, d_losses: Tensor) -> Any:  # type: ignore[override]
        _refuse_double_backward()
        h, weight, bias, targets, weights = ctx.saved_tensors
        gradients, ctx.gradients = ctx.gradients, None
        counted = d_losses if weights is None else d_losses.masked_fill(weights == 0, 0)
        scale = None if gradients is None else _multiple(counted, weights)
        if gradients is None or scale is None:
            gradients, scale = _score(h, weight, bias, targets, counted, *ctx.how, need_grad=True)[1:], 1.0
        if scale != 1:
            gradients = [g if g is None else g.mul_(scale) for g in gradients]
        return *gradients, None, None, None, None, None


def _score(
    h: Tensor,
    weight: Tensor,
    bias: Any,
    targets: Tensor,
    weights: Any,
    precision: recurrent.Precision,
    smoothing: float,
    *,
    need_grad: bool,
) -> list[Any]:
    got = heads.linear_cross_entropy(
        _array(h),
        _array(weight),
        None if bias is None else _array(bias),
        _array(targets),
        None if weights is None else _array(weights),
        need_grad=need_grad,
        precision=precision,
        label_smoothing=smoothing,
    )
    return [_tensor(array) for array in got]


def _multiple(upstream: Tensor, weights: Tensor | None) -> float | None:
    """The number s with upstream = s·weights up to rounding, or None."""
    if weights is None:
        first = upstream[0].item() if len(upstream) else 1.0
        return first if bool((upstream == first).all()) else None
    if torch.equal(upstream, weights):
        return 1.0
    largest = int(weights.abs().argmax()) if len(weights) else 0
    if not len(weights) or weights[largest] == 0:
        return 1.0
    scale = (upstream[largest] / weights[largest]).item()
    return scale if torch.allclose(upstream, scale * weights, rtol=1e-6, atol=0) else None
