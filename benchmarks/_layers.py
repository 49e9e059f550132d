"""Whole layers: every cell and shape, forward and forward + backward, ragged lengths too, beside every peer."""

from __future__ import annotations

import sys
from typing import Any

from _machine import gemm_rate, least_time
from _peers import Peers, Timing, dtype_of, is_ours, shares
from worker import LayerCase

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
MORE_CELLS = ("lstm_projected",)  # measured when asked for
MODES = ("train", "forward")


def cases(cells: tuple[str, ...], *, quick: bool) -> list[LayerCase]:
    shapes = [SHAPES[0], SHAPES[2], SHAPES[4]] if quick else SHAPES
    return [
        LayerCase(cell, mode, *shape, is_ragged=is_ragged)
        for cell in cells
        for shape in shapes
        for is_ragged in ((False, True) if shape[0] >= 32 and shape[3] <= 256 else (False,))
        for mode in MODES
    ]


def measure(
    peers: Peers, machine: dict[str, Any], *, cells: tuple[str, ...], seconds: float, quick: bool
) -> list[dict[str, Any]]:
    wanted = cases(cells, quick=quick)
    rows = []
    for case, budget_s in shares(wanted, [1 + case.flop / 20e9 for case in wanted], seconds):
        is_compiled = (case.B, case.T, case.I, case.H) in COMPILED_SHAPES and case.cell in ("lstm", "gru_after")
        is_compiled &= case.mode == "train" and not (case.is_ragged or quick)
        names = [
            name for name in peers.names() if dtype_of(name) != "int8" and (name != "torch.compile" or is_compiled)
        ]
        rows.append(row(peers.measure(case, names=names, budget_s=budget_s), machine))
        print(summary(rows[-1]), file=sys.stderr, flush=True)
    return rows


def row(timing: Timing, machine: dict[str, Any]) -> dict[str, Any]:
    """One line of the table: all times, and four ratios, each with who was the best on either side."""
    case = timing.case
    assert isinstance(case, LayerCase)
    names = list(timing.seconds)
    ours = {dtype: [n for n in names if is_ours(n) and dtype_of(n) == dtype] for dtype in ("fp32", "bf16")}
    theirs = {dtype: [n for n in names if not is_ours(n) and dtype_of(n) == dtype] for dtype in ("fp32", "bf16")}
    every, all_peers = ours["fp32"] + ours["bf16"], theirs["fp32"] + theirs["bf16"]
    share, ratios = {}, {}
    for name in filter(is_ours, names):
        if rate := gemm_rate(machine, dtype_of(name)):
            share[name] = round(case.flop / timing.median(name) / rate, 3)
    for kind, mine, peers in (
        ("fp32", ours["fp32"], theirs["fp32"]),
        ("bf16", ours["bf16"], theirs["bf16"]),
        ("bf16_any", ours["bf16"], all_peers),
        ("any", every, all_peers),
    ):
        ratios[kind] = best_ratio(timing, mine, peers, machine)
    return {
        "cell": case.cell,
        "mode": case.mode,
        "shape": [case.B, case.T, case.I, case.H],
        "is_ragged": case.is_ragged,
        "ms": {name: round(1e3 * timing.median(name), 4) for name in names},
        "rounds": max(map(len, timing.seconds.values()), default=0),
        "share_of_gemm_rate": share,
        **ratios,
        "left_out": timing.left_out,
        "refused": timing.refused,
    }


def best_ratio(timing: Timing, ours: list[str], peers: list[str], machine: dict[str, Any]) -> dict[str, Any] | None:
    """How many times faster the best of ours is than the best of the peers, and would be in the least time of its
    products and equations."""
    best, peer = timing.best(ours), timing.best(peers)
    if best is None or peer is None:
        return None
    assert isinstance(timing.case, LayerCase)
    found: dict[str, Any] = {"ours": best, "peer": peer, "ratio": timing.ratio(peer, best)}
    if least := least_time(machine, timing.case, dtype_of(best)):
        found["limit"] = timing.median(peer) / least
    return found


def summary(row: dict[str, Any]) -> str:
    shape = ", ".join(map(str, row["shape"])) + (" ragged" if row["is_ragged"] else "")
    said = [f"{row['cell']} {row['mode']} ({shape})"]
    for kind in ("fp32", "bf16", "bf16_any"):
        if found := row[kind]:
            said.append(f"{kind} {found['ratio']:.2f} ({found['peer']})")
    said += [f"{name} REFUSED: {why}" for name, why in row["refused"].items()]
    return "; ".join(said)
