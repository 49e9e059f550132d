"""SVG of a network unrolled over time: a column for each step, boxes above each other, arrows along the state."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

_BOX, _GAP, _LINE, _RISE = 132, 46, 16, 30  # pixels: width, gap to the next column, a line of text, gap to the next box
_SIDE = 250  # for the notes at the left


@dataclass(frozen=True)
class Box:
    """What computes. lines: what stands in it.  arrow: "" or where its state goes: "forward", "reverse"."""

    lines: Sequence[str]
    arrow: str = ""


@dataclass(frozen=True)
class Column:
    """A step. bottom: what it reads.  boxes: from below.  top: what is made of it.  arrow: beside the state's arrow."""

    bottom: str
    boxes: Sequence[Box]
    top: Sequence[str] = ()
    arrow: str = ""


def unrolled_svg(columns: Sequence[Column], *, notes: Sequence[Sequence[str]], title: str) -> str:
    """Columns of equally many boxes, beside each other.

    Args: notes: for each box of a column, from below, lines that stand at the left.
    """
    heights = [_LINE * max(len(column.boxes[row].lines) for column in columns) + 12 for row in range(len(notes))]
    top_lines = max(len(column.top) for column in columns)
    head = _LINE * top_lines + _RISE
    height = head + sum(heights) + _RISE * len(heights) + 2 * _LINE
    bottoms = []  # the lower edge of each row of boxes
    y = height - 2 * _LINE
    for tall in heights:
        bottoms.append(y - _RISE + 8)
        y -= tall + _RISE
    side = _SIDE if any(notes) else 8
    width = side + len(columns) * (_BOX + _GAP)
    parts = [_text(8, low - tall + _LINE + 2, lines) for low, tall, lines in zip(bottoms, heights, notes, strict=True)]
    for number, column in enumerate(columns):
        left = side + number * (_BOX + _GAP)
        middle, below = left + _BOX / 2, height - _LINE - 4
        parts.append(_text(middle, height - 6, [column.bottom], anchor="middle"))
        for row, (box, low, tall) in enumerate(zip(column.boxes, bottoms, heights, strict=True)):
            parts.append(_arrow(middle, below - _LINE + 6 if row == 0 else below, middle, low))
            parts.append(f'<rect x="{left}" y="{low - tall}" width="{_BOX}" height="{tall}" rx="6" class="box"/>')
            parts.append(_text(middle, low - tall + _LINE + 2, box.lines, anchor="middle"))
            beside = low - tall / 2
            if box.arrow == "forward" and number + 1 < len(columns):
                parts.append(_arrow(left + _BOX, beside, left + _BOX + _GAP, beside))
                parts.append(_text(left + _BOX + _GAP / 2, beside - 6, [column.arrow], anchor="middle"))
            if box.arrow == "reverse" and number:
                parts.append(_arrow(left, beside, left - _GAP, beside))
            below = low - tall
        if column.top:
            parts.append(_arrow(middle, below, middle, below - _RISE + 12))
            parts.append(_text(middle, below - _RISE + 6 - _LINE * (len(column.top) - 1), column.top, anchor="middle"))
    return (
        f'<div class="wide"><svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="{html.escape(title)}">{_STYLE}{"".join(parts)}</svg></div>'
    )


_STYLE = (
    "<style>text{font:12px sans-serif;fill:currentColor}.box{fill:none;stroke:currentColor;stroke-width:1.2}"
    ".line{stroke:currentColor;fill:none}.tip{fill:currentColor}</style>"
)


def _text(x: float, y: float, lines: Sequence[str], *, anchor: str = "start") -> str:
    return "".join(
        f'<text x="{x:g}" y="{y + _LINE * number:g}" text-anchor="{anchor}">{html.escape(line)}</text>'
        for number, line in enumerate(lines)
        if line
    )


def _arrow(x: float, y: float, to_x: float, to_y: float) -> str:
    """A line along one axis with a tip."""
    over, down = (to_x > x) - (to_x < x), (to_y > y) - (to_y < y)
    base_x, base_y = to_x - 7 * over, to_y - 7 * down
    tip = f"{to_x:g},{to_y:g} {base_x + 4 * down:g},{base_y + 4 * over:g} {base_x - 4 * down:g},{base_y - 4 * over:g}"
    line = f'<path class="line" d="M{x:g} {y:g}L{base_x:g} {base_y:g}"/>'
    return f'{line}<polygon class="tip" points="{tip}"/>'
