"""`rnnkit export` as it is typed: its table, its JSON, its exit codes, and one line for what is wrong."""

import json
import subprocess
import sys

import pytest
import tiny
from command import spawn

from rnnkit import runtime
from rnnkit.cli import main
from rnnkit.export import gate_order

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture
def run(tmp_path):
    """The folder of a model of a few kilobytes."""
    runtime.LanguageModel.from_parts(*tiny.parts(hidden_size=20)).save(tmp_path / "run")
    return tmp_path / "run"


def test_export_prints_the_parity_table_and_both_files(run, tmp_path):
    (tmp_path / "my.txt").write_text(tiny.TEXT)
    outcome = spawn("export", run, "--to", "onnx", "--sample", tmp_path / "my.txt")
    assert (outcome.code, outcome.err) == (0, "")
    for text in ("relative to their norm", "1e-05", "nats per token", "my.txt", "model.onnx.parity.json"):
        assert text in outcome.out
    assert (run / "model.onnx").is_file() and (run / "model.onnx.parity.json").is_file()


def test_export_int8_json_is_the_report(run, tmp_path, capsys):
    out = tmp_path / "small.onnx"
    assert main(["export", str(run), "--to", "onnx", "--int8", "--out", str(out), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["precision"] == "int8" and report["file"] == "small.onnx"
    assert report == json.loads((tmp_path / "small.onnx.parity.json").read_bytes())
    assert not (run / "model.int8.onnx").exists()


def test_a_file_that_does_not_agree_exits_with_one_and_says_so(run, monkeypatch, capsys):
    monkeypatch.setitem(gate_order.ONNX, "lstm", (0, 1, 2, 3))
    assert main(["export", str(run), "--to", "onnx"]) == 1
    assert "does not compute what this runtime does" in capsys.readouterr().err


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_one_line_that_names_the_extra(run, package):
    code = f"import sys; sys.modules[{package!r}] = None; from rnnkit.cli import main; sys.exit(main())"
    result = subprocess.run(
        [sys.executable, "-c", code, "export", str(run), "--to", "onnx"], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert f"`{package}`; in rnnkit's source folder: pip install '.[onnx]'" in result.stderr
    assert not list(run.glob("*.onnx*"))


def test_wrong_use_is_one_line(run, capsys):
    assert main(["export", str(run), "--to", "tflite"]) == 2
    assert main(["export", str(run / "nowhere"), "--to", "onnx"]) == 1
    assert main(["export", str(run)]) == 2
    for to in ("onnx", "bundle", "torch"):
        for option in (["--bytes"], ["--encoding", "latin-1"]):
            assert main(["export", str(run), "--to", to, *option]) == 2
    assert capsys.readouterr().err.count("\n") == 9


def test_neither_onnx_nor_torch_is_imported_before_it_is_needed():
    code = "import sys, rnnkit.export, rnnkit.cli; print({'onnx', 'onnxruntime', 'torch'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout == "set()\n"
