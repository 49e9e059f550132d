"""Environments: columns by name and number, hidden ones, and what cannot be learned refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from rnnkit.data.environments import Environment
from rnnkit.errors import ArgumentError, DataError

gymnasium = pytest.importorskip("gymnasium")


def test_hidden_and_observed_columns_are_the_same_choice_said_twice() -> None:
    for given in (
        {"hide": ["cart_velocity", "pole_velocity"]},
        {"hide": ["1", "3"]},
        {"observe": ["cart_position", "2"]},
    ):
        environment = Environment("CartPole-v1", **given)
        assert environment.observed == ["cart_position", "pole_angle"]
        assert environment.hidden == ["cart_velocity", "pole_velocity"]
        assert environment.numbers == [0, 2]
    assert Environment("CartPole-v1", observe=["pole_angle", "0"]).numbers == [2, 0]  # in the order that is given
    assert Environment("CartPole-v1").numbers == [0, 1, 2, 3]


def test_rows_are_episodes_of_gymnasium_itself_with_their_seeds() -> None:
    environment = Environment("CartPole-v1")
    columns = environment.reset([7, 5])
    theirs = gymnasium.make("CartPole-v1")
    assert columns[1].tolist() == theirs.reset(seed=5)[0].tolist()
    seen, reward, is_over = environment.step(1, 1)
    wanted, wanted_reward, ended, cut, _ = theirs.step(1)
    assert (seen.tolist(), reward, is_over) == (wanted.tolist(), wanted_reward, ended or cut)


def test_max_steps_cuts_an_episode_off() -> None:
    environment = Environment("MountainCar-v0", max_steps=3)
    environment.reset([0])
    assert [environment.step(0, 0)[2] for _ in range(3)] == [False, False, True]
    assert environment.max_steps == 3
    assert environment.columns == ["position", "velocity"]


@pytest.mark.parametrize(
    ("name", "given", "error", "told"),
    [
        ("CartPole-v1", {"hide": ["pole_speed"]}, ArgumentError, "cart_position, cart_velocity"),
        ("CartPole-v1", {"observe": ["4"]}, ArgumentError, "no column '4'"),
        ("CartPole-v1", {"observe": ["0", "cart_position"]}, ArgumentError, "each once"),
        ("CartPole-v1", {"hide": ["0", "1", "2", "3"]}, ArgumentError, "one or more"),
        ("CartPole-v1", {"hide": ["0"], "observe": ["1"]}, ArgumentError, "one of them"),
        ("CartPool-v1", {}, DataError, "is it CartPole-v1"),
        ("Pendulum-v1", {}, DataError, "Discrete"),
        ("FrozenLake-v1", {}, DataError, "row of numbers"),
        ("no_such_module_at_all:Env-v0", {}, DataError, "no_such_module_at_all"),
    ],
)
def test_what_cannot_be_learned_is_refused_by_name(name: str, given: dict, error: type, told: str) -> None:
    with pytest.raises(error, match=told):
        Environment(name, **given)


def test_episodes_without_an_end_are_refused_until_they_have_one() -> None:
    gymnasium.register("Endless-v0", entry_point="gymnasium.envs.classic_control:CartPoleEnv")
    try:
        with pytest.raises(DataError, match="max_steps"):
            Environment("Endless-v0")
        environment = Environment("Endless-v0", max_steps=2)
        assert environment.columns == ["0", "1", "2", "3"]
        assert np.isfinite(environment.reset([1])).all()
    finally:
        del gymnasium.registry["Endless-v0"]
