"""Recurrent layers for torch: drop-ins for torch.nn on the native core, with the state as a value."""

from rnnkit.kernels.recurrent import resolve_precision
from rnnkit.nn.adaptive import AdaptiveSoftmax
from rnnkit.nn.attending import attention
from rnnkit.nn.backends import SpecBackendWarning, explain_backend
from rnnkit.nn.cells import GRUCell, LSTMCell, RNNCell
from rnnkit.nn.dropout import embedding_dropout, locked_dropout, word_dropout
from rnnkit.nn.layers import GRU, LSTM, RNN
from rnnkit.nn.operators import DifferentiationError, convolution, linear, linear_cross_entropy
from rnnkit.nn.options import Options
from rnnkit.nn.recurrent import Recurrent
from rnnkit.nn.watched import Watched

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "AdaptiveSoftmax",
    "DifferentiationError",
    "GRUCell",
    "LSTMCell",
    "Options",
    "RNNCell",
    "Recurrent",
    "SpecBackendWarning",
    "Watched",
    "attention",
    "convolution",
    "embedding_dropout",
    "explain_backend",
    "linear",
    "linear_cross_entropy",
    "locked_dropout",
    "resolve_precision",
    "word_dropout",
]
