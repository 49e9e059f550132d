"""Drawings are SVG that any reader parses, in which nothing stands outside and nothing is missing."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from rnnkit.api.automaton_drawing import dfa_svg
from rnnkit.api.drawing import Box, Column, unrolled_svg
from rnnkit.automata import Dfa, named

SVG = "{http://www.w3.org/2000/svg}"


def drawn(svg: str) -> tuple[list[str], int]:
    """All texts, and the number of circles; asserts that all lines stay inside the picture."""
    root = ElementTree.fromstring(svg)
    left, top, width, height = map(float, root.attrib["viewBox"].split())
    for path in root.iter(f"{SVG}path"):
        numbers = [float(number) for number in re.findall(r"-?\d+\.?\d*", path.attrib["d"])]
        (x0, y0), *middle, (x1, y1) = zip(numbers[::2], numbers[1::2], strict=True)
        points = [(x0, y0), (x1, y1)]
        if len(middle) == 1:  # the middle of a quadratic curve
            points.append((0.25 * x0 + 0.5 * middle[0][0] + 0.25 * x1, 0.25 * y0 + 0.5 * middle[0][1] + 0.25 * y1))
        for x, y in points:
            assert left <= x <= left + width
            assert top <= y <= top + height
    texts = [text.text or "" for text in root.iter(f"{SVG}text")]
    return texts, len([*root.iter(f"{SVG}circle")])


@pytest.mark.parametrize("name", [*(f"tomita-{number}" for number in range(1, 8)), "parity"])
def test_an_automaton_is_drawn_without_the_state_of_no_return(name: str) -> None:
    dfa = named(name)
    assert isinstance(dfa, Dfa)
    dfa = dfa.minimized()
    live = dfa.log_counts(len(dfa.table)).max(0) > -np.inf
    texts, circles = drawn(dfa_svg(dfa))
    assert circles == live.sum() + (dfa.is_accepting & live).sum()
    for state in np.flatnonzero(live):
        assert str(state) in texts


def test_long_ways_back_stay_inside() -> None:
    drawn(dfa_svg(Dfa.from_regex("(abcdefghijk)*|a(b|c)*d")))


def test_characters_of_an_edge_are_ranges_and_escaped() -> None:
    texts, _ = drawn(dfa_svg(Dfa.from_regex("[a-f<&]+[0-9]")))
    assert "&,<,a-f" in texts
    assert "0-9" in texts


def test_an_automaton_that_accepts_nothing_is_its_start() -> None:
    assert drawn(dfa_svg(Dfa("a", np.array([[0]]), np.array([False]))))[1] == 1


def test_an_unrolled_network_has_a_column_for_each_step() -> None:
    columns = [Column(f"x{t}", [Box(["cell <1>"], "forward"), Box(["head"])], ["loss"], "h") for t in range(3)]
    svg = unrolled_svg(columns, notes=[["12 parameters"], []], title="three steps")
    texts, _ = drawn(re.sub("^<div[^>]*>|</div>$", "", svg))
    assert texts.count("cell <1>") == texts.count("head") == texts.count("loss") == 3
    assert texts.count("h") == 2  # the state is handed on twice
    assert {"x0", "x1", "x2", "12 parameters"} <= {*texts}
