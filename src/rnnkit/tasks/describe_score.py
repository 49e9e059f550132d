"""Texts of records, over-generated and chosen by what they say, and the rows of their table; torch-free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnnkit.baselines import NearestSource, TemplateFiller
from rnnkit.data import Pairs, Record, Records, Wording
from rnnkit.metrics import TranslationScore, slot_figures
from rnnkit.runtime import Transformer
from rnnkit.runtime.writer import Writer
from rnnkit.tasks.translate_score import TRANSFORMER, WrittenBy
from rnnkit.tasks.translate_score import rows_of as translation_rows

FITTED = {"template-filler": TemplateFiller, "nearest-record": NearestSource}
DESCRIBE_BASELINES = (*FITTED, TRANSFORMER)


@dataclass(frozen=True)
class Description:
    """A text that says a record.

    Attributes:
        text, template: with the record's values, and with their placeholders.
        score: of the search, log p / tokens ** length_penalty.
        missing, redundant: slots of the record that it leaves out, and what it says too often.
    """

    text: str
    template: str
    score: float
    missing: int
    redundant: int

    @property
    def errors(self) -> int:
        return self.missing + self.redundant


def described(
    model: Writer, wording: Wording, records: Sequence[Record], *, rerank: bool = True, **how: Any
) -> list[list[Description]]:
    """All texts of the beam of each record, the best first: those with the fewest slot errors, of them the likeliest.

    Args:    rerank: False: the likeliest first, whatever they say.  how: options of `translate`.
    Cost:    records that read the same are written once.
    """
    sources = [wording.source(record) for record in records]
    different = list(dict.fromkeys(sources))
    found = model.translate(different, n_best=how["num_beams"], **how)
    by_source = dict(zip(different, found, strict=True))
    ranked: dict[tuple[str, Record], list[Description]] = {}
    descriptions = []
    for source, record in zip(sources, records, strict=True):
        if (source, record) not in ranked:
            templates = [hypothesis.text for hypothesis in by_source[source]]
            counts = wording.template_counts([record] * len(templates), templates)
            own = [
                Description(wording.text(record, one.text), one.text, one.score, missing, redundant)
                for one, (missing, redundant, _) in zip(by_source[source], counts.tolist(), strict=True)
            ]
            ranked[source, record] = sorted(own, key=lambda one: one.errors) if rerank else own
        descriptions.append(ranked[source, record])
    return descriptions


def with_references(records: Records, kind: str) -> Records:
    """Test records with what they are judged by. Args: kind: "own", "record" or "features", as `data.references`."""
    return {"own": lambda: records, "record": records.grouped, "features": records.sharing}[kind]()


def as_pairs(records: Records, wording: Wording) -> Pairs:
    """What a model reads of each record and the templates of its texts."""
    sources = [wording.source(record) for record in records.records]
    targets = [
        tuple(wording.template(record, text) for text in own)
        for record, own in zip(records.records, records.texts, strict=True)
    ]
    return Pairs(sources, targets, records.places)


def nearest_terms(record: Record) -> str:
    """What `NearestSource` compares records by: act, names and values."""
    return record.linearised(with_values=True)


def written_by(kind: str, model: Any, wording: Wording, records: Sequence[Record]) -> list[str]:
    """What a fitted baseline writes."""
    if kind == "nearest-record":
        return model.write([nearest_terms(record) for record in records])
    templates = model.write([wording.features(record) for record in records])
    return [wording.text(*row) for row in zip(records, templates, strict=True)]


def best_of(
    kind: str, folder: Path, wording: Wording, records: Sequence[Record], how: Mapping[str, Any]
) -> list[list[str]]:
    """The texts of a baseline saved in `folder`, the best first: of a fitted one a single one for each record."""
    if kind == TRANSFORMER:
        found = described(Transformer.load(folder), wording, records, **how)
        return [[one.text for one in of_record] for of_record in found]
    return [[text] for text in written_by(kind, FITTED[kind].load(folder), wording, records)]


def rows_of(
    systems: Sequence[tuple[str, Sequence[Sequence[str]], dict[str, Any]]],
    records: Records,
    wording: Wording,
    *,
    num_best: int,
    **how: Any,
) -> list[dict[str, Any]]:
    """One row for each system, the model's first, as of `translate_score.rows_of`, with its slot errors.

    Args:
        systems: name, the texts of each record, the best first, and what its row says besides.
        num_best: above 1 also `best_bleu` and `best_slot_error` of so many texts of each record, where there are as
            many, each against all references.
        how: as of `rnnkit.metrics.TranslationScore`.
    """
    first = [WrittenBy(name, [texts[0] for texts in of_system], own) for name, of_system, own in systems]
    rows = translation_rows(first, records.texts, **how)
    for row, written, (_, of_system, _) in zip(rows, first, systems, strict=True):
        row |= slot_figures(wording.counts(records.records, written.outputs))
        if num_best > 1:
            row |= _of_the_best(of_system, records, wording, num_best, how)
    return rows


def _of_the_best(
    of_system: Sequence[Sequence[str]], records: Records, wording: Wording, count: int, how: Mapping[str, Any]
) -> dict[str, float]:
    """The figures of the first `count` texts of every record, as if each were a record's only one."""
    outputs, references, owners = [], [], []
    for texts, record, own in zip(of_system, records.records, records.texts, strict=True):
        for text in texts[:count]:
            outputs.append(text)
            references.append(own)
            owners.append(record)
    score = TranslationScore(outputs, references, **how)
    slot_error = slot_figures(wording.counts(owners, outputs))["slot_error"]
    return {"best_bleu": score.bleu(), "best_slot_error": slot_error, "num_best": count}
