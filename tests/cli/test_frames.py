"""`rnnkit train frames`, and `predict` and `eval` on its runs; no option is ignored."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from arriving import COMMON, check_options
from command import Outcome

from rnnkit.api.frames import FramesRunConfig

SMALL = ("--hidden-size=4", "--max-steps=4", "--batch-size=8", "--threads=1", "--window=10")
SPECIAL = {
    **COMMON,
    "--frame-size": (["--frame-size", "24x48"], "data.frame_size", (24, 48)),
    "--cnn-channels": (["--cnn-channels", "4,5"], "model.cnn_channels", (4, 5)),
    "--window": (["--window", "32"], "data.window_frames", 32),
    "--targets": (["--targets", "numbers"], "data.targets", "numbers"),
    "--target-columns": (["--target-columns", "a,b"], "data.target_columns", ("a", "b")),
    "--feature-columns": (["--feature-columns", "a,b"], "data.feature_columns", ("a", "b")),
    "--next": (["--next"], "data.next_frame", True),
    "--baseline": (["--baseline", "frame-mlp"], "baselines.kinds", ("frame-mlp",)),
}


def test_every_option_arrives_under_the_key_it_is_named_after(monkeypatch: pytest.MonkeyPatch) -> None:
    check_options("frames", "FrameTagger", FramesRunConfig, SPECIAL, monkeypatch)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("frames") / "walk.csv"
    rows = "".join(f"{n % 7},{n % 3},{'step' if n % 7 > 3 else 'rest'}\n" for n in range(400))
    path.write_text(f"height,speed,phase\n{rows}", encoding="utf-8")
    return path


@pytest.mark.parametrize("direction", ["--forward", "--bidirectional"])
def test_train_predict_and_eval(
    direction: str, file: Path, tmp_path: Path, call: Callable[..., Outcome], monkeypatch: Any
) -> None:
    run = tmp_path / "run"
    refused = call("train", "frames", file, "--run", run, *SMALL)
    assert (refused.code, refused.err.count("\n"), run.exists()) == (1, 1, False)
    assert "walk.csv, line 1: no column label or" in refused.err

    done = call("train", "frames", file, "--run", run, *SMALL, direction, "--label-column=phase")
    assert done.code == 0, done.err
    for word in ("lstm (this model)", "majority", "frame-mlp", "window-mlp", "accuracy", f"run folder: {run}"):
        assert word in done.out
    assert "nats/frame" in done.err
    assert {"README.md", "report.html", "labels.json", "run.yaml"} <= {p.name for p in run.iterdir()}
    again = call("train", "frames", "--resume", "--run", run, "--json")
    assert json.loads(again.out)["model"]["num_frames"] == 80

    for name in ("torch", "sklearn", "scipy", "yaml", "matplotlib"):  # only the run half is left
        monkeypatch.setitem(sys.modules, name, None)
    assert json.loads(call("eval", run, file, "--json").out)["model"]["num_frames"] == 400
    assert "400 frames" in call("eval", run, file).out
    assert call("eval", run, file, "--label-column=speed").code == 1
    for flag in ("--reset-per-line", "--bytes", "--tag-column=x"):
        assert f"{flag.split('=')[0]} has no effect on a labeller of frames" in call("eval", run, file, flag).err

    found = [line.split("\t") for line in call("predict", run, file).out.splitlines()]
    assert [row[2] for row in found] == [f"{file}, line {number}" for number in range(2, 402)]
    assert {row[0] for row in found} <= {"rest", "step"}
    first, *_ = call("predict", run, file, "--json").out.splitlines()
    assert json.loads(first)["label"] == found[0][0]
    assert set(json.loads(first)["probabilities"]) == {"rest", "step"}
    assert "--bytes has no effect" in call("predict", run, file, "--bytes").err

    lines = tmp_path / "lines.txt"
    lines.write_text("".join(f"{n % 7}, {n % 3}\n" for n in range(10)) + "1,nan\n", encoding="utf-8")
    with lines.open(encoding="utf-8") as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        streamed = call("predict", run)
    if direction == "--bidirectional":
        assert streamed.code == 2
        assert "also looks ahead, so it cannot label frames as they come; name a FILE" in streamed.err
    else:
        rows = [line.split("\t") for line in streamed.out.splitlines()]
        assert [row[:2] for row in rows] == [row[:2] for row in found[:10]]  # the first window
        assert streamed.code == 1
        assert "stdin, line 11: inputs hold a value that is not finite" in streamed.err


def test_videos_are_trained_on_predicted_and_judged(
    tmp_path: Path, call: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    av = pytest.importorskip("av", reason="PyAV is absent: pip install '.[video]'")
    clips = tmp_path / "clips"
    clips.mkdir()
    for number in range(12):
        with av.open(str(clips / f"{number:02}.mp4"), "w") as file:
            stream = file.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = 32, 16, "yuv420p"
            for value in range(5):
                picture = np.full((16, 32, 3), 40 * value + number, np.uint8)
                file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            file.mux(stream.encode())
        (clips / f"{number:02}.tsv").write_text("way\n" + "dark\n" * 3 + "light\n" * 2, encoding="utf-8")
    run = tmp_path / "run"
    how = ("--frame-size=8x16", "--cnn-channels=3,4", "--cnn-kernel=5", "--label-column=way", "--forward")
    done = call("train", "frames", clips, "--run", run, *SMALL[:-1], *how)
    assert done.code == 0, done.err
    for word in ("lstm (this model)", "majority", "frame-cnn", "frame-cnn will train after lstm"):
        assert word in done.out + done.err
    for name in ("torch", "sklearn", "scipy", "yaml", "matplotlib"):  # only the run half and PyAV are left
        monkeypatch.setitem(sys.modules, name, None)
    done = call("predict", run, clips / "03.mp4")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert [line.split("\t")[2] for line in lines] == [f"{clips / '03.mp4'}, frame {t}" for t in range(5)]
    judged = json.loads(call("eval", run, clips, "--json").out)
    assert [row["name"] for row in judged["baselines"]] == ["majority", "frame-cnn"]
    assert judged["model"]["num_frames"] == 60
    refused = call("predict", run)
    assert (refused.code, "reads videos, which do not come on stdin as lines; name a FILE" in refused.err) == (2, True)
    monkeypatch.setitem(sys.modules, "av", None)
    refused = call("predict", run, clips / "03.mp4")
    assert (refused.code, "pip install '.[video]'" in refused.err, refused.err.count("\n")) == (2, True, 1)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("wide") / "wide.csv"
    rows = "".join(f"{n},{n % 7},{n % 3},{int(n % 7 > 3)},{int(n % 3 > 0)},{n % 5 / 2}\n" for n in range(400))
    path.write_text(f"time,height,speed,up,fast,heat\n{rows}", encoding="utf-8")
    return path


@pytest.mark.parametrize("targets", ["up,fast", "heat"])
def test_several_labels_and_numbers(
    targets: str, wide: Path, tmp_path: Path, call: Callable[..., Outcome], monkeypatch: Any
) -> None:
    run, names = tmp_path / "run", targets.split(",")
    chosen = ("--target-columns", targets, "--feature-columns=height,speed", "--forward")
    done = call("train", "frames", wide, "--run", run, *SMALL, *chosen, "--baseline=frame-mlp")
    assert done.code == 0, done.err
    is_numbers = targets == "heat"
    for word in ("frame-mlp", "RMSE" if is_numbers else "micro"):
        assert word in done.out
    assert ("deviations²/frame" if is_numbers else "nats/frame") in done.err
    for name in ("torch", "sklearn", "scipy", "yaml", "matplotlib"):  # only the run half is left
        monkeypatch.setitem(sys.modules, name, None)
    judged = json.loads(call("eval", run, wide, "--json").out)
    assert judged["targets"] == ("numbers" if is_numbers else "labels")
    assert judged["labels"] == names
    assert "400 frames" in call("eval", run, wide).out
    assert "both say what a frame has" in call("eval", run, wide, "--label-column=up").err
    found = [line.split("\t") for line in call("predict", run, wide).out.splitlines()]
    assert [row[-1] for row in found] == [f"{wide}, line {number}" for number in range(2, 402)]
    as_json = [json.loads(line) for line in call("predict", run, wide, "--json").out.splitlines()]
    for row, value in zip(found, as_json, strict=True):
        if is_numbers:
            assert float(row[0]) == pytest.approx(value["numbers"]["heat"], rel=1e-5)
        else:
            assert row[0].split() == value["labels"] == [n for n in names if value["probabilities"][n] > 0.5]
    lines = tmp_path / "lines.txt"
    lines.write_text("".join(f"{n % 7}, {n % 3}\n" for n in range(10)), encoding="utf-8")
    with lines.open(encoding="utf-8") as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        streamed = call("predict", run)
    assert [line.split("\t")[0] for line in streamed.out.splitlines()] == [row[0] for row in found[:10]]


@pytest.mark.parametrize("columns", ["up,fast", "height,heat"])
def test_the_next_frame_goes_on_beyond_the_end(
    columns: str, wide: Path, tmp_path: Path, call: Callable[..., Outcome], monkeypatch: Any
) -> None:
    run, is_labels = tmp_path / "run", columns == "up,fast"
    kinds = ("--baseline=last-value",)
    done = call("train", "frames", wide, "--run", run, *SMALL, "--next", f"--feature-columns={columns}", *kinds)
    assert done.code == 0, done.err
    assert ("first" in done.out) == is_labels  # the figure without it
    found = [line.split("\t") for line in call("predict", run, wide).out.splitlines()]
    first = 2 if is_labels else 3
    assert [row[-1] for row in found] == [f"{wide}, line {number}" for number in range(first, 403)]
    table = [line.split(",") for line in wide.read_text(encoding="utf-8").splitlines()]
    at = [table[0].index(name) for name in columns.split(",")]
    lines = tmp_path / "lines.txt"
    lines.write_text("".join(",".join(row[k] for k in at) + "\n" for row in table[1:]), encoding="utf-8")
    with lines.open(encoding="utf-8") as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        streamed = [line.split("\t") for line in call("predict", run).out.splitlines()]
    assert [row[:-1] for row in streamed] == [row[:-1] for row in found]
    assert [row[-1] for row in streamed] == [f"stdin, line {number}" for number in range(first - 1, 402)]
    refused = call("train", "frames", wide, "--run", tmp_path / "b", *SMALL, "--next", "--bidirectional")
    assert refused.code == 2
    assert "have seen the next frame; leave it out" in refused.err
