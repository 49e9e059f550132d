"""Generator: losses and gradients as written out by hand, every option at work, and the way through a bundle."""

import json

import numpy as np
import pytest
import torch
from parity_generator import check_generator, generator_suite

from rnnkit.errors import ConfigError, ShapeError
from rnnkit.models.generator import Generator, GeneratorConfig
from rnnkit.nn import explain_backend


def config(**options):
    return GeneratorConfig(**{"vocab_size": 11, "hidden_size": 8, "num_layers": 2} | options)


@pytest.mark.parametrize("config", generator_suite(), ids=str)
def test_losses_and_gradients_agree_with_the_formulas_written_out(config):
    check_generator(config)


def losses(options, *, train=True, seed=0):
    torch.manual_seed(seed)
    model = Generator(config(**options)).train(train)
    ids = torch.arange(60).view(12, 5) % 11
    torch.manual_seed(seed)
    return model.loss(model(ids)[0], ids.flip(0))


@pytest.mark.parametrize(
    "options",
    [
        {"embedding_size": 5},
        {"embedding_size": 5, "tied": True},
        {"cell": "gru_before"},
        {"hidden_size": 9},
        {"num_layers": 1},
        {"bias": False},
        {"forget_bias": 0.0},
        {"cutoffs": (3,), "softmax": "adaptive"},
        {"dropout": 0.5},
        {"input_dropout": 0.5},
        {"output_dropout": 0.5},
        {"dropout": 0.5, "locked_dropout": True},
        {"embedding_dropout": 0.5},
        {"word_dropout": 0.5},
        {"word_dropout": 0.5, "unk_id": 2},
    ],
    ids=str,
)
def test_every_option_changes_the_result(options):
    *needed, last = options  # the last one is what this case is about
    without = {name: options[name] for name in needed if name != "cutoffs"}
    assert not torch.equal(losses(options), losses(without)), last


@pytest.mark.parametrize(
    "name", ["dropout", "input_dropout", "output_dropout", "embedding_dropout", "word_dropout"]
)  # fmt: skip
@pytest.mark.parametrize("embedding_size", [0, 5])
def test_dropout_acts_in_training_only_and_leaves_gradients_finite(name, embedding_size):
    options = {name: 0.5, "embedding_size": embedding_size}
    assert torch.equal(losses(options, train=False), losses({"embedding_size": embedding_size}, train=False))
    assert not torch.equal(losses(options, seed=1), losses({"embedding_size": embedding_size}, seed=1))
    model = Generator(config(**options))
    ids = torch.randint(11, (4, 3))
    model.loss(model(ids)[0], ids).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_a_dropped_word_without_an_unknown_id_reads_zeros():
    model = Generator(config(embedding_size=5, word_dropout=0.5))
    with torch.no_grad():
        model.embedding.weight.fill_(1.0)
    torch.manual_seed(0)
    dropped = torch.rand(1, 50) < 0.5
    torch.manual_seed(0)
    hidden, _ = model(torch.zeros(1, 50, dtype=torch.long))
    want, _ = model.recurrent((~dropped).float()[..., None].expand(1, 50, 5))
    assert torch.equal(hidden, want)


@pytest.mark.parametrize("cell", ["lstm", "gru_after"])
def test_the_forget_gate_starts_open_and_the_other_biases_as_torch(cell):
    model = Generator(config(cell=cell, **({"forget_bias": 1.5} if cell == "lstm" else {})))
    gates = model.recurrent.cell.gates
    b, c = (getattr(model.recurrent, f"bias_{kind}_l1").view(len(gates), 8) for kind in ("ih", "hh"))
    if cell == "lstm":
        assert (b[1] == 1.5).all() and (c[1] == 0).all()
    others = [g for g in range(len(gates)) if gates[g] != "f"]
    assert (b[others].abs() <= 8**-0.5).all() and b[others].any()


def test_windows_and_the_whole_give_the_same_loss_bits():
    model = Generator(config(embedding_size=5))
    ids, targets = torch.randint(11, (2, 12, 3))
    hidden, want_state = model(ids)
    want = model.loss(hidden, targets)
    got, state = [], model.initial_state(3)
    for start in (0, 1, 6):
        end = {0: 1, 1: 6, 6: 12}[start]
        hidden, state = model(ids[start:end], state)
        got.append(model.loss(hidden, targets[start:end]))
    assert torch.equal(torch.cat(got), want) and state == want_state


def test_the_core_runs_it():
    assert explain_backend(Generator(config()))[0] == "native"


@pytest.mark.parametrize("given", generator_suite(), ids=str)
def test_an_exported_model_comes_back_the_same(given):
    model = Generator(given).eval()
    values, tensors = model.export()
    again = Generator.from_export(json.loads(json.dumps(values)), tensors).eval()
    assert again.config == given
    assert all(array.dtype == np.float32 for array in tensors.values())
    ids = torch.randint(11, (5, 2))
    assert torch.equal(again(ids)[0], model(ids)[0])
    tensors["recurrent.weight_hh_l0"][:] = 0  # the arrays are the bundle's own
    assert model.recurrent.weight_hh_l0.any()


def test_exported_names_are_the_ones_the_bundle_promises():
    def names(**options):
        return {n for n in Generator(config(num_layers=1, **options)).export()[1] if not n.startswith("recurrent.")}

    assert names() == {"head.weight", "head.bias"}
    assert names(embedding_size=5) == {"embedding.weight", "head.weight", "head.bias"}
    assert names(embedding_size=8, tied=True) == {"embedding.weight", "head.bias"}
    assert names(embedding_size=5, tied=True) == {"embedding.weight", "projection.weight", "head.bias"}
    assert names(softmax="adaptive", cutoffs=(3,)) == {
        "head.head.weight",
        "head.tail.0.0.weight",
        "head.tail.0.1.weight",
    }
    torchs = set(torch.nn.LSTM(11, 8, 1).state_dict())
    exported = {n.removeprefix("recurrent.") for n in Generator(config(num_layers=1)).export()[1]}
    assert torchs <= exported


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"proj_size": 8}, "proj_size=8 must be smaller than hidden_size=8"),
        ({"proj_size": 5, "hidden_size": (8, 4)}, "smaller than hidden_size=4"),
        ({"proj_size": 0}, "proj_size=0"),
        ({"proj_size": 3, "cell": "gru_after"}, "proj_size=3 goes with cell lstm, not gru_after"),
    ],
)
def test_a_projection_that_does_not_fit_is_named(options, message):
    with pytest.raises(ConfigError, match=message):
        config(**options)


def test_the_head_reads_the_projected_output():
    model = Generator(config(proj_size=3, num_layers=2))
    hidden, state = model(torch.randint(11, (5, 2)))
    assert hidden.shape == (5, 2, 3) and model.head.weight.shape == (11, 3)
    assert [part.shape[1] for part in state.layers[1].values()] == [3, 8]
    assert Generator.from_export(*model.export()).config == model.config


def test_wrong_exports_are_named():
    values, tensors = Generator(config()).export()
    with pytest.raises(ConfigError, match="window_mlp"):
        Generator.from_export(values | {"kind": "window_mlp"}, tensors)
    with pytest.raises(ConfigError, match=r"model\.depth"):
        Generator.from_export(values | {"model": values["model"] | {"depth": 3}}, tensors)
    with pytest.raises(ShapeError, match=r"head\.bias: got nothing"):
        Generator.from_export(values, {n: a for n, a in tensors.items() if n != "head.bias"})
    with pytest.raises(ShapeError, match="extra"):
        Generator.from_export(values, tensors | {"extra": np.zeros(1)})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocab_size": 0}, "vocab_size=0"),
        ({"hidden_size": 2.5}, "hidden_size=2.5"),
        ({"cell": "lstn"}, "cell='lstn'"),
        ({"softmax": "sampled"}, "softmax='sampled'"),
        ({"softmax": "adaptive"}, "needs cutoffs"),
        ({"cutoffs": (3,)}, "softmax='adaptive'"),
        ({"tied": True}, "embedding_size"),
        ({"tied": True, "embedding_size": 4, "softmax": "adaptive", "cutoffs": (3,)}, "softmax='full'"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"dropout": 0.5, "num_layers": 1}, "output_dropout"),
        ({"word_dropout": -0.1}, "word_dropout=-0.1"),
        ({"unk_id": 11}, "unk_id=11"),
    ],
)
def test_configurations_that_do_not_fit_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        config(**options)
