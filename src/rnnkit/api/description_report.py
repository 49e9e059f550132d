"""Words and tables out of the metrics.json of a run on records: page and model card; its table is a translator's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rnnkit.api import html_page
from rnnkit.api.translation_report import translation_table

_REFERENCES = {
    "own": "each by its own texts",
    "record": "each by all texts of equal records",
    "features": "each by the texts of all that differ in filled-in values alone, with its values",
}


def page(metrics: Mapping[str, Any], *, name: str, attention: bytes | None) -> str:
    """report.html."""
    table, report = translation_table(metrics), metrics["report"]
    worst = [[*_texts(row), f"{row['chrf']:.1f}", row["place"]] for row in report["worst"]]
    wrong = [
        [row["record"], row["output"], str(row["missing"]), str(row["redundant"]), row["place"]]
        for row in report["wrong_slots"]
    ]
    return html_page.document(
        name,
        f"<p>On {metrics['model']['num_outputs']:,} held-out records.</p>",
        html_page.table(table.header, table.cells()),
        "<h2>Outputs</h2>",
        html_page.table(["read", "output", "references"], [_texts(row) for row in report["shown"]]),
        "" if attention is None else "<h2>Where the decoder looked</h2>"
        + html_page.pictures({"attention: output tokens by attributes": attention}),
        "<h2>Slots missing or redundant</h2>",
        html_page.table(["record", "output", "missing", "redundant", "place"], wrong)
        if wrong else "<p>None on these records.</p>",
        "<h2>Lowest chrF</h2>",
        html_page.table(["read", "output", "references", "chrF", "place"], worst),
    )  # fmt: skip


def model_card(metrics: Mapping[str, Any], *, name: str) -> str:
    """README.md of a run folder: what the model is, how good it is beside its baselines, where that was measured."""
    config, model, machine, parts = metrics["config"], metrics["model"], metrics["machine"], metrics["data"]
    shape, decoding, figure = config["model"], config["decoding"], model["figure"]
    read = "as a set" if shape["encoder"] == "set" else "as a sequence"
    attention = "without attention" if shape["attention"] == "none" else f"with {shape['attention']} attention"
    skipped = sum(metrics["skipped"].values())
    left_out = f"; {skipped:,} rows that could not be used were left out" if skipped else ""
    chosen = " of which the likeliest with the fewest slot errors is taken," if decoding["rerank"] else ""
    best = ""
    if "best_bleu" in model:
        best = (
            f"\nOf the {model['num_best']} best texts of each record together: BLEU {model['best_bleu']:.2f}, "
            f"slot error {model['best_slot_error']:.2%}.\n"
        )
    return f"""# {name}

A recurrent writer of records: {shape["num_layers"]} × {shape["cell"]} with {shape["hidden_size"]} units, {attention};
it reads a record's attributes {read} and knows them by {shape["conditioning"]}; {model["num_parameters"]:,} parameters.
It fills in the values of {", ".join(metrics["filled"]) or "no slot"}; those of others it reads.

## Measured

{translation_table(metrics).to_markdown()}

On {model["num_outputs"]:,} held-out records, {_REFERENCES[config["data"]["references"]]}; by a beam of
{decoding["num_beams"]},{chosen} and a length penalty of {decoding["length_penalty"]:g}; {model["nats_per_token"]:.3f}
nats per token. Slot error: {model["slots_missing"]} slots missing, {model["slots_redundant"]} redundant, of
{model["num_slots"]:,}. 95 % from … to: of {figure}, over resampled outputs. p: how often random swaps of two outputs
differ at least as much.
{best}
BLEU: `{model["bleu_signature"]}`; chrF: `{model["chrf_signature"]}` (sacrebleu).

## Trained

- on {parts["train"]["num_pairs"]:,} texts of records of {", ".join(config["data"]["sources"])};
  weights chosen by {parts["valid"]["num_pairs"]:,} others{left_out}
- {metrics["steps"]:,} steps in {metrics["train_seconds"]:.0f} s, {metrics["tokens_per_s"]:,.0f} tokens/s
- seed {metrics["seed"]}
- machine: {machine["processor"]}, {machine["threads"]} threads, {machine["isa"]}
- rnnkit at commit {metrics["commit"] or "unknown"}

## Use

```sh
rnnkit predict . RECORDS
rnnkit eval . RECORDS_WITH_TEXTS
```

It knows nothing but its training records. A slot that it never saw, it cannot say.

## Configuration

```json
{json.dumps(config, indent=2, ensure_ascii=False)}
```
"""


def _texts(row: Mapping[str, Any]) -> list[str]:
    return [row["source"], row["output"], " | ".join(row["references"])]
