"""Pictures and the page of a run on frames that have several labels, or numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rnnkit.api import curves, html_page, tagging_report

_MOST_LINES = 4  # of numbers that a picture has room for


def pages(metrics: Mapping[str, Any], name: str) -> dict[str, bytes]:
    """What people look at in the folder of such a run."""
    example = draw_example(metrics)
    return {
        "curve.png": curves.draw_figure(metrics, tagging_report.FRAME_FIGURES[metrics["targets"]]),
        "example.png": example,
        "report.html": page(metrics, name=name, pictures={"a recording, as it is and as it is said": example}).encode(),
        "README.md": tagging_report.model_card(metrics, name=name).encode(),
    }


def draw_example(metrics: Mapping[str, Any]) -> bytes:
    """The begin of a held-out recording as PNG: as it is, and what the model says of it, frame by frame."""
    example, labels = metrics["report"]["example"], metrics["labels"]
    gold, said = (list(zip(*example[key], strict=True)) for key in ("gold", "said"))
    if metrics["targets"] == "labels":
        figure, pair = curves.figure(2)
        for axes, rows, title in zip(pair, (gold, said), ("is there", "probability that it is"), strict=True):
            axes.imshow(rows, aspect="auto", origin="lower", cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
            axes.set(title=title, ylabel="label")
    else:
        count = min(len(labels), _MOST_LINES)
        figure, pair = curves.figure(count)
        for axes, label, is_so, is_said in zip(pair, labels, gold, said, strict=False):
            axes.plot(is_so, color="0.3", label="is")
            axes.plot(is_said, color="C0", label="said")
            axes.set(ylabel=label)
        pair[0].legend()
    pair[-1].set(xlabel=f"frame, from {example['place']}")
    return curves.png(figure)


def page(metrics: Mapping[str, Any], *, name: str, pictures: Mapping[str, bytes]) -> str:
    """report.html."""
    table, report = tagging_report.tagging_table(metrics), metrics["report"]
    is_numbers = metrics["targets"] == "numbers"
    lost = "error in deviations" if is_numbers else "nats"
    per_frame = "scaled RMSE" if is_numbers else "nats per frame"
    lengths = [[f"{row['from']}–{row['to']}", str(row["count"]), f"{row['lost']:.4f}"] for row in report["by_length"]]
    worst = [[row["is"], row["said"], f"{row['lost']:.4g}", row["place"]] for row in report["worst"]]
    return html_page.document(
        name,
        f"<p>On {tagging_report.counted(metrics)}.</p>",
        html_page.table(table.header, table.cells()),
        html_page.pictures(pictures),
        "<h2>Numbers</h2>" + _numbers(metrics) if is_numbers else
        "<h2>Labels</h2>" + html_page.scores(report["per_tag"], of="label", counted="frames"),
        "<h2>By the length of the recording</h2>",
        html_page.table(["frames", "recordings", per_frame], lengths),
        "<h2>Worst frames</h2>",
        html_page.table(["is", "said", lost, "place"], worst),
    )  # fmt: skip


def _numbers(metrics: Mapping[str, Any]) -> str:
    """RMSE, MAE and R² of each number, of the model and every baseline."""
    rows = []
    for system in (metrics["model"], *metrics["baselines"]):
        for target, row in system["per_target"].items():
            r2 = "" if row["r2"] is None else f"{row['r2']:.4f}"
            rows.append([target, system["name"], f"{row['rmse']:.4g}", f"{row['mae']:.4g}", r2])
    order = {target: number for number, target in enumerate(metrics["labels"])}
    rows.sort(key=lambda row: order[row[0]])
    return html_page.table(["number", "by", "RMSE", "MAE", "R²"], rows)
