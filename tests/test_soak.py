"""Loops of hours, in `make soak`: what goes wrong once in a thousand times, or grows a little each time.

RNNKIT_SOAK_S is how long each test here runs; `RNNKIT_SOAK_S=30 make soak` tries them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from rnnkit.models.generator import Generator, GeneratorConfig
from rnnkit.nn.spec import CELLS
from rnnkit.runtime import LanguageModel
from rnnkit.state import State

pytestmark = [pytest.mark.soak, pytest.mark.timeout(0)]

DURATION_S = float(os.environ.get("RNNKIT_SOAK_S", "7200"))
MOST_GROWTH = 16 << 20  # bytes; what the allocator and caches may still take after the first tenth


def rounds() -> Iterator[float]:
    """The share of the time that is gone, until it is; at least two rounds."""
    start, number = time.monotonic(), 0
    while (share := (time.monotonic() - start) / DURATION_S) < 1 or number < 2:
        yield share
        number += 1


def test_random_runs_killed_at_random_instants_and_resumed_are_bit_equal(tmp_path: Path) -> None:
    script = Path(__file__).parent / "training" / "killed_runs.py"
    first = time.time_ns() % 10**9
    for number, _ in enumerate(rounds()):
        seed, folder = first + number, tmp_path / str(number)
        folder.mkdir()
        command = [sys.executable, str(script), str(folder), "20", str(seed)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        again = f"python {script} EMPTY_FOLDER 20 {seed}"
        assert done.returncode == 0, f"{again}\n{done.stderr[-3000:]}"
        lines = done.stdout.splitlines()
        assert len(lines) == 20
        assert all(line.endswith("bit-equal") for line in lines), f"{again}\n{done.stderr}{done.stdout}"
        shutil.rmtree(folder)


def live_once(folder: Path, cell: str) -> None:
    """A model's whole life: made, trained a step, saved over the one before, loaded, read with, written with."""
    tokenizer = tiny.tokenizer()
    model = Generator(GeneratorConfig(vocab_size=tokenizer.vocab_size, hidden_size=48, embedding_size=24, cell=cell))
    ids = torch.from_numpy(tokenizer.encode(tiny.TEXT).astype(np.int64))[:, None].expand(-1, 8)
    hidden, _ = model(ids[:-1])
    model.loss(hidden, ids[1:], torch.ones(ids[1:].shape)).sum().backward()
    LanguageModel.from_parts(*model.export(), tokenizer).save(folder)
    loaded = LanguageModel.load(folder)
    want, state = loaded(ids.numpy()[:20])
    got, _ = loaded.step(ids.numpy()[20], State.from_bytes(state.to_bytes(), like=loaded.initial_state()))
    assert np.isfinite(want).all()
    assert np.isfinite(got).all()
    assert "".join(loaded.generate("the ", max_new_tokens=20, seed=1))
    assert loaded.score(tiny.TEXT).nats_per_character > 0


def test_saving_and_loading_for_hours_takes_no_more_memory_and_leaves_no_file_open(tmp_path: Path) -> None:
    before = None
    for share in rounds():
        for cell in CELLS:
            live_once(tmp_path / cell, cell)
        if before is None and share >= 0.1:
            before = used()
    assert before is not None
    memory, files = used()
    assert memory - before[0] < MOST_GROWTH
    assert files <= before[1]


def used() -> tuple[int, int]:
    """Resident bytes and open files of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), len(list(Path("/proc/self/fd").iterdir()))
