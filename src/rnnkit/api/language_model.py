"""LanguageModel: train one from a text, or load one, and let it write, complete and judge."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rnnkit import runtime
from rnnkit.api.trained import Trained
from rnnkit.errors import ConfigError


class LanguageModel(Trained, runtime.LanguageModel):
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

    @classmethod
    def _run_config(cls) -> Any:
        from rnnkit.api.training import RunConfig

        return RunConfig

    @classmethod
    def _prepared(cls, settings: Any, run: Path, *, force: bool, observers: Sequence[Any]) -> Any:
        """Raises: ConfigError for a model of another class."""
        if settings.model.bidirectional:
            raise ConfigError(
                "model.bidirectional makes a rnnkit.BidirectionalLanguageModel: train that, on the command line with "
                "--bidirectional, or leave it out"
            )
        return settings

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
