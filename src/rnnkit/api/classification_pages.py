"""Pictures and the page of a classification run: confusion, mistakes, early decisions, calibration."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from rnnkit.api import html_page
from rnnkit.api.classification_report import classification_table
from rnnkit.errors import MissingExtraError

_MOST_NUMBERS = 20  # labels up to which a confusion matrix has room for its counts


def draw_confusion(metrics: Mapping[str, Any]) -> bytes:
    """The confusion matrix as PNG: each row the label it is, shaded by the share taken for each column's label.

    Of several labels, for each of them how often it was rightly found, missed, and found where it is not.
    """
    if "counts" in metrics["report"]:
        return _draw_counts(metrics["labels"], metrics["report"]["counts"])
    labels, counts = metrics["labels"], metrics["report"]["confusion"]
    figure, (axes,) = _figure(1, size=max(4.5, 1.5 + 0.3 * len(labels)))
    shares = [[count / max(sum(row), 1) for count in row] for row in counts]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    places = range(len(labels))
    axes.set(xlabel="taken for", ylabel="is", xticks=places, yticks=places, yticklabels=labels)
    axes.set_xticklabels(labels, rotation=90)
    if len(labels) <= _MOST_NUMBERS:
        for row in places:
            for column in places:
                if counts[row][column]:
                    color = "white" if shares[row][column] > 0.5 else "black"
                    axes.text(column, row, counts[row][column], ha="center", va="center", color=color, fontsize=7)
    return _png(figure)


def _draw_counts(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> bytes:
    figure, (axes,) = _figure(1, size=max(4.5, 1.5 + 0.3 * len(labels)))
    places = range(len(labels))
    found, wrong, missed = ([row[column] for row in counts] for column in range(3))
    axes.barh(places, found, color="C0", label="found")
    axes.barh(places, missed, left=found, color="0.75", label="missed")
    axes.barh(places, [-count for count in wrong], color="C3", label="found where it is not")
    axes.axvline(0, color="0.3", linewidth=1)
    axes.set(xlabel="sequences", yticks=places, yticklabels=labels)
    axes.invert_yaxis()
    axes.legend(fontsize=8)
    return _png(figure)


def draw_behaviour(metrics: Mapping[str, Any]) -> bytes:
    """Three pictures as one PNG: accuracy by the share of a sequence that was read, by its length, and by certainty."""
    report, accuracy = metrics["report"], metrics["model"]["accuracy"]
    figure, (seen, lengths, certain) = _figure(3, size=4.0)
    seen.plot([p["share"] for p in report["seen"]], [p["accuracy"] for p in report["seen"]], marker="o")
    best = max(metrics["baselines"], key=lambda row: row["accuracy"])
    seen.axhline(best["accuracy"], color="C1", linewidth=1, label=f"{best['name']}, all of it")
    seen.set(xlabel="share of the sequence read", ylabel="accuracy", title="Early decision")
    seen.legend(fontsize=8)
    names = [f"{bucket['from']}–{bucket['to']}" for bucket in report["by_length"]]
    lengths.bar(range(len(names)), [bucket["accuracy"] for bucket in report["by_length"]])
    lengths.axhline(accuracy, color="0.3", linewidth=1)
    lengths.set(xlabel="steps", title="By length", xticks=range(len(names)), xticklabels=names)
    certain.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    bins = report["calibration"]
    if "uncalibrated" in report:
        before = report["uncalibrated"]
        points = before["calibration"]
        label = f"before, off by {before['ece']:.1%}"
        certain.plot([p["certainty"] for p in points], [p["accuracy"] for p in points], ":", color="C1", label=label)
        certain.legend(fontsize=8)
    certain.plot([p["certainty"] for p in bins], [p["accuracy"] for p in bins], marker="o")
    certain.set(xlabel="certainty", title=f"Calibration, off by {report['ece']:.1%}", xlim=(0, 1), ylim=(0, 1))
    return _png(figure)


def draw_lengths(runs: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Accuracy by the length of a text as PNG, from lengths trained on to those far beyond: a picture for each run."""
    figure, pictures = _figure(len(runs), size=4.5 if len(runs) == 1 else 3.0)
    for axes, (run, metrics) in zip(pictures, runs.items(), strict=True):
        rows = metrics["lengths"]
        for system in (metrics["model"], *metrics["baselines"]):
            name = system["name"]
            axes.plot([row["to"] for row in rows], [row["accuracy"][name] for row in rows], marker=".", label=name)
        axes.axvline(rows[0]["to"], color="0.5", linestyle=":", label="longest trained on")
        axes.set(title=run, xlabel="characters, up to", ylim=(0, 1.02))
        axes.grid(alpha=0.3)
    pictures[0].set_ylabel("accuracy")
    pictures[0].legend(fontsize=8)
    return _png(figure)


def page(metrics: Mapping[str, Any], *, name: str, pictures: Mapping[str, bytes]) -> str:
    """report.html: one file with its pictures in it, which asks no host for anything."""
    table, report = classification_table(metrics), metrics["report"]
    worst = [
        [row["label"], row["predicted"], f"{row['probability']:.2g}", row["text"], row["place"]]
        for row in report["worst"]
    ]
    return html_page.document(
        name,
        f"<p>On {metrics['model']['num_sequences']:,} held-out sequences.</p>",
        html_page.table(table.header, table.cells()),
        html_page.pictures(pictures),
        _calibrated(report),
        "<h2>Labels</h2>",
        html_page.scores(report["per_label"], of="label", counted="sequences"),
        "<h2>Worst mistakes</h2>",
        html_page.table(["is", "taken for", "probability of what it is", "sequence", "place"], worst),
    )


def _calibrated(report: Mapping[str, Any]) -> str:
    if "uncalibrated" not in report:
        return ""
    before = report["uncalibrated"]
    return (
        f"<p>Temperature {report['temperature']:.3g}, fitted on the validation part: expected calibration error "
        f"{before['ece']:.2%} before, {report['ece']:.2%} after.</p>"
    )


def _figure(count: int, *, size: float) -> tuple[Any, Sequence[Any]]:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("drawing needs matplotlib", extra="train") from error
    figure = Figure(figsize=(size * count if count > 1 else size * 1.1, size), dpi=120, layout="constrained")
    axes = figure.subplots(1, count, squeeze=False)[0]
    return figure, axes


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
