import subprocess
import sys

import numpy as np
import pytest
import tiny

from rnnkit import runtime
from rnnkit.bundle import read_bundle, write_bundle
from rnnkit.errors import ArgumentError, DataError, DtypeError, SchemaError, ShapeError, StateError, TensorError
from rnnkit.state import State


@pytest.fixture
def model():
    return runtime.LanguageModel.from_parts(*tiny.parts(num_layers=2))


def run(program, *arguments):
    """The output of a program in a fresh interpreter."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_whole_life_needs_no_torch(tmp_path, model):
    model.save(tmp_path)
    program = """
import sys
from rnnkit import runtime
model = runtime.LanguageModel.load(sys.argv[1])
"".join(model.generate("the ", max_new_tokens=5))
model.generate(["the ", "fox"], max_new_tokens=5)
model.complete("the", k=3)
model.score("the lazy dog\\n", reset_per_line=True)
state = model.step(3)[1]
type(state).from_bytes(state.to_bytes(), like=model.initial_state())
print([name for name in ("torch", "tokenizers", "pydantic", "matplotlib") if name in sys.modules])
"""
    assert run(program, tmp_path).strip() == "[]"


def test_what_was_saved_is_what_is_loaded(tmp_path, model):
    digest = model.save(tmp_path)
    assert digest == write_bundle(
        tmp_path, config=model.config, tensors=tiny.parts(num_layers=2)[1], files=tiny.files(model.tokenizer)
    )
    loaded = runtime.LanguageModel.load(tmp_path)
    assert loaded.digest == model.digest == digest == read_bundle(tmp_path).digest
    assert loaded.num_parameters == model.num_parameters == sum(a.size for a in tiny.parts(num_layers=2)[1].values())
    ids = np.arange(20).reshape(10, 2)
    np.testing.assert_array_equal(model(ids)[0], loaded(ids)[0])
    files = {"tokenizer.json": model.tokenizer.to_json().encode() + b"\n", "notes.txt": b"kept"}
    digest = write_bundle(tmp_path, config=model.config, tensors=tiny.parts(num_layers=2)[1], files=files)
    assert runtime.LanguageModel.load(tmp_path).save(tmp_path / "again") == digest


def test_a_state_goes_on_in_another_process_bit_for_bit(tmp_path, model):
    model.save(tmp_path)
    ids = np.random.default_rng(3).integers(0, model.vocab_size, (50, 3))
    _, state = model(ids[:20])
    (tmp_path / "state").write_bytes(state.to_bytes())
    np.save(tmp_path / "ids.npy", ids)
    program = """
import sys
from pathlib import Path
import numpy as np
from rnnkit import runtime
from rnnkit.state import State
folder = Path(sys.argv[1])
model = runtime.LanguageModel.load(folder)
state = State.from_bytes((folder / "state").read_bytes(), like=model.initial_state())
log_probs, state = model(np.load(folder / "ids.npy")[20:], state)
np.save(folder / "log_probs.npy", log_probs)
print(state.digest())
"""
    digest = run(program, tmp_path).strip()
    log_probs, state = model(ids[20:], state)
    np.testing.assert_array_equal(log_probs.view(np.int32), np.load(tmp_path / "log_probs.npy").view(np.int32))
    assert digest == state.digest()


def test_a_fork_leaves_the_first_state_as_it_was(model):
    _, state = model.step([1, 2])
    before = state.digest()
    left, _ = model.step([3, 3], state)
    right, _ = model.step([4, 4], state)
    again, _ = model.step([3, 3], state)
    assert state.digest() == before
    np.testing.assert_array_equal(left, again)
    assert not np.array_equal(left, right)


def test_a_state_of_another_model_is_refused_by_name(model):
    other = runtime.LanguageModel.from_parts(*tiny.parts(num_layers=2, seed=1))
    _, state = other.step(3)
    with pytest.raises(StateError, match=f"belongs to model {other.digest[:12]}, not to {model.digest[:12]}"):
        model.step(3, state)
    with pytest.raises(StateError, match=f"belongs to model {other.digest[:12]}"):
        State.from_bytes(state.to_bytes(), like=model.initial_state())
    with pytest.raises(StateError, match="belongs to no bundle"):
        model.step(3, State(state.layers))
    with pytest.raises(ShapeError, match=r"state part 0\.h is float32 \[1, 5\], float32 \[2, 5\] is wanted"):
        model.step([3, 3], model.initial_state(1))
    with pytest.raises(ShapeError, match=r"0\.h is float64"):
        model.step(3, model.initial_state(1).map(lambda array: array.astype(np.float64)))
    with pytest.raises(ShapeError, match=r"0\.c is nothing"):
        model.step(3, State([{"h": layer["h"]} for layer in model.initial_state().layers], model=model.digest))
    with pytest.raises(StateError, match="1 layers, this model 2"):
        model.step(3, State(model.initial_state().layers[:1], model=model.digest))


def test_wrong_calls_are_named(model):
    with pytest.raises(DtypeError, match="ids must be integers, got float64"):
        model(np.zeros((3, 2)))
    with pytest.raises(ShapeError, match=r"ids must have the axes \[T, B\]"):
        model(np.zeros(3, np.int64))
    with pytest.raises(ShapeError, match=r"ids must have the axes \[B\]"):
        model.step(np.zeros((3, 2), np.int64))
    for bad in (-1, model.vocab_size, 2**40):
        with pytest.raises(ArgumentError, match=str(bad)):
            model.step(bad)
        with pytest.raises(ArgumentError, match=str(bad)):
            model([[1, bad]])
        with pytest.raises(ArgumentError, match=str(bad)):
            model.nll([1, bad])
    with pytest.raises(ShapeError, match=r"lengths must be 2 integers in 0\.\.3"):
        model(np.zeros((3, 2), np.int64), lengths=[1, 4])
    with pytest.raises(ShapeError, match="lengths must be 2 integers"):
        model(np.zeros((3, 2), np.int64), lengths=[1])
    with pytest.raises(DtypeError, match="lengths must be integers"):
        model(np.zeros((3, 2), np.int64), lengths=[1.0, 2.0])
    with pytest.raises(ArgumentError, match="document_starts must rise"):
        model.nll([1, 2, 3], document_starts=[0, 3])
    with pytest.raises(ArgumentError, match="document_starts must rise"):
        model.nll([1, 2, 3], document_starts=[1, 1])
    with pytest.raises(DtypeError, match="ids must be integers"):
        model.nll([1.0, 2.0])
    with pytest.raises(ShapeError, match="ids must have one axis"):
        model.nll([[1, 2]])
    with pytest.raises(ArgumentError, match="batch is -1"):
        model.initial_state(-1)


def test_parts_that_do_not_belong_together_are_refused(tmp_path, model):
    config, tensors, tokens = tiny.parts()
    with pytest.raises(SchemaError, match="the tokeniser has 256 tokens"):
        runtime.LanguageModel.from_parts(config, tensors, tiny.tokenizer("byte"))
    with pytest.raises(ArgumentError, match="pass tokenizer="):
        runtime.LanguageModel.from_parts(config, tensors)
    with pytest.raises(TensorError, match=r"head\.bias .* is missing"):
        runtime.LanguageModel.from_parts(config, {n: a for n, a in tensors.items() if n != "head.bias"}, tokens)
    model.save(tmp_path)
    with pytest.raises(SchemaError, match="is of kind language_model, not window_mlp; "):
        runtime.WindowMLP.load(tmp_path)


def test_a_score_counts_every_token_and_carries_the_state(model):
    text = tiny.TEXT * 3
    score = model.score(text)
    ids = model.tokenizer.encode(text)
    assert (score.num_tokens, score.num_characters, score.num_bytes, score.unit) == (
        len(ids),
        len(text),
        len(text),
        "char",
    )
    np.testing.assert_allclose(score.nll, model.nll(ids).sum())
    by_line = model.score(text, reset_per_line=True)
    lines = [model.tokenizer.encode(line + "\n") for line in text.splitlines()]
    np.testing.assert_allclose(by_line.nll, sum(model.nll(line).sum() for line in lines))
    assert by_line.num_tokens == score.num_tokens
    assert by_line.nll != score.nll


def test_an_unknown_token_costs_what_its_tokeniser_says(model):
    score = model.score("théé")
    ids = model.tokenizer.encode("théé")
    assert model.tokenizer.unknown_nats > 0
    np.testing.assert_allclose(score.nll, model.nll(ids).sum() + 2 * model.tokenizer.unknown_nats)
    assert score.num_bytes == 6


def test_bytes_can_be_scored():
    model = runtime.LanguageModel.from_parts(*tiny.parts("byte"))
    assert model.score("né\nè".encode()).to_dict() == model.score("né\nè").to_dict()
    assert model.score(b"n\xff\n\n", reset_per_line=True).num_tokens == 4


def test_text_that_cannot_be_scored_is_named(model):
    with pytest.raises(ArgumentError, match="nothing was scored"):
        model.score("")
    with pytest.raises(DataError, match="surrogate"):
        model.score("\ud800")


def test_a_large_vocabulary_is_scored_in_bounded_memory(monkeypatch):
    config = tiny.config("window_mlp", vocab_size=33_000, hidden_size=2, embedding_size=2, direct=False)
    model = runtime.WindowMLP.from_parts(config, tiny.tensors(config))
    sizes = []
    log_probs = model._softmax.log_probs
    monkeypatch.setattr(model._softmax, "log_probs", lambda x: sizes.append(len(x)) or log_probs(x))
    model.nll(np.random.default_rng(0).integers(0, 33_000, 3000), document_starts=[0, 5, 2000])
    assert sum(sizes) == 3000
    assert max(sizes) * 33_000 * 4 <= 64 << 20
