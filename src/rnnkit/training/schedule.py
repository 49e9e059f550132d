"""Learning-rate schedules: a straight warm-up, then cosine, plateau or constant."""

from __future__ import annotations

import math
from typing import Any

from rnnkit.training.config import TrainConfig


class Schedule:
    """The learning rate of every update.

    warm-up:  lr·(s+1)/w for s < w, with w = min(warmup_steps, total/5).
    cosine:   min_lr + (lr - min_lr)·(1 + cos(π·(s-w)/(total-w)))/2.
    plateau:  lr·factor^k, k counting the times that evaluation did not improve `plateau_patience` times in a row.
    constant: lr.

    Args:
        total_steps: the length of the run, or None while a time limit is still being turned into one; until then the
            rate stays at its peak after the warm-up.
    """

    def __init__(self, config: TrainConfig, *, total_steps: int | None) -> None:
        self.config = config
        self.total_steps = total_steps
        self._best = math.inf
        self._waited = 0
        self._reductions = 0

    def lr(self, step: int) -> float:
        """The rate of update number `step`, counted from 0."""
        config, total = self.config, self.total_steps
        warmup = config.warmup_steps if total is None else min(config.warmup_steps, total // 5)
        if step < warmup:
            return config.lr * (step + 1) / warmup
        if config.schedule == "plateau":
            return max(config.lr * config.plateau_factor**self._reductions, config.min_lr)
        if config.schedule == "constant" or total is None:
            return config.lr
        done = min((step - warmup) / max(total - warmup, 1), 1.0)
        return config.min_lr + (config.lr - config.min_lr) * (1 + math.cos(math.pi * done)) / 2

    def observe(self, nll: float) -> None:
        """Tell the schedule the result of an evaluation; only plateau listens."""
        if nll < self._best:
            self._best, self._waited = nll, 0
            return
        self._waited += 1
        if self._waited >= self.config.plateau_patience:
            self._reductions, self._waited = self._reductions + 1, 0

    def state_dict(self) -> dict[str, Any]:
        """JSON-able: what `load_state_dict` needs."""
        best = None if math.isinf(self._best) else self._best
        return {"best": best, "waited": self._waited, "reductions": self._reductions}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._best = math.inf if state["best"] is None else float(state["best"])
        self._waited, self._reductions = int(state["waited"]), int(state["reductions"])
