"""Words and tables out of a tagging run's metrics.json: the result table, the page and the model card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rnnkit.api import html_page
from rnnkit.metrics import ResultTable, Row
from rnnkit.metrics.tagging import TAGGING_COLUMNS


def tagging_table(metrics: Mapping[str, Any]) -> ResultTable:
    """The model beside its baselines, the best first: by F1 over spans, or where there are none by accuracy."""
    rows = [Row(metrics["model"]["name"], metrics["model"], is_baseline=False)]
    rows += [Row(entry["name"], entry, is_baseline=True) for entry in metrics["baselines"]]
    rows.sort(key=lambda row: -row.values.get("f1", row.values["accuracy"]))
    return ResultTable(rows, columns=TAGGING_COLUMNS)


def page(metrics: Mapping[str, Any], *, name: str, pictures: Mapping[str, bytes]) -> str:
    """report.html."""
    table, report = tagging_table(metrics), metrics["report"]
    model, words = metrics["model"], report["words"]
    worst = [
        [row["tag"], row["predicted"], f"{row['probability']:.2g}", row["word"], row["text"], row["place"]]
        for row in report["worst"]
    ]
    confused = [[gold, mine, str(count)] for gold, mine, count in report["confused"]]
    lengths = [
        [f"{row['from']}–{row['to']}", str(row["count"]), f"{row['accuracy']:.2%}"] for row in report["by_length"]
    ]
    known = [
        [kind, f"{row['count']:,}", "" if row["accuracy"] is None else f"{row['accuracy']:.2%}"]
        for kind, row in words.items()
    ]
    spans = report["per_type"]
    return html_page.document(
        name,
        f"<p>On {model['num_sentences']:,} held-out sentences of {model['num_words']:,} words.</p>",
        html_page.table(table.header, table.cells()),
        html_page.pictures(pictures),
        "" if spans is None else "<h2>Spans</h2>" + html_page.scores(spans, of="type", counted="spans"),
        "<h2>Tags</h2>",
        html_page.scores(report["per_tag"], of="tag", counted="words"),
        "<h2>By the length of the sentence</h2>",
        html_page.table(["words", "sentences", "accuracy"], lengths),
        "<h2>Words</h2>",
        html_page.table(["in training", "words", "accuracy"], known),
        "<h2>Confused most often</h2>",
        html_page.table(["is", "taken for", "times"], confused),
        "<h2>Worst mistakes</h2>",
        html_page.table(["is", "taken for", "probability of what it is", "word", "among", "place"], worst),
    )


def model_card(metrics: Mapping[str, Any], *, name: str) -> str:
    """README.md of a run folder: what the model is, how good it is beside its baselines, where that was measured."""
    config, model, machine = metrics["config"], metrics["model"], metrics["machine"]
    shape, parts, labels = config["model"], metrics["data"], metrics["labels"]
    widths = shape["hidden_size"] if isinstance(shape["hidden_size"], list) else [shape["hidden_size"]]
    direction = "in both directions" if shape["bidirectional"] else "from the first word to the last"
    spelling = "words and their characters" if config["words"]["characters"] else "words"
    shown = ", ".join(labels[:20]) + (f" and {len(labels) - 20} more" if len(labels) > 20 else "")
    scheme = "" if metrics["scheme"] is None else f" They mark spans ({metrics['scheme'].upper()})."
    return f"""# {name}

A recurrent tagger: {max(shape["num_layers"], len(widths))} × {shape["cell"]} with {", ".join(map(str, widths))}
units, reading {spelling} {direction}; {model["num_parameters"]:,} parameters.

Tags: {shown}.{scheme}

## Measured

{tagging_table(metrics).to_markdown()}

On {model["num_sentences"]:,} held-out sentences, {model["num_words"]:,} words. 95 % from … to: of the first figure,
over resampled sentences. p: how often random swaps of two outputs, sentence by sentence, differ at least as much.

## Trained

- on {parts["train"]["num_sentences"]:,} sentences of {", ".join(config["data"]["sources"])};
  weights chosen by {parts["valid"]["num_sentences"]:,} others
- {metrics["steps"]:,} steps in {metrics["train_seconds"]:.0f} s, {metrics["tokens_per_s"]:,.0f} sentences/s
- seed {metrics["seed"]}
- machine: {machine["processor"]}, {machine["threads"]} threads, {machine["isa"]}
- rnnkit at commit {metrics["commit"] or "unknown"}

## Use

```sh
rnnkit predict . FILE
rnnkit eval . FILE
```

It knows nothing but its training sentences, and gives every word one of the tags above, whatever it is.

## Configuration

```json
{json.dumps(config, indent=2, ensure_ascii=False)}
```
"""
