"""A model beside its baselines: the one table that the command line, the README and metrics.json are drawn from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rnnkit.errors import ArgumentError


@dataclass(frozen=True)
class Column:
    """One figure per row. `format` is a Python format; `better` says which end wins, or None for neither."""

    key: str
    label: str
    format: str
    better: Literal["lower", "higher"] | None = None


SEEDS_COLUMNS = (
    Column("seeds_mean", "mean of seeds", ".2%"),
    Column("seeds_low", "95 % from", ".2%"),
    Column("seeds_high", "to", ".2%"),
)
"""Those of a model that was trained from several seeds."""


@dataclass(frozen=True)
class Row:
    """One system and its figures by column key; a figure that it lacks is absent or None."""

    name: str
    values: Mapping[str, Any]
    is_baseline: bool

    def value(self, column: Column) -> float | None:
        value = self.values.get(column.key)
        return None if value is None else float(value)


class ResultTable:
    """Rows and columns, free of any renderer.

    Raises: ArgumentError for a model's row without a baseline's row: no score stands alone.
    """

    def __init__(self, rows: Sequence[Row], *, columns: Sequence[Column]) -> None:
        models = [row.name for row in rows if not row.is_baseline]
        if models and len(models) == len(rows):
            raise ArgumentError(f"{models[0]!r} stands alone; add the row of at least one baseline")
        self.rows = tuple(rows)
        self.columns = tuple(column for column in columns if any(row.value(column) is not None for row in rows))
        """Those of `columns` that at least one row fills."""

    def best(self, column: Column) -> set[int]:
        """The indices of the rows that win this column; none where it has no better end or no number."""
        values = {i: v for i, row in enumerate(self.rows) if (v := row.value(column)) is not None and not math.isnan(v)}
        if column.better is None or not values:
            return set()
        winner = min(values.values()) if column.better == "lower" else max(values.values())
        return {i for i, value in values.items() if value == winner}

    @property
    def header(self) -> list[str]:
        return ["model", *(column.label for column in self.columns)]

    def cells(self) -> list[list[str]]:
        """Every row as text, its name first; an absent figure is empty."""
        return [[row.name, *(_text(row.value(column), column) for column in self.columns)] for row in self.rows]

    def to_markdown(self) -> str:
        """The table as Markdown, the winners bold."""
        cells = self.cells()
        for index, column in enumerate(self.columns, start=1):
            for row in self.best(column):
                cells[row][index] = f"**{cells[row][index]}**"
        lines = [self.header, ["---", *("---:" for _ in self.columns)], *cells]
        return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)


def _text(value: float | None, column: Column) -> str:
    return "" if value is None else format(value, column.format)
