"""Streams give every token once per epoch, with the right past, and go on where they were left."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnkit.data import Streams
from rnnkit.errors import ArgumentError

BEGIN = 10_000


@st.composite
def layouts(draw):
    """Documents and every option of Streams."""
    lengths = draw(st.lists(st.integers(1, 30), min_size=1, max_size=12))
    window = draw(st.integers(1, 9))
    return lengths, {
        "batch_size": draw(st.integers(1, 7)),
        "window": window,
        "stride": draw(st.none() | st.integers(1, window)),
    }


def streams(lengths, **options):
    """Streams over 0, 1, 2, …: a token is its own position."""
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    return Streams(np.arange(sum(lengths), dtype=np.uint16), starts, begin_id=BEGIN, **options)


def flat(window):
    arrays = (window.inputs, window.targets, window.lengths, window.weights, window.reset)
    return [(array.dtype, array.shape, array.tobytes()) for array in arrays]


@given(layout=layouts())
def test_every_token_is_a_counted_target_exactly_once_per_epoch(layout):
    lengths, options = layout
    source = streams(lengths, **options)
    for _ in range(3):
        counted = np.concatenate([window.targets[window.weights > 0] for window in source])
        np.testing.assert_array_equal(np.arange(sum(lengths)), np.sort(counted))


@given(layout=layouts())
def test_every_target_stands_behind_its_own_past(layout):
    lengths, options = layout
    source = streams(lengths, **options)
    starts = set(source.document_starts.tolist())
    for _ in range(2):
        for window in source:
            steps, rows = window.targets.shape
            assert window.lengths.max() == steps <= source.window
            for row in range(rows):
                length = window.lengths[row]
                targets, inputs = window.targets[:length, row].tolist(), window.inputs[:length, row].tolist()
                assert targets == list(range(targets[0], targets[0] + length)) if length else targets == []
                for position, (before, target) in enumerate(zip(inputs, targets, strict=True)):
                    assert before == (BEGIN if target in starts else target - 1)
                    assert target not in starts or position == 0  # no window crosses a border of documents
                for beyond in (window.inputs, window.targets, window.weights):
                    assert not beyond[length:, row].any()


@given(layout=layouts())
def test_the_carried_state_is_always_the_one_before_the_windows_first_step(layout):
    """Follow each row as a learner does: the carry after `stride` steps is what the next window goes on from."""
    lengths, options = layout
    source = streams(lengths, **options)
    carried = [None] * source.batch_size  # the next target that the carried state has not seen
    for number, window in enumerate(source):
        for row, length in enumerate(window.lengths.tolist()):
            if not length:
                assert not window.reset[row]
                continue
            first = int(window.targets[0, row])
            if not window.reset[row]:
                assert first == carried[row]
            assert number or window.reset[row]
            assert window.reset[row] or window.inputs[0, row] != BEGIN
            carried[row] = first + min(source.stride, length)


@given(layout=layouts())
def test_when_windows_overlap_only_new_targets_count(layout):
    lengths, options = layout
    source = streams(lengths, **options)
    for window in source:
        for row, length in enumerate(window.lengths.tolist()):
            old = 0 if window.reset[row] else source.window - source.stride
            assert not length or window.weights[:length, row].tolist() == [0.0] * old + [1.0] * (length - old)


@given(layout=layouts(), stop=st.integers(0, 60))
def test_resumed_streams_go_on_bit_for_bit(layout, stop):
    lengths, options = layout
    source, resumed = streams(lengths, **options), streams(lengths, **options)
    for _ in range(stop):
        next(source, None)  # None at the end of an epoch
    resumed.load_state_dict(json.loads(json.dumps(source.state_dict())))
    for _ in range(3):
        assert [flat(window) for window in resumed] == [flat(window) for window in source]
        assert resumed.epoch == source.epoch


@given(layout=layouts())
def test_the_number_of_windows_is_known_before(layout):
    lengths, options = layout
    source = streams(lengths, **options)
    for _ in range(2):
        expected = len(source)
        assert sum(1 for _ in source) == expected


def test_streams_begin_with_the_parts_of_the_text_in_order():
    first = next(streams([10], batch_size=3, window=2))
    np.testing.assert_array_equal([[0, 3, 6], [1, 4, 7]], first.targets)
    np.testing.assert_array_equal([[BEGIN, 2, 5], [0, 3, 6]], first.inputs)
    assert first.targets.dtype == first.inputs.dtype == first.lengths.dtype == np.int64
    assert (first.weights.dtype, first.reset.dtype) == (np.float32, bool)
    assert first.reset.all()


def test_an_epoch_begins_anew_with_reset_rows():
    source = streams([10], batch_size=2, window=3)
    first = [flat(window) for window in source]
    assert [flat(window) for window in source] == first
    assert source.epoch == 2


def test_more_streams_than_tokens_leave_rows_empty():
    (window,) = streams([2], batch_size=5, window=3)
    assert sorted(window.lengths.tolist()) == [0, 0, 0, 1, 1]


@pytest.mark.parametrize("name", ["batch_size", "window", "stride", "begin_id", "num_tokens"])
def test_a_state_of_other_settings_is_refused_by_name(name):
    source = streams([9], batch_size=2, window=4)
    state = source.state_dict()
    state[name] = 77
    with pytest.raises(ArgumentError, match=f"saved with {name} 77"):
        source.load_state_dict(state)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"window": 0}, "window 0"),
        ({"stride": 5}, "stride is 5 and window 4"),
        ({"stride": 0}, "stride is 0"),
        ({"tokens": np.zeros(0, int)}, r"tokens must be \[N\]"),
        ({"tokens": np.zeros((2, 2), int)}, r"got shape \(2, 2\)"),
        ({"document_starts": [1]}, "must ascend from 0"),
        ({"document_starts": [0, 3, 3]}, "must ascend from 0"),
        ({"document_starts": [0, 9]}, "must ascend from 0"),
        ({"document_starts": []}, "must ascend from 0"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(options, message):
    arguments = {"tokens": np.arange(9), "document_starts": [0], "begin_id": 0, "batch_size": 2, "window": 4} | options
    with pytest.raises(ArgumentError, match=message):
        Streams(arguments.pop("tokens"), arguments.pop("document_starts"), **arguments)


@given(layout=layouts())
def test_the_tokens_on_both_sides_are_those_of_the_document(layout):
    lengths, options = layout
    begins = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    last = np.cumsum(lengths) - 1
    one_sided, both = streams(lengths, **options), streams(lengths, **options, both_sides=True)
    for single, pair in zip(one_sided, both, strict=True):
        assert flat(single)[1:] == flat(pair)[1:]
        valid = np.arange(len(pair.targets))[:, None] < pair.lengths
        before, after = pair.inputs[..., 0], pair.inputs[..., 1]
        np.testing.assert_array_equal(single.inputs, before)
        wanted = np.where(np.isin(pair.targets, last), BEGIN, pair.targets + 1)
        np.testing.assert_array_equal(np.where(valid, wanted, 0), after)
        assert (before[valid & np.isin(pair.targets, begins)] == BEGIN).all()
