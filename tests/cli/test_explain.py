"""`rnnkit explain` on real runs: what it writes, and what it refuses in one line."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from command import Outcome, spawn


@pytest.fixture(scope="module")
def report(trained: tuple[Path, Outcome], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """The report on a small language model."""
    out = tmp_path_factory.mktemp("explain") / "report"
    outcome = spawn("explain", trained[0], "the cat sat on the log", "--out", out)
    assert outcome.code == 0, outcome.err
    return out, outcome


def test_the_page_holds_its_pictures_and_asks_no_host(report: tuple[Path, Outcome]) -> None:
    folder, outcome = report
    page = (folder / "report.html").read_text(encoding="utf-8")
    pictures = {path.name for path in folder.glob("*.png")}
    assert pictures >= {"trace_l0.png", "gradient_flow.png", "reach_l0.png", "singular_values.png", "cells.png"}
    assert page.count("data:image/png;base64,") == len(pictures)
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert "http" not in page.replace('xmlns="http://www.w3.org/2000/svg"', "")  # a name, which nobody is asked for
    assert page.count("<svg") == 1
    assert "color-scheme: light dark" in page
    assert "@media print" in page
    assert f"report: {folder / 'report.html'}" in outcome.out


def test_the_numbers_beside_it_are_of_the_text(report: tuple[Path, Outcome]) -> None:
    folder, outcome = report
    values = json.loads((folder / "explain.json").read_text(encoding="utf-8"))
    assert len(values["pieces"]) == len("the cat sat on the log")
    assert values["pieces"][1:] == list("the▁cat▁sat▁on▁the▁lo")
    assert values["pairs"]["relative_error"] < 1e-6
    assert values["saliency"]["of"] == "g"
    assert values["saliency"]["error"] < 1e-3
    assert len(values["saliency"]["occlusion"]) == len(values["pieces"])
    metrics = json.loads((Path(values["run"]) / "metrics.json").read_text(encoding="utf-8"))
    assert values["num_parameters"] == metrics["model"]["num_parameters"]
    assert np.sum(values["pairs"]["shares"]) == pytest.approx(1, abs=1e-3)
    assert f"{values['memory_length']} steps" in outcome.out
    with np.load(folder / "trace.npz") as arrays:
        assert {*arrays} == {f"l0.{name}" for name in "ifgohc"}
        assert arrays["l0.h"].shape == (22, 16)
        name, shown = next(iter(values["units"].items()))
        _, part, unit = name.split(".")
        np.testing.assert_allclose(arrays[f"l0.{part}"][:, int(unit)], shown, rtol=1e-5)


def test_a_window_shorter_than_the_memory_is_warned_of(call, run: Path, tmp_path: Path) -> None:
    """The run itself was trained with a window of 16; of a copy the folder says 1."""
    import shutil

    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    metrics["config"]["training"]["window"] = 1
    (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    outcome = call("explain", folder, "the cat sat on the log")
    assert outcome.code == 0, outcome.err
    assert "Training cut the gradient after 1 steps" in outcome.out
    assert "Warning" in (folder / "explain" / "report.html").read_text(encoding="utf-8")
    assert "cut the gradient" not in call("explain", run, "the cat", "--out", tmp_path / "other").out


def test_without_a_text_the_runs_held_out_data_are_read(call, run: Path, tmp_path: Path) -> None:
    outcome = call("explain", run, "--out", tmp_path / "out", "--json", "--unit", "l0.c.2")
    values = json.loads(outcome.out)
    assert len(values["pieces"]) == 100
    assert [*values["units"]] == ["l0.c.2"]
    assert "held-out data" in values["notes"][0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--unit", "l3.h.0"], "unit 'l3.h.0' does not exist"),
        (["--weight", "head.weight"], "weight 'head.weight' is none of weight_ih_l0"),
        ([""], "the input has no step; give a text"),
    ],
)
def test_what_is_not_there_is_named_in_one_line(
    call, run: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    outcome = call("explain", run, *([] if arguments == [""] else ["the cat"]), *arguments, "--out", tmp_path / "out")
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_long_text_is_cut_and_the_page_says_so(call, run: Path, tmp_path: Path) -> None:
    outcome = call("explain", run, "the cat sat. " * 100, "--out", tmp_path / "out", "--json")
    values = json.loads(outcome.out)
    assert len(values["pieces"]) == 1000
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "The input has 1,300 steps: the first 1,000 were read." in page
    assert "Gradients are those of the first 100 steps." in page


def test_a_recogniser_and_a_model_of_both_sides(call, tmp_path: Path, text_file: Path) -> None:
    small = ("--epochs", "0.2", "--num-train", "60", "--num-valid", "20", "--num-test", "20", "--baseline", "majority")
    assert call("train", "grammar", "tomita-1", "--run", tmp_path / "g", *small).code == 0
    outcome = call("explain", tmp_path / "g", "1110111", "--json")
    values = json.loads(outcome.out)
    assert values["pieces"] == list("1110111")
    assert values["warning"] is None
    assert len(values["losses"]) == 1
    outcome = call("train", "lm", text_file, "--bidirectional", "--run", tmp_path / "b", "--hidden-size", "8",
                   "--max-steps", "2", "--baseline", "unigram")  # fmt: skip
    assert outcome.code == 0, outcome.err
    outcome = call("explain", tmp_path / "b", "the cat")
    assert outcome.code == 2
    assert (
        "holds a bidirectional language model; explain looks into a language model that reads forwards" in outcome.err
    )


def test_a_worked_example_on_the_terminal_and_on_a_page(call, tmp_path: Path) -> None:
    outcome = call("explain", "--worked", "hello", "--out", tmp_path / "w")
    assert outcome.code == 0, outcome.err
    assert "h' = tanh(W x + b + U h + b_h)" in outcome.out
    page = (tmp_path / "w" / "report.html").read_text(encoding="utf-8")
    values = json.loads((tmp_path / "w" / "explain.json").read_text(encoding="utf-8"))
    for block in values["blocks"]:
        assert f"## {block['title']}" in outcome.out
    assert outcome.out.count("Forward, step") == outcome.out.count("Backward, step") == 4
    (loss,) = [row[2] for block in values["blocks"] if block["title"] == "The loss" for row in block["rows"]]
    assert f"{loss:+.4f}" in outcome.out
    assert f"{loss:+.4f}" in page
    assert page.count("<svg") == 1
    assert not re.findall(r'(?:src|href)="', page)


def test_a_worked_example_takes_a_cell_and_sizes(call, tmp_path: Path) -> None:
    outcome = call("explain", "--worked", "ab ab", "--cell", "lstm", "--hidden-size", "2", "--lr", "0.5", "--seed", "3",
                   "--out", tmp_path / "w", "--json")  # fmt: skip
    values = json.loads(outcome.out)
    assert (values["cell"], values["lr"], values["letters"]) == ("lstm", 0.5, "ab ")
    weights = {name: value for name, _, value in values["blocks"][0]["rows"]}
    assert np.shape(weights["weight_hh"]) == (8, 2)
    other = call(
        "explain", "--worked", "ab ab", "--cell", "lstm", "--hidden-size", "2", "--out", tmp_path / "x", "--json"
    )
    assert json.loads(other.out)["blocks"][0] != values["blocks"][0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a RUN to look into, or a word to work through"),
        (["RUN", "--cell", "lstm"], "--cell goes with --worked"),
        (["RUN", "--hidden-size", "3"], "--hidden-size goes with --worked"),
        (["RUN", "--worked", "hello"], "leave RUN and --automaton out"),
        (["--worked", "hello", "--automaton"], "leave RUN and --automaton out"),
        (["--worked", "hello", "--unit", "l0.h.1"], "--unit goes with a trace and has no effect on --worked"),
        (["RUN", "text", "--automaton"], "TEXT goes with a trace and has no effect on --automaton"),
        (["RUN", "--tolerance", "0.1"], "--tolerance goes with --automaton and has no effect on a trace"),
        (["--worked", "aa"], "a worked example takes 2 to 40"),
        (["--worked", "hello", "--cell", "nought"], "cell='nought' does not exist"),
    ],
)
def test_what_does_not_go_together_is_refused(
    call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = call("explain", *arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert not [*tmp_path.iterdir()]


@pytest.fixture(scope="module")
def ones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has learned 1*, the first of Tomita's languages."""
    folder = tmp_path_factory.mktemp("ones") / "run"
    outcome = spawn("train", "grammar", "tomita-1", "--run", folder, "--longest", "12", "--num-train", "1500",
                    "--num-valid", "200", "--num-test", "50", "--epochs", "8", "--hidden-size", "16", "--restarts", "3",
                    "--baseline", "majority", "--threads", "1")  # fmt: skip
    assert outcome.code == 0, outcome.err
    return folder


def test_the_automaton_of_a_trained_network(call, ones: Path, tmp_path: Path) -> None:
    pytest.importorskip("aalpy")
    outcome = call("explain", ones, "--automaton", "--num-tests", "1000", "--num-checks", "2000")
    assert outcome.code == 0, outcome.err
    assert "2 states" in outcome.out
    assert "accepts exactly the texts of tomita-1" in outcome.out
    assert "network and automaton disagree on 0; wrong are the network about 0, the automaton about 0" in outcome.out
    folder = ones / "automaton"
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 1
    assert (folder / "automaton.svg").read_text(encoding="utf-8") in page
    assert not re.findall(r'(?:src|href)="', page)
    from rnnkit.automata import Dfa, named

    written = Dfa.from_dict(json.loads((folder / "automaton.json").read_text(encoding="utf-8")))
    assert written.counterexample(named("tomita-1")) is None
    outcome = call("explain", ones, "--automaton", "--against", "(11)*", "--num-tests", "100", "--num-checks", "100",
                   "--out", tmp_path / "out", "--json")  # fmt: skip
    values = json.loads(outcome.out)
    assert (values["is_equal"], values["shortest_difference"]) == (False, "1")
    assert values["check"]["automaton_wrong"] == values["check"]["network_wrong"] > 0


def test_the_written_automaton_is_a_grammar_to_train_on(call, ones: Path, tmp_path: Path) -> None:
    pytest.importorskip("aalpy")
    assert (
        call("explain", ones, "--automaton", "--num-tests", "100", "--num-checks", "100", "--out", tmp_path).code == 0
    )
    outcome = call("train", "grammar", tmp_path / "automaton.json", "--run", tmp_path / "run", "--max-steps", "1",
                   "--num-train", "40", "--num-valid", "20", "--num-test", "20", "--baseline", "automaton")  # fmt: skip
    assert outcome.code == 0, outcome.err


def test_no_automaton_of_a_language_model(call, run: Path) -> None:
    outcome = call("explain", run, "--automaton")
    assert outcome.code == 2
    assert (
        "is no classifier of texts by character with one label each, and so no acceptor; name a run of" in outcome.err
    )
