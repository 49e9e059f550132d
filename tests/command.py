"""Calls of the command line, for tests: a fresh interpreter, and options that make a run small."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

TEXT = "the cat sat on the mat. the dog sat on the log. a cat and a dog sat and sat.\n" * 60
_NETWORK = ("--hidden-size=16", "--batch-size=4", "--window=16", "--max-steps=6", "--sample-tokens=20")
_BASELINES = (
    "--ngram-order=2", "baselines.mlp_hidden_size=8", "baselines.mlp_order=3", "baselines.mlp_embedding_size=4",
)  # fmt: skip
SMALL = (*_NETWORK, *_BASELINES)
SMALLEST = (*_NETWORK, "--baseline=unigram")


NAMES = {"lstm", "unigram", "Kneser-Ney-2", "window-mlp"}
"""The rows of a SMALL run's table."""
COMMAND = [sys.executable, "-c", "import sys; from rnnkit.cli import main; sys.exit(main())"]
"""`rnnkit` in a fresh interpreter."""


@dataclass(frozen=True)
class Outcome:
    """An exit code and what was printed."""

    code: int
    out: str
    err: str


def spawn(*arguments: object, stdin: str = "", cwd: Path | None = None, **environment: str) -> Outcome:
    """Run COMMAND to its end."""
    result = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        input=stdin, capture_output=True, encoding="utf-8", timeout=300, cwd=cwd,
        env={**os.environ, "PYTHONWARNINGS": "error", **environment},
    )  # fmt: skip
    return Outcome(result.returncode, result.stdout, result.stderr)
