"""RNNCell, LSTMCell and GRUCell: one time step, as drop-ins for torch.nn's cells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rnnkit.kernels.recurrent import resolve_precision
from rnnkit.nn import library, operators, spec
from rnnkit.nn.backends import Backend, check_backend, choose
from rnnkit.nn.layers import elman_cell, gru_cell, lstm_state
from rnnkit.nn.stack import (
    LayerDtypeError,
    LayerShapeError,
    Parts,
    autocast_to,
    check_size,
    check_state_part,
    without_autocast,
)


class _Cell(nn.Module):
    """One step of one cell with its own parameters `weight_ih`, `weight_hh`, `bias_ih`, `bias_hh`."""

    def __init__(
        self,
        cell: spec.CellSpec,
        *,
        input_size: int,
        hidden_size: int,
        bias: bool,
        backend: str,
        precision: str,
        device: Any,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        check_size("input_size", input_size)
        check_size("hidden_size", hidden_size)
        self.cell, self.backend = cell, check_backend(backend)
        resolve_precision(precision)
        self.precision = precision
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        for name, shape in cell.shapes(input_size=input_size, hidden_size=hidden_size).items():
            wanted = bias or not name.startswith("bias")
            empty = nn.Parameter(torch.empty(shape, device=device, dtype=dtype)) if wanted else None
            self.register_parameter(name, empty)
        self._packed = operators.PackedWeights()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw every parameter uniformly from ±1/√H, from the same random numbers as torch.nn."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def flatten_parameters(self) -> None:
        """Pack the weights anew at the next call; needed only after editing single elements through `.data`."""
        self._packed.clear()

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")

    def _step(self, x: Tensor, parts: Parts | None) -> Parts:
        if x.dim() not in (1, 2):
            raise LayerShapeError(f"input must be 1-D (one row) or 2-D (a batch), got {x.dim()}-D {list(x.shape)}")
        weight: Tensor = self.weight_ih  # type: ignore[assignment]
        is_batched = x.dim() == 2
        if not is_batched:
            x, parts = x[None], None if parts is None else tuple(part[None] for part in parts)
        x = autocast_to(weight, x)
        parts = None if parts is None else tuple(autocast_to(weight, part) for part in parts)
        if x.dtype != weight.dtype:
            raise LayerDtypeError(f"input is {x.dtype}, the weights are {weight.dtype}; use input.to({weight.dtype})")
        if x.shape[-1] != self.input_size:
            raise LayerShapeError(
                f"input has {x.shape[-1]} features in its last axis, the cell wants {self.input_size}"
            )
        for name, part in zip(self.cell.parts, parts or (), strict=parts is not None):
            check_state_part(name, part, shape=(x.shape[0], self.hidden_size), like=weight)
        with without_autocast(weight):
            state = self._new_state(x, parts)
        return state if is_batched else tuple(part[0] for part in state)

    def _new_state(self, x: Tensor, parts: Parts | None) -> Parts:
        found = {name: getattr(self, name) for name in self.cell.parameters}
        weights: dict[str, Tensor] = {name: weight for name, weight in found.items() if weight is not None}
        weight = weights["weight_ih"]
        where = {"dtype": weight.dtype, "device": weight.device}
        if choose(self.cell, backend=self.backend, precision=self.precision, **where) == "native":
            if torch.compiler.is_compiling():
                given: Any = {"precision": self.precision, "state": parts}
                return library.unroll(self.cell.name, x[None], weights=weights, **given)[1]
            packed = self._packed.get(self.cell.name, weights, resolve_precision(self.precision))
            return operators.unroll(packed, x[None], weights=weights, state=parts)[1]
        return spec.unroll(self.cell, x[None], weights=weights, state=parts)[1]


class RNNCell(_Cell):
    """One Elman step, as torch.nn.RNNCell: h' = tanh(W x + b + U h + b_h), or max(0, …) with nonlinearity="relu".

    Args: as torch.nn.RNNCell, in its order; backend, precision: as `rnnkit.nn.RNN`.
    Call: `cell(x, h=None)` with x `[B, I]` or `[I]`, h `[B, H]` or `[H]`. Returns: h', in the weights' dtype also under
        torch.autocast (see `RNN`).
    Raises: ShapeError (also a RuntimeError), DtypeError (also a ValueError). Source: Elman 1990.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        backend: Backend = "auto",
        precision: str = "fp32",
    ) -> None:
        sizes: dict[str, Any] = {"input_size": input_size, "hidden_size": hidden_size, "bias": bias}
        super().__init__(
            elman_cell(nonlinearity), **sizes, backend=backend, precision=precision, device=device, dtype=dtype
        )
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._step(input, None if hx is None else (hx,))[0]


class LSTMCell(_Cell):
    """One LSTM step, as torch.nn.LSTMCell; the equations are in `rnnkit.nn.spec.lstm`.

    Args: as torch.nn.LSTMCell, in its order; backend, precision: as `RNNCell`.
    Call: `cell(x, (h, c))`; returns (h', c'). Raises: as `RNNCell`. Source: Gers, Schmidhuber and Cummins 2000.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        backend: Backend = "auto",
        precision: str = "fp32",
    ) -> None:
        sizes: dict[str, Any] = {"input_size": input_size, "hidden_size": hidden_size, "bias": bias}
        super().__init__(spec.CELLS["lstm"], **sizes, backend=backend, precision=precision, device=device, dtype=dtype)

    def forward(self, input: Tensor, hx: Sequence[Tensor] | None = None) -> tuple[Tensor, Tensor]:
        h, c = self._step(input, None if hx is None else lstm_state(hx))
        return h, c


class GRUCell(_Cell):
    """One GRU step, as torch.nn.GRUCell; both forms and the mixing convention are in `rnnkit.nn.spec.gru`.

    Args: as torch.nn.GRUCell, in its order; reset: "after" (torch) or "before" (Cho et al. 2014);
        backend, precision: as `RNNCell`.
    Call, returns, raises: as `RNNCell`. Source: Cho et al. 2014.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        reset: Literal["after", "before"] = "after",
        backend: Backend = "auto",
        precision: str = "fp32",
    ) -> None:
        sizes: dict[str, Any] = {"input_size": input_size, "hidden_size": hidden_size, "bias": bias}
        super().__init__(gru_cell(reset), **sizes, backend=backend, precision=precision, device=device, dtype=dtype)
        self.reset = reset

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._step(input, None if hx is None else (hx,))[0]
