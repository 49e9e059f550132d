"""Convolution against torch in float64, the bits it promises, and what a wrong call is told."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from rnnkit import kernels
from rnnkit.errors import ArgumentError, DtypeError, ShapeError
from rnnkit.kernels import heads

# N, height, width, C, O, K, stride, padding: one of everything, then odd ones, beyond a tile, images in several groups
SIZES = [
    (1, 1, 1, 1, 1, 1, 1, 0),
    (2, 5, 4, 3, 2, 3, 1, 1),
    (3, 9, 7, 2, 17, 3, 2, 1),
    (2, 8, 11, 5, 33, 5, 3, 2),
    (4, 3, 2, 1, 6, 5, 2, 4),
    (5, 6, 6, 3, 4, 2, 2, 0),
    (1, 7, 9, 65, 20, 1, 2, 0),
    (45, 32, 32, 16, 24, 3, 1, 1),  # 4 MiB of patches are 7 images
    (3, 130, 130, 8, 5, 3, 1, 0),  # one image is more
]
TOLERANCE = {"fp32": (1e-6, 2e-6, 5e-6), "bf16": (1e-2, 1.5e-2, 2e-2)}
if kernels.isa() == "amx":
    TOLERANCE["fp32_split"] = TOLERANCE["fp32"]
each_precision = pytest.mark.parametrize("precision", TOLERANCE)
each_size = pytest.mark.parametrize("size", SIZES, ids=str)


def problem(size, seed=0):
    N, height, width, C, O, K, stride, padding = size
    rng = np.random.default_rng([seed, *size])
    x = rng.standard_normal((N, height, width, C)).astype(np.float32)
    weight = (rng.standard_normal((O, K, K, C)) / (K * np.sqrt(C))).astype(np.float32)
    return x, weight, rng.standard_normal(O).astype(np.float32), {"stride": stride, "padding": padding}


def reference(x, weight, bias, window):
    """The result, and what gives gradients for an upstream one, in float64."""
    tensors = [torch.from_numpy(array.astype(np.float64)).requires_grad_() for array in (x, weight, bias)]
    channels_first = [tensor.permute(0, 3, 1, 2) for tensor in tensors[:2]]
    y = F.conv2d(*channels_first, tensors[2], window["stride"], window["padding"]).permute(0, 2, 3, 1)
    return y.detach().numpy(), lambda d_y: [g.numpy() for g in torch.autograd.grad(y, tensors, torch.from_numpy(d_y))]


def assert_close(name, want, got, tolerance):
    assert got.shape == want.shape and got.dtype == np.float32, f"{name}: {got.shape} {got.dtype}, want {want.shape}"
    error = np.linalg.norm(got - want) / max(float(np.linalg.norm(want)), 1e-30)
    assert error <= tolerance, f"{name}: relative error {error:.2e}, tolerance {tolerance:.0e}"


@each_precision
@each_size
def test_it_agrees_with_float64_and_so_does_every_gradient(size, precision):
    x, weight, bias, window = problem(size)
    want, gradients = reference(x, weight, bias, window)
    assert_close("y", want, heads.convolution(x, weight, bias, **window, precision=precision), TOLERANCE[precision][0])
    d_y = np.random.default_rng(1).standard_normal(want.shape)
    got = heads.convolution_backward(x, weight, d_y.astype(np.float32), **window, precision=precision)
    for name, of_float64, ours, place in zip(got._fields, gradients(d_y), got, (1, 2, 2), strict=True):
        assert_close(f"d{name}", of_float64, ours, TOLERANCE[precision][place])


@each_size
def test_without_bias_and_without_dx_the_rest_is_the_same(size):
    x, weight, bias, window = problem(size)
    y = heads.convolution(x, weight, **window)
    np.testing.assert_allclose(y + bias, heads.convolution(x, weight, bias, **window), rtol=1e-5, atol=1e-5)
    whole = heads.convolution_backward(x, weight, y, **window)
    part = heads.convolution_backward(x, weight, y, **window, need_dx=False, with_bias=False)
    assert part.x is None and part.bias is None
    np.testing.assert_array_equal(part.weight, whole.weight)


@pytest.mark.parametrize("precision", [*TOLERANCE, "int8"])
@each_size
def test_an_images_result_does_not_depend_on_the_others_even_where_they_are_nan(size, precision):
    x, weight, bias, window = problem(size)
    conv = heads.PackedConvolution(weight, bias, **window, precision=precision)
    whole = conv(x)
    for n in {0, len(x) // 2, len(x) - 1}:
        np.testing.assert_array_equal(whole[n], conv(x[n : n + 1])[0])
    dirty = x.copy()
    dirty[0] = np.nan
    np.testing.assert_array_equal(whole[1:], conv(dirty)[1:])


@each_precision
@each_size
def test_the_number_of_threads_changes_no_bit(size, precision, threads):
    x, weight, bias, window = problem(size)
    results = []
    for count in (1, 2, 5):
        threads(count)
        y = heads.convolution(x, weight, bias, **window, precision=precision)
        results.append([y, *heads.convolution_backward(x, weight, y, **window, precision=precision)])
    for other in results[1:]:
        for want, got in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(want, got)


def test_a_dx_is_that_of_its_image_alone():
    x, weight, bias, window = problem(SIZES[7])
    y = heads.convolution(x, weight, bias, **window)
    whole = heads.convolution_backward(x, weight, y, **window).x
    assert whole is not None
    for n in (0, 13, 44):
        alone = heads.convolution_backward(x[n : n + 1], weight, y[n : n + 1], **window).x
        np.testing.assert_array_equal(whole[n], alone[0])


def test_strided_and_expanded_arrays_give_the_same_and_nothing_given_is_changed():
    x, weight, bias, window = problem(SIZES[2])
    want = heads.convolution(x, weight, bias, **window)
    before = x.copy(), weight.copy()
    apart = np.repeat(x, 2, axis=2)[:, :, ::2]
    turned = np.ascontiguousarray(weight.transpose(3, 2, 1, 0)).transpose(3, 2, 1, 0)
    np.testing.assert_array_equal(heads.convolution(apart, turned, bias, **window), want)
    expanded = heads.convolution(np.broadcast_to(x[:1], (4, *x.shape[1:])), weight, bias, **window)
    np.testing.assert_array_equal(expanded, np.repeat(want[:1], 4, axis=0))
    heads.convolution_backward(x, weight, want, **window)
    for was, now in zip(before, (x, weight), strict=True):
        np.testing.assert_array_equal(was, now)


def test_no_images_give_no_result_and_zero_gradients():
    x, weight, bias, window = problem(SIZES[2])
    y = heads.convolution(x[:0], weight, bias, **window)
    assert y.shape == (0, 5, 4, 17)
    got = heads.convolution_backward(x[:0], weight, y, **window)
    assert got.x is not None and got.x.shape == (0, 9, 7, 2)
    assert not got.weight.any() and got.bias is not None and not got.bias.any()


X, W, B = np.zeros((2, 5, 4, 3), np.float32), np.zeros((6, 3, 3, 3), np.float32), np.zeros(6, np.float32)
DY = np.zeros((2, 3, 2, 6), np.float32)
LYING = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (2**30, 2**20, 2**9, 3), [0] * 4)
BAD_CALLS = {
    "x of three axes": ((X[0], W), {}, ShapeError, "x has shape"),
    "x of other channels": ((X[..., :2], W), {}, ShapeError, "the weight's window times its channels is 27, wanted 18"),
    "x in float64": ((X.astype(float), W), {}, DtypeError, "x has dtype float64"),
    "x as bytes": ((X.astype(np.uint8), W), {}, DtypeError, "x has dtype uint8"),
    "x a list": (([[[[0.0]]]], W), {}, DtypeError, "x is a list"),
    "x larger than memory": ((LYING, W), {}, ShapeError, "more than memory can hold"),
    "weight of three axes": ((X, W[0]), {}, ShapeError, "weight has shape"),
    "a window that is no square": ((X, W[:, :2]), {}, ShapeError, "square windows"),
    "weight without outputs": ((X, W[:0]), {}, ShapeError, "weight has shape"),
    "weight in float16": ((X, W.astype(np.float16)), {}, DtypeError, "weight has dtype float16"),
    "bias of another length": ((X, W, B[:4]), {}, ShapeError, "the length of bias is 4, wanted 6"),
    "stride 0": ((X, W), {"stride": 0}, ArgumentError, "stride is 0"),
    "stride of an overflow": ((X, W), {"stride": 2**40}, ArgumentError, "stride is 1099511627776"),
    "negative padding": ((X, W), {"padding": -1}, ArgumentError, "padding is -1"),
    "padding of a whole window": ((X, W), {"padding": 3}, ArgumentError, "padding is 3"),
    "a window beyond the image": ((X[:, :2], W), {}, ShapeError, "images of 2 x 4"),
    "images of no height": ((X[:, :0], W), {"padding": 2}, ShapeError, "images of 0 x 4"),
    "unknown precision": ((X, W), {"precision": "fp8"}, ArgumentError, "precision is 'fp8'"),
}


@pytest.mark.parametrize("case", BAD_CALLS)
def test_a_bad_call_is_named(case):
    arguments, options, error, message = BAD_CALLS[case]
    with pytest.raises(error, match=message):
        heads.convolution(*arguments, **options)


BAD_BACKWARD = {
    "d_y of other images": ((X, W, DY[:1]), {}, ShapeError, "d_y's axis 0 is 1, wanted 2"),
    "d_y of other rows": ((X, W, DY[:, :2]), {}, ShapeError, "d_y's axis 1 is 2, wanted 3"),
    "d_y of other outputs": ((X, W, DY[..., :5]), {}, ShapeError, "d_y's axis 3 is 5, wanted 6"),
    "d_y missing": ((X, W, None), {}, DtypeError, "d_y is a NoneType"),
    "a window that is no square": ((X, W[:, :, :2], DY), {}, ShapeError, "weight's third axis is 2, wanted 3"),
    "other channels": ((X, W[..., :2], DY), {}, ShapeError, "weight's last axis is 2, wanted 3"),
    "no gradients in int8": ((X, W, DY), {"precision": "int8"}, ArgumentError, "int8 has no gradients"),
}


@pytest.mark.parametrize("case", BAD_BACKWARD)
def test_a_bad_call_for_gradients_is_named(case):
    arguments, options, error, message = BAD_BACKWARD[case]
    with pytest.raises(error, match=message):
        heads.convolution_backward(*arguments, **options)
