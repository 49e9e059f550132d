"""A cell of one's own, written in ten lines of torch, is trained, judged, sampled and loaded like any other."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import rnnkit
from rnnkit import nn
from rnnkit.api.own_cell import register_cell
from rnnkit.bundle import schema
from rnnkit.errors import ArgumentError, ConfigError, SchemaError
from rnnkit.export.state_dict import torch_modules
from rnnkit.nn import backends
from rnnkit.nn.spec import CELLS, CellSpec
from rnnkit.runtime import stack

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "own-cell.md"
SMALL: dict[str, Any] = {"max_steps": 3, "hidden_size": 5, "batch_size": 2, "window": 8, "kinds": ["unigram"]}


def step(projected: Any, state: Any, weights: Any) -> Any:
    (h,) = state
    keep = torch.sigmoid(weights["weight_leak"])
    return (keep * h + (1 - keep) * torch.tanh(projected),)


PARAMETERS = {"weight_ih": ("G*H", "I"), "bias_ih": ("G*H",), "weight_leak": ("H",)}
LEAKY = CellSpec("leaky", gates=("h",), parts=("h",), step=step, source="ours", parameters=PARAMETERS)


def forget(name: str) -> None:
    for registry in (CELLS, schema.CELLS, schema.GATES, stack.LAYERS):
        registry.pop(name, None)


@pytest.fixture
def leaky(monkeypatch: pytest.MonkeyPatch) -> Iterator[CellSpec]:
    monkeypatch.setattr(backends, "_said", set())
    yield register_cell(LEAKY)
    forget("leaky")


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    path = tmp_path / "my.txt"
    path.write_text("the quick brown fox jumps over the lazy dog. " * 60)
    return path


def test_it_is_trained_judged_sampled_and_loaded(leaky: CellSpec, text_file: Path, tmp_path: Path) -> None:
    with pytest.warns(nn.SpecBackendWarning, match="the native core has no cell 'leaky'"):
        model = rnnkit.LanguageModel.train(
            text_file, run=tmp_path / "run", cell="leaky", num_layers=2, sample_tokens=5, **SMALL
        )
    assert model.metrics["model"]["name"] == "2-layer leaky"
    text = "".join(model.generate("the", max_new_tokens=7, seed=1))
    loaded = rnnkit.LanguageModel.load(tmp_path / "run")
    assert "".join(loaded.generate("the", max_new_tokens=7, seed=1)) == text
    ids = np.arange(6)[:, None] % loaded.vocab_size
    whole, state = loaded(ids)
    first, carried = loaded(ids[:2])
    np.testing.assert_allclose(whole, np.concatenate([first, loaded(ids[2:], carried)[0]]), rtol=1e-5, atol=1e-6)
    assert [tuple(parts) for parts in state.layers] == [("h",)] * 2
    with pytest.raises(ArgumentError, match=r"torch.nn has no leaky"):
        torch_modules(loaded.config)
    forget("leaky")
    with pytest.raises(SchemaError, match=r"'leaky' is not known.*register_cell"):
        rnnkit.LanguageModel.load(tmp_path / "run")


def test_an_onnx_file_of_it_is_refused_by_name(leaky: CellSpec, text_file: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    from rnnkit import export

    with pytest.warns(nn.SpecBackendWarning):
        rnnkit.LanguageModel.train(text_file, run=tmp_path / "run", cell="leaky", sample_tokens=0, **SMALL)
    with pytest.raises(ArgumentError, match="cell 'leaky' has no ONNX nodes"):
        export.to_onnx(tmp_path / "run")
    assert not list((tmp_path / "run").glob("*.onnx"))


def test_a_name_that_another_cell_has_is_refused() -> None:
    lstm = CellSpec("lstm", gates=("h",), parts=("h",), step=step, source="ours", parameters=PARAMETERS)
    with pytest.raises(ConfigError, match="there is a cell 'lstm' already"):
        register_cell(lstm)
    assert CELLS["lstm"] is not lstm


def test_what_the_page_shows_runs() -> None:
    shown = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    scope: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nn.SpecBackendWarning)
        exec(shown[0], scope)
    assert scope["y"].shape == (5, 2, 8)
