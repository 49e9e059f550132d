"""AdaptiveSoftmax: a softmax over a large vocabulary that spends its time on the frequent words."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rnnkit.errors import ArgumentError, ConfigError
from rnnkit.kernels.recurrent import resolve_precision
from rnnkit.nn.operators import linear, linear_cross_entropy


class AdaptiveSoftmax(nn.Module):
    """Words in clusters by falling frequency: p(w) = p(cluster | h) · p(w | cluster, h), small matrices for rare words.

    Same parameters and probabilities as torch.nn.AdaptiveLogSoftmaxWithLoss (`head.weight`, `tail.{i}.0.weight`,
    `tail.{i}.1.weight`), computed in chunks: the scores of all rows are never held at once.

    Args:
        input_size: I. vocab_size: V; ids must be sorted by falling frequency.
        cutoffs: rising ids in 1..V-1 where clusters end; the first cluster is scored together with the cluster choice.
        div_value: cluster i has I // div_value^i dimensions. precision: of the products, see `Recurrent`.
    Call: `softmax(h, targets, *, weights=None)`: losses in nats, as `rnnkit.nn.linear_cross_entropy`.
    Raises: ConfigError for cutoffs that do not fit.
    Source: Grave et al. 2017, arXiv:1609.04309.
    """

    def __init__(
        self,
        input_size: int,
        vocab_size: int,
        cutoffs: Sequence[int],
        *,
        div_value: float = 4.0,
        precision: str = "fp32",
    ) -> None:
        super().__init__()
        self.precision = resolve_precision(precision)
        bounds = [int(cut) for cut in cutoffs]
        if not bounds or bounds != sorted(set(bounds)) or bounds[0] < 1 or bounds[-1] >= vocab_size:
            raise ConfigError(
                f"cutoffs={list(cutoffs)} must rise strictly within 1..{vocab_size - 1}, at least one of them"
            )
        if input_size // div_value ** len(bounds) < 1:
            raise ConfigError(
                f"{len(bounds)} clusters divide {input_size} dimensions by {div_value} until none are left; "
                "use fewer cutoffs or a smaller div_value"
            )
        self.input_size, self.vocab_size, self.div_value = input_size, vocab_size, div_value
        self.cutoffs = [*bounds, vocab_size]
        self.head = nn.Linear(input_size, bounds[0] + len(bounds), bias=False)
        self.tail = nn.ModuleList()
        for index, (low, high) in enumerate(zip(self.cutoffs, self.cutoffs[1:], strict=False), start=1):
            width = int(input_size // div_value**index)
            pair = nn.Linear(input_size, width, bias=False), nn.Linear(width, high - low, bias=False)
            self.tail.append(nn.Sequential(*pair))

    def _clusters(self) -> list[tuple[int, int, Tensor, Tensor]]:
        """(first id, id after the last, projection, weight) of every cluster but the first."""
        bounds = zip(self.cutoffs, self.cutoffs[1:], self.tail, strict=False)
        return [(low, high, pair[0].weight, pair[1].weight) for low, high, pair in bounds]  # type: ignore[index]

    def forward(self, h: Tensor, targets: Tensor, *, weights: Tensor | None = None) -> Tensor:
        rows, flat = h.reshape(-1, h.shape[-1]), targets.reshape(-1)
        row_weights = None if weights is None else weights.reshape(-1)
        counts = torch.ones_like(flat, dtype=torch.bool) if row_weights is None else row_weights != 0
        if bool(((flat < 0) | (flat >= self.vocab_size))[counts].any()):
            wrong = flat[counts & ((flat < 0) | (flat >= self.vocab_size))][0].item()
            raise ArgumentError(f"target {wrong} is outside the vocabulary 0..{self.vocab_size - 1}")
        choice, clusters = flat, []
        for index, (low, high, projection, weight) in enumerate(self._clusters()):
            inside = (flat >= low) & (flat < high)
            choice = choice.masked_fill(inside, self.cutoffs[0] + index)
            clusters.append(((inside & counts).nonzero().squeeze(1), low, projection, weight))
        choice = choice.masked_fill(~counts, 0)
        losses = linear_cross_entropy(
            rows, choice, weight=self.head.weight, weights=row_weights, precision=self.precision
        )
        for members, low, projection, weight in clusters:
            if len(members):
                narrow = linear(rows[members], projection, precision=self.precision)
                chosen = None if row_weights is None else row_weights[members]
                inner = linear_cross_entropy(
                    narrow, flat[members] - low, weight=weight, weights=chosen, precision=self.precision
                )
                losses = losses.index_add(0, members, inner)
        return losses.view(targets.shape)

    def log_prob(self, h: Tensor) -> Tensor:
        """Log-probabilities of all words: `[..., I]` in, `[..., V]` out. Materialises all of them."""
        head = linear(h, self.head.weight, precision=self.precision).log_softmax(-1)
        parts = [head[..., : self.cutoffs[0]]]
        for index, (_, _, projection, weight) in enumerate(self._clusters()):
            narrow = linear(h, projection, precision=self.precision)
            inner = linear(narrow, weight, precision=self.precision).log_softmax(-1)
            parts.append(inner + head[..., self.cutoffs[0] + index, None])
        return torch.cat(parts, dim=-1)
