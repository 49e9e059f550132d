"""What the README says of a result: a classifier's runs by accuracy, with the interval and the paired test."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_classifiers_result_is_shown_by_accuracy() -> None:
    sys.path.insert(0, str(ROOT / "recipes"))
    try:
        measured = importlib.import_module("_measured")
    finally:
        sys.path.pop(0)
    model = {"name": "lstm", "accuracy": 0.975, "accuracy_low": 0.96, "accuracy_high": 0.985, "train_seconds": 9.4}
    weak, strong = ({"name": name, "accuracy": a, "p_value": 0.004} for name, a in (("majority", 0.1), ("dtw", 0.94)))
    result = {
        "recipe": "vowels", "machine": {"processor": "P", "threads": 2, "isa": "amx"}, "date": "d", "commit": "c" * 40,
        "runs": {"seed-0": {"model": model, "baselines": [weak, strong]}},
        "claims": [
            {"what": "accuracy", "value": 0.975, "at_least": 0.97, "holds": True},
            {"what": "its peer", "value": 0.7, "at_most": 0.6, "holds": False},
        ],
    }  # fmt: skip
    section = measured._section(result)
    assert "| seed-0 | 9 s | 97.50% | 96.00% to 98.50% |  | dtw | 94.00% | 0.004 |" in section
    assert "- accuracy: 0.9750, wanted at least 0.97\n" in section
    assert "- its peer: 0.7000, wanted at most 0.6: **missed**" in section
