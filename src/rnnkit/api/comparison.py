"""Several runs side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rnnkit.errors import ArgumentError, BundleError, MissingFileError


def compare(runs: Sequence[str | Path], *, picture: str | Path | None = None) -> list[dict[str, Any]]:
    """The figures of several runs, best first among those judged on one text: only they compare.

    Args:    runs: run folders.  picture: where to draw their learning curves as PNG, or None.
    Returns: one dict per run: `run`, `cell`, `num_parameters`, `perplexity`, `nats_per_character`,
             `bits_per_character`, `best_baseline` (its `name` and `nats_per_character`), `train_seconds`,
             `test_text` (SHA-256 of what it was judged on).
    Raises:  MissingFileError for a folder without metrics, BundleError for one with others; ArgumentError for a run of
             another task; MissingExtraError if a picture needs matplotlib.
    """
    by_name = {str(run): read_metrics(run) for run in runs}
    for name, metrics in by_name.items():
        if isinstance(metrics, dict) and "task" in metrics:
            raise ArgumentError(
                f"{name} is a run of train {metrics['task']}; only language models are compared, by nats per "
                "character: judge each on one file with rnnkit eval"
            )
    rows = []
    for name, metrics in by_name.items():
        try:
            rows.append(_row(name, metrics))
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(f"{Path(name) / 'metrics.json'} is not a run's ({error!r}); train again") from None
    if picture is not None:
        from rnnkit.api import curves

        curves.write_png(picture, curves.draw_runs(by_name))
    texts = [row["test_text"] for row in rows]
    return sorted(rows, key=lambda row: (texts.index(row["test_text"]), row["nats_per_character"]))


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
