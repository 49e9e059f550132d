"""The transformer that trains: causal, blind to padding, of a stated size, and what it refuses."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from rnnkit.errors import ConfigError
from rnnkit.models.transformer import Transformer, TransformerConfig

SIZES = {
    "vocab_size": 11, "source_vocab_size": 9, "hidden_size": 16, "num_heads": 2, "encoder_layers": 2, "num_layers": 2,
}  # fmt: skip


def made(**choices):
    torch.manual_seed(0)
    model = Transformer(TransformerConfig(**{**SIZES, **choices})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def given(*, S=6, T=5, B=3):
    torch.manual_seed(1)
    return torch.randint(0, 9, (S, B)), torch.tensor([S, 2, 1][:B]), torch.randint(0, 11, (T, B))


def test_a_later_target_and_what_lies_behind_a_source_change_nothing_before():
    model, (sources, lengths, previous) = made(), given()
    with torch.no_grad():
        want, _ = model((sources, lengths, previous))
        changed = previous.clone()
        changed[3:] = (changed[3:] + 1) % 11
        got, _ = model((sources, lengths, changed))
        torch.testing.assert_close(got[:3], want[:3], rtol=1e-5, atol=1e-6)
        assert (got[3:] - want[3:]).abs().max() > 1e-3
        behind = sources.clone()
        behind[2:, 1], behind[1:, 2] = 8 - behind[2:, 1], 8 - behind[1:, 2]
        again, _ = model((behind, lengths, previous))
        torch.testing.assert_close(again, want, rtol=1e-5, atol=1e-6)
        other = sources.clone()
        other[0] = 8 - other[0]
        assert (model((other, lengths, previous))[0] - want).abs().max() > 1e-3


def test_a_row_is_the_same_alone_and_a_source_of_no_tokens_gives_numbers():
    model, (sources, lengths, previous) = made(), given()
    with torch.no_grad():
        want, state = model((sources, lengths, previous), None, lengths=torch.tensor([5, 5, 5]))
        for row in range(3):
            own = (sources[: lengths[row], row, None], lengths[row : row + 1], previous[:, row, None])
            alone, _ = model(own)
            torch.testing.assert_close(alone[:, 0], want[:, row], rtol=1e-5, atol=1e-6)
        nothing, _ = model((sources, torch.zeros(3, dtype=torch.int64), previous))
    assert torch.isfinite(nothing).all()
    assert state.layers == model.initial_state(3).layers


@pytest.mark.parametrize("tied", [True, False])
def test_the_loss_is_that_of_the_smoothed_targets_while_training_and_of_the_targets_else(tied):
    model, (sources, lengths, previous) = made(tied=tied, label_smoothing=0.2, dropout=0.0), given()
    targets = previous.roll(1, 0)
    weight = model.embedding.weight if tied else model.head.weight
    for training, smoothing in ((True, 0.2), (False, 0.0)):
        model.train(training)
        hidden, _ = model((sources, lengths, previous))
        logits = hidden @ weight.T + model.head.bias
        want = torch.nn.functional.cross_entropy(
            logits.reshape(-1, 11), targets.reshape(-1), reduction="none", label_smoothing=smoothing
        )
        torch.testing.assert_close(model.loss(hidden, targets).reshape(-1), want, rtol=1e-5, atol=1e-5)


def test_dropout_draws_while_training_alone():
    model, inputs = made(dropout=0.5), given()
    with torch.no_grad():
        assert torch.equal(model(inputs)[0], model(inputs)[0])
        model.train()
        assert not torch.equal(model(inputs)[0], model(inputs)[0])


@pytest.mark.parametrize("choices", [{}, {"tied": False}, {"source_vocab_size": 11, "shared_embedding": True}])
def test_the_number_of_parameters_is_that_of_the_model(choices):
    model = made(**choices)
    assert model.config.num_parameters == sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("heads", [None, 2])
def test_the_widest_that_has_no_more_parameters_is_chosen_and_units_fill_what_is_left(heads):
    choices, step = {"vocab_size": 11, "source_vocab_size": 9, "num_heads": heads}, 16 if heads else 32
    for layers, wanted in ((1, 40_000), (2, 70_000), (2, 270_743), (3, 1_000_000)):
        config = TransformerConfig.of_size(wanted, layers=layers, **choices)
        assert (config.encoder_layers, config.num_layers) == (layers, layers)
        assert config.num_heads == (heads or config.hidden_size // 32)
        wider = replace(config, hidden_size=config.hidden_size + step, num_heads=heads, feedforward_size=None)
        more = replace(config, feedforward_size=config.feedforward_size + 1)
        assert config.num_parameters <= wanted < min(wider.num_parameters, more.num_parameters)
        assert config.feedforward_size >= 4 * config.hidden_size
    smallest = TransformerConfig.of_size(1, layers=2, **choices)
    assert (smallest.hidden_size, smallest.feedforward_size) == (step, 4 * step)


def test_a_small_one_has_fewer_layers_rather_than_narrow_ones():
    choices = {"vocab_size": 24, "source_vocab_size": 25}
    for wanted, layers, width in ((1, 1, 32), (90_000, 1, 32), (270_743, 2, 64), (400_000, 3, 64), (4_000_000, 3, 192)):
        config = TransformerConfig.of_size(wanted, **choices)
        assert (config.num_layers, config.hidden_size) == (layers, width), wanted


def test_it_learns_to_copy():
    torch.manual_seed(0)
    model = Transformer(TransformerConfig(**{**SIZES, "vocab_size": 9, "dropout": 0.0, "hidden_size": 32}))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(150):
        sources = torch.randint(1, 9, (5, 32))
        previous = torch.cat([torch.zeros(1, 32, dtype=torch.int64), sources[:-1]])
        hidden, _ = model((sources, torch.full((32,), 5), previous))
        loss = model.loss(hidden, sources).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1


def test_what_does_not_fit_is_refused_by_name():
    for choices, message in (
        ({"hidden_size": 15}, "hidden_size=15 must be even and a multiple"),
        ({"num_heads": 3}, "multiple of num_heads=3"),
        ({"dropout": 1.0}, r"dropout=1.0 must be in"),
        ({"num_layers": 0}, "num_layers=0 must be an integer of at least 1"),
        ({"shared_embedding": True}, "needs one vocabulary"),
    ):
        with pytest.raises(ConfigError, match=message):
            TransformerConfig(**{**SIZES, **choices})


def test_what_is_exported_is_plain():
    config, tensors = made().export()
    assert config["kind"] == "transformer"
    assert config["model"]["feedforward_size"] == 64
    assert all(type(array) is np.ndarray and array.dtype == np.float32 for array in tensors.values())
