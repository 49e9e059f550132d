"""A trained encoder-decoder without torch: texts in, texts out, and what each costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self, overload

import numpy as np

from rnnkit.bundle import Bundle, evaluation
from rnnkit.errors import ArgumentError, DtypeError, SchemaError, ShapeError, StateError
from rnnkit.kernels import decode, heads
from rnnkit.runtime import beam
from rnnkit.runtime.beam import Hypothesis
from rnnkit.runtime.bundled import BundledModel, integers
from rnnkit.runtime.likelihood import row_limit
from rnnkit.runtime.reader import ROWS, padded
from rnnkit.runtime.softmax import build_softmax
from rnnkit.runtime.stack import Parts, Stack
from rnnkit.state import State
from rnnkit.text import SourceAndTarget

TEXTS = "source_target.json"
_PLACES = ("values", "keys", "looked", "ids")  # what a source has for each of its places
_INTEGERS = ("ids", "lengths")
_LEAST = np.float32(1e-30)  # of a probability whose logarithm is taken


class EncoderDecoder(BundledModel):
    """Reads one sequence of tokens and writes another; the equations are in `rnnkit.models.encoder_decoder`.

        model = EncoderDecoder.load("runs/de-en")
        model.translate(["ein hund im schnee"])               # ['a dog in the snow']
        state = model.encode(["ein hund im schnee"])          # a value: slice it, stack it, keep it, fork it
        log_probs, state = model.step([model.begin_id], state)

    The state holds the decoder's layers and, as a last entry, the encodings: what the attention looks back at, how far
    it reaches, and what the decoder reads at every step beside a token.

    A text's result is the same, bit for bit, whatever stands beside it in the call.
    """

    kind = "encoder_decoder"

    def __init__(
        self,
        config: Mapping[str, Any],
        tensors: Mapping[str, np.ndarray],
        *,
        texts: SourceAndTarget,
        digest: str | None = None,
        precision: str | None = None,
    ) -> None:
        """Of a configuration and its float32 arrays in memory, for example those of `export`.

        Args:   texts: how sources and targets are cut.  digest: of the bundle they come from; None: the one that `save`
                would give.  precision: as in `load`.
        Raises: SchemaError, TensorError for parts that do not belong together.
        """
        files = {TEXTS: texts.to_json().encode()}
        super().__init__(config, tensors, texts.target, files=files, digest=digest, precision=precision)
        model, tensors = self.config["model"], self._weights
        if texts.source.vocab_size != model["source_vocab_size"]:
            raise SchemaError(
                f"the source's tokeniser has {texts.source.vocab_size} tokens, the model {model['source_vocab_size']}; "
                "take both from one run"
            )
        self.texts, self.vocab_size = texts, model["vocab_size"]
        self.begin_id = self.end_id = texts.end_id
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
        self._encoder = Stack({**model, **of_encoder}, tensors, self.precision, embeds=False, prefix="encoder.")
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

    @classmethod
    def _of(cls, bundle: Bundle, precision: str | None) -> Self:
        if TEXTS not in bundle.files or bundle.tokenizer is None:
            raise SchemaError(f"the bundle of an encoder-decoder lists no {TEXTS} or no tokeniser; write it again")
        try:
            texts = SourceAndTarget.from_json(bundle.files[TEXTS].decode("utf-8"), target=bundle.tokenizer)
        except ValueError as error:  # DataError, or bytes that are no UTF-8
            raise SchemaError(f"{TEXTS}: {error}") from error
        return cls(bundle.config, bundle.tensors, texts=texts, digest=bundle.digest, precision=precision)

    # ---- whole texts -------------------------------------------------------------------------------------------------

    @overload
    def translate(
        self,
        texts: Sequence[str],
        *,
        num_beams: int = ...,
        n_best: None = ...,
        length_penalty: float = ...,
        max_new_tokens: int | None = ...,
        no_repeat_ngram_size: int = ...,
        early_stopping: bool = ...,
    ) -> list[str]: ...

    @overload
    def translate(
        self,
        texts: Sequence[str],
        *,
        n_best: int,
        num_beams: int = ...,
        length_penalty: float = ...,
        max_new_tokens: int | None = ...,
        no_repeat_ngram_size: int = ...,
        early_stopping: bool = ...,
    ) -> list[list[Hypothesis]]: ...

    def translate(
        self,
        texts: Sequence[str],
        *,
        num_beams: int = 5,
        n_best: int | None = None,
        length_penalty: float = 1.0,
        max_new_tokens: int | None = None,
        no_repeat_ngram_size: int = 0,
        early_stopping: bool = False,
    ) -> list[str] | list[list[Hypothesis]]:
        """What the model writes for each source: the likeliest text that the search meets.

            score = log p(text, its end | source) / num_tokens ** length_penalty

        Args:
            num_beams: how many texts are followed at a time; 1 is greedy.
            n_best: how many are returned for each source, as `Hypothesis`, the best first; None: the best one's text.
            length_penalty: above 0 favours longer texts, below 0 shorter ones.
            max_new_tokens: where a text is cut off; None: at twice the source's tokens and twenty more.
            no_repeat_ngram_size: no run of so many tokens comes twice in a text; 0: any may.
            early_stopping: end a search at `num_beams` whole texts, not when no better one can come.
        Returns: for each source a text, or a list of hypotheses; the same bits whatever the other sources are, and for
            any number of threads. A text without an end is returned only where none with one was found.
        Raises:  ArgumentError, DtypeError for an option out of range; DataError naming a source that does not encode.
        Cost:    of a token: a step of `num_beams` rows and a look at num_beams · V scores; sources of similar length
            run side by side.
        Source:  Wu et al. 2016, arXiv:1609.08144, section 7; the penalty is Hugging Face's power.
        """
        options = beam.Options(
            num_beams=num_beams,
            num_return=1 if n_best is None else n_best,
            length_penalty=length_penalty,
            max_new_tokens=1 if max_new_tokens is None else max_new_tokens,
            no_repeat_ngram_size=no_repeat_ngram_size,
            prefix="",
            stop=(),
            regex=None,
            early_stopping=early_stopping or num_beams == 1,  # greedy: the first end is the end
        )
        options.check()
        sources = self._encoded(texts)
        found: list[list[Hypothesis]] = [[] for _ in sources]
        for rows in self._side_by_side(sources, num_beams):
            most = [2 * len(sources[row]) + 20 if max_new_tokens is None else max_new_tokens for row in rows]
            features, parts = self._begun([sources[row] for row in rows])
            of_rows = beam.continued(self, features, parts, options, most=most)
            for row, hypotheses in zip(rows, of_rows, strict=True):
                found[row] = hypotheses
        return [hypotheses[0].text for hypotheses in found] if n_best is None else found

    def sample(
        self,
        texts: Sequence[str],
        *,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        seed: int = 0,
        stream: int = 0,
        max_new_tokens: int | None = None,
    ) -> list[str]:
        """What the model writes for each source when every token is drawn, in place of the likeliest text.

        Args:    temperature, top_k, top_p, min_p: as `rnnkit.kernels.decode.sample`. seed, stream: the name of the
                     random numbers; text i draws from stream + i. max_new_tokens: as of `translate`.
        Returns: a text for each source: the same on every run, whatever the other sources are.
        Raises:  as `translate`.
        """
        if max_new_tokens is not None and (type(max_new_tokens) is not int or max_new_tokens < 0):
            raise ArgumentError(f"max_new_tokens is {max_new_tokens!r}; give an integer of 0 or more")
        drawing: Any = {"seed": seed, "temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p}
        sources = self._encoded(texts)
        written: list[list[int]] = [[] for _ in sources]
        for rows in self._side_by_side(sources, 1):
            most = [2 * len(sources[row]) + 20 if max_new_tokens is None else max_new_tokens for row in rows]
            features, parts = self._begun([sources[row] for row in rows])
            live = [place for place, limit in enumerate(most) if limit]
            for step in range(max(most)):
                if not live:
                    break
                if len(live) < len(features):
                    features, parts = features[live], [tuple(array[live] for array in arrays) for arrays in parts]
                    rows, most = [rows[place] for place in live], [most[place] for place in live]
                streams = np.array([stream + row for row in rows], np.int64)
                tokens = decode.sample(self._softmax.log_probs(features), streams=streams, step=step, **drawing)
                for row, token in zip(rows, tokens.tolist(), strict=True):
                    if token != self.end_id:
                        written[row].append(token)
                live = [at for at, limit in enumerate(most) if tokens[at] != self.end_id and step + 1 < limit]
                features, parts = self._step(tokens, parts)
        return [self.texts.decode(ids) for ids in written]

    def score(self, pairs: Iterable[tuple[str, str]]) -> np.ndarray:
        """log p(target, its end | source) of every pair, in nats, float64 [N].

        An unknown token costs `unknown_nats` of its tokeniser beside its own probability.

        Raises: DataError naming a text that does not encode.
        """
        return np.array([-nats.sum() for nats in self.nll(pairs)], np.float64)

    def nll(self, pairs: Iterable[tuple[str, str]]) -> list[np.ndarray]:
        """What each token of each target costs, the last one its end, in nats: float64 [T] for every pair."""
        texts = list(pairs)
        sources = self._encoded([source for source, _ in texts])
        targets = [self._target(target, number) for number, (_, target) in enumerate(texts)]
        found: list[np.ndarray] = [np.empty(0)] * len(texts)
        unknown = self.texts.target.unk_id
        for rows in self._side_by_side(sources, max((len(target) for target in targets), default=1)):
            hidden, _ = self._forced([sources[row] for row in rows], [targets[row] for row in rows])
            for column, row in enumerate(rows):
                wanted = targets[row]
                log_probs = self._softmax.log_probs(np.ascontiguousarray(hidden[: len(wanted), column]))
                found[row] = -log_probs[np.arange(len(wanted)), wanted].astype(np.float64)
                if unknown is not None:
                    found[row] += self.texts.target.unknown_nats * (wanted == unknown)
        return found

    def attention(self, pairs: Iterable[tuple[str, str]]) -> list[np.ndarray]:
        """Where the decoder looked for each token of a target: float32 [T, S] for every pair, ends included.

        Raises: ArgumentError for a model without attention; DataError.
        """
        if not self._attends:
            raise ArgumentError("this model has no attention to show; train one with --attention general")
        found = []
        for number, (source, target) in enumerate(pairs):
            _, weights = self._forced(self._encoded([source]), [self._target(target, number)])
            found.append(weights[:, 0])
        return found

    def evaluation_sample(self) -> list[tuple[str, str]] | None:
        """The held-out pairs that the bundle keeps, as `nll` takes them; None: it keeps none.

        Raises: JsonError, SchemaError for a file that is not what was written.
        """
        return evaluation.pairs_from_files(self._files)

    # ---- step by step ------------------------------------------------------------------------------------------------

    def encode(self, texts: Sequence[str], *, places: int | None = None) -> State:
        """The state in which each source has been read and nothing written.

        Args: places: how many each source has room for, so that states stack; None: as many as the longest one needs.
        Raises: ArgumentError where a source has more; DataError naming a source that does not encode.
        """
        sources = self._encoded(texts)
        longest = max((len(source) for source in sources), default=0)
        if places is not None and places < longest:
            raise ArgumentError(f"places is {places}, the longest source has {longest} tokens; give at least as many")
        return self._state(self._read(sources, places=places))

    def step(self, ids: Any, state: State) -> tuple[np.ndarray, State]:
        """One token per row, [B] -> (log-probabilities of the next one [B, V], State). First comes `begin_id`."""
        ids = integers([ids] if isinstance(ids, int | np.integer) else ids, "ids", rank=1)
        features, parts = self._step(ids, self._checked(state, len(ids)))
        return self._softmax.log_probs(features), self._state(parts)

    # ---- parts -------------------------------------------------------------------------------------------------------

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

    def _encoded(self, texts: Sequence[str]) -> list[np.ndarray]:
        if isinstance(texts, str | bytes):
            raise DtypeError("texts is a single text; put it in a list: [text]")
        return [self._checked_text(text, number, self.texts.encode_source) for number, text in enumerate(texts)]

    def _target(self, text: str, number: int) -> np.ndarray:
        return self._checked_text(text, number, self.texts.encode_target)

    def _checked_text(self, text: Any, number: int, encode: Any) -> np.ndarray:
        if not isinstance(text, str):
            raise DtypeError(f"text {number} must be a str, got {type(text).__name__}; decode it first")
        try:
            return encode(text)
        except ValueError as error:  # DataError
            raise type(error)(f"text {number}: {error}") from None

    def _side_by_side(self, sources: Sequence[np.ndarray], rows_each: int) -> list[list[int]]:
        """Which sources run together: of similar lengths, as many as keep the scores of all rows small."""
        size = max(1, min(ROWS, row_limit(self.vocab_size) // max(rows_each, 1)))
        order = sorted(range(len(sources)), key=lambda row: len(sources[row]))
        return [order[first : first + size] for first in range(0, len(order), size)]

    def _read(self, sources: Sequence[np.ndarray], *, places: int | None = None) -> Parts:
        """Ids of sources -> the decoder's first state and the encodings."""
        if not sources:
            return self._initial_parts(0, places or 0)
        ids, lengths = padded(sources)
        B, D = len(sources), self._encoder.num_directions
        x = _embedded(ids, self._source_table)
        outputs, ended = self._encoder.forward(x, self._encoder.initial(B), lengths=lengths)
        ends = [
            tuple(np.concatenate(part, axis=1) for part in zip(*ended[at : at + D], strict=True))
            for at in range(0, len(ended), D)
        ]
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
