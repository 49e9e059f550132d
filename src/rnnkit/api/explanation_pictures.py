"""The pictures of a report of `rnnkit explain`, as PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnnkit.api.curves import figure, png

_MOST_UNITS = 64  # rows of a heat map
_MOST_TICKS = 60  # steps up to which each is named


def draw_trace(values: Mapping[str, np.ndarray], *, names: Mapping[str, str], pieces: Sequence[str]) -> bytes:
    """Heat maps of one layer, [T, H] each: a row for each unit, a column for each step."""
    made, axes = figure(len(values))
    made.set_size_inches(max(7, min(14, 0.16 * len(pieces))), 1.9 * len(values))
    for one, (name, value) in zip(axes, values.items(), strict=True):
        rows = np.unique(np.linspace(0, value.shape[1] - 1, _MOST_UNITS).round().astype(int))
        limit = max(1.0, float(np.abs(value).max()))
        low, colours = (0.0, "viridis") if value.min() >= 0 and value.max() <= 1 else (-limit, "RdBu_r")
        image = one.imshow(value[:, rows].T, aspect="auto", cmap=colours, vmin=low, vmax=limit, interpolation="nearest")
        shown = "" if len(rows) == value.shape[1] else f", {len(rows)} of {value.shape[1]} units"
        one.set_title(f"{name}: {names.get(name, name)}{shown}", fontsize=9, loc="left")
        one.set_ylabel("unit")
        _name_steps(one, pieces)
        made.colorbar(image, ax=one, pad=0.01)
    return png(made)


def draw_flow(norms: Mapping[str, np.ndarray], *, pieces: Sequence[str]) -> bytes:
    """‖∂L/∂h_t‖ over t, a line for each layer."""
    made, (axes,) = figure(1)
    made.set_size_inches(8, 3.5)
    for name, values in norms.items():
        axes.plot(_drawable(values), marker=".", label=name)
    axes.set(yscale="log", ylabel="‖∂L/∂h_t‖")
    _name_steps(axes, pieces)
    axes.grid(alpha=0.3)
    axes.legend()
    return png(made)


def draw_reach(norms: np.ndarray, *, title: str, pieces: Sequence[str]) -> bytes:
    """A value of every pair of loss and step, [N, T], on a logarithmic scale."""
    made, (axes,) = figure(1)
    made.set_size_inches(6.5, max(2.2, min(6.0, 0.5 + 6 * len(norms) / norms.shape[1])))
    largest = float(norms.max()) or 1.0
    shown = np.log10(np.maximum(norms, largest * 1e-12))
    image = axes.imshow(shown, aspect="auto", cmap="magma", interpolation="nearest")
    axes.set(ylabel="loss at step" if len(norms) > 1 else "loss")
    axes.set_title(title, fontsize=9, loc="left")
    _name_steps(axes, pieces)
    made.colorbar(image, ax=axes, label="log₁₀, cut at 10⁻¹² of the largest")
    return png(made)


def draw_singular_values(layers: Mapping[str, Any]) -> bytes:
    """The largest and the median singular value of the Jacobian products of every layer, over their distance."""
    made, (axes,) = figure(1)
    made.set_size_inches(8, 3.5)
    for number, (name, layer) in enumerate(layers.items()):
        color = f"C{number}"
        axes.plot(layer.distances, _drawable(layer.largest), color=color, marker=".", label=f"{name}, largest")
        axes.plot(layer.distances, _drawable(layer.median), color=color, linestyle=":", label=f"{name}, median")
    axes.set(yscale="log", xlabel="steps d", ylabel="singular values of ∂s_T/∂s_{T−d}")
    axes.grid(alpha=0.3)
    axes.legend()
    return png(made)


def draw_cells(flows: Sequence[Any]) -> bytes:
    """‖∂L_T/∂h_t‖ of untrained cells over the steps, on one picture."""
    made, (axes,) = figure(1)
    made.set_size_inches(8, 3.8)
    for flow in flows:
        steps = np.arange(1, len(flow.norms) + 1)
        axes.plot(steps, _drawable(flow.norms), label=f"{flow.name}: step 1 over step {len(steps)} = {flow.ratio:.1e}")
    axes.set(yscale="log", xlabel="step", ylabel="‖∂L_T/∂h_t‖, one loss behind the last step")
    axes.grid(alpha=0.3)
    axes.legend()
    return png(made)


def draw_dynamics(found: Any, pieces: Sequence[str]) -> bytes:
    """The path of a state through its first two principal directions, and the fixed points beside it."""
    made, (axes,) = figure(1)
    made.set_size_inches(7, 5)
    x, y = found.path[:, 0], found.path[:, 1]
    axes.plot(x, y, color="0.6", linewidth=0.8, zorder=1)
    dots = axes.scatter(x, y, c=np.arange(1, len(x) + 1), cmap="viridis", s=16, zorder=2)
    for at in np.unique(np.linspace(0, len(x) - 1, min(len(x), 25)).round().astype(int)):
        piece = str(pieces[int(at)])[:10].replace("$", r"\$")
        axes.annotate(piece, (x[at], y[at]), fontsize=7, alpha=0.8)
    for is_stable, mark in ((True, "o"), (False, "X")):
        points = np.array([point.at for point in found.points if point.is_stable == is_stable]).reshape(-1, 2)
        if len(points):
            label = f"{'stable' if is_stable else 'unstable'} fixed point"
            axes.scatter(points[:, 0], points[:, 1], marker=mark, s=90, facecolor="none" if is_stable else "C3",
                         edgecolor="C3", linewidth=1.5, label=label, zorder=3)  # fmt: skip
    made.colorbar(dots, ax=axes, label="step")
    axes.set(xlabel="first principal direction", ylabel="second")
    axes.grid(alpha=0.3)
    if found.points:
        axes.legend(fontsize=8)
    return png(made)


def draw_memory(tasks: Mapping[str, Any], *, longest: int) -> bytes:
    """Share right over the distance, a picture for each task; what lies beyond `longest` was not trained on."""
    made, pictures = figure(len(tasks))
    made.set_size_inches(8, 3.0 * len(tasks))
    for axes, (name, of_task) in zip(pictures, tasks.items(), strict=True):
        axes.axvspan(longest, of_task["distances"][-1] * 1.05, color="0.5", alpha=0.15, lw=0)
        for row in of_task["rows"]:
            line = ":" if "num_parameters" not in row else "--" if "MLP" in row["name"] else "-"
            axes.plot(of_task["distances"], row["accuracy"], marker=".", linestyle=line, label=row["name"])
        axes.set(xscale="log", ylim=(-0.02, 1.04), ylabel="share right")
        axes.set_xticks(of_task["distances"], [str(distance) for distance in of_task["distances"]])
        axes.minorticks_off()
        axes.set_title(f"{name}: share right over the distance in steps; grey: longer than trained on", fontsize=9)
        axes.grid(alpha=0.3)
    pictures[0].legend(fontsize=8)
    return png(made)


def _drawable(values: Any) -> np.ndarray:
    """0 has no place on a logarithmic axis."""
    values = np.asarray(values, np.float64)
    return np.where(values > 0, values, np.nan)


def _name_steps(axes: Any, pieces: Sequence[str]) -> None:
    if len(pieces) > _MOST_TICKS:
        axes.set_xlabel("step")
        return
    axes.set_xlabel("")
    axes.set_xticks(range(len(pieces)), [piece[:12].replace("$", r"\$") for piece in pieces])
    axes.tick_params(axis="x", labelsize=7, labelrotation=0 if max(map(len, pieces)) < 3 else 90)
