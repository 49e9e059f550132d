"""Tagger: train one from tagged sentences, or load one, and let it tag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rnnkit import data, runtime
from rnnkit.api.trained import Trained
from rnnkit.baselines import TAG_BASELINES
from rnnkit.errors import UnsafePathError
from rnnkit.tasks.tag_score import TaggedBy, tagging_rows

# What a row keeps from training: it belongs to the system and not to the sentences.
_OF_THE_SYSTEM = ("bytes", "num_parameters", "train_seconds")


class Tagger(Trained, runtime.Transducer):
    """A trained recurrent tagger.

        model = rnnkit.Tagger.train("train.conllu", test_sources=["test.conllu"], run="runs/pos")
        model = rnnkit.Tagger.load("runs/pos")                     # needs no torch
        model.predict([["The", "cat", "sat"]])                     # [['DET', 'NOUN', 'VERB']]
        model.log_probs([["The", "cat", "sat"]])                   # [T, C] each, in the order of model.labels

    Everything but `train` comes from `rnnkit.runtime.Transducer`, and keeps its exactness.
    """

    @classmethod
    def _run_config(cls) -> Any:
        from rnnkit.api.tagging import TagRunConfig

        return TagRunConfig

    def read(self, file: str | Path, *, encoding: str = "utf-8") -> data.Tagged:
        """The sentences of a file, whose tags need not be there and are not read.

        Raises: as `rnnkit.data.read_tagged`; the column of words is the one that was trained on.
        """
        is_known = self.path is not None and (self.path / "metrics.json").exists()
        column = self.metrics["config"]["data"]["word_column"] if is_known else None
        return data.read_tagged(file, word_column=column, encoding=encoding, labelled=False)

    def evaluate(
        self,
        sources: str | Path | Sequence[str | Path],
        *,
        word_column: str | None = None,
        tag_column: str | None = None,
        encoding: str = "utf-8",
    ) -> dict[str, Any]:
        """Judge on tagged sentences, beside the baselines of the run, all on the same ones; needs no torch.

        Args:    as `rnnkit.data.read_tagged`; columns that are not named are those it was trained with.
        Returns: `model` and `baselines` as in metrics.json.
        Raises:  DataError naming the line, also of a tag that was not trained on; UnsafePathError.
        """
        trained = self.metrics["config"]["data"]
        tagged = data.read_tagged(
            sources,
            word_column=word_column or trained["word_column"],
            tag_column=tag_column or trained["tag_column"],
            encoding=encoding,
        )
        scheme = self.config["model"]["scheme"]
        if scheme is not None and (found := data.scheme_of(tagged, trained["scheme"])) is not None:
            tagged = data.in_scheme(tagged, found, to=scheme, repair=trained["repair"])
        data.tag_ids(tagged, self.labels)  # names a tag that it does not know
        systems = [TaggedBy(name, one.predict(tagged.sentences), own) for name, one, own in self._systems()]
        model, *baselines = tagging_rows(systems, tagged.tags, of_spans=scheme is not None)
        return {"model": model, "baselines": baselines, "labels": self.labels}

    def _systems(self) -> list[tuple[str, Any, dict[str, Any]]]:
        """Name, model, and what its row keeps: itself, and the baselines of its run."""
        metrics = self.metrics
        assert self.path is not None
        rows = [(metrics["model"], self)]
        rows += [(row, self._baseline(row["name"], self.path)) for row in metrics["baselines"]]
        return [(row["name"], one, {key: row[key] for key in _OF_THE_SYSTEM if key in row}) for row, one in rows]

    @classmethod
    def _baseline(cls, name: str, run: Path) -> Any:
        """A baseline of a run. Raises: UnsafePathError for a name that leads elsewhere: no digest guards metrics."""
        kinds = cls._baseline_kinds()
        if name not in kinds:
            raise UnsafePathError(
                f"{run / 'metrics.json'} names the baseline {name!r}, which does not exist; train again"
            )
        return kinds[name].load(run / "baselines" / name)

    @classmethod
    def _baseline_kinds(cls) -> Mapping[str, Any]:
        return TAG_BASELINES
