"""Convolution as an operation of torch: the kernel's bits, torch's own where the core has none, gradients, refusals."""

import pytest
import torch

from rnnkit import nn
from rnnkit.kernels import heads
from rnnkit.nn import library


def operands(dtype=torch.float32):
    torch.manual_seed(0)
    return [torch.randn(*shape, dtype=dtype) for shape in ((3, 7, 6, 2), (5, 3, 3, 2), (5,))]


WINDOWS = [{}, {"stride": 2, "padding": 1}]


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_it_has_the_bits_of_the_kernel_and_so_has_every_gradient(window, precision):
    tensors = [tensor.requires_grad_() for tensor in operands()]
    y = nn.convolution(*tensors, **window, precision=precision)
    arrays = [tensor.detach().numpy() for tensor in tensors]
    assert torch.equal(y, torch.from_numpy(heads.convolution(*arrays, **window, precision=precision)))
    d_y = torch.randn_like(y)
    got = torch.autograd.grad(y, tensors, d_y)
    want = heads.convolution_backward(*arrays[:2], d_y.numpy(), **window, precision=precision)
    for ours, of_kernel in zip(got, want, strict=True):
        assert torch.equal(ours, torch.from_numpy(of_kernel))


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_float64_is_the_same_equation_and_passes_gradcheck(window):
    tensors = [tensor.requires_grad_() for tensor in operands(torch.float64)]
    want = nn.convolution(*(tensor.float() for tensor in tensors), **window)
    got = nn.convolution(*tensors, **window)
    assert got.dtype == torch.float64
    assert (got - want.double()).norm() < 1e-6 * got.norm()
    assert torch.autograd.gradcheck(lambda *t: nn.convolution(*t, **window), tensors)


def test_a_gradient_of_a_gradient_is_refused():
    x, weight, bias = operands()
    y = nn.convolution(x, weight.requires_grad_(), bias)
    with pytest.raises(nn.DifferentiationError, match=r"create_graph=True"):
        torch.autograd.grad(y.sum(), weight, create_graph=True)


def test_without_bias_or_a_gradient_of_x_the_others_are_the_same():
    x, weight, bias = operands()
    weight.requires_grad_()
    (alone,) = torch.autograd.grad(nn.convolution(x, weight).square().sum() / 2, weight)
    y = nn.convolution(x.requires_grad_(), weight, bias.zero_().requires_grad_())
    _, beside, _ = torch.autograd.grad(y.square().sum() / 2, [x, weight, bias])
    assert torch.equal(alone, beside)


def test_the_operator_keeps_torchs_rules_and_compiles_to_the_same_bits():
    x, weight, bias = (tensor.requires_grad_() for tensor in operands())
    torch.library.opcheck(library.convolution, (x, weight, bias, 2, 1, "fp32"))
    torch.library.opcheck(library.convolution, (x.detach(), weight, None, 1, 0, "fp32"))

    def run(x, weight, bias):
        return torch.relu(nn.convolution(x, weight, bias, stride=2, padding=1))

    torch._dynamo.reset()
    want = run(x, weight, bias)
    got = torch.compile(run, fullgraph=True, backend="aot_eager")(x, weight, bias)
    assert torch.equal(want, got)
    d_y = torch.randn_like(want)
    for ours, theirs in zip(
        torch.autograd.grad(want, [x, weight, bias], d_y), torch.autograd.grad(got, [x, weight, bias], d_y), strict=True
    ):
        assert torch.equal(ours, theirs)
