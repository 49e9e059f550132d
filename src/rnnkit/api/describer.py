"""Describer: train one from records and texts that say them, or load one, and let it say others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self, overload

from rnnkit import data, runtime
from rnnkit.api.trained import Trained
from rnnkit.bundle import Bundle
from rnnkit.data import Record, Records, Wording
from rnnkit.errors import ArgumentError, DataError, DtypeError, SchemaError, UnsafePathError
from rnnkit.runtime.encoder_decoder import RECORDS
from rnnkit.tasks.describe_score import (
    DESCRIBE_BASELINES,
    Description,
    best_of,
    described,
    rows_of,
    with_references,
)

# What a row keeps from training: it belongs to the system and not to the records.
_OF_THE_SYSTEM = ("bytes", "num_parameters", "train_seconds")
_DEFAULTS: dict[str, Any] = {"num_beams": 10}


class Describer(Trained, runtime.EncoderDecoder):
    """A trained encoder-decoder between records and texts: attributes in, a sentence out.

        model = rnnkit.Describer.train(["train.jsonl"], test_sources=["test.jsonl"], run="runs/restaurants")
        model = rnnkit.Describer.load("runs/restaurants")          # needs no torch
        model.describe([{"act": "inform", "name": "chez maman", "food": "creperies"}])
        model.describe(["inform(name='chez maman';food=creperies)"], n_best=3)   # with scores and slot errors

    What it inherits from `rnnkit.runtime.EncoderDecoder` reads attributes and writes templates, `wording` makes one of
    the other; all of it keeps that class's exactness.
    """

    wording: Wording
    """What is filled in, and how slots are counted."""

    @classmethod
    def _run_config(cls) -> Any:
        from rnnkit.api.description import DescribeRunConfig

        return DescribeRunConfig

    @classmethod
    def _of(cls, bundle: Bundle, precision: str | None) -> Self:
        if RECORDS not in bundle.files:
            raise SchemaError(f"the bundle lists no {RECORDS}: it reads texts; rnnkit.Translator.load takes it")
        model = super()._of(bundle, precision)
        try:
            model.wording = Wording.from_json(bundle.files[RECORDS].decode("utf-8"))
        except ValueError as error:  # DataError, or bytes that are no UTF-8
            raise SchemaError(f"{RECORDS}: {error}") from error
        return model

    @overload
    def describe(self, records: Sequence[Any], *, n_best: None = ..., **options: Any) -> list[str]: ...

    @overload
    def describe(self, records: Sequence[Any], *, n_best: int, **options: Any) -> list[list[Description]]: ...

    def describe(
        self, records: Sequence[Any], *, n_best: int | None = None, **options: Any
    ) -> list[str] | list[list[Description]]:
        """A text for each record: of those that a beam meets the likeliest with the fewest slot errors.

        Args:
            records: each a `Record`, a mapping of attributes (a list is several values of one; "act" is the dialogue
                act), or a dialogue act as a text.
            n_best: how many are returned for each, as `Description`, the best first; None: the best one's text.
            options: `num_beams`, `rerank` and others of `translate`, in place of those of its own table.
        Returns: the same bits whatever the other records are, and for any number of threads.
        Raises:  ArgumentError, DtypeError, DataError naming the record.
        """
        how = {**_DEFAULTS, **self.decoding, **options}
        beams = how["num_beams"]
        if n_best is not None and not (type(n_best) is int and type(beams) is int and 1 <= n_best <= beams):
            raise ArgumentError(f"n_best is {n_best!r}; give an integer from 1 to num_beams, {beams}, or raise that")
        if isinstance(records, str | bytes | Mapping | Record):
            raise DtypeError("records is a single record; put it in a list: [record]")
        found = described(self, self.wording, [_record(one, f"record {row}") for row, one in enumerate(records)], **how)
        return [own[0].text for own in found] if n_best is None else [own[:n_best] for own in found]

    @property
    def decoding(self) -> dict[str, Any]:
        """How it wrote for its table: options of `describe`."""
        return dict(self.metrics["config"]["decoding"]) if self._is_known else {}

    def read(self, file: str | Path, *, encoding: str = "utf-8") -> Records:
        """The records of a file, whose texts need not be there. Raises: as `rnnkit.data.read_records`."""
        column = self.metrics["config"]["data"]["text_column"] if self._is_known else None
        return data.read_records(str(file), text_column=column, encoding=encoding, with_texts=False)

    @staticmethod
    def record(given: Any, place: str = "record") -> Record:
        """A record of a mapping, or of a text as a line of a file has it. Raises: DataError, DtypeError."""
        return _record(given, place)

    def evaluate(
        self,
        sources: str | Path | Sequence[str | Path],
        *,
        text_column: str | None = None,
        encoding: str = "utf-8",
        **options: Any,
    ) -> dict[str, Any]:
        """Judge on records, beside the baselines of the run, all on the same ones; needs no torch.

        Args:    sources: as `rnnkit.data.read_records`. text_column: None: as it was trained.
                 options: of `describe`, in place of those of its own table.
        Returns: `model` and `baselines` as in metrics.json.
        Raises:  DataError naming file and row.
        """
        trained = self.metrics["config"]
        names = [str(one) for one in ([sources] if isinstance(sources, str | Path) else sources)]
        column = text_column or trained["data"]["text_column"]
        records = data.read_records(names, text_column=column, encoding=encoding)
        records = with_references(records, trained["data"]["references"])
        how: Any = {**self.decoding, **options}
        if (most := trained["scores"]["num_best"]) > how["num_beams"]:
            raise ArgumentError(
                f"num_beams is {how['num_beams']}, its table judges the {most} best: give at least {most}"
            )
        own = [[one.text for one in of_record] for of_record in described(self, self.wording, records.records, **how)]
        systems = [(self.metrics["model"], own)]
        for row in self.metrics["baselines"]:
            folder = self._folder_of(row["name"])
            systems.append((row, best_of(row["name"], folder, self.wording, records.records, how)))
        kept = [(row["name"], texts, {key: row[key] for key in _OF_THE_SYSTEM if key in row}) for row, texts in systems]
        scoring: Any = {name: trained["scores"][name] for name in ("tokenize", "figure", "num_best")}
        scoring["lowercase"] = trained["tokenizer"]["lowercase"]
        model, *baselines = rows_of(kept, records, self.wording, **scoring)
        return {"model": model, "baselines": baselines}

    @property
    def _is_known(self) -> bool:
        """Whether the run that it comes from says how it was judged."""
        return self.path is not None and (self.path / "metrics.json").exists()

    def _folder_of(self, name: str) -> Path:
        """Of a baseline. Raises: UnsafePathError for a name that leads elsewhere: no digest guards metrics."""
        assert self.path is not None
        if name not in DESCRIBE_BASELINES:
            raise UnsafePathError(
                f"{self.path / 'metrics.json'} names the baseline {name!r}, which does not exist; train again"
            )
        return self.path / "baselines" / name


def _record(given: Any, place: str) -> Record:
    """A record of what a caller gave. Raises: DataError, DtypeError, naming it."""
    if isinstance(given, Record):
        return given
    if isinstance(given, str):
        return data.record_of(given, place)
    if not isinstance(given, Mapping):
        raise DtypeError(f"{place} is a {type(given).__name__}; give a mapping of attributes, a Record, or a text")
    try:
        return data.record_of_object(dict(given), place)
    except (TypeError, AttributeError) as error:
        raise DataError(f"{place}: {error}; names are texts, values texts or numbers") from None
