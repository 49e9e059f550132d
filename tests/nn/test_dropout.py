"""Dropout for sequences: what is dropped, for how long, and that the expected value stays."""

import pytest
import torch

from rnnkit import nn


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
