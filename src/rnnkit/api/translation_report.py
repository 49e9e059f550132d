"""Words, pictures and tables out of the metrics.json of a run on pairs of texts: table, page and model card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rnnkit.api import curves, html_page
from rnnkit.metrics import ResultTable, Row
from rnnkit.metrics.translation import translation_columns

_LOWER = ("wer", "cer")  # figures of which less is better
_NUM_DRAWN = 4
_MOST_DRAWN = 40  # tokens of a side


def translation_table(metrics: Mapping[str, Any]) -> ResultTable:
    """The model beside its baselines, the best first."""
    rows = [Row(metrics["model"]["name"], metrics["model"], is_baseline=False)]
    rows += [Row(entry["name"], entry, is_baseline=True) for entry in metrics["baselines"]]
    figure = metrics["model"]["figure"]
    rows.sort(key=lambda row: row.values[figure], reverse=figure not in _LOWER)
    return ResultTable(rows, columns=translation_columns(figure))


def draw_attention(metrics: Mapping[str, Any]) -> bytes | None:
    """Where the decoder looked, of a few outputs under each other, as PNG; None where it does not."""
    shown = [row for row in metrics["report"]["shown"] if "attention" in row]
    shown = [row for row in shown if max(len(row["source_tokens"]), len(row["output_tokens"])) <= _MOST_DRAWN]
    if not shown:
        return None
    shown = shown[:_NUM_DRAWN]
    figure, pictures = curves.figure(len(shown))
    figure.set_size_inches(7, sum(1.5 + 0.2 * len(row["output_tokens"]) for row in shown))
    for axes, row in zip(pictures, shown, strict=True):
        axes.imshow(row["attention"], cmap="Greys", vmin=0, vmax=1, aspect="auto")
        for axis, tokens in ((axes.xaxis, row["source_tokens"]), (axes.yaxis, row["output_tokens"])):
            axis.set_ticks(range(len(tokens)), [token.replace("$", r"\$") for token in tokens], fontsize=7)
        axes.tick_params(axis="x", rotation=90)
    return curves.png(figure)


def page(metrics: Mapping[str, Any], *, name: str, attention: bytes | None) -> str:
    """report.html."""
    table, report = translation_table(metrics), metrics["report"]
    worst = [[*_texts(row), f"{row['chrf']:.1f}", row["place"]] for row in report["worst"]]
    lengths = [
        [f"{row['from']}–{row['to']}", str(row["count"]), f"{row['exact']:.2%}", f"{row['chrf']:.1f}"]
        for row in report["by_length"]
    ]
    return html_page.document(
        name,
        f"<p>On {metrics['model']['num_outputs']:,} held-out sources.</p>",
        html_page.table(table.header, table.cells()),
        "<h2>Outputs</h2>",
        html_page.table(["source", "output", "references"], [_texts(row) for row in report["shown"]]),
        "" if attention is None else "<h2>Where the decoder looked</h2>"
        + html_page.pictures({"attention: output tokens by source tokens": attention}),
        "<h2>By the length of the source</h2>",
        html_page.table(["tokens", "sources", "exactly right", "mean chrF"], lengths),
        "<h2>Lowest chrF</h2>",
        html_page.table(["source", "output", "references", "chrF", "place"], worst),
    )  # fmt: skip


def model_card(metrics: Mapping[str, Any], *, name: str) -> str:
    """README.md of a run folder: what the model is, how good it is beside its baselines, where that was measured."""
    config, model, machine, parts = metrics["config"], metrics["model"], metrics["machine"], metrics["data"]
    shape, decoding = config["model"], config["decoding"]
    direction = "in both directions" if shape["bidirectional"] else "forwards"
    attention = "without attention" if shape["attention"] == "none" else f"with {shape['attention']} attention"
    attention += " and input feeding" if shape["input_feeding"] else ""
    skipped = sum(metrics["skipped"].values())
    is_talk = metrics["task"] == "dialogue"
    data, read = ("DIALOGUES", "rnnkit chat .") if is_talk else ("PAIRS", "rnnkit predict . < SOURCES")
    kind = f"answers up to {config['data']['context']} turns of a dialogue" if is_talk else "writes a text for another"
    left_out = f"; {skipped:,} rows that could not be used were left out" if skipped else ""
    return f"""# {name}

A recurrent encoder-decoder that {kind}: {shape["num_layers"]} × {shape["cell"]} with
{shape["hidden_size"]} units, {attention}; the encoder reads {direction}, the decoder knows the source by
{shape["conditioning"]}; {model["num_parameters"]:,} parameters.

## Measured

{translation_table(metrics).to_markdown()}

On {model["num_outputs"]:,} held-out sources, by a beam of {decoding["num_beams"]} and a length penalty of
{decoding["length_penalty"]:g}; {model["nats_per_token"]:.3f} nats per target token. 95 % from … to: of
{model["figure"]}, over resampled outputs. p: how often random swaps of two outputs differ at least as much.

BLEU: `{model["bleu_signature"]}`; chrF: `{model["chrf_signature"]}` (sacrebleu).

## Trained

- on {parts["train"]["num_pairs"]:,} pairs of {", ".join(config["data"]["sources"])};
  weights chosen by {parts["valid"]["num_pairs"]:,} others{left_out}
- {metrics["steps"]:,} steps in {metrics["train_seconds"]:.0f} s, {metrics["tokens_per_s"]:,.0f} target tokens/s
- seed {metrics["seed"]}
- machine: {machine["processor"]}, {machine["threads"]} threads, {machine["isa"]}
- rnnkit at commit {metrics["commit"] or "unknown"}

## Use

```sh
{read}
rnnkit eval . {data}
```

It knows nothing but its training pairs, and writes something for every source, whatever it is.

## Configuration

```json
{json.dumps(config, indent=2, ensure_ascii=False)}
```
"""


def _texts(row: Mapping[str, Any]) -> list[str]:
    return [row["source"], row["output"], " | ".join(row["references"])]
