"""BidirectionalLanguageModel: train one from a text, or load one, and let it judge, fill in and embed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rnnkit import runtime
from rnnkit.api.trained import Trained


class BidirectionalLanguageModel(Trained, runtime.BidirectionalLanguageModel):
    """A trained language model that tells every word from all the words on both sides of it.

        model = rnnkit.BidirectionalLanguageModel.train("my.txt", kind="word", run="runs/both", time_limit_s=90)
        model = rnnkit.BidirectionalLanguageModel.load("runs/both")       # needs no torch
        model.fill("the students opened their", "and began to read")      # [("books", 0.31), …]
        model.score("a line").pseudo_perplexity
        model.embed(["a line", "another"])                                # [2, 2H]

    Everything but `train`, `score_lines` and `evaluate` comes from `rnnkit.runtime.BidirectionalLanguageModel`.
    """

    @classmethod
    def _run_config(cls) -> Any:
        from rnnkit.api.training import BidirectionalRunConfig

        return BidirectionalRunConfig

    def score_lines(self, lines: Iterable[str | bytes]) -> Iterator[dict[str, Any]]:
        """What the tokens of each line cost given the rest of the line, beside the best baseline of the run.

        Yields, Raises, Cost: as `LanguageModel.score_lines`. The figures rank lines of about one length; that a line
            repeats itself makes it cheap here.
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
    ) -> dict[str, Any]:
        """Judge on a text, beside the baselines of the run, all on exactly the same tokens; needs no torch.

        Returns: `model` and `baselines` as in metrics.json; each row has `reset_per_line`, its figures with nothing of
            a line's neighbours to be seen, if they are asked for.
        Raises:  DataError for a text that cannot be read, or for a damaged baseline.
        """
        from rnnkit.api import evaluation

        return evaluation.evaluate(self, sources, reset_per_line=reset_per_line, encoding=encoding, as_bytes=as_bytes)
