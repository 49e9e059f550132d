"""Several runs side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rnnkit.errors import ArgumentError, BundleError, MissingFileError
from rnnkit.metrics import paired_difference

_COMPARED = ("lm", "classify")


def compare(runs: Sequence[str | Path], *, picture: str | Path | None = None) -> list[dict[str, Any]]:
    """The figures of several runs, best first among those judged on one text, or the same sequences: only they compare.

    Args:    runs: run folders, all of language models or all of classifiers.  picture: where to draw their learning
             curves, of classifiers their accuracies, as PNG, or None.
    Returns: one dict per run: `run`, `cell`, `num_parameters`, `train_seconds`, and of a language model `perplexity`,
             `nats_per_character`, `bits_per_character`, `best_baseline` (its `name` and `nats_per_character`),
             `test_text` (SHA-256 of what it was judged on). Of a classifier `accuracy` with `accuracy_low` and
             `accuracy_high`, `micro_f1` where there are several labels, `macro_f1`, `nats`, `best_baseline` (its `name`
             and `accuracy`), `test_text`; and of all but the best on their sequences the paired difference to it, as
             `rnnkit.metrics.paired_difference` gives it.
    Raises:  MissingFileError for a folder without metrics, BundleError for one with others; ArgumentError for runs of
             different tasks, or of one that has no comparison; MissingExtraError if a picture needs matplotlib.
    """
    by_name = {str(run): read_metrics(run) for run in runs}
    of_classifiers = _are_classifiers(by_name)
    rows = []
    for name, metrics in by_name.items():
        try:
            rows.append((_classifier_row if of_classifiers else _row)(name, metrics))
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(f"{Path(name) / 'metrics.json'} is not a run's ({error!r}); train again") from None
    if picture is not None:
        from rnnkit.api import curves

        draw = curves.draw_accuracies if of_classifiers else curves.draw_runs
        curves.write_png(picture, draw(by_name))
    texts = [row["test_text"] for row in rows]
    if not of_classifiers:
        return sorted(rows, key=lambda row: (texts.index(row["test_text"]), row["nats_per_character"]))
    rows.sort(key=lambda row: (texts.index(row["test_text"]), -row["accuracy"]))
    best: dict[str, str] = {}
    for row in rows:
        first = best.setdefault(row["test_text"], row["run"])
        if first != row["run"]:
            row |= paired_difference(*(_right(name, by_name[name]) for name in (first, row["run"])))
    return rows


def _are_classifiers(by_name: dict[str, Any]) -> bool:
    """Whether all runs are classifiers; else they are language models. Raises: ArgumentError."""
    tasks = {
        name: metrics.get("task", "lm") if isinstance(metrics, dict) else "lm" for name, metrics in by_name.items()
    }
    for name, task in tasks.items():
        if task not in _COMPARED:
            raise ArgumentError(
                f"{name} is a run of train {task}; only runs of train {' and train '.join(_COMPARED)} are compared: "
                "judge each on one file with rnnkit eval"
            )
    if len(set(tasks.values())) > 1:
        shown = ", ".join(f"{name} of train {task}" for name, task in tasks.items())
        raise ArgumentError(f"the runs are of different tasks, {shown}; compare those of one task")
    return "classify" in tasks.values()


def _right(name: str, metrics: dict[str, Any]) -> np.ndarray:
    """Which test sequences a classifier was right about, [N] bool. Raises: BundleError where a run does not say it."""
    right, count = metrics.get("right"), metrics["model"]["num_sequences"]
    if not isinstance(right, str) or len(right) != count or set(right) - {"0", "1"}:
        raise BundleError(
            f"{Path(name) / 'metrics.json'} does not say which sequences were right, as an older rnnkit's do not; "
            "train again to compare it"
        )
    return np.array([one == "1" for one in right])


def _classifier_row(name: str, metrics: Any) -> dict[str, Any]:
    model, best = metrics["model"], max(metrics["baselines"], key=lambda entry: entry["accuracy"])
    figures = ("num_parameters", "accuracy", "accuracy_low", "accuracy_high", "micro_f1", "macro_f1", "nats")
    return {
        "run": name,
        "cell": metrics["config"]["model"]["cell"],
        **{figure: model[figure] for figure in figures if figure != "micro_f1" or figure in model},
        "best_baseline": {key: best[key] for key in ("name", "accuracy")},
        "train_seconds": metrics["train_seconds"],
        "test_text": metrics["data"]["test"]["fingerprint"],
    }


def _row(name: str, metrics: Any) -> dict[str, Any]:
    model, best = metrics["model"], min(metrics["baselines"], key=lambda entry: entry["nats_per_character"])
    return {
        "run": name,
        "cell": metrics["config"]["model"]["cell"],
        "num_parameters": model["num_parameters"],
        "perplexity": model["perplexity"],
        "nats_per_character": model["nats_per_character"],
        "bits_per_character": model["bits_per_character"],
        "best_baseline": {key: best[key] for key in ("name", "nats_per_character")},
        "train_seconds": metrics["train_seconds"],
        "test_text": metrics["data"]["test"]["text_sha256"],
    }


def read_metrics(run: str | Path) -> dict[str, Any]:
    """The content of RUN/metrics.json. Raises: MissingFileError or BundleError, naming the folder."""
    path = Path(run) / "metrics.json"
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise MissingFileError(f"{path}: {error.strerror}; a finished run has it, so give a finished run") from None
    except ValueError as error:
        raise BundleError(f"{path} is no JSON ({error}); train again") from None
