"""The task on frames with several labels, numbers, or the next frame: learned, judged, loaded and resumed alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

import rnnkit
from rnnkit import api
from rnnkit.api.classification import ClassifyTrainConfig
from rnnkit.api.frames import FramesRunConfig
from rnnkit.bundle import read_bundle
from rnnkit.errors import ConfigError, DataError
from rnnkit.tasks.frames import FramesTask
from rnnkit.tasks.frames_config import FramesConfig
from rnnkit.training import fit

SMALL = ClassifyTrainConfig(max_steps=7, batch_size=16, threads=1, eval_every_steps=3, checkpoint_every_s=0)


def switches(path: Path, count: int = 120, *, kind: str = "labels", seed: int = 0) -> Path:
    """Two switches: each label is whether its own was pressed an odd number of times; or numbers that go with that."""
    rng = np.random.default_rng(seed)
    pressed = rng.random((count, 24, 2)) < 0.1
    on = pressed.cumsum(1) % 2
    np.savez(path, X=pressed.astype(np.float32), y=on if kind == "labels" else 10 + on * [[[7.0, 0.5]]])
    return path


def beats(path: Path, count: int = 60, *, seed: int = 0) -> Path:
    """Every recording repeats its first four frames of three notes: the next one is known from the fifth on."""
    rng = np.random.default_rng(seed)
    bars = rng.random((count, 4, 3)) < 0.5
    np.savez(path, X=np.tile(bars, (1, 5, 1)), lengths=rng.integers(12, 21, count))
    return path


def configure(file: Path, **sections: Any) -> FramesConfig:
    given: dict[str, Any] = {"data": {"sources": [str(file)]}, "model": {"hidden_size": 24, "output_dropout": 0.0}}
    return FramesConfig(**{key: {**given.get(key, {}), **sections.get(key, {})} for key in {*given, *sections}})


@pytest.mark.parametrize("kind", ["labels", "numbers"])
def test_it_remembers_what_no_window_holds(kind: str, tmp_path: Path) -> None:
    file = switches(tmp_path / "s.npz", 240, kind=kind)
    kinds = ["majority" if kind == "labels" else "mean", "frame-mlp", "window-mlp"]
    config = configure(file, model={"bidirectional": False}, baselines={"context": 3})
    training = ClassifyTrainConfig(epochs=40, lr=0.02, batch_size=16, threads=1)
    metrics = fit(FramesTask(config), run_dir=tmp_path / "run", config=training).metrics
    assert metrics["targets"] == kind
    assert [row["name"] for row in metrics["baselines"]] == kinds
    model, window = metrics["model"], metrics["baselines"][2]
    key = "nats" if kind == "labels" else "scaled_rmse"
    assert model[key] < 0.6 * window[key] < window[key] < metrics["baselines"][0][key]
    assert (window["p_value"], window["difference"]) == (pytest.approx(0.0005, abs=0.005), model[key] - window[key])
    assert metrics["curve"][-1]["nll"] < metrics["curve"][0]["nll"]
    if kind == "numbers":
        assert list(model["per_target"]) == ["0", "1"]
        assert model["per_target"]["0"]["rmse"] < 2 < 3 < metrics["baselines"][0]["per_target"]["0"]["rmse"] < 4

    labeller = rnnkit.load(tmp_path / "run")
    assert isinstance(labeller, rnnkit.FrameTagger)
    held_out = switches(tmp_path / "other.npz", 40, kind=kind, seed=9)
    again = labeller.evaluate(held_out)
    assert [row["name"] for row in (again["model"], *again["baselines"])] == ["lstm", *kinds]
    gold = np.load(held_out)["y"]
    recordings = labeller.read(held_out).sentences
    if kind == "labels":
        p = np.exp(np.stack(labeller.log_probs(recordings)).astype(np.float64))
        wanted = -np.where(gold, np.log(p), np.log1p(-p)).sum(2).mean()
    else:
        errors = (np.stack(labeller.predict(recordings)) - gold) / labeller.target_deviation
        wanted = np.sqrt((errors**2).mean())
    assert again["model"][key] == pytest.approx(wanted, rel=1e-5)


def test_the_next_frame_is_learned_and_nothing_of_it_is_seen(tmp_path: Path) -> None:
    config = configure(beats(tmp_path / "b.npz", 240), data={"next_frame": True}, baselines={"context": 1})
    task = FramesTask(config)
    assert not config.model.bidirectional
    training = ClassifyTrainConfig(epochs=40, lr=0.02, batch_size=16, threads=1)
    metrics = fit(task, run_dir=tmp_path / "run", config=training).metrics
    model = metrics["model"]
    by_name = {row["name"]: row for row in metrics["baselines"]}
    assert list(by_name) == ["majority", "frame-mlp", "window-mlp", "last-value"]
    # of a recording of T frames the first four are coins: 3·log 2 nats each, and no system can know better
    lengths = np.array([len(one) for one in task.sentences.test.sequences])
    least = 3 * np.log(2) * 4 * len(lengths) / lengths.sum()
    assert 0.9 * least < model["nats"] < 1.6 * least < by_name["window-mlp"]["nats"]
    assert model["nats_after_first"] < model["nats"]
    first = (model["nats"] * lengths.sum() - model["nats_after_first"] * (lengths - 1).sum()) / len(lengths)
    assert first == pytest.approx(3 * np.log(2), abs=0.25)  # from nothing

    labeller = rnnkit.load(tmp_path / "run")
    assert isinstance(labeller, rnnkit.FrameTagger)
    ahead = labeller.read(tmp_path / "b.npz").sentences[0]
    held = labeller.log_probs([ahead])[0]
    assert not ahead[0].any()
    changed = ahead.copy()
    changed[5:] = 1 - changed[5:]
    assert np.array_equal(labeller.log_probs([changed])[0][:5], held[:5])
    assert labeller.evaluate(tmp_path / "b.npz")["model"]["nats_after_first"] < labeller.evaluate(tmp_path / "b.npz")[
        "model"]["nats"]  # fmt: skip


def test_numbers_that_follow_stand_beside_the_last_value(tmp_path: Path) -> None:
    steps = np.random.default_rng(0).normal(size=(30, 40, 2))
    np.savez(tmp_path / "walk.npz", X=500 + steps.cumsum(1))
    config = configure(tmp_path / "walk.npz", data={"next_frame": True}, baselines={"kinds": ["last-value", "mean"]})
    metrics = fit(FramesTask(config), run_dir=tmp_path / "run", config=SMALL).metrics
    last, mean = metrics["baselines"]
    assert last["per_target"]["0"]["rmse"] == pytest.approx(1.0, abs=0.15)  # a random walk's own step
    assert last["scaled_rmse"] < mean["scaled_rmse"]
    assert metrics["model"]["num_frames"] == 6 * 39
    assert "nats_after_first" not in last


@pytest.mark.parametrize("kind", ["labels", "numbers"])
def test_a_run_cut_anywhere_ends_with_the_same_bits(kind: str, tmp_path: Path) -> None:
    file = switches(tmp_path / "s.npz", 60, kind=kind)
    config = configure(
        file, model={"hidden_size": 5}, baselines={"kinds": ["mean" if kind == "numbers" else "majority"]}
    )

    class Stop(Exception):
        pass

    def stop(event: dict[str, Any]) -> None:
        if event["event"] == "checkpoint" and event["step"] == 4:
            raise Stop

    fit(FramesTask(config), run_dir=tmp_path / "whole", config=SMALL)
    with pytest.raises(Stop):
        fit(FramesTask(config), run_dir=tmp_path / "cut", config=SMALL, observers=[stop])
    fit(FramesTask(config), run_dir=tmp_path / "cut", config=SMALL, resume=True)
    whole, cut = (read_bundle(tmp_path / name).tensors for name in ("whole", "cut"))
    assert {name: array.tobytes() for name, array in whole.items()} == {n: a.tobytes() for n, a in cut.items()}


@pytest.mark.parametrize(("kind", "figure"), [("labels", "nats"), ("numbers", "scaled_rmse")])
def test_further_seeds_give_the_mean_of_the_table(kind: str, figure: str, tmp_path: Path) -> None:
    kinds = ["mean" if kind == "numbers" else "majority"]
    config = configure(switches(tmp_path / "s.npz", 60, kind=kind), baselines={"kinds": kinds, "seeds": 2})
    metrics = fit(FramesTask(config), run_dir=tmp_path / "run", config=SMALL).metrics
    found = [row[figure] for row in metrics["seeds"]]
    assert len(set(found)) == 2
    assert (found[0], np.mean(found)) == (metrics["model"][figure], pytest.approx(metrics["model"]["seeds_mean"]))
    assert "mean of seeds" in api.tagging_table(metrics).header


def test_outputs_start_from_what_is_frequent_and_scales_from_the_training_part(tmp_path: Path) -> None:
    task = FramesTask(configure(switches(tmp_path / "s.npz")))
    share = np.concatenate(task.sentences.train.targets).mean(0)
    assert torch.sigmoid(task.build_model().head.bias).tolist() == pytest.approx(share, abs=1e-2)
    task = FramesTask(configure(switches(tmp_path / "n.npz", kind="numbers")))
    scale = task.build_model().target_scale
    assert scale is not None
    wanted = np.concatenate(task.sentences.train.targets)
    assert scale.mean.tolist() == pytest.approx(wanted.mean(0), rel=1e-5)
    assert scale.deviation.tolist() == pytest.approx(wanted.std(0), rel=1e-3)


def test_labels_that_are_read_stay_0_and_1(tmp_path: Path) -> None:
    scale = FramesTask(configure(beats(tmp_path / "b.npz"), data={"next_frame": True})).build_model().scale
    assert scale is not None
    assert (scale.mean.unique().tolist(), scale.deviation.unique().tolist()) == ([0], [1])


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"data": {"next_frame": True}, "model": {"bidirectional": True}}, "have seen the next frame; leave it out"),
        ({"data": {"next_frame": True, "label_column": "x"}}, "next_frame has the frames themselves for targets"),
        ({"data": {"targets": "label", "target_columns": ["x"]}}, "target_columns are labels or numbers"),
        ({"data": {"targets": "many"}}, "targets"),
        ({"data": {"sources": ["a.mp4"], "next_frame": True}}, "next_frame has no effect with videos"),
        ({"data": {"sources": ["a.mp4"], "targets": "numbers"}}, "frames of videos have one label: leave it out"),
    ],
)
def test_what_has_no_effect_is_refused(sections: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=message):
        configure(switches(tmp_path / "s.npz"), **sections)


@pytest.mark.parametrize(
    ("kind", "sections", "message"),
    [
        ("labels", {"model": {"crf": True}}, "crf=True: a model of targets 'labels' is for one label a frame"),
        ("numbers", {"model": {"label_smoothing": 0.1}}, "label_smoothing=0.1: a model of targets 'numbers'"),
        (
            "labels",
            {"baselines": {"kinds": ["mean"]}},
            r"the baseline mean does not .* \(labels\); choose from maj",
        ),
        ("numbers", {"baselines": {"kinds": ["last-value"]}}, "the baseline last-value does not say"),
    ],
)
def test_what_does_not_fit_the_targets_is_refused(
    kind: str, sections: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        FramesTask(configure(switches(tmp_path / "s.npz", kind=kind), **sections)).build_model()


def test_parts_of_other_targets_are_refused(tmp_path: Path) -> None:
    file = switches(tmp_path / "s.npz")
    np.savez(tmp_path / "t.npz", X=np.ones((2, 3, 2)), y=np.ones((2, 3, 3)))
    with pytest.raises(DataError, match=r"t\.npz, row 0, frame 0: 3 labels for each frame, trained is on 2"):
        FramesTask(configure(file, data={"test_sources": [str(tmp_path / "t.npz")]}))
    np.savez(tmp_path / "t.npz", X=np.ones((2, 3, 2)), y=np.full((2, 3, 2), 0.5))
    with pytest.raises(DataError, match=r"'0' is 0\.5; a label is there or not"):
        FramesTask(configure(file, data={"test_sources": [str(tmp_path / "t.npz")]}))


@pytest.mark.parametrize("kind", ["labels", "numbers"])
def test_its_pages_show_table_and_worst_frames(kind: str, tmp_path: Path) -> None:
    config = FramesRunConfig(
        data={"sources": [str(switches(tmp_path / "s.npz", 60, kind=kind))]}, model={"hidden_size": 4},
        baselines={"kinds": ["mean" if kind == "numbers" else "majority"]}, training=SMALL.model_dump(),
    )  # type: ignore[arg-type]  # fmt: skip
    metrics = json.loads(json.dumps(fit(config.make_task(), run_dir=tmp_path / "run", config=SMALL).metrics))
    pages = config.pages(metrics, "my-run")
    assert set(pages) == {"curve.png", "example.png", "report.html", "README.md"}
    html, card = pages["report.html"].decode(), pages["README.md"].decode()
    assert all(part in html for part in ("Worst frames", "s.npz, row", "R²" if kind == "numbers" else "recall"))
    assert ("gives every frame the numbers above" if kind == "numbers" else "whether a frame has it") in card
    table = api.tagging_table(metrics)
    assert table.header[1] == ("scaled RMSE" if kind == "numbers" else "nats/frame")
