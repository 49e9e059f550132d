"""Pictures of training: one run with its baselines as lines, or several runs together."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnkit.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rnnkit.metrics import Column

# Of a bidirectional model there is no figure per character.
_UNITS = {"nats_per_character": "nats per character", "nats_per_token": "nats per token, given all others"}


def draw_run(metrics: Mapping[str, Any]) -> bytes:
    """The learning curve of one run as PNG: training and held-out loss over seconds, baselines as horizontal lines."""
    figure, axes = _axes()
    unit = _unit(metrics)
    axes.set_ylabel(_UNITS[unit])
    per_token = metrics["model"][unit] / metrics["model"]["nats_per_token"]
    _draw_curve(axes, metrics["curve"], scale=per_token, label="model, held out", color="C0")
    points = [(p["seconds"], p["loss"] * per_token) for p in metrics["curve"] if p["loss"] is not None]
    axes.plot(*zip(*points, strict=True), color="C0", alpha=0.4, linestyle="--", label="model, training")
    shown = sorted(metrics["baselines"], key=lambda entry: entry[unit])
    for number, entry in enumerate(shown[:4], start=1):
        axes.axhline(entry[unit], color=f"C{number}", linewidth=1, label=entry["name"])
    _frame_values(axes, [y for _, y in points] + [entry[unit] for entry in shown[:4]])
    return _png(figure, axes)


def draw_runs(runs: Mapping[str, Mapping[str, Any]]) -> bytes:
    """The held-out curves of several runs, by name, as one PNG; a line for the best baseline that all of them share."""
    figure, axes = _axes()
    values: list[float] = []
    unit = _unit(next(iter(runs.values())))
    axes.set_ylabel(_UNITS[unit])
    for number, (name, metrics) in enumerate(runs.items()):
        per_token = metrics["model"][unit] / metrics["model"]["nats_per_token"]
        _draw_curve(axes, metrics["curve"], scale=per_token, label=name, color=f"C{number}")
        values += [point["nll"] * per_token for point in metrics["curve"]]
    tables = [{(e[unit], e["name"]) for e in metrics["baselines"]} for metrics in runs.values()]
    if shared := set.intersection(*tables):
        value, name = min(shared)
        axes.axhline(value, color="0.3", linestyle=":", label=name)
        values.append(value)
    _frame_values(axes, values)
    return _png(figure, axes)


def draw_accuracy(metrics: Mapping[str, Any]) -> bytes:
    """The validation accuracy of a classifier over seconds as PNG, the test accuracies of all as horizontal lines."""
    figure, axes = _axes()
    axes.set_ylabel("accuracy")
    curve = metrics["curve"]
    axes.plot([p["seconds"] for p in curve], [p["accuracy"] for p in curve], marker=".", label="model, validation")
    axes.axhline(metrics["model"]["accuracy"], color="C0", linestyle="--", linewidth=1, label="model, test")
    for number, entry in enumerate(metrics["baselines"], start=1):
        axes.axhline(entry["accuracy"], color=f"C{number}", linewidth=1, label=f"{entry['name']}, test")
    return _png(figure, axes)


def draw_losses(metrics: Mapping[str, Any]) -> bytes:
    """Training and held-out loss of a run over seconds as PNG, in nats per token."""
    figure, axes = _axes()
    axes.set_ylabel("nats per token")
    points = [(p["seconds"], p["loss"]) for p in metrics["curve"] if p["loss"] is not None]
    _draw_curve(axes, metrics["curve"], scale=1.0, label="held out", color="C0")
    if points:
        axes.plot(*zip(*points, strict=True), color="C0", alpha=0.4, linestyle="--", label="training")
    _frame_values(axes, [y for _, y in points] or [p["nll"] for p in metrics["curve"]])
    return _png(figure, axes)


def draw_all_losses(runs: Mapping[str, Mapping[str, Any]]) -> bytes:
    """The held-out losses of several runs, by name, as one PNG, in nats per token."""
    figure, axes = _axes()
    axes.set_ylabel("held-out nats per token")
    for number, (name, metrics) in enumerate(runs.items()):
        _draw_curve(axes, metrics["curve"], scale=1.0, label=name, color=f"C{number}")
    _frame_values(axes, [point["nll"] for metrics in runs.values() for point in metrics["curve"]])
    return _png(figure, axes)


def draw_points(points: Mapping[str, Sequence[Mapping[str, float]]]) -> bytes:
    """Shares of several systems along one axis as PNG. Args: points: by the axis, its value and theirs by name."""
    figure, axes = _axes()
    ((axis, rows),) = points.items()
    for name in rows[0]:
        if name != axis:
            axes.plot([row[axis] for row in rows], [row[name] for row in rows], marker=".", label=name)
    axes.set(xlabel=axis, ylabel="share exactly right", ylim=(0, 1.02))
    return _png(figure, axes)


def draw_figure(metrics: Mapping[str, Any], column: Column) -> bytes:
    """The held-out loss of a run over seconds as PNG, the test figures of all systems as horizontal lines.

    Args: column: the figure, whose square a loss of numbers is.
    """
    figure, axes = _axes()
    axes.set_ylabel(column.label)
    power = 0.5 if column.key == "scaled_rmse" else 1
    points = [(p["seconds"], p["nll"] ** power) for p in metrics["curve"]]
    axes.plot(*zip(*points, strict=True), marker=".", label="model, validation")
    axes.axhline(metrics["model"][column.key], color="C0", linestyle="--", linewidth=1, label="model, test")
    for number, entry in enumerate(metrics["baselines"], start=1):
        axes.axhline(entry[column.key], color=f"C{number}", linewidth=1, label=f"{entry['name']}, test")
    _frame_values(axes, [y for _, y in points] + [metrics["model"][column.key]])
    return _png(figure, axes)


def draw_figures(runs: Mapping[str, Mapping[str, Any]], column: Column) -> bytes:
    """A figure of several runs, by name, and of every baseline, as horizontal bars with 95 % intervals."""
    rows = [(f"{name}: {row['name']}", row, number) for number, (name, metrics) in enumerate(runs.items())
            for row in (metrics["model"], *metrics["baselines"])]  # fmt: skip
    figure, axes = _axes()
    for place, (name, row, number) in enumerate(reversed(rows)):
        spread = [[row[column.key] - row["low"]], [row["high"] - row[column.key]]]
        axes.barh(place, row[column.key], xerr=spread, color=f"C{number}", alpha=0.5 if "p_value" in row else 1.0)
        axes.text(0.01, place, name, va="center", fontsize=7)
    axes.set(xlabel=f"{column.label} on the test recordings", ylabel="", yticks=[])
    return png(figure)


def draw_accuracies(runs: Mapping[str, Mapping[str, Any]]) -> bytes:
    """The test accuracies of several runs, by name, and of every baseline, as horizontal bars with 95 % intervals.

    Of taggers of spans F1.
    """
    rows = [(f"{name}: {row['name']}", row, number) for number, (name, metrics) in enumerate(runs.items())
            for row in (metrics["model"], *metrics["baselines"])]  # fmt: skip
    figure, axes = _axes()
    for place, (name, row, number) in enumerate(reversed(rows)):
        accuracy = row.get("f1", row["accuracy"])
        low, high = (row["low"], row["high"]) if "low" in row else (row["accuracy_low"], row["accuracy_high"])
        spread = [[accuracy - low], [high - accuracy]]
        axes.barh(place, accuracy, xerr=spread, color=f"C{number}", alpha=0.5 if "p_value" in row else 1.0)
        axes.text(0.01, place, name, va="center", fontsize=7)
    measure = "F1 over spans" if any("f1" in row for _, row, _ in rows) else "accuracy"
    axes.set(xlabel=f"{measure} on the test sequences", ylabel="", yticks=[], xlim=(0, 1))
    return png(figure)


def figure(count: int) -> tuple[Any, list[Axes]]:
    """A figure of so many pictures under each other. Raises: MissingExtraError."""
    made, _ = _axes()
    made.clear()
    return made, [made.add_subplot(count, 1, number + 1) for number in range(count)]


def png(figure: Any) -> bytes:
    """A figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def write_png(path: str | Path, data: bytes) -> None:
    """Write a picture, replacing the one before only once it is whole."""
    from rnnkit import durable

    durable.write_file(Path(path), data)


def _unit(metrics: Mapping[str, Any]) -> str:
    """What a run is drawn by."""
    return next(unit for unit in _UNITS if unit in metrics["model"])


def _axes() -> tuple[Any, Axes]:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("drawing needs matplotlib", extra="train") from error
    figure = Figure(figsize=(7, 4.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel("training, seconds")
    axes.grid(alpha=0.3)
    return figure, axes


def _draw_curve(axes: Axes, curve: Sequence[Mapping[str, Any]], *, scale: float, label: str, color: str) -> None:
    axes.plot([p["seconds"] for p in curve], [p["nll"] * scale for p in curve], color=color, marker=".", label=label)


def _frame_values(axes: Axes, values: Sequence[float]) -> None:
    """Cut off the first steep fall, which would press everything of interest together."""
    low, middle = min(values), sorted(values)[len(values) // 2]
    axes.set_ylim(low - 0.1 * (middle - low + 0.1), max(middle, low) + 2.5 * (middle - low) + 0.2)


def _png(figure: Any, axes: Axes) -> bytes:
    axes.legend()
    return png(figure)
