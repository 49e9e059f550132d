"""The native core seen from Python: arrays in, arrays out."""

from rnnkit.kernels.threads import (
    get_num_threads,
    isa,
    set_num_threads,
)  # first: it refuses a RNNKIT_ISA it cannot obey

from rnnkit.kernels.recurrent import CELLS, CellInfo, Gradients, Layer, Unrolled  # isort: skip

__all__ = ["CELLS", "CellInfo", "Gradients", "Layer", "Unrolled", "get_num_threads", "isa", "set_num_threads"]
