"""One configuration from a file, options and overrides; wrong keys name the nearest right one."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, Field

from rnnkit.api import config
from rnnkit.api.training import RunConfig
from rnnkit.errors import ConfigError


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid")
    lr: float = Field(1e-3, gt=0)
    seed: int = 0


class _Other(BaseModel):
    model_config = ConfigDict(extra="forbid")
    hidden_size: int = 8
    seed: int = 1


class _Whole(BaseModel):
    model_config = ConfigDict(extra="forbid")
    training: _Section = Field(default_factory=_Section)
    model: _Other = Field(default_factory=_Other)


def test_later_sources_win(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("training: {lr: 0.1}\nmodel: {hidden_size: 3, seed: 5}\n", encoding="utf-8")
    built = config.build(_Whole, file=file, options={"hidden_size": 4}, overrides=["model.hidden_size=5"])
    assert (built.training.lr, built.model.hidden_size, built.model.seed) == (0.1, 5, 5)
    built = config.build(_Whole, file=file, options={"hidden_size": 4})
    assert (built.training.lr, built.model.hidden_size) == (0.1, 4)


def test_an_override_without_a_decimal_point_is_still_a_number() -> None:
    assert config.build(_Whole, overrides=["training.lr=2e-3"]).training.lr == 2e-3


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("training.lrr", "training.lr"), ("hiden_size", "model.hidden_size"), ("traning.lr", "training.lr")],
)
def test_an_unknown_key_names_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown key '{name}'; the nearest known is {nearest}"):
        config.build(_Whole, overrides=[f"{name}=1"])


def test_an_unknown_key_in_a_file_names_the_nearest_and_the_file(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("model: {hiden_size: 3}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"model\.hiden_size.*model\.hidden_size.*c\.yaml"):
        config.build(_Whole, file=file)


def test_a_name_in_two_sections_must_be_dotted() -> None:
    with pytest.raises(ConfigError, match=r"training\.seed or model\.seed"):
        config.build(_Whole, options={"seed": 1})


def test_a_wrong_value_names_key_and_value() -> None:
    with pytest.raises(ConfigError, match=r"training\.lr is -1: input should be greater than 0"):
        config.build(_Whole, overrides=["training.lr=-1"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("model: [1", "no YAML"),
        ("- 1\n", "holds a list"),
        ("model: 3\n", "model"),
        ("!!python/object/apply:os.system ['true']", "no YAML"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as caught:
        config.build(_Whole, file=file, options={"hidden_size": 4})
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: No such file"):
        config.build(_Whole, file=tmp_path / "nowhere.yaml")


def test_an_override_that_is_no_yaml_is_named() -> None:
    with pytest.raises(ConfigError, match=r"training\.lr='\[1'"):
        config.build(_Whole, overrides=["training.lr=[1"])


def test_what_is_written_down_is_read_back_whole(tmp_path: Path) -> None:
    kept = RunConfig.model_validate(
        {
            "data": {"sources": ["caf\udce9: 'x'.txt", "-", "雪.txt"]},
            "model": {"softmax": "adaptive", "cutoffs": [4, 9]},
            "tokenizer": {"kind": "word"},
            "training": {"lr": 1e-5, "max_steps": 3, "betas": [0.5, 0.75]},
        }
    )
    config.write_yaml(tmp_path / "run.yaml", kept)
    assert config.build(RunConfig, file=tmp_path / "run.yaml") == kept
