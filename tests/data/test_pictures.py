"""Pictures with captions: CSV and COCO give the same; what is missing, unreadable or too much is named by its row."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnnkit import data
from rnnkit.errors import DataError, MissingExtraError

Image: Any = pytest.importorskip("PIL.Image", reason="images need Pillow")
DATA = Path(os.environ.get("RNNKIT_DATA", Path(__file__).parents[3] / "shared" / "data"))
FLICKR = DATA / "vec2seq" / "flickr8k_1000"
RED, BLUE = (200, 10, 20), (10, 20, 200)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images, a grey one that no table names, and one that is none."""
    (tmp_path / "images").mkdir()
    for name, colour in (("red.png", RED), ("blue.png", BLUE), ("grey.png", (9, 9, 9))):
        Image.new("RGB", (6, 4), colour).save(tmp_path / "images" / name)
    (tmp_path / "images" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    return tmp_path


def table(folder: Path, *rows: str, header: str = "image,caption") -> Path:
    path = folder / "a.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def coco(folder: Path, **parts: list[dict[str, Any]]) -> Path:
    path = folder / "a.json"
    path.write_text(json.dumps(parts), encoding="utf-8")
    return path


def test_a_table_and_coco_give_the_same_pictures_each_once_with_all_captions(folder: Path) -> None:
    rows = ("red.png,a red one", "blue.png,a blue one", 'red.png,"red, all over"')
    found = data.read_pictures(table(folder, *rows), size=(2, 3))
    assert found.captions == [("a red one", "red, all over"), ("a blue one",)]
    assert found.pixels.shape == (2, 2, 3, 3)
    assert found.pixels.dtype == np.uint8
    assert (found.pixels[0] == RED).all()
    assert (found.pixels[1] == BLUE).all()
    assert [Path(name).name for name in found.names] == ["red.png", "blue.png"]
    assert found.places[1].endswith("a.csv, line 3")
    images = [{"id": 7, "file_name": "red.png"}, {"id": 8, "file_name": "blue.png"}]
    own = [
        {"image_id": at, "caption": row.split(",", 1)[1].strip('"')} for at, row in zip((7, 8, 7), rows, strict=True)
    ]
    listed = data.read_pictures(coco(folder, images=images, annotations=own), size=(2, 3), folder=folder / "images")
    assert listed.fingerprint == found.fingerprint
    assert found[[1]].captions == [("a blue one",)]
    assert np.array_equal(data.read_picture(folder / "images" / "red.png", size=(2, 3)), found.pixels[0])


def test_a_turned_photograph_is_shown_upright_and_any_mode_becomes_colours(folder: Path) -> None:
    image = Image.new("L", (4, 2), 0)
    image.putpixel((0, 0), 255)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter to the right
    image.save(folder / "turned.png", exif=exif)
    upright = data.read_picture(folder / "turned.png", size=(4, 2))
    assert upright[..., 0].tolist() == [[0, 255], [0, 0], [0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("row", "message", "reason"),
    [
        (
            "none.png,x",
            r"a\.csv, line 3: the image none\.png is not in .*images; put it there, .*--skip-bad",
            "no image",
        ),
        ("broken.png,x", r"a\.csv, line 3: the image .*broken\.png cannot be decoded \(", "unreadable"),
        ("blue.png, ", r"a\.csv, line 3: the caption is empty", "no caption"),
        (",x", r"a\.csv, line 3: names no image", "an empty side"),
        ("blue.png,x,y", r"a\.csv, line 3: 3 columns, the first row has 2", "too many or too few columns"),
    ],
)
def test_a_bad_row_is_named_in_one_line_or_left_out_and_counted(
    row: str, message: str, reason: str, folder: Path
) -> None:
    path = table(folder, "red.png,a red one", row)
    with pytest.raises(DataError, match=message) as caught:
        data.read_pictures(path, size=(2, 2))
    assert "\n" not in str(caught.value)
    kept = data.read_pictures(path, size=(2, 2), skip_bad=True)
    assert kept.captions == [("a red one",)]
    assert kept.skipped_note == f"1 row left out (1 {reason})"


def test_in_coco_an_image_without_a_caption_and_a_caption_without_an_image_are_named(folder: Path) -> None:
    images = [{"id": 1, "file_name": "red.png"}, {"id": 2, "file_name": "blue.png"}]
    red = {"image_id": 1, "caption": "red"}
    cases = [
        ([red], r"a\.json, image 1: blue\.png has no caption"),
        ([red, {"image_id": 9, "caption": "x"}, {"image_id": 2, "caption": "y"}], r"annotation 1: the image 9 is not"),
        ([red, {"image_id": 2}, {"image_id": 2, "caption": "y"}], r"annotation 1: has no image_id and caption"),
    ]
    for own, message in cases:
        path = coco(folder, images=images, annotations=own)
        with pytest.raises(DataError, match=message):
            data.read_pictures(path, size=(2, 2))
        assert sum(data.read_pictures(path, size=(2, 2), skip_bad=True).skipped.values()) == 1
    with pytest.raises(DataError, match=r"is not as COCO has captions .*'annotations'"):
        data.read_pictures(coco(folder, images=images), size=(2, 2))


def test_tables_folders_and_files_that_are_not_there_or_of_another_kind_are_refused(folder: Path) -> None:
    with pytest.raises(DataError, match=r"no column image or .*--image-column"):
        data.read_pictures(table(folder, "red.png,x", header="a,caption"), size=(2, 2))
    chosen = data.read_pictures(
        table(folder, "red.png,x", header="a,b"), size=(2, 2), image_column="a", caption_column="b"
    )
    assert chosen.captions == [("x",)]
    with pytest.raises(DataError, match="is no folder of images; name it with --images"):
        data.read_pictures(table(folder, "red.png,x"), size=(2, 2), folder=folder / "none")
    with pytest.raises(DataError, match="holds no picture with a caption; 1 row left out"):
        data.read_pictures(table(folder, "broken.png,x"), size=(2, 2), skip_bad=True)
    with pytest.raises(DataError, match="no such file; name an image"):
        data.read_picture(folder / "none.png", size=(2, 2))
    with pytest.raises(DataError, match=r"broken\.png cannot be decoded"):
        data.read_picture(folder / "images" / "broken.png", size=(2, 2))


def test_without_pillow_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(MissingExtraError, match=r"Pillow; in .*\[images\]"):
        data.read_pictures(table(folder, "red.png,x"), size=(2, 2))


@pytest.mark.skipif(not FLICKR.exists(), reason="needs the Flickr8k pictures")
def test_a_thousand_photographs_have_five_captions_each() -> None:
    found = data.read_pictures(FLICKR / "captions.csv", size=(16, 16))
    assert len(found) == 1000
    assert {len(own) for own in found.captions} == {5}
    assert not found.skipped_note
