"""Attention against torch in float64, the bits it promises, and what a wrong call is told."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rnnkit.errors import ArgumentError, DtypeError, ShapeError
from rnnkit.kernels import heads

# T, B, S, K, W: one of everything, then odd ones, beyond a vector, one row and many places, many rows
SIZES = [
    (1, 1, 1, 1, 1),
    (3, 4, 5, 6, 7),
    (7, 3, 17, 33, 16),
    (2, 2, 70, 16, 65),
    (13, 1, 9, 20, 40),
    (5, 40, 33, 48, 31),
]
TOLERANCE = {"context": 1e-6, "weights": 1e-6, "queries": 2e-6, "keys": 2e-6, "values": 2e-6, "score": 5e-6}
each_size = pytest.mark.parametrize("size", SIZES, ids=str)
each_kind = pytest.mark.parametrize("with_score", [False, True], ids=["dot", "additive"])


def problem(size, *, with_score, seed=0):
    """Queries, keys, values, lengths (the first row's whole, one of 0 where there are three), score."""
    T, B, S, K, W = size
    rng = np.random.default_rng([seed, *size])
    arrays = [rng.standard_normal(shape).astype(np.float32) for shape in ((T, B, K), (B, S, K), (B, S, W))]
    arrays[0] *= 1.0 if with_score else 1.5 / np.sqrt(K)
    lengths = rng.integers(1, S + 1, B)
    lengths[0] = S
    if B > 2:
        lengths[2] = 0
    return [*arrays, lengths, rng.standard_normal(K).astype(np.float32) if with_score else None]


def reference(queries, keys, values, lengths, score, *upstream):
    """Context, weights and the gradients of what `upstream` weighs them with, by name, in float64."""
    given = {"queries": queries, "keys": keys, "values": values, "score": score}
    tensors = {n: torch.from_numpy(a.astype(np.float64)).requires_grad_() for n, a in given.items() if a is not None}
    q, k, v = (tensors[name] for name in ("queries", "keys", "values"))
    if score is None:
        scores = torch.einsum("tbk,bsk->tbs", q, k)
    else:
        scores = (torch.tanh(q[:, :, None] + k[None]) * tensors["score"]).sum(-1)
    behind = torch.arange(k.shape[1]) >= torch.from_numpy(lengths)[:, None]
    weights = torch.where(behind, 0.0, torch.exp(scores - scores.amax(-1, keepdim=True)))
    weights = weights / weights.sum(-1, keepdim=True).clamp(min=1e-30)
    context = torch.einsum("tbs,bsw->tbw", weights, v)
    of_context, of_weights = (torch.from_numpy(array.astype(np.float64)) for array in upstream)
    total = (context * of_context).sum() + (weights * of_weights).sum()
    gradients = torch.autograd.grad(total, [*tensors.values()])
    found = {"context": context.detach(), "weights": weights.detach(), **dict(zip(tensors, gradients, strict=True))}
    return {name: tensor.numpy() for name, tensor in found.items()}


def upstream(size, seed=1):
    T, B, S, _, W = size
    rng = np.random.default_rng([seed, *size])
    return rng.standard_normal((T, B, W)).astype(np.float32), rng.standard_normal((T, B, S)).astype(np.float32)


def assert_close(name, want, got):
    assert got.shape == want.shape and got.dtype == np.float32, f"{name}: {got.shape} {got.dtype}, want {want.shape}"
    error = np.linalg.norm(got - want) / max(float(np.linalg.norm(want)), 1e-30)
    assert error <= TOLERANCE[name], f"{name}: relative error {error:.2e}, tolerance {TOLERANCE[name]:.0e}"


def all_of(given, *of_results, **options):
    """Context, weights and gradients of a call, by name."""
    attended = heads.attention(*given)
    got = heads.attention_backward(*given, attended.weights, *of_results, **options)
    return {**attended._asdict(), **{name: g for name, g in got._asdict().items() if g is not None}}


@each_kind
@each_size
def test_it_agrees_with_float64_and_so_does_every_gradient(size, with_score):
    given, given_back = problem(size, with_score=with_score), upstream(size)
    want, got = reference(*given, *given_back), all_of(given, *given_back)
    assert want.keys() == got.keys()
    for name in want:
        assert_close(name, want[name], got[name])


@each_kind
def test_without_a_gradient_of_the_weights_they_have_none(with_score):
    given, (d_context, d_weights) = problem(SIZES[2], with_score=with_score), upstream(SIZES[2])
    want, got = reference(*given, d_context, 0 * d_weights), all_of(given, d_context)
    for name in want:
        assert_close(name, want[name], got[name])


@each_kind
@each_size
def test_parts_that_are_asked_for_are_those_of_the_whole(size, with_score):
    given, given_back = problem(size, with_score=with_score), upstream(size)
    whole = all_of(given, *given_back)
    queries = all_of(given, *given_back, need_keys=False)
    memory = all_of(given, *given_back, need_queries=False)
    assert "keys" not in queries and "values" not in queries and "queries" not in memory
    for part in (queries, memory):
        for name in part:
            np.testing.assert_array_equal(whole[name], part[name], err_msg=name)


@each_kind
@each_size
def test_what_lies_behind_a_length_is_not_read_not_even_nan(size, with_score):
    given, given_back = problem(size, with_score=with_score), upstream(size)
    want = all_of(given, *given_back)
    lengths = given[3]
    for array in given[1:3]:
        array[np.arange(size[2]) >= lengths[:, None]] = np.nan
    got = all_of(given, *given_back)
    for name in want:
        np.testing.assert_array_equal(want[name], got[name], err_msg=name)
    behind = np.arange(size[2]) >= lengths[:, None]
    assert not got["keys"][behind].any() and not got["values"][behind].any()
    assert not got["weights"][:, behind].any()
    assert not got["context"][:, lengths == 0].any()


@each_kind
@each_size
def test_a_row_is_the_same_alone_and_beside_a_nan_and_with_more_places(size, with_score):
    given, given_back = problem(size, with_score=with_score), upstream(size)
    want = all_of(given, *given_back)
    queries, keys, values, lengths, score = given
    B, S = len(keys), keys.shape[1]
    for row in {0, B // 2, B - 1}:
        padded = [np.pad(array[[row]], [(0, 0), (0, 3), (0, 0)]) for array in (keys, values)]
        alone = [queries[:, [row]], *padded, lengths[[row]], score]
        of_results = given_back[0][:, [row]], np.pad(given_back[1][:, [row]], [(0, 0), (0, 0), (0, 3)])
        got = all_of(alone, *of_results)
        for name, array in (
            ("context", got["context"]),
            ("weights", got["weights"][..., :S]),
            ("queries", got["queries"]),
        ):
            np.testing.assert_array_equal(want[name][:, [row]], array, err_msg=name)
        for name in ("keys", "values"):
            np.testing.assert_array_equal(want[name][[row]], got[name][:, :S], err_msg=name)
    dirty = queries.copy()
    dirty[:, 0] = np.nan
    got = heads.attention(dirty, keys, values, lengths, score)
    assert np.isnan(got.context[:, 0]).all()
    np.testing.assert_array_equal(want["context"][:, 1:], got.context[:, 1:])


@each_kind
def test_all_steps_at_once_are_each_step_by_itself(with_score):
    given = problem(SIZES[2], with_score=with_score)
    whole = heads.attention(*given)
    for t in range(SIZES[2][0]):
        step = heads.attention(given[0][[t]], *given[1:])
        np.testing.assert_array_equal(whole.context[[t]], step.context)
        np.testing.assert_array_equal(whole.weights[[t]], step.weights)


@each_kind
@each_size
def test_the_number_of_threads_changes_no_bit(size, with_score, threads):
    given, given_back = problem(size, with_score=with_score), upstream(size)
    results = []
    for count in (1, 2, 5):
        threads(count)
        results.append(all_of(given, *given_back))
    for other in results[1:]:
        for name in results[0]:
            np.testing.assert_array_equal(results[0][name], other[name], err_msg=name)


def test_keys_that_are_the_values_and_strided_arrays_give_the_same_and_nothing_given_is_changed():
    queries, _, values, lengths, _ = problem((3, 4, 5, 7, 7), with_score=False)
    before = queries.copy(), values.copy()
    want = heads.attention(queries, values.copy(), values, lengths)
    apart = np.repeat(values, 2, axis=1)[:, ::2]
    for got in (heads.attention(queries, values, values, lengths), heads.attention(queries, apart, apart, lengths)):
        np.testing.assert_array_equal(want.context, got.context)
    heads.attention_backward(queries, values, values, lengths, None, want.weights, want.context)
    for was, now in zip(before, (queries, values), strict=True):
        np.testing.assert_array_equal(was, now)


def test_scores_of_hundreds_give_one_place_all_of_it():
    queries, keys = np.full((1, 1, 4), 100.0, np.float32), np.zeros((1, 3, 4), np.float32)
    keys[0, 1] = 5.0
    got = heads.attention(queries, keys, keys, np.array([3]))
    np.testing.assert_array_equal(got.weights, [[[0.0, 1.0, 0.0]]])


@pytest.mark.parametrize("shape", [(0, 2, 3), (2, 0, 3), (2, 2, 0)], ids=["no steps", "no rows", "no places"])
@each_kind
def test_nothing_gives_nothing_and_zero_gradients(shape, with_score):
    T, B, S = shape
    queries, memory = np.ones((T, B, 5), np.float32), np.ones((B, S, 5), np.float32)
    given = [queries, memory, memory, np.full(B, S), np.ones(5, np.float32) if with_score else None]
    got = all_of(given, np.ones((T, B, 5), np.float32))
    assert got["context"].shape == (T, B, 5) and got["weights"].shape == (T, B, S)
    for name in ("keys", "values", *(["score"] if with_score else [])):
        assert not got[name].any(), name


Q, M, LENGTHS = np.zeros((2, 3, 4), np.float32), np.zeros((3, 5, 4), np.float32), [5, 0, 2]
LYING = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (2**30, 2**28, 4), [0] * 3)
BAD_CALLS = {
    "queries of two axes": ((Q[0], M, M, LENGTHS), ShapeError, "queries has shape"),
    "keys of other rows": ((Q, M[:2], M, LENGTHS), ShapeError, "keys' first axis is 2, wanted 3"),
    "keys of another width": ((Q, M[..., :3], M, LENGTHS), ShapeError, "keys' last axis is 3, wanted 4"),
    "values of other rows": ((Q, M, M[:2], LENGTHS), ShapeError, "values' first axis is 2, wanted 3"),
    "values of other places": ((Q, M, M[:, :4], LENGTHS), ShapeError, "values' second axis is 4, wanted 5"),
    "too few lengths": ((Q, M, M, [5, 0]), ShapeError, "the length of lengths is 2, wanted 3"),
    "a length past the end": ((Q, M, M, [5, 6, 0]), ArgumentError, "lengths is 6 in row 1, wanted 0 to 5"),
    "a negative length": ((Q, M, M, [5, 1, -1]), ArgumentError, "lengths is -1 in row 2"),
    "lengths that are no integers": ((Q, M, M, [5.0, 1.0, 0.0]), DtypeError, "lengths"),
    "a score of another width": ((Q, M, M, LENGTHS, Q[0, 0, :3]), ShapeError, "the length of score is 3, wanted 4"),
    "queries in float64": ((Q.astype(float), M, M, LENGTHS), DtypeError, "queries has dtype float64"),
    "values as a list": ((Q, M, [[[0.0]]], LENGTHS), DtypeError, "values is a list"),
    "keys larger than memory": ((Q, LYING, M, LENGTHS), ShapeError, "more than memory can hold"),
}


@pytest.mark.parametrize("case", BAD_CALLS)
def test_a_bad_call_is_named(case):
    arguments, error, message = BAD_CALLS[case]
    arguments = [np.array(argument) if index == 3 else argument for index, argument in enumerate(arguments)]
    with pytest.raises(error, match=message):
        heads.attention(*arguments)


WEIGHTS, D_CONTEXT = np.zeros((2, 3, 5), np.float32), np.zeros((2, 3, 4), np.float32)
BAD_BACKWARD = {
    "weights of other places": ((WEIGHTS[..., :4], D_CONTEXT), ShapeError, "weights's axis 2 is 4, wanted 5"),
    "d_context of other steps": ((WEIGHTS, D_CONTEXT[:1]), ShapeError, "d_context's axis 0 is 1, wanted 2"),
    "d_weights of other rows": ((WEIGHTS, D_CONTEXT, WEIGHTS[:, :2]), ShapeError, "d_weights's axis 1 is 2, wanted 3"),
    "d_context missing": ((WEIGHTS, None), DtypeError, "d_context is a NoneType"),
}


@pytest.mark.parametrize("case", BAD_BACKWARD)
def test_a_bad_call_for_gradients_is_named(case):
    arguments, error, message = BAD_BACKWARD[case]
    with pytest.raises(error, match=message):
        heads.attention_backward(Q, M, M, np.array(LENGTHS), None, *arguments)
