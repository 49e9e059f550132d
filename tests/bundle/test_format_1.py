"""A bundle of format 1, written once by `freeze` below and never again: every later rnnkit loads it."""

import hashlib
from pathlib import Path

import numpy as np
import tiny

from rnnkit import runtime
from rnnkit.bundle import read_bundle, write_bundle

FOLDER = Path(__file__).parent / "format-1"
DIGEST = "0dc13e91c6a76ab3a23cb1677753a4ef0390fe4b5e0e902f609903bb853e5ff0"
NATS = 3.5293064  # per token of tiny.TEXT


def freeze():
    config, tensors, tokens = tiny.parts(embedding_size=4, tied=True, num_layers=2, hidden_size=6, cell="lstm", seed=1)
    write_bundle(FOLDER, config=config, tensors=tensors, files=tiny.files(tokens))
    model = runtime.LanguageModel.load(FOLDER)
    _, state = model(model.tokenizer.encode(tiny.TEXT)[:, None])
    (FOLDER / "state.bin").write_bytes(state.to_bytes())


def test_the_bundle_of_format_1_loads_for_ever():
    bundle = read_bundle(FOLDER)
    assert bundle.digest == DIGEST
    assert hashlib.sha256((FOLDER / "manifest.json").read_bytes()).hexdigest() == DIGEST


def test_the_bundle_of_format_1_still_means_the_same():
    model = runtime.LanguageModel.load(FOLDER)
    score = model.score(tiny.TEXT)
    assert score.num_tokens == len(tiny.TEXT)
    np.testing.assert_allclose(score.nats_per_token, NATS, rtol=1e-5)


def test_a_state_of_format_1_is_still_accepted():
    model = runtime.LanguageModel.load(FOLDER)
    data = (FOLDER / "state.bin").read_bytes()
    state = type(model.initial_state()).from_bytes(data, like=model.initial_state())
    _, wanted = model(model.tokenizer.encode(tiny.TEXT)[:, None])
    for got, want in zip(state.layers, wanted.layers, strict=True):
        for name in want:
            np.testing.assert_allclose(got[name], want[name], rtol=1e-4, atol=1e-6, err_msg=name)
