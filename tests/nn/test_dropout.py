"""Dropout for sequences: what is dropped, for how long, and that the expected value stays."""

import pytest
import torch

from rnnkit import nn
from rnnkit.nn.dropout import dropout


def test_a_locked_mask_is_the_same_at_every_step_and_differs_between_rows():
    y = nn.locked_dropout(torch.ones(50, 8, 64), 0.25)
    assert torch.equal(y[0].expand_as(y), y)
    assert not torch.equal(y[:, 0], y[:, 1])
    assert y.unique().tolist() == [0.0, pytest.approx(4 / 3)]
    assert (y[0] == 0).float().mean() == pytest.approx(0.25, abs=0.1)


def test_embedding_dropout_drops_whole_rows():
    y = nn.embedding_dropout(torch.ones(400, 3), 0.25)
    assert torch.equal(y[:, :1].expand_as(y), y)
    assert (y[:, 0] == 0).float().mean() == pytest.approx(0.25, abs=0.1)
    assert y.mean() == pytest.approx(1, abs=0.1)


def test_word_dropout_replaces_single_occurrences():
    ids = torch.full((40, 10), 3)
    got = nn.word_dropout(ids, 0.25, replacement=7)
    assert set(got.unique().tolist()) == {3, 7}
    assert (got == 7).float().mean() == pytest.approx(0.25, abs=0.1)
    assert (ids == 3).all()


def test_probability_zero_returns_the_very_tensor():
    x, ids = torch.ones(2, 3, 4), torch.ones(2, 3, dtype=torch.long)
    assert nn.locked_dropout(x, 0) is x
    assert nn.embedding_dropout(x[0], 0) is not None
    assert nn.word_dropout(ids, 0, replacement=0) is ids


@pytest.mark.parametrize("p", [2**-16, 0.25, 0.5, 0.999, 1 - 2**-20])
def test_dropout_keeps_the_mean_and_its_gradient_is_the_mask(p):
    torch.manual_seed(0)
    x = torch.ones(200, 40, 30, dtype=torch.float64, requires_grad=True)
    y = dropout(x, p)
    kept = (y != 0).double().mean().item()
    assert abs(kept - (1 - p)) < 4 * (p * (1 - p) / x.numel()) ** 0.5 + 2**-16
    assert y.unique().numel() <= 2 and y.mean().item() == pytest.approx(
        1, abs=5 * (1 / (x.numel() * (1 - min(p, 1 - 2**-16)))) ** 0.5
    )
    y.sum().backward()
    assert torch.equal(x.grad, y)
