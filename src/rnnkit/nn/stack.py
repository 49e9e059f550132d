"""Stack: the parameters of L layers in D directions and how to run them; what every recurrent layer here is made of."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from rnnkit.errors import ArgumentError, ConfigError, DtypeError, ShapeError
from rnnkit.kernels.recurrent import resolve_precision
from rnnkit.nn import library, operators, spec
from rnnkit.nn.backends import check_backend, choose
from rnnkit.nn.dropout import drop_mask, dropout, keep_mask, locked_dropout
from rnnkit.nn.options import DEFAULTS, Options, checked_options, start_parameters

Lengths = Tensor | Sequence[int] | np.ndarray
Parts = tuple[Tensor, ...]


class LayerShapeError(ShapeError, RuntimeError):
    """A size that does not fit the layer. Also a RuntimeError, which is what torch.nn raises here."""


class LayerDtypeError(DtypeError, ValueError):
    """An input of another type than the weights. Also a ValueError, which is what torch.nn raises here."""


class Stack(nn.Module):
    """L layers of one cell, each in one or two directions, with torch's parameter names and initialisation.

    Layer and direction `l, d` own the cell's parameters, for most cells `weight_ih_l{l}` `[G*H, I or D*H]`,
    `weight_hh_l{l}` `[G*H, H]` and, with `bias`, `bias_ih_l{l}`, `bias_hh_l{l}` `[G*H]`, with `_reverse` appended for
    d = 1; all start uniform in ±1/√H. A trainable initial state adds `initial_{part}_l{l}` `[H]`. H may differ from
    layer to layer: `hidden_sizes`; `hidden_size` is that of the last.
    """

    input_dropout: float
    output_dropout: float
    locked_dropout: bool
    weight_dropout: float
    zoneout: float | tuple[float, ...]
    recurrent_dropout: float
    layer_norm: bool
    recompute: bool
    residual: bool
    trainable_state: bool
    init: str
    forget_bias: float | None
    chrono: int | None

    def __init__(
        self,
        cell: spec.CellSpec,
        *,
        input_size: int,
        hidden_size: int | Sequence[int],
        num_layers: int,
        bias: bool,
        dropout: float,
        bidirectional: bool,
        backend: str,
        precision: str,
        device: Any,
        dtype: torch.dtype | None,
        proj_size: int = 0,
        **options: Unpack[Options],
    ) -> None:
        super().__init__()
        for name, size in (("input_size", input_size), ("num_layers", num_layers)):
            check_size(name, size)
        self.hidden_sizes = checked_widths(hidden_size, num_layers)
        for name, value in (("bias", bias), ("bidirectional", bidirectional)):
            if not isinstance(value, bool):
                raise DtypeError(f"{name} must be True or False, got {type(value).__name__}")
        if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout <= 1:
            raise ConfigError(f"dropout={dropout!r} must be a probability in 0 <= p <= 1, for example 0.2")
        self.cell = cell
        self.input_size, self.hidden_size, self.num_layers = input_size, self.hidden_sizes[-1], len(self.hidden_sizes)
        self.bias, self.dropout, self.bidirectional = bias, float(dropout), bidirectional
        self.proj_size = checked_projection(cell, proj_size, widths=self.hidden_sizes)
        self.backend = check_backend(backend)
        resolve_precision(precision)
        self.precision = precision
        for name, value in checked_options(cell, options, bias=bias, widths=self.hidden_sizes).items():
            setattr(self, name, value)
        if self.layer_norm:
            self.cell = cell = spec.layer_normed(cell)
        ends = ("", "_reverse")[: self.num_directions]
        self._suffixes = [f"_l{n}{end}" for n in range(self.num_layers) for end in ends]
        self._packed = {suffix: operators.PackedWeights() for suffix in self._suffixes}
        for index, suffix in enumerate(self._suffixes):
            layer = index // self.num_directions
            width = (proj_size or self.hidden_sizes[layer - 1]) * self.num_directions if layer else input_size
            sizes = {"hidden_size": self.hidden_sizes[layer], "proj_size": proj_size}
            shapes = cell.shapes(input_size=width, **sizes, bias=bias)
            if self.trainable_state:
                of_parts = zip(cell.parts, cell.part_sizes(**sizes), strict=True)
                shapes |= {f"initial_{part}": (size,) for part, size in of_parts}
            for name, shape in shapes.items():
                empty = torch.empty(shape, device=device, dtype=dtype)
                self.register_parameter(name + suffix, nn.Parameter(empty))
        self.reset_parameters()

    @property
    def num_directions(self) -> int:
        """D: 2 when bidirectional, else 1."""
        return 2 if self.bidirectional else 1

    def reset_parameters(self) -> None:
        """Draw every parameter uniformly from ±1/√H, from the same random numbers as torch.nn; then by the options."""
        named = dict(self.named_parameters())
        how: Any = {"init": self.init, "forget_bias": self.forget_bias, "chrono": self.chrono}
        for index, suffix in enumerate(self._suffixes):
            own = {name.removesuffix(suffix): p for name, p in named.items() if name.endswith(suffix)}
            start_parameters(self.cell, own, hidden_size=self.hidden_sizes[index // self.num_directions], **how)

    def flatten_parameters(self) -> None:
        """Pack the weights anew at the next call; needed only after editing single elements through `.data`."""
        for packed in self._packed.values():
            packed.clear()

    @property
    def all_weights(self) -> list[list[nn.Parameter]]:
        """The parameters, one list per layer and direction."""
        return [[*self._weights(suffix).values()] for suffix in self._suffixes]  # type: ignore[misc]

    def extra_repr(self) -> str:
        is_even = len(set(self.hidden_sizes)) == 1
        shown = [str(self.input_size), str(self.hidden_size if is_even else list(self.hidden_sizes))]
        defaults = {
            "proj_size": 0,
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0.0,
            "bidirectional": False,
        }
        for name, default in {**defaults, **DEFAULTS, "backend": "auto", "precision": "fp32"}.items():
            if getattr(self, name, default) != default:
                shown.append(f"{name}={getattr(self, name)}")
        return ", ".join(shown)

    # ---- running -------------------------------------------------------------------------------------------------

    def _weights(self, suffix: str) -> dict[str, Tensor]:
        """The parameters of one layer and direction by the names that its cell gives them."""
        found = {name: getattr(self, name + suffix, None) for name in self.cell.parameters}
        return {name: weight for name, weight in found.items() if weight is not None}

    def _unroll(
        self,
        x: Tensor,
        states: Sequence[Parts] | None,
        *,
        lengths: Lengths | None = None,
        embedding: Tensor | None = None,
        traces: list[dict[str, Tensor]] | None = None,
    ) -> tuple[Tensor, list[Parts]]:
        """Run all layers over `x` `[T, B, I]` or ids `[T, B]`; states: one tuple of parts per layer and direction.

        traces: gets one dict of gates and parts `[T, B, H]` for each layer and direction.
        """
        weight: Tensor = self.weight_ih_l0  # type: ignore[assignment]
        backend = choose(
            self.cell, backend=self.backend, dtype=weight.dtype, device=weight.device, precision=self.precision
        )
        row_lengths = None if lengths is None else checked_lengths(lengths, steps=x.shape[0], batch=x.shape[1])
        if row_lengths is not None and not x.is_floating_point():  # what stands in padding need not be an id
            x = x.masked_fill(torch.arange(x.shape[0])[:, None].ge(row_lengths).to(x.device), 0)
        if states is None and self.trainable_state:
            states = self._first_states(x.shape[1])
        if self.training and self.input_dropout:
            if not x.is_floating_point():
                x = F.embedding(x, torch.eye(self.input_size).to(weight) if embedding is None else embedding)
                embedding = None
            x = self._drop(x, self.input_dropout)
        finals: list[Parts] = []
        for layer in range(self.num_layers):
            outputs, below = [], x
            x = self._drop(x, self.dropout) if layer else x
            for direction in range(self.num_directions):
                index = layer * self.num_directions + direction
                if traces is not None:
                    traces.append({})
                output, final = self._direction(
                    index,
                    x,
                    trace=None if traces is None else traces[-1],
                    state=None if states is None else states[index],
                    lengths=row_lengths,
                    embedding=embedding if layer == 0 else None,
                    native=backend == "native",
                )
                outputs.append(output)
                finals.append(final)
            x = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=-1)
            if self.residual and layer:
                x = below + x
        return self._drop(x, self.output_dropout), finals

    def _drop(self, x: Tensor, p: float) -> Tensor:
        if not self.training or not p:
            return x
        return locked_dropout(x, p) if self.locked_dropout else dropout(x, p)

    def _first_states(self, batch: int) -> list[Parts]:
        """What a sequence starts from: the learned state or zeros, one tuple of parts for each layer and direction."""
        weight: Tensor = self.weight_ih_l0  # type: ignore[assignment]
        if self.trainable_state:
            names = [[f"initial_{part}{suffix}" for part in self.cell.parts] for suffix in self._suffixes]
            return [tuple(getattr(self, name).expand(batch, -1).clone() for name in parts) for parts in names]
        widths = [self.hidden_sizes[index // self.num_directions] for index in range(len(self._suffixes))]
        sizes = [self.cell.part_sizes(hidden_size=width, proj_size=self.proj_size) for width in widths]
        return [tuple(weight.new_zeros(batch, size) for size in parts) for parts in sizes]

    def _direction(
        self,
        index: int,
        x: Tensor,
        *,
        state: Parts | None,
        lengths: Tensor | None,
        embedding: Tensor | None,
        native: bool,
        trace: dict[str, Tensor] | None,
    ) -> tuple[Tensor, Parts]:
        suffix, reverse = self._suffixes[index], index % self.num_directions == 1
        weights, is_dropped = self._weights(suffix), self.training and self.weight_dropout > 0
        if is_dropped:
            weights = weights | {"weight_hh": dropout(weights["weight_hh"], self.weight_dropout)}
        given: Any = {"state": state, "reverse": reverse, "trace": trace, **self._around(index, x)}
        if not native:
            x = x if embedding is None else F.embedding(x, embedding)
            run = functools.partial(spec.unroll, self.cell, x, weights=weights, lengths=lengths, **given)
            return checkpoint(run, use_reentrant=False) if self.recompute and torch.is_grad_enabled() else run()
        if torch.compiler.is_compiling():
            x = x if embedding is None else F.embedding(x, embedding)
            given |= {"lengths": lengths, "recompute": self.recompute, "precision": self.precision}
            return library.unroll(self.cell.name, x, weights=weights, **given)
        precision = resolve_precision(self.precision)
        if embedding is not None and x.numel() < embedding.shape[0]:  # cheaper than projecting the whole table
            x, embedding = F.embedding(x, embedding), None
        if embedding is not None:  # [G*H, V]: x is one-hot from here on
            folded = operators.linear(weights["weight_ih"], embedding, precision=precision)
            weights = weights | {"weight_ih": folded}
        if embedding is not None or is_dropped:  # weights of this call only
            packed = operators.pack(self.cell.name, weights, precision)
        else:
            packed = self._packed[suffix].get(self.cell.name, weights, precision)
        rows = None if lengths is None else lengths.numpy()
        return operators.unroll(packed, x, weights=weights, lengths=rows, recompute=self.recompute, **given)

    def _around(self, index: int, x: Tensor) -> dict[str, Any]:
        """Zoneout and the recurrent mask of one call of one layer and direction, as `unroll` takes them."""
        weight: Tensor = self.weight_ih_l0  # type: ignore[assignment]
        width = self.hidden_sizes[index // self.num_directions]
        sizes = self.cell.part_sizes(hidden_size=width, proj_size=self.proj_size)
        given: dict[str, Any] = {}
        zoneout = self.zoneout if isinstance(self.zoneout, tuple) else (self.zoneout,) * len(self.cell.parts)
        if any(zoneout):
            shares = zip(zoneout, sizes, strict=True)
            masks = tuple(
                drop_mask(z, *x.shape[:2], size, like=weight) if z and self.training else z for z, size in shares
            )
            given["zoneout"] = masks
        if self.recurrent_dropout and self.training:
            given["recurrent_mask"] = keep_mask(self.recurrent_dropout, x.shape[1], sizes[0], like=weight)
        return given


def check_size(name: str, size: int) -> None:
    """Refuse sizes that are no positive integer, with torch's error types."""
    if isinstance(size, bool) or not isinstance(size, int):
        raise DtypeError(f"{name} must be an int, got {type(size).__name__}")
    if size <= 0:
        raise ConfigError(f"{name}={size} must be greater than zero")


def checked_widths(hidden_size: int | Sequence[int], num_layers: int) -> tuple[int, ...]:
    """The width of every layer. Raises: ConfigError, DtypeError; for as many widths as there are no layers."""
    if not isinstance(hidden_size, (list, tuple)):
        check_size("hidden_size", hidden_size)  # type: ignore[arg-type]
        return (hidden_size,) * num_layers  # type: ignore[return-value]
    widths = tuple(hidden_size)
    if not widths or num_layers not in (1, len(widths)):
        raise ConfigError(
            f"hidden_size={list(widths)} has {len(widths)} widths, num_layers is {num_layers}; give as many"
        )
    for layer, width in enumerate(widths):
        check_size(f"hidden_size[{layer}]", width)
    return widths


def checked_projection(cell: spec.CellSpec, proj_size: int, *, widths: tuple[int, ...]) -> int:
    """`proj_size`, if layers of `cell` can have it. Raises: ConfigError, DtypeError."""
    if isinstance(proj_size, bool) or not isinstance(proj_size, int):
        raise DtypeError(f"proj_size must be an int, got {type(proj_size).__name__}")
    if not 0 <= proj_size < min(widths):
        raise ConfigError(f"proj_size={proj_size} must be smaller than hidden_size={min(widths)}, and 0 or more")
    if cell.is_projected != bool(proj_size):
        remedy = "leave it out" if proj_size else "give the width of its h"
        raise ConfigError(f"proj_size={proj_size} does not go with cell {cell.name}; {remedy}")
    return proj_size


def checked_lengths(lengths: Lengths, *, steps: int, batch: int) -> Tensor:
    """`lengths` as an int64 CPU tensor `[B]`. Raises: ShapeError, DtypeError, ArgumentError naming the row."""
    given = torch.as_tensor(lengths)
    if given.is_floating_point() or given.is_complex() or given.dtype == torch.bool:
        raise DtypeError(f"lengths must be integers, got {str(given.dtype).removeprefix('torch.')}")
    if tuple(given.shape) != (batch,):
        raise ShapeError(f"lengths has shape {list(given.shape)}, wanted [{batch}]: one per row of the batch")
    result = given.detach().to("cpu", torch.int64).contiguous()
    if torch.compiler.is_compiling():  # the kernel looks at the values
        return result
    wrong = (result < 0) | (result > steps)
    if wrong.any():
        row = int(wrong.nonzero()[0])
        raise ArgumentError(f"lengths[{row}]={int(result[row])} must be in 0..T={steps}; T counts the steps of x")
    return result


def autocast_to(weight: Tensor, tensor: Tensor) -> Tensor:
    """`tensor` itself, or, inside torch.autocast and floating point, in the dtype of the weights."""
    if tensor.dtype == weight.dtype or not tensor.is_floating_point() or not _is_autocast(weight):
        return tensor
    return tensor.to(weight.dtype)


def without_autocast(weight: Tensor) -> AbstractContextManager[Any]:
    """Where layers compute: torch.autocast is off, since `precision` is the layer's own and `spec` must agree."""
    return torch.autocast(weight.device.type, enabled=False) if _is_autocast(weight) else nullcontext()


def _is_autocast(weight: Tensor) -> bool:
    kind = weight.device.type
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)


def check_state_part(name: str, part: Tensor, *, shape: tuple[int, ...], like: Tensor) -> None:
    """Refuse a state part of another shape, type or device than the layer works with."""
    if tuple(part.shape) != shape:
        raise LayerShapeError(
            f"{name} has shape {list(part.shape)}, this call wants {list(shape)}; leave it out for zeros"
        )
    if part.dtype != like.dtype or part.device != like.device:
        raise LayerDtypeError(
            f"{name} is {part.dtype} on {part.device}, the weights are {like.dtype} on {like.device}; use .to() on one"
        )
