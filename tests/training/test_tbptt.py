"""Truncated BPTT against gradients written by hand: where they stop, what is carried, which steps count."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from training.tiny_task import VOCAB, TinyModel, TinyWindow

from rnnkit.errors import ArgumentError
from rnnkit.state import State
from rnnkit.training.tbptt import TruncatedBPTT, begin

B = 3


@pytest.fixture
def model() -> TinyModel:
    torch.manual_seed(0)
    return TinyModel().double()


def window(rng: np.random.Generator, steps: int, *, weights: np.ndarray | None = None) -> TinyWindow:
    tokens = rng.integers(0, VOCAB, (steps + 1, B))
    weights = np.ones((steps, B), np.float32) if weights is None else weights
    return TinyWindow(tokens[:-1], tokens[1:], np.full(B, steps), weights, np.zeros(B, bool))


def state(rng: np.random.Generator, model: TinyModel) -> State:
    return State([{"h": torch.from_numpy(rng.standard_normal((B, model.hidden_size)))}])


def gradients(model: TinyModel, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def step_by_step(model: TinyModel, batch: TinyWindow, carry: State, *, steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean loss and the state after `steps` steps, in the plainest possible loop."""
    h, total = carry.layers[0]["h"], torch.zeros((), dtype=torch.float64)
    for t in range(steps):
        h = torch.tanh(model.embedding(torch.from_numpy(batch.inputs[t])) + model.recurrent(h))
        logits = model.head(h)
        losses = torch.nn.functional.cross_entropy(logits, torch.from_numpy(batch.targets[t]), reduction="none")
        total = total + (losses * torch.from_numpy(batch.weights[t])).sum()
    return total / batch.weights[:steps].sum(), h.detach()


@pytest.mark.parametrize("steps", [1, 7, 12])
def test_a_window_as_long_as_the_sequence_is_full_bptt(model: TinyModel, steps: int) -> None:
    rng = np.random.default_rng(steps)
    batch, carry = window(rng, steps), state(rng, model)
    want_loss, want_carry = step_by_step(model, batch, carry, steps=steps)
    want = gradients(model, want_loss)
    got = TruncatedBPTT(window=12)(model, batch, carry)
    torch.testing.assert_close(got.mean_loss, want_loss, rtol=1e-12, atol=0)
    torch.testing.assert_close(got.carry.layers[0]["h"], want_carry, rtol=1e-12, atol=0)
    for name, gradient in gradients(model, got.mean_loss).items():
        torch.testing.assert_close(gradient, want[name], rtol=1e-10, atol=1e-14, msg=name)


def test_a_stride_below_the_window_carries_the_state_at_stride_and_learns_through_the_whole_window(
    model: TinyModel,
) -> None:
    rng = np.random.default_rng(1)
    weights = np.zeros((8, B), np.float32)
    weights[-3:] = 1  # only the new steps count; the gradient still flows through all eight
    batch, carry = window(rng, 8, weights=weights), state(rng, model)
    want_loss, _ = step_by_step(model, batch, carry, steps=8)
    want = gradients(model, want_loss)
    _, want_carry = step_by_step(model, batch, carry, steps=3)
    got = TruncatedBPTT(window=8, stride=3)(model, batch, carry)
    torch.testing.assert_close(got.carry.layers[0]["h"], want_carry, rtol=1e-12, atol=0)
    assert not got.carry.layers[0]["h"].requires_grad
    for name, gradient in gradients(model, got.mean_loss).items():
        torch.testing.assert_close(gradient, want[name], rtol=1e-10, atol=1e-14, msg=name)


def test_the_gradient_stops_at_the_window_and_the_value_goes_on(model: TinyModel) -> None:
    rng = np.random.default_rng(2)
    tbptt = TruncatedBPTT(window=4)
    first, second = window(rng, 4), window(rng, 4)
    carry = tbptt(model, first, None).carry
    got = gradients(model, tbptt(model, second, carry).mean_loss)
    start = State([{"h": carry.layers[0]["h"].clone()}])  # a constant: nothing before it is part of the graph
    want = gradients(model, step_by_step(model, second, start, steps=4)[0])
    for name in want:
        torch.testing.assert_close(got[name], want[name], rtol=1e-10, atol=1e-14, msg=name)


def test_rows_that_begin_a_document_start_afresh_and_the_others_do_not(model: TinyModel) -> None:
    rng = np.random.default_rng(3)
    batch, carry = window(rng, 5), state(rng, model)
    batch.reset[1] = True
    started = begin(model, batch, carry).layers[0]["h"]
    assert torch.equal(started[1], torch.zeros(model.hidden_size))
    assert torch.equal(started[[0, 2]], carry.layers[0]["h"][[0, 2]])
    hidden = TruncatedBPTT(window=5)(model, batch, carry).hidden
    alone = TinyWindow(batch.inputs, batch.targets, batch.lengths, batch.weights, np.ones(B, bool))
    fresh = TruncatedBPTT(window=5)(model, alone, None).hidden
    assert torch.equal(hidden[:, 1], fresh[:, 1])
    assert not torch.equal(hidden[:, 0], fresh[:, 0])


def test_short_rows_stop_at_their_length_on_both_sides_of_the_stride(model: TinyModel) -> None:
    rng = np.random.default_rng(4)
    batch, carry = window(rng, 6), state(rng, model)
    batch.lengths[:] = [2, 5, 6]
    got = TruncatedBPTT(window=6, stride=4)(model, batch, carry)
    for row, (length, at) in enumerate([(2, 2), (5, 4), (6, 4)]):
        assert bool((got.hidden[length:, row] == 0).all())
        _, want = step_by_step(model, batch, carry, steps=at)
        torch.testing.assert_close(got.carry.layers[0]["h"][row], want[row], rtol=1e-12, atol=0)


def test_the_argument_weights_decides_which_steps_count(model: TinyModel) -> None:
    rng = np.random.default_rng(5)
    batch = window(rng, 6)
    last_only = np.zeros((6, B), np.float32)
    last_only[-1] = 1
    got = TruncatedBPTT(window=6)(model, batch, None, weights=last_only)
    everything = TruncatedBPTT(window=6)(model, batch, None)
    torch.testing.assert_close(got.mean_loss, everything.losses[-1].mean())


def test_a_window_in_which_no_step_counts_has_loss_and_gradient_zero(model: TinyModel) -> None:
    batch = window(np.random.default_rng(6), 4, weights=np.zeros((4, B), np.float32))
    unrolled = TruncatedBPTT(window=4)(model, batch, None)
    assert unrolled.mean_loss.item() == 0
    assert all(not gradient.any() for gradient in gradients(model, unrolled.mean_loss).values())


def test_wrong_sizes_are_refused_by_name(model: TinyModel) -> None:
    with pytest.raises(ArgumentError, match="stride is 5, it must be between 1 and the window, 4"):
        TruncatedBPTT(window=4, stride=5)
    with pytest.raises(ArgumentError, match="a batch of 6 steps is longer than the window, 4"):
        TruncatedBPTT(window=4)(model, window(np.random.default_rng(7), 6), None)
