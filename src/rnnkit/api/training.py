"""Train a language model from configuration to run folder: checks first, then the loop, then what people look at."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from rnnkit import durable
from rnnkit.api import curves, observers, report
from rnnkit.errors import MissingExtraError, UsageError

try:
    from pydantic import Field, model_validator

    from rnnkit.api import config as configuration
    from rnnkit.api.config import ModelT
except ModuleNotFoundError as error:  # in the run half alone, before torch is asked for
    raise MissingExtraError(f"training needs `{error.name}`", extra="train") from error

from rnnkit.tasks.lm_config import LmConfig
from rnnkit.training.config import TrainConfig

Observer = Callable[[dict[str, Any]], None]
Sources = str | Path | Sequence[str | Path] | None
RUNS = Path("runs")
SETTINGS = "run.yaml"  # in a run folder from its start: what `resume` goes on with
# What only a run leaves behind: a folder without any of it is never deleted.
_TRACES_OF_A_RUN = ("manifest.json", "metrics.json", "memory.json", "checkpoints")


class RunConfig(LmConfig):
    """Everything that can be chosen about a run of a language model; the keys of its YAML."""

    training: TrainConfig = Field(default_factory=lambda: TrainConfig.model_validate({}))

    @model_validator(mode="after")
    def _sees_what_follows(self) -> RunConfig:
        window, stride = self.training.window, self.training.stride
        if self.model.bidirectional and stride not in (None, window):
            raise ValueError(
                f"stride {stride} has no use for a bidirectional model, whose windows of {window} tokens are read from "
                "both ends: leave it out"
            )
        return self

    @property
    def task_name(self) -> str:
        return "lm"

    def make_task(self) -> Any:
        """The task, its text read. Raises: MissingExtraError, DataError."""
        require_torch()
        config = LmConfig(**{name: getattr(self, name) for name in LmConfig.model_fields})
        if config.model.bidirectional:
            from rnnkit.tasks.bidirectional_lm import BidirectionalTask

            return BidirectionalTask(config)
        from rnnkit.tasks.lm import LanguageModelTask

        return LanguageModelTask(config)

    def pages(self, metrics: Mapping[str, Any], name: str) -> dict[str, bytes]:
        """What people look at in a finished run's folder, by file name."""
        return {"curve.png": curves.draw_run(metrics), "README.md": report.model_card(metrics, name=name).encode()}


class BidirectionalRunConfig(RunConfig):
    """Everything that can be chosen about a run of a bidirectional language model: as of `RunConfig`."""

    @model_validator(mode="before")
    @classmethod
    def _reads_both_ways(cls, values: Any) -> Any:
        model = values.get("model", {})
        if isinstance(model, dict) and model.setdefault("bidirectional", True) is not True:
            raise ValueError(
                "model.bidirectional is off, which makes a rnnkit.LanguageModel: train one, or leave it out"
            )
        return {**values, "model": model}


class Settings(Protocol):
    """What `train` asks of a task's configuration: `RunConfig`, or another task's."""

    data: Any

    @property
    def training(self) -> TrainConfig: ...

    @property
    def task_name(self) -> str: ...

    def make_task(self) -> Any: ...

    def pages(self, metrics: Mapping[str, Any], name: str) -> dict[str, bytes]: ...


def configure(
    sources: Sources,
    *,
    config: str | Path | None = None,
    overrides: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    resumed: str | Path | None = None,
    model: type[ModelT] = RunConfig,
) -> ModelT:
    """The configuration of a run. Raises: ConfigError; see `rnnkit.api.config.build`.

    Args: resumed: the folder of a run to go on with; what it keeps of its configuration stands in for `config`.
          model: of which task.
    """
    options = dict(options or {})
    if config is None and resumed is not None and (Path(resumed) / SETTINGS).exists():
        config = Path(resumed) / SETTINGS
    if sources is not None:
        options["data.sources"] = [str(s) for s in ([sources] if isinstance(sources, str | Path) else sources)]
    return configuration.build(model, file=config, options=options, overrides=overrides)


def train(
    settings: Settings,
    *,
    run: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    watchers: Sequence[Observer] = (),
    tensorboard: bool = False,
) -> Path:
    """Train, and return the run folder. Nothing is created or deleted before configuration and text have been read.

    Raises: as `LanguageModel.train`.
    """
    folder = choose_folder(run, resume=resume, force=force, task=settings.task_name)
    task = settings.make_task()
    watching, closing = [_keep(settings, folder), *watchers], contextlib.ExitStack()
    if tensorboard:
        board = closing.enter_context(contextlib.closing(observers.TensorBoard(folder / "tensorboard")))
        watching.append(board)
    if force and folder.exists():
        task.build_model()  # refuses a shape that cannot be, while the old run is still there
        shutil.rmtree(folder)
    from rnnkit.training import fit

    with closing:
        metrics = fit(task, run_dir=folder, config=settings.training, observers=watching, resume=resume).metrics
    for name, content in settings.pages(metrics, folder.name).items():
        durable.write_file(folder / name, content)
    return folder


def dry_run(
    sources: Sources = None,
    *,
    task: str = "lm",
    config: str | Path | None = None,
    overrides: Sequence[str] = (),
    **options: Any,
) -> dict[str, Any]:
    """What training would take: parameters, bytes, seconds per step and epoch, steps and seconds of the run.

    Args: task: lm, classify, translate, dialogue or describe; else as `LanguageModel.train`, without what concerns the
        folder.
    Returns: as `rnnkit.training.dry_run`, which says what each figure includes.
    Cost: reads the text and makes a few steps and an evaluation; writes nothing but the token files in the cache.
    """
    from rnnkit.api.classification import ClassifyRunConfig
    from rnnkit.api.description import DescribeRunConfig
    from rnnkit.api.dialogue import DialogueRunConfig
    from rnnkit.api.translation import TranslateRunConfig

    models: dict[str, Any] = {"lm": RunConfig, "classify": ClassifyRunConfig, "translate": TranslateRunConfig}
    models |= {"dialogue": DialogueRunConfig, "describe": DescribeRunConfig}
    if task not in models:
        raise UsageError(f"there is no dry run of {task!r}; choose {', '.join(models)}")
    settings = configure(sources, config=config, overrides=overrides, options=options, model=models[task])
    made = settings.make_task()
    from rnnkit import training

    return training.dry_run(made, config=settings.training)


def choose_folder(run: str | Path | None, *, resume: bool, force: bool, task: str = "lm") -> Path:
    """Where the run goes: `run`, or the first free `runs/lm-N`, of another task its name for lm.

    Raises: UsageError if something is there that would be lost, or nothing where something must be.
    """
    if run is None:
        if resume or force:
            raise UsageError(f"{'--resume' if resume else '--force'} needs to know which run: add --run FOLDER")
        return next(folder for n in range(1, 1_000_000) if not (folder := RUNS / f"{task}-{n}").exists())
    folder = Path(run)
    if resume and force:
        raise UsageError("--resume goes on with a run, --force replaces it: choose one")
    if resume:
        if not folder.is_dir():
            raise UsageError(f"{folder} does not exist, so there is nothing to resume; leave --resume out")
        return folder
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return folder
    is_run = folder.is_dir() and any((folder / name).exists() for name in _TRACES_OF_A_RUN)
    if not is_run:
        raise UsageError(f"{folder} exists and is no run; choose another --run")
    if not force:
        raise UsageError(f"{folder} already holds a run; go on with --resume, replace it with --force, or choose --run")
    return folder


def _keep(settings: Any, folder: Path) -> Observer:
    """An observer that writes down the configuration once the run begins, with sources found from any folder."""
    data = settings.data
    found = {
        key: [str(Path(source).resolve()) if source != "-" else source for source in sources]
        for key in ("sources", "valid_sources", "test_sources")
        if getattr(data, "has_files", True) and (sources := getattr(data, key, None)) is not None
    }
    kept = settings.model_copy(update={"data": data.model_copy(update=found)})

    def observe(event: dict[str, Any]) -> None:
        if event["event"] == "start" and event["run_dir"] == str(folder):
            configuration.write_yaml(folder / SETTINGS, kept)

    return observe


def require_torch() -> None:
    """Raises: MissingExtraError without torch."""
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("training needs torch", extra="train") from error
    del torch
