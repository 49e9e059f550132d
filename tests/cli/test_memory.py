"""`rnnkit train memory`: a table, a page and a picture; and what it refuses in one line."""

import json
import re
from pathlib import Path

import pytest

FAST = ("--max-steps", "30", "--longest", "8", "--hidden-size", "8", "--batch-size", "8", "--threads", "1")


def test_it_leaves_a_table_a_page_and_a_picture(call, tmp_path: Path) -> None:
    outcome = call("train", "memory", "recall", "adding", "--cell", "gru_after", "--cell", "min_gru", *FAST,
                   "--run", tmp_path / "run")  # fmt: skip
    assert outcome.code == 0, outcome.err
    values = json.loads((tmp_path / "run" / "memory.json").read_text(encoding="utf-8"))
    assert [*values["tasks"]] == ["recall", "adding"]
    for of_task in values["tasks"].values():
        names = [row["name"] for row in of_task["rows"]]
        assert names == ["gru_after", "min_gru", "window MLP, 8 steps", "memoryless guess"]
        for row in of_task["rows"]:
            assert len(row["accuracy"]) == len(of_task["distances"])
            assert all(f"{share:.0%}" in outcome.out for share in row["accuracy"])
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 1
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert (tmp_path / "run" / "memory.png").read_bytes().startswith(b"\x89PNG")
    again = call("train", "memory", "recall", *FAST, "--run", tmp_path / "run")
    assert again.code == 2
    assert "already holds a run" in again.err


def test_every_option_changes_the_numbers_and_the_same_ones_repeat_them(call, tmp_path: Path) -> None:
    def losses(number: int, *options: str) -> list[float]:
        outcome = call("train", "memory", "copy", "--cell", "lstm", *FAST, *options, "--json", "--run",
                       tmp_path / str(number))  # fmt: skip
        assert outcome.code == 0, outcome.err
        return [row.get("loss", 0.0) for row in json.loads(outcome.out)["tasks"]["copy"]["rows"]]

    plain = losses(0)
    assert losses(1) == plain
    options = [("--seed", "1"), ("--lr", "0.01"), ("--clip-norm", "0.01"), ("--init", "orthogonal"), ("--chrono", "9"),
               ("--batch-size", "9"), ("--hidden-size", "9"), ("--max-steps", "31"), ("--longest", "9")]  # fmt: skip
    for number, option in enumerate(options, start=2):
        assert losses(number, *option)[0] != plain[0], option


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["echo"], "task 'echo' does not exist; choose of copy, adding, recall"),
        (["copy", "copy"], "each once"),
        (["--cell", "nought"], "cell='nought' does not exist"),
        (["--cell", "lstm", "--cell", "lstm"], "each once"),
        (["copy", "--longest", "5"], "longest 5 must be above 5"),
        (["--cell", "elman_tanh", "--chrono", "9"], "chrono"),
        (["--max-steps", "0"], "max_steps"),
        (["--force"], "--force needs to know which run"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = call("train", "memory", *arguments)
    assert outcome.code == 2, outcome.err
    assert message in outcome.err
    assert outcome.err.strip().count("\n") == 0
    assert not [*tmp_path.iterdir()]
