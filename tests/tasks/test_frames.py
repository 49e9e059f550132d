"""The task on frames: from recordings to a run folder, resumed to the same bits, judged beside its baselines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

import rnnkit
from rnnkit.api.classification import ClassifyTrainConfig
from rnnkit.api.frames import FramesRunConfig
from rnnkit.bundle import read_bundle
from rnnkit.errors import ArgumentError, CheckpointError, DataError
from rnnkit.export import to_bundle, to_onnx
from rnnkit.tasks.frames import FramesTask
from rnnkit.tasks.frames_config import FramesConfig
from rnnkit.tasks.frames_score import LabelledBy, frame_rows
from rnnkit.training import fit

SMALL = ClassifyTrainConfig(max_steps=7, batch_size=16, threads=1, eval_every_steps=3, checkpoint_every_s=0)


def drawn(path: Path, count: int = 60, *, seed: int = 0) -> Path:
    """A switch that is seldom pressed: the label is whether it has been pressed an odd number of times, far back."""
    rng = np.random.default_rng(seed)
    pressed = rng.random((count, 24)) < 0.08
    X = np.stack([pressed, rng.standard_normal(pressed.shape)], axis=2).astype(np.float32)
    np.savez(path, X=X, y=np.where(pressed.cumsum(1) % 2, "on", "off"))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return drawn(tmp_path / "switch.npz")


def configure(file: Path, **sections: Any) -> FramesConfig:
    given: dict[str, Any] = {
        "data": {"sources": [str(file)]}, "model": {"hidden_size": 8}, "baselines": {"kinds": ["majority"]},
    }  # fmt: skip
    return FramesConfig(**{key: {**given.get(key, {}), **sections.get(key, {})} for key in {*given, *sections}})


def weights(folder: Path) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in read_bundle(folder).tensors.items()}


def test_it_remembers_what_no_window_holds_and_stands_beside_its_baselines(tmp_path: Path) -> None:
    file = drawn(tmp_path / "switch.npz", 300)
    kinds = ["majority", "frame-mlp", "window-mlp"]
    config = configure(file, model={"hidden_size": 16, "bidirectional": False, "output_dropout": 0.0},
                       baselines={"kinds": kinds, "context": 3})  # fmt: skip
    training = ClassifyTrainConfig(epochs=30, lr=0.02, batch_size=16, threads=1)
    run = tmp_path / "run"
    metrics = fit(FramesTask(config), run_dir=run, config=training).metrics
    assert metrics == json.loads((run / "metrics.json").read_bytes())
    by_name = {row["name"]: row for row in (metrics["model"], *metrics["baselines"])}
    assert list(by_name) == ["lstm", *kinds]
    model, window = by_name["lstm"], by_name["window-mlp"]
    assert model["accuracy"] > 0.95 > 0.85 > window["accuracy"]
    assert window["p_value"] < 0.01
    assert window["difference"] == pytest.approx(model["accuracy"] - window["accuracy"])
    assert window["low"] < window["accuracy"] < window["high"]
    assert model["nats"] < window["nats"]
    assert (model["num_frames"], model["num_sequences"]) == (60 * 24, 60)
    assert metrics["task"] == "frames"
    assert "words" not in metrics["report"]
    assert all(point["error"] == 1 - point["accuracy"] for point in metrics["curve"])

    labeller = rnnkit.load(run)
    assert isinstance(labeller, rnnkit.FrameTagger)
    again = labeller.evaluate(drawn(tmp_path / "other.npz", seed=9))
    assert again["model"]["num_frames"] == 60 * 24
    assert [row["name"] for row in again["baselines"]] == kinds
    frames = labeller.read(file).sentences[0]
    state, found = labeller.initial_state(), []
    for frame in frames:
        log_probs, state = labeller.step(frame[None], state)
        found.append(log_probs[0])
    assert np.array_equal(np.stack(found), labeller.log_probs([frames])[0])
    assert labeller.predict([frames])[0] == [labeller.labels[best] for best in np.stack(found).argmax(1)]


def test_a_window_of_a_model_that_streams_lies_before_its_frame(file: Path) -> None:
    for bidirectional, wanted in ((True, (3, 2)), (False, (5, 0))):
        config = configure(
            file, model={"bidirectional": bidirectional}, baselines={"kinds": ["window-mlp"], "context": 5}
        )
        baseline = FramesTask(config).sentences.fit_baseline("window-mlp")
        assert (baseline.before, baseline.after) == wanted


def test_a_single_recording_has_an_interval_for_it_is_resampled_in_blocks() -> None:
    rng = np.random.default_rng(0)
    gold = [rng.choice(["a", "b"], 320).tolist()]
    log_probs = [np.log(rng.dirichlet([1, 1], 320)) for _ in range(2)]
    systems = [
        LabelledBy(name, [[("a", "b")[best] for best in of.argmax(1)]], {"bytes": 3}, [of])
        for name, of in zip(("ours", "theirs"), log_probs, strict=True)
    ]
    ours, theirs = frame_rows(systems, gold, labels=["a", "b"])
    assert ours["low"] < ours["accuracy"] < ours["high"]
    assert theirs["difference_low"] < theirs["difference"] < theirs["difference_high"]
    assert 0.01 < theirs["p_value"] <= 1
    targets = np.array([label == "b" for label in gold[0]], int)
    assert ours["nats"] == pytest.approx(-log_probs[0][np.arange(320), targets].mean())
    assert (ours["num_frames"], ours["num_sequences"], ours["bytes"]) == (320, 1, 3)
    assert 0.3 < ours["macro_f1"] < 0.7


def test_windows_are_cut_before_any_is_held_out(file: Path) -> None:
    recordings = FramesTask(configure(file, data={"window_frames": 10})).sentences
    lengths = {len(one) for part in recordings.parts().values() for one in part.sequences}
    assert lengths == {10, 4}
    assert sum(len(part) for part in recordings.parts().values()) == 60 * 3


def test_a_run_cut_anywhere_ends_with_the_same_bits(file: Path, tmp_path: Path) -> None:
    fit(FramesTask(configure(file)), run_dir=tmp_path / "whole", config=SMALL)

    class Stop(Exception):
        pass

    def stop(event: dict[str, Any]) -> None:
        if event["event"] == "checkpoint" and event["step"] == 4:
            raise Stop

    with pytest.raises(Stop):
        fit(FramesTask(configure(file)), run_dir=tmp_path / "cut", config=SMALL, observers=[stop])
    other = FramesTask(configure(file, data={"window_frames": 10}))
    with pytest.raises(CheckpointError, match="the training frames"):
        fit(other, run_dir=tmp_path / "cut", config=SMALL, resume=True)
    fit(FramesTask(configure(file)), run_dir=tmp_path / "cut", config=SMALL, resume=True)
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"crf": True}},
        {"model": {"label_smoothing": 0.2}},
        {"model": {"bidirectional": False}},
        {"model": {"output_dropout": 0.1}},
        {"model": {"input_dropout": 0.1}},
        {"data": {"window_frames": 10}},
    ],
    ids=str,
)
def test_every_choice_changes_the_weights(change: dict[str, Any], file: Path, tmp_path: Path) -> None:
    fit(FramesTask(configure(file)), run_dir=tmp_path / "a", config=SMALL)
    fit(FramesTask(configure(file, **change)), run_dir=tmp_path / "b", config=SMALL)
    assert weights(tmp_path / "a") != weights(tmp_path / "b")


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"data": {"sources": None}}, r"data\.sources is missing"),
        ({"model": {"embedding_size": 4}}, r"embedding_size"),
        ({"model": {"word_dropout": 0.1}}, r"word_dropout"),
        ({"baselines": {"kinds": ["majority"], "context": 5}}, "context has no effect without window-mlp"),
    ],
)
def test_what_has_no_effect_is_refused(file: Path, sections: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        configure(file, **sections)


def test_faults_of_files_are_named_by_row(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("x,y,label\n1,2,on\n1,2,broken\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"other\.csv, line 3: the label 'broken' is not among those trained on"):
        FramesTask(configure(file, data={"test_sources": [str(other)]}))
    other.write_text("x,label\n1,on\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"other\.csv, line 2: frames of 1 numbers, trained is on frames of 2"):
        FramesTask(configure(file, data={"test_sources": [str(other)]}))
    with pytest.raises(DataError, match=r"every label is 'on'; give two or more"):
        FramesTask(configure(other, data={"valid_sources": [str(other)], "test_sources": [str(other)]}))


def test_its_pages_show_table_labels_and_mistakes(file: Path, tmp_path: Path) -> None:
    config = FramesRunConfig(
        data={"sources": [str(file)], "window_frames": 10}, model={"hidden_size": 4}, baselines={"kinds": ["majority"]},
        training=SMALL.model_dump(),
    )  # type: ignore[arg-type]  # fmt: skip
    metrics = fit(config.make_task(), run_dir=tmp_path / "run", config=config.training).metrics
    pages = config.pages(metrics, "my-run")
    assert set(pages) == {"curve.png", "confusion.png", "report.html", "README.md"}
    html = pages["report.html"].decode()
    assert all(
        part in html for part in ("majority", "Worst mistakes", "switch.npz, row", "By the length of the window")
    )
    card = pages["README.md"].decode()
    assert "A recurrent labeller of frames" in card
    assert "blocks of at most 32 frames" in card


# ---- videos ----------------------------------------------------------------------------------------------------------


def drawn_clips(folder: Path, count: int, *, seed: int = 0) -> Path:
    """A bright block on a ring of eight places; the label is whether it has moved since the frame before."""
    av = pytest.importorskip("av", reason="PyAV is absent: pip install '.[video]'")
    rng = np.random.default_rng(seed)
    folder.mkdir()
    for number in range(count):
        moves = rng.random(12) < 0.5
        moves[0] = False
        places = (rng.integers(8) + moves.cumsum()) % 8
        with av.open(str(folder / f"{number:03}.mp4"), "w") as file:
            stream = file.add_stream("libx264", rate=10, options={"qp": "0"})
            stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
            for place in places:
                picture = np.full((32, 32), 60, np.uint8)
                picture[8:24, place * 4 : place * 4 + 4] = 200
                file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="gray")))
            file.mux(stream.encode())
        rows = "".join(f"{'moved' if moved else 'still'}\n" for moved in moves)
        (folder / f"{number:03}.csv").write_text(f"label\n{rows}", encoding="utf-8")
    return folder


VIDEO = {"model": {"hidden_size": 16, "bidirectional": False, "output_dropout": 0.0, "cnn_channels": [4, 8]},
         "baselines": {"kinds": ["majority", "frame-cnn"]}}  # fmt: skip


def test_motion_is_seen_across_frames_and_not_in_one_and_the_bundle_says_the_same(tmp_path: Path) -> None:
    sources = {"sources": [str(drawn_clips(tmp_path / "clips", 60))], "frame_size": [8, 8], "grey": True}
    training = ClassifyTrainConfig(epochs=40, lr=0.02, batch_size=16, threads=1)
    run = tmp_path / "run"
    metrics = fit(FramesTask(configure(tmp_path, **VIDEO, data=sources)), run_dir=run, config=training).metrics
    by_name = {row["name"]: row for row in (metrics["model"], *metrics["baselines"])}
    assert [*by_name] == ["lstm", "majority", "frame-cnn"]
    assert by_name["lstm"]["accuracy"] > 0.95
    assert by_name["frame-cnn"]["accuracy"] < 0.75
    assert by_name["frame-cnn"]["num_parameters"] == by_name["lstm"]["num_parameters"]

    model = rnnkit.FrameTagger.load(run)
    assert model.config["model"]["frame_shape"] == [8, 8, 1]
    again = model.evaluate(tmp_path / "clips")
    assert [row["name"] for row in (again["model"], *again["baselines"])] == [*by_name]
    assert again["model"]["accuracy"] > 0.95
    (clip, *_) = model.read(tmp_path / "clips" / "000.mp4").sentences
    (whole,) = model.log_probs([clip])
    state = model.initial_state()
    for frame, wanted in zip(clip, whole, strict=True):
        log_probs, state = model.step(frame[None], state)
        assert np.array_equal(wanted, log_probs[0])
    with pytest.raises(ArgumentError, match="holds a labeller of pictures, which has no ONNX file"):
        to_onnx(run, tmp_path / "model.onnx")
    to_bundle(run, tmp_path / "small", int8=True)
    small = rnnkit.FrameTagger.load(tmp_path / "small")
    in_int8 = rnnkit.FrameTagger.load(run, precision="int8")
    assert np.array_equal(small.log_probs([clip])[0], in_int8.log_probs([clip])[0])
    assert small.predict([clip]) == model.predict([clip])


def test_a_run_on_videos_resumes_to_the_same_bits(tmp_path: Path) -> None:
    clips = drawn_clips(tmp_path / "clips", 20)
    config = configure(tmp_path, **VIDEO, data={"sources": [str(clips)], "frame_size": [8, 8]})
    fit(FramesTask(config), run_dir=tmp_path / "whole", config=SMALL)

    class Stop(Exception):
        pass

    def stop(event: dict[str, Any]) -> None:
        if (event["event"], event["name"], event.get("step")) == ("checkpoint", "frame-cnn", 4):
            raise Stop

    with pytest.raises(Stop):
        fit(FramesTask(config), run_dir=tmp_path / "cut", config=SMALL, observers=[stop])
    fit(FramesTask(config), run_dir=tmp_path / "cut", config=SMALL, resume=True)
    for folder in ("", "baselines/frame-cnn"):
        assert weights(tmp_path / "whole" / folder) == weights(tmp_path / "cut" / folder)
    assert weights(tmp_path / "whole") != weights(tmp_path / "whole" / "baselines/frame-cnn")


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"data": {"sources": ["a.csv"], "grey": True}}, "grey has no effect without videos"),
        ({"data": {"sources": ["a.csv"], "frame_size": [8, 8]}}, "frame_size has no effect without videos"),
        ({"data": {"sources": ["a.csv"]}, "model": {"cnn_channels": [4]}}, "cnn_channels has no effect without videos"),
        ({"data": {"sources": ["a.csv"]}, "model": {"cnn_kernel": 5}}, "cnn_kernel has no effect without videos"),
        ({"data": {"sources": ["a.csv"]}, "baselines": {"kinds": ["frame-cnn"]}}, "frame-cnn reads pictures"),
        ({"data": {"sources": ["a.mp4"]}, "baselines": {"kinds": ["window-mlp"]}}, "window-mlp reads numbers"),
        ({"data": {"sources": ["a.mp4"]}, "baselines": {"kinds": None, "context": 3}}, "context has no effect"),
        ({"data": {"sources": ["a.mp4"]}, "model": {"cnn_kernel": 4}}, "give an odd number"),
        ({"data": {"sources": ["a.mp4"], "frame_size": "8by8"}}, "give height and width, as 32x32"),
        ({"data": {"sources": ["a.mp4"], "frame_size": [2, 8]}}, "greater than or equal to 4"),
    ],
)
def test_what_does_not_fit_videos_or_numbers_is_refused(sections: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=message):
        configure(tmp_path, **sections)


def test_of_videos_the_table_shows_the_majority_and_single_frames_unless_told(tmp_path: Path) -> None:
    of = {
        source: configure(tmp_path, data={"sources": [source]}, baselines={"kinds": None})
        for source in ("a.mp4", "a.csv")
    }
    assert of["a.mp4"].baseline_kinds("label") == ("majority", "frame-cnn")
    assert of["a.csv"].baseline_kinds("label") == ("majority", "frame-mlp", "window-mlp")


def test_columns_in_another_order_than_trained_on_are_refused_wherever_they_come(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [f"{rng.random():.3f},{rng.random():.3f},{'ab'[n % 2]}" for n in range(60)]
    first, turned = tmp_path / "a.csv", tmp_path / "b.csv"
    first.write_text("\n".join(["height,speed,label", *rows]), encoding="utf-8")
    turned.write_text("\n".join(["speed,height,label", *rows]), encoding="utf-8")
    sections: dict[str, Any] = {"data": {"window_frames": 10}}
    with pytest.raises(DataError, match=r"b\.csv, line 2: the columns speed, height, where others are height, speed"):
        FramesTask(configure(first, data={"window_frames": 10, "test_sources": [str(turned)]}))
    fit(FramesTask(configure(first, **sections)), run_dir=tmp_path / "run", config=SMALL)
    model = rnnkit.load(tmp_path / "run")
    assert isinstance(model, rnnkit.FrameTagger)
    assert len(model.read(first)) == 6
    for read in (model.read, model.evaluate):
        with pytest.raises(DataError, match="the columns speed, height, where others are height, speed"):
            read(turned)
