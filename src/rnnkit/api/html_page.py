"""report.html of a run: one file with its pictures in it, which asks no host for anything."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping, Sequence


def document(name: str, *parts: str) -> str:
    """A page under the heading `name`, of parts that are HTML."""
    body = "\n".join(parts)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(name)}</title><style>
:root {{ color-scheme: light dark }}
body {{ font: 15px/1.5 sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em; overflow-wrap: anywhere }}
table {{ border-collapse: collapse; display: block; overflow-x: auto }}
td, th {{ padding: .2em .8em; border-bottom: 1px solid #8886; text-align: left; overflow-wrap: normal }}
img, svg {{ max-width: 100%; height: auto; display: block; margin: 1em 0 }}
.text {{ font-family: monospace; line-height: 1.8; print-color-adjust: exact }}
.warning {{ border-left: 4px solid #d60; padding-left: 1em }}
pre, .wide {{ overflow-x: auto }} td pre {{ margin: 0 }} .wide svg {{ max-width: none }}
@media screen and (max-width: 700px) {{ .wide img {{ max-width: none; width: 44em }} }}
@media print {{ body {{ max-width: none; margin: 0 }} img, svg, tr {{ break-inside: avoid }} }}
</style></head><body>
<h1>{html.escape(name)}</h1>
{body}
</body></html>
"""


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells of plain text."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>\n" for row in rows)
    return f"<table><tr>{head}</tr>\n{body}</table>"


def scores(per_name: Mapping[str, Mapping[str, float]], *, of: str, counted: str) -> str:
    """Precision, recall, F1 and count of each name. Args: of, counted: what the names and the counts are."""
    cells = [
        [name, *(f"{row[key]:.1%}" for key in ("precision", "recall", "f1")), str(row["count"])]
        for name, row in per_name.items()
    ]
    return table([of, "precision", "recall", "F1", counted], cells)


def pictures(named: Mapping[str, bytes]) -> str:
    """PNGs by their titles."""
    return "".join(
        f'<img alt="{html.escape(title)}" src="data:image/png;base64,{base64.b64encode(data).decode()}">'
        for title, data in named.items()
    )
