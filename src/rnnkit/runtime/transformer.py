"""The transformer in the run half: the peer of an encoder-decoder that keeps all it has read and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnnkit.errors import ArgumentError
from rnnkit.kernels import heads
from rnnkit.runtime.reader import padded
from rnnkit.runtime.softmax import build_softmax
from rnnkit.runtime.stack import Parts
from rnnkit.runtime.writer import Writer
from rnnkit.text import SourceAndTarget

_EPSILON = np.float32(1e-5)  # of torch.nn.LayerNorm


class Transformer(Writer):
    """Reads one sequence of tokens and writes another; the equations are in `rnnkit.models.transformer`.

        model = Transformer.load("runs/de-en/baselines/transformer")
        model.translate(["ein hund im schnee"])

    It writes token by token; what earlier places have to say to later ones is kept, not computed again. That grows with
    every token, so there is no state of one size to hand out: `encode` and `step` are the encoder-decoder's.
    """

    kind = "transformer"

    def __init__(
        self,
        config: Mapping[str, Any],
        tensors: Mapping[str, np.ndarray],
        *,
        texts: SourceAndTarget,
        digest: str | None = None,
        precision: str | None = None,
    ) -> None:
        """As `EncoderDecoder`."""
        super().__init__(config, tensors, texts=texts, digest=digest, precision=precision)
        model, tensors = self.config["model"], self._weights
        self._size, self._num_heads = model["hidden_size"], model["num_heads"]
        self._softmax = build_softmax({**model, "softmax": "full"}, tensors, self.precision)
        self._table = tensors["embedding.weight"]
        self._source_table = self._table if model["shared_embedding"] else tensors["source_embedding.weight"]
        self._encoder = [_Layer(self, f"encoder.{layer}") for layer in range(model["encoder_layers"])]
        self._decoder = [_Layer(self, f"decoder.{layer}", reads=True) for layer in range(model["num_layers"])]
        self._norms = [_Norm(tensors, name) for name in ("encoder_norm", "decoder_norm")]

    def _initial_parts(self, batch: int) -> Parts:
        raise ArgumentError("a transformer has no state of one size: it keeps all it has written; use translate or nll")

    # ---- what a writer adds ------------------------------------------------------------------------------------------

    def _begun(self, sources: Sequence[np.ndarray]) -> tuple[np.ndarray, Parts]:
        return self._step(np.full(len(sources), self.begin_id), self._read(sources))

    def _step(self, ids: np.ndarray, parts: Parts) -> tuple[np.ndarray, Parts]:
        """ids [B] -> what the softmax reads [B, D]. Parts: of each layer keys and values so far and those of the source
        [B, heads, places, D/heads]; last, how long the sources are [B].
        """
        *of_layers, (lengths,) = parts
        count = of_layers[0][0].shape[2]
        x = self._placed(self._table, ids[None], first=count)[0]
        after = []
        for layer, (keys, values, source_keys, source_values) in zip(self._decoder, of_layers, strict=True):
            normed = layer.norms[0](x)
            queries, new_keys, new_values = layer.own.projected(normed)
            keys, values = (
                np.concatenate([old, new[:, :, None]], axis=2) for old, new in ((keys, new_keys), (values, new_values))
            )
            x = x + layer.own(queries, keys, values, np.full(len(ids), count + 1))
            assert layer.across is not None
            queries = layer.across.queries(layer.norms[1](x))
            x = x + layer.across(queries, source_keys, source_values, lengths)
            x = x + layer.feedforward(layer.norms[2](x))
            after.append((keys, values, source_keys, source_values))
        return self._norms[1](x), [*after, (lengths,)]

    def _forced(self, sources: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        wanted, _ = padded(targets)
        features, parts = self._begun(sources)
        found = [features]
        for ids in wanted[:-1]:
            features, parts = self._step(ids, parts)
            found.append(features)
        return np.stack(found), np.zeros((len(found), len(sources), 0), np.float32)

    # ---- parts -------------------------------------------------------------------------------------------------------

    def _read(self, sources: Sequence[np.ndarray]) -> Parts:
        """Ids of sources -> the parts before the first token."""
        ids, lengths = padded(sources)
        S, B = ids.shape
        x = self._placed(self._source_table, ids, first=0).reshape(S * B, self._size)
        for layer in self._encoder:
            queries, keys, values = (
                part.reshape(S, B, self._num_heads, -1) for part in layer.own.projected(layer.norms[0](x))
            )
            keys, values = (np.ascontiguousarray(part.transpose(1, 2, 0, 3)) for part in (keys, values))
            x = x + layer.own(queries, keys, values, lengths)
            x = x + layer.feedforward(layer.norms[1](x))
        memory = self._norms[0](x)
        nothing = np.zeros((B, self._num_heads, 0, self._size // self._num_heads), np.float32)
        parts: list[tuple[np.ndarray, ...]] = []
        for layer in self._decoder:
            assert layer.across is not None
            found = layer.across.memory(memory)
            own = (np.ascontiguousarray(part.reshape(S, B, *part.shape[1:]).transpose(1, 2, 0, 3)) for part in found)
            parts.append((nothing, nothing, *own))
        return [*parts, (lengths,)]

    def _placed(self, table: np.ndarray, ids: np.ndarray, *, first: int) -> np.ndarray:
        """ids [T, B] from place `first` on -> [T, B, D]."""
        x = heads.embedding(ids.reshape(-1), table).reshape(*ids.shape, self._size)
        at = np.arange(first, first + len(ids))
        angles = at[:, None] / 10_000.0 ** (np.arange(0, self._size, 2) / self._size)
        places = np.stack([np.sin(angles), np.cos(angles)], axis=2).reshape(len(ids), 1, self._size)
        return x * np.float32(self._size**0.5) + places.astype(np.float32)


class _Norm:
    """(x − mean) / √(variance + ε) ∘ weight + bias, over each row [N, D]."""

    def __init__(self, tensors: Mapping[str, np.ndarray], name: str) -> None:
        self._weight, self._bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        apart = x - x.mean(1, keepdims=True)
        return apart / np.sqrt((apart * apart).mean(1, keepdims=True) + _EPSILON) * self._weight + self._bias


class _Attention:
    """Several heads: a softmax over products of queries with keys, D/heads wide, and the mean of values under it."""

    def __init__(self, model: Transformer, name: str) -> None:
        weight, bias = (model._weights[f"{name}.in_proj_{part}"] for part in ("weight", "bias"))
        self._num_heads, D = model._num_heads, model._size
        scale = np.float32((D // model._num_heads) ** -0.5)
        weight, bias = weight.copy(), bias.copy()
        weight[:D] *= scale
        bias[:D] *= scale
        how: Any = {"precision": model.precision}
        self._all = heads.PackedLinear(weight, bias, **how)
        self._queries = heads.PackedLinear(weight[:D], bias[:D], **how)
        self._memory = heads.PackedLinear(weight[D:], bias[D:], **how)
        self._out = heads.PackedLinear(
            *(model._weights[f"{name}.out_proj.{part}"] for part in ("weight", "bias")), **how
        )

    def projected(self, x: np.ndarray) -> list[np.ndarray]:
        """[N, D] -> queries, keys and values, [N, heads, D/heads] each."""
        return self._split(self._all(x), 3)

    def queries(self, x: np.ndarray) -> np.ndarray:
        """[N, D] -> [N, heads, D/heads]."""
        return self._split(self._queries(x), 1)[0]

    def memory(self, x: np.ndarray) -> list[np.ndarray]:
        """[N, D] -> keys and values, [N, heads, D/heads] each."""
        return self._split(self._memory(x), 2)

    def __call__(self, queries: np.ndarray, keys: np.ndarray, values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Queries [T·B, heads, d] or [T, B, heads, d], keys and values [B, heads, S, d] of which `lengths` [B] count
        -> [T·B, D].
        """
        B, H, S, d = keys.shape
        rows = B * H
        found = heads.attention(
            queries.reshape(-1, rows, d), keys.reshape(rows, S, d), values.reshape(rows, S, d), np.repeat(lengths, H)
        )
        return self._out(found.context.reshape(-1, H * d))

    def _split(self, x: np.ndarray, count: int) -> list[np.ndarray]:
        parts = x.reshape(len(x), count, self._num_heads, -1)
        return [np.ascontiguousarray(parts[:, part]) for part in range(count)]


class _Layer:
    """Attention to its own places, with `reads` to the source's too, and rectified units."""

    def __init__(self, model: Transformer, name: str, *, reads: bool = False) -> None:
        tensors = model._weights
        self.own = _Attention(model, f"{name}.self_attn")
        self.across = _Attention(model, f"{name}.multihead_attn") if reads else None
        self.norms = [_Norm(tensors, f"{name}.norm{number}") for number in range(1, 3 + reads)]
        self._linear = [
            heads.PackedLinear(
                tensors[f"{name}.linear{number}.weight"], tensors[f"{name}.linear{number}.bias"],
                precision=model.precision,
            )
            for number in (1, 2)
        ]  # fmt: skip

    def feedforward(self, x: np.ndarray) -> np.ndarray:
        """[N, D] -> [N, D]."""
        first, second = self._linear
        return second(np.maximum(first(x), 0))
