"""Look inside a trained model: what its gates do, how far its gradient reaches, what its units hold."""

from rnnkit.explain.cells import CellFlow, compare_cells
from rnnkit.explain.gradients import GradientFlow, LayerFlow, Pairs, gradient_flow, pair_contributions
from rnnkit.explain.trace import Trace, trace
from rnnkit.explain.worked import Block, Row, Worked, worked

__all__ = [
    "Block",
    "CellFlow",
    "GradientFlow",
    "LayerFlow",
    "Pairs",
    "Row",
    "Trace",
    "Worked",
    "compare_cells",
    "gradient_flow",
    "pair_contributions",
    "trace",
    "worked",
]
