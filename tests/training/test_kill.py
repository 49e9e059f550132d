"""kill -9 at a random instant, resume: final weights and losses bit-equal to the uninterrupted run, 20 of 20."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_killed_twenty_times_and_resumed_the_weights_are_bit_equal_every_time(tmp_path: Path) -> None:
    script = Path(__file__).with_name("killed_runs.py")
    result = subprocess.run(
        [sys.executable, str(script), str(tmp_path), "20"], capture_output=True, text=True, timeout=280, check=False
    )
    assert result.returncode == 0, result.stderr[-3000:]
    lines = result.stdout.splitlines()
    assert len(lines) == 20
    assert [line for line in lines if not line.endswith("bit-equal")] == []
    killed_at = {line.split()[3] for line in lines}
    assert len(killed_at) > 5, "the kills did not fall on different steps"
