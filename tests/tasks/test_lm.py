"""The language-model task on a text of a few hundred characters: what is trained, how it is judged, what is left.

Over 400 lines because it follows one task from its text to its table, on one tiny text.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rnnkit.bundle import read_bundle
from rnnkit.errors import CheckpointError, DataError
from rnnkit.runtime import LanguageModel, WindowMLP
from rnnkit.tasks.lm import LanguageModelTask, WindowMlpTask, cache_folder
from rnnkit.tasks.lm_config import BaselinesConfig, DataConfig, LmConfig, ModelConfig, SamplesConfig, TokenizerConfig
from rnnkit.training import TrainConfig, dry_run, fit

SMALL = TrainConfig(batch_size=3, window=8, max_steps=6, eval_every_steps=3, warmup_steps=2)
WORDS = ["to", "be", "or", "not", "that", "is", "the", "question", "whether", "nobler", "in", "mind", "suffer"]


def make_text(seed: int = 0, *, num_words: int = 400) -> str:
    rng = random.Random(seed)
    return "".join(rng.choice(WORDS) + rng.choice("    \n") for _ in range(num_words))


@pytest.fixture(autouse=True)
def _quiet_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("RNNKIT_CACHE", str(tmp_path / "cache"))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(make_text(), encoding="utf-8")
    return path


SMALL_MLP = {"mlp_hidden_size": 6, "mlp_order": 4, "mlp_embedding_size": 3}
ALL = {"kinds": ["unigram", "kneser-ney", "window-mlp"], **SMALL_MLP}
MLP = {"kinds": ["unigram", "window-mlp"], **SMALL_MLP}


def configure(text: Path | None, **sections: dict[str, Any]) -> LmConfig:
    values: dict[str, dict[str, Any]] = {
        "data": {"sources": None if text is None else [str(text)]},
        "model": {"hidden_size": 8, "embedding_size": 0, "output_dropout": 0.0},
        "baselines": {"kinds": ["unigram"]},
        "samples": {"sample_tokens": 20},
    }
    for name, options in sections.items():
        values[name] = {**values.get(name, {}), **options}
    return LmConfig.model_validate(values)


# ---- what a run leaves --------------------------------------------------------------------------------------------


def test_a_run_leaves_a_bundle_a_table_of_the_same_tokens_and_samples(text: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    result = fit(LanguageModelTask(configure(text, baselines=ALL)), run_dir=run_dir, config=SMALL)
    metrics = json.loads((run_dir / "metrics.json").read_text(encoding="utf-8"))
    assert metrics == json.loads(json.dumps(result.metrics))
    names = [row["name"] for row in metrics["baselines"]]
    assert names == ["unigram", *(f"Kneser-Ney-{n}" for n in range(2, 7)), "window-mlp"]
    rows = [metrics["model"], *metrics["baselines"]]
    assert {(row["num_tokens"], row["num_characters"], row["unit"]) for row in rows} == {
        (len(make_text()) - int(0.9 * len(make_text())),) * 2 + ("char",)
    }
    assert all(row["bytes"] > 0 and row["train_seconds"] >= 0 for row in rows)
    held_out = make_text()[int(0.9 * len(make_text())) :]
    model = LanguageModel.load(run_dir)
    assert model.score(held_out).to_dict().items() <= metrics["model"].items()
    assert model.score(held_out, reset_per_line=True).to_dict() == metrics["model"]["reset_per_line"]
    assert metrics["model"]["num_parameters"] == sum(t.size for t in read_bundle(run_dir).tensors.values())
    assert [entry["step"] for entry in metrics["curve"]] == [3, 6]
    assert metrics["config"]["training"]["max_steps"] == 6
    assert metrics["seed"] == 0
    samples = sorted(path.name for path in (run_dir / "samples").iterdir())
    assert samples == ["step-000003.txt", "step-000006.txt"]
    assert (run_dir / "ngrams.png").read_bytes().startswith(b"\x89PNG")


def test_the_peer_is_a_bundle_that_scores_the_same_without_torch(text: Path, tmp_path: Path) -> None:
    task = LanguageModelTask(configure(text, baselines=MLP))
    metrics = fit(task, run_dir=tmp_path / "run", config=SMALL).metrics
    peer = WindowMLP.load(tmp_path / "run" / "baselines" / "window-mlp")
    nll = peer.nll(task.texts.test.tokens, document_starts=task.texts.test.document_starts).sum()
    assert float(nll) == metrics["baselines"][-1]["nll"]
    assert metrics["peers"]["window-mlp"]["steps"] == 6


def test_without_the_peer_nothing_more_is_trained(text: Path, tmp_path: Path) -> None:
    task = LanguageModelTask(configure(text))
    metrics = fit(task, run_dir=tmp_path / "run", config=SMALL).metrics
    assert [row["name"] for row in metrics["baselines"]] == ["unigram"]
    assert [path.name for path in (tmp_path / "run" / "baselines").iterdir()] == ["unigram"]


def test_a_sample_is_what_the_run_half_writes_with_these_weights(text: Path, tmp_path: Path) -> None:
    task = LanguageModelTask(configure(text, samples={"sample_prompt": "to ", "sample_temperature": 0.5}))
    fit(task, run_dir=tmp_path / "run", config=SMALL)
    pieces = LanguageModel.load(tmp_path / "run").generate("to ", max_new_tokens=20, temperature=0.5, seed=0)
    best = json.loads((tmp_path / "run" / "checkpoints" / "best" / "checkpoint.json").read_text())["values"]["step"]
    sample = (tmp_path / "run" / "samples" / f"step-{best:06d}.txt").read_text(encoding="utf-8")
    assert sample == "to " + "".join(pieces)


@pytest.mark.parametrize("kind", ["byte", "char", "word", "bpe"])
def test_every_tokeniser_goes_all_the_way(text: Path, tmp_path: Path, kind: str) -> None:
    tokenizer = {"kind": kind} | ({"vocab_size": 300} if kind == "bpe" else {})
    metrics = fit(
        LanguageModelTask(configure(text, tokenizer=tokenizer, baselines=ALL)), run_dir=tmp_path / "run", config=SMALL
    ).metrics
    rows = [metrics["model"], *metrics["baselines"]]
    assert len({(row["num_tokens"], row["num_characters"]) for row in rows}) == 1
    assert all(np.isfinite(row["nats_per_character"]) for row in rows)


def test_many_files_are_documents_with_a_fresh_state_each(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number}.txt").write_text(make_text(number, num_words=20), encoding="utf-8")
    task = LanguageModelTask(configure(folder))
    assert len(task.texts.train.document_starts) > 8
    result = fit(task, run_dir=tmp_path / "run", config=SMALL)
    nll = LanguageModel.load(tmp_path / "run").nll(
        task.texts.test.tokens, document_starts=task.texts.test.document_starts
    )
    assert float(nll.sum()) == result.metrics["model"]["nll"]


def test_validation_chooses_the_weights_and_the_test_text_makes_the_table(text: Path, tmp_path: Path) -> None:
    parts = {}
    for seed, part in enumerate(("valid", "test"), start=1):
        parts[part] = tmp_path / f"{part}.txt"
        parts[part].write_text(make_text(seed, num_words=60 * seed), encoding="utf-8")
    sources = {"valid_sources": [str(parts["valid"])], "test_sources": [str(parts["test"])]}
    task = LanguageModelTask(configure(text, data=sources))
    assert (len(task.texts.train), len(task.texts.valid)) == (len(make_text()), len(make_text(1, num_words=60)))
    metrics = fit(task, run_dir=tmp_path / "run", config=SMALL).metrics
    assert metrics["model"]["num_characters"] == len(make_text(2, num_words=120))

    def judged(**changed: list[str]) -> list[float]:
        task = LanguageModelTask(configure(text, data=sources | changed))
        curve = fit(task, run_dir=tmp_path / "-".join(changed), config=SMALL).metrics["curve"]
        return [entry["nll"] for entry in curve]

    want = [entry["nll"] for entry in metrics["curve"]]
    assert judged(test_sources=sources["valid_sources"]) == want
    assert judged(valid_sources=sources["test_sources"]) != want


def test_the_default_text_is_there_without_any_file() -> None:
    texts = LanguageModelTask(configure(None)).texts
    assert len(texts.train) > 8 * len(texts.test) > 200_000


# ---- judging while training -----------------------------------------------------------------------------------------


def test_the_evaluation_is_the_mean_loss_of_a_plain_loop(text: Path) -> None:
    task = LanguageModelTask(configure(text))
    torch.manual_seed(0)
    model = task.build_model().eval()
    tokens = task.texts.valid.tokens.astype(np.int64)
    cuts = np.arange(33) * len(tokens) // 32  # 32 places, each from the initial state and the token before it
    total = 0.0
    for start, stop in itertools.pairwise(cuts):
        before = task.texts.tokenizer.begin_id if start == 0 else tokens[start - 1]
        inputs = np.concatenate([[before], tokens[start : stop - 1]])
        with torch.no_grad():
            hidden, _ = model(torch.from_numpy(inputs)[:, None], model.initial_state(1))
            log_probs = model.log_prob(hidden)[:, 0]
        total -= float(log_probs[torch.arange(stop - start), torch.from_numpy(tokens[start:stop])].sum())
    with torch.no_grad():
        got = task.evaluate(model, max_tokens=10**9)
    assert got["nll"] == pytest.approx(total / len(tokens), rel=1e-5)
    assert got["nats_per_character"] == pytest.approx(got["nll"])


def test_the_evaluation_reads_no_more_than_it_is_told_to(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_text(make_text(num_words=20_000), encoding="utf-8")
    task, read = LanguageModelTask(configure(path, data={"held_out": 0.5})), []
    model = task.build_model().eval()
    model.register_forward_hook(lambda module, args, output: read.append(args[0].numel()))
    with torch.no_grad():
        task.evaluate(model, max_tokens=10_000)
    assert 10_000 <= sum(read) <= 10_000 + 32 * 256


# ---- no option is ignored -------------------------------------------------------------------------------------------

MODEL_CHANGES: dict[str, dict[str, Any]] = {
    "cell": {"cell": "gru_before"},
    "hidden_size": {"hidden_size": 9},
    "num_layers": {"num_layers": 2},
    "proj_size": {"proj_size": 4},
    "embedding_size": {"embedding_size": 5},
    "bias": {"bias": False},
    "forget_bias": {"forget_bias": 0.0},
    "tied": {"embedding_size": 8, "tied": True},
    "softmax": {"softmax": "adaptive", "cutoffs": [4]},
    "cutoffs": {"softmax": "adaptive", "cutoffs": [5]},
    "dropout": {"num_layers": 2, "dropout": 0.5},
    "input_dropout": {"embedding_size": 8, "input_dropout": 0.5},
    "output_dropout": {"output_dropout": 0.5},
    "locked_dropout": {"output_dropout": 0.5, "locked_dropout": True},
    "embedding_dropout": {"embedding_size": 8, "embedding_dropout": 0.5},
    "word_dropout": {"embedding_size": 8, "word_dropout": 0.5},
    "precision": {"precision": "bf16"},
    "weight_dropout": {"weight_dropout": 0.5},
    "init": {"init": "orthogonal"},
    "chrono": {"chrono": 20},
    "residual": {"num_layers": 2, "residual": True},
    "trainable_state": {"trainable_state": True},
    "layer_norm": {"layer_norm": True},
    "zoneout": {"zoneout": [0.1, 0.5]},
    "recurrent_dropout": {"recurrent_dropout": 0.5},
}
BESIDE: dict[str, dict[str, Any]] = {
    "tied": {"embedding_size": 8},
    "cutoffs": {"softmax": "adaptive", "cutoffs": [4]},
    "dropout": {"num_layers": 2},
    "residual": {"num_layers": 2},
    "input_dropout": {"embedding_size": 8},
    "locked_dropout": {"output_dropout": 0.5},
    "embedding_dropout": {"embedding_size": 8},
    "word_dropout": {"embedding_size": 8},
}


def weights_after(config: LmConfig, run_dir: Path) -> dict[str, list[float]]:
    fit(LanguageModelTask(config), run_dir=run_dir, config=SMALL.model_copy(update={"max_steps": 2}))
    return {name: array.tolist() for name, array in read_bundle(run_dir).tensors.items()}


def test_every_model_option_has_a_case() -> None:
    shown_elsewhere = {"recompute", "bidirectional"}  # the one changes no bit, the other is a task of its own
    assert MODEL_CHANGES.keys() | shown_elsewhere == ModelConfig.model_fields.keys()


@pytest.mark.parametrize("option", MODEL_CHANGES)
def test_the_model_option_changes_what_is_learned(text: Path, tmp_path: Path, option: str) -> None:
    kind = "word" if "softmax" in MODEL_CHANGES[option] else "char"
    shared: dict[str, Any] = {"samples": {"sample_tokens": 0}, "tokenizer": {"kind": kind}}
    without = configure(text, **shared, model=BESIDE.get(option, {}))
    with_it = configure(text, **shared, model=MODEL_CHANGES[option])
    assert weights_after(without, tmp_path / "without") != weights_after(with_it, tmp_path / "with")


def test_computing_gates_again_changes_no_bit(text: Path, tmp_path: Path) -> None:
    shared: dict[str, Any] = {"samples": {"sample_tokens": 0}}
    without, with_it = (configure(text, **shared, model={"recompute": recompute}) for recompute in (False, True))
    assert weights_after(without, tmp_path / "without") == weights_after(with_it, tmp_path / "with")


OTHER_CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "tokenizer.kind": ({}, {"kind": "byte"}),
    "tokenizer.vocab_size": ({"kind": "word"}, {"kind": "word", "vocab_size": 8}),
    "tokenizer.min_count": ({"kind": "word"}, {"kind": "word", "min_count": 30}),
    "tokenizer.split_punctuation": ({"kind": "word"}, {"kind": "word", "split_punctuation": True}),
    "tokenizer.special_tokens": ({}, {"special_tokens": ["<pad>"]}),
    "data.held_out": ({}, {"held_out": 0.3}),
    "data.encoding": ({}, {"encoding": "latin-1"}),
    "data.by_line": ({}, {"by_line": True}),
    "baselines.kinds": ({}, MLP),
    "baselines.ngram_order": ({"kinds": ["kneser-ney"]}, {"kinds": ["kneser-ney"], "ngram_order": 3}),
    "baselines.mlp_order": (MLP, {**MLP, "mlp_order": 3}),
    "baselines.mlp_embedding_size": (MLP, {**MLP, "mlp_embedding_size": 5}),
    "baselines.mlp_hidden_size": (MLP, {**MLP, "mlp_hidden_size": 5}),
    "baselines.mlp_direct": (MLP, {**MLP, "mlp_direct": True}),
    "baselines.mlp_lr": (MLP, {**MLP, "mlp_lr": 0.1}),
    "samples.sample_tokens": ({}, {"sample_tokens": 5}),
    "samples.sample_prompt": ({}, {"sample_prompt": "to"}),
    "samples.sample_temperature": ({}, {"sample_temperature": 0.0}),
}
SHOWN_ABOVE = {"data.sources", "data.valid_sources", "data.test_sources"}
SHOWN_BELOW = {"data.as_bytes", "data.cache_dir"}


def test_every_other_option_has_a_case() -> None:
    sections = {
        "data": DataConfig,
        "tokenizer": TokenizerConfig,
        "baselines": BaselinesConfig,
        "samples": SamplesConfig,
    }
    names = {f"{section}.{name}" for section, model in sections.items() for name in model.model_fields}
    assert OTHER_CHANGES.keys() | SHOWN_ABOVE | SHOWN_BELOW == names


@pytest.mark.parametrize("option", OTHER_CHANGES)
def test_the_option_changes_the_run(tmp_path: Path, option: str) -> None:
    text = tmp_path / "text.txt"
    text.write_text(make_text() + "Hé, said she; and: «so». " * 8, encoding="utf-8")
    section, outcomes = option.split(".")[0], []
    for name, options in zip(("without", "with"), OTHER_CHANGES[option], strict=True):
        run_dir = tmp_path / name
        metrics = fit(LanguageModelTask(configure(text, **{section: options})), run_dir=run_dir, config=SMALL).metrics
        samples = [path.read_text(encoding="utf-8") for path in sorted((run_dir / "samples").glob("*"))]
        rows = [(row["name"], row["nll"], row["bytes"]) for row in [metrics["model"], *metrics["baselines"]]]
        outcomes.append((rows, samples, metrics["data"]["test"]["fingerprint"]))
    assert outcomes[0] != outcomes[1]


def test_bytes_that_are_no_text_train_as_bytes(tmp_path: Path) -> None:
    path = tmp_path / "noise"
    path.write_bytes(random.Random(0).randbytes(600))
    task = LanguageModelTask(configure(path, data={"as_bytes": True}, tokenizer={"kind": "byte"}))
    assert np.isfinite(fit(task, run_dir=tmp_path / "run", config=SMALL).metrics["model"]["perplexity"])


def test_token_files_live_in_the_cache_that_was_named_and_are_made_once(text: Path, tmp_path: Path) -> None:
    config = configure(text, data={"cache_dir": str(tmp_path / "elsewhere")})
    LanguageModelTask(config)
    folder = cache_folder(config)
    assert folder.is_relative_to(tmp_path / "elsewhere")
    made = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert set(made) == {"train.tokens", "held_out.tokens"}
    LanguageModelTask(config)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == made
    text.write_text(make_text(9), encoding="utf-8")
    assert LanguageModelTask(config).texts.train.num_characters != len(made)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} != made


def test_the_cache_is_where_the_environment_says(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder(configure(text)).is_relative_to(tmp_path / "cache")
    monkeypatch.delenv("RNNKIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder(configure(text)).is_relative_to(tmp_path / "xdg" / "rnnkit")


# ---- resuming -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sections", "key"),
    [
        ({"model": {"hidden_size": 9}}, r"model\.hidden_size is 9, .* was trained with 8"),
        ({"tokenizer": {"kind": "byte"}}, "tokenizer.kind is 'byte'"),
        ({"data": {"held_out": 0.3}}, "data.held_out is 0.3"),
    ],
)
def test_resuming_another_model_or_text_is_refused_by_name(
    text: Path, tmp_path: Path, sections: dict[str, Any], key: str
) -> None:
    fit(LanguageModelTask(configure(text)), run_dir=tmp_path / "run", config=SMALL)
    with pytest.raises(CheckpointError, match=key):
        fit(LanguageModelTask(configure(text, **sections)), run_dir=tmp_path / "run", config=SMALL, resume=True)


def test_another_baseline_can_be_asked_for_on_resume(text: Path, tmp_path: Path) -> None:
    before = fit(LanguageModelTask(configure(text)), run_dir=tmp_path / "run", config=SMALL).metrics
    after = fit(
        LanguageModelTask(configure(text, baselines=ALL)), run_dir=tmp_path / "run", config=SMALL, resume=True
    ).metrics
    assert len(after["baselines"]) == 7
    assert after["model"]["nll"] == before["model"]["nll"]


# ---- the rest -------------------------------------------------------------------------------------------------------


def test_a_dry_run_counts_the_parameters_of_the_model_that_would_be_trained(text: Path) -> None:
    task = LanguageModelTask(configure(text))
    report = dry_run(task, config=SMALL, num_steps=2)
    assert report["parameters"] == sum(p.numel() for p in task.build_model().parameters())


def test_the_number_of_threads_changes_no_weight(text: Path, tmp_path: Path) -> None:
    config = configure(text, model={"hidden_size": 40, "num_layers": 2, "dropout": 0.1, "embedding_size": 30})
    outcomes = []
    for threads in (1, 2):
        training = SMALL.model_copy(update={"threads": threads, "batch_size": 16, "window": 32})
        fit(LanguageModelTask(config), run_dir=tmp_path / str(threads), config=training)
        outcomes.append({name: a.tobytes() for name, a in read_bundle(tmp_path / str(threads)).tensors.items()})
    assert outcomes[0] == outcomes[1]


def test_the_peer_reads_the_same_windows(text: Path) -> None:
    task = LanguageModelTask(configure(text, baselines=MLP))
    peer = task.peers()["window-mlp"].task
    assert isinstance(peer, WindowMlpTask)
    ours, theirs = (next(t.streams(batch_size=2, window=5, stride=5)) for t in (task, peer))
    assert np.array_equal(ours.inputs, theirs.inputs)


def test_an_empty_text_is_refused_in_one_line_naming_the_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.txt"
    path.write_text("", encoding="utf-8")
    with pytest.raises(DataError, match=r"empty\.txt"):
        LanguageModelTask(configure(path))


def test_a_text_of_two_characters_trains(tmp_path: Path) -> None:
    path = tmp_path / "two.txt"
    path.write_text("aa", encoding="utf-8")
    task = LanguageModelTask(configure(path, data={"held_out": 0.5}))
    assert fit(task, run_dir=tmp_path / "run", config=SMALL).metrics["steps"] == 6


def test_by_line_the_model_reads_every_line_from_the_initial_state(text: Path) -> None:
    streams = {}
    for by_line in (True, False):
        config = LmConfig(data=DataConfig(sources=[str(text)], by_line=by_line))
        task = LanguageModelTask(config)
        streams[by_line] = list(task.streams(batch_size=1, window=1000, stride=1000))
    newline = task.texts.tokenizer.begin_id
    assert len(streams[True]) > len(streams[False])
    assert all(window.reset.all() and window.inputs[0, 0] == newline for window in streams[True])
    assert all((window.targets[:-1] != newline).all() for window in streams[True])
