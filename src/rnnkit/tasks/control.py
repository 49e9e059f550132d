"""Learn to act: CMA-ES over the weights of a policy of the run half, which plays in an environment; no torch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from rnnkit.bundle.schema import FORMAT, check_config
from rnnkit.data.environments import Environment
from rnnkit.errors import MissingExtraError
from rnnkit.runtime import Transducer
from rnnkit.tasks.control_config import ControlConfig
from rnnkit.tasks.control_score import VALID, Acting, Chance, Forgetting, Remembering, play

Observer = Callable[[dict[str, Any]], None]
_NO_OWNER = "0" * 64  # of policies that are tried: none is saved, so none needs a digest
_RANDOM_EPISODES = 30  # that the columns' scales are told by
_FIXED = ("scale.mean", "scale.deviation")


class Found(NamedTuple):
    """What a search has found: tensors, its course, generations and seconds."""

    tensors: dict[str, np.ndarray]
    curve: list[dict[str, Any]]
    generations: int
    seconds: float


def require_cma() -> None:
    """Raises: MissingExtraError without it."""
    try:
        import cma
    except ImportError as error:
        raise MissingExtraError("the search for a policy needs cma", extra="control") from error
    del cma


class PolicySearch:
    """The policies of a configuration in an environment.

    Every policy is a `Transducer` of the run half: what is tried, judged, saved and served is one arithmetic.
    """

    def __init__(self, config: ControlConfig, environment: Environment) -> None:
        self.config, self.environment = config, environment
        widths = config.model.hidden_size
        model = {
            "vocab_size": 0, "embedding_size": 0, "input_size": len(environment.numbers),
            "cell": config.model.cell, "hidden_size": widths, "num_layers": config.model.num_layers, "bias": True,
            "bidirectional": False, "num_labels": len(environment.actions), "crf": False, "scheme": None,
            "num_characters": 0, "character_embedding_size": 0, "character_hidden_size": 0,
        }  # fmt: skip
        if not isinstance(widths, int):
            model |= {"hidden_size": list(widths), "num_layers": len(widths)}
        self.bundle_config = {"format": FORMAT, "kind": "transducer", "model": model, "precision": "fp32"}
        self._shapes = {name: shape for name, shape in check_config(self.bundle_config).items() if name not in _FIXED}
        self.size = sum(int(np.prod(shape)) for shape in self._shapes.values())
        """Weights of a policy."""
        self._scales = self._told_by_chance()

    def tensors(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """The arrays of a policy. Args: weights: [size]."""
        ends = np.cumsum([int(np.prod(shape)) for shape in self._shapes.values()])
        parts = np.split(weights.astype(np.float32), ends[:-1])
        return self._scales | {
            name: part.reshape(shape) for part, (name, shape) in zip(parts, self._shapes.items(), strict=True)
        }

    def model(self, tensors: dict[str, np.ndarray]) -> Transducer:
        """The policy of these arrays."""
        return Transducer(self.bundle_config, tensors, labels=self.environment.actions, digest=_NO_OWNER)

    def search(
        self, name: str, kind: type[Remembering] | type[Forgetting], observers: Sequence[Observer] = ()
    ) -> Found:
        """Look for the best policy of a kind.

        Each generation plays episodes that no other has played, all its policies the same ones. The search's mean is
        validated now and then; the best of these is what was found.

        Returns: the same for the same seed, on every machine with the same instruction set, without a time limit.
        Cost:    population · episodes plays a generation, nearly all of it the environment's.
        """
        import cma

        how, began = self.config.training, time.perf_counter()
        draws = np.random.Generator(np.random.Philox(how.seed))
        options: dict[str, Any] = {"verbose": -9, "seed": np.nan, "randn": lambda *shape: draws.standard_normal(shape)}
        if how.population is not None:
            options["popsize"] = how.population
        engine = cma.CMAEvolutionStrategy(np.zeros(self.size), how.sigma, options)
        best, best_return, curve, number = np.zeros(self.size), -np.inf, [], 0
        valid = range(VALID, VALID + self.config.data.num_valid)
        while number < how.generations:
            seeds = draws.integers(0, VALID, how.episodes).tolist()
            tried = engine.ask()
            means = [self._mean(kind, weights, seeds) for weights in tried]
            engine.tell(tried, [-mean for mean in means])
            number += 1
            seconds = time.perf_counter() - began
            is_late = how.time_limit_s is not None and seconds >= how.time_limit_s
            event = {"event": "generation", "name": name, "generation": number, "generations": how.generations,
                     "best": max(means), "mean": float(np.mean(means)), "seconds": seconds}  # fmt: skip
            if number % how.eval_every == 0 or number == how.generations or is_late:
                weights = np.asarray(engine.mean)
                held_out = self._mean(kind, weights, valid)
                event |= {"held_out": held_out, "is_best": held_out > best_return}
                if held_out > best_return:
                    best, best_return = weights.copy(), held_out
                curve.append({key: event[key] for key in ("generation", "seconds", "best", "mean", "held_out")})
            for observe in observers:
                observe(event)
            if is_late or (how.target is not None and best_return >= how.target):
                break
        return Found(self.tensors(best), curve, number, time.perf_counter() - began)

    def _mean(self, kind: type[Remembering] | type[Forgetting], weights: np.ndarray, seeds: Sequence[int]) -> float:
        policy: Acting = kind(self.model(self.tensors(weights)))
        return float(play(self.environment, policy, seeds).returns.mean())

    def _told_by_chance(self) -> dict[str, np.ndarray]:
        """Mean and deviation of the observed columns in random play."""
        seed, seen = self.config.training.seed, []
        draws = np.random.Generator(np.random.Philox(seed + 1))
        for number in draws.integers(0, VALID, _RANDOM_EPISODES).tolist():
            chance = Chance(len(self.environment.actions), number)
            seen.append(play(self.environment, chance, [number]).first.columns)
        columns = np.concatenate(seen)[:, self.environment.numbers].astype(np.float64)
        deviation = columns.std(0)
        deviation[deviation == 0] = 1
        scales = zip(_FIXED, (columns.mean(0), deviation), strict=True)
        return {name: values.astype(np.float32) for name, values in scales}
