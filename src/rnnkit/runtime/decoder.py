"""What an encoder-decoder computes without torch: sources read, a token at a time written, and the state between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnnkit.errors import ArgumentError, ShapeError, StateError
from rnnkit.kernels import heads
from rnnkit.runtime.reader import padded
from rnnkit.runtime.softmax import build_softmax
from rnnkit.runtime.stack import Parts, Stack
from rnnkit.runtime.writer import Writer
from rnnkit.state import State
from rnnkit.text import SourceAndTarget

_PLACES = ("values", "keys", "looked", "ids")  # what a source has for each of its places
_INTEGERS = ("ids", "lengths")
_LEAST = np.float32(1e-30)  # of a probability whose logarithm is taken


class Decoder(Writer):
    """Ids of sources in, features for a softmax and the parts of a state out; the equations are in
    `rnnkit.models.encoder_decoder`.

    Parts are those of the decoder's layers and, as a last entry, the encodings: arrays with a row for each source.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        tensors: Mapping[str, np.ndarray],
        *,
        texts: SourceAndTarget,
        digest: str | None = None,
        precision: str | None = None,
    ) -> None:
        """As `Writer`."""
        super().__init__(config, tensors, texts=texts, digest=digest, precision=precision)
        model, tensors = self.config["model"], self._weights
        self._softmax: Any = build_softmax({**model, "softmax": "full"}, tensors, self.precision)
        self._copies: bool = model.get("copying", False)
        if self._copies:
            gate = heads.PackedLinear(tensors["copy.weight"], tensors["copy.bias"], precision=self.precision)
            self._softmax = _CopyingSoftmax(self._softmax, gate, model["hidden_size"])
        self._source_table = tensors["embedding.weight" if model["shared_embedding"] else "source_embedding.weight"]
        of_encoder = {
            "num_layers": model["encoder_layers"],
            "hidden_size": model["encoder_size"],
            "bidirectional": model["bidirectional"],
        }
        self._of_set = self._linear("encoder") if model.get("encoder") == "set" else None
        self._encoder = (
            None
            if self._of_set is not None
            else Stack({**model, **of_encoder}, tensors, self.precision, embeds=False, prefix="encoder.")
        )
        self._reads_feed: bool = model["input_feeding"]
        self._reads_encoding = model["conditioning"] in ("concat", "both")
        self._takes_state = model["conditioning"] in ("state", "both")
        is_plain = not (self._reads_feed or self._reads_encoding)
        self._decoder = Stack(
            {**model, "bidirectional": False}, tensors, self.precision, embeds=is_plain, prefix="decoder."
        )
        self._is_plain = is_plain
        self._attends = model["attention"] != "none"
        self._bridge = [
            {name: self._linear(f"bridge.{layer}.{name}") for name in self._decoder.part_names}
            for layer in range(model["num_layers"])
            if f"bridge.{layer}.h.weight" in tensors
        ]
        self._query, self._key, self._combine = (self._linear(name) for name in ("query", "key", "combine"))
        self._score, self._coverage = tensors.get("score"), tensors.get("coverage")
        names = self._decoder.part_names
        self._parts = tuple(tuple(zip(names, layer.part_sizes, strict=True)) for layer in self._decoder.layers)
        self._encoding_size = model["encoder_size"] * (1 + model["bidirectional"])
        self._kept = self._encoding_widths()

    # ---- reading and writing -----------------------------------------------------------------------------------------

    def _linear(self, name: str) -> heads.PackedLinear | None:
        weight, bias = (self._weights.get(f"{name}.{part}") for part in ("weight", "bias"))
        return None if weight is None else heads.PackedLinear(weight, bias, precision=self.precision)

    def _encoding_widths(self) -> dict[str, int]:
        """The arrays of the encodings in their order, with their widths; 0: they have none."""
        model, width = self.config["model"], self._encoding_size
        widths = {"feed": model["hidden_size"]} if self._reads_feed else {}
        widths |= {"encoding": width} if self._reads_encoding else {}
        if self._attends:
            widths |= {"values": width} | ({"keys": self._key.output_size} if self._key is not None else {})
            widths |= dict.fromkeys(["looked"] if self._coverage is not None else [], 0)
            widths |= dict.fromkeys(["ids"] if self._copies else [], 0) | {"lengths": 0}
        return widths

    def _read(self, sources: Sequence[np.ndarray], *, places: int | None = None) -> Parts:
        """Ids of sources -> the decoder's first state and the encodings."""
        if not sources:
            return self._initial_parts(0, places or 0)
        ids, lengths = padded(sources)
        B = len(sources)
        outputs, ends = self._encoded_ids(ids, lengths)
        arrays = {"encoding": ends[-1][0], "lengths": lengths}
        if self._reads_feed:
            arrays["feed"] = np.zeros((B, self._kept["feed"]), np.float32)
        if self._attends:
            S = len(ids) if places is None else places
            arrays["looked"] = np.zeros((B, S), np.float32)
            arrays["ids"] = np.zeros((B, S), np.int64)
            arrays["ids"][:, : len(ids)] = ids.T
            arrays["values"] = values = np.zeros((B, S, self._encoding_size), np.float32)
            values[:, : len(ids)] = outputs.transpose(1, 0, 2)
            if self._key is not None:
                arrays["keys"] = self._key(values.reshape(B * S, -1)).reshape(B, S, -1)
                arrays["keys"][np.arange(S) >= lengths[:, None]] = 0.0
        return [*self._start(ends), tuple(arrays[name] for name in self._kept)]

    def _encoded_ids(self, ids: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, list[tuple[np.ndarray, ...]]]:
        """ids [S, B] -> the encoder's outputs [S, B, W], and the parts that each of its layers ended with."""
        x = _embedded(ids, self._source_table)
        if self._encoder is None:
            assert self._of_set is not None
            S, B = ids.shape
            outputs = np.tanh(self._of_set(x.reshape(S * B, -1))).reshape(S, B, -1)
            outputs[np.arange(S)[:, None] >= lengths] = 0.0
            total = np.zeros_like(outputs[0])
            for of_place in outputs:  # in one order, whatever the padding: NumPy's sum does not promise it
                total += of_place
            return outputs, [(total,) * len(self._decoder.part_names)]
        B, D = len(lengths), self._encoder.num_directions
        outputs, ended = self._encoder.forward(x, self._encoder.initial(B), lengths=lengths)
        return outputs, [
            tuple(np.concatenate(part, axis=1) for part in zip(*ended[at : at + D], strict=True))
            for at in range(0, len(ended), D)
        ]

    def _start(self, ends: list[tuple[np.ndarray, ...]]) -> Parts:
        """The decoder's first state, of what each of the encoder's layers ended with."""
        if not self._takes_state:
            return self._decoder.initial(len(ends[0][0]))
        count = len(self._decoder.layers)
        taken = [ends[max(0, layer + len(ends) - count)] for layer in range(count)]
        if not self._bridge:
            return taken
        names = self._decoder.part_names
        return [
            tuple(np.tanh(own[name](part)) for name, part in zip(names, parts, strict=True))  # type: ignore[misc]
            for own, parts in zip(self._bridge, taken, strict=True)
        ]

    def _begun(self, sources: Sequence[np.ndarray]) -> tuple[np.ndarray, Parts]:
        """What the first token of each target is scored from, and the parts."""
        return self._step(np.full(len(sources), self.begin_id), self._read(sources))

    def _step(self, ids: np.ndarray, parts: Parts) -> tuple[np.ndarray, Parts]:
        """ids [B] -> what the softmax reads [B, H], and the parts."""
        *layers, arrays = parts
        encodings = dict(zip(self._kept, arrays, strict=True))
        hidden, after = self._decoder.step(self._entering(ids, encodings), layers)
        found, weights = self._attended(hidden[None], encodings)
        self._remember(encodings, found[0], weights[0])
        return self._with_copies(found, weights, encodings)[0], [*after, tuple(encodings.values())]

    def _forced(self, sources: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Every target read as it is: what the softmax scores each of its tokens from [T, B, H], weights [T, B, S]."""
        wanted, lengths = padded(targets)
        previous = np.concatenate([np.full((1, len(targets)), self.begin_id), wanted[:-1]])
        *layers, arrays = self._read(sources)
        encodings = dict(zip(self._kept, arrays, strict=True))
        if not self._reads_feed and self._coverage is None:
            entering = self._entering(previous, encodings)
            hidden, _ = self._decoder.forward(entering, layers, lengths=lengths)
            attended, looks = self._attended(hidden, encodings)
            return self._with_copies(attended, looks, encodings), looks
        found, weights = [], []
        for ids in previous:
            hidden, layers = self._decoder.step(self._entering(ids, encodings), layers)
            attended, of_step = self._attended(hidden[None], encodings)
            self._remember(encodings, attended[0], of_step[0])
            found.append(attended[0])
            weights.append(of_step[0])
        looks = np.stack(weights)
        return self._with_copies(np.stack(found), looks, encodings), looks

    def _remember(self, encodings: dict[str, np.ndarray], found: np.ndarray, weights: np.ndarray) -> None:
        """What the next step reads of this one: what it decided by [B, H], where it looked [B, S]."""
        if self._reads_feed:
            encodings["feed"] = found
        if self._coverage is not None:
            encodings["looked"] = encodings["looked"] + weights

    def _with_copies(self, found: np.ndarray, weights: np.ndarray, encodings: Mapping[str, np.ndarray]) -> np.ndarray:
        """[T, B, H], of a model that copies beside it each token's share of the attention: [T, B, H + V]."""
        if not self._copies:
            return found
        T, B, _ = found.shape
        copied = np.zeros((T, B, self.vocab_size), np.float32)
        for t in range(T):
            np.add.at(copied[t], (np.arange(B)[:, None], encodings["ids"]), weights[t])
        return np.concatenate([found, copied], axis=-1)

    def _entering(self, ids: np.ndarray, encodings: Mapping[str, np.ndarray]) -> np.ndarray:
        """What the decoder reads: the ids themselves […], or their embeddings with what stands beside them […, I]."""
        if self._is_plain:
            return ids
        read = [_embedded(ids, self._weights["embedding.weight"])]
        for name in ("feed", "encoding"):
            if name in encodings:
                read.append(np.broadcast_to(encodings[name], (*ids.shape, self._kept[name])))
        return np.concatenate(read, axis=-1)

    def _attended(self, hidden: np.ndarray, encodings: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """The decoder's outputs [T, B, H] -> what the softmax reads of them, and the attention's weights [T, B, S]."""
        T, B, H = hidden.shape
        if self._combine is None:
            return hidden, np.zeros((T, B, 0), np.float32)
        queries = hidden if self._query is None else self._query(hidden.reshape(T * B, H)).reshape(T, B, -1)
        values = encodings["values"]
        keys = encodings.get("keys", values)
        if self._coverage is not None:
            keys = keys + encodings["looked"][..., None] * self._coverage
        found = heads.attention(queries, keys, values, encodings["lengths"], self._score)
        beside = np.concatenate([found.context, hidden], axis=-1)
        return np.tanh(self._combine(beside.reshape(T * B, -1))).reshape(T, B, -1), found.weights

    # ---- the state ---------------------------------------------------------------------------------------------------

    def initial_state(self, batch: int = 1, *, places: int = 0) -> State:
        """The state of `batch` sources of no tokens, with room for so many: what `State.from_bytes` needs."""
        if batch < 0 or places < 0:
            raise ArgumentError(f"batch is {batch}, places {places}; give numbers of 0 or more")
        return self._state(self._initial_parts(batch, places))

    def _initial_parts(self, batch: int, places: int = 0) -> Parts:
        encodings = (
            np.zeros(self._shape(name, batch, places), np.int64 if name in _INTEGERS else np.float32)
            for name in self._kept
        )
        return [*self._decoder.initial(batch), tuple(encodings)]

    def _shape(self, name: str, batch: int, places: int) -> tuple[int, ...]:
        """Of an array of the encodings."""
        width = self._kept[name]
        return (batch, *((places,) if name in _PLACES else ()), *((width,) if width else ()))

    def _state(self, parts: Parts) -> State:
        *layers, arrays = parts
        state = super()._state(layers)
        return State.unchecked([*state.layers, dict(zip(self._kept, arrays, strict=True))], model=self.digest)

    def _checked(self, state: State | None, batch: int) -> Parts:
        if state is None:
            raise ArgumentError("an encoder-decoder has read nothing without a state; start from model.encode(texts)")
        if len(state.layers) != len(self._parts) + 1:
            raise StateError(f"the state has {len(state.layers)} entries, this model {len(self._parts) + 1}")
        *layers, encodings = state.layers
        parts = super()._checked(State.unchecked(layers, model=state.model), batch)
        places = next((encodings[name].shape[1] for name in _PLACES if name in encodings), 0)
        for name in self._kept:
            wanted = self._shape(name, batch, places)
            if name not in encodings or encodings[name].shape != wanted:
                got = list(encodings[name].shape) if name in encodings else "nothing"
                raise ShapeError(f"the state's {name} is {got}, {list(wanted)} is wanted; use model.encode(texts)")
        return [*parts, tuple(encodings[name] for name in self._kept)]


class _CopyingSoftmax:
    """p(w) = g softmax(W x + b)_w + (1 − g) copied_w of features [x; copied], with g = σ(c·x + d)."""

    def __init__(self, softmax: Any, gate: heads.PackedLinear, width: int) -> None:
        self._softmax, self._gate, self._width = softmax, gate, width

    def log_probs(self, features: np.ndarray) -> np.ndarray:
        """[N, H + V] -> [N, V], natural logarithms."""
        x = np.ascontiguousarray(features[:, : self._width])
        gate, copied = self._gate(x), np.maximum(features[:, self._width :], _LEAST)
        written = self._softmax.log_probs(x) - np.logaddexp(np.float32(0), -gate)
        return np.logaddexp(written, np.log(copied) - np.logaddexp(np.float32(0), gate))


def _embedded(ids: np.ndarray, table: np.ndarray) -> np.ndarray:
    """ids […] -> rows of a table […, E]."""
    return heads.embedding(ids.reshape(-1), table).reshape(*ids.shape, table.shape[1])
