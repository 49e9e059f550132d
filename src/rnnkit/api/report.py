"""Words and tables out of metrics.json: the result table and the model card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rnnkit.metrics import ResultTable, Row
from rnnkit.metrics.language import LANGUAGE_MODEL_COLUMNS

MODEL = "model"


def result_table(metrics: Mapping[str, Any], *, reset_per_line: bool = False) -> ResultTable:
    """The model beside its baselines, best first, as the command line, the card and the README show it.

    Args: reset_per_line: the figures from a fresh state for every line, instead of those with the state carried.
    """
    rows = [Row(metrics["model"].get("name", MODEL), metrics["model"], is_baseline=False)]
    rows += [Row(entry["name"], entry, is_baseline=True) for entry in metrics["baselines"]]
    if reset_per_line:
        rows = [Row(row.name, row.values["reset_per_line"], is_baseline=row.is_baseline) for row in rows]
    rows.sort(key=lambda row: row.values["nats_per_character"])
    return ResultTable(rows, columns=LANGUAGE_MODEL_COLUMNS)


def model_card(metrics: Mapping[str, Any], *, name: str) -> str:
    """README.md of a run folder: what the model is, how good it is beside its baselines, where that was measured."""
    config, model, machine = metrics["config"], metrics["model"], metrics["machine"]
    sources = config["data"]["sources"] or ["pydoc_data.topics, the language reference inside Python"]
    shape = config["model"]
    widths = shape["hidden_size"] if isinstance(shape["hidden_size"], list) else [shape["hidden_size"]]
    num_layers = max(shape["num_layers"], len(widths))
    projection = f" projected to {shape['proj_size']}" if shape.get("proj_size") else ""
    return f"""# {name}

A recurrent language model: {num_layers} × {shape["cell"]} with {", ".join(map(str, widths))} units{projection},
{model["num_parameters"]:,} parameters, tokens: {config["tokenizer"]["kind"]}.

## Measured

{result_table(metrics).to_markdown()}

On {model["num_tokens"]:,} held-out tokens ({model["num_characters"]:,} characters). Every row scores the same tokens,
each predicted from those before it, the state carried through the text. Nats and bits per character compare
across tokenisers.

## Trained

- text: {", ".join(sources)}
- {metrics["steps"]:,} steps in {metrics["train_seconds"]:.0f} s, {metrics["tokens_per_s"]:,.0f} tokens/s
- seed {metrics["seed"]}
- machine: {machine["processor"]}, {machine["threads"]} threads, {machine["isa"]}
- rnnkit at commit {metrics["commit"] or "unknown"}

## Use

```sh
rnnkit sample . --prompt "…"
rnnkit eval . FILE
```

It knows nothing but its training text, and repeats what stands there, facts and faults alike.

## Configuration

```json
{json.dumps(config, indent=2, ensure_ascii=False)}
```
"""
