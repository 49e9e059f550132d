"""Look inside a trained model: what its gates do, how far its gradient reaches, which automaton it behaves like.

Every name is loaded on first use: extracting an automaton needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnnkit.explain.attribution import Saliency, saliency
    from rnnkit.explain.by_hand import Block, Row, Worked, worked
    from rnnkit.explain.cells import CellFlow, compare_cells
    from rnnkit.explain.extraction import Extraction, extract, judge_of
    from rnnkit.explain.gradients import GradientFlow, LayerFlow, Pairs, gradient_flow, pair_contributions
    from rnnkit.explain.state_space import Dynamics, FixedPoint, dynamics
    from rnnkit.explain.tracing import Trace, trace

_HOMES = {
    "Block": "by_hand",
    "CellFlow": "cells",
    "Dynamics": "state_space",
    "Extraction": "extraction",
    "FixedPoint": "state_space",
    "GradientFlow": "gradients",
    "LayerFlow": "gradients",
    "Pairs": "gradients",
    "Row": "by_hand",
    "Saliency": "attribution",
    "Trace": "tracing",
    "Worked": "by_hand",
    "compare_cells": "cells",
    "dynamics": "state_space",
    "extract": "extraction",
    "gradient_flow": "gradients",
    "judge_of": "extraction",
    "pair_contributions": "gradients",
    "saliency": "attribution",
    "trace": "tracing",
    "worked": "by_hand",
}
__all__ = [
    "Block",
    "CellFlow",
    "Dynamics",
    "Extraction",
    "FixedPoint",
    "GradientFlow",
    "LayerFlow",
    "Pairs",
    "Row",
    "Saliency",
    "Trace",
    "Worked",
    "compare_cells",
    "dynamics",
    "extract",
    "gradient_flow",
    "judge_of",
    "pair_contributions",
    "saliency",
    "trace",
    "worked",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
