"""rnnkit against itself: what an option costs, a loss at the last step only, and time against length."""

from __future__ import annotations

import itertools
import sys
from typing import Any

from _peers import Peers, geometric_mean, shares
from worker import LayerCase

# (name, plain cell, cell, keywords of rnnkit.nn.Recurrent, is it random)
OPTIONS: list[tuple[str, str, str, dict[str, object], bool]] = [
    ("layer norm", "lstm", "lstm", {"layer_norm": True}, False),
    ("layer norm", "gru_after", "gru_after", {"layer_norm": True}, False),
    ("zoneout", "lstm", "lstm", {"zoneout": 0.1}, True),
    ("input dropout", "lstm", "lstm", {"input_dropout": 0.3, "locked_dropout": True}, True),
    ("output dropout", "lstm", "lstm", {"output_dropout": 0.3, "locked_dropout": True}, True),
    ("recurrent dropout", "lstm", "lstm", {"recurrent_dropout": 0.3}, True),
    ("weight-drop", "lstm", "lstm", {"weight_dropout": 0.3}, True),
    ("peephole", "lstm", "lstm_peephole", {}, False),
    ("coupled input and forget gate", "lstm", "lstm_coupled", {}, False),
    ("projection to 100", "lstm", "lstm", {"proj_size": 100}, False),
    ("reset before the product", "gru_after", "gru_before", {}, False),
]
SHAPES = [(20, 35, 200, 200), (64, 100, 256, 256), (64, 50, 512, 512)]
LONG = {"cell": "lstm", "B": 1, "T": 1000, "I": 64, "H": 64}
LENGTHS = (64, 128, 256, 512, 1024, 2048, 4096)
PROCESSES = ("rnnkit", "rnnkit bf16")
AGAINST_TIME = ("lstm", "gru_after", "min_lstm", "min_gru")


def measure_options(peers: Peers, *, seconds: float, quick: bool) -> list[dict[str, Any]]:
    """Forward + backward with the option over the same without, by precision: the geometric mean over three shapes."""
    shapes = SHAPES[:1] if quick else SHAPES
    plain_cells = list(dict.fromkeys(option[1] for option in OPTIONS))
    groups = list(itertools.product(plain_cells, shapes, PROCESSES))
    ratios: dict[tuple[str, str, str], list[float]] = {}
    missing: dict[tuple[str, str, str], str] = {}
    for (plain, shape, process), budget_s in shares(groups, [1.0] * len(groups), seconds):
        cases = {"plain": LayerCase(plain, "train", *shape)}
        chosen = [option for option in OPTIONS if option[1] == plain]
        for name, _, cell, keywords, _ in chosen:
            cases[name] = LayerCase(cell, "train", *shape, options=keywords)
        exact = ["plain", *(option[0] for option in chosen if not option[4])]
        timing = peers.measure_variants(process, cases, exact=exact, budget_s=budget_s)
        for name, *_ in chosen:
            key = (name, plain, process)
            if name in timing.seconds and "plain" in timing.seconds:
                ratios.setdefault(key, []).append(timing.ratio(name, "plain"))
            else:
                missing[key] = timing.refused.get(name) or timing.left_out.get(name) or "the plain cell is not timed"
    rows = []
    for name, plain, process in dict.fromkeys([*ratios, *missing]):
        key = (name, plain, process)
        rows.append({"option": name, "cell": plain, "process": process, "missing": missing.get(key)})
        rows[-1]["over_plain"] = geometric_mean(ratios[key]) if key in ratios and key not in missing else None
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def measure_last_step(peers: Peers, *, seconds: float) -> dict[str, Any]:
    """A loss on the state after the last step over one at every step."""
    cases = {mode: LayerCase(mode=mode, **LONG) for mode in ("train", "last")}  # type: ignore[arg-type]
    found = {}
    for process, budget_s in shares(PROCESSES, [1.0] * len(PROCESSES), seconds):
        timing = peers.measure_variants(process, cases, exact=["train"], budget_s=budget_s)
        if len(timing.seconds) == 2:
            found[process] = timing.ratio("last", "train")
    return found


def measure_lengths(peers: Peers, *, seconds: float, quick: bool) -> list[dict[str, Any]]:
    """Milliseconds of forward + backward for B = 1, I = H = 256, by number of steps."""
    lengths = LENGTHS[:3] if quick else LENGTHS
    groups = list(itertools.product(PROCESSES, lengths))
    rows = []
    for (process, T), budget_s in shares(groups, [1 + T / 512 for _, T in groups], seconds):
        cases = {cell: LayerCase(cell, "train", 1, T, 256, 256) for cell in AGAINST_TIME}
        timing = peers.measure_variants(process, cases, budget_s=budget_s)
        ms = {cell: 1e3 * timing.median(cell) for cell in timing.seconds}
        rows.append({"process": process, "T": T, "ms": ms, "left_out": timing.left_out})
        print(rows[-1], file=sys.stderr, flush=True)
    return rows
