"""Logits to token: random numbers against published vectors, sampling against NumPy, and what a wrong call is told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnkit.errors import ArgumentError, DtypeError, RnnkitError, ShapeError
from rnnkit.kernels import _core
from rnnkit.kernels.decode import philox_uniform, sample

# Random123 (Salmon et al. 2011), tests/kat_vectors, lines "philox4x32 10": counter, key, answer.
PHILOX_VECTORS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


def reference(logits, uniform, *, temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, repetition_penalty=1.0, previous=()):
    """One row, in the order that the docstring of `sample` gives, with a full sort and no shortcut."""
    scores = logits.astype(np.float64)
    for token in {int(i) for i in previous}:
        scores[token] = scores[token] * repetition_penalty if scores[token] < 0 else scores[token] / repetition_penalty
    ranking = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    if temperature == 0:
        return ranking[0]
    weights = np.exp((scores - scores.max()) / temperature)
    if top_k:
        ranking = ranking[:top_k]
    if top_p < 1:
        shares = np.cumsum(weights[ranking]) / weights[ranking].sum()
        ranking = ranking[: max(1, 1 + int(np.searchsorted(shares, top_p, side="left")))]
    ranking = [token for token in ranking if weights[token] >= min_p]
    kept = np.zeros(len(scores))
    kept[ranking] = weights[ranking]
    sums = np.cumsum(kept)
    return int(np.searchsorted(sums, uniform * sums[-1], side="right"))


def draw(row, *, stream=0, step=0, seed=0, **options):
    previous = options.pop("previous", None)
    return int(
        sample(
            np.asarray(row, np.float32)[None],
            seed=seed,
            streams=np.array([stream]),
            step=step,
            previous=None if previous is None else [np.asarray(previous, np.int64)],
            **options,
        )[0]
    )


@pytest.mark.parametrize(("counter", "key", "answer"), PHILOX_VECTORS)
def test_philox_gives_the_published_vectors(counter, key, answer):
    assert _core.philox4x32_10(words(counter), words(key)) == words(answer)


def test_philox_uniform_takes_its_bits_from_the_published_function():
    seed, stream, step = 0xA4093822299F31D0, 0x13198A2E03707344, 0x243F6A8885A308D3
    low, high = _core.philox4x32_10(
        [step & 0xFFFFFFFF, step >> 32, stream & 0xFFFFFFFF, stream >> 32], [seed & 0xFFFFFFFF, seed >> 32]
    )[:2]
    assert philox_uniform(seed, stream, step) == ((high << 32 | low) >> 11) / 2**53


def test_philox_uniform_is_uniform_and_its_three_names_are_independent():
    n = 20_000
    for name in range(3):
        keys = [[7, 8, 9] for _ in range(n)]
        for i, key in enumerate(keys):
            key[name] = i
        counts = np.bincount([int(64 * philox_uniform(*key)) for key in keys], minlength=64)
        chi_square = ((counts - n / 64) ** 2 / (n / 64)).sum()
        assert chi_square < 63 + 5 * np.sqrt(2 * 63), f"axis {name}: chi-square {chi_square:.1f} at 63 degrees"


OPTIONS = [
    {},
    {"temperature": 0.0},
    {"temperature": 0.7},
    {"temperature": 3.0},
    {"top_k": 1},
    {"top_k": 5},
    {"top_k": 10_000},
    {"top_p": 0.0},
    {"top_p": 0.3},
    {"top_p": 0.9},
    {"top_p": 0.999999},
    {"top_k": 20, "top_p": 0.8, "temperature": 1.3},
    {"min_p": 0.05},
    {"min_p": 1.0},
    {"min_p": 0.2, "top_k": 20, "top_p": 0.9, "temperature": 1.7},
    {"repetition_penalty": 1.3},
    {"repetition_penalty": 0.5, "top_k": 7, "top_p": 0.95, "temperature": 0.9},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("V", [1, 2, 65, 1000])
def test_sample_agrees_with_numpy(options, V):
    rng = np.random.default_rng(V)
    B = 40
    logits = (4 * rng.standard_normal((B, V))).astype(np.float32)
    previous = [rng.integers(0, V, size=rng.integers(0, 2 * V + 1)) for _ in range(B)]
    streams = rng.integers(0, 2**40, size=B)
    want = [
        reference(logits[b], philox_uniform(11, int(streams[b]), 5), previous=previous[b], **options) for b in range(B)
    ]
    before = logits.copy()
    got = sample(logits, seed=11, streams=streams, step=5, previous=previous, **options)
    assert got.dtype == np.int64
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(logits, before)


@pytest.mark.parametrize("options", [{}, {"top_k": 40}, {"top_p": 0.9}, {"top_k": 3000, "top_p": 0.99}], ids=str)
@pytest.mark.parametrize("scale", [0.0, 1.0, 5.0])
def test_sample_agrees_with_numpy_at_fifty_thousand_tokens(options, scale):
    rng = np.random.default_rng(3)
    logits = (scale * rng.standard_normal((3, 50_000))).astype(np.float32)
    want = [reference(logits[b], philox_uniform(1, b, 2), **options) for b in range(3)]
    np.testing.assert_array_equal(sample(logits, seed=1, streams=np.arange(3), step=2, **options), want)


def test_frequencies_are_the_softmax():
    n, V = 40_000, 12
    row = np.random.default_rng(5).standard_normal(V).astype(np.float32)
    for temperature in (0.5, 1.0, 2.0):
        share = np.exp(row.astype(np.float64) / temperature)
        share /= share.sum()
        ids = sample(np.tile(row, (n, 1)), seed=2, streams=np.zeros(n, int), step=np.arange(n), temperature=temperature)
        chi_square = ((np.bincount(ids, minlength=V) - n * share) ** 2 / (n * share)).sum()
        assert chi_square < 11 + 5 * np.sqrt(2 * 11), f"temperature {temperature}: {chi_square:.1f} at 11 degrees"


def test_ties_go_to_the_lowest_id():
    row = [1.0, 3.0, 3.0, 3.0, 2.0]
    assert draw(row, temperature=0) == 1
    assert {draw(row, top_k=1, step=i) for i in range(50)} == {1}
    assert {draw(row, top_k=2, step=i) for i in range(50)} == {1, 2}
    assert {draw(row, top_p=0.0, step=i) for i in range(50)} == {1}
    assert {draw([2.0] * 4, top_p=0.5, step=i) for i in range(50)} == {0, 1}


def test_top_p_takes_the_token_that_crosses_and_at_least_one():
    row = np.log([0.5, 0.3, 0.2])
    assert {draw(row, top_p=0.2, step=i) for i in range(100)} == {0}
    assert {draw(row, top_p=0.6, step=i) for i in range(100)} == {0, 1}
    assert {draw(row, top_p=0.85, step=i) for i in range(100)} == {0, 1, 2}
    assert {draw(row, top_p=1.0, step=i) for i in range(100)} == {0, 1, 2}


def test_top_p_that_cuts_nothing_changes_no_draw():
    row = np.random.default_rng(0).standard_normal(300)
    assert [draw(row, step=i) for i in range(50)] == [draw(row, top_p=1 - 1e-12, top_k=300, step=i) for i in range(50)]


def test_forbidden_tokens_are_never_drawn():
    row = np.full(9, -np.inf)
    row[[2, 7]] = 0.0
    assert {draw(row, step=i) for i in range(60)} == {2, 7}
    assert {draw(row, step=i, top_k=8) for i in range(60)} == {2, 7}
    assert {draw(row, step=i, temperature=1e-3) for i in range(60)} == {2, 7}


def test_the_penalty_counts_a_repeated_id_once_and_follows_the_sign():
    assert (
        draw([2.0, 1.6, 0.0], temperature=0, repetition_penalty=1.2, previous=[0, 0]) == 0
    )  # 2 / 1.2 > 1.6 > 2 / 1.44
    assert draw([-1.0, -1.1], temperature=0, repetition_penalty=1.2, previous=[0]) == 1


def test_extreme_temperatures_and_logits_stay_finite():
    assert draw([1e38, -1e38, 3e38], temperature=1e-300) == 2
    assert draw([0.0, 1e-30], temperature=1e-300) == 1
    assert {draw([3e38, -3e38], temperature=1e300, step=i) for i in range(40)} == {0, 1}


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**64 - 1),
    shape=st.tuples(st.integers(1, 6), st.integers(1, 40)),
    temperature=st.sampled_from([0.0, 0.3, 1.0, 2.5]),
    top_k=st.integers(0, 45),
    top_p=st.floats(0, 1),
    repetition_penalty=st.floats(0.1, 10),
    data=st.data(),
)
def test_bulk_equals_one_by_one(seed, shape, temperature, top_k, top_p, repetition_penalty, data):
    B, V = shape
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    logits = rng.standard_normal(shape).astype(np.float32)
    streams, steps = rng.integers(0, 2**63 - 1, size=B), rng.integers(0, 1000, size=B).astype(np.int32)
    previous = [rng.integers(0, V, size=rng.integers(0, 5)).astype(np.int32) for _ in range(B)]
    options = {
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "repetition_penalty": repetition_penalty,
        "seed": seed,
    }
    bulk = sample(logits, streams=streams, step=steps, previous=previous, **options)
    single = [
        sample(logits[b : b + 1], streams=streams[b : b + 1], step=int(steps[b]), previous=[previous[b]], **options)[0]
        for b in range(B)
    ]
    np.testing.assert_array_equal(bulk, single)
    assert ((bulk >= 0) & (bulk < V)).all()


def test_strided_rows_torch_tensors_and_no_rows_are_accepted():
    torch = pytest.importorskip("torch")
    wide = np.random.default_rng(1).standard_normal((6, 20)).astype(np.float32)
    view, streams = wide[::2, 3:15], np.arange(3)
    want = sample(np.ascontiguousarray(view), seed=1, streams=streams, step=0)
    np.testing.assert_array_equal(want, sample(view, seed=1, streams=streams, step=0))
    np.testing.assert_array_equal(
        want, sample(torch.tensor(view), seed=1, streams=torch.arange(3), step=torch.zeros(3).int())
    )
    assert sample(np.zeros((0, 5), np.float32), seed=1, streams=np.zeros(0, int), step=0).shape == (0,)


ROWS = np.zeros((2, 5), np.float32)


def row_with(value):
    rows = ROWS.copy()
    rows[1, 3] = value
    return rows


BAD_CALLS = [
    ({"logits": row_with(np.nan)}, ArgumentError, "token 3 in row 1 is nan"),
    ({"logits": row_with(np.inf)}, ArgumentError, r"token 3 in row 1 is \+inf"),
    ({"logits": np.array([[0.0] * 5, [-np.inf] * 5], np.float32)}, ArgumentError, "-inf in row 1"),
    ({"logits": ROWS.astype(np.float64)}, DtypeError, "logits has dtype float64"),
    ({"logits": ROWS.astype(np.int32)}, DtypeError, "logits has dtype int32"),
    ({"logits": ROWS[0]}, ShapeError, r"logits has shape \[5\]"),
    ({"logits": ROWS[None]}, ShapeError, r"logits has shape \[1, 2, 5\]"),
    ({"logits": ROWS[:, :0]}, ShapeError, "no columns"),
    ({"logits": [[0.0]]}, DtypeError, "logits is a list"),
    ({"logits": None}, DtypeError, "logits is a NoneType"),
    ({"logits": "text"}, DtypeError, "logits is a str"),
    ({"seed": -1}, ArgumentError, "seed is -1"),
    ({"seed": 2**64}, ArgumentError, "seed is 18446744073709551616"),
    ({"seed": 1.5}, DtypeError, "seed is 1.5"),
    ({"seed": None}, DtypeError, "seed is None"),
    ({"streams": np.arange(3)}, ShapeError, "the length of streams is 3, wanted 2"),
    ({"streams": np.zeros(2)}, DtypeError, "streams has dtype float64"),
    ({"streams": np.array([0, -4])}, ArgumentError, "streams is -4 in row 1"),
    ({"streams": 0}, DtypeError, "streams is a int"),
    ({"streams": np.zeros((2, 1), int)}, ShapeError, "streams has shape"),
    ({"step": -3}, ArgumentError, "step is -3"),
    ({"step": np.array([1])}, ShapeError, "the length of step is 1, wanted 2"),
    ({"step": None}, DtypeError, "step is a NoneType"),
    ({"temperature": -0.1}, ArgumentError, "temperature is -0.1"),
    ({"temperature": float("nan")}, ArgumentError, "temperature is nan"),
    ({"temperature": float("inf")}, ArgumentError, "temperature is inf"),
    ({"temperature": "hot"}, DtypeError, "temperature is a str"),
    ({"top_k": -1}, ArgumentError, "top_k is -1"),
    ({"top_k": 2.5}, DtypeError, "top_k is 2.5"),
    ({"top_k": 2**70}, ArgumentError, "top_k is"),
    ({"top_p": 1.01}, ArgumentError, "top_p is 1.01"),
    ({"top_p": -0.5}, ArgumentError, "top_p is -0.5"),
    ({"top_p": float("nan")}, ArgumentError, "top_p is nan"),
    ({"repetition_penalty": 0.0}, ArgumentError, "repetition_penalty is 0.0"),
    ({"repetition_penalty": -2}, ArgumentError, "repetition_penalty is -2"),
    ({"previous": [np.array([1])]}, ArgumentError, "list of 2 integer arrays"),
    ({"previous": 7}, ArgumentError, "list of 2 integer arrays"),
    ({"previous": [np.array([1]), np.array([5])]}, ArgumentError, "id 5 in row 1"),
    ({"previous": [np.array([-1]), np.array([2])]}, ArgumentError, "id -1 in row 0"),
    ({"previous": [np.array([1.0]), np.array([2])]}, DtypeError, r"previous\[0\] has dtype float64"),
    ({"previous": [None, None]}, DtypeError, r"previous\[0\] is a NoneType"),
]


@pytest.mark.parametrize(("change", "error", "message"), BAD_CALLS, ids=[str(m) for _, _, m in BAD_CALLS])
def test_a_bad_call_is_told_what_is_wrong(change, error, message):
    call = {"logits": ROWS, "seed": 0, "streams": np.arange(2), "step": 0} | change
    with pytest.raises(error, match=message) as caught:
        sample(call.pop("logits"), **call)
    assert isinstance(caught.value, RnnkitError)


@pytest.mark.parametrize("bad", [(-1, 0, 0), (0, 2**64, 0), (0, 0, "x")])
def test_philox_uniform_refuses_what_is_no_64_bit_word(bad):
    with pytest.raises((ArgumentError, DtypeError)):
        philox_uniform(*bad)


def test_the_number_of_threads_changes_no_draw(threads):
    logits = (2 * np.random.default_rng(0).standard_normal((70, 3000))).astype(np.float32)
    options = {"seed": 3, "streams": np.arange(70), "step": 1, "top_p": 0.95}
    threads(1)
    want = sample(logits, **options)
    for count in (2, 5):
        threads(count)
        np.testing.assert_array_equal(sample(logits, **options), want)
    logits[[60, 44], 5] = np.nan
    with pytest.raises(ArgumentError, match="token 5 in row 44 is nan"):
        sample(logits, **options)
