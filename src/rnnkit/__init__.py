"""Recurrent networks on an ordinary machine: train, judge, sample, and run without torch.

    >>> model = rnnkit.LanguageModel.train("my.txt", run="runs/mine", time_limit_s=90)
    >>> print("".join(model.generate("Once", max_new_tokens=100)))

Every name here is loaded on first use, so `import rnnkit` costs nothing and never imports torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnnkit.api import (
        BidirectionalLanguageModel,
        Classifier,
        Describer,
        Forecaster,
        FrameTagger,
        LanguageModel,
        Policy,
        Recognizer,
        Responder,
        SequenceClassifier,
        Simulator,
        Tagger,
        Translator,
        compare,
        doctor,
        dry_run,
        load,
        register_cell,
    )
    from rnnkit.errors import RnnkitError
    from rnnkit.kernels.threads import get_num_threads, set_num_threads
    from rnnkit.nn import explain_backend
    from rnnkit.state import State

__version__ = "0.1.0"
__all__ = [
    "BidirectionalLanguageModel",
    "Classifier",
    "Describer",
    "Forecaster",
    "FrameTagger",
    "LanguageModel",
    "Policy",
    "Recognizer",
    "Responder",
    "RnnkitError",
    "SequenceClassifier",
    "Simulator",
    "State",
    "Tagger",
    "Translator",
    "compare",
    "doctor",
    "dry_run",
    "explain_backend",
    "get_num_threads",
    "load",
    "register_cell",
    "set_num_threads",
]
_HOMES = {
    "BidirectionalLanguageModel": "rnnkit.api",
    "Classifier": "rnnkit.api",
    "Describer": "rnnkit.api",
    "Forecaster": "rnnkit.api",
    "FrameTagger": "rnnkit.api",
    "LanguageModel": "rnnkit.api",
    "Policy": "rnnkit.api",
    "Recognizer": "rnnkit.api",
    "Responder": "rnnkit.api",
    "RnnkitError": "rnnkit.errors",
    "SequenceClassifier": "rnnkit.api",
    "Simulator": "rnnkit.api",
    "State": "rnnkit.state",
    "Tagger": "rnnkit.api",
    "Translator": "rnnkit.api",
    "compare": "rnnkit.api",
    "doctor": "rnnkit.api",
    "dry_run": "rnnkit.api",
    "explain_backend": "rnnkit.nn",
    "get_num_threads": "rnnkit.kernels.threads",
    "load": "rnnkit.api",
    "register_cell": "rnnkit.api",
    "set_num_threads": "rnnkit.kernels.threads",
}
_PACKAGES = ("automata", "baselines", "bundle", "data", "errors", "explain", "kernels", "metrics", "models", "nn",
             "runtime", "tasks", "text", "training")  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in _PACKAGES:
        return import_module(f"rnnkit.{name}")
    raise AttributeError(f"module 'rnnkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_PACKAGES, "__version__"])
