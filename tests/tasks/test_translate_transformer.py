"""The transformer beside a run on pairs: under the same budget, in the table, of as many parameters, without torch."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import rnnkit
from rnnkit.api.translation import TranslateTrainConfig
from rnnkit.errors import RnnkitError
from rnnkit.tasks.translate import TranslationTask
from rnnkit.tasks.translate_config import TranslateConfig
from rnnkit.training.loop import _peer_config

FEW: Any = {"max_steps": 3, "hidden_size": 48, "embedding_size": 48, "tokenize": "none", "threads": 1}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    draw, path = random.Random(0), tmp_path_factory.mktemp("pairs") / "pairs.tsv"
    rows = [[draw.choice("abcdefgh") for _ in range(draw.randint(2, 6))] for _ in range(150)]
    path.write_text("".join(f"{' '.join(row)}\t{' '.join(reversed(row))}\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def model(table: Path, tmp_path_factory: pytest.TempPathFactory) -> rnnkit.Translator:
    run = tmp_path_factory.mktemp("run") / "run"
    return rnnkit.Translator.train([str(table)], run=run, transformer_layers=1, seeds=2, **FEW)


def row_of(metrics: dict[str, Any], name: str) -> dict[str, Any]:
    (row,) = (row for row in metrics["baselines"] if row["name"] == name)
    return row


def test_it_has_a_row_of_its_own_beside_the_seeds_and_no_more_parameters(model: rnnkit.Translator) -> None:
    row = row_of(model.metrics, "transformer")
    assert {"bleu", "chrf", "p_value", "difference", "train_seconds", "nats_per_token", "bytes"} <= row.keys()
    config = rnnkit.runtime.Transformer.load(Path(model.path or "") / "baselines" / "transformer").config["model"]
    assert 0.97 * model.num_parameters < row["num_parameters"] <= model.num_parameters
    assert (config["encoder_layers"], config["num_layers"], config["num_heads"]) == (1, 1, config["hidden_size"] // 32)
    assert [one["seed"] for one in model.metrics["seeds"]] == [0, 1]


def test_eval_without_torch_gives_the_tables_figures(model: rnnkit.Translator, table: Path) -> None:
    code = f"""if True:
        import sys, rnnkit
        sys.modules["torch"] = None
        model = rnnkit.Translator.load({str(model.path)!r})
        rows = model.evaluate({str(table)!r})["baselines"]
        print([row["name"] for row in rows], [round(row["bleu"], 6) for row in rows])
    """
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120).stdout
    again = model.evaluate(str(table))["baselines"]
    assert found.strip() == f"{[row['name'] for row in again]} {[round(row['bleu'], 6) for row in again]}"
    assert [row["name"] for row in again] == ["copy-source", "nearest-source", "transformer"]


def test_its_rate_follows_its_width_and_averaging_that_of_the_model(table: Path) -> None:
    def peer(**choices: Any) -> Any:
        sections: Any = {"data": {"sources": [str(table)]}, "model": {"hidden_size": 96}, "baselines": choices}
        return TranslationTask(TranslateConfig(**sections), batch_tokens=512).peers()["transformer"]

    found = peer()
    width = found.task.build_model().config.hidden_size
    assert found.training["lr"] == pytest.approx(0.001 * (256 / width) ** 0.5)
    assert peer(transformer_lr=5e-4).training["lr"] == 5e-4
    config = TranslateTrainConfig(ema=0.98, lr=7e-3, weight_decay=0.3, epochs=2)
    own = _peer_config(config, found)
    assert (own.ema, own.epochs, own.lr, own.weight_decay) == (0.98, 2, found.training["lr"], 0.01)


def test_without_it_none_is_trained_and_its_options_are_refused(table: Path, tmp_path: Path) -> None:
    alone = rnnkit.Translator.train([str(table)], run=tmp_path / "run", kinds=["copy-source"], **FEW)
    assert [row["name"] for row in alone.metrics["baselines"]] == ["copy-source"]
    assert not (tmp_path / "run" / "baselines" / "transformer").exists()
    with pytest.raises(RnnkitError, match="transformer_lr has no effect without transformer among kinds"):
        rnnkit.Translator.train([str(table)], run=tmp_path / "other", kinds=["copy-source"], transformer_lr=0.1, **FEW)
