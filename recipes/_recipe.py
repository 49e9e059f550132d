"""What every recipe shares: its options, its training runs, the claims it must meet, and the result that it leaves.

recipe = Recipe(__doc__)
metrics = recipe.train("lstm", [recipe.data("lm_char/tinyshakespeare.txt")], time_limit_s=90)
recipe.claim("LSTM, 90 s", metrics["model"]["nats_per_character"], at_most=1.54, unit="nats/char")
recipe.finish(main=metrics)
"""

from __future__ import annotations

import argparse
import csv
import datetime
import json
import operator
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import _dependencies
import numpy as np

from rnnkit import (
    BidirectionalLanguageModel,
    Classifier,
    Describer,
    Forecaster,
    FrameTagger,
    LanguageModel,
    Policy,
    Recognizer,
    Simulator,
    Tagger,
    Translator,
    api,
)
from rnnkit.api import classification_pages, curves, tagging_report
from rnnkit.api.comparison import read_metrics
from rnnkit.api.control_report import RETURN_COLUMN
from rnnkit.metrics.dynamics import dynamics_columns
from rnnkit.metrics.forecast import forecast_columns

ROOT = Path(__file__).resolve().parent.parent
QUICK_SHARE = 1 / 30
_HOLDS = {"at_most": operator.le, "below": operator.lt, "at_least": operator.ge, "above": operator.gt}


class Recipe:
    """One run of one recipe, from its command line to `results/<name>.json`.

    `--quick` is a smoke test: times shrink to a thirtieth, no claim is judged, and the committed result stays as it is.
    """

    def __init__(self, doc: str) -> None:
        parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("--quick", action="store_true", help="a smoke test: short times, no claims")
        parser.add_argument("--seed", type=int, default=0, help="of every run (0)")
        options = parser.parse_args()
        self.name = Path(sys.argv[0]).stem
        self.is_quick, self.seed = options.quick, options.seed
        self.runs: dict[str, Path] = {}
        self._claims: list[dict[str, Any]] = []
        self._points: dict[str, list[dict[str, float]]] = {}
        self._tables: dict[str, dict[str, Any]] = {}
        self._folder = ROOT / "runs" / "recipes" / (self.name + ("-quick" if self.is_quick else ""))

    def data(self, name: str) -> Path:
        """A file of the data folder: RNNKIT_DATA, or `shared/data` beside the checkout."""
        folder = Path(os.environ.get("RNNKIT_DATA", ROOT.parent / "shared" / "data"))
        if not (folder / name).exists():
            sys.exit(f"{folder / name} is absent; set RNNKIT_DATA to the folder that holds {name}")
        return folder / name

    def train(
        self,
        run: str,
        sources: list[Path],
        *,
        time_limit_s: float | None = None,
        max_steps: int | None = None,
        seed: int = 0,
        both_sides: bool = False,
        **options: Any,
    ) -> dict[str, Any]:
        """Train a language model, print its table, and return its metrics.json. `seed`: added to the recipe's own."""
        share = QUICK_SHARE if self.is_quick else 1
        if time_limit_s is not None:
            options["time_limit_s"] = time_limit_s * share
        if max_steps is not None:
            options["max_steps"] = max(1, int(max_steps * share))
        folder = self._started(run)
        kind = BidirectionalLanguageModel if both_sides else LanguageModel
        kind.train(sources, run=folder, force=True, observers=[_progress], seed=self.seed + seed, **options)
        metrics = read_metrics(folder)
        print(f"\n## {run}\n\n{api.result_table(metrics).to_markdown()}\n", flush=True)
        return metrics

    def classify(
        self, run: str, sources: list[Path], *, epochs: float, seed: int = 0, **options: Any
    ) -> dict[str, Any]:
        """Train a classifier, print its table, and return its metrics.json. `seed`: added to the recipe's own."""
        return self._sequences(Classifier, run, sources, epochs=epochs, seed=self.seed + seed, **options)

    def tag(self, run: str, sources: list[Path], *, epochs: float, seed: int = 0, **options: Any) -> dict[str, Any]:
        """Train a tagger; as `classify`."""
        return self._sequences(Tagger, run, sources, epochs=epochs, seed=self.seed + seed, **options)

    def label_frames(
        self, run: str, sources: list[Path], *, epochs: float, seed: int = 0, **options: Any
    ) -> dict[str, Any]:
        """Train a labeller of frames; as `classify`."""
        return self._sequences(FrameTagger, run, sources, epochs=epochs, seed=self.seed + seed, **options)

    def translate(
        self,
        run: str,
        sources: list[Path],
        *,
        epochs: float | None = None,
        time_limit_s: float | None = None,
        seed: int = 0,
        **options: Any,
    ) -> dict[str, Any]:
        """Train a model that writes; as `classify`, of so many epochs or seconds, whichever ends first."""
        if time_limit_s is not None:
            options["time_limit_s"] = time_limit_s * (QUICK_SHARE if self.is_quick else 1)
        return self._sequences(Translator, run, sources, epochs=epochs, seed=self.seed + seed, **options)

    def describe(self, run: str, sources: list[Path], *, epochs: float, **options: Any) -> dict[str, Any]:
        """Train a model that says records; as `classify`."""
        return self._sequences(Describer, run, sources, epochs=epochs, seed=self.seed, **options)

    def forecast(self, run: str, sources: list[Path], *, max_steps: int, **options: Any) -> dict[str, Any]:
        """Train a forecaster, print its table, and return its metrics.json."""
        folder = self._started(run)
        options["max_steps"] = max(1, int(max_steps * (QUICK_SHARE if self.is_quick else 1)))
        Forecaster.train(sources, run=folder, force=True, observers=[_progress], seed=self.seed, **options)
        metrics = read_metrics(folder)
        print(f"\n## {run}\n\n{api.forecast_table(metrics).to_markdown()}\n", flush=True)
        return metrics

    def control(self, run: str, environment: str, *, generations: int, **options: Any) -> dict[str, Any]:
        """Let a policy learn to act, print its table, and return its metrics.json."""
        folder = self._started(run)
        options["generations"] = max(1, int(generations * (QUICK_SHARE if self.is_quick else 1)))
        Policy.train(environment, run=folder, force=True, observers=[_progress], seed=self.seed, **options)
        metrics = read_metrics(folder)
        print(f"\n## {run}\n\n{api.control_table(metrics).to_markdown()}\n", flush=True)
        return metrics

    def dynamics(self, run: str, sources: list[Path], *, max_steps: int, **options: Any) -> dict[str, Any]:
        """Train a simulator, print its table, and return its metrics.json."""
        folder = self._started(run)
        options["max_steps"] = max(1, int(max_steps * (QUICK_SHARE if self.is_quick else 1)))
        Simulator.train(sources, run=folder, force=True, observers=[_progress], seed=self.seed, **options)
        metrics = read_metrics(folder)
        print(f"\n## {run}\n\n{api.dynamics_table(metrics).to_markdown()}\n", flush=True)
        return metrics

    def recognize(self, grammar: str, *, run: str = "", epochs: float = 15, **options: Any) -> dict[str, Any]:
        """Train a recogniser of a grammar, print its table, and return its metrics.json. Args: run: else its name."""
        return self._sequences(Recognizer, run or grammar, [grammar], epochs=epochs, seed=self.seed, **options)

    def _sequences(
        self,
        kind: type[Classifier] | type[Tagger] | type[Translator] | type[Describer],
        run: str,
        sources: Sequence[Any],
        /,
        *,
        epochs: float | None,
        **options: Any,
    ) -> dict[str, Any]:
        folder = self._started(run)
        if epochs is not None:
            options["epochs"] = epochs * (QUICK_SHARE if self.is_quick else 1)
        kind.train(sources, run=folder, force=True, observers=[_progress], **options)
        tables = {Tagger: api.tagging_table, Translator: api.translation_table, Describer: api.translation_table}
        table = next((of for base, of in tables.items() if issubclass(kind, base)), api.classification_table)
        metrics = read_metrics(folder)
        print(f"\n## {run}\n\n{table(metrics).to_markdown()}\n", flush=True)
        return metrics

    def made(self, name: str, rows: list[tuple[str, str]]) -> Path:
        """A CSV of labels and texts that the recipe makes itself, in its runs' folder."""
        path = self._folder / "data" / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("label", "text"), *rows])
        return path

    def made_pairs(self, name: str, pairs: list[tuple[str, list[str]]]) -> Path:
        """JSONL of sources, each with its targets, that the recipe makes itself, likewise."""
        path = self._folder / "data" / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = (json.dumps({"source": source, "target": targets}, ensure_ascii=False) for source, targets in pairs)
        path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
        return path

    def made_table(self, name: str, rows: Iterable[Sequence[Any]]) -> Path:
        """A CSV of any columns that the recipe makes itself, its header first, likewise."""
        path = self._folder / "data" / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
        return path

    def made_text(self, name: str, lines: list[str]) -> Path:
        """A text that the recipe makes itself, likewise."""
        path = self._folder / "data" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    def made_arrays(self, name: str, **arrays: np.ndarray) -> Path:
        """A .npz of arrays that the recipe makes itself, likewise."""
        path = self._folder / "data" / f"{name}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, allow_pickle=False, **arrays)
        return path

    def folder(self, name: str) -> Path:
        """An empty folder for files that the recipe makes itself, likewise."""
        path = self._folder / "data" / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path

    def point(self, axis: str, at: float, figures: dict[str, float]) -> None:
        """Some runs' figures at a place of an axis, for a curve in the picture and the result."""
        self._points.setdefault(axis, []).append({axis: at, **figures})

    def table(self, run: str, *, model: dict[str, Any], baselines: list[dict[str, Any]], **facts: Any) -> None:
        """Add a row to the result for what is no run: the figures of a model and of what it is compared with."""
        self._tables[run] = {"model": model, "baselines": baselines, **facts}

    def remember(self, **options: Any) -> dict[str, Any]:
        """Measure how far back cells remember, and return what `api.measure_memory` does."""
        max_steps = 100 if self.is_quick else options.pop("max_steps", 3000)
        folder = self._folder / "memory"
        print(f"{self.name}: training", file=sys.stderr, flush=True)
        return api.measure_memory(
            run=folder, force=folder.exists(), seed=self.seed, max_steps=max_steps, observers=[_progress], **options
        )

    def claim(self, what: str, value: float, **limit: float) -> None:
        """State what the figure must be: at_most, below, at_least or above; one that is missed makes it exit with 1."""
        ((kind, bound),) = limit.items()
        self._claims.append({"what": what, "value": value, **limit, "holds": _HOLDS[kind](value, bound)})

    def finish(self, *, main: dict[str, Any], picture: bytes | None = None) -> NoReturn:
        """Draw all curves, write the result, print the claims, and exit.

        Args: main: the metrics of the main model.  picture: in place of the curves.
        """
        folder = self._folder if self.is_quick else ROOT / "recipes" / "results"
        folder.mkdir(parents=True, exist_ok=True)
        metrics = {run: read_metrics(path) for run, path in self.runs.items()}
        draw = {
            "classify": curves.draw_accuracies,
            "tag": curves.draw_accuracies,
            "frames": _draw_frames,
            "forecast": _draw_forecasts,
            "control": _draw_returns,
            "dynamics": _draw_simulations,
            "grammar": classification_pages.draw_lengths,
            "translate": curves.draw_all_losses,
            "describe": curves.draw_all_losses,
        }.get(main.get("task", "lm"), curves.draw_runs)
        if picture is None:
            picture = curves.draw_points(self._points) if self._points else draw(metrics)
        curves.write_png(folder / f"{self.name}.png", picture)
        commit = main["commit"] or ""
        result = {
            "recipe": self.name,
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "commit": commit.removesuffix("+"),
            "is_dirty": commit.endswith("+"),
            "machine": main["machine"],
            "seed": self.seed,
            "train_seconds": main["train_seconds"],
            "claims": self._claims,
            **({"points": self._points} if self._points else {}),
            "runs": {run: _figures(of_run) for run, of_run in metrics.items()} | self._tables,
            "files": _dependencies.digests(ROOT, script=Path(sys.argv[0]).resolve()),
        }
        path = folder / f"{self.name}.json"
        path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        for claim in self._claims:
            limit = next(f"{kind.replace('_', ' ')} {claim[kind]:.4g}" for kind in _HOLDS if kind in claim)
            verdict = "not judged" if self.is_quick else "holds" if claim["holds"] else "MISSED"
            print(f"{claim['what']}: {claim['value']:.4f}, wanted {limit}: {verdict}")
        print(path)
        sys.exit(0 if self.is_quick or all(claim["holds"] for claim in self._claims) else 1)

    def _started(self, run: str) -> Path:
        print(f"{self.name}: {run}", file=sys.stderr, flush=True)
        self.runs[run] = self._folder / run
        return self.runs[run]


def _draw_frames(runs: dict[str, dict[str, Any]]) -> bytes:
    figure = tagging_report.FRAME_FIGURES.get(next(iter(runs.values()))["targets"])
    return curves.draw_accuracies(runs) if figure is None else curves.draw_figures(runs, figure)


def _draw_forecasts(runs: dict[str, dict[str, Any]]) -> bytes:
    return curves.draw_figures(runs, forecast_columns(next(iter(runs.values()))["figure"])[0])


def _draw_returns(runs: dict[str, dict[str, Any]]) -> bytes:
    return curves.draw_figures(runs, RETURN_COLUMN)


def _draw_simulations(runs: dict[str, dict[str, Any]]) -> bytes:
    return curves.draw_figures(runs, dynamics_columns(next(iter(runs.values()))["figure"])[0])


def _figures(metrics: dict[str, Any]) -> dict[str, Any]:
    """What the result keeps of a run: figures and choices, not the curve or where files lay."""
    kept = ("name", "perplexity", "pseudo_perplexity", "nats_per_character", "bits_per_character", "unseen_share",
            "accuracy", "accuracy_low", "accuracy_high", "macro_f1", "nats", "difference", "difference_low",
            "difference_high", "p_value", "num_sequences", "f1", "precision", "recall", "low", "high",
            "sentences_right", "num_sentences", "num_words", "num_frames", "nats_after_first", "frames_right",
            "mean_return", "lowest", "num_episodes",
            "scaled_rmse", "mase", "smape", "scaled_mse", "crps", "coverage", "one_step", "num_windows",
            "rmse", "nrmse", "fit", "num_values", "num_records", "mae", "r2",
            "bleu", "chrf", "exact", "wer", "cer", "slot_error", "slot_error_low",
            "slot_error_high", "num_slots", "best_bleu", "best_slot_error", "num_best", "nats_per_token",
            "num_outputs", "figure",
            "bleu_signature", "chrf_signature", "num_parameters", "decode_seconds", "seeds_mean", "seeds_low",
            "seeds_high", "bytes", "train_seconds")  # fmt: skip
    rows = [{key: row[key] for key in kept if key in row} for row in (metrics["model"], *metrics["baselines"])]
    sections = ("tokenizer", "words", "model", "decoding", "training")
    config = {name: metrics["config"][name] for name in sections if name in metrics["config"]}
    more = {key: metrics[key] for key in ("lengths", "seeds", "figure") if key in metrics}
    return {"model": rows[0], "baselines": rows[1:], "steps": metrics["steps"], **more, "config": config}


def _progress(event: dict[str, Any]) -> None:
    if event["event"] == "generation" and "held_out" in event:
        place = f"generation {event['generation']} {event['seconds']:6.0f} s"
        print(f"  {event['name']} {place}  held-out {event['held_out']:.1f}", file=sys.stderr, flush=True)
    if event["event"] == "note":
        print(f"  {event['text']}", file=sys.stderr, flush=True)
    if event["event"] == "eval":
        right = f"  {event['accuracy']:.2%} right" if "accuracy" in event else ""
        seconds = f"{event['seconds']:6.0f} s"
        print(f"  {event['name']} {seconds}  loss {event['nll']:.4f}{right}", file=sys.stderr, flush=True)
