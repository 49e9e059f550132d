"""Operators: what may be differentiated how often, and that nothing stale or overwritten is ever used."""

import pytest
import torch
from torch.nn import functional as F

from rnnkit import nn
from rnnkit.errors import ArgumentError
from rnnkit.nn import operators


def lstm(**options):
    torch.manual_seed(0)
    return nn.LSTM(4, 6, **options), torch.randn(5, 3, 4)


def test_a_second_backward_is_refused_with_the_remedy():
    layer, x = lstm()
    loss = layer(x)[0].sum()
    loss.backward(retain_graph=True)
    with pytest.raises(nn.DifferentiationError, match="backend='spec'"):
        loss.backward()


def test_a_second_backward_through_one_of_two_outputs_is_refused():
    layer, x = lstm()
    y, (h, _) = layer(x)
    y.sum().backward(retain_graph=True)
    with pytest.raises(nn.DifferentiationError, match="add the losses"):
        h.sum().backward()


def test_gradients_of_gradients_are_refused_with_the_remedy():
    layer, x = lstm()
    for y in (layer(x)[0], nn.linear(x, layer.weight_ih_l0)):
        with pytest.raises(nn.DifferentiationError, match=r"create_graph=True.*backend='spec'"):
            torch.autograd.grad(y.sum(), layer.weight_ih_l0, create_graph=True)


def test_the_remedy_works():
    layer, x = lstm(backend="spec")
    (gradient,) = torch.autograd.grad(layer(x)[0].sum(), layer.weight_ih_l0, create_graph=True)
    gradient.square().sum().backward(retain_graph=True)
    gradient.square().sum().backward()


def test_changes_in_place_before_backward_are_noticed():
    layer, x = lstm()
    y, _ = layer(x)
    with torch.no_grad():
        layer.weight_hh_l0 += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
    y, _ = layer(x)
    y.detach().mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.parametrize(
    "change",
    [
        lambda w: w.data.mul_(0.5),
        lambda w: w.data.fill_(0.1),
        lambda w: w.data[6:12].fill_(1.0),
        lambda w: setattr(w, "data", w.data * 0.5),
        lambda w: torch.no_grad()(w.mul_)(0.5),
        lambda w: torch.no_grad()(w.view(-1)[3:4].mul_)(5.0),
    ],
    ids=["data.mul_", "data.fill_", "data[rows].fill_", "data =", "mul_", "one element"],
)
@pytest.mark.parametrize("name", ["weight_hh_l0", "bias_ih_l0"])
def test_changed_weights_are_packed_again(name, change):
    layer, x = lstm()
    with torch.no_grad():
        before = layer(x)[0]
        change(getattr(layer, name))
        fresh = nn.LSTM(4, 6)
        fresh.load_state_dict(layer.state_dict())
        assert torch.equal(layer(x)[0], fresh(x)[0])
        assert not torch.equal(layer(x)[0], before)


def test_unchanged_weights_are_packed_once():
    packed, (layer, _) = operators.PackedWeights(), lstm()
    weights = layer._weights("_l0")
    first = packed.get("lstm", weights)
    assert packed.get("lstm", weights) is first
    packed.clear()
    assert packed.get("lstm", weights) is not first


def test_no_tape_is_kept_without_gradients(monkeypatch):
    layer, x = lstm()
    kept = []
    original = operators.recurrent.Layer.forward

    def forward(self, *args, keep_tape=False, **options):
        kept.append(keep_tape)
        return original(self, *args, keep_tape=keep_tape, **options)

    monkeypatch.setattr(operators.recurrent.Layer, "forward", forward)
    with torch.no_grad():
        assert not layer(x)[0].requires_grad
    layer.requires_grad_(False)
    layer(x)
    layer(x.requires_grad_())
    assert kept == [False, False, True]


def test_frozen_parameters_get_no_gradient_and_the_rest_the_same():
    layer, x = lstm()
    layer(x)[0].sum().backward()
    want = layer.weight_hh_l0.grad.clone()
    layer.zero_grad()
    layer.weight_ih_l0.requires_grad_(False)
    layer(x)[0].sum().backward()
    assert layer.weight_ih_l0.grad is None
    assert torch.equal(layer.weight_hh_l0.grad, want)


def test_linear_agrees_with_torch():
    x, weight, bias = torch.randn(4, 3, 7), torch.randn(5, 7, requires_grad=True), torch.randn(5, requires_grad=True)
    x.requires_grad_()
    upstream = torch.randn(3, 4, 5).transpose(0, 1)
    results, exact = [], [t.detach().double().requires_grad_() for t in (x, weight, bias)]
    for function, tensors in ((F.linear, exact), (nn.linear, [x, weight, bias])):
        y = function(*tensors)
        results.append([y, *torch.autograd.grad((y * upstream).sum(), tensors)])
    for want, got in zip(*results, strict=True):
        torch.testing.assert_close(got.double(), want, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(nn.linear(x, weight), F.linear(x, weight), rtol=1e-5, atol=1e-5)
    assert nn.linear(x.double(), weight.double()).dtype == torch.float64


def cross_entropy_case(*, rows=9, size=6, vocabulary=11):
    torch.manual_seed(1)
    tensors = torch.randn(rows, size), torch.randn(vocabulary, size), torch.randn(vocabulary)
    return [t.requires_grad_() for t in tensors], torch.randint(vocabulary, (rows,))


@pytest.mark.parametrize("upstream", ["weights", "scaled", "random", "ones"])
@pytest.mark.parametrize("with_weights", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cross_entropy_agrees_with_torch_for_any_upstream_gradient(upstream, with_weights, dtype):
    tensors, targets = cross_entropy_case()
    weights = torch.tensor([1, 0, 0.5, 2, 1, 0, 1, 1, 3]).to(dtype) if with_weights else None
    base = torch.ones(9, dtype=dtype) if weights is None else weights
    g = {
        "weights": base,
        "scaled": base / 7,
        "random": torch.randn(9, dtype=dtype),
        "ones": torch.ones(9, dtype=dtype),
    }[upstream]
    ours = [t.detach().to(dtype).requires_grad_() for t in tensors]
    h, weight, bias = ours
    losses = nn.linear_cross_entropy(h, targets, weight=weight, bias=bias, weights=weights)
    got = [losses, *torch.autograd.grad((losses * g).sum(), ours)]
    exact = [t.detach().double().requires_grad_() for t in tensors]
    want_losses = F.cross_entropy(F.linear(*exact), targets, reduction="none") * (base != 0)
    want = [want_losses, *torch.autograd.grad((want_losses * g.double()).sum(), exact)]
    for w, t in zip(want, got, strict=True):
        torch.testing.assert_close(t.double(), w, rtol=1e-5, atol=1e-6)


def test_cross_entropy_may_run_backward_twice_and_frees_its_gradients():
    tensors, targets = cross_entropy_case()
    h, weight, bias = tensors
    losses = nn.linear_cross_entropy(h, targets, weight=weight, bias=bias)
    first = torch.autograd.grad(losses.sum(), tensors, retain_graph=True)
    again = torch.autograd.grad(losses.sum(), tensors)
    for a, b in zip(first, again, strict=True):
        torch.testing.assert_close(a, b)


def test_rows_of_weight_zero_count_nothing_even_when_they_are_nan():
    (h, weight, bias), targets = cross_entropy_case()
    weights = torch.tensor([1.0, 0, 1, 1, 1, 0, 1, 1, 1])
    results = []
    for filling in (0.0, float("nan")):
        rows = h.detach().masked_fill((weights == 0)[:, None], filling).requires_grad_()
        kept = targets.masked_fill(weights == 0, -100 if filling else 0)
        losses = nn.linear_cross_entropy(rows, kept, weight=weight, bias=bias, weights=weights)
        results.append([losses, *torch.autograd.grad((losses * weights).sum(), [rows, weight, bias])])
    assert all(map(torch.equal, *results))
    assert not results[0][0][weights == 0].any()


def test_an_all_padding_batch_has_loss_and_gradients_zero():
    (h, weight, bias), targets = cross_entropy_case()
    zeros = torch.zeros(9)
    losses = nn.linear_cross_entropy(h, targets, weight=weight, bias=bias, weights=zeros)
    gradients = torch.autograd.grad((losses * zeros).sum(), [h, weight, bias])
    assert not losses.any() and not any(g.any() for g in gradients)


def test_targets_and_weights_that_do_not_fit_are_named():
    (h, weight, bias), targets = cross_entropy_case()
    with pytest.raises(ArgumentError, match=r"targets have shape \[8\]"):
        nn.linear_cross_entropy(h, targets[:8], weight=weight, bias=bias)
    with pytest.raises(ArgumentError, match=r"weights have shape \[8\]"):
        nn.linear_cross_entropy(h, targets, weight=weight, bias=bias, weights=torch.ones(8))
    with pytest.raises(ArgumentError, match="11"):
        nn.linear_cross_entropy(h, targets.clone().fill_(11), weight=weight, bias=bias)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("upstream", ["weights", "others"])
def test_smoothed_targets_are_torchs(dtype, upstream):
    torch.manual_seed(0)
    h, weight, bias = (torch.randn(*shape, dtype=dtype).requires_grad_() for shape in ((9, 4), (11, 4), (11,)))
    targets, weights = torch.arange(9), torch.rand(9, dtype=dtype)
    want = F.cross_entropy(F.linear(h, weight, bias), targets, reduction="none", label_smoothing=0.3)
    got = nn.linear_cross_entropy(h, targets, weight=weight, bias=bias, weights=weights, label_smoothing=0.3)
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)
    scale = weights if upstream == "weights" else torch.rand(9, dtype=dtype)
    ours, theirs = (torch.autograd.grad((losses * scale).sum(), (h, weight, bias)) for losses in (got, want))
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("with_score", [False, True])
def test_attention_is_the_same_natively_and_by_torch_and_so_are_its_gradients(with_score):
    torch.manual_seed(0)
    shapes = {"queries": (4, 3, 5), "keys": (3, 6, 5), "values": (3, 6, 7)} | ({"score": (5,)} if with_score else {})
    given = {name: torch.randn(*shape).requires_grad_() for name, shape in shapes.items()}
    exact = {name: tensor.detach().double().requires_grad_() for name, tensor in given.items()}
    lengths, results = torch.tensor([6, 0, 3]), []
    for tensors in (given, exact):
        context, weights = nn.attention(**tensors, lengths=lengths)
        loss = (context * torch.arange(7)).sum() + (weights * torch.arange(6)).sum()
        results.append([context, weights, *torch.autograd.grad(loss, [*tensors.values()])])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-5, atol=1e-5)


def test_attention_whose_weights_alone_matter_has_gradients():
    queries, keys = torch.randn(2, 3, 4, requires_grad=True), torch.randn(3, 5, 4, requires_grad=True)
    _, weights = nn.attention(queries, keys, keys.detach(), torch.tensor([5, 4, 3]))
    (weights[..., 0]).sum().backward()
    assert queries.grad.abs().sum() > 0 and keys.grad.abs().sum() > 0
