"""Videos with a label for every frame: what is read, at which size, in which memory; what is refused by place."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnnkit import data
from rnnkit.data.video import _averaging, resized
from rnnkit.errors import DataError, MissingExtraError

av = pytest.importorskip("av", reason="PyAV is absent: pip install '.[video]'")

LABELS = ["still", "left", "left", "up", "still", "right"]


def pictures(count: int = 6, height: int = 32, width: int = 48, seed: int = 0) -> np.ndarray:
    """Smooth ones of 20 to 230, so that an encoder keeps them: uint8 [T, height, width, 3]."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(20, 230, (count, height // 16, width // 16, 3))
    return coarse.repeat(16, axis=1).repeat(16, axis=2).astype(np.uint8)


def write(path: Path, frames: np.ndarray, *, codec: str = "libx264", **container: Any) -> Path:
    with av.open(str(path), "w", **container) as file:
        stream = file.add_stream(codec, rate=10, options={"qp": "0"} if codec == "libx264" else {})
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode())
    return path


def labelled(folder: Path, name: str = "clip", *, labels: list[str] = LABELS, suffix: str = ".mp4") -> Path:
    path = write(folder / f"{name}{suffix}", pictures(), codec="libx264" if suffix in (".mp4", ".mkv") else "mpeg4")
    path.with_suffix(".csv").write_text("label,note\n" + "".join(f"{label},x\n" for label in labels), encoding="utf-8")
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_frames_are_bytes_of_one_size_beside_their_labels(suffix: str, tmp_path: Path) -> None:
    framed = data.read_framed(labelled(tmp_path, suffix=suffix), frame_size=(32, 48))
    (clip,) = framed.sentences
    assert (clip.dtype, clip.shape, framed.frame_shape, framed.input_size) == (
        np.uint8,
        (6, 32, 48, 3),
        (32, 48, 3),
        4608,
    )
    assert framed.tags == [LABELS]
    assert np.abs(clip.astype(int) - pictures()).mean() < 6  # what the encoder and its colours take
    assert framed.place(0, 3) == f"{tmp_path / 'clip'}{suffix}, frame 3"


def test_grey_is_one_channel_and_other_sizes_are_averages(tmp_path: Path) -> None:
    path = labelled(tmp_path)
    grey = data.read_framed(path, frame_size=(2, 3), grey=True).sentences[0]
    assert grey.shape == (6, 2, 3, 1)
    brightness = pictures() @ [0.299, 0.587, 0.114]
    wanted = brightness.reshape(6, 2, 16, 3, 16).mean((2, 4))
    assert np.abs(grey[..., 0] - wanted).max() < 8


def test_averaging_keeps_every_pixel_and_the_mean() -> None:
    rng = np.random.default_rng(0)
    for old, new in ((64, 32), (48, 7), (7, 48), (33, 32), (5, 5), (1, 4)):
        shares = _averaging(old, new)
        np.testing.assert_allclose(shares.sum(1), 1)
        np.testing.assert_allclose(shares.sum(0), new / old)
    image = rng.integers(0, 256, (64, 96), np.uint8)
    want = np.rint(image.reshape(32, 2, 32, 3).mean((1, 3), dtype=np.float64)).astype(int)
    assert np.abs(resized(image, (32, 32))[..., 0] - want).max() <= 1  # halves are rounded one way or the other
    assert np.array_equal(resized(image, (64, 96))[..., 0], image)
    assert resized(np.full((5, 7, 3), 255, np.uint8), (9, 2)).min() == 255


def test_a_folder_is_all_its_videos_by_name_and_windows_cut_them(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        labelled(tmp_path, name)
    (tmp_path / "notes.txt").write_text("no video", encoding="utf-8")
    framed = data.read_framed(tmp_path, frame_size=(8, 8))
    assert [Path(file.removesuffix(", frame")).name for file in framed.files] == ["a.mp4", "b.mp4", "c.mp4"]
    cut = framed.cut(4)
    assert [len(clip) for clip in cut.sentences] == [4, 2] * 3
    assert cut.place(1).endswith("a.mp4, frame 4")
    assert framed.fingerprint != data.read_framed(tmp_path, frame_size=(8, 9)).fingerprint


def test_without_labels_none_need_be_there(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mp4", pictures())
    framed = data.read_framed(path, labelled=False)
    assert (framed.tags, framed.sentences[0].shape) == ([[""] * 6], (6, 32, 32, 3))


def test_a_batch_of_clips_stays_bytes(tmp_path: Path) -> None:
    clip = data.read_framed(labelled(tmp_path), frame_size=(4, 4)).sentences[0]
    inputs, lengths = data.padded([clip, clip[:2]])
    assert (inputs.dtype, inputs.shape, lengths.tolist()) == (np.uint8, (6, 2, 4, 4, 3), [6, 2])
    assert not inputs[2:, 1].any() and np.array_equal(inputs[:, 0], clip)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"clip\.mp4: neither clip\.csv and clip\.tsv beside it; wanted is one table"),
        ("label\nup\n", r"clip\.csv: 1 rows of labels, .*clip\.mp4 has 6 frames; give every frame one row"),
        ("label\n" + "up\n" * 7, r"clip\.csv: 7 rows of labels, .*clip\.mp4 has 6 frames"),
        ("way\n" + "up\n" * 6, r"clip\.csv, line 1: no column label or .* --label-column"),
        ("label,x\nup\n", r"clip\.csv, line 2: 1 cells, the header has 2"),
        ("label,x\n" + "up,1\n" * 3 + " ,1\n" + "up,1\n" * 2, r"clip\.mp4, frame 3: the label is empty"),
    ],
)
def test_labels_that_do_not_fit_are_refused_by_place(content: str | None, message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mp4", pictures())
    if content is not None:
        path.with_suffix(".csv").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        data.read_framed(path)


def test_two_tables_beside_a_clip_are_refused(tmp_path: Path) -> None:
    path = labelled(tmp_path)
    path.with_suffix(".tsv").write_text("label\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"both clip\.csv and clip\.tsv beside it"):
        data.read_framed(path)


def test_the_labels_column_can_be_named_and_tabs_separate_too(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mp4", pictures())
    rows = "".join(f"{n}\t{label}\n" for n, label in enumerate(LABELS))
    path.with_suffix(".tsv").write_text(f"frame\tway\n{rows}", encoding="utf-8")
    assert data.read_framed(path, label_column="way").tags == [LABELS]


@pytest.mark.parametrize("share", [0.0, 0.001, 0.2, 0.5, 0.9])
def test_a_file_that_is_cut_off_is_refused_wherever_it_ends(share: float, tmp_path: Path) -> None:
    at_front = {"container_options": {"movflags": "faststart"}}  # the table of frames stands before the frames
    whole = write(tmp_path / "whole.mp4", pictures(40, 64, 64), **at_front).read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DataError, match=r"cut\.mp4: .*(cannot be decoded|ends at frame \d+ of the 40).*again"):
        data.read_framed(path, labelled=False)


def test_what_is_no_video_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video at all\n" * 100, encoding="utf-8")
    with pytest.raises(DataError, match=r"text\.mp4: cannot be decoded"):
        data.read_framed(tmp_path / "text.mp4", labelled=False)
    with pytest.raises(DataError, match=r"gone\.mp4: no such file"):
        data.read_framed(tmp_path / "gone.mp4", labelled=False)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: the folder holds no video"):
        data.read_framed(tmp_path / "empty")
    with av.open(str(tmp_path / "sound.mp4"), "w") as file:
        stream = file.add_stream("aac", rate=8000)
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 2048), np.float32), format="fltp", layout="mono")
        samples.sample_rate = 8000
        file.mux(stream.encode(samples))
        file.mux(stream.encode())
    with pytest.raises(DataError, match=r"sound\.mp4: holds no video stream"):
        data.read_framed(tmp_path / "sound.mp4", labelled=False)


def test_pictures_and_numbers_are_not_mixed(tmp_path: Path) -> None:
    path = labelled(tmp_path)
    (tmp_path / "walk.csv").write_text("label,x\nup,1\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"walk\.csv, line 2: frames of 1 numbers among pictures of 32 x 32 x 3"):
        data.read_framed([path, tmp_path / "walk.csv"])


def test_without_pyav_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = labelled(tmp_path)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"needs PyAV; .*pip install '\.\[video\]'"):
        data.read_framed(path)
