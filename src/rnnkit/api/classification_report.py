"""Words and tables out of a classification run's metrics.json: the result table and the model card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rnnkit.metrics import ResultTable, Row
from rnnkit.metrics.classification import CLASSIFICATION_COLUMNS
from rnnkit.metrics.multi_label import MULTI_LABEL_COLUMNS


def classification_table(metrics: Mapping[str, Any]) -> ResultTable:
    """The model beside its baselines, the most accurate first; of several labels those with the highest micro F1."""
    rows = [Row(metrics["model"]["name"], metrics["model"], is_baseline=False)]
    rows += [Row(entry["name"], entry, is_baseline=True) for entry in metrics["baselines"]]
    has_several = "micro_f1" in metrics["model"]
    rows.sort(key=lambda row: -row.values["micro_f1" if has_several else "accuracy"])
    return ResultTable(rows, columns=MULTI_LABEL_COLUMNS if has_several else CLASSIFICATION_COLUMNS)


def model_card(metrics: Mapping[str, Any], *, name: str) -> str:
    """README.md of a run folder: what the model is, how good it is beside its baselines, where that was measured."""
    config, model, machine = metrics["config"], metrics["model"], metrics["machine"]
    shape, parts = config["model"], metrics["data"]
    widths = shape["hidden_size"] if isinstance(shape["hidden_size"], list) else [shape["hidden_size"]]
    direction = "in both directions" if shape["bidirectional"] else "from the first step to the last"
    beside = f" and n-grams of up to {shape['ngrams']} tokens" if shape.get("ngrams") else ""
    labels, given = metrics["labels"], "some or none" if "micro_f1" in model else "one"
    shown = ", ".join(labels[:20]) + (f" and {len(labels) - 20} more" if len(labels) > 20 else "")
    return f"""# {name}

A recurrent classifier: {max(shape["num_layers"], len(widths))} × {shape["cell"]} with {", ".join(map(str, widths))}
units, reading {direction}, decided by {", ".join(shape["readout"])}{beside}; {model["num_parameters"]:,} parameters.

Labels{", of which a sequence has any number" if "micro_f1" in model else ""}: {shown}.

## Measured

{classification_table(metrics).to_markdown()}

On {model["num_sequences"]:,} held-out sequences. 95 % from … to: Wilson's interval. p: how likely a difference at least
as large is if model and baseline were equally good (McNemar's exact test, same sequences).

## Trained

- on {parts["train"]["num_sequences"]:,} sequences of {", ".join(config["data"]["sources"])};
  weights chosen by {parts["valid"]["num_sequences"]:,} others
- {metrics["steps"]:,} steps in {metrics["train_seconds"]:.0f} s, {metrics["tokens_per_s"]:,.0f} sequences/s
- seed {metrics["seed"]}
- machine: {machine["processor"]}, {machine["threads"]} threads, {machine["isa"]}
- rnnkit at commit {metrics["commit"] or "unknown"}

## Use

```sh
rnnkit predict . < FILE
rnnkit eval . TABLE
```

It knows nothing but its training sequences, and gives every sequence {given} of the labels above, whatever it is.

## Configuration

```json
{json.dumps(config, indent=2, ensure_ascii=False)}
```
"""
