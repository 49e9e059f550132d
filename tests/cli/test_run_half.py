"""An environment that holds rnnkit and what it depends on, and nothing else: it trains nothing and runs everything."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from command import TEXT, Outcome
from packaging.requirements import Requirement

from rnnkit import runtime
from rnnkit.bundle.schema import CELLS, READOUTS
from rnnkit.bundle.tensors import pack
from rnnkit.kernels import _core

SOURCES = Path(__file__).resolve().parents[2] / "src" / "rnnkit"
SHAPES = {
    "deep": {"num_layers": 2, "hidden_size": 12},
    "tied": {"embedding_size": 5, "tied": True, "hidden_size": 12},
    "adaptive": {"embedding_size": 4, "hidden_size": 16, "softmax": "adaptive", "cutoffs": [5, 12]},
    "widths": {"hidden_size": [7, 4], "num_layers": 2, "trainable_state": True},
    "residual": {"hidden_size": 6, "num_layers": 2, "residual": True},
}


def closure(name: str) -> set[str]:
    """The distributions that a distribution needs, without extras, and itself."""
    found, waiting = set(), [name]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        needed = map(Requirement, distribution(name).requires or [])
        waiting += [one.name.lower() for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]
    return found


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with links to the packages of the closure; nothing is downloaded."""
    folder = tmp_path_factory.mktemp("run-half") / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=120)
    (packages,) = folder.glob("lib/python*/site-packages")
    for name in closure("rnnkit") - {"rnnkit"}:
        files = distribution(name).files
        assert files, name
        for top in {file.parts[0] for file in files if file.parts[0] not in ("..", "__pycache__")}:
            (packages / top).symlink_to(distribution(name).locate_file(top))
    shutil.copytree(SOURCES, packages / "rnnkit", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(_core.__file__, packages / "rnnkit" / "kernels")
    return folder


def run_in(environment: Path, *arguments: object, stdin: str = "") -> Outcome:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [environment / "bin" / "python", *map(str, arguments)],
        input=stdin, capture_output=True, encoding="utf-8", timeout=300, env=clean, cwd=environment,
    )  # fmt: skip
    return Outcome(done.returncode, done.stdout, done.stderr)


def test_it_holds_neither_torch_nor_any_extra_and_is_below_130_megabytes(environment: Path) -> None:
    absent = ("torch", "tokenizers", "yaml", "matplotlib", "onnx", "onnxruntime", "tensorboard")
    for name in absent:
        assert "ModuleNotFoundError" in run_in(environment, "-c", f"import {name}").err
    (packages,) = environment.glob("lib/python*/site-packages")
    size = sum(
        path.stat().st_size
        for folder, _, names in os.walk(packages, followlinks=True)
        for path in (Path(folder) / name for name in names)
        if "__pycache__" not in path.parts
    )
    assert 10e6 < size < 130e6, f"{size / 1e6:.0f} MB"


def test_every_kind_of_bundle_gives_the_bits_it_gives_here(environment: Path, tmp_path: Path) -> None:
    """Also a state that was written here goes on there."""
    models: dict[str, runtime.LanguageModel | runtime.WindowMLP] = {}
    for kind in ("byte", "char", "word", "bpe"):
        models[kind] = runtime.LanguageModel.from_parts(*tiny.parts(kind, hidden_size=9))
    for cell in sorted(CELLS):
        models[cell] = runtime.LanguageModel.from_parts(*tiny.parts(cell=cell, hidden_size=9))
    for name, shape in SHAPES.items():
        models[name] = runtime.LanguageModel.from_parts(*tiny.parts(**shape))
    settings = tiny.config("window_mlp")
    models["window MLP"] = runtime.WindowMLP.from_parts(settings, tiny.tensors(settings))
    wanted, rng = {}, np.random.default_rng(0)
    for name, model in models.items():
        ids = rng.integers(0, model.vocab_size, (7, 2))
        state = model(ids)[1]
        model.save(tmp_path / name)
        (tmp_path / name / "state.bin").write_bytes(state.to_bytes())
        wanted[f"{name}/ids"] = ids
        for precision in ("fp32", "bf16", "int8"):
            loaded = type(model).load(tmp_path / name, precision=precision)
            wanted[f"{name}/{precision}"] = loaded(ids, state)[0]
    np.savez(tmp_path / "wanted.npz", **wanted)
    program = (
        "import sys, json, numpy as np\nfrom pathlib import Path\nfrom rnnkit import State, runtime\n"
        "folder = Path(sys.argv[1])\nwanted = np.load(folder / 'wanted.npz')\n"
        "for key in wanted.files:\n"
        "    name, _, precision = key.partition('/')\n"
        "    if precision == 'ids': continue\n"
        "    kind = runtime.WindowMLP if name == 'window MLP' else runtime.LanguageModel\n"
        "    model = kind.load(folder / name, precision=precision)\n"
        "    state = State.from_bytes((folder / name / 'state.bin').read_bytes(), like=model.initial_state())\n"
        "    got = model(wanted[name + '/ids'], state)[0]\n"
        "    assert np.array_equal(got, wanted[key]), key\n"
        "    print(key)\n"
        "assert 'torch' not in sys.modules"
    )
    outcome = run_in(environment, "-c", program, tmp_path)
    assert outcome.code == 0, outcome.err
    assert len(outcome.out.splitlines()) == 3 * len(models)


def test_every_verb_that_only_runs_models_works(environment: Path, run: Path, tmp_path: Path) -> None:
    text = tmp_path / "other.txt"
    text.write_text(TEXT[:400], encoding="utf-8")
    for arguments, said in (
        (("sample", run, "-n", 20, "--prompt", "the "), "the "),
        (("sample", run, "-n", 12, "--num-beams", 3), ""),
        (("sample", run, "-n", 12, "--regex", "[a-z ]+"), ""),
        (("complete", run, "the c"), "%"),
        (("eval", run, text), "Kneser-Ney-2"),
        (("predict", run), "a cat"),
        (("score", run, "-"), "\ta cat"),
        (("doctor", text), "characters"),
        (("compare", run), "lstm"),
        (("bench", run, "--seconds", 0.01, "--threads", 1), "rnnkit, int8"),
        (("export-arpa", run, "--out", tmp_path / "a.arpa"), ""),
    ):
        outcome = run_in(environment, "-m", "rnnkit", *arguments, stdin="a cat sat\n")
        assert outcome.code == 0, (arguments, outcome.err)
        assert said in outcome.out, arguments
    found = json.loads(run_in(environment, "-m", "rnnkit", "eval", run, text, "--json").out)
    assert found["model"]["nats_per_token"] == pytest.approx(
        runtime.LanguageModel.load(run).score(TEXT[:400]).nll / 400
    )


def test_classifiers_give_the_bits_they_give_here_and_every_verb_runs_them(environment: Path, tmp_path: Path) -> None:
    """Also a state that was written here goes on there."""
    wanted, rng = {}, np.random.default_rng(0)
    ids = rng.integers(0, 9, (7, 2))
    shapes = {cell: {"cell": cell, "readout": list(READOUTS), "num_layers": 2} for cell in sorted(CELLS)}
    shapes["forwards"] = {"bidirectional": False, "readout": list(READOUTS)}
    for name, shape in shapes.items():
        config, tensors, tokens = tiny.classifier(**shape)
        model = runtime.Acceptor(config, tensors, labels=tiny.LABELS, tokenizer=tokens)
        model.save(tmp_path / name)
        for precision in ("fp32", "bf16", "int8"):
            loaded = runtime.Acceptor.load(tmp_path / name, precision=precision)
            wanted[f"{name}/{precision}"] = loaded.log_probs(list(ids.T))
    forwards = runtime.Acceptor.load(tmp_path / "forwards")
    (tmp_path / "state.bin").write_bytes(forwards(ids[:3])[1].to_bytes())
    np.savez(tmp_path / "wanted.npz", ids=ids, **wanted)
    program = (
        "import sys, numpy as np\nfrom pathlib import Path\nfrom rnnkit import State, runtime\n"
        "folder = Path(sys.argv[1])\nwanted = np.load(folder / 'wanted.npz')\nids = wanted['ids']\n"
        "for key in wanted.files[1:]:\n"
        "    name, _, precision = key.partition('/')\n"
        "    model = runtime.Acceptor.load(folder / name, precision=precision)\n"
        "    assert np.array_equal(model.log_probs(list(ids.T)), wanted[key]), key\n"
        "model = runtime.Acceptor.load(folder / 'forwards')\n"
        "state = State.from_bytes((folder / 'state.bin').read_bytes(), like=model.initial_state())\n"
        "assert np.array_equal(model(ids[3:], state)[0], wanted['forwards/fp32'])\n"
        "assert 'torch' not in sys.modules"
    )
    outcome = run_in(environment, "-c", program, tmp_path)
    assert outcome.code == 0, outcome.err
    for arguments, code, said in (
        (("predict", tmp_path / "lstm"), 0, "a cat"),
        (("bench", tmp_path / "lstm", "--seconds", 0.01, "--threads", 1), 0, "rnnkit, int8"),
        (("export", tmp_path / "lstm", "--to", "bundle", "--int8"), 0, "of the run's"),
        (("export", tmp_path / "lstm", "--to", "onnx"), 2, r"pip install '.[onnx]'"),
        (("score", tmp_path / "lstm", "-"), 2, "rnnkit predict"),
        (("sample", tmp_path / "lstm"), 1, "kind acceptor"),
    ):
        outcome = run_in(environment, "-m", "rnnkit", *arguments, stdin="a cat sat\n")
        assert outcome.code == code, (arguments, outcome.err)
        assert said in outcome.out + outcome.err, (arguments, outcome.out + outcome.err)


def test_taggers_give_the_bits_they_give_here_and_every_verb_runs_them_or_says_what_does(
    environment: Path, tmp_path: Path
) -> None:
    """Also a state that was written here goes on there."""
    wanted = {}
    sentences = [[], ["fox"], tiny.TEXT.split(), ["the", "Fix", "jumpsy", "", "dog"] * 9]
    free = {"crf": False, "scheme": None}
    shapes: dict[str, dict[str, Any]] = {cell: {"cell": cell, "num_layers": 2} for cell in sorted(CELLS)}
    shapes |= {"scheme": {"crf": False}, "forwards": {"bidirectional": False, **free}}
    for name, shape in shapes.items():
        config, tensors, words = tiny.tagger(**shape)
        runtime.Transducer(config, tensors, labels=tiny.TAGS, words=words).save(tmp_path / name)
        for precision in ("fp32", "bf16", "int8"):
            loaded = runtime.Transducer.load(tmp_path / name, precision=precision)
            wanted[f"{name}/{precision}"] = np.concatenate(loaded.log_probs(sentences))
            wanted[f"{name}/{precision}/tags"] = np.concatenate(loaded.predict(sentences))
    forwards = runtime.Transducer.load(tmp_path / "forwards")
    (tmp_path / "state.bin").write_bytes(forwards([sentences[3][:20]])[1].to_bytes())
    (tmp_path / "sentences.json").write_text(json.dumps(sentences), encoding="utf-8")
    np.savez(tmp_path / "wanted.npz", **wanted)
    program = (
        "import sys, json, numpy as np, rnnkit\nfrom pathlib import Path\nfrom rnnkit import State\n"
        "folder = Path(sys.argv[1])\nwanted = np.load(folder / 'wanted.npz')\n"
        "sentences = json.loads((folder / 'sentences.json').read_text())\n"
        "for key in wanted.files[::2]:\n"
        "    name, _, precision = key.partition('/')\n"
        "    model = rnnkit.load(folder / name, precision=precision)\n"
        "    assert np.array_equal(np.concatenate(model.log_probs(sentences)), wanted[key]), key\n"
        "    assert np.array_equal(np.concatenate(model.predict(sentences)), wanted[key + '/tags']), key\n"
        "model = rnnkit.load(folder / 'forwards')\n"
        "state = State.from_bytes((folder / 'state.bin').read_bytes(), like=model.initial_state())\n"
        "rest = model([sentences[3][20:]], state)[0][:, 0]\n"
        "assert np.array_equal(rest, wanted['forwards/fp32'][-len(rest):])\n"
        "assert 'torch' not in sys.modules"
    )
    outcome = run_in(environment, "-c", program, tmp_path)
    assert outcome.code == 0, outcome.err
    run, tagged, absent = tmp_path / "lstm", tmp_path / "own.conll", r"a tagger"
    tagged.write_text("the O\nfox B-x\n", encoding="utf-8")
    for arguments, code, said in (
        (("predict", run), 0, "cat\t"),
        (("predict", run, tagged), 0, "fox\t"),
        (("export", run, "--to", "bundle", "--int8"), 0, "of the run's"),
        (("bench", run, "--seconds", 0.01), 0, "rnnkit, int8"),
        (("export", run, "--to", "onnx"), 2, "--to bundle --int8"),
        (("score", run, "-"), 2, "rnnkit predict"),
        (("embed", run, tagged), 2, absent),
        (("sample", run), 1, "rnnkit predict"),
        (("complete", run, "the"), 1, "rnnkit predict"),
        (("export-arpa", run, "--out", tmp_path / "a.arpa"), 1, "rnnkit predict"),
        (("export", run, "--to", "torch"), 2, "pip install '.[train]'"),
    ):
        outcome = run_in(environment, "-m", "rnnkit", *arguments, stdin="a cat sat\n")
        assert outcome.code == code, (arguments, outcome.err)
        assert said in outcome.out + outcome.err, (arguments, outcome.out + outcome.err)
        assert not code or outcome.err.count("\n") == 1, arguments


def test_a_cell_of_ones_own_is_refused_by_name_unless_it_is_registered(environment: Path, tmp_path: Path) -> None:
    """Its equations are torch's: an environment without torch has no way to run it."""
    config, tensors, tokens = tiny.parts(cell="gru_after")
    config["model"]["cell"] = "gru_of_mine"
    contents = {
        "config.json": json.dumps(config, sort_keys=True, indent=1, ensure_ascii=False).encode() + b"\n",
        "model.safetensors": b"".join(pack(tensors)),
        **tiny.files(tokens),
    }
    tiny.forge(tmp_path / "run", contents)
    (tmp_path / "my.txt").write_text(TEXT, encoding="utf-8")
    for arguments in (("sample", "{run}"), ("eval", "{run}", "{text}")):
        words = (word.format(run=tmp_path / "run", text=tmp_path / "my.txt") for word in arguments)
        outcome = run_in(environment, "-m", "rnnkit", *words)
        assert outcome.code == 1, outcome.err
        assert re.fullmatch(r"rnnkit: model\.cell 'gru_of_mine' is not known; .*rnnkit\.register_cell.*\n", outcome.err)
    registering = "import rnnkit; rnnkit.register_cell(None)"
    assert "pip install '.[train]'" in run_in(environment, "-c", registering).err


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (("train", "lm", "{text}"), "train"),
        (("export", "{run}", "--to", "onnx"), "onnx"),
        (("export", "{run}", "--to", "torch"), "train"),
        (("import", "{text}", "--run", "new", "--tokenizer", "{run}"), "train"),
    ],
)
def test_what_needs_an_extra_says_which_in_one_line(
    environment: Path, run: Path, tmp_path: Path, arguments: tuple[str, ...], extra: str
) -> None:
    text = tmp_path / "my.txt"
    text.write_text(TEXT, encoding="utf-8")
    outcome = run_in(environment, "-m", "rnnkit", *(word.format(text=text, run=run) for word in arguments))
    assert outcome.code == 2
    assert re.fullmatch(rf"rnnkit: .*pip install '\.\[{extra}\]'\n", outcome.err)
