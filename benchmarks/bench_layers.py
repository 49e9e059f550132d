"""Recurrent layers beside torch, torch.compile, JAX and ONNX Runtime: forward, and forward with all gradients.

Every peer is a process of its own in an environment of its own; all take turns in one run; a case whose results
disagree is not timed. A ratio is a peer's time divided by ours in the same round (above 1: rnnkit is faster), the
median over the rounds.

Usage: make bench, or python benchmarks/bench_layers.py [--quick] [--cell lstm] [--mode train] [--json]
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from pathlib import Path

from _peers import OURS, LayerCase, Peers, Timing, add_options, check_options, geometric_mean, machine

SHAPES = [  # B, T, I, H
    (1, 100, 128, 128),
    (1, 100, 512, 512),
    (20, 35, 200, 200),
    (20, 35, 650, 650),
    (32, 100, 128, 128),
    (64, 100, 256, 256),
    (64, 50, 512, 512),
    (64, 100, 1024, 1024),
    (256, 50, 128, 128),
]
COMPILED_SHAPES = [(20, 35, 200, 200), (64, 100, 256, 256)]  # torch.compile unrolls every step: minutes for each shape
CELLS = ("elman_tanh", "lstm", "gru_after", "gru_before")
FP32 = ("torch", "torch flush", "torch.compile", "jax", "onnxruntime")
BF16 = ("torch bf16", "torch bf16 flush")


def commands(python: str, threads: int) -> dict[str, list[str]]:
    torch = [python, "torch_peer.py", str(threads)]
    return {
        OURS: [sys.executable, "rnnkit_peer.py", str(threads)],
        "torch": torch,
        "torch flush": [*torch, "flush"],
        "torch bf16": [*torch, "bf16"],
        "torch bf16 flush": [*torch, "bf16", "flush"],
        "torch.compile": [*torch, "compile"],
        "jax": [python, "jax_peer.py", str(threads)],
        "onnxruntime": [python, "onnxruntime_peer.py", str(threads)],
    }


def row(timing: Timing) -> dict[str, object]:
    """One line of the table."""
    case = timing.case
    return {
        "cell": case.cell,
        "mode": case.mode,
        "shape": [case.B, case.T, case.I, case.H],
        "is_ragged": case.is_ragged,
        "ms": {name: round(1e3 * timing.median(name), 3) for name in timing.seconds},
        "rounds": len(timing.seconds[OURS]),
        "fp32": timing.ratio(OURS, FP32),
        "any": timing.ratio(OURS, FP32 + BF16),
        "left_out": timing.left_out,
    }


def to_markdown(rows: list[dict]) -> str:
    lines = ["| cell | mode | B, T, I, H | rnnkit ms | best fp32 peer | ratio | best peer of any dtype | ratio |"]
    lines.append("|---|---|---|---:|---|---:|---|---:|")
    for r in rows:
        shape = ", ".join(map(str, r["shape"])) + (" ragged" if r["is_ragged"] else "")
        cells = [r["cell"], r["mode"], shape, f"{r['ms'][OURS]:.2f}"]
        for kind in ("fp32", "any"):
            peer, ratio = r[kind] or ("none", None)
            cells += [f"{peer} {r['ms'][peer]:.2f}", f"{ratio:.2f}"] if ratio else ["no peer has this", ""]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "Geometric means over the shapes with B of 20 or more:", "", "| cell | mode | fp32 | any dtype |"]
    lines.append("|---|---|---:|---:|")
    for (cell, mode), group in itertools.groupby(rows, key=lambda r: (r["cell"], r["mode"])):
        wide = [r for r in group if r["shape"][0] >= 20 and not r["is_ragged"]]
        if wide:
            means = (geometric_mean([r[kind][1] for r in wide]) for kind in ("fp32", "any"))
            lines.append(f"| {cell} | {mode} | " + " | ".join(f"{mean:.2f}" for mean in means) + " |")
    return "\n".join(lines)


def draw(rows: list[dict], path: Path) -> None:
    """Ratio to the best fp32 peer for every shape, one panel for each mode."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    modes = list(dict.fromkeys(r["mode"] for r in rows))
    figure, panels = pyplot.subplots(1, len(modes), figsize=(5.5 * len(modes), 4.5), sharey=True, squeeze=False)
    for panel, mode in zip(panels[0], modes, strict=True):
        for cell in dict.fromkeys(r["cell"] for r in rows):
            mine = [r for r in rows if r["cell"] == cell and r["mode"] == mode and not r["is_ragged"]]
            labels = [", ".join(map(str, r["shape"])) for r in mine]
            panel.plot(labels, [r["fp32"][1] for r in mine], marker="o", label=cell)
        panel.axhline(1, color="0.3", linestyle=":", label="the best fp32 peer")
        panel.set(title={"train": "forward + backward"}.get(mode, mode), yscale="log")
        panel.tick_params(axis="x", rotation=60)
        panel.grid(alpha=0.3, which="both")
    panels[0][0].set_ylabel("times faster than the best fp32 peer")
    panels[0][0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser)
    parser.add_argument("--cell", choices=CELLS, action="append", help="this one only; may be given again")
    parser.add_argument("--mode", choices=("forward", "train"), action="append", help="this one only")
    parser.add_argument("--out", type=Path, help="folder for layers.json, layers.md and layers.png")
    options = check_options(parser.parse_args())
    shapes = [SHAPES[0], SHAPES[2], SHAPES[4]] if options.quick else SHAPES
    cases = [
        LayerCase(cell, mode, *shape, is_ragged=is_ragged)
        for cell in options.cell or CELLS
        for mode in options.mode or ("forward", "train")
        for shape in shapes
        for is_ragged in ((False, True) if shape[0] >= 32 and shape[3] <= 256 else (False,))
    ]
    all_commands = commands(options.peers, options.threads)
    rows = []
    with Peers(all_commands) as peers:
        for case in cases:
            is_compiled = (case.B, case.T, case.I, case.H) in COMPILED_SHAPES and not (case.is_ragged or options.quick)
            only = [name for name in all_commands if name != "torch.compile" or is_compiled]
            timing = peers.measure(case, budget_s=options.budget, only=only)
            rows.append(row(timing))
            print(f"{case}: {rows[-1]['fp32']}, any dtype {rows[-1]['any']}", file=sys.stderr, flush=True)
    report = {"machine": machine(options.threads), "rows": rows}
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "layers.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        (options.out / "layers.md").write_text(to_markdown(rows) + "\n", encoding="utf-8")
        draw(rows, options.out / "layers.png")
    print(json.dumps(report) if options.json else to_markdown(rows))


if __name__ == "__main__":
    main()
