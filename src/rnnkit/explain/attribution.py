"""saliency: which steps of an input a decision rests on, told in three ways; and where attention looks.

All of it in eval mode and in float64, on what the layers read: embedded tokens, or scaled frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rnnkit.errors import ArgumentError
from rnnkit.models.recurrent import RecurrentModel

_COMPLETE = 1e-3  # how near the integral's sum must come to what it explains, relative
_FEWEST, _MOST = 32, 1024  # points of the integral
_AT_ONCE = 64  # rows of a batch


@dataclass(frozen=True)
class Saliency:
    """What `saliency` found. Every array is [T, E], E being what the layers read at a step.

    Attributes:
        score: F(x), the log-probability that is explained.  baseline_score: F(0).
        gradient_input: x ∘ ∂F/∂x.
        integrated: x ∘ ∫₀¹ ∂F/∂x(αx) dα, which adds up to F(x) − F(0).
        occlusion: [T], F(x) − F(x with step t put to 0).
        error: |Σ integrated − (F(x) − F(0))| / |F(x) − F(0)|.
        attention: [T], the shares of an attention readout; None without one.
    """

    score: float
    baseline_score: float
    gradient_input: np.ndarray
    integrated: np.ndarray
    occlusion: np.ndarray
    error: float
    attention: np.ndarray | None


def saliency(model: RecurrentModel, inputs: Any, *, label: int, step: int = -1) -> Saliency:
    """Say what each step of one sequence did for a decision: F = log p(label) at a step.

    Args:   inputs: what the model is called with, of B = 1.  label: the number of a label, or of a token.
            step: whose output is explained; an acceptor has one.
    Raises: ArgumentError for a step or a label that is not there.
    Cost:   some dozens of forward and backward passes, side by side; more until the integral is complete to 1e-3.
    Source: integrated gradients: Sundararajan, Taly and Yan 2017, arXiv:1703.01365; occlusion: Zeiler and Fergus 2014.
    """
    scorer = _Scorer(model, torch.as_tensor(inputs), label, step)
    x = scorer.x
    (score,), gradient = scorer.gradients(x)
    baseline = float(scorer.scores(torch.zeros_like(x))[0])
    num_points, error = _FEWEST, np.inf
    integrated = np.zeros(0)
    while error > _COMPLETE and num_points <= _MOST:
        places, shares = np.polynomial.legendre.leggauss(num_points)
        alphas, shares = torch.tensor((places + 1) / 2), torch.tensor(shares / 2)
        _, along = scorer.gradients(x * alphas[None, :, None])
        integrated = (x[:, 0] * (along * shares[None, :, None]).sum(1)).numpy()
        error = abs(integrated.sum() - (score - baseline)) / max(abs(score - baseline), 1e-12)
        num_points *= 2
    without = x.expand(-1, len(x), -1).clone()
    without[range(len(x)), range(len(x))] = 0
    occlusion = float(score) - scorer.scores(without).numpy()
    gradient_input = (x * gradient)[:, 0].numpy()
    return Saliency(float(score), baseline, gradient_input, integrated, occlusion, float(error), scorer.attention())


class _Scorer:
    """F as a function of what the layers read, x [T, N, E] -> [N]."""

    def __init__(self, model: RecurrentModel, inputs: Tensor, label: int, step: int) -> None:
        self._model: Any = model.watched()[0]  # a copy, whose `_inputs` is set below
        self._inputs = inputs.double() if inputs.is_floating_point() else inputs
        if not len(inputs):
            raise ArgumentError("inputs has no step, so that nothing can be told of any; give a longer one")
        with torch.no_grad():
            read, table = self._model._inputs(self._inputs)
            if not read.is_floating_point():
                width = self._model.config.vocab_size
                read = F.one_hot(read, width).double() if table is None else F.embedding(read, table)
        self.x = cast(Tensor, read.detach())
        self._label, self._step = label, step
        with torch.no_grad():
            shape = self._log_probs(self.x).shape
        if not -shape[0] <= step < shape[0] or not 0 <= label < shape[2]:
            raise ArgumentError(
                f"step {step}, label {label}: there are outputs at {shape[0]} steps, of {shape[2]} labels or tokens"
            )

    def scores(self, x: Tensor) -> Tensor:
        """Without gradient."""
        with torch.no_grad():
            parts = [self._log_probs(part)[self._step, :, self._label] for part in x.split(_AT_ONCE, dim=1)]
        return torch.cat(parts)

    def gradients(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """F [N] and ∂F/∂x [T, N, E]."""
        scores, found = [], []
        for part in x.split(_AT_ONCE, dim=1):
            part = part.detach().clone().requires_grad_()
            of_part = self._log_probs(part)[self._step, :, self._label]
            found.append(torch.autograd.grad(of_part.sum(), part)[0])
            scores.append(of_part.detach())
        return torch.cat(scores), torch.cat(found, dim=1)

    def attention(self) -> np.ndarray | None:
        """Where an acceptor's attention looks, [T]."""
        if getattr(self._model, "attention", None) is None:
            return None
        with torch.no_grad():
            hidden, _ = self._model.recurrent(self.x)
            return self._model.attention(hidden)[:, 0].softmax(0).numpy()

    def _log_probs(self, x: Tensor) -> Tensor:
        """[T, N, E] -> [T or 1, N, C]."""
        self._model._inputs = lambda _: (x, None)
        repeated = self._inputs.expand(-1, x.shape[1], *self._inputs.shape[2:])
        features, _ = self._model(repeated)
        return self._model.log_prob(features)
