"""The equations of every cell, in plain torch; adding a cell is one file here and one line in `CELLS`."""

from rnnkit.nn.spec.cell import CellSpec, recurrent
from rnnkit.nn.spec.elman import ELMAN_RELU, ELMAN_TANH
from rnnkit.nn.spec.gru import GRU_AFTER, GRU_BEFORE
from rnnkit.nn.spec.lstm import LSTM
from rnnkit.nn.spec.unroll import unroll

CELLS: dict[str, CellSpec] = {
    cell.name: cell
    for cell in (
        ELMAN_TANH,
        ELMAN_RELU,
        LSTM,
        GRU_BEFORE,
        GRU_AFTER,
    )
}

__all__ = ["CELLS", "CellSpec", "recurrent", "unroll"]
