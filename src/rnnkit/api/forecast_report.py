"""Words, tables and pictures out of the metrics.json of a run on time series."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rnnkit.api import curves, html_page
from rnnkit.metrics import ResultTable, Row
from rnnkit.metrics.forecast import forecast_columns


def forecast_table(metrics: Mapping[str, Any]) -> ResultTable:
    """The model beside its baselines, the best first."""
    rows = [Row(metrics["model"]["name"], metrics["model"], is_baseline=False)]
    rows += [Row(entry["name"], entry, is_baseline=True) for entry in metrics["baselines"]]
    rows.sort(key=lambda row: row.values[metrics["figure"]])
    return ResultTable(rows, columns=forecast_columns(metrics["figure"]))


def pages(metrics: Mapping[str, Any], name: str) -> dict[str, bytes]:
    """What people look at in the folder of such a run."""
    examples, steps = draw_examples(metrics), draw_steps(metrics)
    pictures = {"held-out steps, as they came and as they were forecast": examples, "error by steps ahead": steps}
    return {
        "curve.png": curves.draw_figure(metrics, forecast_columns(metrics["figure"])[0]),
        "forecast.png": examples,
        "report.html": page(metrics, name=name, pictures=pictures).encode(),
        "README.md": model_card(metrics, name=name).encode(),
    }


def draw_examples(metrics: Mapping[str, Any]) -> bytes:
    """The last held-out window of some series as PNG: what came before, what came, what was said, its interval."""
    examples = metrics["report"]["examples"]
    levels = metrics["report"]["levels"]
    figure, pair = curves.figure(len(examples))
    for axes, one in zip(pair, examples, strict=True):
        origin, came = one["origin"], [float("nan") if v is None else v for v in one["actual"]]
        ahead = range(origin, len(came))
        axes.plot(came, color="0.3", label="came")
        axes.plot(ahead, one["point"], color="C0", label="forecast")
        if "low" in one:
            width = f"{levels[-1] - levels[0]:.0%} interval"
            axes.fill_between(ahead, one["low"], one["high"], color="C0", alpha=0.2, label=width)
        axes.axvline(origin - 0.5, color="0.7", linewidth=0.8)
        places = [0, origin, len(came) - 1]
        axes.set(ylabel=one["series"][:30], xticks=places, xticklabels=[one["times"][at] for at in places])
    pair[0].legend(loc="upper left")
    return curves.png(figure)


def draw_steps(metrics: Mapping[str, Any]) -> bytes:
    """The mean error of every system at each step ahead as PNG."""
    figure, (axes,) = curves.figure(1)
    for number, (name, errors) in enumerate(metrics["report"]["by_step"].items()):
        axes.plot(range(1, len(errors) + 1), errors, color=f"C{number}", label=name, linewidth=2 if not number else 1)
    axes.set(xlabel="steps ahead", ylabel="mean |error| / naive error")
    axes.legend()
    return curves.png(figure)


def counted(metrics: Mapping[str, Any]) -> str:
    """How much the table was made on."""
    row = metrics["model"]
    return f"{row['num_windows']:,} held-out windows of {row['num_values']:,} values"


def page(metrics: Mapping[str, Any], *, name: str, pictures: Mapping[str, bytes]) -> str:
    """report.html."""
    table = forecast_table(metrics)
    return html_page.document(
        name,
        f"<p>On {counted(metrics)}.</p>",
        html_page.table(table.header, table.cells()),
        html_page.pictures(pictures),
    )


def model_card(metrics: Mapping[str, Any], *, name: str) -> str:
    """README.md of a run folder: what the model is, how good it is beside its baselines, where that was measured."""
    config, model, machine, of = metrics["config"], metrics["model"], metrics["machine"], metrics["data"]
    shape = config["model"]
    widths = shape["hidden_size"] if isinstance(shape["hidden_size"], list) else [shape["hidden_size"]]
    sources = config["data"]["sources"] or ["a table in memory"]
    said = "one step at a time, each from those said before" if shape["recursive"] else "all at once"
    return f"""# {name}

A recurrent forecaster: {max(shape["num_layers"], len(widths))} × {shape["cell"]} with {", ".join(map(str, widths))}
units over {of["num_series"]:,} series (frequency {of["frequency"]}, season {of["season"]}); after every value it says
the next {of["horizon"]}, {said}, as {shape["output"].replace("_", " ")}; {model["num_parameters"]:,} parameters.

## Measured

{forecast_table(metrics).to_markdown()}

On {counted(metrics)}, each forecast from the values before it alone. 95 % from … to: of the first figure, over
resampled windows (those that overlap together). p: how often random swaps of two systems' windows differ at least as
much.
One step ahead: every value said from the true ones before it; the other figures are of whole horizons.

## Trained

- on {of["train"]["num_steps"]:,} steps of {", ".join(sources)}; weights chosen by {of["valid"]["num_windows"]:,} later
  windows
- {metrics["steps"]:,} steps in {metrics["train_seconds"]:.0f} s
- seed {metrics["seed"]}
- machine: {machine["processor"]}, {machine["threads"]} threads, {machine["isa"]}
- rnnkit at commit {metrics["commit"] or "unknown"}

## Use

```sh
rnnkit predict . FILE
rnnkit eval . FILE
```

It knows nothing but the past of its series, and goes on as they have gone.

## Configuration

```json
{json.dumps(config, indent=2, ensure_ascii=False)}
```
"""
