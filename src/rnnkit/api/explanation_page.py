"""The page of a report of `rnnkit explain`, section by section, and the files beside it."""

from __future__ import annotations

import html
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rnnkit import durable
from rnnkit.api import html_page


@dataclass
class Section:
    """A part of a report: what is said, shown, and kept as numbers."""

    title: str
    parts: list[str] = field(default_factory=list)
    pictures: dict[str, bytes] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)

    def say(self, *sentences: str) -> None:
        """Add a paragraph of plain text."""
        self.parts.append(f"<p>{html.escape(' '.join(sentences))}</p>")

    def show(self, name: str, picture: bytes, *, title: str) -> None:
        """Add a PNG. Args: name: of its file."""
        self.pictures[name] = picture
        self.parts.append(f'<div class="wide">{html_page.pictures({title: picture})}</div>')

    def to_html(self) -> str:
        return f"<h2>{html.escape(self.title)}</h2>\n" + "\n".join(self.parts)


def write_report(
    out: str | Path,
    title: str,
    sections: list[Section],
    values: dict[str, Any],
    arrays: dict[str, np.ndarray],
    *,
    numbers: str = "explain.json",
) -> dict[str, Any]:
    """Write a page, its pictures and, into the file `numbers`, its numbers; returns these with the page's place."""
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in [one for section in sections for one in section.pictures.items()]:
        durable.write_file(folder / name, picture)
    if arrays:
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # type: ignore[arg-type]
        durable.write_file(folder / "trace.npz", buffer.getvalue())
    durable.write_file(folder / numbers, json.dumps(values, ensure_ascii=False, indent=1).encode())
    page = html_page.document(title, *(section.to_html() for section in sections))
    durable.write_file(folder / "report.html", page.encode())
    return {**values, "report": str(folder / "report.html")}
