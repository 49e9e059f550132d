"""SVG of a finite automaton: states level by level from the start, edges with the characters that lead along them."""

from __future__ import annotations

import html
import math

import numpy as np

from rnnkit.automata import Dfa

_STEP_X, _STEP_Y, _RADIUS = 150, 105, 20
_LONGEST_LABEL = 18

Point = tuple[float, float]


def dfa_svg(dfa: Dfa) -> str:
    """Without the state from which nothing is accepted any more: what has no edge leads there."""
    live = dfa.log_counts(len(dfa.table)).max(0) > -np.inf
    live[dfa.start] = True
    places = _places(dfa, live)
    width = max(x for x, _ in places.values()) + 110
    height = max(y for _, y in places.values()) + 70
    span = max(math.dist(one, other) for one in places.values() for other in places.values())
    margin = _bend(span) if span > _STEP_X else 0  # of the widest curve, above and below
    x, y = places[dfa.start]
    parts = [_path([(x - 60, y), (x - _RADIUS, y)])]
    for state, (x, y) in places.items():
        for after in sorted({*dfa.table[state].tolist()} & {*places}):
            columns = np.flatnonzero(dfa.table[state] == after)
            label = _classes("".join(dfa.symbols[column] for column in columns))
            parts.append(_edge((x, y), places[after], label))
        rings = (_RADIUS, _RADIUS - 4) if dfa.is_accepting[state] else (_RADIUS,)
        parts += [f'<circle cx="{x:g}" cy="{y:g}" r="{radius}" class="line"/>' for radius in rings]
        parts.append(f'<text x="{x:g}" y="{y + 4:g}" text-anchor="middle">{state}</text>')
    tall = height + 2 * margin
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 {-margin:g} {width:g} {tall:g}" width="{width:g}" '
        f'height="{tall:g}" role="img" aria-label="automaton of {len(dfa.table)} states"><style>'
        "text{font:12px sans-serif;fill:currentColor}.line{stroke:currentColor;fill:none}.tip{fill:currentColor}"
        f"</style>{''.join(parts)}</svg>"
    )


def _places(dfa: Dfa, live: np.ndarray) -> dict[int, Point]:
    """Where each state stands: its level is the length of the shortest text that leads to it."""
    levels, waiting = {dfa.start: 0}, [dfa.start]
    for state in waiting:
        for after in dfa.table[state].tolist():
            if after not in levels and live[after]:
                levels[after] = levels[state] + 1
                waiting.append(after)
    rows: dict[int, list[int]] = {}
    for state, level in levels.items():
        rows.setdefault(level, []).append(state)
    middle = 60 + _STEP_Y * (max(map(len, rows.values())) - 1) / 2
    return {
        state: (80 + _STEP_X * level, middle + _STEP_Y * (at - (len(states) - 1) / 2))
        for level, states in rows.items()
        for at, state in enumerate(states)
    }


def _edge(start: Point, end: Point, label: str) -> str:
    if start == end:
        x, y = start
        curve = [(x - 9, y - 18), (x - 30, y - 62), (x + 30, y - 62), (x + 9, y - 18)]
        return _path(curve) + _label((x, y - 54), label)
    along = (end[0] - start[0], end[1] - start[1])
    length = math.hypot(*along)
    over = (along[0] / length, along[1] / length)
    aside = (over[1], -over[0])  # to the left of the way, so that there and back do not meet
    bend = 14 if 0 < along[0] <= _STEP_X else _bend(length)
    control = ((start[0] + end[0]) / 2 + 2 * bend * aside[0], (start[1] + end[1]) / 2 + 2 * bend * aside[1])
    first, last = (_towards(place, control) for place in (start, end))
    middle = tuple(0.25 * a + 0.5 * b + 0.25 * c for a, b, c in zip(first, control, last, strict=True))
    return _path([first, control, last]) + _label((middle[0], middle[1] - 4), label)


def _bend(length: float) -> float:
    """How far a curve between states that are no neighbours leaves the straight line."""
    return 34 + length / 8


def _towards(place: Point, other: Point) -> Point:
    """On the circle around a state, in the direction of a point."""
    length = math.hypot(other[0] - place[0], other[1] - place[1])
    return tuple(a + _RADIUS * (b - a) / length for a, b in zip(place, other, strict=True))  # type: ignore[return-value]


def _path(points: list[Point]) -> str:
    """A line or curve with a tip at its end."""
    kind = {2: "L", 3: "Q", 4: "C"}[len(points)]
    first, *rest = (f"{x:.1f} {y:.1f}" for x, y in points)
    (x, y), (from_x, from_y) = points[-1], points[-2]
    length = math.hypot(x - from_x, y - from_y)
    over, down = (x - from_x) / length, (y - from_y) / length
    base_x, base_y = x - 8 * over, y - 8 * down
    corners = ((x, y), (base_x - 4 * down, base_y + 4 * over), (base_x + 4 * down, base_y - 4 * over))
    tip = " ".join(f"{corner_x:.1f},{corner_y:.1f}" for corner_x, corner_y in corners)
    return f'<path class="line" d="M{first}{kind}{",".join(rest)}"/><polygon class="tip" points="{tip}"/>'


def _label(place: Point, text: str) -> str:
    shown = text if len(text) <= _LONGEST_LABEL else text[: _LONGEST_LABEL - 1] + "…"
    return (
        f'<text x="{place[0]:.1f}" y="{place[1]:.1f}" text-anchor="middle">{html.escape(shown)}'
        f"<title>{html.escape(text)}</title></text>"
    )


def _classes(symbols: str) -> str:
    """Characters, those that follow each other in Unicode as ranges: "0-9a-f@"."""
    runs: list[str] = []
    for symbol in sorted(symbols):
        if runs and ord(symbol) == ord(runs[-1][-1]) + 1:
            runs[-1] += symbol
        else:
            runs.append(symbol)
    shown = [f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(run) for run in runs]
    return ",".join(shown).replace(" ", "▁")
