"""The window MLP in the run half: the neural peer that sees the last n-1 tokens and nothing before them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from rnnkit.kernels import heads
from rnnkit.runtime.model import NextTokenModel
from rnnkit.runtime.stack import Parts
from rnnkit.text import Tokenizer


class WindowMLP(NextTokenModel):
    """a_t = tanh(W [E[w_{t-n+2}], …, E[w_t]] + d);  log p = log_softmax(U a_t + b), or U [a_t, x_t] + b when `direct`.

    Its state is the part `context` int64 [B, n-1]: the last tokens, oldest first; begin tokens in a fresh one.

    Source: Bengio, Ducharme, Vincent, Jauvin 2003, "A neural probabilistic language model", JMLR 3, eq. 1.
    """

    kind = "window_mlp"
    _dtypes: ClassVar[Mapping[str, Any]] = {"context": np.int64}

    def _prepare(self, tokenizer: Tokenizer | None) -> None:
        super()._prepare(tokenizer)
        model = self.config["model"]
        self.tokenizer = tokenizer
        self.begin_id = model["begin_id"]
        self._window = model["order"] - 1
        self._parts = ((("context", self._window),),)
        hidden = (self._weights[f"hidden.{name}"] for name in ("weight", "bias"))
        self._hidden = heads.PackedLinear(*hidden, precision=self.precision)

    def _initial_parts(self, batch: int) -> Parts:
        return [(np.full((batch, self._window), self.begin_id, np.int64),)]

    def _forward(self, ids: np.ndarray, parts: Parts, *, lengths: np.ndarray | None) -> tuple[np.ndarray, Parts]:
        T, B = ids.shape
        ((context,),) = parts
        tokens = np.concatenate([context, ids.T.astype(np.int64)], axis=1)  # [B, n-1+T]
        ends = np.full(B, T) if lengths is None else lengths
        after = np.take_along_axis(tokens, ends[:, None] + np.arange(self._window), axis=1)
        places = np.arange(1, T + 1)[:, None] + np.arange(self._window)  # [T, n-1]
        rows = tokens[:, places].transpose(1, 0, 2).reshape(-1)
        x = heads.embedding(rows, self._weights["embedding.weight"]).reshape(T * B, self._hidden.input_size)
        features = np.tanh(self._hidden(x))
        if self.config["model"]["direct"]:
            features = np.concatenate([features, x], axis=1)
        return features.reshape(T, B, features.shape[1]), [(after,)]

    def _step(self, ids: np.ndarray, parts: Parts) -> tuple[np.ndarray, Parts]:
        features, after = self._forward(ids[None], parts, lengths=None)
        return features[0], after
