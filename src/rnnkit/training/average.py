"""Averaged weights: a running mean that is judged and saved in place of the last, noisy weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from rnnkit.training.config import TrainConfig


class WeightAverage:
    """No average, an exponential one (EMA), or the mean since evaluation stopped improving (NT-ASGD).

    EMA:  a ← d·a + (1-d)·w with d = min(ema, (1+n)/(10+n)), so that the first steps are forgotten soon.
    ASGD: from the first evaluation that is worse than the best one `asgd_patience` evaluations before it,
          a ← the mean of all w since.

    Cost:   one pass over the weights per step while averaging.
    Source: Polyak & Juditsky 1992; Merity, Keskar, Socher 2018, "Regularizing and optimizing LSTM language models",
            algorithm 1 (NT-ASGD).
    """

    def __init__(self, model: torch.nn.Module, config: TrainConfig) -> None:
        self._parameters = dict(model.named_parameters())
        self._ema = config.ema
        self._asgd_patience = config.asgd_patience if config.optimizer == "asgd" else None
        self._mean: dict[str, Tensor] = {}
        self._count = 0
        self._history: list[float] = []
        if self._ema:
            self._start()

    @property
    def is_active(self) -> bool:
        """Whether there is an average that stands in for the weights."""
        return bool(self._mean)

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights of the step just done into the average."""
        if not self._mean:
            return
        self._count += 1
        n = self._count
        share = max(1 - self._ema, 9 / (10 + n)) if self._ema else 1 / n
        for name, mean in self._mean.items():
            mean.lerp_(self._parameters[name], share)

    def observe(self, nll: float) -> None:
        """Tell the average the result of an evaluation; it may begin an ASGD average."""
        patience = self._asgd_patience
        if patience is None or self._mean:
            return
        before = self._history[: len(self._history) - patience + 1]
        if before and nll > min(before):
            self._start()
        self._history.append(nll)

    @contextmanager
    @torch.no_grad()
    def applied(self) -> Iterator[None]:
        """Within it, the model's parameters are the average; afterwards, the trained weights again, bit for bit."""
        if not self._mean:
            yield
            return
        trained = {name: p.clone() for name, p in self._parameters.items()}
        try:
            self._copy(self._mean)
            yield
        finally:
            self._copy(trained)

    def tensors(self) -> dict[str, Tensor]:
        return dict(self._mean)

    def state_dict(self) -> dict[str, Any]:
        """JSON-able; `tensors` holds the rest."""
        return {"count": self._count, "history": self._history}

    def load_state_dict(self, state: dict[str, Any], tensors: Mapping[str, Tensor]) -> None:
        self._count, self._history = int(state["count"]), [float(nll) for nll in state["history"]]
        self._mean = {name: tensors[name].clone() for name in self._parameters if tensors}

    @torch.no_grad()
    def _start(self) -> None:
        self._mean = {name: p.detach().clone() for name, p in self._parameters.items()}

    @torch.no_grad()
    def _copy(self, values: Mapping[str, Tensor]) -> None:
        for name, parameter in self._parameters.items():
            parameter.copy_(values[name])
