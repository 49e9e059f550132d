"""What a simulator must beat: the last value, a static fit, a linear ARX model, and an MLP of the same last values.

scikit-learn fits the MLP; simulating needs NumPy only.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np

from rnnkit.baselines.archive import read_arrays, write_arrays
from rnnkit.baselines.bag import require_scikit_learn
from rnnkit.baselines.forecast import solved

DynamicsBaselineName = Literal["last-value", "static", "arx", "window-mlp"]
DYNAMICS_BASELINES: tuple[str, ...] = get_args(DynamicsBaselineName)
_PENALTY = 1e-6  # of a thousand steps: least squares, but for what has no effect at all
_MOST_FITTED, _HIDDEN, _DEGREE = 40_000, 100, 3
_MOST = 1e3  # deviations, beyond which a simulation that runs away is held

Arrays = Sequence[np.ndarray]


def regressors(u: np.ndarray, y: np.ndarray, lags: Sequence[int]) -> np.ndarray:
    """What is read at each step, [T, n·I + m·O]: u_{t−d−n+1} … u_{t−d}, then y_{t−m} … y_{t−1}; 0 before the first.

    Args: u: [T, I].  y: [T, O]; missing ones are read as the one before.  lags: n, m, d.
    """
    n, m, d = lags
    T = len(u)
    before = np.concatenate([np.zeros((d + n - 1, u.shape[1])), u])
    columns = [before[lag : lag + T] for lag in range(n)]
    past = np.concatenate([np.zeros((m, y.shape[1])), held(y)])
    return np.concatenate([*columns, *(past[lag : lag + T] for lag in range(m))], axis=1)


def whole_from(lags: Sequence[int]) -> int:
    """The first step of a record before which all stands that it reads; earlier ones are no ground for a fit."""
    n, m, d = lags
    return max(m, d + n - 1)


def held(y: np.ndarray) -> np.ndarray:
    """[T, O]: missing ones as the one before, those at the beginning as 0."""
    rows = np.where(np.isnan(y), -1, np.arange(len(y))[:, None])
    rows = np.maximum.accumulate(rows, axis=0)
    return np.where(rows < 0, 0.0, np.take_along_axis(y, np.maximum(rows, 0), 0)) if len(y) else y


class DynamicsBaseline:
    """One of them, fitted on scaled records.

        last-value: ŷ_t = y_{t−1}
        static:     ŷ_t = a + B u_{t−d} + C u²_{t−d} + D u³_{t−d}: without memory
        arx:        ŷ_t = a + A r_t, r as of `regressors`, by least squares on single steps
        window-mlp: ŷ_t = a + A r_t + V max(W r_t + b, 0), an MLP on what arx leaves

    Args: kind: which.  lags: of `regressors`.  layers: what was fitted.
    """

    def __init__(self, kind: DynamicsBaselineName, *, lags: Sequence[int], layers: Arrays = ()) -> None:
        self.kind, self.lags = kind, tuple(lags)
        self.layers = [np.asarray(layer, np.float64) for layer in layers]

    @classmethod
    def fit(cls, kind: DynamicsBaselineName, u: Arrays, y: Arrays, *, lags: Sequence[int]) -> Self:
        """Args: u, y: scaled, [T, I] and [T, O] of each record. Raises: MissingExtraError of window-mlp."""
        made = cls(kind, lags=lags)
        if kind == "last-value":
            return made
        if kind == "static":
            made.lags = (1, 0, lags[2])
        first = whole_from(made.lags)
        read = np.concatenate([regressors(*of, made.lags)[first:] for of in zip(u, y, strict=True)])
        came = np.concatenate([of[first:] for of in y])
        is_there = ~np.isnan(came).any(1)
        read, came = read[is_there], came[is_there]
        weight, bias = fitted_linear(_powers(read) if kind == "static" else read, came)
        made.layers = [weight, bias]
        if kind == "window-mlp":
            made.layers += _fitted_mlp(read, came - read @ weight.T - bias)
        return made

    def simulate(self, u: Arrays, y: Arrays, *, start: int) -> list[np.ndarray]:
        """What comes out of each record, of which the first `start` outputs are given; all of them: one step ahead.

        Args: u, y: scaled, as of `fit`.
        """
        longest = max(map(len, u))
        B, O = len(u), y[0].shape[1]
        inputs, given = np.zeros((longest, B, u[0].shape[1])), np.full((longest, B, O), np.nan)
        for row, (its_u, its_y) in enumerate(zip(u, y, strict=True)):
            inputs[: len(its_u), row] = its_u
            given[: min(start, len(its_y)), row] = its_y[:start]
        said = self._run(inputs, given)
        return [said[: len(of), row] for row, of in enumerate(u)]

    def _run(self, u: np.ndarray, given: np.ndarray) -> np.ndarray:
        T, B, O = given.shape
        n, m, d = self.lags
        m = max(m, 1)
        line = np.concatenate([np.zeros((d + n - 1, *u.shape[1:])), u])
        past, said = np.zeros((B, m * O)), np.empty((T, B, O))
        for t in range(T):
            said[t] = latest = self._step(line[t : t + n].transpose(1, 0, 2).reshape(B, -1), past, O)
            latest = np.where(np.isnan(given[t]), latest, given[t])
            past = np.concatenate([past[:, O:], latest], axis=1)
        return said

    def _step(self, window: np.ndarray, past: np.ndarray, outputs: int) -> np.ndarray:
        if self.kind == "last-value":
            return past[:, -outputs:]
        if self.kind == "static":
            return _powers(window) @ self.layers[0].T + self.layers[1]
        read = np.concatenate([window, past[:, : self.lags[1] * outputs]], axis=1)
        said = read @ self.layers[0].T + self.layers[1]
        if self.kind == "window-mlp":
            weight, bias, out, after = self.layers[2:]
            said = said + np.maximum(read @ weight.T + bias, 0) @ out.T + after
        return np.clip(said, -_MOST, _MOST)

    @property
    def num_bytes(self) -> int:
        """What its arrays take."""
        return sum(array.nbytes for array in self.layers)

    def save(self, folder: str | Path) -> None:
        """Write `dynamics.npz` and `dynamics.json`. Raises: SaveError."""
        arrays = {f"layer_{number}": layer for number, layer in enumerate(self.layers)}
        write_arrays(folder, "dynamics", {"kind": self.kind, "lags": list(self.lags)}, arrays)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote. Raises: DataError naming the file, for anything that is not exactly that."""

        def make(head: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
            layers = [arrays[f"layer_{number}"] for number in range(len(arrays))]
            count = {"last-value": 0, "static": 2, "arx": 2, "window-mlp": 6}[head["kind"]]
            if len(layers) != count or len(head["lags"]) != 3:
                raise ValueError("the sizes of dynamics.npz do not fit together")
            return cls(head["kind"], lags=head["lags"], layers=layers)

        return read_arrays(folder, "dynamics", make)


def fitted_linear(read: np.ndarray, came: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A [O, R] and a [O] of came ≈ A read + a, by least squares. Args: read: [N, R].  came: [N, O], without NaN."""
    if not len(read):
        return np.zeros((came.shape[1], read.shape[1])), np.zeros(came.shape[1])
    whole = np.concatenate([read, np.ones((len(read), 1))], axis=1)
    found = solved(whole.T @ whole, whole.T @ came, penalty=_PENALTY * max(1.0, len(read) / 1000))
    return found[:, :-1], found[:, -1]


def _powers(window: np.ndarray) -> np.ndarray:
    return np.concatenate([window**power for power in range(1, _DEGREE + 1)], axis=1)


def _fitted_mlp(read: np.ndarray, left: np.ndarray) -> list[np.ndarray]:
    require_scikit_learn()
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    share = max(1, len(read) // _MOST_FITTED)
    x, y = read[::share], left[::share]
    size = y.std(0) if len(y) else np.ones(left.shape[1])
    size = np.where(size > 0, size, 1.0)
    if len(x) < 10:
        return [np.zeros((1, read.shape[1])), np.zeros(1), np.zeros((left.shape[1], 1)), np.zeros(left.shape[1])]
    fitted: Any = MLPRegressor(hidden_layer_sizes=(_HIDDEN,), early_stopping=len(x) > 100, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # 200 passes are what it gets
        fitted.fit(x, y[:, 0] / size[0] if y.shape[1] == 1 else y / size)
    (weight, out), (bias, after) = fitted.coefs_, fitted.intercepts_
    return [weight.T, bias, (out * size).T, after * size]
