"""Run a trained model without torch: `LanguageModel.load(path)`, then step, score, generate, complete; `Acceptor.load`
or `Transducer.load`, then predict. Each kind of model but the first is imported on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rnnkit.kernels.recurrent import resolve_precision
from rnnkit.kernels.threads import get_num_threads, isa, set_num_threads
from rnnkit.runtime.beam import Hypothesis
from rnnkit.runtime.language_model import LanguageModel

if TYPE_CHECKING:
    from rnnkit.runtime.acceptor import Acceptor
    from rnnkit.runtime.bidirectional import BidirectionalLanguageModel
    from rnnkit.runtime.encoder_decoder import EncoderDecoder
    from rnnkit.runtime.forecaster import Forecaster
    from rnnkit.runtime.frame_by_frame import FrameByFrame
    from rnnkit.runtime.loading import load
    from rnnkit.runtime.responder import Conversation, Responder
    from rnnkit.runtime.simulator import Simulator
    from rnnkit.runtime.transducer import Transducer
    from rnnkit.runtime.transformer import Transformer
    from rnnkit.runtime.window_mlp import WindowMLP

__all__ = [
    "Acceptor",
    "BidirectionalLanguageModel",
    "Conversation",
    "EncoderDecoder",
    "Forecaster",
    "FrameByFrame",
    "Hypothesis",
    "LanguageModel",
    "Responder",
    "Simulator",
    "Transducer",
    "Transformer",
    "WindowMLP",
    "get_num_threads",
    "isa",
    "load",
    "resolve_precision",
    "set_num_threads",
]
_HOMES = {
    "Acceptor": "acceptor",
    "BidirectionalLanguageModel": "bidirectional",
    "Conversation": "responder",
    "EncoderDecoder": "encoder_decoder",
    "Forecaster": "forecaster",
    "FrameByFrame": "frame_by_frame",
    "Responder": "responder",
    "Simulator": "simulator",
    "Transducer": "transducer",
    "Transformer": "transformer",
    "WindowMLP": "window_mlp",
    "load": "loading",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
