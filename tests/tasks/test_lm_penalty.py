"""Activation regularisation: what is added to the loss of a window, over the steps that its rows really have."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rnnkit.tasks.lm import LanguageModelTask


def test_the_penalty_is_merity_s_over_valid_steps_only() -> None:
    rng = np.random.default_rng(0)
    hidden, lengths = rng.standard_normal((5, 3, 4)), np.array([5, 2, 0])
    valid = [(t, b) for b in range(3) for t in range(lengths[b])]
    squares = np.mean([hidden[t, b] ** 2 for t, b in valid])
    changes = np.mean([(hidden[t, b] - hidden[t - 1, b]) ** 2 for t, b in valid if t])
    got = LanguageModelTask.penalty(None, torch.from_numpy(hidden), torch.from_numpy(lengths), ar=2.0, tar=3.0)  # type: ignore[arg-type]
    assert got.item() == pytest.approx(2 * squares + 3 * changes)


def test_an_all_padding_window_has_no_penalty() -> None:
    hidden = torch.ones(3, 2, 4, requires_grad=True)
    got = LanguageModelTask.penalty(None, hidden, torch.zeros(2, dtype=torch.int64), ar=2.0, tar=3.0)  # type: ignore[arg-type]
    assert got.item() == 0
