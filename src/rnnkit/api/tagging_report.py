"""Words and tables out of the metrics.json of a run with an output for every step: table, page and model card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from rnnkit.api import html_page
from rnnkit.metrics import ResultTable, Row
from rnnkit.metrics.frames import BLOCK, LABELS_COLUMNS, NUMBERS_COLUMNS
from rnnkit.metrics.tagging import TAGGING_COLUMNS

FRAME_FIGURES = {"labels": LABELS_COLUMNS[0], "numbers": NUMBERS_COLUMNS[0]}
"""What systems are compared by where a frame has several labels, or numbers."""


def tagging_table(metrics: Mapping[str, Any]) -> ResultTable:
    """The model beside its baselines, the best first: by F1 over spans, or where there are none by accuracy.

    Of several labels a frame by nats, of numbers by scaled RMSE.
    """
    rows = [Row(metrics["model"]["name"], metrics["model"], is_baseline=False)]
    rows += [Row(entry["name"], entry, is_baseline=True) for entry in metrics["baselines"]]
    if (figure := FRAME_FIGURES.get(metrics.get("targets", "label"))) is not None:
        rows.sort(key=lambda row: row.values[figure.key])
        return ResultTable(rows, columns=LABELS_COLUMNS if metrics["targets"] == "labels" else NUMBERS_COLUMNS)
    rows.sort(key=lambda row: -row.values.get("f1", row.values["accuracy"]))
    return ResultTable(rows, columns=TAGGING_COLUMNS)


def counted(metrics: Mapping[str, Any]) -> str:
    """How much the table was made on."""
    return _nouns(metrics).counted(metrics["model"])


def page(metrics: Mapping[str, Any], *, name: str, pictures: Mapping[str, bytes]) -> str:
    """report.html."""
    table, report, of = tagging_table(metrics), metrics["report"], _nouns(metrics)
    around = [key for key in ("word", "text") if any(key in row for row in report["worst"])]
    worst = [
        [row["tag"], row["predicted"], f"{row['probability']:.2g}", *(row[key] for key in around), row["place"]]
        for row in report["worst"]
    ]
    confused = [[gold, mine, str(count)] for gold, mine, count in report["confused"]]
    lengths = [
        [f"{row['from']}–{row['to']}", str(row["count"]), f"{row['accuracy']:.2%}"] for row in report["by_length"]
    ]
    spans, words = report["per_type"], report.get("words")
    return html_page.document(
        name,
        f"<p>On {of.counted(metrics['model'])}.</p>",
        html_page.table(table.header, table.cells()),
        html_page.pictures(pictures),
        "" if spans is None else "<h2>Spans</h2>" + html_page.scores(spans, of="type", counted="spans"),
        f"<h2>{of.label.capitalize()}s</h2>",
        html_page.scores(report["per_tag"], of=of.label, counted=f"{of.step}s"),
        f"<h2>By the length of the {of.whole}</h2>",
        html_page.table([f"{of.step}s", f"{of.whole}s", "accuracy"], lengths),
        "" if words is None else _words(words),
        "<h2>Confused most often</h2>",
        html_page.table(["is", "taken for", "times"], confused),
        "<h2>Worst mistakes</h2>",
        html_page.table(["is", "taken for", "probability of what it is", *["word", "among"][: len(around)], "place"],
                        worst),
    )  # fmt: skip


class _Nouns(NamedTuple):
    """What a report calls what it is about."""

    model: str
    label: str
    step: str
    whole: str
    is_read: str

    def counted(self, row: Mapping[str, Any]) -> str:
        wholes, steps = (row["num_sentences"], row["num_words"]) if self.step == "word" else (
            row["num_sequences"], row["num_frames"])  # fmt: skip
        return f"{wholes:,} held-out {self.whole}s of {steps:,} {self.step}s"


def _nouns(metrics: Mapping[str, Any]) -> _Nouns:
    if metrics["task"] == "frames":
        whole = "recording" if metrics["config"]["data"]["window_frames"] is None else "window"
        is_numbers = metrics.get("targets") == "numbers"
        model, label = ("predictor of numbers", "number") if is_numbers else ("labeller of frames", "label")
        return _Nouns(model, label, "frame", whole, "frames")
    with_spelling = metrics["config"]["words"]["characters"]
    return _Nouns("tagger", "tag", "word", "sentence", "words and their characters" if with_spelling else "words")


def _words(words: Mapping[str, Any]) -> str:
    known = [
        [kind, f"{row['count']:,}", "" if row["accuracy"] is None else f"{row['accuracy']:.2%}"]
        for kind, row in words.items()
    ]
    return "<h2>Words</h2>" + html_page.table(["in training", "words", "accuracy"], known)


def model_card(metrics: Mapping[str, Any], *, name: str) -> str:
    """README.md of a run folder: what the model is, how good it is beside its baselines, where that was measured."""
    of, config, model, machine = _nouns(metrics), metrics["config"], metrics["model"], metrics["machine"]
    shape, parts, labels = config["model"], metrics["data"], metrics["labels"]
    widths = shape["hidden_size"] if isinstance(shape["hidden_size"], list) else [shape["hidden_size"]]
    direction = "in both directions" if shape["bidirectional"] else f"from the first {of.step} to the last"
    shown = ", ".join(labels[:20]) + (f" and {len(labels) - 20} more" if len(labels) > 20 else "")
    blocks = "sentences" if of.step == "word" else f"blocks of at most {BLOCK} frames"
    says = {
        "labels": "says of each of the labels above whether a frame has it",
        "numbers": "gives every frame the numbers above",
    }.get(metrics.get("targets", "label"), f"gives every {of.step} one of the {of.label}s above")
    if config["data"].get("next_frame"):
        says += ", which are the frame's own, said from the frames before it"
    scheme = "" if metrics["scheme"] is None else f" They mark spans ({metrics['scheme'].upper()})."
    return f"""# {name}

A recurrent {of.model}: {max(shape["num_layers"], len(widths))} × {shape["cell"]} with {", ".join(map(str, widths))}
units, reading {of.is_read} {direction}; {model["num_parameters"]:,} parameters.

{of.label.capitalize()}s: {shown}.{scheme}

## Measured

{tagging_table(metrics).to_markdown()}

On {of.counted(model)}. 95 % from … to: of the first figure, over resampled {blocks}.
p: how often random swaps of two outputs, one such part at a time, differ at least as much.

## Trained

- on {parts["train"]["num_sentences"]:,} {of.whole}s of {", ".join(config["data"]["sources"])};
  weights chosen by {parts["valid"]["num_sentences"]:,} others
- {metrics["steps"]:,} steps in {metrics["train_seconds"]:.0f} s, {metrics["tokens_per_s"]:,.0f} {of.whole}s/s
- seed {metrics["seed"]}
- machine: {machine["processor"]}, {machine["threads"]} threads, {machine["isa"]}
- rnnkit at commit {metrics["commit"] or "unknown"}

## Use

```sh
rnnkit predict . FILE
rnnkit eval . FILE
```

It knows nothing but its training {of.whole}s, and {says}, whatever it is.

## Configuration

```json
{json.dumps(config, indent=2, ensure_ascii=False)}
```
"""
