"""What the pages say of a result: a classifier's runs by accuracy, with the interval and the paired test."""

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
    for end in ("low", "high"):
        model[end] = model.pop(f"accuracy_{end}")  # as of frames
    assert measured._section(result) == section
    assert "- its peer: 0.7000, wanted at most 0.6: **missed**" in section
    line = measured._line(result)
    assert line.endswith("| accuracy | 0.9750 | at least 0.97 | dtw: 94.00% | **1 of 2** |\n")
    part = {"name": "layers", "accuracy": 0.96, "low": 0.95, "high": 0.97, "seeds_mean": 0.955, "p_value": 0.02}
    result["runs"]["seed-0"]["baselines"].append(part)  # of a model of two parts: its own, and no baseline
    section = measured._section(result)
    assert "| seed-0 | 9 s | 97.50% | 96.00% to 98.50% |  | dtw | 94.00% | 0.004 |" in section
    assert "| seed-0: its layers alone |  | 96.00% | 95.00% to 97.00% | 95.50% |  |  | 0.02 |" in section
    assert measured._line(result) == line


def test_a_taggers_result_is_shown_by_spans_or_words() -> None:
    sys.path.insert(0, str(ROOT / "recipes"))
    try:
        measured = importlib.import_module("_measured")
    finally:
        sys.path.pop(0)
    own = {"low": 0.2, "high": 0.4, "sentences_right": 0.5, "train_seconds": 9.4}
    model = {"name": "lstm", "accuracy": 0.9, "f1": 0.3, **own}
    rows = [
        {"name": name, "accuracy": a, "f1": f1, "p_value": 0.01}
        for name, a, f1 in (("hmm", 0.95, 0.1), ("crf", 0.8, 0.2))
    ]
    result = {
        "recipe": "names", "machine": {"processor": "P", "threads": 2, "isa": "amx"}, "date": "d", "commit": "c" * 40,
        "runs": {"spans": {"model": model, "baselines": rows}}, "claims": [],
    }  # fmt: skip
    assert "| spans | 9 s | span F1 | 30.00% | 20.00% to 40.00% |  | crf | 20.00% | 0.01 |" in measured._section(result)
    model["seeds_mean"] = 0.25
    assert "| 20.00% to 40.00% | 25.00% | crf |" in measured._section(result)
    del model["seeds_mean"]
    plain = [{key: value for key, value in row.items() if key != "f1"} for row in (model, *rows)]
    result["runs"] = {"words": {"model": plain[0], "baselines": plain[1:]}}
    section = measured._section(result)
    assert "| words | 9 s | accuracy | 90.00% | 20.00% to 40.00% |  | hmm | 95.00% | 0.01 |" in section


def test_a_result_of_several_labels_a_frame_is_shown_in_nats() -> None:
    sys.path.insert(0, str(ROOT / "recipes"))
    try:
        measured = importlib.import_module("_measured")
    finally:
        sys.path.pop(0)
    own = {"low": 7.8, "high": 8.2, "frames_right": 0.1, "f1": 0.4, "nats_after_first": 8.1, "train_seconds": 9.4}
    model = {"name": "lstm", "nats": 8.0, **own}
    rows = [{**model, "name": name, "nats": nats, "p_value": 0.01} for name, nats in (("mlp", 8.5), ("majority", 11.0))]
    result = {
        "recipe": "chorales", "machine": {"processor": "P", "threads": 2, "isa": "amx"}, "date": "d",
        "commit": "c" * 40, "runs": {"seed-0": {"model": model, "baselines": rows}},
        "claims": [{"what": "nats", "value": 8.0, "at_most": 8.3, "holds": True}],
    }  # fmt: skip
    assert "| seed-0 | 9 s | 8.0000 | 7.8000 to 8.2000 | 8.1000 | 40.00% | mlp | 8.5000 | 0.01 |" in measured._section(
        result
    )
    assert "| mlp: 8.5000 nats per frame | 1 of 1 |" in measured._line(result)


def test_a_result_of_written_texts_is_shown_by_its_own_figure() -> None:
    sys.path.insert(0, str(ROOT / "recipes"))
    try:
        measured = importlib.import_module("_measured")
    finally:
        sys.path.pop(0)
    own = {"bleu": 35.0, "chrf": 60.0, "exact": 0.2, "wer": 0.5, "low": 34.0, "high": 36.0, "num_outputs": 10}
    model = {"name": "lstm", "figure": "bleu", "train_seconds": 9.4, **own}
    rows = [{**model, "name": name, "bleu": bleu} for name, bleu in (("copy-source", 5.0), ("nearest-source", 12.9))]
    result = {
        "recipe": "de-en", "machine": {"processor": "P", "threads": 2, "isa": "amx"}, "date": "d", "commit": "c" * 40,
        "runs": {"attention": {"model": model, "baselines": rows}},
        "claims": [{"what": "BLEU", "value": 35.0, "at_least": 34.0, "holds": True}],
    }  # fmt: skip
    shown = (
        "| attention | 9 s | 35.00 BLEU | 34.00 BLEU to 36.00 BLEU | 35.00 | 60.00 | 20.00% | nearest-source | 12.90"
    )
    assert shown in measured._section(result)
    assert "| nearest-source: 12.90 BLEU | 1 of 1 |" in measured._line(result)
    for row, wer in zip((model, *rows), (0.1, 0.4, 0.3), strict=True):
        row |= {"figure": "wer", "wer": wer, "low": 0.05, "high": 0.15}
    shown = "| 10.00% wer | 5.00% wer to 15.00% wer | 35.00 | 60.00 | 20.00% | nearest-source | 30.00% wer |"
    assert shown in measured._section(result)


def test_a_simulators_result_is_shown_by_its_free_run_beside_arx() -> None:
    sys.path.insert(0, str(ROOT / "recipes"))
    try:
        measured = importlib.import_module("_measured")
    finally:
        sys.path.pop(0)
    model = {"name": "gru", "rmse": 1.5, "nrmse": 0.02, "low": 1.2, "high": 1.9, "one_step": 0.4, "fit": 98.0}
    rows = [
        {"name": name, "rmse": off, "nrmse": off / 50, "p_value": 0.01} for name, off in (("arx", 15.0), ("mlp", 4))
    ]
    result = {
        "recipe": "box", "machine": {"processor": "P", "threads": 1, "isa": "amx"}, "date": "d", "commit": "c" * 40,
        "runs": {"gru": {"model": model | {"train_seconds": 9.4}, "baselines": rows, "figure": "rmse"}},
        "claims": [{"what": "error, mV", "value": 1.5, "at_most": 2.0, "holds": True}],
    }  # fmt: skip
    section = measured._section(result)
    row = "| gru | 9 s | RMSE | 1.5000 | 1.2000 to 1.9000 | 0.4000 | 98.00 | mlp | 4.0000 | 15.0000 | 0.01 |"
    assert row in section
    assert measured._line(result).endswith("| error, mV | 1.5000 | at most 2 | mlp: RMSE 4.0000 | 1 of 1 |\n")
