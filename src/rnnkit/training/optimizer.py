"""The optimiser and what guards it: parameter groups, gradient clipping, state by parameter name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from rnnkit.training.config import TrainConfig

_ROW = 1024  # elements summed by one thread, so that a norm does not depend on their number


class Optimizer:
    """AdamW or SGD over a model's parameters, in torch's fused form (one pass over memory per tensor).

    Weight decay applies to matrices. Biases are left alone (decay only shifts their optimum), and so are embedding
    tables: a rare word's row gets a gradient now and then but would shrink at every step.

    Source: AdamW: Loshchilov & Hutter 2019, "Decoupled weight decay regularization".
    """

    def __init__(self, model: torch.nn.Module, config: TrainConfig) -> None:
        self.parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        decayed = [p for name, p in self.parameters.items() if is_decayed(name, p)]
        others = [p for name, p in self.parameters.items() if not is_decayed(name, p)]
        groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
        groups = [group for group in groups if group["params"]]
        if config.optimizer == "adamw":
            self._torch = torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=True)
        else:
            self._torch = torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, fused=True)

    def zero_grad(self) -> None:
        self._torch.zero_grad(set_to_none=True)

    def step(self, *, lr: float) -> None:
        """Update every parameter from its gradient."""
        for group in self._torch.param_groups:
            group["lr"] = lr
        self._torch.step()
        # torch's fused step does not tell autograd that it wrote; caches of packed weights watch the version.
        torch.autograd.graph.increment_version(list(self.parameters.values()))

    def state_dict(self) -> dict[str, Tensor]:
        """Every tensor the optimiser remembers, as `parameter/key`; an optimiser that has not stepped has none."""
        return {
            f"{name}/{key}": value
            for name, parameter in self.parameters.items()
            for key, value in self._torch.state.get(parameter, {}).items()
            if isinstance(value, Tensor)
        }

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        for full_name, value in tensors.items():
            name, _, key = full_name.rpartition("/")
            self._torch.state[self.parameters[name]][key] = value.clone()


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
