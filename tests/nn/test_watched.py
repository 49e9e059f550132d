"""Watched layers are the layers themselves, step by step, with every state and use of a weight in the graph."""

import pytest
import torch

from rnnkit.errors import ArgumentError
from rnnkit.nn import Recurrent, Watched, spec

KINDS = {
    "plain": {},
    "two layers, both directions": {"num_layers": 2, "bidirectional": True},
    "residual": {"num_layers": 3, "residual": True},
    "layer norm": {"layer_norm": True, "num_layers": 2},
    "zoneout": {"zoneout": 0.25},
    "own first state": {"trainable_state": True},
    "projected": {"proj_size": 4},
    "no bias": {"bias": False},
}


def layers(cell: str = "lstm", **options: object) -> Recurrent:
    torch.manual_seed(1)
    made = Recurrent(cell, 5, 6, dtype=torch.float64, backend="spec", **options).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.uniform_(-0.8, 0.8)
    return made


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS.keys())
def test_watching_changes_no_output_state_or_gradient(options: dict[str, object]) -> None:
    plain = layers(**options)
    x = torch.randn(7, 3, 5, dtype=torch.float64)
    y, state = plain(x)
    watched_y, watched_state = Watched(plain)(x)
    torch.testing.assert_close(watched_y, y, rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(watched_state.layers, state.layers, strict=True):
        assert ours.keys() == theirs.keys()
        for part in theirs:
            torch.testing.assert_close(ours[part], theirs[part], rtol=1e-12, atol=1e-12)
    upstream = torch.randn_like(y)
    parameters = [*plain.parameters()]
    wanted = torch.autograd.grad((y * upstream).sum(), parameters)
    got = torch.autograd.grad((watched_y * upstream).sum(), parameters)
    for ours, theirs in zip(got, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)


def test_ids_and_an_embedding_are_read_as_layers_read_them() -> None:
    plain, ids = layers(), torch.tensor([[2], [0], [1]])
    table = torch.randn(3, 5, dtype=torch.float64)
    torch.testing.assert_close(Watched(plain)(ids, embedding=table)[0], plain(ids, embedding=table)[0])
    torch.testing.assert_close(Watched(plain)(ids)[0], plain(ids)[0])


@pytest.mark.parametrize("cell", spec.CELLS)
@pytest.mark.parametrize("direction", [0, 1])
def test_a_jacobian_is_what_autograd_gives_one_row_at_a_time(cell: str, direction: int) -> None:
    watched = Watched(layers(cell, bidirectional=True))
    watched(torch.randn(4, 1, 5, dtype=torch.float64))
    track = watched.tracks[direction]
    before = track.before(2)
    assert before is track.states[3 if direction else 1]
    wanted = torch.autograd.functional.jacobian(
        lambda *parts: torch.cat(track.step(2, parts), dim=1)[0], tuple(part.detach() for part in before)
    )
    torch.testing.assert_close(track.jacobian(2), torch.cat([part[:, 0] for part in wanted], dim=1))


def test_the_uses_of_a_weight_add_up_to_it_and_differ() -> None:
    watched = Watched(layers())
    y, _ = watched(torch.randn(5, 2, 5, dtype=torch.float64))
    (track,) = watched.tracks
    parts = torch.autograd.grad(y.sum(), [one["weight_hh"] for one in track.weights], retain_graph=True)
    (whole,) = torch.autograd.grad(y.sum(), watched.layers.weight_hh_l0)
    torch.testing.assert_close(sum(parts), whole)
    assert not torch.allclose(parts[1], parts[3])


def test_rows_that_end_early_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"lengths=\[3, 2\].*3 steps long in every row"):
        Watched(layers())(torch.randn(3, 2, 5, dtype=torch.float64), lengths=[3, 2])
