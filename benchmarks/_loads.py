"""Two single questions: the large-vocabulary loss, and what a second busy process on the machine does."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from _peers import Peers, dtype_of, is_ours, shares
from worker import HeadCase, LayerCase

HEADS = [HeadCase(700, 650, 33_278), HeadCase(4096, 512, 65), HeadCase(2048, 512, 256)]
BUSY_SHAPES = [(1, 100, 128, 128), (20, 35, 200, 200), (64, 100, 256, 256)]
BUSY_CELLS = ("lstm", "gru_after", "elman_tanh")


def measure_heads(peers: Peers, *, seconds: float, quick: bool) -> list[dict[str, Any]]:
    """Linear + cross-entropy, forward and backward, against torch."""
    wanted = HEADS[1:2] if quick else HEADS
    names = [name for name in peers.names() if is_ours(name) or name in ("torch", "torch bf16")]
    rows = []
    for case, budget_s in shares(wanted, [1 + case.flop / 20e9 for case in wanted], seconds):
        timing = peers.measure(case, names=names, budget_s=budget_s)
        rows.append({"rows": case.rows, "inputs": case.inputs, "vocab_size": case.vocab_size})
        rows[-1]["ms"] = {name: 1e3 * timing.median(name) for name in timing.seconds}
        rows[-1]["over"] = {
            name: {peer: timing.ratio(peer, name) for peer in timing.seconds if not is_ours(peer)}
            for name in timing.seconds
            if is_ours(name)
        }
        rows[-1] |= {"refused": timing.refused, "left_out": timing.left_out}
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def measure_busy(peers: Peers, *, seconds: float, quick: bool) -> list[dict[str, Any]]:
    """Forward + backward against torch while one more process takes all of a core that it can get."""
    wanted = [LayerCase(cell, "train", *shape) for cell in BUSY_CELLS for shape in BUSY_SHAPES[: 2 if quick else 3]]
    names = [name for name in peers.names() if is_ours(name) or (name.startswith("torch") and "compile" not in name)]
    rows = []
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        for case, budget_s in shares(wanted, [1.0] * len(wanted), seconds):
            timing = peers.measure(case, names=names, budget_s=budget_s)
            ratios = {}
            for dtype in ("fp32", "bf16"):
                mine = [name for name in timing.seconds if is_ours(name) and dtype_of(name) == dtype]
                theirs = [name for name in timing.seconds if not is_ours(name) and dtype_of(name) == dtype]
                ours, peer = timing.best(mine), timing.best(theirs)
                if ours and peer:
                    ratios[dtype] = timing.ratio(peer, ours)
            rows.append({"cell": case.cell, "shape": [case.B, case.T, case.I, case.H], "over_torch": ratios})
            print("busy", rows[-1], file=sys.stderr, flush=True)
    finally:
        busy.kill()
        busy.wait()
    return rows
