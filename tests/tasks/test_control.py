"""Learning to act: episodes side by side, seeds that are apart, a search that repeats, and a memory that is needed."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from rnnkit.data.environments import Environment
from rnnkit.tasks.control import PolicySearch
from rnnkit.tasks.control_config import ControlConfig
from rnnkit.tasks.control_score import TEST, VALID, Chance, Forgetting, Remembering, play, rows_of

pytest.importorskip("gymnasium")
pytest.importorskip("cma")


def made(cell: str = "elman_tanh", **training: Any) -> PolicySearch:
    config = ControlConfig.model_validate(
        {"data": {"sources": ["CartPole-v1"], "hide": ["1", "3"], "num_valid": 4},
         "model": {"cell": cell, "hidden_size": 5}, "training": {"generations": 3, "episodes": 3, **training}}
    )  # fmt: skip
    return PolicySearch(config, Environment("CartPole-v1", hide=["1", "3"]))


def weights_of(search: PolicySearch, seed: int = 3) -> np.ndarray:
    return np.random.Generator(np.random.Philox(seed)).normal(size=search.size)


@pytest.mark.parametrize("cell", ["elman_tanh", "gru_after", "lstm"])
def test_an_episode_is_the_same_beside_others_and_alone(cell: str) -> None:
    search = made(cell)
    policy = Remembering(search.model(search.tensors(weights_of(search))))
    seeds = [11, 12, 13, 14, 15]
    together = play(search.environment, policy, seeds)
    alone = [play(search.environment, policy, [seed]) for seed in seeds]
    assert together.returns.tolist() == [one.returns[0] for one in alone]
    assert len(set(together.returns.tolist())) > 1  # or the episodes say nothing
    assert (together.first.actions == alone[0].first.actions).all()
    assert (together.first.columns == alone[0].first.columns).all()


def test_a_policy_acts_as_the_same_network_over_the_whole_episode() -> None:
    search = made("gru_after")
    model = search.model(search.tensors(weights_of(search)))
    course = play(search.environment, Remembering(model), [21]).first
    (whole,) = model.log_probs([course.columns[:, [0, 2]]])
    assert (whole.argmax(1) == course.actions).all()


def test_one_that_forgets_sees_every_step_as_the_first() -> None:
    search = made()
    model = search.model(search.tensors(weights_of(search)))
    course = play(search.environment, Forgetting(model), [21]).first
    seen = course.columns[:, [0, 2]]
    afresh = [model.log_probs([seen[t : t + 1]])[0].argmax() for t in range(len(seen))]
    assert afresh == course.actions.tolist()
    (whole,) = model.log_probs([seen])
    assert whole.argmax(1).tolist() != afresh  # or memory would change nothing here


def test_hidden_columns_change_nothing_that_a_policy_does() -> None:
    search = made()
    policy = Remembering(search.model(search.tensors(weights_of(search))))
    course = play(search.environment, policy, [21]).first
    state, said = policy.start(1), []
    for row in course.columns:
        changed = row.copy()
        changed[[1, 3]] = 1e3
        action, state = policy.act(changed[None, search.environment.numbers], state)
        said.append(int(action[0]))
    assert said == course.actions.tolist()


def test_seeds_that_train_validate_and_judge_are_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    import rnnkit.tasks.control as control

    used: list[int] = []

    def watched(environment: Environment, policy: Any, seeds: Any) -> Any:
        used.extend(seeds)
        return play(environment, policy, seeds)

    monkeypatch.setattr(control, "play", watched)
    search = made(eval_every=2)
    search.search("policy", Remembering)
    trained = [seed for seed in used if seed < VALID]
    assert len(set(trained)) == 30 + 3 * 3  # the scales' episodes, and others in every generation
    assert {seed for seed in used if seed >= VALID} == set(range(VALID, VALID + 4))
    assert max(used) < TEST


def test_a_search_repeats_and_another_seed_is_another_one() -> None:
    found = [made(seed=seed).search("policy", Remembering) for seed in (0, 0, 1)]
    assert all((found[0].tensors[name] == array).all() for name, array in found[1].tensors.items())
    assert any((found[0].tensors[name] != array).any() for name, array in found[2].tensors.items())
    assert found[0].generations == 3


def test_the_search_leaves_the_random_numbers_of_others_alone() -> None:
    np.random.seed(5)
    wanted = np.random.random()
    np.random.seed(5)
    made().search("policy", Remembering)
    assert np.random.random() == wanted


def test_the_weights_kept_are_those_of_the_best_validation() -> None:
    events: list[dict[str, Any]] = []
    search = made(generations=6, eval_every=1)
    found = search.search("policy", Remembering, [events.append])
    held_out = [event["held_out"] for event in events]
    policy = Remembering(search.model(found.tensors))
    assert play(search.environment, policy, range(VALID, VALID + 4)).returns.mean() == max(held_out)
    assert [point["held_out"] for point in found.curve] == held_out


def test_a_target_and_a_time_limit_end_the_search() -> None:
    assert made(generations=50, eval_every=1, target=1.0).search("policy", Remembering).generations == 1
    assert made(generations=50, time_limit_s=1e-9).search("policy", Remembering).generations == 1


def test_every_option_of_the_search_changes_it() -> None:
    plain = made().search("policy", Remembering)
    for option in ({"population": 4}, {"sigma": 0.1}, {"episodes": 2}):
        other = made(**option).search("policy", Remembering)
        assert any((plain.tensors[name] != array).any() for name, array in other.tensors.items()), option


def test_rows_say_the_paired_difference_to_the_policy() -> None:
    ours, theirs = np.array([10.0, 20.0, 30.0, 40.0]), np.array([9.0, 18.0, 29.0, 36.0])
    model, baseline = rows_of([("policy", ours, {"num_parameters": 3}), ("feed-forward", theirs, {})])
    assert model["mean_return"] == 25.0
    assert model["low"] < 25 < model["high"]
    assert model["num_parameters"] == 3
    assert "difference" not in model
    assert baseline["difference"] == -2.0
    assert -4 <= baseline["difference_low"] < -2 < baseline["difference_high"] <= -1
    assert (baseline["lowest"], baseline["highest"]) == (9.0, 36.0)


def test_chance_takes_every_action_and_repeats() -> None:
    chance = Chance(3, seed=4)
    draws = []
    for _ in range(2):
        state = chance.start(200)
        draws.append(chance.act(np.zeros((200, 1)), state)[0].tolist())
    assert draws[0] == draws[1]
    assert set(draws[0]) == {0, 1, 2}


def test_nothing_of_it_imports_torch(tmp_path: Any) -> None:
    code = tmp_path / "no_torch.py"
    code.write_text(
        "import sys\nimport rnnkit\n"
        "policy = rnnkit.Policy.train('CartPole-v1', hide=['1', '3'], generations=1, episodes=1, num_valid=2,\n"
        f"                             num_test=3, run={str(tmp_path / 'run')!r})\n"
        "assert policy.evaluate()['model']['num_episodes'] == 3\n"
        "assert 'torch' not in sys.modules\n"
    )

    done = subprocess.run([sys.executable, str(code)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_memory_balances_what_no_memory_can() -> None:
    config = ControlConfig.model_validate(
        {"data": {"sources": ["CartPole-v1"], "hide": ["1", "3"]}, "training": {"target": 480}}
    )
    search = PolicySearch(config, Environment("CartPole-v1", hide=["1", "3"]))
    seeds = range(TEST, TEST + 20)
    found = {kind: search.search(kind.__name__, kind).tensors for kind in (Remembering, Forgetting)}
    means = {kind: play(search.environment, kind(search.model(of)), seeds).returns.mean() for kind, of in found.items()}
    assert means[Remembering] > 400
    assert means[Forgetting] < 100
