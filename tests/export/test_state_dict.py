"""Weights out to torch.nn and in again: the layers that `export` names compute what the runtime does."""

import pickle

import numpy as np
import pytest
import tiny
import torch

from rnnkit import runtime
from rnnkit.api.weights import export_torch, import_torch
from rnnkit.cli import main
from rnnkit.errors import ArgumentError, BundleError, DataError

CELLS = ("lstm", "gru_after", "elman_tanh", "elman_relu")
SHAPES = {
    "one-hot": {},
    "embedded": {"embedding_size": 9, "num_layers": 2, "bias": False},
    "tied": {"embedding_size": 5, "tied": True},
    "projected": {"embedding_size": 9, "tied": True},
    "adaptive": {"embedding_size": 4, "hidden_size": 20, "softmax": "adaptive", "cutoffs": [7, 15]},
}


def saved(folder, **shape):
    model = runtime.LanguageModel.from_parts(*tiny.parts(**shape))
    model.save(folder)
    return model


def rebuilt(modules, path):
    """The module that the expressions make, with the weights of the file."""
    module = torch.nn.Module()
    for name, expression in modules.items():
        module.add_module(name, eval(expression))
    module.load_state_dict(torch.load(path, weights_only=True), strict=True)
    return module


def log_probs(module, ids, vocab_size):
    ids = torch.from_numpy(ids)
    one_hot = torch.nn.functional.one_hot(ids, vocab_size).float()
    x = module.embedding(ids) if hasattr(module, "embedding") else one_hot
    x, _ = module.recurrent(x)
    x = module.projection(x) if hasattr(module, "projection") else x
    if isinstance(module.head, torch.nn.AdaptiveLogSoftmaxWithLoss):
        return module.head.log_prob(x.flatten(0, 1)).unflatten(0, ids.shape)
    return module.head(x).log_softmax(-1)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("cell", CELLS)
def test_the_named_torch_layers_compute_what_the_runtime_does(tmp_path, cell, shape):
    model = saved(tmp_path, cell=cell, **SHAPES[shape])
    module = rebuilt(export_torch(tmp_path), tmp_path / "model.pt")
    ids = np.random.default_rng(1).integers(0, model.vocab_size, (9, 3))
    with torch.no_grad():
        got = log_probs(module, ids, model.vocab_size).numpy()
    np.testing.assert_allclose(got, model(ids)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("shape", [{}, {"num_layers": 2, "embedding_size": 3, "tied": True, "bias": False}], ids=str)
def test_a_projected_lstm_goes_out_and_comes_in(tmp_path, shape):
    model = saved(tmp_path / "run", proj_size=3, hidden_size=8, **shape)
    modules = export_torch(tmp_path / "run")
    assert "proj_size=3" in modules["recurrent"]
    module = rebuilt(modules, tmp_path / "run" / "model.pt")
    ids = np.random.default_rng(1).integers(0, model.vocab_size, (9, 3))
    with torch.no_grad():
        got = log_probs(module, ids, model.vocab_size).numpy()
    np.testing.assert_allclose(got, model(ids)[0], rtol=1e-5, atol=1e-5)
    again = import_torch(tmp_path / "run" / "model.pt", tmp_path / "new", tokenizer=tmp_path / "run")
    assert again.digest == model.digest
    with pytest.raises(DataError, match="weight_hr_l0"):
        import_torch(tmp_path / "run" / "model.pt", tmp_path / "a", tokenizer=tmp_path / "run", cell="lstm_peephole")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("cell", CELLS)
def test_out_and_in_again_is_the_same_bundle(tmp_path, cell, shape):
    model = saved(tmp_path / "run", cell=cell, **SHAPES[shape])
    export_torch(tmp_path / "run")
    again = import_torch(tmp_path / "run" / "model.pt", tmp_path / "new", tokenizer=tmp_path / "run", cell=cell)
    assert again.digest == model.digest
    assert runtime.LanguageModel.load(tmp_path / "new").digest == model.digest


class WordLanguageModel(torch.nn.Module):
    """With the names that PyTorch's own example gives."""

    def __init__(self, vocab_size, kind):
        super().__init__()
        self.encoder = torch.nn.Embedding(vocab_size, 6)
        self.rnn = getattr(torch.nn, kind)(6, 8, num_layers=2)
        self.decoder = torch.nn.Linear(8, vocab_size, bias=False)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_model_of_torch_comes_in_with_its_own_names_and_computes_the_same(tmp_path, kind, suffix):
    tokens = tiny.tokenizer()
    theirs = WordLanguageModel(tokens.vocab_size, kind)
    (tmp_path / "tokenizer.json").write_text(tokens.to_json(), encoding="utf-8")
    path = tmp_path / f"theirs{suffix}"
    if suffix == ".pt":
        torch.save(theirs.state_dict(), path)
    else:
        from safetensors.torch import save_file

        save_file(theirs.state_dict(), path)
    model = import_torch(path, tmp_path / "run", tokenizer=tmp_path / "tokenizer.json")
    ids = np.random.default_rng(1).integers(0, model.vocab_size, (9, 3))
    with torch.no_grad():
        want = theirs.decoder(theirs.rnn(theirs.encoder(torch.from_numpy(ids)))[0]).log_softmax(-1).numpy()
    np.testing.assert_allclose(model(ids)[0], want, rtol=0, atol=1e-5)


def test_unknown_names_are_refused_until_they_are_named(tmp_path, capsys):
    model = saved(tmp_path / "run", embedding_size=4)
    export_torch(tmp_path / "run")
    weights = torch.load(tmp_path / "run" / "model.pt", weights_only=True)
    torch.save({name.replace("head.", "last.scores."): array for name, array in weights.items()}, tmp_path / "a.pt")
    call = ["import", str(tmp_path / "a.pt"), "--tokenizer", str(tmp_path / "run"), "--run", str(tmp_path / "new")]
    assert main(call) == 1
    assert "name it, as in head=last.scores" in capsys.readouterr().err
    assert main([*call, "--name", "head=last.scores"]) == 0
    assert "lstm: 1 x 5, embedding 4" in capsys.readouterr().out
    assert runtime.LanguageModel.load(tmp_path / "new").digest == model.digest


def test_export_prints_the_layers_to_build(tmp_path, capsys):
    saved(tmp_path, embedding_size=4, cell="elman_relu")
    assert main(["export", str(tmp_path), "--to", "torch"]) == 0
    out = capsys.readouterr().out
    assert "self.embedding = torch.nn.Embedding(" in out
    assert "self.recurrent = torch.nn.RNN(4, 5, num_layers=1, nonlinearity='relu')" in out
    assert main(["export", str(tmp_path), "--to", "torch", "--int8"]) == 2
    assert "go with --to onnx" in capsys.readouterr().err


def test_a_window_mlp_comes_out_as_linear_layers(tmp_path):
    config = tiny.config("window_mlp")
    runtime.WindowMLP.from_parts(config, tiny.tensors(config)).save(tmp_path)
    module = rebuilt(export_torch(tmp_path), tmp_path / "model.pt")
    assert [*dict(module.named_children())] == ["embedding", "hidden", "head"]


def test_a_cell_that_torch_has_not_is_refused_by_name(tmp_path):
    saved(tmp_path, cell="gru_before")
    with pytest.raises(ArgumentError, match=r"torch\.nn has no gru_before.*--to onnx"):
        export_torch(tmp_path)
    assert not (tmp_path / "model.pt").exists()


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        ({"hidden_size": [5, 4]}, "layers of different widths"),
        ({"residual": True}, "residual connections"),
        ({"trainable_state": True}, "trainable initial state"),
        ({"zoneout": 0.1}, "zoneout"),
    ],
)
def test_options_that_torch_has_not_are_refused_by_name(tmp_path, shape, name):
    saved(tmp_path, num_layers=2, **shape)
    with pytest.raises(ArgumentError, match=rf"torch\.nn has no {name}.*--to onnx"):
        export_torch(tmp_path)
    assert not (tmp_path / "model.pt").exists()


def test_layer_norm_is_refused_by_name(tmp_path):
    saved(tmp_path, layer_norm=True)
    with pytest.raises(ArgumentError, match=r"torch\.nn has no layer normalisation; serve the bundle with rnnkit"):
        export_torch(tmp_path)


def test_equal_widths_in_a_list_are_torchs_layers(tmp_path):
    saved(tmp_path, num_layers=2, hidden_size=[5, 5])
    assert torch.nn.LSTM in {
        type(module) for module in rebuilt(export_torch(tmp_path), tmp_path / "model.pt").children()
    }


def without(weights, part):
    return {name: array for name, array in weights.items() if not name.startswith(part)}


class Harm:
    """What a pickle must not be able to do."""

    def __reduce__(self):
        return (print, ("harm",))


@pytest.mark.parametrize(
    ("contents", "match"),
    [
        (lambda good: {"epoch": 3, "state": good}, "no state_dict of tensors alone"),
        (lambda good: [1, 2], "no state_dict of tensors alone"),
        (lambda good: Harm(), "is no state_dict"),
        (lambda good: without(good, "recurrent"), "recurrent layers are not there"),
        (lambda good: without(good, "head"), "no head that scores"),
        (lambda good: good | {"other.weight_ih_l0": torch.ones(4, 2)}, "recurrent layers are at other., recurrent."),
        (lambda good: good | {"recurrent.weight_ih_l0_reverse": torch.ones(4, 2)}, "run backwards"),
        (lambda good: good | {"recurrent.weight_ih_l0": torch.ones(7, 4)}, "7 rows for a hidden size of 5: 1.4 gates"),
        (lambda good: good | {"head.weight": torch.tensor(1.0)}, "single number"),
        (lambda good: good | {"steps": torch.ones(3)}, "steps .* belongs to no part"),
    ],
)  # fmt: skip
def test_what_is_no_such_state_dict_is_refused_by_name_and_makes_no_folder(tmp_path, capsys, contents, match):
    saved(tmp_path / "run", embedding_size=4)
    export_torch(tmp_path / "run")
    good = torch.load(tmp_path / "run" / "model.pt", weights_only=True)
    torch.save(contents(good), tmp_path / "bad.pt")
    with pytest.raises(DataError, match=match):
        import_torch(tmp_path / "bad.pt", tmp_path / "new", tokenizer=tmp_path / "run")
    assert not (tmp_path / "new").exists()
    assert capsys.readouterr().out == ""


def test_other_files_folders_and_vocabularies_are_refused(tmp_path):
    saved(tmp_path / "run", embedding_size=4)
    export_torch(tmp_path / "run")
    path, run = tmp_path / "run" / "model.pt", tmp_path / "run"
    (tmp_path / "noise.pt").write_bytes(b"\x80\x05no pickle")
    (tmp_path / "noise.safetensors").write_bytes(pickle.dumps({}))
    for name in ("noise.pt", "noise.safetensors"):
        with pytest.raises(DataError, match=name):
            import_torch(tmp_path / name, tmp_path / "new", tokenizer=run)
    with pytest.raises(ArgumentError, match="holds something already"):
        import_torch(path, run, tokenizer=run)
    with pytest.raises(ArgumentError, match="no cell 'lstn'"):
        import_torch(path, tmp_path / "new", tokenizer=run, cell="lstn")
    with pytest.raises(DataError, match="4 gates"):
        import_torch(path, tmp_path / "new", tokenizer=run, cell="gru_after")
    with pytest.raises(FileNotFoundError):
        import_torch(tmp_path / "nowhere.pt", tmp_path / "new", tokenizer=run)
    (tmp_path / "tokenizer.json").write_text(tiny.tokenizer("byte").to_json(), encoding="utf-8")
    with pytest.raises(BundleError, match="tokeniser has"):
        import_torch(path, tmp_path / "new", tokenizer=tmp_path / "tokenizer.json")
    assert not (tmp_path / "new").exists()
