"""Two-sided n-grams: one equation with the one-sided ones, probabilities that sum to 1, files that come back."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnnkit.baselines import NgramModel, TwoSidedNgramModel
from rnnkit.baselines.ngram import choose_discounts
from rnnkit.errors import ArgumentError, DataError, DtypeError

V = 7
RNG = np.random.default_rng(4)
TEXT = RNG.choice(V, p=np.arange(1, V + 1) / 28, size=600) // RNG.integers(1, 3, 600)  # counts of many sizes
STARTS = np.array([0, 1, 250, 252, 599])
TEST = RNG.integers(0, V, 90)


def fit(order: int, *, starts: Any = STARTS) -> TwoSidedNgramModel:
    return TwoSidedNgramModel.fit(TEXT, order=order, vocab_size=V, begin_id=0, document_starts=starts)


def around(tokens: np.ndarray, starts: np.ndarray, at: int, order: int) -> list[int]:
    begin = max(s for s in starts if s <= at)
    end = min([s for s in starts if s > at], default=len(tokens))
    places = [at + d for far in range(1, order) for d in (-far, far)][: order - 1]
    return [int(tokens[p]) if begin <= p < end else 0 for p in places]


def reference(order: int, context: list[int], token: int) -> float:
    """The equation, from dictionaries."""
    events = [(tuple(around(TEXT, STARTS, at, order)), int(TEXT[at])) for at in range(len(TEXT))]

    def continuation(k: int) -> Counter[Any]:
        return Counter(events) if k == order else Counter((c[: k - 1], w) for c, w in {(c[:k], w) for c, w in events})

    def probability(k: int) -> float:
        if k == 0:
            return 1 / V
        c = continuation(k)
        mine = {w: n for (h, w), n in c.items() if h == tuple(context[: k - 1])}
        if not mine:
            return probability(k - 1)
        cut = choose_discounts(np.array(list(c.values()) + ([0] * (V - len(mine)) if k == 1 else []))).values
        lowered = {w: cut[min(n, 3) - 1] for w, n in mine.items()}
        total = sum(mine.values())
        here = (mine[token] - lowered[token]) / total if token in mine else 0.0
        return here + sum(lowered.values()) / total * probability(k - 1)

    return probability(order)


@pytest.mark.parametrize("order", [1, 2])
def test_without_a_token_behind_it_it_is_the_one_sided_model(order: int) -> None:
    one_sided = NgramModel.fit(TEXT, order=order, vocab_size=V, begin_id=0, document_starts=STARTS)
    np.testing.assert_allclose(one_sided.nll(TEST, [0, 40]), fit(order).nll(TEST, [0, 40]), rtol=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3, 4, 6])
def test_every_probability_is_the_equations(order: int) -> None:
    starts = np.array([0, 1, 30])
    got = fit(order).nll(TEST, starts)
    for at in [0, 1, 2, 17, 29, 30, 31, 88, 89]:
        want = reference(order, around(TEST, starts, at, order), int(TEST[at]))
        assert -np.log(want) == pytest.approx(got[at], rel=1e-12)


@pytest.mark.parametrize("order", [1, 3, 4, 7])
def test_what_could_stand_at_a_place_sums_to_one(order: int) -> None:
    model = fit(order)
    for at in (0, 5, len(TEST) - 1):
        total = 0.0
        for token in range(V):
            text = TEST.copy()
            text[at] = token
            total += np.exp(-model.nll(text)[at])
        assert total == pytest.approx(1, abs=1e-12)


def test_a_border_is_not_looked_across() -> None:
    model = fit(5)
    changed = TEST.copy()
    changed[40:] = (changed[40:] + 1) % V
    before, after = (model.nll(text, [0, 40])[:40] for text in (TEST, changed))
    np.testing.assert_array_equal(before, after)
    assert (model.nll(TEST)[36:40] != model.nll(changed)[36:40]).any()


def test_chunks_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    model = fit(5)
    want, unseen = model.nll(TEST, [0, 40]), model.unseen_share(TEST, [0, 40])
    monkeypatch.setattr("rnnkit.baselines.two_sided._CHUNK", 7)
    np.testing.assert_array_equal(want, model.nll(TEST, [0, 40]))
    assert model.unseen_share(TEST, [0, 40]) == unseen
    assert model.total_nll(TEST, [0, 40]) == pytest.approx(want.sum(), rel=1e-12)
    assert model.unseen_share(TEXT, STARTS) == 0 < unseen < 1


def test_it_comes_back_from_its_files_and_damage_is_named(tmp_path: Path) -> None:
    model = fit(4)
    model.save(tmp_path)
    again = TwoSidedNgramModel.load(tmp_path)
    np.testing.assert_array_equal(model.nll(TEST), again.nll(TEST))
    assert again.num_bytes == model.num_bytes
    with pytest.raises(DataError, match="missing or too many"):
        NgramModel.load(tmp_path)
    one_sided = NgramModel.fit(TEXT, order=4, vocab_size=V, begin_id=0)
    one_sided.save(tmp_path / "one")
    with pytest.raises(DataError, match="are no two-sided n-grams of order 4"):
        TwoSidedNgramModel.load(tmp_path / "one")
    head = json.loads((tmp_path / "ngram.json").read_text())
    (tmp_path / "ngram.json").write_text(json.dumps(head | {"vocab_size": 3}))
    with pytest.raises(DataError, match="tokens or counts are out of range"):
        TwoSidedNgramModel.load(tmp_path)
    data = bytearray((tmp_path / "ngram.npz").read_bytes())
    data[200] ^= 1
    (tmp_path / "ngram.npz").write_bytes(data)
    with pytest.raises(DataError, match=r"ngram\.npz is damaged"):
        TwoSidedNgramModel.load(tmp_path)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: fit(0), ArgumentError, r"order is 0, wanted 1\.\.16"),
        (lambda: TwoSidedNgramModel.fit([], order=2, vocab_size=V, begin_id=0), DataError, "no token to count"),
        (lambda: TwoSidedNgramModel.fit([1], order=2, vocab_size=V, begin_id=V), ArgumentError, "begin_id is 7"),
        (
            lambda: TwoSidedNgramModel.fit([V], order=2, vocab_size=V, begin_id=0),
            ArgumentError,
            "not in the vocabulary",
        ),
        (lambda: fit(3).nll([V]), ArgumentError, "not in the vocabulary"),
        (lambda: fit(3).nll([0.5]), DtypeError, "tokens must be integers"),
        (lambda: fit(3).nll([1], [1]), DataError, "begins with 0"),
    ],
)
def test_what_cannot_be_is_refused_by_name(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
