"""An encoder-decoder as one writes it with torch.nn alone, and how many target tokens a second it and ours train.

The same shape, the same batches, the same dtype: float32, or products of bfloat16 with float32 weights (torch's
autocast). What differs is who computes: nn.LSTM over packed sources and over whole targets (with input feeding step by
step), attention by bmm, and cross_entropy with smoothed labels.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnnkit import data
from rnnkit.models.encoder_decoder import EncoderDecoder
from rnnkit.models.encoder_decoder_config import EncoderDecoderConfig

BATCHES = 6


class PlainTorch(nn.Module):
    """As an `EncoderDecoder` of a bidirectional layer, general attention, a layer that decodes and one tied table."""

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__()
        E, H, encoder_size = config.embedding_size, config.hidden_size, config.encoder_size
        assert isinstance(H, int) and encoder_size is not None
        self.feeds, self.smoothing = config.input_feeding, config.label_smoothing
        self.embedding = nn.Embedding(config.vocab_size, E)
        self.encoder = nn.LSTM(E, encoder_size, bidirectional=True)
        self.decoder = nn.LSTM(E + H * self.feeds, H)
        self.bridge = nn.ModuleList(nn.Linear(2 * encoder_size, H) for _ in range(2))
        self.key = nn.Linear(2 * encoder_size, H, bias=False)
        self.combine = nn.Linear(2 * encoder_size + H, H, bias=False)
        self.projection = nn.Linear(H, E, bias=False)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def loss(self, inputs: tuple[Tensor, Tensor, Tensor], targets: Tensor, weights: Tensor) -> Tensor:
        sources, lengths, previous = inputs
        packed = pack_padded_sequence(self.embedding(sources), lengths, enforce_sorted=False)
        outputs, ended = self.encoder(packed)
        values = pad_packed_sequence(outputs)[0].transpose(0, 1)
        joined = [torch.cat([*part], dim=-1) for part in ended]
        state = tuple(torch.tanh(own(part))[None] for own, part in zip(self.bridge, joined, strict=True))
        keys = self.key(values)
        behind = torch.arange(values.shape[1]) >= lengths[:, None]
        x = self.embedding(previous)
        if not self.feeds:
            hidden, _ = self.decoder(x, state)
            found = self._attended(hidden, keys, values, behind)
        else:
            fed, steps = x.new_zeros(x.shape[1], self.combine.out_features), []
            for step in x:
                hidden, state = self.decoder(torch.cat([step, fed], dim=-1)[None], state)
                fed = self._attended(hidden, keys, values, behind)[0]
                steps.append(fed)
            found = torch.stack(steps)
        logits = F.linear(self.projection(found), self.embedding.weight, self.bias).flatten(0, 1)
        losses = F.cross_entropy(logits, targets.flatten(), reduction="none", label_smoothing=self.smoothing)
        return (losses * weights.flatten()).sum() / weights.sum()

    def _attended(self, hidden: Tensor, keys: Tensor, values: Tensor, behind: Tensor) -> Tensor:
        scores = torch.bmm(hidden.transpose(0, 1), keys.transpose(1, 2)).masked_fill(behind[:, None], -torch.inf)
        context = torch.bmm(scores.softmax(-1), values).transpose(0, 1)
        return torch.tanh(self.combine(torch.cat([context, hidden], dim=-1)))


def tokens_per_s(batches: Sequence[data.PairBatch], *, rounds: int = 3, **shape: Any) -> tuple[float, float]:
    """(ours, torch's) target tokens a second through forward, backward and clipping, in turns: the medians.

    Args: shape: of an `EncoderDecoderConfig`.
    """
    config = EncoderDecoderConfig(attention="general", tied=True, shared_embedding=True, **shape)
    autocast = torch.autocast("cpu", dtype=torch.bfloat16, enabled=config.precision == "bf16")
    ours, theirs = EncoderDecoder(config).train(), PlainTorch(config).train()

    def our_loss(inputs: Any, targets: Tensor, weights: Tensor, lengths: Tensor) -> Tensor:
        hidden, _ = ours(inputs, lengths=lengths)
        return (ours.loss(hidden, targets, weights) * weights).sum() / weights.sum()

    def their_loss(inputs: Any, targets: Tensor, weights: Tensor, _: Tensor) -> Tensor:
        with autocast:
            return theirs.loss(inputs, targets, weights)

    systems: list[tuple[nn.Module, Callable[..., Tensor]]] = [(ours, our_loss), (theirs, their_loss)]
    speeds: list[list[float]] = [[], []]
    for number in range(rounds + 1):  # the first one warms up
        for batch in batches[:BATCHES]:
            inputs = tuple(map(torch.from_numpy, batch.inputs))
            given = map(torch.from_numpy, (batch.targets, batch.weights, batch.lengths))
            targets, weights, lengths = given
            for (model, loss), found in zip(systems, speeds, strict=True):
                model.zero_grad(set_to_none=True)
                started = time.perf_counter()
                loss(inputs, targets, weights, lengths).backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                if number:
                    found.append(float(weights.sum()) / (time.perf_counter() - started))
    of_ours, of_theirs = map(statistics.median, speeds)
    return of_ours, of_theirs
