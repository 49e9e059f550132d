"""`rnnkit train grammar`, and `predict` and `eval` on its runs; no option is ignored."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Outcome

from rnnkit.api.config import find_key, known_keys
from rnnkit.api.grammar import GrammarRunConfig
from rnnkit.cli.train_options import NOT_CONFIG

SMALL = ("--longest=5", "--num-train=40", "--num-valid=20", "--num-test=40", "--max-steps=3", "--threads=1")


def test_every_option_is_a_configuration_key() -> None:
    import typer

    from rnnkit.cli import app

    command = typer.main.get_command(app).commands["train"].commands["grammar"]  # type: ignore[attr-defined]
    keys = known_keys(GrammarRunConfig)
    names = [parameter.name for parameter in command.params if parameter.name not in NOT_CONFIG]
    assert {find_key(name, keys) for name in names} <= set(keys)
    assert {key for key in keys if key.startswith("data.")} - {"data.sources"} <= {
        find_key(name, keys) for name in names
    }


def test_every_text_option_of_the_grammar_arrives(call: Callable[..., Outcome], tmp_path: Path) -> None:
    run = tmp_path / "run"
    wanted = {
        "near_share": 0.25,
        "short_bias": 0.5,
        "sample_seed": 3,
        "test_longest": 9,
        "valid_longest": 8,
        "symbols": "abc",
    }
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in wanted.items()]
    done = call("train", "grammar", "(ab|c)*", "--run", run, *SMALL, *flags, "--forward", "--readout=last", "--json")
    assert done.code == 0, done.err
    config = json.loads(done.out)["config"]
    assert config["data"] == {**config["data"], **wanted, "longest": 5, "num_train": 40, "sources": ["(ab|c)*"]}


def test_a_run_prints_a_table_and_its_lengths_and_is_used_like_any_classifier(
    call: Callable[..., Outcome], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    done = call("train", "grammar", "tomita-4", "--run", run, *SMALL, "--baseline=automaton", "--baseline=majority")
    assert done.code == 0, done.err
    assert "automaton" in done.out
    assert "0 to     5 characters:" in done.out
    assert "46 to    50 characters:" in done.out
    table = tmp_path / "table.csv"
    table.write_text("label,text\naccepted,0101\nrejected,10001\n")
    judged = call("eval", run, table, "--json")
    assert judged.code == 0, judged.err
    exact = json.loads(judged.out)["baselines"][0]
    assert (exact["name"], exact["accuracy"]) == ("automaton", 1.0)
    labelled = call("predict", run, table)
    assert labelled.code == 0, labelled.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "data.sources is missing"),
        (("tomita-9",), "'tomita-9' is none of tomita-1"),
        (("(ab", "--longest=5"), "not closed"),
        (("parity", "--symbols=01"), "belongs to a regular expression"),
        (("parity", "--hidden-siz=3"), "No such option"),
        (("absent.json",), "absent.json: No such file"),
    ],
)
def test_a_mistake_is_one_line(
    call: Callable[..., Outcome], tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    refused = call("train", "grammar", *arguments, "--run", tmp_path / "run")
    assert refused.code in (1, 2)
    assert message in refused.err
    assert len(refused.err.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()
