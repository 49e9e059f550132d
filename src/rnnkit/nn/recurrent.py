"""Recurrent: any cell as a layer whose state is a `State`, the one type that every model here passes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import torch
from torch import Tensor
from torch.utils import _pytree

from rnnkit.errors import ConfigError, DtypeError, ShapeError, StateError
from rnnkit.nn import spec
from rnnkit.nn.backends import Backend
from rnnkit.nn.options import Options
from rnnkit.nn.stack import LayerShapeError, Lengths, Stack, autocast_to, check_state_part, without_autocast
from rnnkit.state import State


class Recurrent(Stack):
    """L layers of `cell` in one or two directions: `y, state = layer(x, state)`.

    Args:
        cell: a name in `rnnkit.nn.spec.CELLS`, or a CellSpec of your own (which then runs on backend "spec").
        input_size, hidden_size: I and H; or a width for each layer, from the first: `[512, 256]`. num_layers: L; may be
            left out beside widths. bias: with `bias_ih` and `bias_hh`, or none. proj_size: P, below H: an LSTM's h is
            then P wide, W_r (o∘tanh c'), and so are y and what the layer above reads (Sak et al. 2014); 0: not.
        dropout: probability, between layers, while training. bidirectional: y is then `[T, B, 2H]`, forward first.
        backend: "auto", "native" or "spec"; see `explain_backend`. device, dtype: as in torch.nn.
        precision: "fp32"; "bf16" rounds what products multiply (inputs, h, weights, gate gradients) to bfloat16 and
            adds in float32: parameters, states, outputs and gradients stay float32, with relative errors of about
            0.5 %; "fp32_split" is as accurate as fp32, by AMX's tiles where there are some, and fp32 itself elsewhere;
            "auto" is bf16 where the processor has an instruction for it.
        options: see `Options`: dropouts, residual connections, a trainable initial state, other starts of the weights.

    Call: `layer(x, state=None, *, lengths=None, embedding=None, trace=False)`
        x: `[T, B, I]`; or integers `[T, B]`, which stand for one-hot rows of width I.
        state: what `initial_state` or an earlier call returned; None means `initial_state`.
        lengths: integers `[B]` in 0..T: a row stops there, its later outputs are 0.
        embedding: `[V, I]`; the ids then stand for its rows. The table is folded into the first layer's weights (cost:
            V rows instead of T·B) when that is cheaper: the outputs are the same bits either way.
        trace: also return, for each layer and direction in the order of the state, a dict of every gate (after its
            nonlinearity) and state part by name, each `[T, B, H]`, without gradient, 0 beyond a row's length.
    Returns: y `[T, B, D*H]`, H of the last layer (D*P with proj_size), and the State after each row's last step;
        gradients flow through both. Both have the weights' dtype, also under torch.autocast (see `RNN`).
    Raises: ShapeError, DtypeError, StateError, naming what does not fit.
    Cost: 2·T·B·D·G·H·(I+H) flop per layer.
    """

    def __init__(
        self,
        cell: str | spec.CellSpec,
        input_size: int,
        hidden_size: int | Sequence[int],
        num_layers: int = 1,
        *,
        bias: bool = True,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        backend: Backend = "auto",
        precision: str = "fp32",
        device: Any = None,
        dtype: torch.dtype | None = None,
        **options: Unpack[Options],
    ) -> None:
        if isinstance(cell, str) and cell not in spec.CELLS:
            raise ConfigError(f"cell {cell!r} does not exist; there are {', '.join(spec.CELLS)}")
        if isinstance(cell, str):
            cell = spec.PROJECTED.get(cell, spec.CELLS[cell]) if proj_size else spec.CELLS[cell]
        super().__init__(
            cell,
            input_size=input_size,
            hidden_size=hidden_size,
            num_layers=num_layers,
            bias=bias,
            dropout=dropout,
            bidirectional=bidirectional,
            proj_size=proj_size,
            backend=backend,
            precision=precision,
            device=device,
            dtype=dtype,
            **options,
        )

    def extra_repr(self) -> str:
        return f"{self.cell.name}, {super().extra_repr()}"

    def initial_state(self, batch: int = 1) -> State:
        """Zeros, or what `trainable_state` learned, for `batch` streams: `[B, H]` per part, layer and direction."""
        return State([dict(zip(self.cell.parts, parts, strict=True)) for parts in self._first_states(batch)])

    def forward(
        self,
        x: Tensor,
        state: State | None = None,
        *,
        lengths: Lengths | None = None,
        embedding: Tensor | None = None,
        trace: bool = False,
    ) -> Any:
        weight: Tensor = self.weight_ih_l0  # type: ignore[assignment]
        x = autocast_to(weight, x)
        embedding = None if embedding is None else autocast_to(weight, embedding)
        self._check(x, embedding)
        states = None
        if state is not None:
            states = [self._checked_state(state, index, batch=x.shape[1]) for index in range(len(self._suffixes))]
        with without_autocast(weight):
            traces: list[dict[str, Tensor]] | None = [] if trace else None
            y, finals = self._unroll(x, states, lengths=lengths, embedding=embedding, traces=traces)
        model = None if state is None else state.model
        after = State([dict(zip(self.cell.parts, parts, strict=True)) for parts in finals], model=model)
        return (y, after, traces) if trace else (y, after)

    def _check(self, x: Tensor, embedding: Tensor | None) -> None:
        weight: Tensor = self.weight_ih_l0  # type: ignore[assignment]
        if x.is_floating_point():
            if embedding is not None:
                raise DtypeError("embedding= goes with integer ids [T, B]; x is already a floating point input")
            if x.dim() != 3 or x.shape[2] != self.input_size:
                raise LayerShapeError(f"x has shape {list(x.shape)}, wanted [T, B, {self.input_size}]")
            if x.dtype != weight.dtype:
                raise DtypeError(f"x is {x.dtype}, the weights are {weight.dtype}; use x.to({weight.dtype})")
        else:
            if x.dtype not in (torch.int64, torch.int32):
                raise DtypeError(f"x is {x.dtype}; pass ids as int64 or int32, or a floating point input")
            if x.dim() != 2:
                raise LayerShapeError(f"ids have shape {list(x.shape)}, wanted [T, B]")
            if embedding is not None and (embedding.dim() != 2 or embedding.shape[1] != self.input_size):
                raise ShapeError(f"embedding has shape {list(embedding.shape)}, wanted [V, {self.input_size}]")
            if embedding is not None and embedding.dtype != weight.dtype:
                raise DtypeError(
                    f"embedding is {embedding.dtype}, the weights are {weight.dtype}; use embedding.to({weight.dtype})"
                )

    def _checked_state(self, state: State, index: int, *, batch: int) -> tuple[Tensor, ...]:
        if len(state.layers) != len(self._suffixes):
            raise StateError(
                f"the state has {len(state.layers)} layers and directions, this layer {len(self._suffixes)}; "
                "start from layer.initial_state(batch)"
            )
        parts: dict[str, Any] = dict(state.layers[index])
        weight: Tensor = self.weight_ih_l0  # type: ignore[assignment]
        if tuple(parts) != self.cell.parts:
            raise StateError(f"the state has parts {tuple(parts)}, cell {self.cell.name} has {self.cell.parts}")
        width = self.hidden_sizes[index // self.num_directions]
        sizes = self.cell.part_sizes(hidden_size=width, proj_size=self.proj_size)
        for (name, part), size in zip(parts.items(), sizes, strict=True):
            parts[name] = autocast_to(weight, part)
            where = f"the state's layer {index}.{name}"
            check_state_part(where, parts[name], shape=(batch, size), like=weight)
        return tuple(parts[name] for name in self.cell.parts)


def _flatten(state: State) -> tuple[list[Any], Any]:
    names = tuple(tuple(parts) for parts in state.layers)
    return [array for parts in state.layers for array in parts.values()], (names, state.model)


def _unflatten(leaves: Any, context: Any) -> State:
    names, model = context
    leaves, state = iter(leaves), State.__new__(State)  # leaves may be anything: specs, shapes, None
    object.__setattr__(state, "layers", tuple({name: next(leaves) for name in parts} for parts in names))
    object.__setattr__(state, "model", model)
    return state


def _flatten_with_names(state: State) -> tuple[list[Any], Any]:
    leaves, (names, model) = _flatten(state)
    keys = [_pytree.MappingKey(f"{index}.{name}") for index, parts in enumerate(names) for name in parts]
    return list(zip(keys, leaves, strict=True)), (names, model)


_pytree.register_pytree_node(
    State,
    _flatten,
    _unflatten,
    serialized_type_name="rnnkit.State",
    flatten_with_keys_fn=_flatten_with_names,
)
