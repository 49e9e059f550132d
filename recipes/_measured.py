"""Writes what was measured into the README, a line each, and whole into docs/reference/results.md: nothing by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_WANTED = {"at_most": "at most {:g}", "below": "below {:.4f}", "at_least": "at least {:g}", "above": "above {:.4f}"}
_BLOCK = re.compile(r"(?<=<!-- results -->\n).*?(?=<!-- /results -->)", re.DOTALL)
_LABELS = {
    "mase": "MASE",
    "smape": "sMAPE",
    "scaled_mse": "scaled MSE",
    "rmse": "RMSE",
    "nrmse": "NRMSE",
    "mae": "MAE",
    "crps": "CRPS",
}
_PARTS = {"layers": "its layers alone", "ngrams": "its n-grams alone"}  # of a classifier that has both
_HEAD = "| recipe | first claim | found | wanted | best baseline | claims shown |\n|---|---|---:|---|---|---|\n"


def pages() -> dict[Path, Callable[[dict[str, Any]], str]]:
    """The pages with a measured part, and what stands there of a result."""
    return {ROOT / "README.md": _line, ROOT / "docs" / "reference" / "results.md": _section}


def with_measured(page: Path, folder: Path = ROOT / "recipes" / "results") -> str:
    """The page with its measured part renewed from the results in `folder`."""
    results = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    of_result = pages()[page]
    measured = (_HEAD if of_result is _line else "") + "".join(map(of_result, results))
    return _BLOCK.sub(lambda _: measured, page.read_text(encoding="utf-8"))


def _line(result: dict[str, Any]) -> str:
    claims, name = result["claims"], result["recipe"]
    first, kept = claims[0], sum(claim["holds"] for claim in claims)
    cells = [
        f"[{name.replace('_', '-')}](docs/reference/results.md#{name})",
        first["what"],
        f"{first['value']:.4f}",
        _wanted(first) + ("" if first["holds"] else ": **missed**"),
        _best_of(next(iter(result["runs"].values()))),
        f"{kept} of {len(claims)}" if kept == len(claims) else f"**{kept} of {len(claims)}**",
    ]
    return f"| {' | '.join(cells)} |\n"


def _best_of(run: dict[str, Any]) -> str:
    best = _best(run)
    if "num_outputs" in best:
        return f"{best['name']}: {_written(best)}"
    if "mean_return" in best:
        return f"{best['name']}: mean return {best['mean_return']:.1f}"
    if "figure" in run:
        return f"{best['name']}: {_LABELS[run['figure']]} {best[run['figure']]:.4f}"
    if "pseudo_perplexity" in best:
        return f"{best['name']}: pseudo-perplexity {best['pseudo_perplexity']:.4f}"
    if "nats_per_character" in best:
        return f"{best['name']}: {best['nats_per_character']:.4f} nats per character"
    if "frames_right" in best:
        return f"{best['name']}: {best['nats']:.4f} nats per frame"
    return f"{best['name']}: {_tagged(best):.2%}"


def _wanted(claim: dict[str, Any]) -> str:
    return next(text.format(claim[kind]) for kind, text in _WANTED.items() if kind in claim)


def _section(result: dict[str, Any]) -> str:
    machine = result["machine"]
    head = (
        f"## {result['recipe']}\n\n{machine['processor']}, {machine['threads']} threads, {machine['isa']}, "
        f"{result['date']} (commit {result['commit'][:10]}):\n"
    )
    runs = result["runs"]
    columns = next(of for kind, of in _COLUMNS.items() if any(kind in run["model"] for run in runs.values()))
    is_text = {"run", "precision", "figure", "95 % interval", "best baseline", "its 95 % interval"}
    lines = [head, f"| {' | '.join(columns)} |", f"|{'|'.join('---' if c in is_text else '---:' for c in columns)}|"]
    for name, run in runs.items():
        cells = [column(name, run["model"], _best(run), run) for column in columns.values()]
        lines.append(f"| {' | '.join(cells)} |")
        for part in (row for row in run["baselines"] if row["name"] in _PARTS):
            known = ("run", "accuracy", "95 % interval", "mean of seeds", "p (paired)")
            alone = f"{name}: {_PARTS[part['name']]}"
            cells = [column(alone, part, part, run) if key in known else "" for key, column in columns.items()]
            lines.append(f"| {' | '.join(cells)} |")
    lines.append("")
    for claim in result["claims"]:
        missed = "" if claim["holds"] else ": **missed**"
        lines.append(f"- {claim['what']}: {claim['value']:.4f}, wanted {_wanted(claim)}{missed}")
    return "\n".join(lines) + "\n\n"


def _to_arima(run: dict[str, Any]) -> str:
    """By how much a forecaster is above AutoARIMA, where that stands in its table."""
    rows = [row for row in run["baselines"] if row["name"] == "arima"]
    return "".join("{difference:.4f} ({difference_low:.4f} to {difference_high:.4f})".format(**row) for row in rows)


def _of_arx(run: dict[str, Any]) -> str:
    """The figure of a simulator's linear baseline, where that stands in its table."""
    return "".join(f"{row[run['figure']]:.4f}" for row in run["baselines"] if row["name"] == "arx")


def _tagged(row: dict[str, Any]) -> float:
    """What taggers are compared by: F1 over spans, or accuracy."""
    return row.get("f1", row["accuracy"])


def _written(row: dict[str, Any], key: str = "") -> str:
    """The figure that written texts are compared by, or another number of its kind."""
    value = row[key or row["figure"]]
    return f"{value:.2f} BLEU" if row["figure"] == "bleu" else f"{value:.2%} {row['figure']}"


def _interval(row: dict[str, Any]) -> tuple[float, float]:
    """Of the accuracy; of frames over blocks of them."""
    prefix = "accuracy_" if "accuracy_low" in row else ""
    return row[f"{prefix}low"], row[f"{prefix}high"]


def _best(run: dict[str, Any]) -> dict[str, Any]:
    if "num_states" in run["model"]:
        return run["baselines"][0]
    if "reach" in run["model"]:
        return max(run["baselines"], key=lambda row: row["accuracy"])
    if "num_outputs" in run["model"]:
        figure = run["model"]["figure"]
        return (min if figure in ("wer", "cer") else max)(run["baselines"], key=lambda row: row[figure])
    if "mean_return" in run["model"]:
        return max(run["baselines"], key=lambda row: row["mean_return"])
    if "figure" in run:
        return min(run["baselines"], key=lambda row: row[run["figure"]])
    if "sentences_right" in run["model"]:
        return max(run["baselines"], key=_tagged)
    if "frames_right" in run["model"]:
        return min(run["baselines"], key=lambda row: row["nats"])
    if "accuracy" in run["model"]:
        others = ("automaton", *_PARTS)  # which is right by definition, and what the model is made of
        fitted = [row for row in run["baselines"] if row["name"] not in others]
        return max(fitted, key=lambda row: row["accuracy"])
    unit = "pseudo_perplexity" if "pseudo_perplexity" in run["model"] else "nats_per_character"
    return min(run["baselines"], key=lambda row: row[unit])


# By a figure that the task's models have: the columns, each of the run's name, its model, best baseline, and all of it.
_COLUMNS: dict[str, dict[str, Any]] = {
    "num_states": {
        "run": lambda name, *_: name,
        "training and extraction": lambda _, m, *__: f"{m['train_seconds']:.0f} + {m['extract_seconds']:.0f} s",
        "states": lambda _, model, *__: f"{model['num_states']}",
        "exactly the language": lambda _, model, *__: "yes" if model["is_equal"] else "no",
        "automaton wrong": lambda _, model, *__: f"{model['automaton_wrong']:,} of {model['count']:,}",
        "network wrong": lambda _, __, best, ___: f"{best['network_wrong']:,}",
        "they disagree on": lambda _, model, *__: f"{model['num_different']:,}",
        "automaton, µs per text": lambda _, model, *__: f"{model['us_per_text']:.1f}",
        "network, µs per text": lambda _, __, best, ___: f"{best['us_per_text']:.1f}",
    },
    "reach": {
        "run": lambda name, *_: name,
        "training": lambda _, model, *__: f"{model['train_seconds']:.0f} s",
        "remembers, steps": lambda _, model, *__: f"{model['reach']}",
        "accuracy at 100 steps": lambda _, model, *__: f"{model['accuracy']:.1%}",
        "at 200, beyond training": lambda _, model, *__: f"{model['accuracy_beyond']:.1%}",
        "best baseline": lambda _, __, best, ___: best["name"],
        "its accuracy at 100": lambda _, __, best, ___: f"{best['accuracy']:.1%}",
    },
    "mase": {
        "run": lambda name, *_: name,
        "training": lambda _, model, *__: f"{model['train_seconds']:.0f} s",
        "figure": lambda *of: _LABELS[of[3]["figure"]],
        "model": lambda *of: f"{of[1][of[3]['figure']]:.4f}",
        "95 % interval": lambda _, model, *__: f"{model['low']:.4f} to {model['high']:.4f}",
        "90 % covers": lambda _, model, *__: f"{model['coverage']:.1%}" if "coverage" in model else "",
        "best baseline": lambda _, __, best, ___: best["name"],
        "its figure": lambda *of: f"{of[2][of[3]['figure']]:.4f}",
        "difference": lambda _, __, best, ___: f"{best['difference']:.4f}",
        "its 95 % interval": lambda _, __, best, ___: "{difference_low:.4f} to {difference_high:.4f}".format(**best),
        "p (paired)": lambda _, __, best, ___: f"{best['p_value']:.2g}",
        "difference to ARIMA, 95 %": lambda *of: _to_arima(of[3]),
    },
    "mean_return": {
        "run": lambda name, *_: name,
        "training": lambda _, model, *__: f"{model['train_seconds']:.0f} s",
        "mean return": lambda _, model, *__: f"{model['mean_return']:.1f}",
        "95 % interval": lambda _, model, *__: f"{model['low']:.1f} to {model['high']:.1f}",
        "lowest of all episodes": lambda _, model, *__: f"{model['lowest']:.1f}",
        "best baseline": lambda _, __, best, ___: best["name"],
        "its return": lambda _, __, best, ___: f"{best['mean_return']:.1f}",
        "difference": lambda _, __, best, ___: f"{best['difference']:.1f}",
        "its 95 % interval": lambda _, __, best, ___: "{difference_low:.1f} to {difference_high:.1f}".format(**best),
        "p (paired)": lambda _, __, best, ___: f"{best['p_value']:.2g}",
    },
    "nrmse": {
        "run": lambda name, *_: name,
        "training": lambda _, model, *__: f"{model['train_seconds']:.0f} s",
        "figure": lambda *of: _LABELS[of[3]["figure"]],
        "free run": lambda *of: f"{of[1][of[3]['figure']]:.4f}",
        "95 % interval": lambda _, model, *__: f"{model['low']:.4f} to {model['high']:.4f}",
        "one step ahead": lambda _, model, *__: f"{model['one_step']:.4f}",
        "fit %": lambda _, model, *__: f"{model['fit']:.2f}",
        "best baseline": lambda _, __, best, ___: best["name"],
        "its free run": lambda *of: f"{of[2][of[3]['figure']]:.4f}",
        "ARX, free run": lambda *of: _of_arx(of[3]),
        "p (paired)": lambda _, __, best, ___: f"{best['p_value']:.2g}",
    },
    "num_outputs": {
        "run": lambda name, *_: name,
        "training": lambda _, model, *__: f"{model['train_seconds']:.0f} s",
        "model": lambda _, model, *__: _written(model),
        "95 % interval": lambda _, model, *__: f"{_written(model, 'low')} to {_written(model, 'high')}",
        "BLEU": lambda _, model, *__: f"{model['bleu']:.2f}",
        "chrF": lambda _, model, *__: f"{model['chrf']:.2f}",
        "exactly right": lambda _, model, *__: f"{model['exact']:.2%}",
        "best baseline": lambda _, __, best, ___: best["name"],
        "its figure": lambda _, __, best, ___: _written(best),
    },
    "sentences_right": {
        "run": lambda name, *_: name,
        "training": lambda _, model, *__: f"{model['train_seconds']:.0f} s",
        "figure": lambda _, model, *__: "span F1" if "f1" in model else "accuracy",
        "model": lambda _, model, *__: f"{_tagged(model):.2%}",
        "95 % interval": lambda _, model, *__: f"{model['low']:.2%} to {model['high']:.2%}",
        "mean of seeds": lambda _, model, *__: f"{model['seeds_mean']:.2%}" if "seeds_mean" in model else "",
        "best baseline": lambda _, __, best, ___: best["name"],
        "its figure": lambda _, __, best, ___: f"{_tagged(best):.2%}",
        "p (paired)": lambda _, __, best, ___: f"{best['p_value']:.2g}",
    },
    "accuracy": {
        "run": lambda name, *_: name,
        "training": lambda _, model, *__: f"{model['train_seconds']:.0f} s",
        "accuracy": lambda _, model, *__: f"{model['accuracy']:.2%}",
        "95 % interval": lambda _, model, *__: "{:.2%} to {:.2%}".format(*_interval(model)),
        "mean of seeds": lambda _, model, *__: f"{model['seeds_mean']:.2%}" if "seeds_mean" in model else "",
        "best baseline": lambda _, __, best, ___: best["name"],
        "its accuracy": lambda _, __, best, ___: f"{best['accuracy']:.2%}",
        "p (paired)": lambda _, __, best, ___: f"{best['p_value']:.2g}",
    },
    "pseudo_perplexity": {
        "run": lambda name, *_: name,
        "precision": lambda *of: of[3]["config"]["model"].get("precision", "fp32"),
        "training": lambda _, model, *__: f"{model['train_seconds']:.0f} s",
        "pseudo-perplexity": lambda _, model, *__: f"{model['pseudo_perplexity']:.4f}",
        "best baseline": lambda _, __, best, ___: best["name"],
        "its pseudo-perplexity": lambda _, __, best, ___: f"{best['pseudo_perplexity']:.4f}",
    },
    "frames_right": {
        "run": lambda name, *_: name,
        "training": lambda _, model, *__: f"{model['train_seconds']:.0f} s",
        "nats per frame": lambda _, model, *__: f"{model['nats']:.4f}",
        "95 % interval": lambda _, model, *__: "{:.4f} to {:.4f}".format(*_interval(model)),
        "from the second frame on": lambda _, model, *__: f"{model['nats_after_first']:.4f}",
        "micro F1": lambda _, model, *__: f"{model['f1']:.2%}",
        "best baseline": lambda _, __, best, ___: best["name"],
        "its nats": lambda _, __, best, ___: f"{best['nats']:.4f}",
        "p (paired)": lambda _, __, best, ___: f"{best['p_value']:.2g}",
    },
    "nats_per_character": {
        "run": lambda name, *_: name,
        "precision": lambda *of: of[3]["config"]["model"].get("precision", "fp32"),
        "training": lambda _, model, *__: f"{model['train_seconds']:.0f} s",
        "perplexity": lambda _, model, *__: f"{model['perplexity']:.2f}",
        "nats/char": lambda _, model, *__: f"{model['nats_per_character']:.4f}",
        "bits/char": lambda _, model, *__: f"{model['bits_per_character']:.4f}",
        "best baseline": lambda _, __, best, ___: best["name"],
        "its nats/char": lambda _, __, best, ___: f"{best['nats_per_character']:.4f}",
    },
}


if __name__ == "__main__":
    for path in pages():
        path.write_text(with_measured(path), encoding="utf-8")
