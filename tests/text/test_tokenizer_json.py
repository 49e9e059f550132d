"""A tokeniser's JSON form comes back as it was, and anything else is refused by name."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnkit import text
from rnnkit.errors import DataError

CORPUS = 'one "two" \\ three\n日本 \x00 \u2028 end <unk>\n'
TOKENIZERS = {
    kind: text.build(kind, [CORPUS], vocab_size=290 if kind == "bpe" else None, special_tokens=["<pad>"])
    for kind in text.KINDS
}


@pytest.mark.parametrize("kind", text.KINDS)
def test_json_comes_back_as_the_same_tokeniser(kind):
    tokenizer = TOKENIZERS[kind]
    again = text.from_json(tokenizer.to_json())
    assert again == tokenizer
    assert (again.vocab_size, again.begin_id, again.unk_id) == (
        tokenizer.vocab_size,
        tokenizer.begin_id,
        tokenizer.unk_id,
    )
    assert again.encode(CORPUS).tolist() == tokenizer.encode(CORPUS).tolist()


def test_options_come_back_too():
    for tokenizer in (
        text.CharTokenizer.build(["ab"], with_unknown=False),
        text.build("word", ["a, b"], split_punctuation=True),
    ):
        assert text.from_json(tokenizer.to_json()).encode("b").tolist() == tokenizer.encode("b").tolist()
        assert text.from_json(tokenizer.to_json()) == tokenizer


def changed(kind, /, **fields):
    base = json.loads(TOKENIZERS[kind].to_json()) | fields
    return json.dumps({name: value for name, value in base.items() if value is not ...})


BAD = {
    "empty": ("", "line 1, column 1"),
    "cut off": (TOKENIZERS["word"].to_json()[:40], "line 1, column"),
    "a list": ("[]", "an object is wanted, got a list"),
    "nested 100,000 deep": ("[" * 100_000, "nested too deeply|line 1"),
    "NaN": ('{"format": NaN}', "NaN is no JSON value"),
    "an integer of 10,000 digits": ('{"format": ' + "9" * 10_000 + "}", "tokeniser JSON: "),
    "a field twice": ('{"format": 1, "format": 1}', "field 'format' is there twice"),
    "no format": (changed("byte", format=...), "field 'format' is missing"),
    "a future format": (changed("byte", format=2), "format 2, this rnnkit reads 1"),
    "format true": (changed("byte", format=True), "'format' is a bool, a int is wanted"),
    "another kind": (changed("byte", kind="unigram"), "kind 'unigram', known are"),
    "an unknown field": (changed("byte", characters="ab"), "unknown field 'characters'"),
    "a missing field": (changed("char", with_unknown=...), "field 'with_unknown' is missing"),
    "characters as list": (changed("char", characters=["a"]), "'characters' is a list, a str is wanted"),
    "a character twice": (changed("char", characters="aba"), "must all be different"),
    "no characters": (changed("char", characters="", with_unknown=False), "at least one entry"),
    "a surrogate": (changed("char", characters="\ud800"), "lone surrogate"),
    "a surrogate in a word": (changed("word", words=["\n", "<unk>", "\udfff"]), "entry 2 of 'words'"),
    "a word that is a number": (changed("word", words=["\n", "<unk>", 3]), "entry 2 of 'words' is a int"),
    "a word twice": (changed("word", words=["\n", "<unk>", "a", "a"]), "'a' is there twice"),
    "a word with a space": (changed("word", words=["\n", "<unk>", "a b"]), "'a b' is no word"),
    "an empty word": (changed("word", words=["\n", "<unk>", ""]), "'' is no word"),
    "no line end": (changed("word", words=["<unk>"]), "needs the entry"),
    "no unknown": (changed("word", words=["\n"]), "needs the entry '<unk>'"),
    "a special token that is none": (changed("byte", special_tokens=["pad"]), "must look like"),
    "a special token that is a number": (changed("byte", special_tokens=[1]), "entry 0 of 'special_tokens' is a int"),
    "a merge of three": (changed("bpe", merges=[[1, 2, 3]]), "entry 0 of 'merges' is no pair"),
    "a merge of text": (changed("bpe", merges=[["a", "b"]]), "entry 0 of 'merges' is no pair"),
    "a merge of truths": (changed("bpe", merges=[[True, True]]), "entry 0 of 'merges' is no pair"),
    "a merge of nothing yet": (changed("bpe", merges=[[1, 999]]), "do not exist yet"),
    "a token of 2^60 bytes": (
        changed("bpe", merges=[[1, 1], *([i, i] for i in range(257, 316))]),
        "more than 132 bytes",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_json_is_refused_by_name(name):
    data, message = BAD[name]
    with pytest.raises(DataError, match=message):
        text.from_json(data)


@given(data=st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner)))
def test_no_other_json_is_ever_taken_nor_any_other_error_raised(data):
    for field in ("format", "kind", "words", "special_tokens"):
        with pytest.raises(DataError):
            text.from_json(changed("word", **{field: data, "words": data}))
