"""explain_worked: a tiny network worked through by hand, on a page and on a terminal."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import numpy as np

from rnnkit.api.drawing import Box, Column, unrolled_svg
from rnnkit.api.explanation_page import Section, write_report
from rnnkit.api.training import require_torch

_DIGITS = 4


def explain_worked(
    text: str = "hello",
    *,
    cell: str = "elman_tanh",
    hidden_size: int = 3,
    lr: float = 0.1,
    seed: int = 0,
    out: str | Path | None = None,
) -> dict[str, Any]:
    """Work through a network that learns to write `text`: every number, with its equation.

    Args:   as `rnnkit.explain.worked`.  out: the folder for `report.html` and `explain.json`; None: `worked-TEXT`, with
            what is no letter or digit of TEXT left out.
    Returns: the content of `explain.json`; `report`: where the page is; `shown`: the same as text for a terminal.
    Raises: MissingExtraError without torch; ArgumentError, ConfigError.
    """
    require_torch()
    from rnnkit.explain.by_hand import worked

    found = worked(text, cell=cell, hidden_size=hidden_size, lr=lr, seed=seed)
    opening = Section("What is calculated")
    opening.say(
        f"A network with the letters {' '.join(found.letters)}, one layer of {hidden_size} units of {cell}, and a "
        f"softmax. It reads the letters of {text!r} and is to say the one that follows each. All of it is done once: "
        f"forward, the loss, backward, an update with the rate {lr:g}; then the network writes. Numbers are shown with "
        f"{_DIGITS} decimals, and in explain.json in full."
    )
    opening.parts.append(f"<pre>{html.escape(found.equations)}\ns = V h + d\np = softmax(s)\nL = −ln p(target)</pre>")
    opening.parts.append(_drawing(found))
    sections = [opening]
    lines = [found.equations, "s = V h + d;  p = softmax(s);  L = −ln p(target)"]
    for block in found.blocks():
        section = Section(block.title)
        rows = [(row.name, row.equation, shown(row.value)) for row in block.rows]
        cells = "".join(
            f"<tr><td><code>{html.escape(name)}</code></td><td>{html.escape(equation)}</td>"
            f"<td><pre>{html.escape(value)}</pre></td></tr>"
            for name, equation, value in rows
        )
        section.parts.append(f"<table>{cells}</table>")
        sections.append(section)
        lines += ["", f"## {block.title}", ""]
        for name, equation, value in rows:
            lines.append(f"{name}  =  {equation}")
            lines += [f"    {line}" for line in value.splitlines()]
    values = {
        "text": text,
        "letters": found.letters,
        "cell": cell,
        "lr": lr,
        "num_updates": found.num_updates,
        "blocks": [
            {"title": block.title, "rows": [[row.name, row.equation, _plain(row.value)] for row in block.rows]}
            for block in found.blocks()
        ],
    }
    folder = out or "worked-" + "".join(letter for letter in text if letter.isalnum())
    report = write_report(folder, f"{text!r}, worked through", sections, values, {})
    return {**report, "shown": "\n".join(lines)}


def shown(value: Any) -> str:
    """A number, a vector on a line, or a matrix on as many lines as it has rows."""
    if isinstance(value, str):
        return value
    array = np.asarray(value, np.float64)
    rows = array[None] if array.ndim < 2 else array
    return "\n".join(" ".join(f"{number:+.{_DIGITS}f}" for number in np.atleast_1d(row).ravel()) for row in rows)


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


def _drawing(found: Any) -> str:
    backward = {block.title: block for block in found.backward}
    columns = []
    for number, block in enumerate(found.forward, start=1):
        letter, target = found.text[number - 1], found.text[number]
        gradient = float(np.linalg.norm(backward[f"Backward, step {number}"]["∂L/∂h"]))
        h, p = block["h"], block["p"]
        units = [f"h = {h[0]:+.2f}", *(f"{value:+.2f}" for value in h[1:4])] + ["…"] * (len(h) > 4)
        says = [f"p({one!r}) = {share:.2f}" for one, share in zip(found.letters, p, strict=True)][:6]
        boxes = [Box([*units, f"‖∂L/∂h‖ = {gradient:.3f}"], "forward"), Box(says)]
        columns.append(Column(repr(letter), boxes, [f"wanted {target!r}", f"L = {block['L']:.3f}"], "h"))
    notes = [[f"{found.cell}, the same", "weights at every step"], ["softmax(V h + d)"]]
    return unrolled_svg(columns, notes=notes, title=f"the network unrolled over {found.text!r}")
