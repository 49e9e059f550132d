"""Run a trained model without torch: `LanguageModel.load(path)`, then step, score, generate, complete; `Acceptor.load`
or `Transducer.load`, then predict."""

from rnnkit.kernels.recurrent import resolve_precision
from rnnkit.kernels.threads import get_num_threads, isa, set_num_threads
from rnnkit.runtime.acceptor import Acceptor
from rnnkit.runtime.beam import Hypothesis
from rnnkit.runtime.bidirectional import BidirectionalLanguageModel
from rnnkit.runtime.encoder_decoder import EncoderDecoder
from rnnkit.runtime.forecaster import Forecaster
from rnnkit.runtime.frame_by_frame import FrameByFrame
from rnnkit.runtime.language_model import LanguageModel
from rnnkit.runtime.loading import load
from rnnkit.runtime.transducer import Transducer
from rnnkit.runtime.transformer import Transformer
from rnnkit.runtime.window_mlp import WindowMLP

__all__ = [
    "Acceptor",
    "BidirectionalLanguageModel",
    "EncoderDecoder",
    "Forecaster",
    "FrameByFrame",
    "Hypothesis",
    "LanguageModel",
    "Transducer",
    "Transformer",
    "WindowMLP",
    "get_num_threads",
    "isa",
    "load",
    "resolve_precision",
    "set_num_threads",
]
