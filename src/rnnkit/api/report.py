"""Words and tables out of metrics.json: the result table and the model card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rnnkit.metrics import ResultTable, Row
from rnnkit.metrics.language import LANGUAGE_MODEL_COLUMNS
from rnnkit.metrics.pseudo import PSEUDO_LIKELIHOOD_COLUMNS

MODEL = "model"

# What it is, how every row of its table scores, and a first command.
_FORWARD = (
    "A recurrent language model",
    """each predicted from those before it, the state carried through the text. Nats and bits per character compare
across tokenisers.""",
    'rnnkit sample . --prompt "…"',
)
_BOTH_WAYS = (
    "A bidirectional recurrent language model, in each direction",
    """each told from all the others of its document. exp of their mean is a pseudo-perplexity: it compares with no
perplexity and with no other tokeniser's, and it says nothing of how probable a text is.""",
    'rnnkit complete . "…" --after "…"',
)


def result_table(metrics: Mapping[str, Any], *, reset_per_line: bool = False) -> ResultTable:
    """The model beside its baselines, best first, as the command line, the card and the README show it.

    Args: reset_per_line: the figures from a fresh state for every line, instead of those with the state carried.
    """
    rows = [Row(metrics["model"].get("name", MODEL), metrics["model"], is_baseline=False)]
    rows += [Row(entry["name"], entry, is_baseline=True) for entry in metrics["baselines"]]
    if reset_per_line:
        rows = [Row(row.name, row.values["reset_per_line"], is_baseline=row.is_baseline) for row in rows]
    is_of_both_sides = "pseudo_perplexity" in rows[0].values
    rows.sort(key=lambda row: row.values["nats_per_token" if is_of_both_sides else "nats_per_character"])
    return ResultTable(rows, columns=PSEUDO_LIKELIHOOD_COLUMNS if is_of_both_sides else LANGUAGE_MODEL_COLUMNS)


def model_card(metrics: Mapping[str, Any], *, name: str) -> str:
    """README.md of a run folder: what the model is, how good it is beside its baselines, where that was measured."""
    config, model, machine = metrics["config"], metrics["model"], metrics["machine"]
    sources = config["data"]["sources"] or ["pydoc_data.topics, the language reference inside Python"]
    shape = config["model"]
    widths = shape["hidden_size"] if isinstance(shape["hidden_size"], list) else [shape["hidden_size"]]
    num_layers = max(shape["num_layers"], len(widths))
    projection = f" projected to {shape['proj_size']}" if shape.get("proj_size") else ""
    kind, how, use = _FORWARD
    if shape.get("bidirectional"):
        kind, how, use = _BOTH_WAYS
    return f"""# {name}

{kind}: {num_layers} × {shape["cell"]} with {", ".join(map(str, widths))} units{projection},
{model["num_parameters"]:,} parameters, tokens: {config["tokenizer"]["kind"]}.

## Measured

{result_table(metrics).to_markdown()}

On {model["num_tokens"]:,} held-out tokens ({model["num_characters"]:,} characters). Every row scores the same tokens,
{how}

## Trained

- text: {", ".join(sources)}
- {metrics["steps"]:,} steps in {metrics["train_seconds"]:.0f} s, {metrics["tokens_per_s"]:,.0f} tokens/s
- seed {metrics["seed"]}
- machine: {machine["processor"]}, {machine["threads"]} threads, {machine["isa"]}
- rnnkit at commit {metrics["commit"] or "unknown"}

## Use

```sh
{use}
rnnkit eval . FILE
```

It knows nothing but its training text, and repeats what stands there, facts and faults alike.

## Configuration

```json
{json.dumps(config, indent=2, ensure_ascii=False)}
```
"""
