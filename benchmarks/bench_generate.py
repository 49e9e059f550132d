"""A thousand prompts through `generate`: all in one call beside one call for each; fails when a text differs.

The models read single characters (V 66, one LSTM) and have random weights: time does not depend on their values. Both
ways take turns. The ratio is the median over the rounds; `core allows` is the same ratio of the native core alone,
drawing for one stream and for 256: what bulk would reach if all else cost nothing. `outside` is the share of the bulk's
time that is not spent in the core. With one thread it is CPU time that counts, so a busy machine does little harm.

Usage: python benchmarks/bench_generate.py [--hidden 128,256,512] [--precision fp32,bf16,int8] [--threads 1] [--json]
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from rnnkit import kernels, text
from rnnkit.bundle.schema import check_config
from rnnkit.kernels.decode import SamplingLoop
from rnnkit.kernels.recurrent import Layer
from rnnkit.runtime import LanguageModel
from rnnkit.runtime.softmax import FullSoftmax

LETTERS = "".join(map(chr, range(33, 97))) + "\n"
PROMISED = {"bf16": 8.0, "fp32": 4.0}
CORE_ROWS, CORE_TOKENS = 256, 64


def build(hidden_size: int, precision: str) -> LanguageModel:
    tokenizer = text.build("char", [LETTERS])
    model = {"vocab_size": tokenizer.vocab_size, "embedding_size": 0, "cell": "lstm", "hidden_size": hidden_size}
    model |= {"num_layers": 1, "bias": True, "tied": False, "softmax": "full", "cutoffs": []}
    config = {"format": 1, "kind": "language_model", "model": model, "precision": "fp32"}
    rng, bound = np.random.default_rng(1), hidden_size**-0.5
    tensors = {n: rng.uniform(-bound, bound, shape).astype(np.float32) for n, shape in check_config(config).items()}
    return LanguageModel.from_parts(config, tensors, tokenizer, precision=precision)


def measure(model: LanguageModel, prompts: list[str], *, tokens: int, rounds: int, clock: Callable[[], float]) -> Any:
    bulk, single, ratios, core = [], [], [], []
    for _ in range(rounds):
        start = clock()
        texts = model.generate(prompts, max_new_tokens=tokens, seed=1)
        bulk.append(clock() - start)
        start = clock()
        alone = ["".join(model.generate(p, max_new_tokens=tokens, seed=1, stream=i)) for i, p in enumerate(prompts)]
        single.append(clock() - start)
        ratios.append(single[-1] / bulk[-1])
        core.append(core_seconds(model, 1, clock) / core_seconds(model, CORE_ROWS, clock))
        if alone != texts:
            return {"is_equal": False}
    return {
        "is_equal": True,
        "one_by_one_s": statistics.median(single),
        "bulk_s": statistics.median(bulk),
        "ratio": statistics.median(ratios),
        "core_ratio": statistics.median(core),
        "outside": outside_share(model, prompts, tokens, clock),
    }


def core_seconds(model: LanguageModel, rows: int, clock: Callable[[], float]) -> float:
    """Of one token of one stream, in the core's own loop."""
    state = model._stack.initial(rows)
    assert isinstance(model._softmax, FullSoftmax)
    loop = SamplingLoop(model._stack.layers, scores=model._softmax.scores, state=state, seed=1, streams=np.arange(rows))
    loop.draw(1)
    num_draws = CORE_TOKENS if rows > 1 else 16 * CORE_TOKENS
    start = clock()
    loop.draw(num_draws)
    return (clock() - start) / (num_draws * rows)


def outside_share(model: LanguageModel, prompts: list[str], tokens: int, clock: Callable[[], float]) -> float:
    spent = 0.0

    def timed(function: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal spent
            start = clock()
            try:
                return function(*arguments, **named)
            finally:
                spent += clock() - start

        return call

    kept = SamplingLoop.draw, Layer.forward
    SamplingLoop.draw, Layer.forward = map(timed, kept)  # type: ignore[method-assign]
    try:
        start = clock()
        model.generate(prompts, max_new_tokens=tokens, seed=1)
        return 1 - spent / (clock() - start)
    finally:
        SamplingLoop.draw, Layer.forward = kept  # type: ignore[method-assign]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hidden", default="128,256,512", help="sizes, with commas")
    parser.add_argument("--precision", default="fp32,bf16,int8", help="of the products, with commas")
    parser.add_argument("--prompts", type=int, default=1000)
    parser.add_argument("--tokens", type=int, default=100, help="that are drawn for each prompt")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=kernels.get_num_threads())
    parser.add_argument("--json", action="store_true", help="print JSON on stdout")
    options = parser.parse_args()
    kernels.set_num_threads(options.threads)
    clock = time.process_time if options.threads == 1 else time.perf_counter
    rng = np.random.default_rng(0)
    prompts = ["".join(rng.choice(list(LETTERS), size=rng.integers(5, 41))) for _ in range(options.prompts)]
    machine = f"{platform.processor() or platform.machine()}, {kernels.isa()}, {options.threads} threads"
    rows = []
    for hidden_size in map(int, options.hidden.split(",")):
        for precision in options.precision.split(","):
            model = build(hidden_size, precision)
            found = measure(model, prompts, tokens=options.tokens, rounds=options.rounds, clock=clock)
            rows.append({"hidden_size": hidden_size, "precision": precision, **found})
            print(rows[-1], file=sys.stderr, flush=True)
    if options.json:
        print(json.dumps({"machine": machine, "prompts": len(prompts), "tokens": options.tokens, "results": rows}))
    else:
        print(f"{len(prompts)} prompts of 5 to 40 characters, {options.tokens} tokens each; {machine}")
        print("| H | precision | one by one, s | bulk, s | ratio | promised | core allows | outside |")
        print("|--:|---|--:|--:|--:|--:|--:|--:|")
        for row in rows:
            print(f"| {row['hidden_size']} | {row['precision']} | {cells(row)} |")
    return int(not all(row["is_equal"] for row in rows))


def cells(row: dict[str, Any]) -> str:
    if not row["is_equal"]:
        return "texts differ: not timed |" + " |" * 4
    promised = PROMISED.get(row["precision"])
    times = f"{row['one_by_one_s']:.2f} | {row['bulk_s']:.2f} | {row['ratio']:.1f}"
    return f"{times} | {promised or '–'} | {row['core_ratio']:.1f} | {row['outside']:.0%}"


if __name__ == "__main__":
    sys.exit(main())
