"""What every verb prints with: JSON to stdout, tables, and one live line on stderr."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.text import Text

    from rnnkit.api import ResultTable

PLAIN_LINE_EVERY_S = 5.0
LIVE_LINE_EVERY_S = 0.1
_WIDE = 1000  # columns: a narrower terminal wraps a line, where rich would leave out digits


def print_json(value: Any) -> None:
    """`value` as one JSON document on stdout."""
    print(json.dumps(value, ensure_ascii=False, indent=2))


def note(text: str) -> None:
    """A remark for people: to stderr, so that stdout stays machine-readable."""
    print(text, file=sys.stderr)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]], *, title: str | None = None) -> None:
    """A table on stdout; the first column is text, the others are figures, of which none is ever cut to fit."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(title) if title else None,  # a plain string would be read as markup: "[/b]" is an error there
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    for number, column in enumerate(columns):
        words = column.replace(" ", "\n")  # narrow enough for a terminal of 80 columns where the figures are
        table.add_column(words, justify="right" if number else "left", vertical="bottom", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    Console(file=sys.stdout, width=_WIDE).print(table)


class LiveLine:
    """One line that is rewritten in place on a terminal, and printed now and then anywhere else."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.is_live = self.stream.isatty()
        self._interval_s = LIVE_LINE_EVERY_S if self.is_live else PLAIN_LINE_EVERY_S
        self._last_s = float("-inf")
        self._is_open = False

    def show(self, *parts: str) -> None:
        """Replace the line; skipped when the last one is too young. A terminal shows as many parts as fit."""
        now = time.monotonic()
        if now - self._last_s < self._interval_s:
            return
        self._last_s = now
        text = " · ".join(parts)
        if self.is_live:  # a line that wraps cannot be rewritten
            room = shutil.get_terminal_size().columns - 1
            while len(text) > room and len(parts) > 1:
                parts = parts[:-1]
                text = " · ".join(parts)
            text = text[:room]
        self.stream.write(f"\r{text}\x1b[K" if self.is_live else f"{text}\n")
        self.stream.flush()
        self._is_open = self.is_live

    def keep(self, text: str) -> None:
        """Print a line that stays."""
        self.stream.write(f"\r{text}\x1b[K\n" if self._is_open else f"{text}\n")
        self.stream.flush()
        self._is_open = False

    def close(self) -> None:
        """End the live line, so that what follows starts on a line of its own."""
        if self._is_open:
            self.stream.write("\n")
            self.stream.flush()
            self._is_open = False


def print_result_table(table: ResultTable, *, title: str | None = None) -> None:
    """A model beside its baselines: winners bold, the model marked."""
    from rich.text import Text

    winners = [table.best(column) for column in table.columns]
    rows = []
    for number, cells in enumerate(table.cells()):
        name = cells[0] if table.rows[number].is_baseline else f"{cells[0]} (this model)"
        marked = [Text(c, style="bold" if number in winners[i] else "") for i, c in enumerate(cells[1:])]
        rows.append([name, *marked])
    print_table(table.header, rows, title=title)


def figure(value: float | None, digits: int = 3) -> str:
    """A number for a table; a dash where there is none."""
    return "–" if value is None else f"{value:,.{digits}f}"


def num_bytes(value: float | None) -> str:
    """Bytes in the largest unit that keeps three figures readable."""
    if value is None:
        return "–"
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError


def duration(seconds: float) -> str:
    """Seconds as people say them: 42 s, 3 min 05 s, 1 h 02 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
