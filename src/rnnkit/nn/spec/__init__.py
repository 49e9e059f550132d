"""The equations of every cell, in plain torch; adding a cell is one file here and one line in `CELLS`."""

from rnnkit.nn.spec.cell import CellSpec, layer_normed, recurrent, squashed
from rnnkit.nn.spec.elman import ELMAN_RELU, ELMAN_TANH
from rnnkit.nn.spec.gru import GRU_AFTER, GRU_BEFORE
from rnnkit.nn.spec.lstm import LSTM
from rnnkit.nn.spec.lstm_coupled import LSTM_COUPLED
from rnnkit.nn.spec.lstm_peephole import LSTM_PEEPHOLE
from rnnkit.nn.spec.lstm_projected import LSTM_PROJECTED
from rnnkit.nn.spec.minimal import MIN_GRU, MIN_LSTM
from rnnkit.nn.spec.unroll import unroll

CELLS: dict[str, CellSpec] = {
    cell.name: cell
    for cell in (
        ELMAN_TANH,
        ELMAN_RELU,
        LSTM,
        LSTM_PEEPHOLE,
        LSTM_COUPLED,
        GRU_BEFORE,
        GRU_AFTER,
        MIN_GRU,
        MIN_LSTM,
    )
}

# What a cell becomes with a proj_size, without which it cannot be: so it is not among CELLS.
PROJECTED: dict[str, CellSpec] = {"lstm": LSTM_PROJECTED}

__all__ = ["CELLS", "PROJECTED", "CellSpec", "layer_normed", "recurrent", "squashed", "unroll"]
