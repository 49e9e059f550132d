"""What streaming costs: one step, sampling, and a loss at the last step only, beside torch, JAX and ONNX Runtime.

Every peer is a process of its own; all take turns in one run; a case whose results disagree is not timed. A ratio is a
peer's time divided by ours in the same round (above 1: rnnkit is faster), the median over the rounds.

Usage: make bench, or python benchmarks/bench_steps.py [--quick] [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys

from _peers import OURS, LayerCase, Peers, SampleCase, add_options, check_options, machine

STEPS = 200  # one after the other, the state handed back
CELLS = ("lstm", "gru_after", "gru_before", "elman_tanh")
LONG = {"cell": "lstm", "B": 1, "T": 1000, "I": 64, "H": 64}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser)
    options = check_options(parser.parse_args())
    sizes = (128,) if options.quick else (128, 512, 1024)
    cases = {f"{cell}, one step, H = {H}": LayerCase(cell, "step", 1, STEPS, H, H) for cell in CELLS for H in sizes}
    for layers in (1, 2):
        cases[f"sampling 65 symbols, {layers} x 512"] = SampleCase(num_layers=layers, H=512, num_tokens=STEPS)
    threads = str(options.threads)
    commands = {OURS: [sys.executable, "rnnkit_peer.py", threads]}
    for peer in ("torch", "jax", "onnxruntime"):
        commands[peer] = [options.peers, f"{peer}_peer.py", threads]
    rows = []
    with Peers(commands) as peers:
        for name, case in cases.items():
            timing = peers.measure(case, budget_s=options.budget)
            ratios = {peer: found[1] for peer in commands if peer != OURS and (found := timing.ratio(OURS, [peer]))}
            rows.append({"what": name, "us": 1e6 * timing.median(OURS) / STEPS, "ratios": ratios})
            print(rows[-1], file=sys.stderr, flush=True)
        # The gradient of a step without a loss is zero, not absent: this is what it saves, or costs.
        rounds = []
        for _ in range(2 if options.quick else 5):
            every, last = (
                peers.measure(LayerCase(mode=mode, **LONG), budget_s=options.budget / 5, only=[OURS]).median(OURS)
                for mode in ("train", "last")
            )
            rounds.append(last / every)
    report = {"machine": machine(options.threads), "rows": rows, "last_over_every": statistics.median(rounds)}
    if options.json:
        print(json.dumps(report))
        return
    print(report["machine"])
    print("\n| what | rnnkit µs | torch | jax | onnxruntime |\n|---|---:|---:|---:|---:|")
    for row in rows:
        ratios = (f"{row['ratios'][peer]:.2f}" if peer in row["ratios"] else "" for peer in list(commands)[1:])
        print(f"| {row['what']} | {row['us']:.1f} | " + " | ".join(ratios) + " |")
    print(f"\nLoss at the last of 1,000 steps over loss at every step, LSTM, H = 64: {report['last_over_every']:.2f}")


if __name__ == "__main__":
    main()
