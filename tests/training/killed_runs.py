"""Train in forked children, kill them at random instants, resume them, and compare with a run left alone.

Run by test_kill.py as `python killed_runs.py FOLDER COUNT`, and by test_soak.py with a seed behind, which draws another
model and another way of training. A process of its own, because a child forked from one without threads starts in
milliseconds, while a fresh interpreter would load torch forty times.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch

from rnnkit.nn.spec import CELLS
from rnnkit.tasks.lm import LanguageModelTask
from rnnkit.tasks.lm_config import LmConfig
from rnnkit.training import TrainConfig, fit
from rnnkit.training.checkpoint import has_checkpoint, load_checkpoint

TRAINING: dict[str, Any] = {
    "batch_size": 3, "window": 6, "stride": 4, "max_steps": 40, "warmup_steps": 4, "eval_every_steps": 7, "ema": 0.9,
    "checkpoint_every_s": 0.0, "threads": 1,
}  # fmt: skip
# Everything random that there is: two layers, all kinds of dropout, an average of weights.
MODEL: dict[str, Any] = {
    "cell": "gru_before", "hidden_size": 8, "num_layers": 2, "embedding_size": 4,
    "dropout": 0.2, "word_dropout": 0.1, "embedding_dropout": 0.1, "output_dropout": 0.1,
}  # fmt: skip


def drawn(rng: random.Random) -> tuple[dict[str, Any], dict[str, Any]]:
    """Another model and another way to train it."""
    layers = rng.randint(1, 3)
    model = {
        "cell": rng.choice(list(CELLS)), "hidden_size": rng.randint(1, 20), "num_layers": layers,
        "embedding_size": rng.randint(1, 12), "bias": rng.random() < 0.7, "tied": rng.random() < 0.3,
        "dropout": rng.choice([0.0, 0.3]) if layers > 1 else 0.0,
    }  # fmt: skip
    model |= {f"{name}_dropout": rng.choice([0.0, 0.2]) for name in ("word", "embedding", "input", "output")}
    window = rng.randint(1, 12)
    training: dict[str, Any] = {
        "batch_size": rng.randint(1, 6), "window": window, "stride": rng.randint(1, window),
        "max_steps": rng.randint(10, 60), "eval_every_steps": rng.randint(3, 20), "checkpoint_every_s": 0.0,
        "threads": 1, "seed": rng.randint(0, 99), "optimizer": rng.choice(["adamw", "sgd", "asgd"]),
        "schedule": rng.choice(["cosine", "plateau", "constant"]),
    }  # fmt: skip
    if training["optimizer"] != "asgd" and rng.random() < 0.5:
        training["ema"] = 0.9
    return model, training


def train(folder: Path, text: Path, model: dict[str, Any], training: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    task = LanguageModelTask(
        LmConfig.model_validate(
            {
                "data": {"sources": [str(text)], "cache_dir": str(folder.parent / "cache")},
                "model": model,
                "baselines": {"kinds": ["unigram"]},
                "samples": {"sample_tokens": 5},
            }
        )
    )
    fit(task, run_dir=folder, config=TrainConfig(**training), resume=True)


def start(folder: Path, text: Path, model: dict[str, Any], training: dict[str, Any]) -> int:
    child = os.fork()
    if child == 0:
        try:
            train(folder, text, model, training)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return child


def finish(child: int) -> None:
    _, status = os.waitpid(child, 0)
    if status != 0:
        raise SystemExit(f"a run that nobody killed ended with status {status}")


def outcome(folder: Path) -> tuple[Any, ...]:
    """All that a run learned: every tensor of its checkpoint, its counters, its curve without the clock, its bundle."""
    last = load_checkpoint(folder / "checkpoints" / "last")
    tensors = {name: tensor.numpy().tobytes() for name, tensor in last.tensors.items()}
    curve = [{k: v for k, v in entry.items() if k != "seconds"} for entry in last.values["curve"]]
    return tensors, last.values["counters"], curve, (folder / "manifest.json").read_bytes()


def main(base: Path, count: int, seed: int | None = None) -> None:
    rng = random.Random(1 if seed is None else seed)
    settings = (MODEL, TRAINING) if seed is None else drawn(rng)
    print(*settings, file=sys.stderr, flush=True)
    text = base / "text.txt"
    text.write_text("".join(rng.choices("abcdefgh \n", k=2000)), encoding="utf-8")
    whole = base / "whole"
    whole.mkdir()
    started = time.perf_counter()
    finish(start(whole, text, *settings))
    took = time.perf_counter() - started
    want = outcome(whole)
    for number in range(count):
        folder = base / f"run-{number}"
        folder.mkdir()
        child = start(folder, text, *settings)
        time.sleep(rng.uniform(0, took))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        last = folder / "checkpoints" / "last"
        step = load_checkpoint(last).values["counters"]["step"] if has_checkpoint(last) else 0
        finish(start(folder, text, *settings))
        verdict = "bit-equal" if outcome(folder) == want else "different"
        print(f"killed after step {step} resumed {verdict}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
