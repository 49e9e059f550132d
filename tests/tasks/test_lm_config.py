"""LmConfig says what it means, refuses what does not fit, and repeats no field of the model wrongly."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from rnnkit.models.generator import GeneratorConfig
from rnnkit.models.window_mlp import WindowMLPConfig
from rnnkit.tasks.lm_config import BaselinesConfig, LmConfig, ModelConfig
from rnnkit.training.config import TrainConfig


def sections() -> dict[str, type[BaseModel]]:
    return {name: field.annotation for name, field in LmConfig.model_fields.items()}  # type: ignore[misc]


def test_it_survives_json_both_ways() -> None:
    config = LmConfig.model_validate(
        {"model": {"softmax": "adaptive", "cutoffs": [4, 9]}, "tokenizer": {"kind": "word"}}
    )
    assert LmConfig.model_validate(json.loads(config.model_dump_json())) == config


def test_the_model_section_is_the_generators_configuration_but_for_what_the_text_decides() -> None:
    ours = {name: field.default for name, field in ModelConfig.model_fields.items()}
    theirs = {field.name: field.default for field in fields(GeneratorConfig)}
    assert theirs.keys() - ours.keys() == {"vocab_size", "unk_id"}
    assert ours.keys() - theirs.keys() == {"bidirectional"}  # which is another model of the same configuration
    changed = {name for name in theirs.keys() & ours.keys() if theirs[name] != ours[name]}
    assert changed == {"embedding_size", "output_dropout"}  # tuned


def test_the_peers_options_are_the_window_mlps() -> None:
    ours = {name.removeprefix("mlp_") for name in BaselinesConfig.model_fields if name.startswith("mlp_")}
    assert ours - {field.name for field in fields(WindowMLPConfig)} == {"lr"}


def test_every_option_of_the_peer_needs_the_peer() -> None:
    ours = {name for name in BaselinesConfig.model_fields if name.startswith("mlp_")}
    assert ours == BaselinesConfig.owners.keys() - {"ngram_order"}


def test_every_field_says_what_it_is() -> None:
    silent = [
        f"{section}.{name}"
        for section, model in sections().items()
        for name, field in model.model_fields.items()
        if not field.description
    ]
    assert silent == []


def test_no_two_fields_share_a_name_so_that_each_can_be_a_flag() -> None:
    names = [name for model in [*sections().values(), TrainConfig] for name in model.model_fields]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"data": {"as_bytes": True}}, "as_bytes goes with tokenizer kind byte, not char"),
        ({"data": {"test_sources": ["b"]}}, "go with sources"),
        ({"data": {"sources": ["a"], "test_sources": ["b"], "held_out": 0.2}}, "held_out has no effect"),
        ({"data": {"held_out": 1.0}}, "held_out"),
        ({"data": {"encoding": "cp1252"}}, "encoding has no effect on the default text"),
        (
            {"data": {"sources": ["a"], "as_bytes": True, "encoding": "cp1252"}, "tokenizer": {"kind": "byte"}},
            "encoding has no effect .* as_bytes",
        ),
        ({"baselines": {"kinds": ["unigram"], "ngram_order": 3}}, "ngram_order has no effect without kneser-ney"),
        ({"baselines": {"kinds": ["unigram"], "mlp_lr": 1e-2}}, "mlp_lr has no effect without window-mlp"),
        (
            {"samples": {"sample_tokens": 0, "sample_prompt": "Once"}},
            "sample_prompt has no effect with sample_tokens 0",
        ),
        ({"model": {"softmax": "adaptive", "cutoffs": [4]}}, "softmax adaptive needs ids by falling frequency.*word"),
        (
            {"model": {"softmax": "adaptive", "cutoffs": [4]}, "tokenizer": {"kind": "bpe"}},
            "not those of tokenizer kind bpe; choose kind word",
        ),
        ({"model": {"cell": "transformer"}}, "no cell 'transformer': choose one of elman_tanh, "),
        ({"model": {"hiden_size": 3}}, "hiden_size"),
        ({"model": {"hidden_size": [3, 0]}}, r"hidden_size is \[3, 0\]: give the units"),
        ({"model": {"hidden_size": 2.5}}, "hidden_size is 2.5: give the units"),
        ({"baselines": {"kinds": []}}, "kinds"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        LmConfig.model_validate(values)
