"""register_cell: a cell of your own under its name, for layers, training and all that a trained run is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rnnkit.bundle import schema
from rnnkit.errors import ConfigError, MissingExtraError
from rnnkit.runtime import stack

if TYPE_CHECKING:
    from rnnkit.nn.spec import CellSpec


def register_cell(cell: CellSpec) -> CellSpec:
    """Make a cell of your own known by its name, in this process: `cell="mine"` then works wherever a cell is named.

    Layers, models and `LanguageModel.train` compute it by its equations in torch: slow, and without the exactness
    promises (`SpecBackendWarning` says so once). A run trained with it loads after the same call; without torch, in
    ONNX files and in bf16 there is no such cell. CONTRIBUTING.md says what makes it native.

    Args:    cell: the equations of one step; see `rnnkit.nn.spec.CellSpec`.
    Returns: `cell`.
    Raises:  ConfigError for a name that another cell has, or for a cell whose h has a width of its own;
             MissingExtraError without torch.
    """
    try:
        from rnnkit.nn import spec
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingExtraError("a cell of your own is computed by torch", extra="train") from error

    if spec.CELLS.get(cell.name, cell) is not cell:
        raise ConfigError(f"there is a cell {cell.name!r} already; give yours another name")
    if cell.is_projected:
        raise ConfigError(f"cell {cell.name!r} has weight_hr: pass the cell itself to Recurrent(cell, proj_size=)")
    spec.CELLS[cell.name] = cell
    schema.CELLS[cell.name] = schema.Cell(len(cell.gates), cell.parts, dict(cell.parameters))
    schema.GATES[cell.name] = len(cell.gates)
    stack.LAYERS[cell.name] = _Layer
    return cell


class _Layer:
    """What `rnnkit.kernels.recurrent.Layer` is to the run half, by the equations in torch."""

    def __init__(self, cell: str, *, precision: str = "fp32", zoneout: Any = None, **weights: Any) -> None:
        import torch

        from rnnkit.nn import spec

        if precision != "fp32":
            raise ConfigError(f"precision={precision!r}: cell {cell!r} is not native and has fp32 only; use fp32")
        if zoneout is not None and any(zoneout):
            raise ConfigError(f"zoneout={zoneout}: cell {cell!r} is not native, and its runs have none; leave it out")
        self._cell = spec.CELLS[cell]
        given = {name: weight for name, weight in weights.items() if weight is not None}
        self._weights = {name: torch.from_numpy(np.array(weight)) for name, weight in given.items()}
        self.part_sizes = (len(given["weight_ih"]) // len(self._cell.gates),) * len(self._cell.parts)

    def forward(self, x: np.ndarray, state: Any = None, *, lengths: Any = None) -> stack.Unrolled:
        import torch

        from rnnkit.nn import spec

        before = None if state is None else [torch.from_numpy(np.array(part)) for part in state]
        ends = None if lengths is None else torch.from_numpy(np.array(lengths, np.int64))
        with torch.no_grad():
            y, after = spec.unroll(
                self._cell, torch.from_numpy(np.array(x)), weights=self._weights, state=before, lengths=ends
            )
        return stack.Unrolled(y.numpy(), tuple(part.numpy() for part in after), None)

    def step(self, x: np.ndarray, state: Any = None) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        after = self.forward(x[None], state)
        return after.output[0], after.state
