"""Pictures with captions: an image folder beside a CSV, or COCO's JSON; Pillow decodes."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnnkit.data.rows import (
    EMPTY,
    UNREADABLE,
    Bad,
    content_of,
    refuse_nothing,
    sifted,
    skipped_note,
    suffix_of,
    table_rows,
    text_fault,
)
from rnnkit.data.tables import SEPARATORS, column_of
from rnnkit.data.video import resized
from rnnkit.errors import DataError, MissingExtraError

IMAGE_COLUMNS = ("image", "file", "filename", "file_name", "picture")
CAPTION_COLUMNS = ("caption", "text", "description", "sentence")
NO_IMAGE, NO_CAPTION = "no image", "no caption"


@dataclass(frozen=True)
class Pictures:
    """Pictures with one caption each, or several that are as good.

    Attributes:
        pixels: uint8 [N, height, width, 3].  captions: a tuple of at least one for each; () where none were asked for.
        names: the images' paths.  places: where each is first named, for messages.
        skipped: how many rows were left out, by the reason.
    """

    pixels: np.ndarray
    captions: list[tuple[str, ...]]
    names: list[str]
    places: list[str]
    skipped: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, rows: np.ndarray | Sequence[int]) -> Pictures:
        """Those of `rows`, in their order."""
        captions = [self.captions[row] for row in rows]
        names, places = ([part[row] for row in rows] for part in (self.names, self.places))
        return Pictures(self.pixels[np.asarray(rows, np.int64)], captions, names, places)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of pixels and captions; where they stood does not count."""
        total = hashlib.sha256(json.dumps([list(self.pixels.shape), self.captions]).encode())
        total.update(self.pixels.tobytes())
        return total.hexdigest()

    @property
    def skipped_note(self) -> str:
        """What was left out, in words; "" where nothing was."""
        return skipped_note(self.skipped)


def read_pictures(
    table: str | Path,
    *,
    size: tuple[int, int],
    folder: str | Path | None = None,
    image_column: str | None = None,
    caption_column: str | None = None,
    encoding: str = "utf-8",
    skip_bad: bool = False,
) -> Pictures:
    """The pictures that a table names, each once, with all their captions.

    Args:
        table: .csv or .tsv with a header and a row for every caption; or COCO's .json, which has images (id, file_name)
            and annotations (image_id, caption). Images that it does not name are nobody's business: the table is what
            says which ones a part has.
        size: height and width that every picture is resized to, by area averaging.
        folder: where the images are; None: beside the table, in `images` where that has them.
        image_column, caption_column: None: the only one of `IMAGE_COLUMNS` and of `CAPTION_COLUMNS` that is there.
        skip_bad: leave out rows that cannot be used and count them by reason (`Pictures.skipped`).
    Raises: DataError, one line, naming row and remedy: for a caption whose image is not there, an image without a
        caption, or one that cannot be decoded; MissingExtraError without Pillow.
    Cost:   decodes all of them; height·width·3 bytes of memory for each.
    """
    table = str(table)
    pillow = _pillow()
    base = Path(folder) if folder is not None else Path(table).parent
    if folder is None and (base / "images").is_dir():
        base /= "images"
    if not base.is_dir():
        raise DataError(f"{base}: is no folder of images; name it with --images FOLDER")
    content = content_of(table, encoding, skip_bad=skip_bad)
    if suffix_of(table) == ".json":
        rows = _of_coco(table, content)
    elif suffix_of(table) in SEPARATORS:
        rows = _of_cells(table_rows(table, content), image_column, caption_column)
    else:
        raise DataError(f"{table}: cannot tell its format by the name; it must end in .csv, .tsv or .json")
    good, skipped = sifted((_found(row, base) for row in rows), skip_bad=skip_bad)
    grouped: dict[str, tuple[list[str], str]] = {}
    for row in good:
        grouped.setdefault(row.image, ([], row.place))[0].append(row.caption)
    decoded, bad = sifted(
        (_decoded(pillow, base / name, place, size) for name, (_, place) in grouped.items()), skip_bad=skip_bad
    )
    if not decoded:
        refuse_nothing([table], skipped + bad, "picture with a caption")
    paths = [path for path, _ in decoded]
    kept = {str(base / name): value for name, value in grouped.items()}
    return Pictures(
        np.stack([pixels for _, pixels in decoded]),
        [tuple(kept[path][0]) for path in paths],
        paths,
        [kept[path][1] for path in paths],
        skipped + bad,
    )


def read_picture(path: str | Path, *, size: tuple[int, int]) -> np.ndarray:
    """One image file, uint8 [height, width, 3], resized by area averaging.

    Raises: DataError for one that is not there or cannot be decoded; MissingExtraError without Pillow.
    """
    if not Path(path).is_file():
        raise DataError(f"{path}: no such file; name an image")
    result = _decoded(_pillow(), Path(path), str(path), size)
    if isinstance(result, Bad):
        raise DataError(result.message)
    return result[1]


class _Row(NamedTuple):
    image: str
    caption: str
    place: str


def _found(row: _Row | Bad, base: Path) -> _Row | Bad:
    """The row, where its caption is one and its image there."""
    if isinstance(row, Bad):
        return row
    if not row.image.strip():
        return Bad(EMPTY, f"{row.place}: names no image; fill it in, take the row out")
    if not (base / row.image).is_file():
        return Bad(NO_IMAGE, f"{row.place}: the image {row.image} is not in {base}; put it there, take the row out")
    bad = text_fault(row.caption, "caption", row.place)
    return bad._replace(reason=NO_CAPTION) if bad and bad.reason == EMPTY else bad or row


def _decoded(pillow: Any, path: Path, place: str, size: tuple[int, int]) -> tuple[str, np.ndarray] | Bad:
    try:
        with pillow.Image.open(path) as image:
            pixels = np.asarray(pillow.ImageOps.exif_transpose(image).convert("RGB"))
    except (OSError, ValueError, SyntaxError, pillow.Image.DecompressionBombError) as error:  # what Pillow raises
        reason = " ".join(str(error).split())[:100]
        return Bad(
            UNREADABLE, f"{place}: the image {path} cannot be decoded ({reason}); save it again, take the row out"
        )
    return str(path), resized(pixels, size)


def _of_cells(
    rows: Iterator[tuple[list[str], str] | Bad], image_column: str | None, caption_column: str | None
) -> Iterator[_Row | Bad]:
    at: tuple[int, int] | None = None
    for row in rows:
        if isinstance(row, Bad):
            yield row
            continue
        cells, place = row
        if at is None:
            image = column_of(cells, image_column, IMAGE_COLUMNS, "--image-column", place)
            at = (
                cells.index(image),
                cells.index(column_of(cells, caption_column, CAPTION_COLUMNS, "--caption-column", place)),
            )
        else:
            yield _Row(cells[at[0]], cells[at[1]], place)


def _of_coco(name: str, content: str) -> Iterator[_Row | Bad]:
    try:
        value = json.loads(content)
        images = {image["id"]: str(image["file_name"]) for image in value["images"]}
        annotations = list(value["annotations"])
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise DataError(
            f"{name}: is not as COCO has captions ({type(error).__name__}: {error}); wanted are images (id, file_name) "
            "and annotations (image_id, caption)"
        ) from None
    captioned = set()
    for number, own in enumerate(annotations):
        place = f"{name}, annotation {number}"
        if not isinstance(own, dict) or not isinstance(own.get("caption"), str) or "image_id" not in own:
            yield Bad(UNREADABLE, f"{place}: has no image_id and caption; write both")
        elif own["image_id"] not in images:
            yield Bad(NO_IMAGE, f"{place}: the image {own['image_id']!r} is not among the images; list it, take it out")
        else:
            captioned.add(own["image_id"])
            yield _Row(images[own["image_id"]], own["caption"], place)
    for number, (key, image) in enumerate(images.items()):
        if key not in captioned:
            yield Bad(NO_CAPTION, f"{name}, image {number}: {image} has no caption; write one, take it out")


def _pillow() -> Any:
    try:
        import PIL.Image
        import PIL.ImageOps
    except ImportError as error:
        raise MissingExtraError("reading images needs Pillow", extra="images") from error
    return PIL
