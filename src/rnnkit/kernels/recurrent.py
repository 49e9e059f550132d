"""One direction of one recurrent layer on the native core: forward, backward, step.

Arrays are NumPy arrays or CPU tensors, float32 whatever the precision (float64 only where `isa()` is "portable", for
tests); results are NumPy arrays. Axes: T time, B batch, I input, H hidden, G gates. Weights have torch's layouts, and
the gates torch's order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnnkit.errors import ConfigError, DtypeError, ShapeError
from rnnkit.kernels import _core

Array = NDArray[Any]
Zoneout = Sequence[Any]  # for each part of the state: a number in 0..1, a bool mask [T, B, H], or None
Precision = Literal["fp32", "fp32_split", "bf16", "int8"]
PRECISIONS = ("fp32", "fp32_split", "bf16", "auto")  # what layers and models take; without gradients also "int8"


def resolve_precision(precision: str, *, forward_only: bool = False) -> Precision:
    """What a layer computes in: "auto" is "bf16" where one instruction multiplies pairs of bfloat16, else "fp32".

    Args:   forward_only: whether no gradients are wanted: then "int8" will do.
    Raises: ConfigError for a name that is none of `PRECISIONS`.
    """
    choices = (*PRECISIONS, "int8") if forward_only else PRECISIONS
    if precision not in choices:
        reason = "has no gradients" if precision == "int8" else "does not exist"
        raise ConfigError(f"precision={precision!r} {reason}; choose one of {', '.join(choices)}")
    if precision == "auto":
        return "bf16" if _core.isa() in ("amx", "avx512bf16") else "fp32"
    return precision  # type: ignore[return-value]


class CellInfo(NamedTuple):
    """A cell's gates, in the order of torch's weights, and the parts of its state; the first part is the output.

    `parameters` holds the axes of each parameter by name, as products of G, H, I, P and numbers; `norms` those of the
    parameters that layer normalisation adds.
    """

    gates: tuple[str, ...]
    parts: tuple[str, ...]
    parameters: dict[str, tuple[str, ...]]
    norms: dict[str, tuple[str, ...]]


CELLS: dict[str, CellInfo] = {name: CellInfo(*info) for name, info in _core.cells().items()}
_NORMS = ("weight_norm_ih", "weight_norm_hh", "weight_norm_c", "bias_norm_c")


@dataclass(frozen=True)
class Unrolled:
    """What `Layer.forward` returns.

    `output` is [T, B, H], exactly 0 beyond a row's length; `state` holds one [B, H] for each part, taken at the row's
    length. The h of a projected cell is P wide, here and in all that belongs to it: output, state, masks, gradients.
    `tape` is what `Layer.backward` needs, if it was asked for. It reads `output` and x: leave both unchanged.
    `trace` holds every gate and state part by name, each [T, B, H] and 0 beyond a row's length; `h` is `output` itself.
    """

    output: Array
    state: tuple[Array, ...]
    tape: _core.Tape | None
    trace: dict[str, Array] | None = None


@dataclass(frozen=True)
class Gradients:
    """Gradients by the name of what they belong to; `x` is None for one-hot input or without `need_dx`.

    Of parameters that the layer does not have they are None.
    """

    x: Array | None
    state: tuple[Array, ...]
    weight_ih: Array
    weight_hh: Array | None
    bias_ih: Array | None
    bias_hh: Array | None
    weight_peephole: Array | None
    weight_hr: Array | None
    weight_norm_ih: Array | None
    weight_norm_hh: Array | None
    weight_norm_c: Array | None
    bias_norm_c: Array | None


class Layer:
    """A recurrent layer in one direction, with its weights packed once.

    The equations of each cell are in csrc/cells. Every element of a result is one fixed chain of operations: running a
    sequence whole, in chunks or step by step, with other batch mates, padding or number of threads changes no bit.

    Args:    cell: a key of `CELLS`.  weight_ih: [G*H, I].  weight_hh: [G*H, H].  bias_ih, bias_hh: [G*H] or None.
             weight_peephole: [3*H].  weight_hr: [P, H], P at most H; weight_hh is then [G*H, P].  A cell has those
             that `CELLS[cell].parameters` names, and takes no others.
             norms: layer normalisation (Ba et al. 2016, arXiv:1607.06450): the gains of the products W x and U h, and
             gain and bias of the memory as h sees it, all those that `CELLS[cell].norms` names (bias_norm_c may be
             left out); none: no normalisation. Statistics are float32 in every precision, of whole rows, with 1e-5
             added to the variance; a product is what is multiplied at once: of gru_before's, r and z, then n.
             No array may change while the layer is in use.
             precision: "bf16" rounds what the products multiply (inputs, h, weights, gate gradients) to bfloat16 and
             adds in float32; state, gates and every result stay float32. Ids gather columns that are not rounded.
             "fp32_split" has fp32's accuracy: where there are tiles (AMX) it multiplies the three bfloat16 that a float
             is the sum of, elsewhere it is fp32, bit for bit.
             "int8" makes integers of -127 .. 127 of them, x and h with a scale for each row (max|x| / 127), weights
             with one for each of their G*H rows; their sums are exact, the same on every instruction set. A row with
             a value that is not finite is NaN. No tape and no backward; I and H up to 131,072.
             zoneout: for each part of the state the share of the old value that stays at each step (Krueger et al.
             2017): what an evaluation does everywhere; `forward` may do otherwise.
    Raises:  ArgumentError, ShapeError, DtypeError.
    Cost:    one copy of the weights, and another one for the first backward.
    """

    def __init__(
        self,
        cell: str,
        *,
        weight_ih: Any,
        weight_hh: Any = None,
        bias_ih: Any = None,
        bias_hh: Any = None,
        weight_peephole: Any = None,
        weight_hr: Any = None,
        precision: Precision = "fp32",
        zoneout: Sequence[float] | None = None,
        **norms: Any,
    ) -> None:
        common = (_array(weight_ih), _array(weight_hh), _array(bias_ih), _array(bias_hh))
        if unknown := sorted(norms.keys() - _NORMS):
            raise TypeError(f"unexpected keyword argument {unknown[0]!r}; layer normalisation has {', '.join(_NORMS)}")
        gains = {name: _array(norm) for name, norm in norms.items() if norm is not None}
        self._core = _core.Layer(cell, *common, _array(weight_peephole), _array(weight_hr), gains, precision)
        if zoneout is not None:
            self._core.set_zoneout(tuple(zoneout))
        self.cell, self.precision = cell, precision
        self.input_size = self._core.input_size
        self.hidden_size = self._core.hidden_size
        self.output_size = self._core.output_size  # of h: P of a projected cell
        self.part_sizes = (self.output_size, *(self.hidden_size for _ in CELLS[cell].parts[1:]))

    def forward(
        self,
        x: Any,
        state: dict[str, Any] | Sequence[Any] | None = None,
        *,
        lengths: Any = None,
        reverse: bool = False,
        keep_tape: bool = False,
        recompute: bool = False,
        trace: bool = False,
        zoneout: Zoneout | None = None,
        recurrent_mask: Any = None,
    ) -> Unrolled:
        """Run the layer over time.

        Args:    x: [T, B, I], or integers [T, B] that stand for one-hot rows: columns of weight_ih are gathered,
                 which gives the bits of the dense product.  state: an array [B, H] for each part in order, or by name;
                 None is zeros.  lengths: [B] integers in 0 .. T; a row stops after its length, and its padding changes
                 nothing.  reverse: from a row's last step to its first.  keep_tape: for `backward`.
                 recompute: the tape holds no gates; backward computes them again, to the same bits.
                 trace: return every gate and state of every step.
                 zoneout: for each part of the state how much of the old value stays at each step: a number in 0..1, a
                 bool mask [T, B, H], or None for 0; left out, the layer's own.
                 recurrent_mask: [B, H], times which h enters the recurrent products.
        Raises:  ShapeError, DtypeError, ArgumentError, each naming the argument.
        Cost:    2·ΣT·G·H·(I + H) flop. With a tape, ΣT·G·H values are kept until backward or until the tape is dropped,
                 or with recompute none: backward then holds the gates of about 1300 rows, and costs a forward more.
        """
        zoneout = None if zoneout is None else tuple(z if isinstance(z, (int, float)) else _array(z) for z in zoneout)
        output, final, tape, traced = self._core.forward(
            _array(x),
            self._parts(state),
            _lengths(lengths),
            reverse,
            keep_tape,
            recompute,
            trace,
            zoneout,
            _array(recurrent_mask),
        )
        named = None
        if traced is not None:
            gates, parts = CELLS[self.cell][:2]
            named = dict(zip((*gates, *parts[1:]), traced, strict=True)) | {parts[0]: output}
        return Unrolled(output, final, tape, named)

    def backward(
        self,
        tape: _core.Tape,
        *,
        d_output: Any = None,
        d_state: dict[str, Any] | Sequence[Any] | None = None,
        need_dx: bool = True,
    ) -> Gradients:
        """Gradients of whatever gave d_output [T, B, H] and d_state ([B, H] per part); None stands for zeros.

        Raises:  ArgumentError for a tape that was used before (it holds gradients now) or comes from another layer.
        Cost:    twice forward; three times with a tape of recompute.
        """
        return Gradients(*self._core.backward(tape, _array(d_output), self._parts(d_state), need_dx))

    def step(self, x: Any, state: dict[str, Any] | Sequence[Any] | None = None) -> tuple[Array, tuple[Array, ...]]:
        """One time step: `forward` for T = 1, bit for bit.

        Args:    x: [B, I] or integers [B].  state: as in `forward`.
        Returns: (output [B, H], the new state).
        """
        if (done := self._core.step(x, state)) is None:  # not all of them NumPy arrays
            done = self._core.step(_array(x), self._parts(state))
            assert done is not None
        return done

    def _parts(self, state: dict[str, Any] | Sequence[Any] | None) -> tuple[Array | None, ...] | None:
        if state is None:
            return None
        names = CELLS[self.cell].parts
        if isinstance(state, dict):
            if unknown := sorted(set(state) - set(names)):
                raise ShapeError(f"state has parts {unknown}, the {self.cell} cell has {list(names)}; drop the others")
            return tuple(_array(state.get(name)) for name in names)
        if not isinstance(state, (tuple, list)):
            raise DtypeError(f"state is a {type(state).__name__}, want a tuple of {len(names)} arrays [B, H]")
        return tuple(_array(part) for part in state)


def _array(value: Any) -> Array | None:
    """What the core checks and reads: a tensor without its autograd history, as a NumPy array."""
    if value is None or isinstance(value, np.ndarray):
        return value
    if hasattr(value, "detach"):
        value = value.detach()
        if value.device.type != "cpu":
            raise DtypeError(f"a tensor on {value.device} reached the native core; move it to the CPU first (.cpu())")
        return value.numpy()
    return np.asarray(value)


def _lengths(value: Any) -> Array | None:
    """Lengths as an array; NumPy makes an empty sequence float64."""
    lengths = _array(value)
    return lengths.astype(np.int64) if lengths is not None and lengths.size == 0 else lengths
