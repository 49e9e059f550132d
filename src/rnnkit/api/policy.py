"""Policy: let one learn to act in an environment, or load one, and let it act."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from rnnkit.api.frame_tagger import FrameTagger
from rnnkit.bundle import environment as environment_file
from rnnkit.bundle.environment import Surroundings
from rnnkit.errors import ArgumentError, MissingExtraError, SchemaError, UnsafePathError, UsageError
from rnnkit.runtime import Transducer
from rnnkit.state import State

_OF_THE_SYSTEM = ("num_parameters", "train_seconds")


class Policy(FrameTagger):
    """A recurrent policy: a labeller of frames whose labels are actions.

        policy = rnnkit.Policy.train("CartPole-v1", hide=["cart_velocity", "pole_velocity"], run="runs/pole")
        policy = rnnkit.Policy.load("runs/pole")                   # needs neither torch nor Gymnasium
        action, state = policy.act([position, angle], state)       # step by step, the state a value of yours
        policy.evaluate("CartPole-v1")

    Everything but `train`, `act` and `evaluate` comes from `rnnkit.runtime.Transducer`, and keeps its exactness.
    """

    _noun = "policy"

    @classmethod
    def _run_config(cls) -> Any:
        try:
            from rnnkit.api.controlling import ControlRunConfig
        except ModuleNotFoundError as error:
            raise MissingExtraError(f"a search needs `{error.name}`", extra="control") from error
        return ControlRunConfig

    @classmethod
    def train(
        cls,
        sources: str | Path | Sequence[str | Path] | None = None,
        *,
        run: str | Path | None = None,
        config: str | Path | None = None,
        overrides: Sequence[str] = (),
        resume: bool = False,
        force: bool = False,
        observers: Sequence[Callable[[dict[str, Any]], None]] = (),
        tensorboard: bool = False,
        **options: Any,
    ) -> Self:
        """Search for a policy by CMA-ES, beside its baselines, into a run folder; needs no torch.

        Args:    sources: the environment, as Gymnasium registers it.
                 run, config, overrides, force, observers, options: as of every other `train`; `hide=["2"]`,
                 `generations=60` are options. An event is "start" or "generation".
        Returns: the policy that validation chose; `.metrics` has the table.
        Raises:  ConfigError, UsageError, DataError, ArgumentError before anything is created; MissingExtraError without
                 gymnasium and cma; UsageError for resume and tensorboard, which a search of a minute does not have.
        Cost:    as `rnnkit.tasks.control.PolicySearch.search`, twice; nothing is written before the end.
        """
        for name, is_given in (("resume", resume), ("tensorboard", tensorboard)):
            if is_given:
                raise UsageError(f"--{name} has no effect on train control, which writes its run at the end: leave it")
        settings_of = cls._run_config()
        from rnnkit.api import controlling, training

        settings = training.configure(sources, config=config, overrides=overrides, options=options, model=settings_of)
        folder = training.choose_folder(run, resume=False, force=force, task=settings.task_name)
        controlling.train(settings, run=folder, watchers=observers)
        return cls.load(folder)

    @property
    def surroundings(self) -> Surroundings:
        """Its environment's name and columns, and the columns that it sees. Raises: SchemaError where none are kept."""
        found = environment_file.from_files(self._files, input_size=self.input_size)
        if found is None:
            raise SchemaError("the bundle of a policy lists no environment.json; this is a labeller of frames")
        return found

    def act(self, seen: Any, state: State | None = None) -> tuple[str, State]:
        """The action after one more observation, the likeliest. Args: seen: the observed columns, [I]."""
        log_probs, state = self.step([seen], state)
        return self.labels[int(log_probs[0].argmax())], state

    def evaluate(  # type: ignore[override]
        self, environment: str | None = None, *, num_episodes: int | None = None, max_steps: int | None = None
    ) -> dict[str, Any]:
        """Judge on the table's episodes, or more or fewer, beside the run's baselines; needs gymnasium.

        Args:    environment: None: the one it was trained in; another one must have its columns and actions.
                 max_steps: after which an episode is cut off; None: as it was trained.
        Returns: `model`, `baselines`, `figure` and `data` as in metrics.json.
        Raises:  ArgumentError for another environment's columns or actions; DataError; MissingExtraError;
                 UnsafePathError.
        """
        from rnnkit.api import controlling
        from rnnkit.data.environments import Environment
        from rnnkit.tasks.control_score import Acting, Chance, Forgetting, Remembering

        metrics, seen = self.metrics, self.surroundings
        if num_episodes is not None and num_episodes < 2:
            raise ArgumentError(f"num_episodes is {num_episodes}; give at least 2, of which an interval is made")
        of = metrics["config"]["data"]
        numbers = [str(seen.columns.index(column)) for column in seen.observed]
        opened = Environment(environment or seen.name, observe=numbers, max_steps=max_steps or of["max_steps"])
        if opened.columns != seen.columns or opened.actions != self.labels:
            raise ArgumentError(
                f"{opened.name} shows {', '.join(opened.columns)} and has {len(opened.actions)} actions, the policy "
                f"knows {', '.join(seen.columns)} and {len(self.labels)}; give {seen.name}"
            )
        policies: list[tuple[str, Acting, Any]] = []
        assert self.path is not None  # else there were no metrics
        for row in (metrics["model"], *metrics["baselines"]):
            own = {key: row[key] for key in _OF_THE_SYSTEM if key in row}
            if not policies:
                policies.append((row["name"], Remembering(self), own))
            elif row["name"] == "random":
                policies.append((row["name"], Chance(len(self.labels), metrics["seed"]), own))
            elif row["name"] == "feed-forward":
                model = Transducer.load(self.path / "baselines" / row["name"])
                policies.append((row["name"], Forgetting(model), own))
            else:
                raise UnsafePathError(
                    f"{self.path / 'metrics.json'} names the baseline {row['name']!r}, which does not exist; train "
                    "again"
                )
        rows, _ = controlling.judge(opened, policies, num_episodes or of["num_test"])
        opened.close()
        shown = {"environment": opened.name, "columns": opened.columns, "observed": opened.observed}
        return {"model": rows[0], "baselines": rows[1:], "figure": "mean_return", "data": shown}
