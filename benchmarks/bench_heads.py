"""Linear + cross-entropy, forward and backward, beside torch: interleaved runs, median ratio; no timing without parity.

Usage: python benchmarks/bench_heads.py [--threads 2] [--repeats 15] [--json]
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

from rnnkit import kernels
from rnnkit.kernels import heads

# (rows, inputs, vocabulary): a step of a word model on WikiText-2, and of a character model on Shakespeare.
SIZES = [(700, 650, 33_278), (4096, 512, 65), (2048, 256, 256)]


def measure(N: int, I: int, V: int, repeats: int) -> dict:
    """One row of the table; raises when ours is less accurate than twice torch's error."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((N, I), np.float32)
    weight = rng.standard_normal((V, I), np.float32) / np.float32(np.sqrt(I))
    bias = rng.standard_normal(V, np.float32)
    targets = rng.integers(0, V, N)
    parameters = [torch.tensor(a, requires_grad=True) for a in (x, weight, bias)]
    torch_targets = torch.tensor(targets)

    def theirs():
        for p in parameters:
            p.grad = None
        losses = F.cross_entropy(F.linear(*parameters), torch_targets, reduction="none")
        losses.sum().backward()
        return [losses.detach().numpy()] + [p.grad.numpy() for p in parameters]

    def ours():
        return heads.linear_cross_entropy(x, weight, bias, targets)

    for name, want, t, o in zip(
        ("losses", "dx", "dweight", "dbias"), exact(x, weight, bias, targets), theirs(), ours(), strict=True
    ):
        torch_error, error = np.linalg.norm(t - want), np.linalg.norm(o - want)
        if not error <= 2 * torch_error:
            raise SystemExit(f"no timing: {name} at {(N, I, V)} is off by {error:.2e}, torch by {torch_error:.2e}")
    seconds: dict[str, list[float]] = {"torch": [], "rnnkit": []}
    for _ in range(repeats):
        for name, run in (("torch", theirs), ("rnnkit", ours)):
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    ratios = [t / o for t, o in zip(seconds["torch"], seconds["rnnkit"], strict=True)]
    return {
        "rows": N,
        "inputs": I,
        "vocabulary": V,
        "torch_ms": 1e3 * statistics.median(seconds["torch"]),
        "rnnkit_ms": 1e3 * statistics.median(seconds["rnnkit"]),
        "ratio": statistics.median(ratios),
        "gflops": 6e-9 * N * I * V / min(seconds["rnnkit"]),
    }


def exact(x, weight, bias, targets):
    """Losses and gradients in float64."""
    x, weight, rows = x.astype(np.float64), weight.astype(np.float64), np.arange(len(x))
    logits = x @ weight.T + bias
    top = logits.max(axis=1, keepdims=True)
    d = np.exp(logits - top)
    total = d.sum(axis=1, keepdims=True)
    losses = (np.log(total) + top)[:, 0] - logits[rows, targets]
    d /= total
    d[rows, targets] -= 1
    return losses, d @ weight, d.T @ x, d.sum(axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=kernels.get_num_threads())
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="print JSON on stdout")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    kernels.set_num_threads(options.threads)
    machine = f"{platform.machine()}, {options.threads} threads, {kernels.isa()}, torch {torch.__version__}"
    print(machine, file=sys.stderr)
    table = [measure(*size, repeats=options.repeats) for size in SIZES]
    if options.json:
        print(json.dumps({"machine": machine, "results": table}))
        return
    print(f"{'rows':>6} {'inputs':>6} {'vocab':>6} {'torch ms':>9} {'rnnkit ms':>9} {'ratio':>6} {'GF/s':>6}")
    for r in table:
        print(
            f"{r['rows']:6} {r['inputs']:6} {r['vocabulary']:6} {r['torch_ms']:9.1f} {r['rnnkit_ms']:9.1f} "
            f"{r['ratio']:6.2f} {r['gflops']:6.0f}"
        )


if __name__ == "__main__":
    main()
