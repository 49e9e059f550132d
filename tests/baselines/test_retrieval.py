"""Baselines that write texts: the nearest is what a dense computation says, and what is saved is what is read."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from rnnkit.baselines import (
    CopySource,
    MostFrequentText,
    NearestPicture,
    NearestSource,
    TemplateFiller,
    picture_features,
)
from rnnkit.errors import ArgumentError, DataError

WORDS = ["a", "b", "c", "d", "e", "f", "g", "h"]


def texts(count: int, *, seed: int = 0) -> list[str]:
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(WORDS, draw.integers(2, 7))) for _ in range(count)]


def cosine(model: NearestSource, given: str) -> list[float]:
    """The plain definition, over all terms."""
    rows = [Counter(model._terms(source)) for source in model.sources]
    having = Counter(term for row in rows for term in row)
    idf = {term: math.log(len(rows) / count) for term, count in having.items()}

    def unit(row: Counter[str]) -> dict[str, float]:
        weighed = {term: count * idf.get(term, 0.0) for term, count in row.items()}
        length = math.sqrt(sum(value**2 for value in weighed.values())) or 1.0
        return {term: value / length for term, value in weighed.items()}

    query = unit(Counter(model._terms(given)))
    return [sum(query.get(term, 0.0) * value for term, value in unit(row).items()) for row in rows]


@pytest.mark.parametrize("unit", ["word", "character"])
def test_the_nearest_source_has_the_largest_cosine(unit: str) -> None:
    model = NearestSource(texts(40), [f"t{row}" for row in range(40)], unit=unit)  # type: ignore[arg-type]
    for given, row in zip(texts(30, seed=1), model.nearest(texts(30, seed=1)), strict=True):
        scores = cosine(model, given)
        assert scores[row] == pytest.approx(max(scores))


def test_a_training_source_finds_itself_and_an_unknown_one_the_first_target() -> None:
    sources = ["Ein Haus im Wald", "Ein Haus am See", "Zwei Hunde"]
    model = NearestSource(sources, ["x", "y", "z"])
    assert model.unit == "word"
    assert model.write([*sources, "ein haus AM see", "qqq", ""]) == ["x", "y", "z", "y", "x", "x"]
    spelled = NearestSource(["cat", "dog", "fishes"], ["K AE T", "D AO G", "F"])
    assert spelled.unit == "character"
    assert spelled.write(["cats", "fish"]) == ["K AE T", "F"]


def test_the_commonest_text_and_the_copy() -> None:
    assert MostFrequentText(["a", "b", "b", "a"]).write([1, 2]) == ["a", "a"]
    assert MostFrequentText(["a", "b", "b"]).write(["x"]) == ["b"]
    assert CopySource().write(["x", "y"]) == ["x", "y"]


def test_a_template_is_that_of_the_most_similar_record() -> None:
    records = [{"inform", "name", "food"}, {"inform", "name", "food"}, {"inform", "name", "food"}, {"bye"}, set()]
    model = TemplateFiller(records, ["NAME serves FOOD", "FOOD at NAME", "FOOD at NAME", "bye", "hm"])
    assert model.write([{"inform", "name", "food"}, {"inform", "name", "area"}, {"bye", "all"}, set(), {"new"}]) == [
        "FOOD at NAME",
        "FOOD at NAME",
        "bye",
        "hm",
        "FOOD at NAME",
    ]


def picture(*, left: tuple[int, int, int], right: tuple[int, int, int], size: int = 20) -> np.ndarray:
    found = np.empty((size, size + 3, 3), np.uint8)
    found[:, : size // 2], found[:, size // 2 :] = left, right
    return found


def test_the_nearest_picture_is_told_by_colour_place_and_edges() -> None:
    red, blue, grey = (200, 20, 20), (20, 20, 200), (90, 90, 90)
    trained = [picture(left=red, right=blue), picture(left=blue, right=red), picture(left=grey, right=grey)]
    stripes = np.full((24, 24, 3), 90, np.uint8)
    stripes[::4] = 95
    trained += [stripes, stripes.transpose(1, 0, 2)]
    features = picture_features(trained)
    assert features.shape == (5, 240)
    assert features.dtype == np.float32
    model = NearestPicture(features, ["red left", "blue left", "grey", "rows", "columns"])
    given = [picture(left=(190, 30, 25), right=(25, 15, 190), size=33), np.repeat(stripes, 2, axis=1), trained[2]]
    assert model.write(picture_features(given)) == ["red left", "rows", "grey"]
    assert model.write(features) == model.captions
    with pytest.raises(ArgumentError, match=r"a picture is \[3, 8, 3\]; wanted"):
        picture_features([np.zeros((3, 8, 3), np.uint8)])


def test_what_is_saved_is_what_is_read_and_damage_is_named(tmp_path: Path) -> None:
    sources = ["ein Häuschen ☂", "zwei\nZeilen", ""]
    nearest = NearestSource(sources, ["a", "", "☂☂"], unit="character")
    nearest.save(tmp_path)
    again = NearestSource.load(tmp_path)
    assert (again.sources, again.targets, again.unit) == (sources, ["a", "", "☂☂"], "character")
    MostFrequentText(["ü"]).save(tmp_path)
    assert MostFrequentText.load(tmp_path).text == "ü"
    templates = TemplateFiller([{"b", "a"}, set()], ["x", "y"])
    templates.save(tmp_path)
    assert TemplateFiller.load(tmp_path).templates == templates.templates
    features = np.random.default_rng(0).random((3, 240), np.float32)
    NearestPicture(features, ["a", "b", "c"]).save(tmp_path)
    assert NearestPicture.load(tmp_path).write(features[::-1]) == ["c", "b", "a"]
    for kind, name in ((NearestSource, "nearest"), (NearestPicture, "pictures"), (MostFrequentText, "frequent")):
        (tmp_path / f"{name}.npz").write_bytes(b"x")
        with pytest.raises(DataError, match=rf"{name}\.npz is damaged"):
            kind.load(tmp_path)


def test_what_does_not_pair_up_is_refused() -> None:
    with pytest.raises(ArgumentError, match="1 sources and 2 targets"):
        NearestSource(["a"], ["b", "c"])
    with pytest.raises(ArgumentError, match="0 records, 0 templates"):
        TemplateFiller([], [])
    with pytest.raises(ArgumentError, match="no target to count"):
        MostFrequentText([])
    with pytest.raises(ArgumentError, match="2 pictures, 1 captions"):
        NearestPicture(np.zeros((2, 240)), ["a"])
