"""Gradient flow: how far back a loss reaches, and which pairs of loss and step make up a weight's gradient.

All of it is in float64, by the equations in `rnnkit.nn.spec`: what has vanished in float32 is still seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from rnnkit.errors import ArgumentError
from rnnkit.models.recurrent import RecurrentModel

SHARE = 0.95  # of the gradient that arrives within the effective memory length
_MOST_PARTS = 1024  # numbers of a state up to which Jacobians are multiplied
_DISTANCES = 16


@dataclass(frozen=True)
class LayerFlow:
    """The gradient in one layer and direction, of N losses over T steps.

    Attributes:
        norms: ‖∂L/∂h_t‖ of the sum L of all losses, [T].
        reach: ‖∂L_n/∂h_k‖ of each loss, [N, T].
        distances: steps d.  largest, median: singular values of the Jacobian product ∂s_T/∂s_{T−d} for each of them, s
            being all parts of the state and T the step read last; empty where the state is too wide.
    """

    norms: np.ndarray
    reach: np.ndarray
    distances: list[int]
    largest: list[float]
    median: list[float]


@dataclass(frozen=True)
class GradientFlow:
    """What `gradient_flow` found.

    Attributes:
        layers: by name, "l0", "l0_reverse" …
        losses: [N] nats.  has_steps: whether there is a loss at every step, or one behind the last.
        memory_length: steps back from a loss within which 95 % of Σ_n Σ_k ‖∂L_n/∂h_k‖ lie, in the layer where that is
            longest.  is_cut: whether it is so near the input's length that a longer input might show a longer one.
    """

    layers: dict[str, LayerFlow]
    losses: np.ndarray
    has_steps: bool
    memory_length: int
    is_cut: bool


@dataclass(frozen=True)
class Pairs:
    """The gradient of a weight, taken apart.

    Attributes:
        shares: [N, T]; ⟨∂L_n/∂W^(k), G⟩ / ‖G‖², where W^(k) is the weight as it is used at step k, and G = ∂L/∂W. They
            add up to 1; one below 0 works against the rest.
        norms: [N, T], ‖∂L_n/∂W^(k)‖.
        gradient: their sum, of the shape of the weight.
        error: ‖their sum − G‖ / ‖G‖ with G from a backward pass of its own.
    """

    name: str
    shares: np.ndarray
    norms: np.ndarray
    gradient: np.ndarray
    error: float


def gradient_flow(model: RecurrentModel, inputs: Any, targets: Any) -> GradientFlow:
    """Follow the gradient of every loss back through every step of one sequence.

    Args:   inputs: what the model is called with, of B = 1; targets: what its `loss` takes with them.
    Raises: ArgumentError for an empty sequence.
    Cost:   a backward pass for each loss; and per layer up to T·S³ flop for a state of S numbers.
    """
    losses, tracks, _ = _losses(model, inputs, targets)
    hidden = [[parts[0] for parts in track.states] for track in tracks]
    nodes = [h for of_layer in hidden for h in of_layer]
    steps, count = len(hidden[0]), len(losses)
    norms = norms_of(losses.sum(), nodes).reshape(len(tracks), steps)
    reach = np.stack([norms_of(loss, nodes).reshape(len(tracks), steps) for loss in losses], axis=1)
    has_steps = count == steps and steps > 1
    layers, lengths = {}, []
    for index, track in enumerate(tracks):
        layers[track.name] = LayerFlow(norms[index], reach[index], *_jacobian_products(track, steps))
        lengths.append(_memory_length(reach[index], is_reverse=track.is_reverse, has_steps=has_steps))
    memory = max(lengths)
    return GradientFlow(layers, losses.detach().numpy(), has_steps, memory, is_cut=memory > steps // 2)


def pair_contributions(model: RecurrentModel, inputs: Any, targets: Any, *, weight: str | None = None) -> Pairs:
    """What each pair (loss n, step k) contributes to the gradient of a weight of the recurrent layers.

        ∂L/∂W = Σ_n Σ_k ∂L_n/∂W^(k)

    Args:   weight: "weight_hh_l0", or another parameter of `model.recurrent`; None: the recurrent weight of the last
                layer, or of a cell without one its input weight.
    Raises: ArgumentError for a weight that is not there.
    Cost:   a backward pass for each loss; memory for T gradients of the weight.
    """
    losses, tracks, layers = _losses(model, inputs, targets)
    cell_has_one = "weight_hh" in tracks[-1].weights[0]
    name = weight or f"{'weight_hh' if cell_has_one else 'weight_ih'}_{tracks[-1].name}"
    known = {f"{own}_{track.name}": (track, own) for track in tracks for own in track.weights[0]}
    if name not in known:
        raise ArgumentError(f"weight {name!r} is none of {', '.join(known)}; name one of them")
    track, own = known[name]
    uses = [of_step[own] for of_step in track.weights]
    (whole,) = torch.autograd.grad(losses.sum(), getattr(layers, name), retain_graph=True)
    shares, norms = np.zeros((2, len(losses), len(uses)))
    total, square = torch.zeros_like(whole), float((whole * whole).sum()) or 1.0
    for row, loss in enumerate(losses):
        grads = torch.autograd.grad(loss, uses, retain_graph=True, allow_unused=True)
        for step, grad in enumerate(grads):
            if grad is not None:
                total += grad
                shares[row, step] = float((grad * whole).sum()) / square
                norms[row, step] = float(grad.norm())
    error = float((total - whole).norm()) / square**0.5
    return Pairs(name, shares, norms, total.numpy(), error)


def _losses(model: RecurrentModel, inputs: Any, targets: Any) -> tuple[Tensor, list[Any], Any]:
    """Every loss [N] with its graph, the watched layers' tracks, and the layers that own the weights."""
    copied, watched = model.watched()
    inputs = torch.as_tensor(inputs)
    if not len(inputs):
        raise ArgumentError("inputs has no step, so that nothing flows through it; give a longer one")
    hidden, _ = copied(inputs.double() if inputs.is_floating_point() else inputs)
    losses = cast(Any, copied).loss(hidden, torch.as_tensor(targets))[:, 0]
    return losses, watched.tracks, watched.layers


def norms_of(loss: Tensor, nodes: Sequence[Tensor]) -> np.ndarray:
    """‖∂loss/∂node‖ of every node of its graph, 0 of those that it does not depend on."""
    grads = torch.autograd.grad(loss, nodes, retain_graph=True, allow_unused=True)
    return np.array([0.0 if grad is None else float(grad.norm()) for grad in grads])


def _jacobian_products(track: Any, steps: int) -> tuple[list[int], list[float], list[float]]:
    """Distances, and of ∂s_T/∂s_{T−d} the largest and the median singular value."""
    width = sum(part.shape[1] for part in track.first)
    if width > _MOST_PARTS or steps < 2:
        return [], [], []
    wanted = {int(d) for d in np.geomspace(1, steps - 1, _DISTANCES).round()}
    order = range(steps) if track.is_reverse else range(steps - 1, -1, -1)  # back from the step read last
    product, distances, largest, median = torch.eye(width, dtype=torch.float64), [], [], []
    for distance, t in enumerate(order, start=1):
        if distance == steps:
            break
        product = product @ track.jacobian(t)
        if distance in wanted:
            values = torch.linalg.svdvals(product)
            distances.append(distance)
            largest.append(float(values[0]))
            median.append(float(values.median()))
    return distances, largest, median


def _memory_length(reach: np.ndarray, *, is_reverse: bool, has_steps: bool) -> int:
    """Of ‖∂L_n/∂h_k‖ [N, T]: the least number of steps, that of the loss itself among them, that has SHARE of them."""
    rows, columns = np.indices(reach.shape)
    ends = rows if has_steps else np.full_like(rows, 0 if is_reverse else reach.shape[1] - 1)
    distance = np.abs(columns - ends)
    at = np.bincount(distance.ravel(), weights=reach.ravel(), minlength=reach.shape[1])
    total = at.sum()
    return 0 if total == 0 else int(np.searchsorted(np.cumsum(at), SHARE * total)) + 1
