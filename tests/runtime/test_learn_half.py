"""What the learn half exports computes the same in the run half."""

import numpy as np
import pytest
import tiny
import torch

from rnnkit import runtime
from rnnkit.errors import ConfigError
from rnnkit.kernels import CELLS
from rnnkit.models.generator import Generator, GeneratorConfig
from rnnkit.models.window_mlp import WindowMLP, WindowMLPConfig
from rnnkit.nn import spec

V = tiny.tokenizer().vocab_size
IDS = np.random.default_rng(5).integers(0, V, (60, 3))
LENGTHS = np.array([60, 1, 33])


def compare(want, got, name):
    want = want.detach().numpy()
    error = np.linalg.norm(got - want) / np.linalg.norm(want)
    assert error < 1e-6, f"{name}: {error:.2e}"


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"embedding_size": 9, "num_layers": 2, "dropout": 0.5, "output_dropout": 0.3, "word_dropout": 0.1},
        {"embedding_size": 9, "tied": True, "bias": False},
        {"softmax": "adaptive", "cutoffs": (7, 15)},
        {"embedding_size": 9, "tied": True, "num_layers": 2, "precision": "bf16"},
        {"softmax": "adaptive", "cutoffs": (7, 15), "precision": "bf16"},
        {"hidden_size": (9, 20, 7), "embedding_size": 9, "tied": True, "trainable_state": True, "weight_dropout": 0.5},
        {"num_layers": 3, "residual": True, "trainable_state": True},
        {"num_layers": 2, "zoneout": 0.3, "recompute": True},
        {"num_layers": 2, "layer_norm": True},
    ],
    ids=lambda shape: " ".join(shape) or "one-hot",
)
def test_a_generator_is_the_same_model_in_both_halves(tmp_path, cell, shape):
    torch.manual_seed(1)
    if cell == "lstm_projected":
        cell, shape = "lstm", shape | {"proj_size": 16 if "cutoffs" in shape else 5}
    if "weight_hh" not in spec.CELLS[cell].parameters:
        shape = {name: value for name, value in shape.items() if name != "weight_dropout"}
    learnt = Generator(GeneratorConfig(**{"vocab_size": V, "hidden_size": 20, "cell": cell} | shape)).eval()
    for name, parameter in learnt.recurrent.named_parameters():
        if name.startswith(("initial_", "weight_norm_", "bias_norm_")):
            torch.nn.init.normal_(parameter)
    config, tensors = learnt.export()
    runtime.LanguageModel.from_parts(config, tensors, tiny.tokenizer()).save(tmp_path)
    model = runtime.LanguageModel.load(tmp_path)
    assert model.precision == config["precision"] == shape.get("precision", "fp32")
    with torch.no_grad():
        hidden, state = learnt(torch.from_numpy(IDS), lengths=torch.from_numpy(LENGTHS))
        want = learnt.log_prob(hidden)
    got, got_state = model(IDS, lengths=LENGTHS)
    for row, length in enumerate(LENGTHS):
        compare(want[:length, row], got[:length, row], f"log_probs of row {row}")
    for layer, (wanted, parts) in enumerate(zip(state.layers, got_state.layers, strict=True)):
        assert wanted.keys() == parts.keys()
        for name in wanted:
            compare(wanted[name], parts[name], f"{layer}.{name}")


def test_a_precision_chosen_at_load_replaces_the_bundles_own(tmp_path):
    learnt = Generator(GeneratorConfig(vocab_size=V, hidden_size=20, precision="bf16"))
    runtime.LanguageModel.from_parts(*learnt.export(), tiny.tokenizer()).save(tmp_path)
    own, exact = (runtime.LanguageModel.load(tmp_path, precision=precision) for precision in (None, "fp32"))
    assert (own.precision, exact.precision, own.digest) == ("bf16", "fp32", exact.digest)
    rounded, plain = own(IDS)[0], exact(IDS)[0]
    assert not np.array_equal(rounded, plain)
    np.testing.assert_allclose(rounded, plain, atol=0.02)
    with pytest.raises(ConfigError, match="choose one of fp32, fp32_split, bf16, auto"):
        runtime.LanguageModel.load(tmp_path, precision="int4")


@pytest.mark.parametrize("shape", [{}, {"direct": True}, {"softmax": "adaptive", "cutoffs": (7, 15)}])
def test_a_window_mlp_is_the_same_model_in_both_halves(tmp_path, shape):
    torch.manual_seed(1)
    learnt = WindowMLP(WindowMLPConfig(vocab_size=V, begin_id=1, order=5, hidden_size=32, **shape)).eval()
    model = runtime.WindowMLP.from_parts(*learnt.export())
    model.save(tmp_path)
    model = runtime.WindowMLP.load(tmp_path)
    with torch.no_grad():
        hidden, state = learnt(torch.from_numpy(IDS), lengths=torch.from_numpy(LENGTHS))
        want = learnt.loss(hidden, torch.from_numpy(IDS))
    log_probs, got_state = model(IDS, lengths=LENGTHS)
    got = -np.take_along_axis(log_probs, IDS[..., None], 2)[..., 0]
    for row, length in enumerate(LENGTHS):
        compare(want[:length, row], got[:length, row], f"losses of row {row}")
    np.testing.assert_array_equal(state.layers[0]["context"].numpy(), got_state.layers[0]["context"])
