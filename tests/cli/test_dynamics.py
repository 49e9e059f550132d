"""`rnnkit train dynamics`, and `predict` and `eval` on its runs; no option is ignored."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from arriving import COMMON, check_options
from command import Outcome

from rnnkit.api.dynamics import DynamicsRunConfig

SMALL = ("--max-steps=6", "--hidden-size=6", "--threads=1", "--window=20")
SPECIAL = {
    **COMMON,
    "--input-columns": (["--input-columns", "a,b"], "data.input_columns", ("a", "b")),
    "--output-columns": (["--output-columns", "a"], "data.output_columns", ("a",)),
    "--window": (["--window", "32"], "data.window_steps", 32),
    "--linear": (["--no-linear"], "model.linear", False),
    "--figure": (["--figure", "rmse"], "baselines.figure", "rmse"),
    "--baseline": (["--baseline", "arx"], "baselines.kinds", ("arx",)),
}


def test_every_option_arrives_under_the_key_it_is_named_after(monkeypatch: pytest.MonkeyPatch) -> None:
    check_options("dynamics", "Simulator", DynamicsRunConfig, SPECIAL, monkeypatch)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dynamics") / "my.csv"
    y, rows = 0.0, []
    for t in range(300):
        u = math.sin(t * t / 900)
        rows.append(f"{u:.6f},{y:.6f}\n")
        y = 0.9 * y + 0.2 * u - 0.05 * y**3
    path.write_text("u,y\n" + "".join(rows), encoding="utf-8")
    return path


def test_train_predict_and_eval(file: Path, tmp_path: Path, call: Callable[..., Outcome], monkeypatch: Any) -> None:
    run = tmp_path / "run"
    trained = call("train", "dynamics", file, "--run", run, *SMALL)
    assert trained.code == 0, trained.err
    assert "arx" in trained.out and f"run folder: {run}" in trained.out
    judged = call("eval", run, file, "--json")
    assert judged.code == 0 and json.loads(judged.out)["model"]["num_values"] == 298
    assert "one" in call("eval", run, file).out
    table = call("predict", run, file).out.splitlines()
    assert table[0] == "record\tstep\ty" and len(table) == 301
    with file.open(encoding="utf-8") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        refused = call("predict", run)
    assert refused.code == 1 and "stdin, line 1" in refused.err and "every line is one step: u" in refused.err
    inputs = "".join(line.split(",")[0] + "\n" for line in file.read_text().splitlines()[1:])
    (tmp_path / "in.txt").write_text(inputs, encoding="utf-8")
    with (tmp_path / "in.txt").open(encoding="utf-8") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        followed = call("predict", run).out.splitlines()
    assert followed == [line.split("\t")[2] for line in table[1:]]


def test_verbs_of_texts_refuse_it_by_name(file: Path, tmp_path: Path, call: Callable[..., Outcome]) -> None:
    run = tmp_path / "run"
    assert call("train", "dynamics", file, "--run", run, *SMALL, "--baseline", "arx").code == 0
    for verb in (["score", run, file], ["embed", run, file], ["bench", run], ["sample", run],
                 ["export", run, "--to", "onnx"]):  # fmt: skip
        refused = call(*verb)
        assert (refused.code in (1, 2), refused.err.count("\n")) == (True, 1), (verb, refused.err)
        assert "simulator" in refused.err and "internal" not in refused.err, (verb, refused.err)
    for flag in ("--bytes", "--reset-per-line", "--label-column=a"):
        assert f"{flag.split('=')[0]} has no effect on a simulator" in call("eval", run, file, flag).err
    assert "--bytes has no effect" in call("predict", run, file, "--bytes").err


def test_a_text_among_numbers_is_named_by_row_and_column(tmp_path: Path, call: Callable[..., Outcome]) -> None:
    (tmp_path / "my.csv").write_text("u,y\n1,2\n3,off\n", encoding="utf-8")
    refused = call("train", "dynamics", tmp_path / "my.csv", "--run", tmp_path / "run")
    assert (refused.code, refused.err.count("\n"), (tmp_path / "run").exists()) == (1, 1, False)
    assert "line 3, column 'y': 'off' is no number" in refused.err
