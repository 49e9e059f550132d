"""Classifier: train one from labelled sequences, or load one, and let it decide."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rnnkit import data, runtime
from rnnkit.api.trained import Trained
from rnnkit.baselines import BagOfNgrams, NearestSeries
from rnnkit.errors import ArgumentError, DataError, UnsafePathError
from rnnkit.tasks.classify_score import LAYERS, Judged, read_by_baselines, rows_of
from rnnkit.tasks.grammar_language import ExactRecognizer

# What a row keeps from training: it belongs to the system and not to the sequences.
_OF_THE_SYSTEM = ("bytes", "num_parameters", "train_seconds", "thresholds")


class Classifier(Trained, runtime.Acceptor):
    """A trained recurrent classifier.

        model = rnnkit.Classifier.train("reviews.csv", run="runs/reviews", time_limit_s=60)
        model = rnnkit.Classifier.load("runs/reviews")             # needs no torch
        model.predict(["a fine film"])                             # ['positive']
        model.predict_proba(["a fine film"])                       # in the order of model.labels

    Everything but `train` comes from `rnnkit.runtime.Acceptor`, and keeps its exactness.
    """

    @classmethod
    def _run_config(cls) -> Any:
        from rnnkit.api.classification import ClassifyRunConfig

        return ClassifyRunConfig

    @staticmethod
    def is_table(file: str | Path) -> bool:
        """Whether `read` takes a file for a table of texts, by its name, and not for lines."""
        return data.is_table(file)

    def read(self, file: str | Path, *, encoding: str = "utf-8") -> list[tuple[str, Any]]:
        """The sequences of a file in an encoding, each after its place: "my.ts, line 7". A table needs no labels.

        Raises: as `rnnkit.data.read_examples`; a text column with an unusual name is the one that was trained on.
        """
        is_known = not self._size and self.path is not None and (self.path / "metrics.json").exists()
        column = self.metrics["config"]["data"].get("text_column") if is_known else None
        examples = data.read_examples(file, text_column=column, encoding=encoding, labelled=False)
        return list(zip(examples.places, examples.inputs, strict=True))

    def evaluate(
        self,
        sources: str | Path | Sequence[str | Path],
        *,
        label_column: str | None = None,
        text_column: str | None = None,
        label_separator: str | None = None,
        encoding: str = "utf-8",
    ) -> dict[str, Any]:
        """Judge on labelled sequences, beside the baselines of the run, all on the same ones; needs no torch.

        Args:    as `rnnkit.data.read_examples`; columns and a separator that are not named are those of its training.
        Returns: `model` and `baselines` as in metrics.json.
        Raises:  DataError naming the line, also of a label that was not trained on; UnsafePathError.
        """
        metrics = self.metrics
        if label_separator is not None and not self.is_multi_label:
            raise ArgumentError("label_separator is for a model of several labels; leave it out")
        assert self.path is not None
        trained = metrics["config"]["data"]
        examples = data.read_examples(
            sources,
            label_column=label_column or trained.get("label_column"),
            text_column=text_column or trained.get("text_column"),
            encoding=encoding,
            multi_label=self.is_multi_label,
            label_separator=label_separator or trained.get("label_separator", ","),
        )
        targets = data.label_ids(examples, self.labels)
        sequences = [self.encode(sequence) for sequence in examples.inputs]
        rows = [(metrics["model"], self)]
        rows += [(row, self._baseline(row["name"], self.path)) for row in metrics["baselines"]]
        judged = [self._judged(row, system, sequences) for row, system in rows]
        model, *baselines = rows_of(judged, targets)
        return {"model": model, "baselines": baselines, "labels": self.labels}

    def _judged(self, row: dict[str, Any], system: Any, sequences: list[Any]) -> Judged:
        """A system on other sequences: what its row said of itself stays, and of several labels the thresholds."""
        own = {key: row[key] for key in _OF_THE_SYSTEM if key in row}
        thresholds = system.thresholds if isinstance(system, runtime.Acceptor) else own.get("thresholds")
        if thresholds is not None and np.shape(thresholds) != (len(self.labels),):
            raise DataError(
                f"metrics.json keeps other than {len(self.labels)} thresholds of {row['name']}; train again"
            )
        read = sequences if isinstance(system, runtime.Acceptor) else read_by_baselines(sequences, self.words)
        return Judged(row["name"], system.log_probs(read), own, thresholds)

    def _baseline(self, name: str, run: Path) -> Any:
        """A baseline of a run. Raises: UnsafePathError for a name that leads elsewhere: no digest guards metrics."""
        if name != Path(name).name:
            raise UnsafePathError(f"{run / 'metrics.json'} names the baseline {name!r}, which is no name; train again")
        if name == "automaton":
            assert self.tokenizer is not None
            return ExactRecognizer.load(run / "baselines" / name, self.tokenizer)
        if name == LAYERS:
            return runtime.Acceptor.load(run / "baselines" / name)
        return (NearestSeries if name == "1nn-dtw" else BagOfNgrams).load(run / "baselines" / name)
