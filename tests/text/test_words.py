"""WordReader: words and their spelling as integers, and its JSON form."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rnnkit.errors import DataError, DtypeError
from rnnkit.text import WordReader, words

SENTENCES = [["The", "cat", "the"], ["a", "cat"]]


def test_ids_follow_frequency_and_unknown_words_are_0() -> None:
    reader = WordReader.build(SENTENCES, with_characters=False)
    assert (reader.words, reader.vocab_size, reader.num_characters) == (("cat", "the", "a"), 4, 0)
    assert reader.encode(["THE", "cat", "dog"]).tolist() == [2, 1, 0]
    assert reader.encode([]).shape == (0,)
    assert WordReader.build(SENTENCES, min_count=2).words == ("cat", "the")
    assert WordReader.build(SENTENCES, lowercase=False).words == ("cat", "The", "a", "the")


def test_spelling_keeps_case_is_padded_and_long_words_keep_their_ends() -> None:
    reader = WordReader.build(SENTENCES, max_characters=4)
    ids = {character: index for index, character in enumerate(reader.characters, start=2)}
    assert reader.num_characters == len(set("Thecatthea")) + 1
    rows = reader.encode(["The", "at", "catheat", "?"])
    assert rows.dtype == np.int64
    assert rows[:, 0].tolist() == [2, 0, 0, 0]
    assert rows[0, 1:].tolist() == [ids["T"], ids["h"], ids["e"], 0]
    assert rows[2, 1:].tolist() == [ids[c] for c in "caat"]
    assert rows[3, 1:].tolist() == [1, 0, 0, 0]
    assert reader.encode([]).shape == (0, 5)
    assert WordReader.build(SENTENCES, max_characters=3).encode(["catheat"])[0, 1:].tolist() == [
        WordReader.build(SENTENCES).encode([c])[0, 1] for c in "cat"
    ]


def test_features_are_shape_and_ends_and_a_single_words_value_is_unknown() -> None:
    assert [words.shape_of(word) for word in ("McDonald's-2", "USA", "élan", "42nd", "", "\n\n@")] == [
        "XxXx'x-d", "X", "x", "dx", "", "\n@"
    ]  # fmt: skip
    assert [words.feature_of("Nein", name) for name in ("shape", "prefix1", "prefix4", "suffix2")] == [
        "Xx", "n", "nein", "in"
    ]  # fmt: skip
    assert words.feature_of("a", "suffix3") == words.feature_of("a", "prefix2") == "a"
    given = [["The", "cat", "hat"], ["A", "Cat", "sat"]]
    reader = WordReader.build(given, with_characters=False, features=("shape", "suffix2"))
    assert reader.features == {"shape": ["Xx", "x"], "suffix2": ["at"]}
    assert reader.num_features == 5
    assert reader.encode(["That", "he"])[:, 1:].tolist() == [[1, 4], [2, 3]]  # unknown are 0 and 3
    assert reader.encode([]).shape == (0, 3)
    spelled = WordReader.build(given, max_characters=4, features=("shape",))
    assert np.array_equal(
        spelled.encode(["hat"])[:, 2:], WordReader.build(given, max_characters=4).encode(["hat"])[:, 1:]
    )
    for made in (lambda: WordReader.build(given, features=("suffix9",)), lambda: WordReader([], features={"form": []})):
        with pytest.raises(DataError, match=r"a word has no feature '(suffix9|form)'; there are shape, prefix1"):
            made()


def test_features_go_through_json() -> None:
    reader = WordReader.build(SENTENCES, features=("suffix1", "shape"))
    again = WordReader.from_json(reader.to_json())
    assert np.array_equal(again.encode(["The", "dog"]), reader.encode(["The", "dog"]))
    assert list(again.features) == ["suffix1", "shape"]
    assert "features" not in json.loads(WordReader.build(SENTENCES).to_json())  # as it was before there were any
    fields = json.loads(reader.to_json())
    for change, message in (
        ({"shape": ["x", "x"]}, "'x' of a vocabulary is there twice"),
        ({"shape": "x"}, "features must each be a list of texts"),
        ({"shape": [1]}, "features must each be a list of texts"),
        ([], "features must each be a list of texts"),
        ({"lemma": []}, "no feature 'lemma'"),
    ):
        with pytest.raises(DataError, match=message):
            WordReader.from_json(json.dumps(fields | {"features": change}))


def test_a_text_is_no_list_of_words() -> None:
    for given in ("the cat", ["the", 3]):
        with pytest.raises(DtypeError, match="a list of words is wanted"):
            WordReader.build(SENTENCES).encode(given)  # type: ignore[arg-type]


def test_json_brings_it_back_and_lies_are_refused() -> None:
    reader = WordReader.build(SENTENCES, max_characters=5)
    again = WordReader.from_json(reader.to_json())
    assert np.array_equal(again.encode(["The", "dog"]), reader.encode(["The", "dog"]))
    assert again.to_json() == reader.to_json()
    fields = json.loads(reader.to_json())
    for change, message in (
        ({"words": ["a", "a"]}, "'a' of a vocabulary is there twice"),
        ({"words": [1]}, "words must all be texts"),
        ({"words": "abc"}, "words is a str, not a list"),
        ({"max_characters": True}, "max_characters is a bool"),
        ({"max_characters": 1}, "max_characters is 1"),
        ({"format": 2}, "not of format 1"),
        ({"more": 1}, "must have the fields"),
    ):
        with pytest.raises(DataError, match=message):
            WordReader.from_json(json.dumps(fields | change))
    for broken in ("{", "[]", "[" * 100_000):
        with pytest.raises(DataError, match="vocabulary"):
            WordReader.from_json(broken)


def test_texts_are_cut_where_the_vocabulary_says_how_and_only_there() -> None:
    plain, marks = (WordReader.build(SENTENCES, split_punctuation=flag) for flag in (False, True))
    assert plain.cut("the cat,\n a  dog") == ["the", "cat,", "a", "dog"]
    assert marks.cut("the cat,\n a  dog") == ["the", "cat", ",", "a", "dog"]
    assert [WordReader.from_json(reader.to_json()).split_punctuation for reader in (plain, marks)] == [False, True]
    with pytest.raises(DtypeError, match="decode them first"):
        plain.cut(b"the cat")
    with pytest.raises(DataError, match="not cut out of texts"):
        WordReader.build(SENTENCES).cut("the cat")
    assert "split_punctuation" not in json.loads(WordReader.build(SENTENCES).to_json())
    fields = json.loads(plain.to_json())
    for wrong in (None, 1, "no"):
        with pytest.raises(DataError, match="split_punctuation must be true or false"):
            WordReader.from_json(json.dumps(fields | {"split_punctuation": wrong}))


def test_a_vocabulary_may_be_cut_short_and_says_what_its_integers_are_below() -> None:
    reader = WordReader.build(SENTENCES, vocab_size=3, features=("shape",), max_characters=2)
    assert reader.words == ("cat", "the")
    assert reader.row_limits == [3, reader.num_features, *2 * [reader.num_characters + 1]]
    assert (reader.encode(["the", "cat", "?"]) < reader.row_limits).all()
