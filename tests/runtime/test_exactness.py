"""Whole = chunks = steps = any batch mates = any number of threads, bit for bit and log-probabilities included."""

import numpy as np
import pytest
import tiny

from rnnkit import runtime
from rnnkit.state import State

SHAPES = {
    "lstm": {"hidden_size": 37},
    "gru_before": {"cell": "gru_before", "hidden_size": 21, "bias": False},
    "gru_after, two layers, tied": {"cell": "gru_after", "num_layers": 2, "embedding_size": 9, "tied": True},
    "elman_tanh, tied without projection": {"cell": "elman_tanh", "embedding_size": 5, "tied": True},
    "elman_relu, adaptive": {"cell": "elman_relu", "hidden_size": 33, "softmax": "adaptive", "cutoffs": [4, 11]},
    "widths": {"hidden_size": [9, 33, 6], "num_layers": 3, "embedding_size": 6, "tied": True, "trainable_state": True},
    "zoneout": {"num_layers": 2, "zoneout": [0.1, 0.5]},
    "projected": {"hidden_size": 37, "proj_size": 19, "num_layers": 2, "zoneout": 0.1, "trainable_state": True},
    "projected, int8": {"hidden_size": 37, "proj_size": 19, "num_layers": 2, "precision": "int8"},
    "layer norm": {"num_layers": 2, "layer_norm": True},
    "layer norm, reset before": {"cell": "gru_before", "layer_norm": True, "embedding_size": 9, "zoneout": 0.2},
    "layer norm, int8": {"layer_norm": True, "hidden_size": 37, "proj_size": 19, "precision": "int8", "bias": False},
    "residual": {"cell": "gru_before", "num_layers": 3, "residual": True, "trainable_state": True},
    "lstm, int8": {"hidden_size": 37, "num_layers": 2, "precision": "int8"},
    "gru_before, int8": {"cell": "gru_before", "embedding_size": 9, "tied": True, "precision": "int8"},
    "adaptive, int8": {"hidden_size": 33, "softmax": "adaptive", "cutoffs": [4, 11], "precision": "int8"},
    "window mlp": {"kind": "window_mlp", "hidden_size": 19},
    "window mlp, adaptive": {"kind": "window_mlp", "direct": False, "softmax": "adaptive", "cutoffs": [9]},
}
T, B = 130, 5


def build(shape):
    if "kind" in shape:
        config = tiny.config(**shape)
        return runtime.WindowMLP.from_parts(config, tiny.tensors(config))
    precision = shape.get("precision")
    config, tensors, tokens = tiny.parts(**{name: value for name, value in shape.items() if name != "precision"})
    calm = {name: array * np.float32(0.4) for name, array in tensors.items()}  # a ReLU may not explode
    return runtime.LanguageModel.from_parts(config, calm, tokens, precision=precision)


@pytest.fixture(params=SHAPES)
def model(request):
    return build(SHAPES[request.param])


@pytest.fixture
def ids(model):
    return np.random.default_rng(1).integers(0, model.vocab_size, (T, B))


def same(want, got):
    np.testing.assert_array_equal(want.view(np.int32), got.view(np.int32))


def test_any_chunks_give_the_bits_of_the_whole(model, ids):
    whole, after = model(ids)
    assert whole.shape == (T, B, model.vocab_size)
    for cuts in ([1], [7, 8, 64], [129], range(0, T, 13)):
        state, pieces = model.initial_state(B), []
        for piece in np.split(ids, list(cuts)):
            log_probs, state = model(piece, state)
            pieces.append(log_probs)
        same(whole, np.concatenate(pieces))
        assert state == after


def test_steps_give_the_bits_of_the_whole(model, ids):
    whole, after = model(ids)
    state = None
    for t in range(T):
        log_probs, state = model.step(ids[t], state)
        same(whole[t], log_probs)
    assert state == after
    alone, after_one = model(ids[:, :1])
    state = None
    for t in range(T):
        log_probs, state = model.step(int(ids[t, 0]), state)
        same(alone[t], log_probs)
    assert state == after_one


def test_a_row_does_not_depend_on_its_batch_mates(model, ids):
    whole, after = model(ids)
    for rows in ([0], [3, 1], [4, 4, 2, 0, 1, 3, 3]):
        some, state = model(ids[:, rows])
        same(whole[:, rows], some)
        assert state == after[rows]


@pytest.mark.parametrize("name", [name for name, shape in SHAPES.items() if "kind" not in shape])
def test_a_row_does_not_see_a_neighbour_that_is_not_a_number(name):
    model = build(SHAPES[name])
    ids = np.random.default_rng(1).integers(0, model.vocab_size, (T, B))
    whole, after = model(ids)
    state = model.initial_state(B)
    state.layers[0]["h"][2] = np.nan
    beside, state = model(ids, state)
    assert np.isnan(beside[:, 2]).all()
    rows = [0, 1, 3, 4]
    same(whole[:, rows], beside[:, rows])
    assert state[rows] == after[rows]


def test_padding_changes_no_bit_and_is_not_read(model, ids):
    lengths = np.array([T, 1, 0, 77, 128])
    padded = ids.copy()
    for row, length in enumerate(lengths):
        padded[length:, row] = -(10**9)
    log_probs, after = model(padded, lengths=lengths)
    for row, length in enumerate(lengths):
        alone, state = model(ids[:length, row : row + 1])
        same(alone[:, 0], log_probs[:length, row])
        assert (log_probs[length:, row] == 0).all()
        assert after[row] == state


def test_no_steps_and_no_rows_are_defined(model):
    log_probs, state = model(np.zeros((0, 3), np.int64))
    assert log_probs.shape == (0, 3, model.vocab_size)
    assert state == model.initial_state(3)
    log_probs, state = model(np.zeros((4, 0), np.int64))
    assert log_probs.shape == (4, 0, model.vocab_size)
    assert len(state) == 0
    assert model.nll([]).shape == (0,)


@pytest.mark.parametrize("name", SHAPES)
def test_the_number_of_threads_changes_no_bit(name):
    ids = np.random.default_rng(1).integers(0, 20, (40, 9))
    before, results = runtime.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            runtime.set_num_threads(threads)
            model = build(SHAPES[name])
            results.append((*model(ids), model.nll(ids.reshape(-1))))
    finally:
        runtime.set_num_threads(before)
    for log_probs, state, nll in results[1:]:
        same(results[0][0], log_probs)
        assert state == results[0][1]
        np.testing.assert_array_equal(results[0][2], nll)


def test_what_a_token_costs_is_its_log_probability_whatever_the_chunks(model, ids, monkeypatch):
    flat, starts = ids.T.reshape(-1), [0, 30, 31, 200, 201, 640]
    got = model.nll(flat, document_starts=starts)
    for start, end in zip(starts, [*starts[1:], len(flat)], strict=True):
        inputs = np.concatenate([[model.begin_id], flat[start : end - 1]])
        log_probs, _ = model(inputs[:, None])
        want = -log_probs[np.arange(end - start), 0, flat[start:end]].astype(np.float64)
        np.testing.assert_array_equal(want, got[start:end])
    for rows, batch in ((1, 1), (7, 3), (64, 2)):
        monkeypatch.setattr("rnnkit.runtime.likelihood._MAX_ROWS", rows)
        monkeypatch.setattr("rnnkit.runtime.likelihood._MAX_BATCH", batch)
        np.testing.assert_array_equal(got, model.nll(flat, document_starts=starts))


def test_the_first_document_can_go_on_from_a_state(model, ids):
    _, state = model(ids[:50, :1])
    got = model.nll(ids[:, 1], document_starts=[0, 60], state=state)
    log_probs, _ = model(np.concatenate([[model.begin_id], ids[:59, 1]])[:, None], state)
    np.testing.assert_array_equal(-log_probs[np.arange(60), 0, ids[:60, 1]].astype(np.float64), got[:60])
    np.testing.assert_array_equal(model.nll(ids[60:, 1]), got[60:])


def test_states_of_several_streams_are_split_stacked_and_reset(model, ids):
    whole, _ = model(ids)
    _, state = model(ids[:60])
    rest, _ = model(ids[60:], State.stack([state[row] for row in range(B)]))
    same(whole[60:], rest)
    fresh, _ = model(ids[60:, [1]])
    rest, _ = model(ids[60:], state.reset([1], to=model.initial_state(1)))
    same(fresh[:, 0], rest[:, 1])
    same(whole[60:, 2], rest[:, 2])
