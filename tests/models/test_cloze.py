"""Cloze: what is scored at a place depends on every other token and, in no bit, on the one that stands there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor

from rnnkit import data, runtime
from rnnkit.errors import ConfigError
from rnnkit.kernels import CELLS
from rnnkit.models.cloze import Cloze
from rnnkit.models.generator import GeneratorConfig
from rnnkit.nn import Recurrent, spec

V = tiny.tokenizer().vocab_size
T = 11
SHAPES: list[dict[str, Any]] = [
    {},
    {"embedding_size": 9, "num_layers": 2, "dropout": 0.5, "output_dropout": 0.3, "word_dropout": 0.1},
    {"embedding_size": 9, "num_layers": 3, "residual": True, "trainable_state": True},
    {"embedding_size": 9, "tied": True},
    {"embedding_size": 10, "hidden_size": 5, "tied": True},
    {"softmax": "adaptive", "cutoffs": (7, 15), "hidden_size": 20},
    {"hidden_size": (9, 20, 7), "embedding_size": 9, "precision": "bf16"},
    {"num_layers": 2, "layer_norm": True, "zoneout": 0.3},
]


def sides(ids: Tensor, begin_id: int = 0) -> Tensor:
    """[T, B] -> the tokens before and after each, [T, B, 2]."""
    edge = torch.full_like(ids[:1], begin_id)
    return torch.stack([torch.cat([edge, ids[:-1]]), torch.cat([ids[1:], edge])], dim=-1)


def make(shape: dict[str, Any], *, cell: str = "lstm") -> Cloze:
    torch.manual_seed(1)
    model = Cloze(GeneratorConfig(**{"vocab_size": V, "hidden_size": 12, "cell": cell} | shape)).eval()
    for name, parameter in model.named_parameters():
        if "initial_" in name or "norm_" in name or parameter.ndim == 1:
            torch.nn.init.normal_(parameter)
    return model


def places_that_change(read: Any, ids: Tensor, at: int) -> list[int]:
    """Where another token at `at` changes a bit of the outputs."""
    other = ids.clone()
    other[at] = (other[at] + 1 + torch.arange(ids.shape[1])) % V
    changed = (read(ids) != read(other)).flatten(1).any(1)
    return changed.nonzero().flatten().tolist()


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: " ".join(shape) or "one-hot")
def test_a_place_is_scored_without_its_own_token_and_with_every_other(shape: dict[str, Any]) -> None:
    model, ids = make(shape), torch.randint(V, (T, 3), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        for at in range(T):
            changed = places_that_change(lambda ids: model.log_prob(model(sides(ids))[0]), ids, at)
            assert changed == [t for t in range(T) if t != at]


def test_a_planted_leak_is_found() -> None:
    """Layers that mix the directions below the last one hand each token back to its own place, from the second on."""
    torch.manual_seed(3)
    ids = torch.randint(V, (T, 2))

    def mixed(num_layers: int) -> Any:
        stack = Recurrent("lstm", 2 * V, 12, num_layers, bidirectional=True)

        def read(ids: Tensor) -> Tensor:
            pair = torch.nn.functional.one_hot(sides(ids), V).flatten(2).float()
            before = torch.cat([pair[..., :V], torch.zeros_like(pair[..., V:])], dim=-1)
            return stack(before)[0]

        return read

    with torch.no_grad():
        assert 4 in places_that_change(mixed(2), ids, 4)


def test_training_draws_its_dropout_for_both_sides_and_every_parameter_learns() -> None:
    model = make(SHAPES[1] | {"embedding_dropout": 0.1}).train()
    ids = torch.randint(V, (T, 3))
    hidden, _ = model(sides(ids))
    model.loss(hidden, ids).sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
    assert not torch.equal(hidden, model(sides(ids))[0])


def test_the_carry_is_of_what_is_before_alone_and_lengths_cut_both_directions() -> None:
    model, ids = make(SHAPES[1]), torch.randint(V, (T, 3))
    pairs, lengths = sides(ids), torch.tensor([T, 4, 0])
    with torch.no_grad():
        hidden, state = model(pairs, lengths=lengths)
        alone, after = model(pairs[:4, 1:2])
        assert torch.equal(hidden[:4, 1:2], alone)
        assert len(state.layers) == 2  # of one direction
        assert all(torch.equal(a[k][1:2], b[k]) for a, b in zip(state.layers, after.layers, strict=True) for k in a)
        head, carry = model(pairs[:6])
        rest, _ = model(pairs[6:], carry)
        whole, _ = model(pairs)
    assert torch.equal(rest, whole[6:])  # the carry is all of what is before
    assert not torch.equal(head, whole[:6])  # of what is after the window's end it knows one token


@pytest.mark.parametrize("cell", [cell for cell in CELLS if cell != "lstm_projected"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: " ".join(shape) or "one-hot")
def test_it_is_the_same_model_in_both_halves(cell: str, shape: dict[str, Any], tmp_path: Any) -> None:
    if cell not in ("lstm", "gru_after", "min_gru") and shape not in SHAPES[:2]:
        pytest.skip("other cells in two shapes only")
    if "weight_hh" not in spec.CELLS[cell].parameters and shape.get("zoneout"):
        shape = {name: value for name, value in shape.items() if name != "zoneout"}
    learnt = make(shape, cell=cell)
    config, tensors = learnt.export()
    runtime.BidirectionalLanguageModel(config, tensors, tiny.tokenizer()).save(tmp_path)
    model = runtime.BidirectionalLanguageModel.load(tmp_path)
    tokens = np.random.default_rng(5).integers(0, V, 90)
    starts = np.array([0, 60, 61])
    streams = data.Streams(tokens, starts, begin_id=model.begin_id, batch_size=1, window=100, both_sides=True)
    want = []
    with torch.no_grad():
        for window in streams:
            hidden, _ = learnt(torch.from_numpy(window.inputs))
            want.append(learnt.log_prob(hidden)[:, 0].numpy())
    for begin, end, found in zip(starts, [60, 61, 90], want, strict=True):
        got = model(tokens[begin:end, None])[:, 0]
        error = np.linalg.norm(got - found) / np.linalg.norm(found)
        assert error < 1e-5, f"{error:.2e}"


def test_a_bundle_of_one_direction_is_not_taken_for_it() -> None:
    config, tensors = make({}).export()
    with pytest.raises(ConfigError, match="is no bidirectional language model"):
        Cloze.from_export({**config, "kind": "language_model"}, tensors)
    again = Cloze.from_export(config, tensors)
    assert [name for name, _ in again.named_parameters()] == [name for name, _ in make({}).named_parameters()]
