"""Words, tables and pictures out of the metrics.json of a run on a system."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rnnkit.api import curves, html_page
from rnnkit.metrics import ResultTable, Row
from rnnkit.metrics.dynamics import dynamics_columns


def dynamics_table(metrics: Mapping[str, Any]) -> ResultTable:
    """The model beside its baselines, the best first."""
    rows = [Row(metrics["model"]["name"], metrics["model"], is_baseline=False)]
    rows += [Row(entry["name"], entry, is_baseline=True) for entry in metrics["baselines"]]
    rows.sort(key=lambda row: row.values[metrics["figure"]])
    return ResultTable(rows, columns=dynamics_columns(metrics["figure"]))


def pages(metrics: Mapping[str, Any], name: str) -> dict[str, bytes]:
    """What people look at in the folder of such a run."""
    examples, steps = draw_examples(metrics), draw_steps(metrics)
    pictures = {"held-out records, measured and simulated, and the error": examples, "error by steps": steps}
    return {
        "simulation.png": examples,
        "report.html": page(metrics, name=name, pictures=pictures).encode(),
        "README.md": model_card(metrics, name=name).encode(),
    }


def draw_examples(metrics: Mapping[str, Any]) -> bytes:
    """The last steps of some held-out records as PNG: measured, simulated from the inputs, and the error."""
    examples, rate = metrics["report"]["examples"], metrics["data"]["sample_rate"]
    figure, pair = curves.figure(len(examples))
    for axes, one in zip(pair, examples, strict=True):
        came = [float("nan") if value is None else value for value in one["came"]]
        at = [(one["first"] + step) / (rate or 1.0) for step in range(len(came))]
        axes.plot(at, came, color="0.3", label="measured", linewidth=1)
        axes.plot(at, one["said"], color="C0", label="simulated", linewidth=0.8)
        off = [y - said for y, said in zip(came, one["said"], strict=True)]
        axes.plot(at, off, color="C3", label="error", linewidth=0.8)
        axes.set(ylabel=one["output"][:30], title=one["record"][-60:])
    pair[-1].set_xlabel("seconds" if rate else "steps")
    pair[0].legend(loc="upper left")
    return curves.png(figure)


def draw_steps(metrics: Mapping[str, Any]) -> bytes:
    """The error of every system by steps after the start as PNG."""
    figure, (axes,) = curves.figure(1)
    for number, (name, errors) in enumerate(metrics["report"]["by_step"].items()):
        axes.plot(range(1, len(errors) + 1), errors, color=f"C{number}", label=name, linewidth=2 if not number else 1)
    axes.set(xlabel="steps after the start", ylabel="error of a free run, in deviations", yscale="log")
    axes.legend()
    return curves.png(figure)


def counted(metrics: Mapping[str, Any]) -> str:
    """How much the table was made on."""
    row = metrics["model"]
    records = f"{row['num_records']:,} held-out record{'s' * (row['num_records'] != 1)}"
    return f"{records}, {row['num_values']:,} values after the first {metrics['data']['start_steps']} steps of each"


def page(metrics: Mapping[str, Any], *, name: str, pictures: Mapping[str, bytes]) -> str:
    """report.html."""
    table = dynamics_table(metrics)
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
    sources = config["data"]["sources"] or ["records in memory"]
    rate = f"{of['sample_rate']:g} Hz" if of["sample_rate"] else "an unknown sample rate"
    linear = "over a linear (ARX) model of the same, from whose solution it started" if shape["linear"] else "alone"
    reads = f"the last {shape['input_lags']} inputs"
    reads += f" and {shape['output_lags']} outputs, its own in a free run" if shape["output_lags"] else ""
    return f"""# {name}

A simulator of {", ".join(of["outputs"])} from {", ".join(of["inputs"])} at {rate}:
{max(shape["num_layers"], len(widths))} × {shape["cell"]} with {", ".join(map(str, widths))} units {linear}. It reads
{reads}; {model["num_parameters"]:,} parameters.

## Measured

{dynamics_table(metrics).to_markdown()}

On {counted(metrics)}. Free run: from the inputs alone after the start. One step ahead: every step from the outputs
measured before it. NRMSE: in deviations of training. 95 % from … to: of the first figure, over resampled records or
blocks of steps. p: how often random swaps of two systems' parts differ at least as much.

## Trained

- on {of["train"]["num_steps"]:,} steps of {", ".join(sources)}; weights chosen by free runs over
  {of["valid"]["num_steps"]:,} steps of other records
- {metrics["steps"]:,} steps in {metrics["train_seconds"]:.0f} s
- seed {metrics["seed"]}
- machine: {machine["processor"]}, {machine["threads"]} threads, {machine["isa"]}
- rnnkit at commit {metrics["commit"] or "unknown"}

## Use

```sh
rnnkit predict . FILE
rnnkit eval . FILE
```

It was shown the inputs of its records: beyond their size and speed nothing vouches for it.

## Configuration

```json
{json.dumps(config, indent=2, ensure_ascii=False)}
```
"""
