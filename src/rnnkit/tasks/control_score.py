"""Episodes of an environment, played side by side by a policy, and the rows that they make; no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from rnnkit.data.environments import Environment
from rnnkit.metrics.resampling import interval, paired
from rnnkit.runtime import Transducer

# First seeds of episodes that choose weights, and of those in the table; what is trained on lies below both.
VALID, TEST = 1 << 30, 1 << 31


class Acting(Protocol):
    """Whoever acts: `start` gives what it knows before B episodes, `act` an action each and what it knows after."""

    def start(self, batch: int) -> Any: ...

    def act(self, seen: np.ndarray, state: Any) -> tuple[np.ndarray, Any]: ...


class Remembering:
    """A model that carries its state from step to step, and takes the likeliest action."""

    def __init__(self, model: Transducer) -> None:
        self.start, self._step = model.initial_state, model.step

    def act(self, seen: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        log_probs, state = self._step(seen, state)
        return log_probs.argmax(1), state


class Forgetting(Remembering):
    """The same of a model that begins anew at every step: a feed-forward network of its weights."""

    def act(self, seen: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        return super().act(seen, state)[0], state


class Chance:
    """Any action alike. Args: seed: of the draws; `start` begins them anew."""

    def __init__(self, num_actions: int, seed: int = 0) -> None:
        self._num_actions, self._seed = num_actions, seed

    def start(self, batch: int) -> Any:
        self._draws = np.random.Generator(np.random.Philox(self._seed))
        return np.empty(batch)

    def act(self, seen: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        return self._draws.integers(0, self._num_actions, len(seen)), state


class Episode(NamedTuple):
    """The columns before every action [T, C], and the actions [T]."""

    columns: np.ndarray
    actions: np.ndarray


class Played(NamedTuple):
    """The sum of rewards of every episode [N], and the first one's course."""

    returns: np.ndarray
    first: Episode


def play(environment: Environment, policy: Acting, seeds: Sequence[int]) -> Played:
    """An episode from each seed. An episode does not depend on those beside it."""
    columns, returns = environment.reset(seeds), np.zeros(len(seeds))
    state, alive = policy.start(len(seeds)), list(range(len(seeds)))
    course: list[tuple[np.ndarray, int]] = []
    while alive:
        actions, state = policy.act(columns[:, environment.numbers], state)
        if alive[0] == 0:
            course.append((columns[0], int(actions[0])))
        after, going_on = [], []
        for place, (row, action) in enumerate(zip(alive, actions.tolist(), strict=True)):
            seen, reward, is_over = environment.step(row, action)
            returns[row] += reward
            if not is_over:
                after.append(seen)
                going_on.append(place)
        if going_on and len(going_on) < len(alive):
            state = state[going_on]
        alive, columns = [alive[place] for place in going_on], np.array(after, np.float32)
    seen, done = zip(*course, strict=True)
    return Played(returns, Episode(np.array(seen), np.array(done)))


def rows_of(systems: Sequence[tuple[str, np.ndarray, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """One row for each system, the model's first, of what they got of the same episodes.

    A baseline's `difference` is its mean return less the model's, with the interval and p of pairs of episodes.

    Args: systems: name, returns [N], and what the row has of its own.
    """
    rows = []
    for name, returns, own in systems:
        parts = _parts(returns)
        low, high = interval(parts, _mean)
        row = {"name": name, "mean_return": float(returns.mean()), "low": low, "high": high}
        row |= {"lowest": float(returns.min()), "highest": float(returns.max()), "num_episodes": len(returns)}
        if rows:
            row |= paired(parts, _parts(systems[0][1]), _mean)
        rows.append(row | dict(own))
    return rows


def _parts(returns: np.ndarray) -> np.ndarray:
    return np.stack([returns, np.ones(len(returns))], axis=1)


def _mean(sums: np.ndarray) -> np.ndarray:
    return sums[:, 0] / sums[:, 1]
