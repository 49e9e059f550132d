"""Truncated BPTT: learn from a window of a longer stream, and hand the state on; full BPTT through whole sequences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from rnnkit.errors import ArgumentError
from rnnkit.state import State


class Batch(Protocol):
    """One window of B streams, as `rnnkit.data.Streams` yields it (NumPy arrays)."""

    @property
    def inputs(self) -> Any: ...  # [T, B]
    @property
    def targets(self) -> Any: ...  # [T, B]
    @property
    def lengths(self) -> Any: ...  # [B] valid steps of each row
    @property
    def weights(self) -> Any: ...  # [T, B] which steps count in the loss
    @property
    def reset(self) -> Any: ...  # [B] bool: rows that begin a document


@dataclass(frozen=True)
class Unrolled:
    """A window's forward pass, ready for `backward`.

    Attributes:
        losses:  [T, B] loss of every step in nats; steps that do not count are 0.
        weights: [T, B] how much each step counts.
        hidden:  [T, B, H] the model's outputs, for penalties on activations.
        lengths: [B] valid steps of each row.
        carry:   the detached state `stride` steps in, with which the next window begins; None of whole sequences.
    """

    losses: Tensor
    weights: Tensor
    hidden: Tensor
    lengths: Tensor
    carry: State | None

    @property
    def mean_loss(self) -> Tensor:
        """Mean loss per counted step in nats; 0, with zero gradient, when no step counts."""
        return (self.losses * self.weights).sum() / max(float(self.weights.sum()), 1.0)


class TruncatedBPTT:
    """Gradient through `window` steps, an update every `stride` steps.

    The state enters each window detached, so the gradient stops there; the rows that `batch.reset` names start from
    the initial state. With a stride below the window, windows overlap: the model runs `stride` steps, whose state is
    carried on, then the rest; the weights say which steps count (each step once, in the window where it has the most
    history). A window at least as long as the sequence is full BPTT.

    Args:
        window: steps that the gradient flows back through.
        stride: steps between updates, 1..window; None: `window`.

    Cost:   window/stride forward and backward passes over the text per epoch.
    Source: Williams & Peng 1990, "An efficient gradient-based algorithm for on-line training of recurrent network
            trajectories": BPTT(h; h').
    """

    def __init__(self, *, window: int, stride: int | None = None) -> None:
        stride = window if stride is None else stride
        if not 1 <= stride <= window:
            raise ArgumentError(f"stride is {stride}, it must be between 1 and the window, {window}")
        self.window = window
        self.stride = stride

    def __call__(self, model: Any, batch: Batch, carry: State | None, *, weights: Any = None) -> Unrolled:
        """Run `model` over `batch` from `carry`.

        Args:
            model:   has `initial_state(batch)`, `loss(hidden, targets, weights)`, and is called as
                `model(inputs, state, lengths=)`.
            carry:   what the window before returned; None starts every row afresh.
            weights: [T, B] which steps count, in place of `batch.weights`.
        Raises: ArgumentError for a batch longer than the window.
        """
        inputs = torch.as_tensor(batch.inputs)
        targets = torch.as_tensor(batch.targets)
        lengths = torch.as_tensor(batch.lengths)
        counted = torch.as_tensor(batch.weights if weights is None else weights, dtype=torch.float32)
        steps, rows = inputs.shape[:2]
        if steps > self.window:
            raise ArgumentError(f"a batch of {steps} steps is longer than the window, {self.window}; cut it first")
        state = model.initial_state(rows) if carry is None else begin(model, batch, carry)

        cut = min(self.stride, steps)
        hidden, state = model(inputs[:cut], state, lengths=lengths.clamp(max=cut))
        after = state.detach()
        if cut < steps:
            rest, _ = model(inputs[cut:], state, lengths=(lengths - cut).clamp(min=0))
            hidden = torch.cat([hidden, rest])
        losses = model.loss(hidden, targets, counted)
        return Unrolled(losses=losses, weights=counted, hidden=hidden, lengths=lengths, carry=after)


class FullBPTT:
    """Gradient through all steps of sequences, or of pairs of them, that begin and end in their batch.

    Cost: a forward and a backward pass over the sequences per epoch.
    """

    window = stride = 1  # in sequences: what a row sees, and what it advances by, in an update

    def __call__(self, model: Any, batch: Batch, carry: State | None) -> Unrolled:
        """Run `model`, as of `TruncatedBPTT`, over `batch`, whose inputs may be several; there is nothing to carry."""
        lengths, weights = torch.as_tensor(batch.lengths), torch.as_tensor(batch.weights)
        is_one = not isinstance(batch.inputs, tuple)
        inputs = torch.as_tensor(batch.inputs) if is_one else tuple(map(torch.as_tensor, batch.inputs))
        hidden, _ = model(inputs, None, lengths=lengths)
        losses = model.loss(hidden, torch.as_tensor(batch.targets), weights)
        return Unrolled(losses=losses, weights=weights, hidden=hidden, lengths=lengths, carry=None)


def begin(model: Any, batch: Batch, carry: State) -> State:
    """The state at the start of `batch`: the carry, with the rows that begin a document back at the initial state."""
    rows = torch.as_tensor(batch.reset).nonzero().flatten().tolist()
    return carry.reset(rows, to=model.initial_state(1)) if rows else carry
