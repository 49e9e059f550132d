"""Training: the loop, truncated BPTT, optimisers, schedules and checkpoints. Names load torch on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnnkit.training.config import TrainConfig
    from rnnkit.training.loop import Result, dry_run, fit
    from rnnkit.training.tbptt import TruncatedBPTT

_HOMES = {
    "TrainConfig": "config",
    "Result": "loop",
    "dry_run": "loop",
    "fit": "loop",
    "TruncatedBPTT": "tbptt",
}
__all__ = ["Result", "TrainConfig", "TruncatedBPTT", "dry_run", "fit"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
