"""Cloze: a bidirectional language model, which scores every token of a text by all the others around it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from rnnkit.models.generator import Generator, GeneratorConfig
from rnnkit.nn import Recurrent, linear
from rnnkit.state import State


class Cloze(Generator):
    """Embedding (or one-hot), layers that read what is before a token and others that read what is after it, softmax.

        hidden, state = model(ids, state)               # tokens on both sides [T, B, 2] -> [T, B, H]
        losses = model.loss(hidden, targets, weights)   # nats per token [T, B]

    f_t = layers over w_0 … w_{t-1};  g_t = other layers over w_{T+1} … w_{t+1};  h_t = tanh(M [f_t, g_t] + d);
    p(w_t) = softmax(U h_t + c)

    w_0 and w_{T+1} are the begin token. No layer reads an output of the other direction: the second layer of a network
    that reads both ways would hand each token back to itself, and the loss would fall to nothing. So f_t and g_t meet
    in h_t alone, and what is scored at t does not depend on w_t in any bit. Without the tanh both sides could but
    multiply what they think of each token; docs/decisions/0040 has what that costs.

    Parameters: as of `Generator`; the layers that read from the end are `reverse.*`, of the same shapes as
    `recurrent.*`; `merge.weight` [H, 2H], `merge.bias` [H]. Both directions read one embedding.

    Source: Peters et al. 2018, "Deep contextualized word representations", section 3.1, for directions kept apart, but
        with a softmax for each of them; Mousa and Schuller 2017, "Contextual bidirectional long short-term memory
        recurrent neural network language models", for one that reads both.
    """

    kind = "bidirectional_language_model"
    reverse: Recurrent

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__(config)
        self.merge = nn.Linear(2 * config.output_size, config.output_size)

    def _add_layers(self, input_size: int, *, bidirectional: bool = False) -> None:
        super()._add_layers(input_size, bidirectional=bidirectional)
        before = self.recurrent
        super()._add_layers(input_size, bidirectional=bidirectional)
        self.recurrent, self.reverse = before, self.recurrent

    def forward(self, ids: Tensor, state: State | None = None, *, lengths: Any = None) -> tuple[Tensor, State]:
        """Read the tokens before and after each place.

        Args: ids: of both `[T, B, 2]`, as `rnnkit.data.Streams(both_sides=True)` gives them. state: of what is before
            the first place, from `initial_state` or an earlier call; None: the former. What is after a row's last
            place, but for the one token in `ids`, is not known: the other direction starts there. lengths: `[B]`.
        Returns: hidden `[T, B, H]` (E wide when tied and E ≠ H), which behind a row's end says nothing, and the State
            of what is before the next place.
        """
        T, B = ids.shape[:2]
        steps = torch.full((B,), T) if lengths is None else torch.as_tensor(lengths)
        ids, table = self._dropped_out(ids)
        before, new_state = self.recurrent(ids[..., 0], state, lengths=steps, embedding=table)
        turned = (steps - 1 - torch.arange(T)[:, None]) % max(T, 1)  # behind a row's end in any order
        after, _ = self.reverse(ids[..., 1].gather(0, turned), lengths=steps, embedding=table)
        both = torch.cat([before, after.gather(0, turned[..., None].expand_as(after))], dim=-1)
        precision = self.config.precision
        hidden = torch.tanh(linear(both, self.merge.weight, self.merge.bias, precision=precision))
        if self.projection is not None:
            hidden = linear(hidden, self.projection.weight, precision=precision)
        return hidden, new_state
