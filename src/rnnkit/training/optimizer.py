"""The optimiser and what guards it: parameter groups, gradient clipping, state by parameter name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rnnkit.training.config import TrainConfig

_EPSILON = 1e-8  # AdamW's ε
_ROW = 1024  # elements summed by one thread, so that a norm does not depend on their number


class Optimizer:
    """AdamW or SGD over a model's parameters.

    AdamW: w ← (1 - lr·λ)·w;  m ← β1·m + (1-β1)·g;  v ← β2·v + (1-β2)·g²;  w ← w - lr·m̂/(√v̂ + ε), with m̂ = m/(1-β1ⁿ)
           and v̂ = v/(1-β2ⁿ).
    SGD:   w ← (1 - lr·λ)·w;  m ← μ·m + g;  w ← w - lr·m.

    λ applies to matrices only. Biases are left alone (decay only shifts their optimum), and so are embedding tables: a
    rare word's row gets a gradient now and then but would shrink at every step.

    Not `torch.optim`, which loads torch's compiler when first used (docs/decisions/0014). AdamW is the same fused
    operator.

    Cost:   one pass over weights and gradients, and over two moments (AdamW), one or none (SGD), on one core.
    Source: Loshchilov & Hutter 2019, "Decoupled weight decay regularization", algorithms 1 and 2.
    """

    def __init__(self, model: torch.nn.Module, config: TrainConfig) -> None:
        self.parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._config = config
        self._moments: dict[str, Tensor] = {}  # parameter/mean and parameter/square, from the first step on
        self._num_steps = 0

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self.parameters.values():
            parameter.grad = None

    @torch.no_grad()
    def step(self, *, lr: float, rates: Mapping[str, float] | None = None) -> None:
        """Update every parameter that has a gradient. Args: rates: what `lr` is multiplied by for each; None: 1."""
        self._num_steps += 1
        update = self._adamw if self._config.optimizer == "adamw" else self._sgd
        groups: dict[tuple[bool, float], list[tuple[str, Tensor, Tensor]]] = {}
        for name, parameter in self.parameters.items():
            if parameter.grad is not None:
                key = (not is_decayed(name, parameter), 1.0 if rates is None else rates[name])
                groups.setdefault(key, []).append((name, parameter, parameter.grad))
        for (is_free, rate), group in sorted(groups.items(), key=lambda item: item[0]):
            update(group, lr=lr * rate, decay=0.0 if is_free else self._config.weight_decay)

    def _adamw(self, group: Sequence[tuple[str, Tensor, Tensor]], *, lr: float, decay: float) -> None:
        beta1, beta2 = self._config.betas
        parameters = [parameter for _, parameter, _ in group]
        torch.ops.aten._fused_adamw_(
            parameters,
            [gradient for _, _, gradient in group],
            [self._moment(f"{name}/mean", parameter) for name, parameter, _ in group],
            [self._moment(f"{name}/square", parameter) for name, parameter, _ in group],
            [],
            [torch.tensor(float(self._num_steps))] * len(group),
            lr=lr,
            beta1=beta1,
            beta2=beta2,
            weight_decay=decay,
            eps=_EPSILON,
            amsgrad=False,
            maximize=False,
        )
        # The operator does not tell autograd that it wrote; caches of packed weights watch the version.
        torch.autograd.graph.increment_version(parameters)

    def _sgd(self, group: Sequence[tuple[str, Tensor, Tensor]], *, lr: float, decay: float) -> None:
        momentum = self._config.momentum
        for name, parameter, gradient in group:
            mean = self._moment(f"{name}/mean", parameter).mul_(momentum).add_(gradient) if momentum else gradient
            parameter.mul_(1 - lr * decay).add_(mean, alpha=-lr)

    def _moment(self, name: str, parameter: Tensor) -> Tensor:
        if name not in self._moments:
            self._moments[name] = torch.zeros_like(parameter)
        return self._moments[name]

    def state_dict(self) -> dict[str, Tensor]:
        """Everything the optimiser remembers, as tensors by name."""
        return {**self._moments, "num_steps": torch.tensor(self._num_steps)}

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on where `state_dict` was taken."""
        self._moments = {name: tensor.clone() for name, tensor in tensors.items() if name != "num_steps"}
        self._num_steps = int(tensors["num_steps"])


def is_decayed(name: str, parameter: Tensor) -> bool:
    """Whether weight decay applies: to matrices that are not embedding tables."""
    return parameter.ndim >= 2 and not name.startswith("embedding.")


@dataclass(frozen=True)
class Clipped:
    """`norm`: the L2 norm of all gradients before cutting them; `is_clipped`: whether any was cut."""

    norm: float
    is_clipped: bool


@torch.no_grad()
def clip_gradients(parameters: Iterable[Tensor], *, max_norm: float | None, max_value: float | None) -> Clipped:
    """Cut the gradients in place: each element to ±`max_value`, then all of them together to the length `max_norm`.

    A gradient that is not finite is reported in `norm` and nothing is touched.

    Cost:   two passes over the gradients, one more for `max_value`.
    Source: Pascanu, Mikolov, Bengio 2013, "On the difficulty of training recurrent neural networks", algorithm 1.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    first = norm = global_norm(gradients)
    if not math.isfinite(norm):
        return Clipped(norm=norm, is_clipped=False)
    is_clipped = False
    if max_value is not None:
        for gradient in gradients:
            gradient.clamp_(-max_value, max_value)
        norm = global_norm(gradients)
        is_clipped = norm < first
    if max_norm is not None and norm > max_norm:
        for gradient in gradients:
            gradient.mul_(max_norm / norm)
        is_clipped = True
    return Clipped(norm=first, is_clipped=is_clipped)


def global_norm(tensors: Iterable[Tensor]) -> float:
    """The L2 norm of all elements together, the same for every number of threads."""
    tensors = list(tensors)
    norm = math.sqrt(sum(_sum_of_squares(tensor) for tensor in tensors))
    if math.isinf(norm):  # finite elements whose squares overflow float32
        norm = math.sqrt(sum(_sum_of_squares(tensor.double()) for tensor in tensors))
    return norm


def _sum_of_squares(tensor: Tensor) -> float:
    flat = tensor.reshape(-1)
    whole = flat.numel() // _ROW * _ROW
    rows = torch.linalg.vector_norm(flat[:whole].view(-1, _ROW), dim=1)
    rest = torch.linalg.vector_norm(flat[whole:])
    return float(rows.double().square().sum() + rest.double().square())
