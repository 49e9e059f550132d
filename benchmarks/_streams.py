"""One step after the other: a layer's step, and text drawn from a model, with fp32, bf16 and int8 weights."""

from __future__ import annotations

import sys
from typing import Any

from _machine import WEIGHT_BYTES, read_time
from _peers import Peers, dtype_of, is_ours, shares
from worker import LayerCase, SampleCase

STEPS = 200
CELLS = ("lstm", "gru_after", "gru_before", "elman_tanh")
PEERS = ("torch", "torch bf16", "jax", "onnxruntime", "onnxruntime int8")


def measure(peers: Peers, machine: dict[str, Any], *, seconds: float, quick: bool) -> list[dict[str, Any]]:
    sizes = (128,) if quick else (128, 512, 1024)
    wanted: list[LayerCase | SampleCase] = [
        LayerCase(cell, "step", 1, STEPS, H, H) for cell in (CELLS[:2] if quick else CELLS) for H in sizes
    ]
    wanted += [SampleCase(num_layers=layers, H=512, num_tokens=STEPS) for layers in (1, 2)]
    names = [name for name in peers.names() if is_ours(name) or name in PEERS]
    rows = []
    for case, budget_s in shares(wanted, [1.0] * len(wanted), seconds):
        timing = peers.measure(case, names=names, budget_s=budget_s)
        is_step = isinstance(case, LayerCase)
        found: dict[str, Any] = {
            "what": "step" if is_step else "sampling",
            "cell": case.cell if isinstance(case, LayerCase) else "lstm",
            "H": case.H,
            "num_layers": 1 if isinstance(case, LayerCase) else case.num_layers,
            "us": {name: 1e6 * timing.median(name) / STEPS for name in timing.seconds},
            "over_onnxruntime": {
                name: timing.ratio("onnxruntime", name)
                for name in timing.seconds
                if is_ours(name) and "onnxruntime" in timing.seconds
            },
            "left_out": timing.left_out,
            "refused": timing.refused,
        }
        found["share_of_read_rate"] = {  # the least that reading the weights takes, as a share of the time
            name: read_time(machine, case, dtype_of(name)) / (timing.median(name) / STEPS)
            for name in timing.seconds
            if is_ours(name) and dtype_of(name) in WEIGHT_BYTES
        }
        rows.append(found)
        print(
            {k: rows[-1][k] for k in ("what", "cell", "H", "over_onnxruntime", "refused")}, file=sys.stderr, flush=True
        )
    return rows
