"""Words, tables and pictures out of the metrics.json of a run that learned to act."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rnnkit.api import curves, html_page
from rnnkit.metrics import ResultTable, Row
from rnnkit.metrics.table import Column

RETURN_COLUMN = Column("mean_return", "mean return", ".1f", "higher")
_COLUMNS = (
    RETURN_COLUMN,
    Column("low", "95 % from", ".1f"),
    Column("high", "to", ".1f"),
    Column("lowest", "lowest", ".1f", "higher"),
    Column("difference", "difference", ".1f"),
    Column("difference_low", "95 % from", ".1f"),
    Column("difference_high", "to", ".1f"),
    Column("p_value", "p", ".2g"),
    Column("num_parameters", "parameters", ",.0f"),
    Column("train_seconds", "training s", ".0f"),
)


def control_table(metrics: Mapping[str, Any]) -> ResultTable:
    """The policy beside its baselines, the best first."""
    rows = [Row(metrics["model"]["name"], metrics["model"], is_baseline=False)]
    rows += [Row(entry["name"], entry, is_baseline=True) for entry in metrics["baselines"]]
    rows.sort(key=lambda row: -row.values["mean_return"])
    return ResultTable(rows, columns=_COLUMNS)


def pages(metrics: Mapping[str, Any], name: str) -> dict[str, bytes]:
    """What people look at in the folder of such a run."""
    episode, course = draw_episode(metrics), draw_search(metrics)
    pictures = {"the first episode of the table": episode, "mean return over the search": course}
    return {
        "curve.png": course,
        "episode.png": episode,
        "report.html": page(metrics, name=name, pictures=pictures).encode(),
        "README.md": model_card(metrics, name=name).encode(),
    }


def draw_episode(metrics: Mapping[str, Any]) -> bytes:
    """The first episode of the table as PNG: every column as each policy has it; those that none sees are named."""
    of, episodes = metrics["data"], metrics["report"]["episodes"]
    figure, pair = curves.figure(len(of["columns"]))
    for number, (axes, column) in enumerate(zip(pair, of["columns"], strict=True)):
        for color, (name, one) in enumerate(episodes.items()):
            axes.plot([row[number] for row in one["columns"]], color=f"C{color}", linewidth=1, label=name)
        axes.set_ylabel(column if column in of["observed"] else f"{column}\n(hidden)", fontsize="small")
        axes.grid(alpha=0.3)
    pair[0].legend(loc="upper right", fontsize="small")
    pair[-1].set_xlabel(f"step of {of['environment']}")
    return curves.png(figure)


def draw_search(metrics: Mapping[str, Any]) -> bytes:
    """The search's returns over its generations as PNG, what the baselines got in the table as horizontal lines."""
    figure, (axes,) = curves.figure(1)
    at = [point["generation"] for point in metrics["curve"]]
    shown = {"held_out": "validation", "best": "best of a generation", "mean": "its mean"}
    for color, (key, label) in enumerate(shown.items()):
        values = [point[key] for point in metrics["curve"]]
        axes.plot(at, values, color="C0", alpha=1 - 0.3 * color, linestyle=("-", "--", ":")[color], label=label)
    for number, entry in enumerate(metrics["baselines"], start=1):
        axes.axhline(entry["mean_return"], color=f"C{number}", linewidth=1, label=f"{entry['name']}, test")
    axes.set(xlabel="generation", ylabel="mean return")
    axes.legend()
    return curves.png(figure)


def page(metrics: Mapping[str, Any], *, name: str, pictures: Mapping[str, bytes]) -> str:
    """report.html."""
    table = control_table(metrics)
    return html_page.document(
        name,
        f"<p>On {counted(metrics)}.</p>",
        html_page.table(table.header, table.cells()),
        html_page.pictures(pictures),
    )


def counted(metrics: Mapping[str, Any]) -> str:
    """How much the table was made on."""
    of = metrics["data"]
    hidden = [column for column in of["columns"] if column not in of["observed"]]
    without = f", {', '.join(hidden)} hidden" if hidden else ""
    return f"{metrics['model']['num_episodes']:,} fresh episodes of {of['environment']}{without}"


def model_card(metrics: Mapping[str, Any], *, name: str) -> str:
    """README.md of a run folder: what the policy is, how good it is beside its baselines, where that was measured."""
    config, model, machine, of = metrics["config"], metrics["model"], metrics["machine"], metrics["data"]
    shape = config["model"]
    widths = shape["hidden_size"] if isinstance(shape["hidden_size"], list) else [shape["hidden_size"]]
    return f"""# {name}

A recurrent policy: {max(shape["num_layers"], len(widths))} × {shape["cell"]} with {", ".join(map(str, widths))} units;
in {of["environment"]} it sees {", ".join(of["observed"])} and chooses one of the actions {", ".join(of["actions"])};
{model["num_parameters"]:,} parameters.

## Measured

{control_table(metrics).to_markdown()}

On {counted(metrics)}, seeds from {of["test"]["first_seed"]}. 95 % from … to: over resampled episodes. p: how often
random swaps of two policies' episodes differ at least as much. feed-forward: the same network, searched for in the same
way, which begins anew at every step.

## Trained

- by CMA-ES: {metrics["steps"]:,} generations in {metrics["train_seconds"]:.0f} s, the weights chosen by
  {of["valid"]["num_episodes"]} other episodes
- seed {metrics["seed"]}
- machine: {machine["processor"]}, {machine["threads"]} threads, {machine["isa"]}
- rnnkit at commit {metrics["commit"] or "unknown"}

## Use

```sh
rnnkit eval . {of["environment"]}
rnnkit predict . < OBSERVATIONS
```

## Configuration

```json
{json.dumps(config, indent=2, ensure_ascii=False)}
```
"""
