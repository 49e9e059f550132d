"""Models that Keras saved come in and compute what Keras computed; files that are none, or lead elsewhere, do not."""

import io
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tiny

from rnnkit import runtime
from rnnkit.api.weights import import_keras
from rnnkit.cli import main
from rnnkit.errors import ArgumentError, DataError, SchemaError

h5py = pytest.importorskip("h5py")

FOLDER = Path(__file__).parent / "keras"
OUTPUTS = np.load(FOLDER / "outputs.npz")
FILES = sorted(path.name for path in FOLDER.iterdir() if path.suffix in (".keras", ".h5"))


@pytest.fixture
def tokenizer(tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text(tiny.tokenizer().to_json(), encoding="utf-8")
    return path


def test_the_files_are_those_of_every_cell_and_both_formats():
    assert {name.partition(".")[0] for name in FILES} == {"lstm", "gru_after", "gru_before", "elman_relu", "elman_tanh"}
    assert set(OUTPUTS.files) == {"ids", *FILES}


@pytest.mark.parametrize("name", FILES)
def test_a_model_computes_what_keras_computed(name, tmp_path, tokenizer):
    model = import_keras(FOLDER / name, tmp_path / "run", tokenizer=tokenizer)
    assert model.config["model"]["cell"] == name.partition(".")[0]
    np.testing.assert_allclose(model(OUTPUTS["ids"])[0], OUTPUTS[name], rtol=0, atol=1e-5)
    assert runtime.LanguageModel.load(tmp_path / "run").digest == model.digest


def test_both_formats_hold_the_same_model(tmp_path, tokenizer):
    digests = {
        import_keras(FOLDER / f"lstm.{kind}", tmp_path / kind, tokenizer=tokenizer).digest for kind in ("h5", "keras")
    }
    assert len(digests) == 1


def test_the_verb_makes_a_run_that_writes(tmp_path, tokenizer, capsys):
    call = ["import", str(FOLDER / "lstm.keras"), "--run", str(tmp_path / "run"), "--tokenizer", str(tokenizer)]
    assert main(call) == 0
    assert "lstm: 2 x [6, 5], embedding 4, vocabulary 29" in capsys.readouterr().out
    assert main(["sample", str(tmp_path / "run"), "-n", "5"]) == 0
    assert main(call) == 2
    assert "holds something already" in capsys.readouterr().err
    assert main([*call[:2], "--run", str(tmp_path / "b"), "--tokenizer", str(tokenizer), "--cell", "lstm"]) == 2
    assert "leave out --cell and --name" in capsys.readouterr().err


def edited(tmp_path, name, change):
    """A copy of a .keras file with another configuration."""
    path = tmp_path / "edited.keras"
    with zipfile.ZipFile(FOLDER / name) as archive, zipfile.ZipFile(path, "w") as out:
        for member in archive.namelist():
            data = archive.read(member)
            if member == "config.json":
                value = json.loads(data)
                change(value["config"]["layers"])
                data = json.dumps(value).encode()
            out.writestr(member, data)
    return path


def of_class(layers, kind):
    return next(layer["config"] for layer in layers if layer["class_name"] == kind)


def renamed(kind, to):
    def change(layers):
        next(layer for layer in layers if layer["class_name"] == kind)["class_name"] = to

    return change


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("gru_before.keras", lambda l: of_class(l, "GRU").update(go_backwards=True), "'gru.*' has go_backwards=True"),
        ("gru_before.keras", lambda l: of_class(l, "GRU").update(recurrent_activation="hard_sigmoid"), "hard_sigmoid"),
        ("gru_before.keras", lambda l: of_class(l, "GRU").update(activation="relu"), "activation='relu'"),
        ("gru_before.keras", lambda l: of_class(l, "Embedding").update(mask_zero=True), "mask_zero"),
        ("gru_before.keras", lambda l: of_class(l, "Embedding").update(input_dim=30), "30 tokens, the Dense scores 29"),
        ("gru_before.keras", lambda l: of_class(l, "GRU").update(units=7), r"floats \[4, 21\] are wanted"),
        ("gru_before.keras", renamed("GRU", "Bidirectional"), "is a Bidirectional"),
        ("gru_before.keras", renamed("GRU", "Lambda"), "is a Lambda"),
        ("gru_before.keras", lambda l: l.pop(), "are wanted"),
        ("gru_after.keras", lambda l: of_class(l, "GRU").update(return_sequences=False), "return_sequences=True"),
        ("gru_after.keras", lambda l: of_class(l, "Dense").update(activation="relu"), "ends with 'relu'"),
        ("elman_relu.keras", lambda l: of_class(l, "SimpleRNN").update(activation="selu"), "activation='selu'"),
        ("lstm.keras", lambda l: l[3]["inbound_nodes"].append(l[3]["inbound_nodes"][0]), "a chain is wanted"),
        ("lstm.keras", lambda l: l[4].update(inbound_nodes=l[3]["inbound_nodes"]), "a chain is wanted"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused_by_its_layer(name, change, message, tmp_path, tokenizer):
    with pytest.raises(DataError, match=message):
        import_keras(edited(tmp_path, name, change), tmp_path / "run", tokenizer=tokenizer)
    assert not (tmp_path / "run").exists()


def test_a_link_that_leads_out_of_the_file_is_not_followed(tmp_path, tokenizer):
    shutil.copy(FOLDER / "elman_tanh.h5", tmp_path / "a.h5")
    with h5py.File(FOLDER / "elman_tanh.h5") as file:
        folder = "model_weights/" + next(name for name in file["model_weights"] if name.startswith("dense"))
        kernel = f"{folder}/{file[folder].attrs['weight_names'][0]}"
    for link in (h5py.ExternalLink(FOLDER / "elman_tanh.h5", kernel), h5py.SoftLink("/model_weights")):
        with h5py.File(tmp_path / "a.h5", "a") as file:
            del file[kernel]
            file[kernel] = link
        with pytest.raises(DataError, match="leads out of it"):
            import_keras(tmp_path / "a.h5", tmp_path / "run", tokenizer=tokenizer)


@pytest.mark.parametrize("name", ["lstm.keras", "lstm.h5"])
def test_damaged_files_are_refused_in_one_error(name, tmp_path, tokenizer):
    data = (FOLDER / name).read_bytes()
    for size in range(0, len(data), max(1, len(data) // 40)):
        path = tmp_path / f"cut{Path(name).suffix}"
        path.write_bytes(data[:size])
        with pytest.raises(DataError, match="cut"):
            import_keras(path, tmp_path / "run", tokenizer=tokenizer)


def test_an_archive_that_unpacks_to_much_more_is_refused(tmp_path, tokenizer):
    buffer = io.BytesIO()
    with zipfile.ZipFile(FOLDER / "lstm.keras") as archive, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("config.json", archive.read("config.json"))
        out.writestr("model.weights.h5", bytes(50 << 20))
    (tmp_path / "a.keras").write_bytes(buffer.getvalue())
    with pytest.raises(DataError, match="at most"):
        import_keras(tmp_path / "a.keras", tmp_path / "run", tokenizer=tokenizer)


def test_other_vocabularies_and_missing_files_are_refused(tmp_path, tokenizer):
    tokenizer.write_text(tiny.tokenizer("byte").to_json(), encoding="utf-8")
    with pytest.raises(SchemaError):
        import_keras(FOLDER / "lstm.h5", tmp_path / "run", tokenizer=tokenizer)
    with pytest.raises(FileNotFoundError):
        import_keras(FOLDER / "nowhere.h5", tmp_path / "run", tokenizer=tokenizer)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(ArgumentError, match="holds something already"):
        import_keras(FOLDER / "lstm.h5", tmp_path / "full", tokenizer=tokenizer)


def test_without_h5py_the_extra_is_named(tmp_path, tokenizer):
    code = "import sys; sys.modules['h5py'] = None; from rnnkit.cli import main; sys.exit(main())"
    call = ["import", FOLDER / "lstm.h5", "--run", tmp_path / "run", "--tokenizer", tokenizer]
    done = subprocess.run([sys.executable, "-c", code, *call], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "`h5py`; in rnnkit's source folder: pip install '.[keras]'" in done.stderr
