"""Look inside a trained model: what its gates do, how far its gradient reaches, what its units hold."""

from rnnkit.explain.cells import CellFlow, compare_cells
from rnnkit.explain.gradients import GradientFlow, LayerFlow, Pairs, gradient_flow, pair_contributions
from rnnkit.explain.trace import Trace, trace

__all__ = [
    "CellFlow",
    "GradientFlow",
    "LayerFlow",
    "Pairs",
    "Trace",
    "compare_cells",
    "gradient_flow",
    "pair_contributions",
    "trace",
]
