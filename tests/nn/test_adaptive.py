"""AdaptiveSoftmax: torch's parameters and probabilities, without all scores at once."""

import pytest
import torch

from rnnkit import nn
from rnnkit.errors import ArgumentError, ConfigError


def pair():
    torch.manual_seed(0)
    theirs = torch.nn.AdaptiveLogSoftmaxWithLoss(16, 50, [10, 30])
    torch.manual_seed(0)
    ours = nn.AdaptiveSoftmax(16, 50, [10, 30])
    return theirs, ours


def test_the_state_dict_is_torchs():
    theirs, ours = pair()
    assert list(theirs.state_dict()) == list(ours.state_dict())
    assert all(torch.equal(theirs.state_dict()[n], p) for n, p in ours.state_dict().items())


def test_losses_probabilities_and_gradients_agree_with_torch():
    theirs, ours = pair()
    targets = torch.randint(50, (40,))
    results = []
    for module in (theirs, ours):
        h = torch.linspace(-1, 1, 40 * 16).view(40, 16).sin().requires_grad_()
        losses = -module(h, targets).output if module is theirs else module(h, targets)
        gradients = torch.autograd.grad(losses.sum(), [h, *module.parameters()])
        results.append([losses, module.log_prob(h), *gradients])
    for want, got in zip(*results, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


def test_it_sums_to_one_and_takes_any_leading_shape():
    _, ours = pair()
    h = torch.randn(3, 4, 16)
    log_prob = ours.log_prob(h)
    torch.testing.assert_close(log_prob.logsumexp(-1), torch.zeros(3, 4), rtol=0, atol=1e-5)
    targets = torch.randint(50, (3, 4))
    torch.testing.assert_close(ours(h, targets), -log_prob.gather(-1, targets[..., None])[..., 0], rtol=1e-5, atol=1e-5)


def test_rows_of_weight_zero_are_not_read():
    _, ours = pair()
    h, targets = torch.randn(6, 16), torch.tensor([0, 49, 12, -100, 3, 35])
    weights = torch.tensor([1.0, 1, 0, 0, 1, 1])
    h[2:4] = float("nan")
    losses = ours(h, targets, weights=weights)
    (losses * weights).sum().backward()
    assert not losses[2:4].any() and losses[[0, 1, 4, 5]].all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in ours.parameters())


def test_targets_outside_the_vocabulary_are_named():
    with pytest.raises(ArgumentError, match="target 50"):
        pair()[1](torch.randn(2, 16), torch.tensor([1, 50]))


@pytest.mark.parametrize("cutoffs", [[], [30, 10], [10, 10], [0, 10], [10, 50]])
def test_cutoffs_that_do_not_fit_are_named(cutoffs):
    with pytest.raises(ConfigError, match="cutoffs"):
        nn.AdaptiveSoftmax(16, 50, cutoffs)


def test_more_clusters_than_dimensions_are_refused():
    with pytest.raises(ConfigError, match="div_value"):
        nn.AdaptiveSoftmax(16, 50, [10, 20, 30])
    nn.AdaptiveSoftmax(16, 50, [10, 20, 30], div_value=2.0)
