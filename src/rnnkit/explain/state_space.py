"""dynamics: a layer's state as a moving point: where it would stay, whether small changes grow, its path in 2-D."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnnkit.models.recurrent import RecurrentModel

MOST_PARTS = 512  # numbers of a state, whose Jacobians are squares of that
_STARTS = 8
_ITERATIONS = 60
_STILL = 1e-9  # ‖F(s) − s‖ / (1 + ‖s‖) of a fixed point
_SAME = 1e-5  # two of them nearer than that are one, likewise


@dataclass(frozen=True)
class FixedPoint:
    """F(s) = s with what the layer reads held fixed.

    Attributes:
        state: [S], all parts side by side.  at: [2], in the principal directions of the path.
        radius: the largest absolute eigenvalue of ∂F/∂s there.  num_unstable: eigenvalues of 1 or more.
        speed: ‖F(s) − s‖.
    """

    state: np.ndarray
    at: np.ndarray
    radius: float
    num_unstable: int
    speed: float

    @property
    def is_stable(self) -> bool:
        """Whether the state comes back after every small push."""
        return self.radius < 1


@dataclass(frozen=True)
class Dynamics:
    """What `dynamics` found of the last layer, in its forward direction.

    Attributes:
        path: [T, 2], the states in their first two principal directions.  explained: their share of the variance.
        lyapunov: the largest exponent along the path, 1/T ln ‖J_T … J_1 v‖; above 0 small changes grow.
        points: the fixed points that were found from `num_starts` states of the path.
    """

    layer: str
    path: np.ndarray
    explained: float
    lyapunov: float
    points: list[FixedPoint]
    num_starts: int


def dynamics(model: RecurrentModel, inputs: Any) -> Dynamics | None:
    """Follow the state of the last layer over one sequence, and look for its fixed points at the mean of what it reads.

    Args:    inputs: what the model is called with, of B = 1.
    Returns: None for a state of over 512 numbers, or of fewer than 3 steps.
    Cost:    T Jacobians, and up to 60 for each of 8 starts: some seconds for 256 numbers.
    Source:  Newton's method on F(s) − s, with steps that are halved until they help; what is looked for: Sussillo and
             Barak 2013, "Opening the black box". The exponent: Benettin et al. 1980, with one vector.
    """
    copied, watched = model.watched()
    inputs = torch.as_tensor(inputs)
    with torch.no_grad():
        copied(inputs.double() if inputs.is_floating_point() else inputs)
    track = [one for one in watched.tracks if not one.is_reverse][-1]
    sizes = [part.shape[1] for part in track.first]
    if sum(sizes) > MOST_PARTS or len(track.states) < 3:
        return None
    states = torch.cat([torch.cat(parts, dim=1) for parts in track.states]).detach()  # [T, S]
    centre = states.mean(0)
    _, values, directions = torch.linalg.svd(states - centre, full_matrices=False)
    plane = states.new_zeros(2, states.shape[1])  # of a single unit there is one direction
    plane[: len(directions[:2])] = directions[:2]
    variance = values.square()
    vector, growth = torch.full((sum(sizes),), sum(sizes) ** -0.5, dtype=torch.float64), 0.0
    for t in range(len(states)):
        vector = track.jacobian(t) @ vector
        length = float(vector.norm())
        if length == 0:
            growth = -np.inf
            break
        growth, vector = growth + np.log(length), vector / length
    field = _Field(track, sizes)
    starts = np.unique(np.linspace(0, len(states) - 1, _STARTS).round().astype(int))
    found: list[Tensor] = []
    for start in starts.tolist():
        point = field.fixed_point(states[start])
        if point is not None and all((point - other).norm() > _SAME * (1 + other.norm()) for other in found):
            found.append(point)
    points = []
    for point in found:
        absolute = torch.linalg.eigvals(field.jacobian(point)).abs()
        at = ((point - centre) @ plane.T).numpy()
        unstable = int((absolute >= 1).sum())
        speed = float((field(point[None])[0] - point).detach().norm())
        points.append(FixedPoint(point.numpy(), at, float(absolute.max()), unstable, speed))
    path = ((states - centre) @ plane.T).numpy()
    explained = float(variance[:2].sum() / variance.sum()) if variance.sum() > 0 else 1.0
    return Dynamics(track.name, path, explained, float(growth / len(states)), points, len(starts))


class _Field:
    """F: states [N, S] to the next ones, while the layer reads the mean of what it read."""

    def __init__(self, track: Any, sizes: list[int]) -> None:
        self._track, self._sizes = track, sizes
        x = track.inputs.detach()
        if not x.is_floating_point():  # ids that stand for one-hot rows
            x = torch.nn.functional.one_hot(x, track.weights[0]["weight_ih"].shape[1]).double()
        self._x = x.mean(0, keepdim=True)  # [1, 1, I]

    def __call__(self, states: Tensor) -> Tensor:
        return torch.cat(self._track.step(0, states.split(self._sizes, dim=1), x=self._x), dim=1)

    def jacobian(self, state: Tensor) -> Tensor:
        """∂F/∂s, [S, S]."""
        states = state.expand(len(state), -1).clone().requires_grad_()
        return torch.autograd.grad(self(states).diagonal().sum(), states)[0]

    def fixed_point(self, state: Tensor) -> Tensor | None:
        """Newton's, from a state; None where it does not come to rest."""
        with torch.no_grad():
            miss = self(state[None])[0] - state
        for _ in range(_ITERATIONS):
            if float(miss.norm()) <= _STILL * (1 + float(state.norm())):
                return state
            slope = self.jacobian(state) - torch.eye(len(state), dtype=torch.float64)
            step = torch.linalg.lstsq(slope, -miss[:, None]).solution[:, 0]
            for _ in range(12):
                with torch.no_grad():
                    after = self((state + step)[None])[0] - (state + step)
                if float(after.norm()) < float(miss.norm()):
                    break
                step = step / 2
            else:
                return None
            state, miss = state + step, after
        return None
