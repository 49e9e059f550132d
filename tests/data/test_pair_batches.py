"""Batches of pairs: every pair once, no more tokens than asked for, little padding, resumable."""

from __future__ import annotations

import numpy as np
import pytest

from rnnkit.data import PairBatches
from rnnkit.errors import ArgumentError

RNG = np.random.default_rng(0)
SOURCES = [np.full(RNG.integers(1, 30), row) for row in range(500)]
TARGETS = [np.full(max(1, len(source) + RNG.integers(-3, 4)), row) for row, source in enumerate(SOURCES)]


def made(**options):
    given = {"begin_id": 777, "batch_tokens": 400, "seed": 3, **options}
    return PairBatches(SOURCES, TARGETS, **given)


def rows_of(batch):
    return batch.targets[0].tolist()


def test_every_pair_comes_once_with_its_partner_and_what_stands_before_it():
    seen = []
    for batch in made():
        sources, source_lengths, previous = batch.inputs
        for column, row in enumerate(rows_of(batch)):
            S, T = len(SOURCES[row]), len(TARGETS[row])
            assert (source_lengths[column], batch.lengths[column]) == (S, T)
            assert (sources[:S, column] == row).all() and not sources[S:, column].any()
            assert (batch.targets[:T, column] == row).all() and not batch.targets[T:, column].any()
            assert previous[0, column] == 777 and (previous[1:T, column] == row).all()
            assert (batch.weights[:T, column] == 1).all() and not batch.weights[T:, column].any()
        assert batch.reset.all() and len(batch.reset) == len(batch.lengths)
        seen += rows_of(batch)
    assert sorted(seen) == list(range(500))


def test_no_batch_has_more_tokens_than_asked_for_and_most_are_no_padding():
    held, room = 0, 0
    for batch in made():
        sources, lengths, _ = batch.inputs
        tokens = len(batch.lengths) * (len(sources) + len(batch.targets))
        assert tokens <= 400
        held += int(lengths.sum() + batch.lengths.sum())
        room += tokens
    assert held / room > 0.9


def test_a_pair_that_has_more_alone_is_a_batch_of_its_own():
    batches = list(made(batch_tokens=2))
    assert len(batches) >= 490 and all(len(batch.lengths) == 1 for batch in batches if len(batch.targets) > 1)


def test_an_epochs_order_follows_from_seed_and_epoch():
    def orders(batches, epochs=2):
        return [[rows_of(batch) for batch in batches] for _ in range(epochs)]

    first, again, other = orders(made()), orders(made()), orders(made(seed=4))
    assert first == again and first[0] != first[1] and first[0] != other[0]
    assert len(first[0]) == len(made())


def test_batches_resume_where_they_stood():
    batches = made()
    for _ in range(7):
        next(batches)
    kept = batches.state_dict()
    want = [rows_of(batch) for batch in batches]
    resumed = made()
    resumed.load_state_dict(kept)
    assert [rows_of(batch) for batch in resumed] == want
    with pytest.raises(ArgumentError, match="saved with batch_tokens 400, now it is 300"):
        made(batch_tokens=300).load_state_dict(kept)


def test_sides_that_do_not_pair_up_are_refused():
    with pytest.raises(ArgumentError, match="500 sources and 499 targets"):
        PairBatches(SOURCES, TARGETS[1:], begin_id=0, batch_tokens=10, seed=0)
