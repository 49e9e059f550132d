import copy
import hashlib
import pickle
import struct

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rnnkit.errors import ArgumentError, ShapeError, StateError
from rnnkit.state import State

MODEL = "ab" * 32


def lstm(batch=3, *, model=MODEL, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    layers = [{part: rng.normal(size=(batch, size)).astype(dtype) for part in ("h", "c")} for size in (4, 5)]
    return State(layers, model=model)


def as_torch(state, dtype=torch.float32):
    return state.map(lambda array: torch.tensor(array, dtype=dtype))


@pytest.fixture(params=["numpy", "torch", "torch bfloat16", "numpy float64"])
def state(request):
    if request.param.startswith("torch"):
        return as_torch(lstm(), torch.bfloat16 if "bfloat16" in request.param else torch.float32)
    return lstm(dtype=np.float64 if "float64" in request.param else np.float32)


def test_rows_come_as_states_of_copies(state):
    assert state.batch_size == len(state) == 3
    assert len(state[1]) == 1
    assert state[-1] == state[2] == state[[2]] == state[np.int64(2)] == state[np.array([2])]
    assert state[1:] == state[[1, 2]] == state[[False, True, True]] == state[np.array([False, True, True])]
    assert state[torch.tensor([1, 2])] == state[1:]
    assert state[[2, 0, 0]] == State.stack([state[2], state[0], state[0]])
    assert len(state[[]]) == len(state[3:]) == 0
    assert [*state] == [state[0], state[1], state[2]]
    before, part = state.digest(), state[:]
    part.layers[0]["h"][...] = 0
    assert state.digest() == before


@pytest.mark.parametrize("rows", [3, -4, [0, 3], [True], [True] * 4, "0", 1.0, [0.0], [None]])
def test_rows_that_do_not_exist_are_refused(rows):
    for call in (lstm().__getitem__, lstm().reset):
        with pytest.raises(ArgumentError, match=r"row|rows"):
            call(rows)


def test_stacking_is_the_inverse_of_slicing(state):
    assert State.stack([*state]) == state
    assert State.stack([state[:0], state, state[:0]]) == state
    assert State.stack([state[:0], state[:0]]) == state[:0]
    assert State.stack([state]) == state


def test_states_that_do_not_belong_together_do_not_stack():
    with pytest.raises(ArgumentError, match="at least one"):
        State.stack([])
    with pytest.raises(StateError, match="2 different models"):
        State.stack([lstm(), lstm(model="cd" * 32)])
    with pytest.raises(StateError, match="2 different models"):
        State.stack([lstm(), lstm(model=None)])
    with pytest.raises(ShapeError, match="same parts"):
        State.stack([lstm(), lstm(dtype=np.float64)])
    with pytest.raises(ShapeError, match="same parts"):
        State.stack([lstm(), State(lstm().layers[:1], model=MODEL)])


def test_reset_gives_zeros_or_a_learned_start_and_leaves_the_old_state(state):
    before = state.digest()
    fresh = state.reset([1])
    assert fresh[[0, 2]] == state[[0, 2]]
    for _, array in fresh[1]._arrays():
        assert (array == 0).all()
    assert state.digest() == before
    assert state.reset([]) == state.reset(np.zeros(3, bool)) == state
    assert state.reset(1) == state.reset(slice(1, 2)) == state.reset([False, True, False]) == fresh
    start = state[2]
    assert state.reset([0, 1], to=start) == State.stack([start, start, start])
    with pytest.raises(ShapeError, match=r"reset\(to=\)"):
        state.reset([0], to=State(state.layers[:1], model=MODEL))
    with pytest.raises(ShapeError, match=r"reset\(to=\)"):
        state.reset([0], to=state[:0])


def test_bytes_come_back_bit_for_bit(state):
    data = state.to_bytes()
    like = state[:1]
    back = State.from_bytes(data, like=like)
    assert back == state
    assert back.digest() == state.digest()
    assert type(back.layers[0]["h"]) is type(state.layers[0]["h"])
    assert State.from_bytes(bytearray(data), like=like) == State.from_bytes(memoryview(data), like=like) == state
    assert State.from_bytes(state[:0].to_bytes(), like=like) == state[:0]


def test_special_numbers_survive_as_bits():
    values = np.array([[np.nan, -0.0, np.inf, 1e-45]], np.float32)
    state = State([{"h": values}], model=MODEL)
    back = State.from_bytes(state.to_bytes(), like=state)
    assert back.layers[0]["h"].tobytes() == values.tobytes()
    assert state == back
    assert state != State([{"h": np.abs(values)}], model=MODEL)


@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64, np.int64]),
        hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5),
        elements=st.integers(-100, 100),
    ),
    st.data(),
)
def test_any_array_makes_a_state_that_slices_and_travels(array, data):
    state = State([{"h": array}, {"h": array[..., ::-1]}], model=MODEL)
    empty = np.zeros((1, *array.shape[1:]), array.dtype)
    assert State.from_bytes(state.to_bytes(), like=State([{"h": empty}, {"h": empty}], model=MODEL)) == state
    rows = data.draw(st.lists(st.integers(0, len(array) - 1), max_size=6)) if len(array) else []
    np.testing.assert_array_equal(state[rows].layers[1]["h"], array[..., ::-1][rows])
    assert State.stack([state, state[rows]]) == state[[*range(len(array)), *rows]]


def test_every_flipped_bit_of_the_bytes_is_refused():
    state = State([{"h": np.ones((1, 2), np.float32)}], model=MODEL)
    data = state.to_bytes()
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(StateError):
            State.from_bytes(bytes(damaged), like=state)
    for size in range(len(data)):
        with pytest.raises(StateError):
            State.from_bytes(data[:size], like=state)


def forged(header, payload=b"", *, size=None):
    """Bytes with a right checksum, whatever they say."""
    body = struct.pack("<8sII", b"RNNSTATE", 1, len(header) if size is None else size) + header + payload
    return body + hashlib.sha256(body).digest()


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"", "header is not one"),
        (b"[" * 100_000, "header is not one"),
        (b"[]", "header is not one"),
        (b"{}", "header is not one"),
        (b"\xff", "header is not one"),
        (b'{"model": %s}' % (b"9" * 10_000), "header is not one"),
        (b'{"model": 1, "batch": 1, "parts": []}', "belongs to model 1"),
        (b'{"model": "%s", "batch": 1, "parts": []}' % MODEL.encode(), "the state has parts"),
        (b'{"model": "%s", "batch": 9e9, "parts": [["0.h", [2], "float32"]]}' % MODEL.encode(), "promises"),
        (b'{"model": "%s", "batch": true, "parts": [["0.h", [2], "float32"]]}' % MODEL.encode(), "promises"),
        (b'{"model": "%s", "batch": -1, "parts": [["0.h", [2], "float32"]]}' % MODEL.encode(), "promises"),
        (
            b'{"model": "%s", "batch": 1152921504606846976, "parts": [["0.h", [2], "float32"]]}' % MODEL.encode(),
            "bytes of",
        ),
    ],
)
def test_a_forged_header_is_refused_before_anything_is_allocated(header, message):
    like = State([{"h": np.zeros((1, 2), np.float32)}], model=MODEL)
    with pytest.raises(StateError, match=message):
        State.from_bytes(forged(header, b"12345678"), like=like)
    with pytest.raises(StateError):
        State.from_bytes(forged(header, size=2**32 - 1), like=like)


def test_a_state_of_another_model_version_or_of_no_model_is_refused_by_name():
    data = lstm().to_bytes()
    with pytest.raises(StateError, match="belongs to model abababababab, not to cdcdcdcdcdcd"):
        State.from_bytes(data, like=lstm(model="cd" * 32))
    with pytest.raises(StateError, match="belongs to no bundle"):
        lstm(model=None).to_bytes()
    with pytest.raises(StateError, match="not to None"):
        State.from_bytes(data, like=lstm(model=None))
    with pytest.raises(StateError, match="format 2, this rnnkit reads 1"):
        State.from_bytes(data[:8] + struct.pack("<I", 2) + data[12:], like=lstm())
    with pytest.raises(ArgumentError, match="needs a state with a row"):
        State.from_bytes(data, like=lstm(0))
    with pytest.raises(StateError, match="no rnnkit state"):
        State.from_bytes(b"", like=lstm())


def test_equality_is_of_owner_structure_and_bits():
    assert lstm() == lstm()
    assert hash(lstm()) == hash(lstm())
    assert lstm() == as_torch(lstm())
    assert lstm() != lstm(seed=1)
    assert lstm() != lstm(model=None)
    assert lstm() != lstm().map(lambda array: array.astype(np.float64))
    assert lstm() != "state"
    assert State([{"h": np.zeros((2, 0))}]) != State([{"h": np.zeros((3, 0))}])
    digests = {lstm(seed=seed, model=model).digest() for seed in (0, 1) for model in (None, MODEL)}
    assert len(digests) == 4


def test_a_state_is_a_value():
    state = lstm()
    with pytest.raises(AttributeError, match="build a new one instead of setting 'model'"):
        state.model = None
    with pytest.raises(TypeError):
        state.layers[0]["h"] = np.zeros((3, 4))
    for copied in (copy.copy(state), copy.deepcopy(state), pickle.loads(pickle.dumps(state))):
        assert copied == state
    deep = copy.deepcopy(state)
    deep.layers[0]["h"][...] = 0
    assert deep != state
    assert repr(state) == "State(0.h[3,4], 0.c[3,4], 1.h[3,5], 1.c[3,5], model=abababababab)"


def test_parts_that_disagree_on_their_batch_are_refused():
    with pytest.raises(ShapeError, match=r"share their batch axis B, got sizes \[2, 3\]"):
        State([{"h": np.zeros((2, 4)), "c": np.zeros((3, 4))}])
    with pytest.raises(ShapeError, match=r"part 0\.h of a State has no batch axis"):
        State([{"h": np.float32(0)}])


def test_a_state_without_parts_has_no_rows():
    state = State([], model=MODEL)
    assert len(state) == 0
    assert State.from_bytes(state.to_bytes(), like=state) == state


def test_gradients_flow_through_rows_stacks_and_resets_and_stop_at_detach():
    leaf = torch.ones(3, 2, requires_grad=True)
    state = State([{"h": leaf}], model=MODEL)
    after = State.stack([state[[2]], state]).reset([1])
    after.layers[0]["h"].sum().backward()
    assert leaf.grad.tolist() == [[0, 0], [1, 1], [2, 2]]
    assert not state.detach().layers[0]["h"].requires_grad
    assert state.detach() == state
    assert not State.from_bytes(state.to_bytes(), like=state).layers[0]["h"].requires_grad
    assert lstm().detach() == lstm()


def test_a_transposed_tensor_and_a_strided_array_are_written_by_value():
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    for strided in (array.T, array[:, ::2], np.asfortranarray(array)):
        assert State([{"h": strided}]) == State([{"h": np.ascontiguousarray(strided)}])
    assert State([{"h": torch.from_numpy(array).T}]) == State([{"h": array.T}])
