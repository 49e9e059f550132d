"""No option of `rnnkit train lm` is ignored: each one arrives in the configuration under the key it is named after."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from command import Outcome

from rnnkit import api
from rnnkit.api.config import find_key, known_keys
from rnnkit.api.training import RunConfig, configure
from rnnkit.cli import app, train_options
from rnnkit.errors import ConfigError

OWN_TEXT = (Path(__file__).parents[2] / "docs/how-to/own-text.md").read_text(encoding="utf-8")
ADAPTIVE = ["--softmax", "adaptive", "--tokenizer", "word"]

# option: (arguments, key, the value that must arrive); what an option cannot stand without comes with it.
CASES: dict[str, tuple[list[str], str, Any]] = {
    "--valid": (["--valid", "v", "--test", "t"], "data.valid_sources", ["v"]),
    "--test": (["--test", "t"], "data.test_sources", ["t"]),
    "--held-out": (["--held-out", "0.2"], "data.held_out", 0.2),
    "--encoding": (["--encoding", "cp1252"], "data.encoding", "cp1252"),
    "--bytes": (["--bytes"], "data.as_bytes", True),
    "--tokenizer": (["--tokenizer", "word"], "tokenizer.kind", "word"),
    "--vocab-size": (["--vocab-size", "99"], "tokenizer.vocab_size", 99),
    "--min-count": (["--min-count", "2"], "tokenizer.min_count", 2),
    "--cell": (["--cell", "gru_before"], "model.cell", "gru_before"),
    "--model": (["--model", "elman_tanh"], "model.cell", "elman_tanh"),
    "--hidden-size": (["--hidden-size", "7"], "model.hidden_size", 7),
    "--nhid": (["--nhid", "7"], "model.hidden_size", 7),
    "--rnn-size": (["--rnn-size", "7"], "model.hidden_size", 7),
    "--num-layers": (["--num-layers", "2"], "model.num_layers", 2),
    "--nlayers": (["--nlayers", "2"], "model.num_layers", 2),
    "--embedding-size": (["--embedding-size", "9"], "model.embedding_size", 9),
    "--emsize": (["--emsize", "9"], "model.embedding_size", 9),
    "--no-bias": (["--no-bias"], "model.bias", False),
    "--bias": (["--bias"], "model.bias", True),
    "--init": (["--init", "orthogonal"], "model.init", "orthogonal"),
    "--chrono": (["--chrono", "90"], "model.chrono", 90),
    "--residual": (["--residual"], "model.residual", True),
    "--no-residual": (["--no-residual"], "model.residual", False),
    "--trainable-state": (["--trainable-state"], "model.trainable_state", True),
    "--no-trainable-state": (["--no-trainable-state"], "model.trainable_state", False),
    "--layer-norm": (["--layer-norm"], "model.layer_norm", True),
    "--no-layer-norm": (["--no-layer-norm"], "model.layer_norm", False),
    "--tied": (["--tied", "--emsize", "9"], "model.tied", True),
    "--untied": (["--untied"], "model.tied", False),
    "--softmax": ([*ADAPTIVE, "--cutoffs", "2,5"], "model.softmax", "adaptive"),
    "--cutoffs": ([*ADAPTIVE, "--cutoffs", "2,5"], "model.cutoffs", (2, 5)),
    "--dropout": (["--dropout", "0.1"], "model.dropout", 0.1),
    "--input-dropout": (["--input-dropout", "0.1"], "model.input_dropout", 0.1),
    "--dropouti": (["--dropouti", "0.1"], "model.input_dropout", 0.1),
    "--output-dropout": (["--output-dropout", "0.1"], "model.output_dropout", 0.1),
    "--locked-dropout": (["--locked-dropout"], "model.locked_dropout", True),
    "--no-locked-dropout": (["--no-locked-dropout"], "model.locked_dropout", False),
    "--embedding-dropout": (["--embedding-dropout", "0.1"], "model.embedding_dropout", 0.1),
    "--dropoute": (["--dropoute", "0.1"], "model.embedding_dropout", 0.1),
    "--word-dropout": (["--word-dropout", "0.1"], "model.word_dropout", 0.1),
    "--weight-dropout": (["--weight-dropout", "0.1"], "model.weight_dropout", 0.1),
    "--wdrop": (["--wdrop", "0.1"], "model.weight_dropout", 0.1),
    "--zoneout": (["--zoneout", "0.1,0.2"], "model.zoneout", (0.1, 0.2)),
    "--proj-size": (["--proj-size", "5"], "model.proj_size", 5),
    "--recurrent-dropout": (["--recurrent-dropout", "0.1"], "model.recurrent_dropout", 0.1),
    "--recompute": (["--recompute"], "model.recompute", True),
    "--no-recompute": (["--no-recompute"], "model.recompute", False),
    "--precision": (["--precision", "bf16"], "model.precision", "bf16"),
    "--seed": (["--seed", "3"], "training.seed", 3),
    "--batch-size": (["--batch-size", "3"], "training.batch_size", 3),
    "--window": (["--window", "35"], "training.window", 35),
    "--bptt": (["--bptt", "35"], "training.window", 35),
    "--seq-length": (["--seq-length", "35"], "training.window", 35),
    "--stride": (["--stride", "8"], "training.stride", 8),
    "--time-limit": (["--time-limit", "2m"], "training.time_limit_s", 120.0),
    "--max-steps": (["--max-steps", "5"], "training.max_steps", 5),
    "--epochs": (["--epochs", "1.5"], "training.epochs", 1.5),
    "--optimizer": (["--optimizer", "sgd"], "training.optimizer", "sgd"),
    "--lr": (["--lr", "2e-3"], "training.lr", 2e-3),
    "--schedule": (["--schedule", "plateau"], "training.schedule", "plateau"),
    "--warmup-steps": (["--warmup-steps", "9"], "training.warmup_steps", 9),
    "--weight-decay": (["--weight-decay", "0.3"], "training.weight_decay", 0.3),
    "--momentum": (["--momentum", "0.9", "--optimizer", "sgd"], "training.momentum", 0.9),
    "--clip-norm": (["--clip-norm", "0.25"], "training.clip_norm", 0.25),
    "--clip": (["--clip", "0.25"], "training.clip_norm", 0.25),
    "--clip-value": (["--clip-value", "5"], "training.clip_value", 5.0),
    "--ema": (["--ema", "0.99"], "training.ema", 0.99),
    "--ar": (["--ar", "2"], "training.ar", 2.0),
    "--alpha": (["--alpha", "2"], "training.ar", 2.0),
    "--tar": (["--tar", "1"], "training.tar", 1.0),
    "--beta": (["--beta", "1"], "training.tar", 1.0),
    "--eval-every-steps": (["--eval-every-steps", "9"], "training.eval_every_steps", 9),
    "--patience": (["--patience", "3"], "training.patience", 3),
    "--checkpoint-every-s": (["--checkpoint-every-s", "5"], "training.checkpoint_every_s", 5.0),
    "--threads": (["--threads", "1"], "training.threads", 1),
    "--baseline": (["--baseline", "unigram"], "baselines.kinds", ("unigram",)),
    "--ngram-order": (["--ngram-order", "3"], "baselines.ngram_order", 3),
    "--sample-tokens": (["--sample-tokens", "9"], "samples.sample_tokens", 9),
    "--sample-prompt": (["--sample-prompt", "Once"], "samples.sample_prompt", "Once"),
    "--sample-temperature": (["--sample-temperature", "0"], "samples.sample_temperature", 0.0),
}


def _command() -> Any:
    group: Any = typer.main.get_command(app)
    return group.commands["train"].commands["lm"]


def _spellings() -> set[str]:
    return {
        spelling
        for parameter in _command().params
        if parameter.name not in train_options.NOT_CONFIG and parameter.name != "help"
        for spelling in [*parameter.opts, *parameter.secondary_opts]
    }


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch, call: Callable[..., Outcome]) -> Callable[..., dict[str, Any]]:
    """What `rnnkit train lm … --dry-run` hands to the api."""
    seen: dict[str, Any] = {}

    def dry_run(sources: Any, **settings: Any) -> dict[str, Any]:
        seen.clear()
        seen.update(settings, sources=sources)
        return {}

    monkeypatch.setattr(api, "dry_run", dry_run, raising=False)

    def run(*arguments: str) -> dict[str, Any]:
        outcome = call("train", "lm", *arguments, "--dry-run", "--json")
        assert outcome.code == 0, outcome.err
        return seen

    return run


def _configured(settings: dict[str, Any]) -> RunConfig:
    settings = dict(settings)
    named = {name: settings.pop(name) for name in ("sources", "config", "overrides")}
    return configure(**named, options=settings)


def test_every_documented_option_has_a_case() -> None:
    assert _spellings() - {"--bidirectional"} == set(CASES)  # that one chooses the task: test_bidirectional.py


@pytest.mark.parametrize("option", CASES)
def test_the_option_arrives_at_its_key(option: str, received: Callable[..., dict[str, Any]]) -> None:
    arguments, key, wanted = CASES[option]
    built: Any = _configured(received("my.txt", *arguments))
    for part in key.split("."):
        built = getattr(built, part)
    assert wanted == built


def test_a_width_for_each_layer_arrives(received: Callable[..., dict[str, Any]]) -> None:
    assert _configured(received("my.txt", "--hidden-size", "7,5")).model.hidden_size == (7, 5)


def test_every_option_is_named_after_one_key() -> None:
    keys = known_keys(RunConfig)
    for parameter in _command().params:
        if parameter.name not in train_options.NOT_CONFIG and parameter.name != "help":
            assert find_key(parameter.name, keys) in keys


def test_valid_alone_is_also_judged_on(received: Callable[..., dict[str, Any]]) -> None:
    data = _configured(received("my.txt", "--valid", "v")).data
    assert (data.test_sources, data.valid_sources) == (["v"], None)


def test_valid_leaves_the_test_text_of_the_file(tmp_path: Path, received: Callable[..., dict[str, Any]]) -> None:
    (tmp_path / "c.yaml").write_text("data: {test_sources: [t]}\n", encoding="utf-8")
    data = _configured(received("my.txt", "--valid", "v", "--config", str(tmp_path / "c.yaml"))).data
    assert (data.test_sources, data.valid_sources) == (["t"], ["v"])


def test_bytes_alone_are_also_modelled(received: Callable[..., dict[str, Any]]) -> None:
    assert _configured(received("my.txt", "--bytes")).tokenizer.kind == "byte"
    with pytest.raises(ConfigError, match="as_bytes goes with tokenizer kind byte, not word"):
        _configured(received("my.txt", "--bytes", "--tokenizer", "word"))


def test_the_options_that_the_guide_recommends_fit_together(received: Callable[..., dict[str, Any]]) -> None:
    recommended = set(re.findall(r"`(--[a-z][^`]*)`", OWN_TEXT)) - {"--dry-run", "--tensorboard"}
    assert len(recommended) > 7
    for options in recommended:
        _configured(received("my.txt", *options.split()))


def test_the_file_that_the_guide_shows_is_read(tmp_path: Path, received: Callable[..., dict[str, Any]]) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", OWN_TEXT, re.DOTALL)
    (tmp_path / "lstm.yaml").write_text(block, encoding="utf-8")
    training = _configured(received("my.txt", "--config", str(tmp_path / "lstm.yaml"), "training.lr=2e-3")).training
    assert (training.lr, training.time_limit_s) == (2e-3, 600)


def test_overrides_stand_among_the_sources(received: Callable[..., dict[str, Any]]) -> None:
    settings = received("a.txt", "training.lr=2e-3", "b.txt")
    assert (settings["sources"], settings["overrides"]) == (["a.txt", "b.txt"], ["training.lr=2e-3"])


def test_a_file_that_looks_like_an_override_is_a_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, received: Callable[..., dict[str, Any]]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.b=c").write_text("x", encoding="utf-8")
    assert received("a.b=c")["sources"] == ["a.b=c"]


def test_an_override_without_its_section_is_no_missing_file(call: Callable[..., Outcome]) -> None:
    outcome = call("train", "lm", "a.txt", "hiden_size=3")
    assert outcome.code == 2
    assert "hiden_size=3 is no file; an override names its section too: model.hidden_size=128" in outcome.err


def test_flags_win_over_the_file_and_overrides_over_flags(
    tmp_path: Path, received: Callable[..., dict[str, Any]]
) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("model: {hidden_size: 3, num_layers: 4}\ntraining: {lr: 0.5}\n", encoding="utf-8")
    settings = received("my.txt", "--config", str(file), "--hidden-size", "5", "--lr", "0.1", "training.lr=0.2")
    built = _configured(settings)
    assert (built.model.hidden_size, built.model.num_layers, built.training.lr) == (5, 4, 0.2)


@pytest.mark.parametrize(("text", "wanted"), [("90s", 90), ("2m", 120), ("1.5h", 5400), ("30", 30)])
def test_times_are_read_with_their_unit(text: str, wanted: float) -> None:
    assert wanted == train_options.seconds(text)
