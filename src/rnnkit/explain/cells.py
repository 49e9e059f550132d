"""compare_cells: the gradient of one loss on its way back through a hundred steps, for cells that are not trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from rnnkit.explain.gradients import norms_of
from rnnkit.models.generator import Generator, GeneratorConfig

# Name, and what differs from a model's defaults.
CELLS: dict[str, dict[str, Any]] = {
    "Elman": {"cell": "elman_tanh"},
    "Elman, orthogonal": {"cell": "elman_tanh", "init": "orthogonal"},
    "GRU": {"cell": "gru_after"},
    "LSTM": {"cell": "lstm"},
}


@dataclass(frozen=True)
class CellFlow:
    """‖∂L_T/∂h_t‖ for every step t = 1 … T of a loss behind the last step. name: of the cell."""

    name: str
    norms: np.ndarray

    @property
    def ratio(self) -> float:
        """‖∂L_T/∂h_1‖ / ‖∂L_T/∂h_T‖."""
        return float(self.norms[0] / self.norms[-1])


def compare_cells(
    names: Sequence[str] = tuple(CELLS),
    *,
    hidden_size: int = 128,
    num_steps: int = 100,
    vocab_size: int = 64,
    embedding_size: int = 128,
    seed: int = 0,
) -> list[CellFlow]:
    """Models with the first weights of `rnnkit train lm`, each on the same random tokens.

    Args:   names: of `CELLS`.  hidden_size: H.  seed: of the weights and the tokens.
    Cost:   about a second for each.
    """
    flows = []
    with torch.random.fork_rng(devices=[]):
        for name in names:
            torch.manual_seed(seed)
            ids = torch.randint(vocab_size, (num_steps + 1, 1))
            model = Generator(
                GeneratorConfig(vocab_size, embedding_size=embedding_size, hidden_size=hidden_size, **CELLS[name])
            )
            copied, watched = model.watched()
            hidden, _ = copied(ids[:-1])
            loss = copied.loss(hidden[-1:], ids[-1:]).sum()
            flows.append(CellFlow(name, norms_of(loss, [parts[0] for parts in watched.tracks[0].states])))
    return flows
