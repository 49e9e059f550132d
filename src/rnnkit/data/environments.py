"""Environments of Gymnasium: what they show, which columns of it a policy sees, and the actions it has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnkit.errors import ArgumentError, DataError, MissingExtraError, nearest

# Gymnasium names no columns; these are those of its pages. Of others they are called by their numbers.
_COLUMNS: dict[str, tuple[str, ...]] = {
    "CartPole": ("cart_position", "cart_velocity", "pole_angle", "pole_velocity"),
    "MountainCar": ("position", "velocity"),
    "Acrobot": ("cos_1", "sin_1", "cos_2", "sin_2", "velocity_1", "velocity_2"),
}


class Environment:
    """An environment with some columns hidden.

        environment = Environment("CartPole-v1", hide=["cart_velocity", "pole_velocity"])
        environment.observed                                   # ['cart_position', 'pole_angle']

    Args:   name: as Gymnasium registers it.  observe, hide: columns by name or number; at most one of the two is given.
            max_steps: after which an episode is cut off; None: the environment's own limit.
    Raises: MissingExtraError without Gymnasium; DataError for what is not known, or has other observations than a row
            of numbers or other actions than a choice of a few; ArgumentError for a column that is not there.
    """

    def __init__(
        self, name: str, *, observe: Sequence[str] = (), hide: Sequence[str] = (), max_steps: int | None = None
    ) -> None:
        if observe and hide:
            raise ArgumentError("observe and hide both say which columns are seen; give one of them")
        self.name, self._max_steps = name, max_steps
        self._made: list[Any] = []
        first = self._one(0)
        seen, acted = first.observation_space, first.action_space
        if not hasattr(seen, "low") or len(seen.shape or ()) != 1:
            raise DataError(f"{name} shows {seen}; only environments that show a row of numbers are learned")
        if not hasattr(acted, "start"):
            raise DataError(f"{name} takes actions {acted}; only those with a choice of a few (Discrete) are learned")
        if first.spec.max_episode_steps is None:
            raise DataError(f"an episode of {name} has no end; give max_steps, after which it is cut off")
        self.max_steps: int = first.spec.max_episode_steps
        size = seen.shape[0]
        known = _COLUMNS.get(name.rpartition("/")[2].partition("-")[0], ())
        self.columns = list(known) if len(known) == size else [str(number) for number in range(size)]
        self.actions = [str(acted.start + number) for number in range(int(acted.n))]
        """What a policy's outputs stand for, in their order."""
        self._start = int(acted.start)
        hidden = {self._number(column) for column in hide}
        chosen = [self._number(column) for column in observe] if observe else range(size)
        self.numbers = [number for number in chosen if number not in hidden]
        """Of the observed columns."""
        if not self.numbers or len(set(self.numbers)) < len(self.numbers):
            raise ArgumentError(f"observed are the columns {self.numbers} of {size}; give one or more, each once")

    @property
    def observed(self) -> list[str]:
        """The columns that a policy sees."""
        return [self.columns[number] for number in self.numbers]

    @property
    def hidden(self) -> list[str]:
        """Those that it does not."""
        return [column for column in self.columns if column not in self.observed]

    def reset(self, seeds: Sequence[int]) -> np.ndarray:
        """Begin an episode for each seed, side by side -> all columns, float32 [B, C]."""
        return np.array([self._one(row).reset(seed=int(seed))[0] for row, seed in enumerate(seeds)], np.float32)

    def step(self, row: int, action: int) -> tuple[np.ndarray, float, bool]:
        """Act in an episode: the columns after it, the reward, and whether the episode is over. Args: action: from 0"""
        seen, reward, is_terminal, is_cut, _ = self._made[row].step(self._start + action)
        return np.asarray(seen, np.float32), float(reward), bool(is_terminal or is_cut)

    def close(self) -> None:
        """Let go of what was opened."""
        for one in self._made:
            one.close()
        self._made = []

    def _one(self, row: int) -> Any:
        """The instance that plays in a row: one is never in two episodes at a time."""
        try:
            import gymnasium
        except ImportError as error:
            raise MissingExtraError("environments need gymnasium", extra="control") from error
        more = {} if self._max_steps is None else {"max_episode_steps": self._max_steps}
        while len(self._made) <= row:
            try:
                self._made.append(gymnasium.make(self.name, disable_env_checker=True, **more))
            except (gymnasium.error.Error, ModuleNotFoundError) as error:
                near = nearest(self.name, list(gymnasium.registry))
                hint = f"; is it {near}?" if near and near != self.name else ""
                raise DataError(f"Gymnasium cannot make {self.name!r}: {str(error).rstrip('.')}{hint}") from None
        return self._made[row]

    def _number(self, column: str) -> int:
        if column in self.columns:
            return self.columns.index(column)
        if column.isdecimal() and int(column) < len(self.columns):
            return int(column)
        raise ArgumentError(f"{self.name} has no column {column!r}; its columns are {', '.join(self.columns)}")
