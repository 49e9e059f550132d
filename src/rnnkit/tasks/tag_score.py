"""The rows of a tagging table; torch-free, for the table of a run and for `rnnkit eval`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rnnkit.metrics.tagging import TaggingScore, Tags, paired_taggers


@dataclass(frozen=True, eq=False)
class TaggedBy:
    """A system's tags for all sentences, and what its row says besides."""

    name: str
    tags: Tags
    own: dict[str, Any]


def tagging_rows(systems: Sequence[TaggedBy], gold: Tags, *, of_spans: bool) -> list[dict[str, Any]]:
    """One row for each system, the model's first: its scores, and of a baseline the paired difference to the model."""
    scores = [TaggingScore(gold, system.tags, of_spans=of_spans) for system in systems]
    rows = []
    for system, score in zip(systems, scores, strict=True):
        row = {"name": system.name, **score.to_dict(), **system.own}
        if score is not scores[0]:
            row |= paired_taggers(scores[0], score)
        rows.append(row)
    return rows
