"""Trained: what every class of `rnnkit` that trains and loads runs has in common, `LanguageModel`, `Classifier` …"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from rnnkit.api.comparison import read_metrics


class Trained:
    """Stands before a model of the run half among the bases of a class, which adds `_run_config`."""

    path: Path | None = None
    """The run folder it was loaded from."""

    @classmethod
    def _run_config(cls) -> Any:
        """The configuration of its runs, as `rnnkit.api.training.Settings`; imported here, so that loading is quick."""
        raise NotImplementedError

    @classmethod
    def load(cls, path: str | Path, *, precision: str | None = None) -> Self:
        """The model of a run folder.

        Args:   precision: of the products, "fp32", "bf16", "int8" (the least to read: the fastest to sample from) or
                "auto"; None: what the model was trained in.
        Raises: BundleError, by its subclasses; ConfigError for another precision.
        Cost:   one read of the files.
        """
        model = super().load(path, precision=precision)  # type: ignore[misc]
        model.path = Path(path)
        return model

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
        """Train beside baselines, into a run folder; what `rnnkit train TASK` does.

        Args:
            sources: what to train on: for a language model files, folders, .gz, "-" for stdin, None: the text that
                ships inside Python; for a classifier as `rnnkit.data.read_examples`.
            run: the run folder; None: the first free `runs/TASK-N`.
            config, overrides, options: see the configuration reference; `hidden_size=256`, `lr=2e-3`,
                `time_limit_s=90` are options, `"training.lr=2e-3"` is an override; later ones win.
            resume, force: go on with the run in `run`, in its own configuration where no other is given; or replace it.
            observers: called with every event of training.
            tensorboard: also write `run/tensorboard`.
        Returns: the model with the weights of its best evaluation; `.metrics` has the table.
        Raises:  ConfigError, UsageError, DataError before anything is created; MissingExtraError without torch;
            DivergedError; TrainingInterrupted, with everything saved; CheckpointError when resuming something else.
        Cost:    the time limit (two minutes unless configured), and the baselines: a neural one as long again.
        """
        from rnnkit.api import training

        settings = training.configure(
            sources,
            config=config,
            overrides=overrides,
            options=options,
            resumed=run if resume else None,
            model=cls._run_config(),
        )
        run = training.choose_folder(run, resume=resume, force=force, task=settings.task_name)
        settings = cls._prepared(settings, run, force=force, observers=observers)
        folder = training.train(
            settings, run=run, resume=resume, force=force, watchers=observers, tensorboard=tensorboard
        )
        return cls.load(folder)

    @classmethod
    def _prepared(cls, settings: Any, run: Path, *, force: bool, observers: Sequence[Any]) -> Any:
        """What is to be trained into `run`, once the language model that it may start from is."""
        from rnnkit.api.pretraining import pretrained

        transfer = getattr(settings, "transfer", None)  # of classifiers and taggers
        is_first = transfer is not None and transfer.pretrain is not None
        return pretrained(settings, run, force, observers) if is_first else settings

    @property
    def metrics(self) -> dict[str, Any]:
        """What was measured when it was trained: the content of metrics.json."""
        if self.path is None:
            raise FileNotFoundError("this model was loaded from no run folder, so it has no metrics; use evaluate")
        return read_metrics(self.path)
