"""`rnnkit train control`, and `predict` and `eval` on its runs; no option is ignored."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command import Outcome, spawn

import rnnkit
from rnnkit.api.config import find_key, known_keys
from rnnkit.api.controlling import ControlRunConfig
from rnnkit.bundle import environment as environment_file
from rnnkit.bundle import read_bundle
from rnnkit.cli.train_options import NOT_CONFIG
from rnnkit.errors import ArgumentError, SchemaError

pytest.importorskip("gymnasium")
pytest.importorskip("cma")

SMALL = ("--generations=2", "--episodes=2", "--num-valid=2", "--num-test=4", "--hidden-size=3")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("control") / "run"
    options = {"generations": 2, "episodes": 2, "num_valid": 2, "num_test": 4, "hidden_size": 3}
    rnnkit.Policy.train("CartPole-v1", hide=["cart_velocity", "pole_velocity"], run=folder, **options)
    return folder


def test_every_option_is_a_configuration_key_and_every_key_an_option() -> None:
    import typer

    from rnnkit.cli import app

    command = typer.main.get_command(app).commands["train"].commands["control"]  # type: ignore[attr-defined]
    keys = known_keys(ControlRunConfig)
    names = [parameter.name for parameter in command.params if parameter.name not in NOT_CONFIG]
    assert {find_key(name, keys) for name in names} == set(keys) - {"data.sources"}


def test_every_option_arrives(call: Callable[..., Outcome], tmp_path: Path) -> None:
    flags = ("--observe=pole_angle,0", "--max-steps=30", "--cell=gru_after", "--hidden-size=3,2", "--seed=4",
             "--generations=2", "--population=4", "--episodes=2", "--sigma=0.5", "--eval-every=1", "--target=900",
             "--time-limit=1m", "--num-valid=3", "--num-test=5", "--baseline=random")  # fmt: skip
    done = call("train", "control", "CartPole-v1", "--run", tmp_path / "run", *flags, "--json")
    assert done.code == 0, done.err
    metrics = json.loads(done.out)
    config = metrics["config"]
    assert config["data"] == {
        "sources": ["CartPole-v1"], "observe": ["pole_angle", "0"], "hide": [], "max_steps": 30, "num_valid": 3,
        "num_test": 5,
    }  # fmt: skip
    assert config["model"] == {"cell": "gru_after", "hidden_size": [3, 2], "num_layers": 1}
    assert config["training"] == {
        "seed": 4, "generations": 2, "population": 4, "episodes": 2, "sigma": 0.5, "eval_every": 1, "target": 900,
        "time_limit_s": 60,
    }  # fmt: skip
    assert [row["name"] for row in metrics["baselines"]] == ["random"]
    assert metrics["data"]["observed"] == ["pole_angle", "cart_position"]
    assert metrics["model"]["highest"] <= 30
    model = read_bundle(tmp_path / "run").config["model"]
    assert (model["input_size"], model["hidden_size"], model["num_layers"]) == (2, [3, 2], 2)


def test_a_run_prints_a_table_and_is_judged_and_asked(call: Callable[..., Outcome], tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = call("train", "control", "CartPole-v1", "--hide=1,3", "--run", run, *SMALL)
    assert done.code == 0, done.err
    assert "feed-forward" in done.out
    assert "generation 2/2" in done.err
    for name in ("episode.png", "curve.png", "report.html", "README.md", "metrics.json", "run.yaml"):
        assert (run / name).stat().st_size > 100
    judged = call("eval", run, "CartPole-v1", "--json")
    assert judged.code == 0, judged.err
    trained = json.loads((run / "metrics.json").read_text())
    again = json.loads(judged.out)
    for row, before in zip(
        (again["model"], *again["baselines"]), (trained["model"], *trained["baselines"]), strict=True
    ):
        assert row == before
    said = spawn("predict", run, stdin="0.1,0.02\n-0.1,-0.2\n")
    assert said.code == 0, said.err
    model = rnnkit.load(run)
    wanted = model.predict([np.array([[0.1, 0.02], [-0.1, -0.2]])])[0]
    assert [line.split("\t")[0] for line in said.out.splitlines()] == wanted


def test_a_run_is_loaded_as_a_policy_that_acts_step_by_step(run: Path) -> None:
    policy = rnnkit.load(run)
    assert isinstance(policy, rnnkit.Policy)
    assert policy.surroundings.observed == ["cart_position", "pole_angle"]
    seen = np.random.Generator(np.random.Philox(1)).normal(size=(6, 2)).astype(np.float32)
    state, actions = None, []
    for row in seen:
        action, state = policy.act(row, state)
        actions.append(action)
    assert actions == policy.predict([seen])[0]
    digest = policy.save(run.parent / "copy")
    assert digest == policy.digest
    assert isinstance(rnnkit.load(run.parent / "copy"), rnnkit.Policy)


def test_more_episodes_are_other_figures(run: Path) -> None:
    policy = rnnkit.Policy.load(run)
    assert policy.evaluate(num_episodes=9)["model"]["num_episodes"] == 9
    cut = policy.evaluate("CartPole-v1", max_steps=5)
    assert cut["model"]["mean_return"] == 5.0
    with pytest.raises(ArgumentError, match="at least 2"):
        policy.evaluate(num_episodes=1)


def test_another_environment_is_refused_by_its_columns(run: Path, call: Callable[..., Outcome]) -> None:
    done = call("eval", run, "Acrobot-v1")
    assert done.code != 0
    assert "cart_position" in done.err
    for flag in ("--label-column=x", "--bytes", "--encoding=latin-1", "--num-beams=2"):
        refused = call("eval", run, "CartPole-v1", flag)
        assert refused.code == 2, flag
        assert "policy" in refused.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "name one environment"),
        (("CartPole-v1", "Acrobot-v1"), "name one environment"),
        (("CartPole-v1", "--hide=speed"), "has no column 'speed'"),
        (("CartPole-v1", "--hide=0", "--observe=1"), "give one of them"),
        (("CartPole-v9",), "CartPole"),
        (("CartPole-v1", "--cell=gru"), "did you mean"),
        (("CartPole-v1", "--baseline=oracle"), "feed-forward"),
        (("CartPole-v1", "training.resume=1"), "unknown key"),
    ],
)
def test_wrong_use_is_one_line_and_leaves_nothing(
    arguments: tuple[str, ...], told: str, call: Callable[..., Outcome], tmp_path: Path
) -> None:
    done = call("train", "control", *arguments, "--run", tmp_path / "run")
    assert done.code != 0
    assert told in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_run_is_replaced_only_with_force(run: Path, call: Callable[..., Outcome], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    rnnkit.Policy.load(run).save(folder)
    assert call("train", "control", "CartPole-v1", "--run", folder, *SMALL).code == 2
    assert call("train", "control", "CartPole-v1", "--run", folder, "--force", *SMALL).code == 0
    assert rnnkit.Policy.load(folder).surroundings.observed == rnnkit.Policy.load(folder).surroundings.columns


def test_a_damaged_environment_file_is_refused_by_name(run: Path) -> None:
    good = environment_file.to_bytes("CartPole-v1", ["a", "b"], ["a", "b"])
    found = environment_file.from_files({"environment.json": good}, input_size=2)
    assert found == ("CartPole-v1", ["a", "b"], ["a", "b"])
    assert environment_file.from_files({}, input_size=2) is None
    for bad in (
        environment_file.to_bytes("CartPole-v1", ["a", "b"], ["a"]),
        environment_file.to_bytes("CartPole-v1", ["a", "b"], ["a", "c"]),
        environment_file.to_bytes("CartPole-v1", ["a", "a"], ["a", "a"]),
        b'{"environment": "x"}',
        b'{"environment": 1, "columns": ["a", "b"], "observed": ["a", "b"]}',
        b'{"environment": "x", "columns": "ab", "observed": ["a", "b"]}',
        b"[]",
    ):
        with pytest.raises(SchemaError, match=r"environment\.json"):
            environment_file.from_files({"environment.json": bad}, input_size=2)
