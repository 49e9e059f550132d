"""The rows of a table of written texts; torch-free, for the table of a run and for `rnnkit eval`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnnkit.baselines import CopySource, NearestSource
from rnnkit.metrics import TranslationScore, paired_translations
from rnnkit.runtime import Transformer

FITTED = {"copy-source": CopySource, "nearest-source": NearestSource}
TRANSFORMER = "transformer"
TRANSLATE_BASELINES = (*FITTED, TRANSFORMER)


@dataclass(frozen=True)
class WrittenBy:
    """What a system wrote for each source, and what its row says besides."""

    name: str
    outputs: Sequence[str]
    own: dict[str, Any]


def written_by(kind: str, folder: Path, sources: Sequence[str], **how: Any) -> list[str]:
    """What a baseline of `TRANSLATE_BASELINES` writes, saved in `folder`. Args: how: options of `translate`."""
    if kind == TRANSFORMER:
        return Transformer.load(folder).translate(sources, **how)
    return FITTED[kind].load(folder).write(sources)


def rows_of(systems: Sequence[WrittenBy], references: Sequence[Sequence[str]], **how: Any) -> list[dict[str, Any]]:
    """One row for each system, the model's first: its figures, and of a baseline the paired difference to the model.

    Args: how: as of `rnnkit.metrics.TranslationScore`.
    """
    scores = [TranslationScore(system.outputs, references, **how) for system in systems]
    rows = []
    for system, score in zip(systems, scores, strict=True):
        row = {"name": system.name, **score.to_dict(), **system.own}
        if score is not scores[0]:
            row |= paired_translations(scores[0], score)
        rows.append(row)
    return rows
