"""Parity: run a layer on one backend and compare every output and gradient, by name, with a loop written on its own.

The reference shares no line with `rnnkit`: one row, one step, one gate at a time, float64. The cases together have what
it takes to find a bug: distinct random weights, non-zero h0 ≠ c0, random upstream gradients (on all, on the output, on
each final state, on the last step only), ragged lengths, awkward layouts, NaN in padding and in freed memory.

One file of over 400 lines, because cases, reference and verdict must be read side by side to be trusted.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnnkit import kernels, nn
from rnnkit.nn import dropout, spec
from rnnkit.state import State

GATES = {name: cell.gates for name, cell in spec.CELLS.items()}
PARTS = {name: cell.parts for name, cell in spec.CELLS.items()}
TORCH = ("elman_tanh", "elman_relu", "lstm", "gru_after")
DOORS = (*TORCH, "gru_before")  # those that RNN, LSTM, GRU and their cells lead to
# numerics.md, relative L2: outputs and states, dx and initial states, weights and biases
TOLERANCES = {torch.float64: (1e-12, 1e-11, 1e-11), torch.float32: (1e-6, 2e-6, 5e-6)}
FLOAT32_FLOOR = 5e-7  # root of a sum of squares over a case, below which "twice torch's own error" compares noise


@dataclass(frozen=True)
class Case:
    """One shape and everything that may go wrong with it."""

    cell: str
    T: int = 7
    B: int = 3
    I: int = 5
    H: int = 9
    num_layers: int = 1
    bidirectional: bool = False
    bias: bool = True
    lengths: tuple[int, ...] | None = None
    layout: str = "plain"  # or "strided", "expanded", "offset"
    ids: bool = False  # integer ids [T, B] instead of [T, B, I]
    vocabulary: int = 0  # with ids: rows of an embedding table; 0 means one-hot
    initial: bool = True  # an initial state is given
    widths: tuple[int, ...] = ()  # of each layer; empty: H
    residual: bool = False
    trainable_state: bool = False  # acts where no initial state is given
    dropout: float = 0.0  # in eval mode: must change nothing
    zoneout: float = 0.0
    recurrent_dropout: float = 0.0
    layer_norm: bool = False
    training: bool = False  # the masks of the two above are drawn, from one seed on both sides
    through: str = "recurrent"  # or "layer", "batch_first", "packed", "cells"

    def __str__(self) -> str:
        default = Case(self.cell)
        shown = {k: v for k, v in vars(self).items() if v != getattr(default, k) and k != "cell"}
        return " ".join([self.cell, *(f"{k}={v}" for k, v in shown.items())])

    @property
    def num_directions(self) -> int:
        return 1 + self.bidirectional

    def width(self, layer: int) -> int:
        return self.widths[layer] if self.widths else self.H

    @property
    def upstreams(self) -> tuple[str, ...]:
        return ("all", "output", *PARTS[self.cell], "last_step", "sum")


# ---- values ----------------------------------------------------------------------------------------------------------


SCALES = {"bias_ih": 0.5, "bias_hh": 0.3, "weight_peephole": 0.1, "bias_norm_c": 0.3}  # of the others: by width


def spec_of(case: Case) -> spec.CellSpec:
    cell = spec.CELLS[case.cell]
    return spec.layer_normed(cell) if case.layer_norm else cell


def _remember(cell: spec.CellSpec, drawn: dict[str, Tensor], H: int) -> None:
    keeps = {"f": 4.0, "z": 4.0} if {"f", "z"} & set(cell.gates) else {"i": -4.0}
    for gate, bias in keeps.items():
        if gate in cell.gates and "bias_ih" in drawn:
            at = cell.gates.index(gate) * H
            drawn["bias_ih"][at : at + H] += bias
    if len(cell.gates) == 1:
        drawn["weight_hh"] = torch.linalg.qr(drawn["weight_hh"])[0].contiguous()
        for kind in drawn.keys() - {"weight_hh"}:
            drawn[kind] *= 0.1


@functools.cache
def leaves(case: Case) -> dict[str, Tensor]:
    """The case's random float32 values by name: input, table, initial states, parameters and upstream gradients."""
    rng = np.random.default_rng(zlib.crc32(str(case).encode()))  # new fields change no old case
    T, B, D = case.T, case.B, case.num_directions
    cell = spec_of(case)

    def normal(*shape: int, scale: float = 1.0) -> Tensor:
        return torch.from_numpy((rng.standard_normal(shape) * scale).astype(np.float32))

    x_shape = {"plain": (T, B), "strided": (2 * T, B), "expanded": (1, B), "offset": (T + 1, B + 2)}[case.layout]
    values: dict[str, Tensor] = {}
    if case.ids:
        values["ids"] = torch.from_numpy(rng.integers(0, case.vocabulary or case.I, x_shape))
        if case.vocabulary:
            values["table"] = normal(case.vocabulary, case.I)
    else:
        values["x"] = normal(*x_shape, case.I + (2 if case.layout == "offset" else 0))
    for layer in range(case.num_layers):
        H = case.width(layer)
        h_shape = {"plain": (B, H), "strided": (B, 2 * H), "expanded": (1, H), "offset": (B + 1, H + 3)}[case.layout]
        for end in ("", "_reverse")[:D]:
            width = case.I if layer == 0 else D * case.width(layer - 1)
            name = f"_l{layer}{end}"
            drawn = {
                kind: normal(*shape, scale=SCALES.get(kind) or shape[-1] ** -0.5)
                for kind, shape in cell.shapes(input_size=width, hidden_size=H, bias=case.bias).items()
            }
            for kind in drawn:
                if kind.startswith("weight_norm"):  # calm gains: a network whose norm restores every scale is chaotic
                    drawn[kind] = normal(*drawn[kind].shape, scale=0.2) + 0.6
            if case.T > 100:  # a long case needs a long memory, or its gradients vanish and show nothing
                _remember(cell, drawn, H)
            values |= {kind + name: value for kind, value in drawn.items()}
            for part in PARTS[case.cell]:
                if case.initial:
                    values[f"{part}0" + name] = normal(*h_shape, scale=0.7)
                if case.trainable_state:
                    values[f"initial_{part}" + name] = normal(H, scale=0.7)
    values["d_output"] = normal(B, T, D * case.width(-1))  # row-major: the upstream gradient arrives transposed
    for part in PARTS[case.cell]:
        values[f"d_{part}"] = normal(case.num_layers * D, B, max(case.widths, default=case.H))
    return values


def view_x(case: Case, x: Tensor) -> Tensor:
    if case.layout == "strided":
        return x[::2]
    if case.layout == "expanded":
        return x.expand(case.T, *x.shape[1:])
    if case.layout == "offset":
        x = x[1:, 1 : 1 + case.B]
        return x[..., 2:] if x.dim() == 3 else x
    return x


def view_state(case: Case, part: Tensor) -> Tensor:
    if case.layout == "strided":
        return part[:, ::2]
    if case.layout == "expanded":
        return part.expand(case.B, -1)
    if case.layout == "offset":
        return part[1:, 3:]
    return part


def state_leaves(case: Case, values: dict[str, Tensor]) -> list[tuple[Tensor, ...]] | None:
    """The viewed initial states, one tuple per layer and direction."""
    if not case.initial:
        return None
    names = [f"_l{layer}{end}" for layer in range(case.num_layers) for end in ("", "_reverse")[: case.num_directions]]
    return [tuple(view_state(case, values[f"{part}0" + name]) for part in PARTS[case.cell]) for name in names]


def loss(case: Case, upstream: str, y: Tensor, finals: list[tuple[Tensor, ...]], values: dict[str, Tensor]) -> Tensor:
    """The scalar whose gradient sends the case's random values up through output and final states."""
    total = y.new_zeros(())
    if upstream in ("all", "output"):
        total = total + (y.transpose(0, 1) * values["d_output"]).sum()
    if upstream == "last_step" and case.T:
        total = total + (y[-1] * values["d_output"][:, -1]).sum()
    if upstream == "sum":
        total = total + y.sum()  # arrives expanded
    for position, part in enumerate(PARTS[case.cell]):
        if upstream in ("all", part):
            for index, parts in enumerate(finals):
                upstream_part = values[f"d_{part}"][index, :, : parts[position].shape[1]]
                total = total + (parts[position] * upstream_part).sum()
    return total


# ---- the reference ---------------------------------------------------------------------------------------------------


def cell_step(cell: str, x: Tensor, state: tuple[Tensor, ...], p: dict[str, Tensor]) -> tuple[Tensor, ...]:
    """One step of one row; `p` holds the cell's parameters by name, biases of zero where the layer has none."""
    h, size = state[0], state[-1].shape[0]

    def block(name: str, number: int) -> Tensor:
        return p[name][number * size : (number + 1) * size]

    def product(kind: str, first: int, last: int, v: Tensor) -> Tensor:
        rows = slice(first * size, last * size)
        return normed(p[f"weight_{kind}"][rows] @ v, p[f"weight_norm_{kind}"][rows])

    def given(gate: int) -> Tensor:
        if "weight_norm_ih" in p:
            return product("ih", 0, len(GATES[cell]), x).split(size)[gate] + block("bias_ih", gate)
        return block("weight_ih", gate) @ x + block("bias_ih", gate)

    def kept(gate: int, h: Tensor = h) -> Tensor:
        h = h * p.get("mask", 1)
        if "weight_norm_hh" in p:
            first, last = (0, len(GATES[cell])) if cell != "gru_before" else (0, 2) if gate < 2 else (2, 3)
            return product("hh", first, last, h).split(size)[gate - first] + block("bias_hh", gate)
        return block("weight_hh", gate) @ h + block("bias_hh", gate)

    def shown(memory: Tensor) -> Tensor:
        return torch.tanh(normed(memory, p["weight_norm_c"]) + p["bias_norm_c"] if "weight_norm_c" in p else memory)

    def pre(gate: int) -> Tensor:
        return given(gate) + kept(gate)

    if cell == "elman_tanh":
        return (torch.tanh(pre(0)),)
    if cell == "elman_relu":
        return (torch.clamp(pre(0), min=0),)
    if cell == "lstm":
        memory = torch.sigmoid(pre(1)) * state[1] + torch.sigmoid(pre(0)) * torch.tanh(pre(2))
        return torch.sigmoid(pre(3)) * shown(memory), memory
    if cell in ("gru_before", "gru_after"):
        r, z = torch.sigmoid(pre(0)), torch.sigmoid(pre(1))
        candidate = torch.tanh(given(2) + (kept(2, r * h) if cell == "gru_before" else r * kept(2)))
        return (candidate - z * candidate + z * h,)
    if cell == "lstm_peephole":
        i, f = (torch.sigmoid(pre(gate) + block("weight_peephole", gate) * state[1]) for gate in (0, 1))
        memory = f * state[1] + i * torch.tanh(pre(2))
        return torch.sigmoid(pre(3) + block("weight_peephole", 2) * memory) * shown(memory), memory
    if cell == "lstm_coupled":
        write = torch.sigmoid(pre(0))
        memory = state[1] - write * state[1] + write * torch.tanh(pre(1))
        return torch.sigmoid(pre(2)) * shown(memory), memory
    if cell == "min_gru":
        write = 1 - torch.sigmoid(given(0))
        return (h + write * (given(1) - h),)
    if cell == "min_lstm":
        i, f = torch.sigmoid(given(0)), torch.sigmoid(given(1))
        return ((f * h + i * given(2)) / (f + i),)
    raise NotImplementedError(f"write one step of {cell} out here: the suite holds the layers to it")


def normed(v: Tensor, gain: Tensor) -> Tensor:
    centred = v - v.mean()
    return gain * centred / (centred.square().mean() + 1e-5).sqrt()


def reference_run(case: Case, values: dict[str, Tensor]) -> tuple[Tensor, list[tuple[Tensor, ...]]]:
    """Outputs [T, B, D*H] and final states of all layers, in the dtype of `values`."""
    dtype = values["weight_ih_l0"].dtype
    if case.ids:
        table = values["table"] if case.vocabulary else torch.eye(case.I, dtype=dtype)
        x = table[view_x(case, values["ids"])]
    else:
        x = view_x(case, values["x"])
    given = state_leaves(case, values)
    lengths = case.lengths or (case.T,) * case.B
    finals: list[tuple[Tensor, ...]] = []
    torch.manual_seed(SEED)
    for layer in range(case.num_layers):
        directions, below, H = [], x, case.width(layer)
        for end in ("", "_reverse")[: case.num_directions]:
            name, none = f"_l{layer}{end}", torch.zeros(H, dtype=dtype)
            kinds = spec_of(case).parameters
            no_bias = none.new_zeros(len(GATES[case.cell]) * H)
            p = {kind: values.get(kind + name, none if kind == "bias_norm_c" else no_bias) for kind in kinds}
            kept, mask = masks(case, H, dtype)
            rows, ends = [], []
            for row in range(case.B):
                p["mask"] = mask[row]
                state = tuple(none for _ in PARTS[case.cell])
                if given is not None:
                    state = tuple(part[row] for part in given[len(finals)])
                elif case.trainable_state:
                    state = tuple(values[f"initial_{part}" + name] for part in PARTS[case.cell])
                steps = range(lengths[row])
                outputs = [none] * case.T
                for t in reversed(steps) if end else steps:
                    new = cell_step(case.cell, x[t, row], state, p)
                    state = tuple(
                        z[t, row] * old + (1 - z[t, row]) * n for z, old, n in zip(kept, state, new, strict=True)
                    )
                    outputs[t] = state[0]
                rows.append(torch.stack(outputs) if case.T else none.new_zeros(0, H))
                ends.append(state)
            directions.append(torch.stack(rows, dim=1))
            finals.append(tuple(torch.stack([row[n] for row in ends]) for n in range(len(PARTS[case.cell]))))
        x = torch.cat(directions, dim=-1)
        if case.residual and layer:
            running = torch.arange(case.T)[:, None] < torch.tensor(lengths)
            x = torch.where(running[..., None], below + x, 0)
    return x, finals


SEED = 17


def masks(case: Case, H: int, dtype: torch.dtype) -> tuple[list[Tensor], Tensor]:
    """What zoneout keeps of every part [T, B, H], and what multiplies the h of the products [B, H]."""
    like, shape, parts = torch.zeros(1, dtype=dtype), (case.T, case.B, H), PARTS[case.cell]
    kept = [torch.full(shape, case.zoneout, dtype=dtype) for _ in parts]
    if case.training and case.zoneout:
        kept = [dropout.drop_mask(case.zoneout, *shape, like=like).to(dtype) for _ in parts]
    if not case.training:
        return kept, torch.ones(shape[1:], dtype=dtype)
    return kept, dropout.keep_mask(case.recurrent_dropout, *shape[1:], like=like)


Results = dict[str, dict[str, Tensor]]


def collect(case: Case, run: Callable[..., Any], dtype: torch.dtype, *, once: bool) -> Results:
    """What `run(case, values)` gives for every upstream gradient: outputs, states and gradients by name, detached.

    once: the graph survives several backwards, so one forward is enough.
    """
    got: Results = {}
    base = leaves(case)
    forward = None
    for upstream in case.upstreams:
        if forward is None or not once:
            values = {n: v if n == "ids" else v.to(dtype).clone() for n, v in base.items()}
            wanted = {n: v for n, v in values.items() if n != "ids" and not n.startswith("d_")}
            for value in wanted.values():
                value.requires_grad_()
            before = {n: v.detach().clone() for n, v in values.items()}
            forward = run(case, values)
        y, finals, named = (*forward, wanted)[:3] if len(forward) == 2 else forward
        total = loss(case, upstream, y, finals, values)
        targets = {n: named.get(n, v) for n, v in wanted.items()}
        if total.requires_grad:
            gradients = torch.autograd.grad(total, list(targets.values()), retain_graph=once, allow_unused=True)
        else:
            gradients = [None] * len(targets)
        result = {
            f"d {n}": torch.zeros_like(t) if g is None else g
            for (n, t), g in zip(targets.items(), gradients, strict=True)
        }
        if upstream == "all":
            result["output"] = y.detach()
            for index, parts in enumerate(finals):
                result |= {f"{p}_n[{index}]": v.detach() for p, v in zip(PARTS[case.cell], parts, strict=True)}
        for name, value in values.items():
            assert torch.equal(value.detach(), before[name]), f"{case}: input {name} was changed"
        got[upstream] = result
    return got


@functools.cache
def reference(case: Case) -> Results:
    """The results of the loop above in float64."""
    return collect(case, reference_run, torch.float64, once=True)


# ---- torch's own error -----------------------------------------------------------------------------------------------


def torch_run(case: Case, values: dict[str, Tensor]) -> tuple[Tensor, list[tuple[Tensor, ...]], dict[str, Tensor]]:
    """The same through torch.nn, where it has the cell; lengths by PackedSequence."""
    kind = {"lstm": "LSTM", "gru_after": "GRU"}.get(case.cell, "RNN")
    extra = {"nonlinearity": case.cell.removeprefix("elman_")} if kind == "RNN" else {}
    layer = getattr(torch.nn, kind)(
        case.I, case.H, case.num_layers, bias=case.bias, bidirectional=case.bidirectional, **extra
    ).to(values["weight_ih_l0"].dtype)
    layer.load_state_dict({n: values[n].detach() for n, _ in layer.named_parameters()})
    if case.ids:
        table = values["table"] if case.vocabulary else torch.eye(case.I)
        x = table[view_x(case, values["ids"])]
    else:
        x = view_x(case, values["x"])
    given = state_leaves(case, values)
    hx: Any = None
    if given is not None:
        stacked = tuple(torch.stack([parts[n] for parts in given]) for n in range(len(PARTS[case.cell])))
        hx = stacked if kind == "LSTM" else stacked[0]
    if case.lengths:
        packed = pack_padded_sequence(x, torch.tensor(case.lengths), enforce_sorted=False)
        y, final = layer(packed, hx)
        y, _ = pad_packed_sequence(y, total_length=case.T)
    else:
        y, final = layer(x, hx)
    final = final if kind == "LSTM" else (final,)
    return y, [tuple(part[n] for part in final) for n in range(len(final[0]))], dict(layer.named_parameters())


@functools.cache
def torch_errors(case: Case) -> dict[str, dict[str, float]]:
    """torch's float32 error on this case, the worst of several draws of its roundings; where torch has no such cell or
    length, the loop's in float32."""
    impossible = case.cell not in TORCH or case.T == 0 or 0 in (case.lengths or ())
    impossible = impossible or bool(case.widths) or case.residual or case.trainable_state
    impossible = impossible or case.zoneout > 0 or case.training or case.layer_norm
    run = reference_run if impossible else torch_run
    runs = [run]
    if case.layer_norm:  # what a norm makes of one rounding spreads widely
        runs += [nudged(run, seed) for seed in range(12)]
    elif run is torch_run:
        runs += [nudged(run, seed) for seed in range(4)]
    elif case.T > 100:  # the loop is slow; where errors do not grow, one will do
        runs += [nudged(run, seed) for seed in range(2)]
    draws = [collect(case, run, torch.float32, once=True) for run in runs]

    def worst(upstream: str, name: str, want: Tensor) -> float:
        return max(relative_error(got[upstream][name], want, least=vanished(case, name)) for got in draws)

    return {u: {n: worst(u, n, want) for n, want in tensors.items()} for u, tensors in reference(case).items()}


def nudged(run: Callable[..., Any], seed: int) -> Callable[..., Any]:
    """`run` on values moved by up to half a unit in the last place: what becomes of one rounding is chance, and another
    on each processor."""

    def again(case: Case, values: dict[str, Tensor]) -> Any:
        rng = torch.Generator().manual_seed(seed)
        near = {
            n: v * (1 + 2**-24 * (2 * torch.rand(v.shape, generator=rng) - 1)) if v.is_floating_point() else v
            for n, v in values.items()
        }
        return run(case, near)

    return again


# ---- ours ------------------------------------------------------------------------------------------------------------


def poison(case: Case) -> None:
    """Leave NaN in the memory that the next buffers of this case's sizes are likely to get."""
    sizes = [case.T * case.B * case.H * g for g in (1, 3, 4)] + [case.B * case.H, case.H * case.H * 4]
    blocks = [np.full(size, np.nan, dtype=np.float32) for size in sizes for _ in range(3)]
    del blocks


def rnnkit_run(
    case: Case, values: dict[str, Tensor], *, backend: str
) -> tuple[Tensor, list[tuple[Tensor, ...]], dict[str, Tensor]]:
    """The same through `rnnkit.nn`, by the door that the case names."""
    dtype = values["weight_ih_l0"].dtype
    layer = make_layer(case, backend=backend, dtype=dtype)
    named = dict(layer.named_parameters())
    if case.ids:
        x = view_x(case, values["ids"])
        padding: float = -1
    else:
        x = view_x(case, values["x"])
        padding = float("nan")
    if case.lengths:
        beyond = torch.arange(case.T)[:, None] >= torch.tensor(case.lengths)
        x = x.masked_fill(beyond if case.ids else beyond[..., None], padding)
    given = state_leaves(case, values)
    poison(case)
    if case.through == "recurrent":
        names = PARTS[case.cell]
        state = None if given is None else State([dict(zip(names, parts, strict=True)) for parts in given])
        table = values.get("table")
        torch.manual_seed(SEED)
        y, final = layer(x, state, lengths=case.lengths, embedding=table)
        return y, [tuple(parts.values()) for parts in final.layers], named
    if case.through == "cells":
        named = {f"{n}_l0": p for n, p in named.items()}
        parts = None if given is None else given[0]
        outputs = []
        for t in range(case.T):
            parts = layer(x[t], parts if case.cell == "lstm" or parts is None else parts[0])
            parts = parts if case.cell == "lstm" else (parts,)
            outputs.append(parts[0])
        return torch.stack(outputs), [parts], named
    hx: Any = None
    if given is not None:
        stacked = tuple(torch.stack([parts[n] for parts in given]) for n in range(len(PARTS[case.cell])))
        hx = stacked if case.cell == "lstm" else stacked[0]
    if case.through == "packed":
        lengths = torch.tensor(case.lengths)
        y, final = layer(pack_padded_sequence(x, lengths, enforce_sorted=False), hx)
        y, _ = pad_packed_sequence(y, total_length=case.T)
    elif case.through == "batch_first":
        y, final = layer(x.transpose(0, 1), hx, lengths=case.lengths)
        y = y.transpose(0, 1)
    else:
        y, final = layer(x, hx, lengths=case.lengths)
    final = final if case.cell == "lstm" else (final,)
    return y, [tuple(part[n] for part in final) for n in range(len(final[0]))], named


def make_layer(case: Case, *, backend: str, dtype: torch.dtype) -> Any:
    """The layer of this case with the case's parameters."""
    given: dict[str, Any] = {"bias": case.bias, "backend": backend, "dtype": dtype}
    kind = {"lstm": "LSTM", "gru_after": "GRU", "gru_before": "GRU"}.get(case.cell, "RNN")
    extra: dict[str, Any] = {}
    if kind == "RNN":
        extra["nonlinearity"] = case.cell.removeprefix("elman_")
    if kind == "GRU":
        extra["reset"] = case.cell.removeprefix("gru_")
    if case.through == "cells":
        layer = getattr(nn, kind + "Cell")(case.I, case.H, **given, **extra)
    else:
        given |= {"num_layers": case.num_layers, "bidirectional": case.bidirectional, "dropout": case.dropout}
        if case.through == "recurrent":
            given |= {"residual": case.residual, "trainable_state": case.trainable_state}
            given |= {"zoneout": case.zoneout, "recurrent_dropout": case.recurrent_dropout}
            given["layer_norm"] = case.layer_norm
            layer = nn.Recurrent(case.cell, case.I, case.widths or case.H, **given)
        else:
            given |= {"trainable_state": case.trainable_state, "layer_norm": case.layer_norm}
            layer = getattr(nn, kind)(case.I, case.H, batch_first=case.through == "batch_first", **given, **extra)
    with torch.no_grad():  # weights of before must not stay in any cache
        layer.eval()(torch.zeros((1, case.I) if case.through == "cells" else (1, 1, case.I), dtype=dtype))
    values, end = leaves(case), "_l0" if case.through == "cells" else ""
    layer.load_state_dict({n: values[n + end] for n, _ in layer.named_parameters()})
    return layer.train(case.training)


# ---- the verdict -----------------------------------------------------------------------------------------------------


def relative_error(got: Tensor, want: Tensor, *, least: float = 0.0) -> float:
    """‖got − want‖ / max(‖want‖, least) in float64; exact equality is asked for where want is all zero."""
    got, want = got.double(), want.double()
    if got.shape != want.shape or not torch.isfinite(got).all():
        return float("inf")
    if want.numel() == 0:
        return 0.0
    norm = want.norm().item()
    if norm == 0:
        return 0.0 if torch.equal(got, want) else float("inf")
    return (got - want).norm().item() / max(norm, least)


def vanished(case: Case, name: str) -> float:
    """The norm below which a gradient has vanished on its way, and its last digits mean nothing."""
    return 1e-6 * reference(case)["all"][name].norm().item()


def kind_of(name: str) -> int:
    """0: outputs and states, 1: dx and gradients of initial states, 2: gradients of weights, biases and tables."""
    return 0 if not name.startswith("d ") else 1 if name[2:] == "x" or name[3] == "0" else 2


def differences(case: Case, *, backend: str, dtype: torch.dtype) -> Iterator[str]:
    """Every output and gradient outside its tolerance, as one line; float32 also against twice torch's own error."""
    got = collect(case, functools.partial(rnnkit_run, backend=backend), dtype, once=False)
    want, where = reference(case), f"{case}, {backend} {str(dtype).removeprefix('torch.')}"
    squares, allowed = [0.0] * 3, [FLOAT32_FLOOR**2] * 3
    for upstream, tensors in want.items():
        for name, value in tensors.items():
            error, kind = relative_error(got[upstream][name], value, least=vanished(case, name)), kind_of(name)
            tolerance = TOLERANCES[dtype][kind]
            if dtype == torch.float32:
                twice = 2 * torch_errors(case)[upstream][name]
                tolerance = max(tolerance, twice)
                squares[kind] += error**2
                allowed[kind] += twice**2
            if not error <= tolerance:
                yield f"{where}, upstream {upstream}: {name} is off by {error:.2e} > {tolerance:.2e}"
    for kind, name in enumerate(("outputs and states", "dx and initial states", "weights and biases")):
        if dtype == torch.float32 and not squares[kind] <= allowed[kind]:
            times = 2 * (squares[kind] / allowed[kind]) ** 0.5
            yield f"{where}: {name} are {times:.1f} times as far off as torch's, > 2"


def check_layer(case: Case, *, backend: str, dtype: torch.dtype = torch.float32) -> None:
    """Fail, naming tensor, error and tolerance, unless this case agrees with the reference in every tensor."""
    if backend == "native" and case.cell not in kernels.CELLS:
        backend = "spec"
    if lines := list(differences(case, backend=backend, dtype=dtype)):
        raise AssertionError("\n".join(lines[:8]))


RAGGED = (7, 1, 0, 4)
CELLS = tuple(spec.CELLS)
ALL_CELLS = (*CELLS, *(cell.name for cell in spec.PROJECTED.values()))


def recurrent(cell: str, input_size: int, hidden_size: int, *args: Any, **options: Any) -> nn.Recurrent:
    """nn.Recurrent of any of ALL_CELLS: a projected one is 2 H / 3 wide."""
    for name, projected in spec.PROJECTED.items():
        if cell == projected.name:
            cell, options = name, options | {"proj_size": hidden_size * 2 // 3}
    return nn.Recurrent(cell, input_size, hidden_size, *args, **options)


def suite() -> list[Case]:
    """The cases that together find every planted bug, quickest first."""
    cases = [Case("lstm", num_layers=2, bidirectional=True, B=4, lengths=RAGGED, dropout=0.5)]
    cases += [Case(cell, B=4, lengths=RAGGED, bidirectional=True) for cell in CELLS]
    cases += [
        Case(cell, zoneout=0.3, recurrent_dropout=0.4, training=training, num_layers=2, B=4, lengths=RAGGED)
        for cell in CELLS
        if "weight_hh" in spec.CELLS[cell].parameters
        for training in (True, False)
    ]
    cases += [Case(cell, layer_norm=True, B=4, lengths=RAGGED, bidirectional=True) for cell in CELLS]
    cases += [Case("lstm", layer_norm=True, zoneout=0.3, recurrent_dropout=0.4, training=True, num_layers=2)]
    cases += [Case("gru_before", layer_norm=True, bias=False), Case("lstm", layer_norm=True, bias=False)]
    cases += [Case("lstm", layer_norm=True, ids=True, vocabulary=v, T=9, B=2) for v in (0, 6)]
    cases += [Case("lstm", layer_norm=True, trainable_state=True, initial=False, num_layers=2, through="layer")]
    cases += [Case(cell, B=3, lengths=(3, 7, 1), through="packed", num_layers=2) for cell in ("lstm", "gru_after")]
    cases += [Case(cell, through=door) for cell in DOORS for door in ("layer", "cells")]
    cases += [
        Case(cell, num_layers=3, residual=True, bidirectional=True, B=4, lengths=RAGGED, dropout=0.5) for cell in CELLS
    ]
    cases += [Case(cell, num_layers=3, widths=(9, 4, 17), B=4, lengths=RAGGED, bidirectional=True) for cell in CELLS]
    cases += [Case(cell, num_layers=2, trainable_state=True, initial=False, B=4, lengths=RAGGED) for cell in CELLS]
    cases += [
        Case("lstm", trainable_state=True, initial=i, num_layers=2, bidirectional=True, through="layer")
        for i in (True, False)
    ]
    cases += [Case("lstm", layout=layout, num_layers=2) for layout in ("strided", "expanded", "offset")]
    cases += [Case("gru_before", layout="expanded", T=7), Case("elman_tanh", layout="offset")]
    cases += [Case(cell, through="batch_first", B=4, lengths=RAGGED) for cell in ("lstm", "gru_before")]
    cases += [Case(cell, T=1, bias=False, initial=False) for cell in CELLS]
    cases += [Case(cell, T=9, B=2, ids=True, vocabulary=v) for cell in ("lstm", "gru_after") for v in (0, 6, 40)]
    cases += [
        Case("gru_before", ids=True, B=4, lengths=RAGGED, vocabulary=6),
        Case("elman_relu", ids=True, layout="strided"),
    ]
    cases += [Case("lstm", ids=True, layout="expanded"), Case("lstm", H=17, I=33, B=1)]
    cases += [
        Case(cell, T=3, B=2, I=150, H=140) for cell in ("lstm", "gru_before", "gru_after")
    ]  # several blocks of depth
    cases += [Case(cell, T=130, B=4 if cell == "lstm_peephole" else 2, I=3, H=17) for cell in CELLS]
    cases += [Case("lstm", T=130, B=3, I=3, H=5, lengths=(130, 33, 65), bidirectional=True)]
    return cases
