"""BPE encodes exactly as the library that trained it."""

import re
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnkit.errors import ArgumentError, MissingExtraError
from rnnkit.text.bpe import (
    BYTE_ORDER,
    WORD_PATTERN,
    BpeTokenizer,
    merges_of_library,
    train_library_tokenizer,
)

TEXT = "she sells sea shells, doesn't she? 123 4567\n\n   by the sea shore\té日本語 日本 أهلا aaaa aaaaaaa\r\n" * 4
LIBRARY = train_library_tokenizer([TEXT], vocab_size=420, min_count=1)
OURS = BpeTokenizer(merges_of_library(LIBRARY))

likely = st.lists(st.sampled_from([*TEXT.split(), *" \n\t\r'", "  ", "sh", "'s", "\u2028", "\x85", "\x00"])).map(
    "".join
)
any_text = st.text(st.characters(exclude_categories=["Cs"]))


@settings(max_examples=400)
@given(s=st.one_of(likely, any_text))
def test_ids_equal_the_librarys_on_any_text(s):
    assert LIBRARY.encode(s).ids == OURS.encode(s).tolist()


@pytest.mark.parametrize(
    "s", ["aaaaaaaaaaaaa" * 30, "日本語" * 200, " " * 100 + "x", "'s'll'x", "\n" * 70, "a" * 31 + "'s"]
)
def test_ids_equal_the_librarys_on_long_runs(s):
    assert LIBRARY.encode(s).ids == OURS.encode(s).tolist()


def test_the_vocabulary_equals_the_librarys():
    assert LIBRARY.get_vocab_size() == OURS.vocab_size
    assert sorted(BYTE_ORDER) == list(range(256))


@given(s=any_text)
def test_the_pattern_cuts_and_loses_nothing(s):
    assert "".join(re.findall(WORD_PATTERN, s)) == s


def test_two_pairs_that_spell_the_same_token_share_its_id():
    a, b = (1 + BYTE_ORDER.index(byte) for byte in b"ab")
    tokenizer = BpeTokenizer([(a, b), (b, a), (257, a), (a, 258)])  # aba twice
    assert tokenizer.vocab_size == 260
    assert tokenizer.decode([259]) == "aba"


@pytest.mark.parametrize(
    ("merges", "message"),
    [
        ([(0, 1)], "do not exist yet"),
        ([(1, 257)], "do not exist yet"),
        ([(-1, 1)], "do not exist yet"),
        ([(1, 2), (1, 2)], "or are joined"),
        ([(1, 1), *((i, i) for i in range(257, 290))], "more than 132 bytes"),
    ],
)
def test_merges_that_make_no_sense_are_refused(merges, message):
    with pytest.raises(ArgumentError, match=message):
        BpeTokenizer(merges)


def test_the_memory_of_words_is_bounded(monkeypatch):
    monkeypatch.setattr("rnnkit.text.bpe._MAX_REMEMBERED_WORDS", 2)
    tokenizer = BpeTokenizer(OURS.merges)
    before = tokenizer.encode("a b c d e")
    tokenizer.encode("x y")
    assert len(tokenizer._words) == 2
    assert tokenizer.encode("a b c d e").tolist() == before.tolist()


def test_encoding_never_imports_the_library():
    code = (
        "import sys; from rnnkit.text import from_json; t = from_json(sys.stdin.read()); t.encode('she sells');"
        "assert 'tokenizers' not in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], input=OURS.to_json(), text=True, check=True, timeout=60)


def test_a_missing_library_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(MissingExtraError, match=r"pip install '\.\[train\]'"):
        BpeTokenizer.build(["text"])
