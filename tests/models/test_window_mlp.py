"""The window MLP against a NumPy reference, and its context as a state that is carried like any other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from rnnkit.errors import ConfigError
from rnnkit.models.window_mlp import WindowMLP, WindowMLPConfig
from rnnkit.runtime import WindowMLP as RunWindowMLP

V, ORDER, E, H, BEGIN = 11, 4, 3, 7, 2


def build(**options: Any) -> WindowMLP:
    torch.manual_seed(0)
    sizes = {"vocab_size": V, "begin_id": BEGIN, "order": ORDER, "embedding_size": E, "hidden_size": H}
    return WindowMLP(WindowMLPConfig(**{**sizes, **options}))


def random_ids(steps: int, batch: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(steps).integers(0, V, (steps, batch)))


def reference_losses(model: WindowMLP, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Bengio's equations in float64, one token at a time, from a fresh context."""
    p = {name: tensor.double().numpy() for name, tensor in model.state_dict().items()}
    losses = np.empty(inputs.shape)
    for row in range(inputs.shape[1]):
        context = [BEGIN] * (ORDER - 1)
        for t, token in enumerate(inputs[:, row]):
            context = [*context[1:], token]
            x = np.concatenate([p["embedding.weight"][w] for w in context])
            a = np.tanh(p["hidden.weight"] @ x + p["hidden.bias"])
            features = np.concatenate([a, x]) if model.config.direct else a
            scores = p["head.weight"] @ features + p["head.bias"]
            losses[t, row] = np.log(np.exp(scores).sum()) - scores[targets[t, row]]
    return losses


@pytest.mark.parametrize("direct", [False, True])
def test_losses_are_those_of_the_equations(direct: bool) -> None:
    model, inputs, targets = build(direct=direct), random_ids(9, 3), random_ids(9, 3).flip(0)
    want = reference_losses(model, inputs.numpy(), targets.numpy())
    hidden, _ = model(inputs)
    np.testing.assert_allclose(model.loss(hidden, targets).detach().numpy(), want, rtol=1e-5)


@pytest.mark.parametrize("direct", [False, True])
def test_gradients_are_those_of_plain_torch(direct: bool) -> None:
    model, inputs, targets = build(direct=direct), random_ids(6, 2), random_ids(6, 2).flip(0)
    weights = torch.rand(6, 2)
    hidden, _ = model(inputs)
    (model.loss(hidden, targets, weights) * weights).sum().backward()
    got = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    hidden, _ = model(inputs)
    logits = torch.nn.functional.linear(hidden, model.head.weight, model.head.bias).flatten(0, 1)
    losses = torch.nn.functional.cross_entropy(logits, targets.flatten(), reduction="none")
    (losses * weights.flatten()).sum().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(got[name], parameter.grad, rtol=1e-4, atol=1e-6, msg=name)
    assert got.keys() == dict(model.named_parameters()).keys()


def test_any_cut_gives_the_same_features_because_the_context_is_carried() -> None:
    model, ids = build(), random_ids(10, 3)
    whole, end = model(ids)
    for cut in range(1, 10):
        first, state = model(ids[:cut])
        second, state = model(ids[cut:], state)
        torch.testing.assert_close(torch.cat([first, second]), whole)
        assert torch.equal(state.layers[0]["context"], end.layers[0]["context"])


def test_a_row_stops_at_its_length_and_its_context_is_the_one_there() -> None:
    model, ids = build(), random_ids(5, 4)
    _, state = model(ids, lengths=torch.tensor([0, 1, 3, 5]))
    context = state.layers[0]["context"]
    assert context[0].tolist() == [BEGIN] * 3
    assert context[1].tolist() == [BEGIN, BEGIN, int(ids[0, 1])]
    assert context[2].tolist() == ids[0:3, 2].tolist()
    assert context[3].tolist() == ids[2:5, 3].tolist()


def test_a_reset_row_begins_with_begin_tokens() -> None:
    model = build()
    _, state = model(random_ids(5, 2))
    fresh = state.reset([1], to=model.initial_state(1)).layers[0]["context"]
    assert fresh[1].tolist() == [BEGIN] * 3
    assert fresh[0].tolist() == state.layers[0]["context"][0].tolist()


@pytest.mark.parametrize(
    "options", [{}, {"direct": True}, {"softmax": "adaptive", "cutoffs": (4,), "hidden_size": 8}, {"order": 2}]
)
def test_the_run_half_gives_the_same_losses(options: dict[str, Any]) -> None:
    model = build(**options).eval()
    config, tensors = model.export()
    ids = random_ids(40, 1)
    inputs = torch.cat([torch.tensor([[BEGIN]]), ids[:-1]])
    hidden, _ = model(inputs)
    want = model.loss(hidden, ids).detach().numpy()[:, 0]
    got = RunWindowMLP.from_parts(config, tensors).nll(ids.numpy()[:, 0])
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_dropout_acts_while_training_only() -> None:
    model, ids = build(dropout=0.5), random_ids(5, 2)
    model.eval()
    assert torch.equal(model(ids)[0], model(ids)[0])
    model.train()
    assert not torch.equal(model(ids)[0], model(ids)[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": 1}, "order is 1, a window MLP needs at least 2"),
        ({"begin_id": V}, "begin_id 11 is outside the vocabulary of 11"),
        ({"hidden_size": 0}, "hidden_size is 0"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"softmax": "fast"}, "softmax is 'fast', it is one of: full, adaptive"),
    ],
)
def test_sizes_that_cannot_be_are_refused_by_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(**options)
