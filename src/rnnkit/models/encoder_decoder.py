"""EncoderDecoder: a model that reads one sequence of tokens and writes another, of a length that it decides itself."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnkit.models.encoder_decoder_config import EncoderDecoderConfig
from rnnkit.models.recurrent import RecurrentModel
from rnnkit.nn import (
    Options,
    Recurrent,
    attention,
    embedding_dropout,
    linear,
    linear_cross_entropy,
    locked_dropout,
    spec,
)
from rnnkit.nn.dropout import dropout
from rnnkit.state import State

_LEAST = 1e-30  # of a probability whose logarithm is taken


class Encodings(NamedTuple):
    """What the encoder made of B sources."""

    start: State  # of the decoder
    encoding: Tensor  # [B, W]: the last state of the encoder's top layer
    keys: Tensor  # [B, S, K]; without attention S is 0
    values: Tensor  # [B, S, W]
    lengths: Tensor  # [B]


class Written(NamedTuple):
    """What `EncoderDecoder.loss` reads where tokens are copied, or looking twice costs something."""

    hidden: Tensor  # [T, B, H]
    weights: Tensor  # [T, B, S]: the attention's
    sources: Tensor  # [S, B]


class EncoderDecoder(RecurrentModel):
    """An encoder, a decoder that starts from it and looks back at it, and a softmax.

        encodings = model.encode(sources, lengths)                      # ids [S, B]
        hidden, state, _ = model.decode(previous, encodings)            # ids [T, B] -> [T, B, H]
        losses = model.loss(hidden, targets, weights)                # nats per token [T, B]

    m_1 … m_S = encoder over E_s[source], [W];  h_t, state = decoder([E[y_{t−1}]; ĥ_{t−1}; m_end], state)

    ĥ_t = tanh(C [c_t; h_t]) with c_t = Σ_s a_s m_s, or h_t without attention;  logits = U ĥ_t + b

    with ĥ_{t−1} (input feeding) and m_end (conditioning) where they are chosen. The attention's scores are

        dot: h·m_s     general: h·(A m_s)     additive: v·tanh(Q h + A m_s + b),  with coverage + u Σ_{t'<t} a_{t',s}

    With copying p(w) = g softmax(logits)_w + (1 − g) Σ_{s: source_s = w} a_s,  g = σ(c·ĥ_t + d).

    With encoder "set" m_s = tanh(D E_s[source_s] + e) of every token by itself, and m_end = Σ_s m_s, from which all
    parts of all layers of the first state are made: neither depends on the order of the tokens.

    The decoder's first state is that of the encoder, layers counted from the top, through tanh(B m + b) of each part
    where sizes differ, two directions join, or a set was read.

    Parameters: `embedding.weight` [V, E], `source_embedding.weight` [V_s, E] unless shared; `encoder.*`, `decoder.*`;
    of a set `encoder.weight` [W, E] and `encoder.bias` [W];
    `bridge.{layer}.{part}.weight`, `.bias`; `query.weight` [K, H], `key.weight` [K, W], `key.bias` [K], `score` [K],
    of which dot has none and general `key.weight` alone; `coverage` [K]; `copy.weight` [1, H], `copy.bias` [1];
    `combine.weight` [H, W + H]; `projection.weight` [E, H] when tied and E ≠ H; `head.bias` [V] and, unless tied,
    `head.weight` [V, H].

    Start: recurrent weights as `rnnkit.nn.Recurrent`, matrices uniform in ±1/√I, biases 0, embeddings N(0, 0.1²), or
    uniform in ±1/√E where they also score.

    Source: Sutskever, Vinyals, Le 2014, arXiv:1409.3215; Cho et al. 2014, arXiv:1406.1078 (concat); Bahdanau, Cho,
    Bengio 2015, arXiv:1409.0473; Luong, Pham, Manning 2015, arXiv:1508.04025 (ĥ, input feeding); See, Liu, Manning
    2017, arXiv:1704.04368 (copying and coverage; there the gate reads c, h and the input instead of ĥ).
    """

    kind = "encoder_decoder"
    config_class = EncoderDecoderConfig
    config: EncoderDecoderConfig

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__()
        self.config = config
        E, W, K = config.embedding_size, config.encoding_size, config.attention_size or 0
        H, encoder_size, encoder_layers = config.hidden_size, config.encoder_size, config.encoder_layers
        assert isinstance(H, int) and encoder_size is not None and encoder_layers is not None
        self.embedding = nn.Embedding(config.vocab_size, E)
        self.source_embedding = None if config.shared_embedding else nn.Embedding(config.source_vocab_size, E)
        self.encoder: Any = (
            _Linear(E, W, bias=True)
            if config.encoder == "set"
            else self._layers(E, encoder_size, encoder_layers, bidirectional=config.bidirectional)
        )
        self.decoder = self._layers(config.decoder_input_size, H, config.num_layers)
        self.bridge = None
        if config.has_bridge:
            parts = spec.CELLS[config.cell].parts
            self.bridge = nn.ModuleList(
                nn.ModuleDict({part: _Linear(W, H, bias=True) for part in parts}) for _ in range(config.num_layers)
            )
        self.query = self.key = self.combine = self.projection = None
        self.register_parameter("score", None)
        if config.attention == "additive":
            self.query, self.key = _Linear(H, K), _Linear(W, K, bias=True)
            self.score = nn.Parameter(torch.empty(K).uniform_(-(K**-0.5), K**-0.5))
        elif config.attention == "general":
            self.key = _Linear(W, H)
        self.register_parameter("coverage", nn.Parameter(torch.zeros(K)) if config.coverage else None)
        self.copy = _Linear(H, 1, bias=True) if config.copying else None
        if config.attention != "none":
            self.combine = _Linear(W + H, H)
        if config.tied and E != H:
            self.projection = _Linear(H, E)
        self.head = nn.Module()
        self.head.bias = nn.Parameter(torch.zeros(config.vocab_size))
        if not config.tied:
            self.head.weight = _Linear(H, config.vocab_size).weight
        nn.init.normal_(self.embedding.weight, std=0.1)
        if config.tied:
            nn.init.uniform_(self.embedding.weight, -(E**-0.5), E**-0.5)
        if self.source_embedding is not None:
            nn.init.normal_(self.source_embedding.weight, std=0.1)

    def initial_state(self, batch: int = 1) -> State:
        """What the decoder starts from where it takes nothing from the encoder."""
        return self.decoder.initial_state(batch)

    # ---- running -----------------------------------------------------------------------------------------------------

    def forward(
        self, inputs: tuple[Tensor, Tensor, Tensor], state: State | None = None, *, lengths: Any = None
    ) -> tuple[Tensor | Written, State]:
        """Teacher forcing: (sources [S, B], their lengths [B], what stands before each target [T, B]) -> [T, B, H].

        With copying or coverage a `Written`, for `loss`.

        Args: state: of the decoder, in place of the encoder's. lengths: of the targets, [B].
        """
        sources, source_lengths, previous = inputs
        encodings = self.encode(sources, source_lengths)
        encodings = encodings if state is None else encodings._replace(start=state)
        if self.training and self.config.scheduled_sampling:
            previous = self._partly_predicted(previous, encodings, lengths)
        hidden, after, weights = self.decode(previous, encodings, lengths=lengths)
        hidden = self._dropped(hidden, self.config.output_dropout)
        if self.copy is None and self.coverage is None:
            return hidden, after
        assert weights is not None
        return Written(hidden, weights, sources), after

    def encode(self, sources: Tensor, lengths: Tensor) -> Encodings:
        """Read sources, ids `[S, B]` of which lengths `[B]` count."""
        config = self.config
        own = self.embedding if self.source_embedding is None else self.source_embedding
        assert own is not None
        x, table = self._embedded(sources, own.weight)
        if config.encoder == "set":
            x = x if table is None else F.embedding(x, table)
            is_there = torch.arange(len(x), device=x.device)[:, None] < lengths  # [S, B]
            outputs = torch.tanh(self.encoder(x, config.precision)) * is_there[..., None]
            ends = [dict.fromkeys(spec.CELLS[config.cell].parts, outputs.sum(0))]
        else:
            outputs, ended = self.encoder(x, lengths=lengths, embedding=table)
            ends = [
                {part: torch.cat([parts[part] for parts in of_layer], dim=-1) for part in of_layer[0]}
                for of_layer in _by_layer(ended, self.encoder.num_directions)
            ]
        start = self._start(ends)
        values = outputs.transpose(0, 1).contiguous()  # [B, S, W]
        keys = values
        if config.attention == "none":
            keys = values = values[:, :0]
        elif self.key is not None:
            keys = self.key(values, config.precision)
        return Encodings(start, ends[-1]["h"], keys, values, lengths)

    def decode(
        self,
        previous: Tensor,
        encodings: Encodings,
        *,
        lengths: Any = None,
        feed: Tensor | None = None,
        looked: Tensor | None = None,
    ) -> tuple[Tensor, State, Tensor | None]:
        """Read what stands before each target, ids `[T, B]`.

        Args:    feed: [B, H], what the step before decided by, for input feeding; looked: [B, S], the sum of all
                     weights before, for coverage; None: zeros.
        Returns: what the softmax reads `[T, B, H]`; the decoder's State; and the attention's weights `[T, B, S]`.
        """
        table = self.embedding.weight  # type: ignore[union-attr]
        if not self.config.input_feeding:
            x, table = self._embedded(previous, table)
            if self.config.conditioning in ("concat", "both"):
                x = x if table is None else F.embedding(x, table)
                x, table = torch.cat([x, encodings.encoding.expand(len(x), -1, -1)], dim=-1), None
            hidden, after = self.decoder(x, encodings.start, lengths=lengths, embedding=table)
            found, weights = self._attended(hidden, encodings, looked)
            return found, after, weights
        x, table = self._embedded(previous, table)
        x = x if table is None else F.embedding(x, table)
        fed = encodings.encoding.new_zeros(x.shape[1], self.combine.weight.shape[0]) if feed is None else feed  # type: ignore[union-attr]
        beside = [encodings.encoding] if self.config.conditioning in ("concat", "both") else []
        state, steps, looks = encodings.start, [], []
        for step in x:
            hidden, state = self.decoder(torch.cat([step, fed, *beside], dim=-1)[None], state)
            found, weights = self._attended(hidden, encodings, looked)
            assert weights is not None
            fed, looked = found[0], weights[0] if looked is None else looked + weights[0]
            steps.append(fed)
            looks.append(weights)
        if not steps:
            return x.new_zeros(0, x.shape[1], fed.shape[1]), state, x.new_zeros(0, *encodings.keys.shape[:2])
        return torch.stack(steps), state, torch.cat(looks)

    def loss(self, written: Tensor | Written, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """Nats per token `[T, B]`: −log p(target), while training against smoothed targets and with what coverage adds.

        Args: written: what `forward` gave. Else as `Generator.loss`.
        """
        smoothing = self.config.label_smoothing if self.training else 0.0
        how = {"precision": self.config.precision, "label_smoothing": smoothing}
        of_softmax = written.hidden if isinstance(written, Written) else written
        hidden, scores = self._scored(of_softmax)
        losses = linear_cross_entropy(hidden, targets, weights=weights, **scores, **how)
        if not isinstance(written, Written):
            return losses
        if self.copy is not None:
            is_there = written.sources.t() == targets[..., None]  # [T, B, S]
            copied = (written.weights * is_there).sum(-1)
            gate = self.copy(of_softmax, self.config.precision)[..., 0]
            losses = -torch.logaddexp(F.logsigmoid(gate) - losses, F.logsigmoid(-gate) + copied.clamp(min=_LEAST).log())
        if self.coverage is not None and self.training:
            looked = written.weights.cumsum(0) - written.weights
            losses = losses + self.config.coverage * torch.minimum(written.weights, looked).sum(-1)
        return losses if weights is None else losses.masked_fill(weights == 0, 0.0)

    def log_prob(self, written: Tensor | Written) -> Tensor:
        """Log-probabilities `[T, B, V]` of the next token. Materialises all of them; `loss` does not."""
        of_softmax = written.hidden if isinstance(written, Written) else written
        hidden, scores = self._scored(of_softmax)
        log_probs = linear(hidden, **scores, precision=self.config.precision).log_softmax(-1)
        if self.copy is None:
            return log_probs
        assert isinstance(written, Written)
        ids = written.sources.t().expand(len(written.weights), -1, -1)
        copied = torch.zeros_like(log_probs).scatter_add(-1, ids, written.weights)
        gate = self.copy(of_softmax, self.config.precision)
        return torch.logaddexp(F.logsigmoid(gate) + log_probs, F.logsigmoid(-gate) + copied.clamp(min=_LEAST).log())

    # ---- parts -------------------------------------------------------------------------------------------------------

    def _layers(self, inputs: int, width: int, num_layers: int, *, bidirectional: bool = False) -> Recurrent:
        config = self.config
        options: Options = {**config.layer_options, "input_dropout": 0.0, "output_dropout": 0.0}  # this model's own
        return Recurrent(
            config.cell,
            inputs,
            width,
            num_layers,
            bias=config.bias,
            dropout=config.dropout if num_layers > 1 else 0.0,
            bidirectional=bidirectional,
            precision=config.precision,
            **options,
        )

    def _start(self, ends: list[dict[str, Tensor]]) -> State:
        """The decoder's first state, of what each of the encoder's layers ended with."""
        if not self.config.takes_state:
            return self.decoder.initial_state(len(ends[0]["h"]))
        count, above = self.config.num_layers, len(ends) - self.config.num_layers
        taken = [ends[max(0, layer + above)] for layer in range(count)]
        if self.bridge is None:
            return State(taken)
        return State(
            [
                {name: torch.tanh(own[name](part, self.config.precision)) for name, part in parts.items()}  # type: ignore[index]
                for own, parts in zip(self.bridge, taken, strict=True)
            ]
        )

    def _attended(self, hidden: Tensor, encodings: Encodings, looked: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """tanh(C [c; h]) of the decoder's outputs [T, B, H], and the weights; `looked` as of `decode`."""
        if self.combine is None:
            return hidden, None
        precision = self.config.precision
        queries = hidden if self.query is None else self.query(hidden, precision)
        if self.coverage is None:
            context, weights = attention(queries, encodings.keys, encodings.values, encodings.lengths, score=self.score)
        else:
            context, weights = self._covering(queries, encodings, looked)
        return torch.tanh(self.combine(torch.cat([context, hidden], dim=-1), precision)), weights

    def _covering(self, queries: Tensor, encodings: Encodings, looked: Tensor | None) -> tuple[Tensor, Tensor]:
        """Attention step by step, whose keys hold how much each place has been looked at."""
        keys, values, lengths = encodings.keys, encodings.values, encodings.lengths
        before = torch.zeros_like(keys[..., 0]) if looked is None else looked
        of_place: Tensor = self.coverage  # type: ignore[assignment]
        found = []
        for query in queries:
            covered = keys + before[..., None] * of_place
            found.append(attention(query[None], covered, values, lengths, score=self.score))
            before = before + found[-1][1][0]
        if not found:
            return attention(queries, keys, values, lengths, score=self.score)
        context, weights = map(torch.cat, zip(*found, strict=True))
        return context, weights

    def _embedded(self, ids: Tensor, table: Tensor) -> tuple[Tensor, Tensor | None]:
        """ids and their table; or, while training with dropout, what is left of the embeddings."""
        if not self.training:
            return ids, table
        table = embedding_dropout(table, self.config.embedding_dropout)
        if not (self.config.input_dropout or self.config.word_dropout):
            return ids, table
        x = F.embedding(ids, table)
        if self.config.word_dropout:
            x = x * (torch.rand(ids.shape, device=ids.device) >= self.config.word_dropout)[..., None]
        return self._dropped(x, self.config.input_dropout), None

    def _dropped(self, x: Tensor, share: float) -> Tensor:
        if not self.training or not share:
            return x
        return locked_dropout(x, share) if self.config.locked_dropout else dropout(x, share)

    def _partly_predicted(self, previous: Tensor, encodings: Encodings, lengths: Any) -> Tensor:
        """Some of the ids [T, B] replaced by what is predicted there from the others.

        In two passes, so that both run over all steps at once. Source: Mihaylova and Martins 2019, arXiv:1906.07651.
        """
        with torch.no_grad():
            hidden, _, _ = self.decode(previous, encodings, lengths=lengths)
            hidden, scores = self._scored(hidden[:-1])  # of a model that copies what it would write of itself
            predicted = linear(hidden, **scores, precision=self.config.precision).argmax(-1)
        is_taken = torch.rand(predicted.shape, device=predicted.device) < self.config.scheduled_sampling
        return torch.cat([previous[:1], torch.where(is_taken, predicted, previous[1:])])

    def _scored(self, hidden: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        if self.projection is not None:
            hidden = self.projection(hidden, self.config.precision)
        weight: Any = self.embedding.weight if self.config.tied else self.head.weight  # type: ignore[union-attr]
        bias: Any = self.head.bias
        return hidden, {"weight": weight, "bias": bias}


class _Linear(nn.Module):
    """y = W x, + b: `weight` [O, I] uniform in ±1/√I, `bias` [O] zeros or None."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs).uniform_(-(inputs**-0.5), inputs**-0.5))
        self.register_parameter("bias", nn.Parameter(torch.zeros(outputs)) if bias else None)

    def forward(self, x: Tensor, precision: str) -> Tensor:
        return linear(x, self.weight, self.bias, precision=precision)  # type: ignore[arg-type]


def _by_layer(state: State, num_directions: int) -> list[list[Any]]:
    """The parts of a state's layers, of every layer a list over its directions."""
    return [list(state.layers[at : at + num_directions]) for at in range(0, len(state.layers), num_directions)]
