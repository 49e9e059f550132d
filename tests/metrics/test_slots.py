"""Slot errors: a case by hand for every rule, and the sum over records."""

from __future__ import annotations

import pytest

from rnnkit.errors import ArgumentError
from rnnkit.metrics.slots import slot_counts, slot_figures

WORDS = {"name": ["SLOT_NAME"], "food": ["SLOT_FOOD"], "kids": ["kid", "kids", "children"]}


@pytest.mark.parametrize(
    ("wanted", "output", "counts"),
    [
        ({"name": 1, "food": 1}, "SLOT_NAME serves SLOT_FOOD", [0, 0, 2]),
        ({"name": 1, "food": 1}, "SLOT_NAME is SLOT_NAME", [1, 1, 2]),
        ({"name": 2}, "SLOT_NAME and SLOT_NAME", [0, 0, 2]),
        ({"name": 2}, "SLOT_NAME , SLOT_FOOD", [1, 1, 2]),
        ({"name": 1, "kids": 1}, "SLOT_NAME welcomes children", [0, 0, 2]),
        ({"name": 1, "kids": 1}, "SLOT_NAME welcomes kids and children", [0, 1, 2]),
        ({"name": 1}, "SLOT_NAME has no kids' menu for a kid", [0, 1, 1]),
        ({}, "goodbye", [0, 0, 0]),
        ({"food": 1}, "xSLOT_FOOD SLOT_FOODx", [1, 0, 1]),
    ],
)
def test_a_slot_is_missing_below_what_is_wanted_and_redundant_above_it(
    wanted: dict[str, int], output: str, counts: list[int]
) -> None:
    assert slot_counts([wanted], [output], WORDS).tolist() == [counts]


def test_the_rate_is_that_of_the_sums_over_records() -> None:
    counts = slot_counts([{"name": 1}, {"name": 1, "food": 2}], ["SLOT_NAME", "SLOT_NAME SLOT_NAME SLOT_FOOD"], WORDS)
    found = slot_figures(counts)
    assert found["slot_error"] == 2 / 4
    assert (found["slots_missing"], found["slots_redundant"], found["num_slots"]) == (1, 1, 4)
    assert found["slot_error_low"] <= 0.5 <= found["slot_error_high"]


def test_slots_without_words_and_unequal_numbers_are_refused() -> None:
    with pytest.raises(ArgumentError, match="record 1 wants the slot 'area'"):
        slot_counts([{}, {"area": 1}], ["", ""], WORDS)
    with pytest.raises(ArgumentError, match="1 records and 2 outputs"):
        slot_counts([{}], ["", ""], WORDS)
