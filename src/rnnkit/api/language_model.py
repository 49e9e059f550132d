"""LanguageModel: train one from a text, or load one, and let it write, complete and judge."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from rnnkit import runtime
from rnnkit.api.comparison import read_metrics


class LanguageModel(runtime.LanguageModel):
    """A trained recurrent language model.

        model = rnnkit.LanguageModel.train("my.txt", run="runs/mine", time_limit_s=90)
        model = rnnkit.LanguageModel.load("runs/mine")            # needs no torch
        print("".join(model.generate("Once", temperature=0.8)))
        model.complete("the students opened their", k=5)          # [(" books", 0.31), …]
        model.score("a line").bits_per_character

        state = model.initial_state()
        log_probs, after = model.step(token, state)               # `state` is still the one before

    Everything but `train` comes from `rnnkit.runtime.LanguageModel`, and keeps its exactness.
    """

    path: Path | None = None
    """The run folder it was loaded from."""

    @classmethod
    def load(cls, path: str | Path, *, precision: str | None = None) -> Self:
        """The model of a run folder.

        Args:   precision: of the products, "fp32", "bf16", "int8" (the least to read: the fastest to sample from) or
                "auto"; None: what the model was trained in.
        Raises: BundleError, by its subclasses; ConfigError for another precision.
        Cost:   one read of the files.
        """
        model = super().load(path, precision=precision)
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
        """Train on a text, beside its baselines, into a run folder; what `rnnkit train lm` does.

        Args:
            sources: files, folders, .gz, "-" for stdin; None: the text that ships inside Python.
            run: the run folder; None: the first free `runs/lm-N`.
            config, overrides, options: see the configuration reference; `hidden_size=256`, `lr=2e-3`,
                `time_limit_s=90` are options, `"training.lr=2e-3"` is an override; later ones win.
            resume, force: go on with the run in `run`, in its own configuration where no other is given; or replace it.
            observers: called with every event of training.
            tensorboard: also write `run/tensorboard`.
        Returns: the model with the weights of its best evaluation; `.metrics` has the table.
        Raises:  ConfigError, UsageError, DataError before anything is created; MissingExtraError without torch;
            DivergedError; TrainingInterrupted, with everything saved; CheckpointError when resuming something else.
        Cost:    the time limit (two minutes unless configured), once more for the neural baseline, and the n-grams.
        """
        from rnnkit.api import training

        settings = training.configure(
            sources, config=config, overrides=overrides, options=options, resumed=run if resume else None
        )
        folder = training.train(
            settings, run=run, resume=resume, force=force, watchers=observers, tensorboard=tensorboard
        )
        return cls.load(folder)

    @property
    def metrics(self) -> dict[str, Any]:
        """What was measured when it was trained: the content of metrics.json."""
        if self.path is None:
            raise FileNotFoundError("this model was loaded from no run folder, so it has no metrics; use evaluate")
        return read_metrics(self.path)

    def score_lines(self, lines: Iterable[str | bytes]) -> Iterator[dict[str, Any]]:
        """How likely each line is, from a fresh state, beside the best baseline of the run: to rank lines by.

        Yields: `text`, `num_tokens`, and under `model` and `baseline` a `name`, `nll` in nats and `nats_per_token`
            (0 for a line without a token). The baseline is a uniform guess where the folder is no training's.
        Raises: DataError naming the line that does not encode; MissingFileError for a run that is not finished.
        Cost:   512 lines at a time, side by side; the figures do not depend on which.
        """
        from rnnkit.api import evaluation

        return evaluation.score_lines(self, lines)

    def evaluate(
        self,
        sources: str | Path | Sequence[str | Path],
        *,
        reset_per_line: bool = False,
        encoding: str = "utf-8",
        as_bytes: bool = False,
        arpa: Sequence[str | Path] = (),
    ) -> dict[str, Any]:
        """Judge on a text, beside the baselines of the run, all on exactly the same tokens; needs no torch.

        Args:    arpa: n-gram models of other tools, one more row for each file.
        Where the folder is no training's (imported weights), the one baseline is a uniform guess.

        Returns: `model` and `baselines` as in metrics.json; each row has `reset_per_line`, its figures from a fresh
            state for every line, if they are asked for.
        Raises:  DataError for a text that cannot be read; BundleError for a damaged baseline.
        """
        from rnnkit.api import evaluation

        return evaluation.evaluate(
            self, sources, reset_per_line=reset_per_line, encoding=encoding, as_bytes=as_bytes, arpa=arpa
        )
