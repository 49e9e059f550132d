"""The rows of a table of written texts; torch-free, for the table of a run and for `rnnkit eval`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnnkit.baselines import CopySource, LastTurn, MostFrequentText, NearestSource
from rnnkit.metrics import TranslationScore, distinct, paired_translations
from rnnkit.runtime import Transformer

FITTED: dict[str, Any] = {
    "copy-source": CopySource,
    "last-turn": LastTurn,
    "most-frequent": MostFrequentText,
    "nearest-source": NearestSource,
}
TRANSFORMER = "transformer"
BASELINES = {
    "translate": ("copy-source", "nearest-source", TRANSFORMER),
    "dialogue": ("last-turn", "most-frequent", "nearest-source", TRANSFORMER),
}
"""Those of each task whose sources and targets are texts, in the order of its table."""


@dataclass(frozen=True)
class WrittenBy:
    """What a system wrote for each source, and what its row says besides."""

    name: str
    outputs: Sequence[str]
    own: dict[str, Any]


def written_by(kind: str, folder: Path, sources: Sequence[str], **how: Any) -> list[str]:
    """What a baseline of `BASELINES` writes, saved in `folder`. Args: how: options of `translate`."""
    if kind == TRANSFORMER:
        return Transformer.load(folder).translate(sources, **how)
    return FITTED[kind].load(folder).write(sources)


def fitted(kind: str, sources: Sequence[str], targets: Sequence[str]) -> Any:
    """A baseline of `FITTED`, of training pairs."""
    made = FITTED[kind]
    if made is NearestSource:
        return NearestSource(sources, targets)
    return MostFrequentText(targets) if made is MostFrequentText else made()


def rows_of(
    systems: Sequence[WrittenBy], references: Sequence[Sequence[str]], *, with_diversity: bool = False, **how: Any
) -> list[dict[str, Any]]:
    """One row for each system, the model's first: its figures, and of a baseline the paired difference to the model.

    Args: with_diversity: also say how varied the outputs are.  how: as of `rnnkit.metrics.TranslationScore`.
    """
    scores = [TranslationScore(system.outputs, references, **how) for system in systems]
    rows = []
    for system, score in zip(systems, scores, strict=True):
        row = {"name": system.name, **score.to_dict(), **system.own}
        if with_diversity:
            row |= {f"distinct_{order}": distinct(system.outputs, order) for order in (1, 2)}
        if score is not scores[0]:
            row |= paired_translations(scores[0], score)
        rows.append(row)
    return rows
