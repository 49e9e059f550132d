"""RNN, LSTM and GRU: drop-ins for torch.nn, with lengths, on the native core."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal, Unpack

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from rnnkit.errors import ArgumentError, ConfigError
from rnnkit.nn import spec
from rnnkit.nn.backends import Backend
from rnnkit.nn.options import Options
from rnnkit.nn.stack import (
    LayerDtypeError,
    LayerShapeError,
    Lengths,
    Parts,
    Stack,
    autocast_to,
    check_size,
    check_state_part,
    without_autocast,
)

Traces = list[dict[str, Tensor]]


class _TorchLayer(Stack):
    """What RNN, LSTM and GRU share: torch.nn's constructor, call and return types around a Stack."""

    def __init__(
        self,
        cell: spec.CellSpec,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        proj_size: int,
        device: Any,
        dtype: torch.dtype | None,
        backend: str,
        precision: str,
        options: Options,
    ) -> None:
        check_size("hidden_size", hidden_size)  # one width: torch's final state is one tensor
        if proj_size != 0 and not cell.is_projected:
            raise ConfigError(f"proj_size={proj_size}: only LSTM projects its state, as in torch; leave it 0")
        super().__init__(
            cell,
            input_size=input_size,
            hidden_size=hidden_size,
            num_layers=num_layers,
            bias=bias,
            dropout=dropout,
            bidirectional=bidirectional,
            backend=backend,
            precision=precision,
            device=device,
            dtype=dtype,
            proj_size=proj_size,
            **options,
        )
        self.batch_first = bool(batch_first)
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                f"dropout={dropout} acts between layers and this stack has one, so it does nothing; "
                "raise num_layers or leave dropout out",
                stacklevel=3,
            )

    def _call(
        self, x: Tensor | PackedSequence, parts: Parts | None, lengths: Lengths | None, traces: Traces | None
    ) -> tuple[Any, Parts]:
        if isinstance(x, PackedSequence):
            if traces is not None:
                raise ArgumentError("trace=True has no packed form; pad the batch and pass lengths= instead")
            if lengths is not None:
                raise ArgumentError("lengths= was given beside a PackedSequence, which has its own; leave it out")
            return self._call_packed(x, parts)
        if x.dim() not in (2, 3):
            raise LayerShapeError(f"input must be 2-D (one sequence) or 3-D (a batch), got {x.dim()}-D {list(x.shape)}")
        is_batched = x.dim() == 3
        if not is_batched and lengths is not None:
            raise ArgumentError("lengths= needs a batch, the input is one sequence; cut it to its length instead")
        for name, part in zip(self.cell.parts, parts or (), strict=False):
            if part.dim() != x.dim():
                raise LayerShapeError(f"for {x.dim()}-D input {name}_0 must be {x.dim()}-D too, got {part.dim()}-D")
        if not is_batched:
            x, parts = x[:, None], None if parts is None else tuple(part[:, None] for part in parts)
        elif self.batch_first:
            x = x.transpose(0, 1)
        y, final = self._run(x, parts, lengths, traces)
        if not is_batched:
            return y[:, 0], tuple(part[:, 0] for part in final)
        return y.transpose(0, 1) if self.batch_first else y, final

    def _call_packed(self, x: PackedSequence, parts: Parts | None) -> tuple[PackedSequence, Parts]:
        padded, lengths = pad_packed_sequence(PackedSequence(x.data, x.batch_sizes))  # rows longest first, as in x
        if parts is not None and x.sorted_indices is not None:
            parts = tuple(part.index_select(1, x.sorted_indices) for part in parts)
        y, final = self._run(padded, parts, lengths)
        data = pack_padded_sequence(y, lengths).data
        if x.unsorted_indices is not None:
            order = x.unsorted_indices
            final = tuple(part.index_select(1, order) for part in final)
        return PackedSequence(data, x.batch_sizes, x.sorted_indices, x.unsorted_indices), final

    def _run(
        self, x: Tensor, parts: Parts | None, lengths: Lengths | None, traces: Traces | None = None
    ) -> tuple[Tensor, Parts]:
        """Time-major in and out; a part is `[L*D, B, H]` as in torch."""
        weight: Tensor = self.weight_ih_l0  # type: ignore[assignment]
        x = autocast_to(weight, x)
        parts = None if parts is None else tuple(autocast_to(weight, part) for part in parts)
        if x.dtype != weight.dtype:
            raise LayerDtypeError(f"input is {x.dtype}, the weights are {weight.dtype}; use input.to({weight.dtype})")
        if x.shape[-1] != self.input_size:
            raise LayerShapeError(
                f"input has {x.shape[-1]} features in its last axis, the layer wants {self.input_size}"
            )
        count = len(self._suffixes)
        sizes = self.cell.part_sizes(hidden_size=self.hidden_size, proj_size=self.proj_size)
        for name, part, size in zip(self.cell.parts, parts or (), sizes, strict=parts is not None):
            check_state_part(f"{name}_0", part, shape=(count, x.shape[1], size), like=weight)
        states = None if parts is None else [tuple(part[n] for part in parts) for n in range(count)]
        with without_autocast(weight):
            y, finals = self._unroll(x, states, lengths=lengths, traces=traces)
        return y, tuple(torch.stack(part) for part in zip(*finals, strict=True))


class RNN(_TorchLayer):
    """Elman layers, as torch.nn.RNN: h' = tanh(W x + b + U h + b_h), or max(0, …) with nonlinearity="relu".

    Args:
        input_size, hidden_size, num_layers, nonlinearity, bias, batch_first, dropout, bidirectional, device, dtype: as
            torch.nn.RNN, in its order. proj_size: only 0.
        backend: "auto" (native where it can), "native" or "spec"; see `explain_backend`.
        precision: "fp32", "bf16" (products of rounded values, on the native core) or "auto"; see `Recurrent`.
        options: see `Options`.

    Call: `layer(x, h_0=None, *, lengths=None, trace=False)` with x `[T, B, I]`, `[B, T, I]` if batch_first, `[T, I]`
        or a PackedSequence; h_0 `[L*D, B, H]`; lengths integers `[B]`: a row stops after its length, its later outputs
        are 0 and its final state is the one at its length; lengths and T may be 0. trace=True adds a third result,
        as in `Recurrent`: time-major always, and not with a PackedSequence.
    Returns: `(output, h_n)`, as torch, in the weights' dtype: under torch.autocast too, where a floating point input or
        state of another dtype is cast to it (torch.nn would compute in the lower precision). Elsewhere it is refused.
    Raises: ShapeError (also a RuntimeError) or DtypeError (also a ValueError), naming the axis or type.
    Cost: 2·T·B·D·H·(I+H) flop per layer. Source: Elman 1990.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        backend: Backend = "auto",
        precision: str = "fp32",
        **options: Unpack[Options],
    ) -> None:
        args = (
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            device,
            dtype,
        )
        super().__init__(elman_cell(nonlinearity), *args, backend, precision, options)
        self.nonlinearity = nonlinearity

    def forward(
        self,
        input: Tensor | PackedSequence,
        hx: Tensor | None = None,
        *,
        lengths: Lengths | None = None,
        trace: bool = False,
    ) -> Any:
        traces: Traces | None = [] if trace else None
        y, (h,) = self._call(input, None if hx is None else (hx,), lengths, traces)
        return (y, h, traces) if trace else (y, h)


class LSTM(_TorchLayer):
    """LSTM layers, as torch.nn.LSTM; the equations are in `rnnkit.nn.spec.lstm`.

    Args: as torch.nn.LSTM, in its order; backend, precision, options: see `RNN`. proj_size: P, below H; h and the
        output have this width. It is h' = W_r (o∘tanh c') of Sak, Senior and Beaufays 2014.
    Call: as `RNN`, with the state `(h_0, c_0)`, each `[L*D, B, H]`. Returns: `(output, (h_n, c_n))`, as torch.
    Raises: as `RNN`. Cost: 8·T·B·D·H·(I+H) flop per layer. Source: Gers, Schmidhuber and Cummins 2000.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        backend: Backend = "auto",
        precision: str = "fp32",
        **options: Unpack[Options],
    ) -> None:
        args = (
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            device,
            dtype,
        )
        cell = spec.PROJECTED["lstm"] if proj_size else spec.CELLS["lstm"]
        super().__init__(cell, *args, backend, precision, options)

    def forward(
        self,
        input: Tensor | PackedSequence,
        hx: tuple[Tensor, Tensor] | Sequence[Tensor] | None = None,
        *,
        lengths: Lengths | None = None,
        trace: bool = False,
    ) -> Any:
        traces: Traces | None = [] if trace else None
        y, (h, c) = self._call(input, None if hx is None else lstm_state(hx), lengths, traces)
        return (y, (h, c), traces) if trace else (y, (h, c))


class GRU(_TorchLayer):
    """GRU layers, as torch.nn.GRU, with the reset gate after the product (default) or before it.

    The equations, and which of the two mixing conventions is used, are in `rnnkit.nn.spec.gru`.

    Args: as torch.nn.GRU, in its order (proj_size: only 0); reset: "after" (torch, cuDNN) or "before" (Cho et al. 2014,
        textbooks); backend, precision, options: see `RNN`.
    Call, returns, raises: as `RNN`. Cost: 6·T·B·D·H·(I+H) flop per layer. Source: Cho et al. 2014.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        reset: Literal["after", "before"] = "after",
        backend: Backend = "auto",
        precision: str = "fp32",
        **options: Unpack[Options],
    ) -> None:
        args = (
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            device,
            dtype,
        )
        super().__init__(gru_cell(reset), *args, backend, precision, options)
        self.reset = reset

    def forward(
        self,
        input: Tensor | PackedSequence,
        hx: Tensor | None = None,
        *,
        lengths: Lengths | None = None,
        trace: bool = False,
    ) -> Any:
        traces: Traces | None = [] if trace else None
        y, (h,) = self._call(input, None if hx is None else (hx,), lengths, traces)
        return (y, h, traces) if trace else (y, h)


def elman_cell(nonlinearity: str) -> spec.CellSpec:
    """The Elman cell of that nonlinearity. Raises: ConfigError."""
    if nonlinearity not in ("tanh", "relu"):
        raise ConfigError(f"nonlinearity={nonlinearity!r} does not exist; choose 'tanh' or 'relu'")
    return spec.CELLS[f"elman_{nonlinearity}"]


def gru_cell(reset: str) -> spec.CellSpec:
    """The GRU of that form. Raises: ConfigError."""
    if reset not in ("after", "before"):
        raise ConfigError(f"reset={reset!r} does not exist; choose 'after' (torch) or 'before' (Cho et al. 2014)")
    return spec.CELLS[f"gru_{reset}"]


def lstm_state(hx: Any) -> tuple[Tensor, Tensor]:
    """The pair (h, c) that an LSTM is called with. Raises: LayerShapeError."""
    if isinstance(hx, Tensor) or len(hx) != 2:
        got = "one tensor" if isinstance(hx, Tensor) else f"{len(hx)} tensors"
        raise LayerShapeError(f"an LSTM's state is the pair (h_0, c_0), got {got}; pass both")
    return hx[0], hx[1]
