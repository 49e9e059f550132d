"""explain: a report on what happens inside a run's model, as one HTML file with its pictures and numbers beside it."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import numpy as np

from rnnkit.api import explanation_pictures as draw
from rnnkit.api import html_page
from rnnkit.api.drawing import Box, Column, unrolled_svg
from rnnkit.api.explanation_page import Section, write_report
from rnnkit.api.subject import Subject, read_subject
from rnnkit.errors import ArgumentError, BundleError, DataError

MOST_STEPS = 1000  # of an input
MOST_GRADIENT_STEPS = 100
_MOST_BYTES = 256 << 20  # of the gradients of one weight, one for each step
_COLOURED_UNITS = 6
_SAMPLED = 1000  # tokens, of which is told what they copy


def explain(
    run: str | Path,
    sequence: Any = None,
    *,
    out: str | Path | None = None,
    unit: str | None = None,
    weight: str | None = None,
) -> dict[str, Any]:
    """Look inside the model of a run while it reads one sequence, and write a report.

    Args:   sequence: a text, words or frames, as the model takes them; None: one of the run's held-out data.
            out: the folder for `report.html`, `explain.json`, `trace.npz` and the pictures; None: `RUN/explain`.
            unit: colour the text by this one, as "l0.h.3"; None: by those that vary most.
            weight: take the gradient of this one apart, as "weight_hh_l0"; None: the last layer's recurrent weight.
    Returns: the content of `explain.json`, and `report`: where the page is.
    Raises: MissingExtraError without torch or matplotlib; BundleError; UsageError, ArgumentError.
    Cost:   some seconds; up to a minute for 100 steps of wide layers, whose gradients are in float64.
    """
    subject = read_subject(run, sequence, most_steps=MOST_STEPS)
    traced, arrays = _trace_section(subject, unit)
    sections = [_input_section(subject), _drawing_section(subject), traced, *_gradient_sections(subject, weight)]
    sections += [_saliency_section(subject), _dynamics_section(subject), _cells_section()]
    sections += [_copied_section(run, subject)] if subject.kind == "language_model" else []
    values = {"run": str(run), "kind": subject.kind, "pieces": subject.pieces, "notes": subject.notes}
    values |= {key: value for section in sections for key, value in section.values.items()}
    return write_report(out or Path(run) / "explain", f"Inside {Path(run).resolve().name}", sections, values, arrays)


def _input_section(subject: Subject) -> Section:
    section = Section("What was read")
    section.say(f"{len(subject.pieces):,} steps: {' '.join(subject.pieces[:200])}")
    section.say(f"Loss: {subject.loss_of}.", *subject.notes)
    return section


def _drawing_section(subject: Subject) -> Section:
    """The model unrolled over the first steps and the last."""
    model, layers = subject.model, subject.model.recurrent
    section = Section("The model, unrolled")
    steps = len(subject.pieces)
    kept = [*range(min(steps, 3)), *([steps - 1] if steps > 3 else [])]
    counts = {name: sum(p.numel() for p in module.parameters()) for name, module in model.named_children()}
    rows: list[tuple[Box, list[str]]] = []
    if "embedding" in counts:
        rows.append((Box(["embedding", f"[{model.config.embedding_size}]"]), [f"{counts['embedding']:,} parameters"]))
    for number, width in enumerate(layers.hidden_sizes):
        for end, arrow in (("", "forward"), ("_reverse", "reverse"))[: layers.num_directions]:
            suffix = f"_l{number}{end}"
            own = {n.removesuffix(suffix): p for n, p in layers.named_parameters() if n.endswith(suffix)}
            shapes = [f"{name} {[*own[name].shape]}" for name in ("weight_ih", "weight_hh") if name in own]
            note = [f"{sum(p.numel() for p in own.values()):,} parameters", *shapes]
            rows.append((Box([f"{layers.cell.name}, l{number}{end}", f"[{width}]"], arrow), note))
    heads = [name for name in counts if name not in ("embedding", "recurrent") and counts[name]]
    rows.append((Box([", ".join(heads) or "tied embedding"]), [f"{counts[name]:,} parameters" for name in heads]))
    columns = []
    for step in kept:
        has_loss = len(subject.targets) == steps or step == steps - 1
        boxes = [box for box, _ in rows[:-1]] + [rows[-1][0] if has_loss else Box(["–"])]
        columns.append(Column(f"{step + 1}: {subject.pieces[step][:12]}", boxes, ["loss"] if has_loss else []))
    section.parts.append(unrolled_svg(columns, notes=[note for _, note in rows], title="the model unrolled over time"))
    if steps > 4:
        section.say(f"Of {steps:,} steps the first three and the last are drawn.")
    if layers.num_directions == 2:
        section.say("Layers that read from the end hand their state to the left.")
    section.values = {"num_parameters": sum(counts.values())}
    return section


def _saliency_section(subject: Subject) -> Section:
    """Which steps the last decision rests on."""
    from rnnkit.explain.attribution import saliency

    section = Section("Saliency: what the last decision rests on")
    near, targets = subject.first(MOST_GRADIENT_STEPS), np.asarray(subject.first(MOST_GRADIENT_STEPS).targets)
    if targets.ndim != 2 or targets.dtype.kind not in "iu":
        section.say("Left out: it is told of one label, and this model says several, or numbers.")
        return section
    label = int(targets[-1, 0])
    found = saliency(near.model, near.inputs, label=label)
    name = (
        subject.runtime.tokenizer.token_text(label)
        if subject.kind == "language_model"
        else subject.runtime.labels[label]
    )
    section.say(
        f"F = log p({name}) behind the last of {len(near.pieces)} steps is {found.score:.4f}; of an input that is 0 "
        f"everywhere it is {found.baseline_score:.4f}. Integrated gradients share out the difference, to "
        f"{found.error:.1e} of it; gradient × input is its slope alone; occlusion is what F loses when a step is put "
        "to 0. Orange steps speak for it, blue ones against."
    )
    shown = {
        "integrated gradients": found.integrated.sum(1),
        "gradient × input": found.gradient_input.sum(1),
        "occlusion": found.occlusion,
    }
    shown |= {} if found.attention is None else {"attention": found.attention}
    for title, values in shown.items():
        section.parts.append(_coloured(title, values, near.pieces))
    if found.attention is None:
        section.say("No attention: the model has no attention readout (train classify --readout attention has one).")
    of_steps = {title: _rounded(values) for title, values in shown.items()}
    section.values = {"saliency": {"of": name, "score": found.score, "baseline_score": found.baseline_score,
                                   "error": found.error, **of_steps}}  # fmt: skip
    return section


def _trace_section(subject: Subject, unit: str | None) -> tuple[Section, dict[str, np.ndarray]]:
    from rnnkit.explain.tracing import WORDS, trace

    found = trace(subject.model, subject.inputs)
    section = Section("Trace: gates and states")
    shown = 120
    units = [unit] if unit else found.most_varied(_COLOURED_UNITS)
    section.say("Text coloured by units of the state: orange above 0, blue below, as strong as far from 0.")
    for name in units:
        section.parts.append(_coloured(name, found.unit(name), subject.pieces))
    for layer, values in found.layers.items():
        first = {name: value[:shown] for name, value in values.items()}
        picture = draw.draw_trace(first, names=WORDS, pieces=subject.pieces[:shown])
        section.say(f"Layer {layer}" + (f", its first {shown} steps." if len(subject.pieces) > shown else "."))
        section.show(f"trace_{layer}.png", picture, title=f"gates and state of layer {layer}")
    section.values = {"units": {name: _rounded(found.unit(name)) for name in units}}
    return section, {f"{layer}.{name}": value for layer, of in found.layers.items() for name, value in of.items()}


def _coloured(name: str, values: np.ndarray, pieces: list[str]) -> str:
    scale = float(np.abs(values).max()) or 1.0
    spans = "".join(
        f'<span style="background:rgba({"230,120,0" if value > 0 else "0,110,230"},{abs(value) / scale:.2f})" '
        f'title="{value:.4f}">{html.escape(piece)}</span> '
        for piece, value in zip(pieces, values.tolist(), strict=True)
    )
    return f'<p><code>{name}</code>, ±{scale:.2f}</p><p class="text">{spans}</p>'


def _gradient_sections(subject: Subject, weight: str | None) -> list[Section]:
    from rnnkit.explain.gradients import gradient_flow

    steps = min(len(subject.pieces), MOST_GRADIENT_STEPS)
    near = subject.first(steps)
    flow = gradient_flow(near.model, near.inputs, near.targets)
    section = Section("Gradient flow through time")
    if steps < len(subject.pieces):
        section.say(f"Gradients are those of the first {steps} steps.")
    at_least = "at least " if flow.is_cut else ""
    section.say(
        f"Effective memory length: {at_least}{flow.memory_length} steps. So far back lie 95 % of ‖∂L_n/∂h_k‖, the "
        "loss's own step among them, in the layer where that is longest."
    )
    warning = None
    if subject.window is not None and subject.window < flow.memory_length:
        warning = (
            f"Training cut the gradient after {subject.window} steps (training.window), before it had faded: a longer "
            f"window, of {flow.memory_length} steps or more, would teach what now lies beyond it."
        )
        section.parts.append(f'<p class="warning"><strong>Warning.</strong> {html.escape(warning)}</p>')
    norms = {name: layer.norms for name, layer in flow.layers.items()}
    section.show("gradient_flow.png", draw.draw_flow(norms, pieces=near.pieces), title="gradient norm over the steps")
    for name, layer in flow.layers.items():
        title = f"‖∂L_n/∂h_k‖, layer {name}: loss n by row, step k by column"
        section.show(f"reach_{name}.png", draw.draw_reach(layer.reach, title=title, pieces=near.pieces), title=title)
    if any(layer.distances for layer in flow.layers.values()):
        section.say(
            "Singular values of the products of Jacobians, with the input held fixed: the most that a change of the "
            "state d steps earlier is stretched by (largest), and what becomes of a middling direction (median)."
        )
        picture = draw.draw_singular_values(flow.layers)
        section.show("singular_values.png", picture, title="singular values of Jacobian products")
    else:
        section.say("The state is too wide for products of its Jacobians, or the input has one step: left out.")
    layers = {
        name: {
            "norms": _rounded(layer.norms),
            "distances": layer.distances,
            "largest_singular_value": layer.largest,
            "median_singular_value": layer.median,
        }
        for name, layer in flow.layers.items()
    }
    section.values = {
        "memory_length": flow.memory_length,
        "memory_length_is_cut": flow.is_cut,
        "window": subject.window,
        "warning": warning,
        "losses": _rounded(flow.losses),
        "layers": layers,
    }
    return [section, _pairs_section(near, weight)]


def _pairs_section(subject: Subject, weight: str | None) -> Section:
    from rnnkit.explain.gradients import pair_contributions

    section = Section("Who makes the gradient of a weight")
    largest = max(parameter.numel() for parameter in subject.model.recurrent.parameters())
    steps = max(2, _MOST_BYTES // (8 * largest))
    if steps < len(subject.pieces):
        section.say(f"Of the first {steps} steps: there is a gradient of the weight for each, and no memory for more.")
    near = subject.first(steps)
    pairs = pair_contributions(near.model, near.inputs, near.targets, weight=weight)
    section.say(
        f"{pairs.name} is used at every step. Its gradient is the sum, over every loss n and every step k, of what the "
        f"use at step k did to loss n; here the sum differs from one backward pass by {pairs.error:.1e} "
        "of it. A share is a part's component along the whole gradient: together they are 1, and one below 0 pulls "
        "back."
    )
    title = f"norm of each contribution to the gradient of {pairs.name}: loss n by row, step k by column"
    section.show("pairs.png", draw.draw_reach(pairs.norms, title=title, pieces=near.pieces), title=title)
    order = np.argsort(-np.abs(pairs.shares), axis=None)[:8]
    rows = []
    for at in order.tolist():
        loss, step = divmod(at, pairs.shares.shape[1])
        after = near.pieces[loss] if len(pairs.shares) > 1 else near.pieces[-1]
        rows.append([f"behind step {loss + 1 if len(pairs.shares) > 1 else len(near.pieces)} ({after})",
                     f"{step + 1} ({near.pieces[step]})", f"{pairs.shares[loss, step]:+.1%}"])  # fmt: skip
    section.parts.append(html_page.table(["loss", "weight used at step", "share of the gradient"], rows))
    section.values = {
        "pairs": {"weight": pairs.name, "relative_error": pairs.error, "shares": _rounded(pairs.shares)},
    }
    return section


def _cells_section() -> Section:
    from rnnkit.explain.cells import compare_cells

    flows = {flow.name: flow for flow in compare_cells()}
    section = Section("Elman, GRU and LSTM before training")
    section.say(
        "One loss behind step 100, H = 128, the first weights of rnnkit train lm, random tokens: its gradient on its "
        "way back. The LSTM starts with a forget gate whose bias is 1: most of its memory is kept from step to step."
    )
    section.show("cells.png", draw.draw_cells([*flows.values()]), title="gradient norm of four cells over 100 steps")
    elman, orthogonal, lstm = (flows[name].ratio for name in ("Elman", "Elman, orthogonal", "LSTM"))
    winner = "the orthogonal Elman" if orthogonal > lstm else "the LSTM"
    section.say(
        f"Step 1 over step 100: LSTM {lstm:.1e}, Elman {elman:.1e}, a factor of {lstm / elman:.0e}. With an orthogonal "
        f"recurrent matrix the Elman keeps {orthogonal:.1e}; here {winner} keeps more. An orthogonal Elman wins where "
        "its units stay near 0, where tanh has slope 1, as with small inputs; every unit far from 0 costs it a factor, "
        "while a gate can be held open."
    )
    section.values = {"cells": {name: {"ratio": flow.ratio, "norms": _rounded(flow.norms)} for name, flow in
                                flows.items()}}  # fmt: skip
    return section


def _dynamics_section(subject: Subject) -> Section:
    """Where the state of the last layer goes, and where it would stay."""
    from rnnkit.explain.state_space import MOST_PARTS, dynamics

    section = Section("Dynamics: the state as a moving point")
    near = subject.first(MOST_GRADIENT_STEPS)
    found = dynamics(near.model, near.inputs)
    if found is None:
        section.say(f"Left out: the state has over {MOST_PARTS} numbers, or the input fewer than 3 steps.")
        return section
    grows = "grows: chaos, in the long run" if found.lyapunov > 0 else "fades"
    section.say(
        f"Layer {found.layer} over {len(found.path)} steps. Largest Lyapunov exponent along the way: "
        f"{found.lyapunov:+.4f} per step: a small change of the state {grows}. Two principal directions of the states "
        f"hold {found.explained:.1%} of their variance."
    )
    stable = sum(point.is_stable for point in found.points)
    section.say(
        f"With what the layer reads held at its mean, {len(found.points)} fixed points were found from "
        f"{found.num_starts} of the states met, {stable} of them stable; where none is found from a start, the state "
        f"drifts on, or turns. A fixed point is stable if no eigenvalue of its Jacobian is 1 or more in absolute value."
    )
    section.show("dynamics.png", draw.draw_dynamics(found, near.pieces), title="states in two dimensions, fixed points")
    rows = [[str(number), "stable" if p.is_stable else "unstable", f"{p.radius:.4f}", str(p.num_unstable),
             f"{p.speed:.1e}"] for number, p in enumerate(found.points, start=1)]  # fmt: skip
    if rows:
        header = ["fixed point", "", "largest |eigenvalue|", "directions that grow", "‖F(s) − s‖"]
        section.parts.append(html_page.table(header, rows))
    section.values = {"dynamics": {"layer": found.layer, "lyapunov": found.lyapunov, "explained": found.explained,
                                   "path": _rounded(found.path), "num_starts": found.num_starts,
                                   "fixed_points": [{"is_stable": p.is_stable, "radius": p.radius, "speed": p.speed,
                                                     "num_unstable": p.num_unstable, "at": _rounded(p.at)}
                                                    for p in found.points]}}  # fmt: skip
    return section


def _copied_section(run: str | Path, subject: Subject) -> Section:
    """How much of a sample stands in the training text."""
    from rnnkit.api.memorized import copied, said_of

    section = Section("What it copies from its training text")
    text = "".join(subject.runtime.generate(max_new_tokens=_SAMPLED))
    try:
        found = copied(run, text, model=subject.runtime)
    except (DataError, BundleError, ArgumentError) as error:
        section.say(f"Left out: {error}.")
        return section
    section.say(f"Of a sample at temperature 1, {said_of(found)}. A model that copies lies far above held-out text.")
    section.values = {"copied": found}
    return section


def _rounded(values: np.ndarray) -> list[Any]:
    """Six figures: a report is read by people."""
    return np.vectorize(lambda value: float(f"{value:.6g}"))(np.asarray(values, np.float64)).tolist()
