"""Translator: train one from pairs of texts, or load one, and let it write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rnnkit import data, runtime
from rnnkit.api.trained import Trained
from rnnkit.errors import UnsafePathError
from rnnkit.tasks.translate_score import FITTED, TRANSFORMER, WrittenBy, rows_of, written_by

# What a row keeps from training: it belongs to the system and not to the pairs.
_OF_THE_SYSTEM = ("bytes", "num_parameters", "train_seconds")


class Translator(Trained, runtime.EncoderDecoder):
    """A trained encoder-decoder: a text in, another out.

        model = rnnkit.Translator.train(["train.de", "train.en"], test_sources=["test.de", "test.en"], run="runs/de-en")
        model = rnnkit.Translator.load("runs/de-en")               # needs no torch
        model.translate(["ein hund im schnee"])                    # ['a dog in the snow']
        model.translate(["ein hund im schnee"], n_best=3)          # with scores

    Everything but `train` comes from `rnnkit.runtime.EncoderDecoder`, and keeps its exactness.
    """

    @classmethod
    def _run_config(cls) -> Any:
        from rnnkit.api.translation import TranslateRunConfig

        return TranslateRunConfig

    @property
    def decoding(self) -> dict[str, Any]:
        """How it wrote for its table: options of `translate`."""
        is_known = self.path is not None and (self.path / "metrics.json").exists()
        return dict(self.metrics["config"]["decoding"]) if is_known else {}

    @staticmethod
    def is_table(file: str | Path) -> bool:
        """Whether `read` takes a file for a table of pairs, by its name, and not for lines."""
        return data.is_pair_table(file)

    def read(self, file: str | Path, *, source_column: str | None = None, encoding: str = "utf-8") -> data.Pairs:
        """The sources of a table of pairs, whose targets need not be there. Raises: as `rnnkit.data.read_pairs`."""
        return data.read_pairs(
            [file],
            source_column=source_column or self._trained("source_column"),
            has_header=self._trained("has_header"),
            encoding=encoding,
            with_targets=False,
        )

    def evaluate(
        self,
        sources: str | Path | Sequence[str | Path],
        *,
        source_column: str | None = None,
        target_column: str | None = None,
        encoding: str = "utf-8",
        **options: Any,
    ) -> dict[str, Any]:
        """Judge on pairs, beside the baselines of the run, all on the same ones; needs no torch.

        Args:    sources: as `rnnkit.data.read_pairs`; columns that are not named are those it was trained with.
                 options: of `translate`, in place of those of its own table.
        Returns: `model` and `baselines` as in metrics.json.
        Raises:  DataError naming file and row.
        """
        trained = self.metrics["config"]
        pairs = data.read_pairs(
            sources,  # type: ignore[arg-type]
            source_column=source_column or trained["data"]["source_column"],
            target_column=target_column or trained["data"]["target_column"],
            has_header=trained["data"]["has_header"],
            encoding=encoding,
        )
        return self._judged(pairs.grouped() if trained["data"]["group_test"] else pairs, options)

    def source_of_line(self, line: str) -> str:
        """The source that a line of `rnnkit predict` means: itself."""
        return line

    def _judged(self, pairs: data.Pairs, options: dict[str, Any], **scored: Any) -> dict[str, Any]:
        """Args: options: of `translate`.  scored: further ones of `rows_of`."""
        trained, how = self.metrics["config"], {**self.decoding, **options}
        rows = [(self.metrics["model"], self.translate(pairs.sources, **how))]
        for row in self.metrics["baselines"]:
            rows.append((row, written_by(row["name"], self._folder_of(row["name"]), pairs.sources, **how)))
        systems = [
            WrittenBy(row["name"], outputs, {key: row[key] for key in _OF_THE_SYSTEM if key in row})
            for row, outputs in rows
        ]
        scoring: Any = {**trained["scores"], "lowercase": trained["tokenizer"]["lowercase"], **scored}
        model, *baselines = rows_of(systems, pairs.targets, **scoring)
        return {"model": model, "baselines": baselines}

    def _trained(self, key: str) -> Any:
        """What the run was told about its data."""
        is_known = self.path is not None and (self.path / "metrics.json").exists()
        return self.metrics["config"]["data"][key] if is_known else None

    def _folder_of(self, name: str) -> Path:
        """Of a baseline. Raises: UnsafePathError for a name that leads elsewhere: no digest guards metrics."""
        assert self.path is not None
        if name not in (*FITTED, TRANSFORMER):
            raise UnsafePathError(
                f"{self.path / 'metrics.json'} names the baseline {name!r}, which does not exist; train again"
            )
        return self.path / "baselines" / name
