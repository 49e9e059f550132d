"""Whatever text goes in comes out, for every tokeniser, whole, in pieces and one token at a time."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rnnkit import text

CORPUS = (
    "The quick brown fox doesn't jump over 12345 lazy dogs.\r\nنص عربي من اليمين إلى اليسار\n"
    "emoji 👨‍👩‍👧‍👦 🏳️‍🌈 e\u0301 ñ\t日本語のテキスト \x00 end of it\n" * 3
)
BYTE, BPE = text.build("byte", []), text.build("bpe", [CORPUS], vocab_size=400)
CHAR, WORD = text.build("char", [CORPUS]), text.build("word", [CORPUS])

any_text = st.text(st.characters(exclude_categories=["Cs"]))
known_characters = st.text(st.sampled_from(sorted(set(CORPUS))))
known_words = st.lists(st.sampled_from([*CORPUS.split(), " ", "  ", "\n", "\t", " \n "])).map(" ".join)
hard = [
    "",
    "\x00",
    "a\r\nb\r",
    "\ufeffx",
    "👨‍👩‍👧‍👦🏳️‍🌈",
    "e\u0301\u0323",
    "שלום \u202eabc",
    "\U0010ffff\x80",
    " \n \n",
    "x" * 500,
]


@pytest.mark.parametrize("tokenizer", [BYTE, BPE], ids=["byte", "bpe"])
@given(s=any_text)
def test_every_valid_text_comes_back_from_bytes_and_bpe(tokenizer, s):
    ids = tokenizer.encode(s)
    assert ids.dtype == np.int32
    assert tokenizer.decode(ids) == s


@pytest.mark.parametrize("s", hard, ids=ascii)
@pytest.mark.parametrize("kind", ["byte", "bpe", "char"])
def test_hard_texts_come_back(kind, s):
    tokenizer = text.build("char", [s or "x"]) if kind == "char" else {"byte": BYTE, "bpe": BPE}[kind]
    assert tokenizer.decode(tokenizer.encode(s)) == s


@given(s=any_text.filter(bool))
def test_text_of_known_characters_comes_back(s):
    tokenizer = text.build("char", [s])
    assert tokenizer.decode(tokenizer.encode(s)) == s
    assert tokenizer.vocab_size == len(set(s)) + 1


@given(s=known_words)
def test_words_come_back_after_whitespace_normalisation(s):
    assert WORD.decode(WORD.encode(s)) == text.normalise_whitespace(s)


@given(s=any_text)
def test_words_of_raw_text_come_back_but_for_whitespace(s):
    tokenizer = text.build("word", [s + "."], split_punctuation=True)
    assert "".join(tokenizer.decode(tokenizer.encode(s)).split()) == "".join(s.split())


@pytest.mark.parametrize("tokenizer", [BYTE, BPE, CHAR, WORD], ids=text.KINDS)
@given(s=st.one_of(any_text, known_words), cuts=st.lists(st.integers(0, 60), max_size=5))
@example(s="don't  stop \n\n now 12345 " * 4, cuts=[4, 7, 18])
def test_pieces_cut_anywhere_encode_as_the_whole(tokenizer, s, cuts):
    places = [0, *sorted(min(cut, len(s)) for cut in cuts), len(s)]
    pieces = [s[a:b] for a, b in pairwise(places)]
    got = list(tokenizer.encode_pieces(pieces))
    np.testing.assert_array_equal(tokenizer.encode(s), np.concatenate(got) if got else [])


@pytest.mark.parametrize("tokenizer", [BYTE, BPE, CHAR, WORD], ids=text.KINDS)
@given(data=st.data())
def test_streamed_text_is_the_decoded_text_for_any_ids(tokenizer, data):
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1)))
    decoder = tokenizer.stream_decoder()
    for _ in range(2):  # a flushed decoder starts afresh
        streamed = [decoder.push(token) for token in ids]
        assert "".join([*streamed, decoder.flush()]) == tokenizer.decode(ids)
    cut = len(ids) // 2
    streamed = [decoder.push_all(ids[:cut]), decoder.push_all(ids[cut:])]
    assert "".join([*streamed, decoder.flush()]) == tokenizer.decode(ids)


def test_a_stream_never_shows_half_a_character():
    decoder = BYTE.stream_decoder()
    assert [decoder.push(byte) for byte in "é👍".encode()] == ["", "é", "", "", "", "👍"]
    assert decoder.flush() == ""


@pytest.mark.parametrize("tokenizer", [BYTE, BPE, CHAR, WORD], ids=text.KINDS)
def test_tokens_are_shown_each_in_its_own_way_and_without_whitespace(tokenizer):
    shown = [tokenizer.token_text(token) for token in range(tokenizer.vocab_size)]
    assert len(set(shown)) == len(shown)
    assert all(token and token.split() == [token] and token.isprintable() for token in shown)


@given(data=st.binary())
def test_bytes_of_any_kind_come_back_from_the_byte_tokeniser(data):
    assert BYTE.decode_bytes(BYTE.encode(data)) == data


@given(s=any_text)
def test_bytes_of_utf8_encode_as_their_text(s):
    for tokenizer in (BYTE, BPE, CHAR, WORD):
        np.testing.assert_array_equal(tokenizer.encode(s), tokenizer.encode(s.encode()))


WITH_SPECIAL = {
    kind: text.build(kind, [CORPUS], vocab_size=300 if kind == "bpe" else None, special_tokens=["<pad>", "<begin>"])
    for kind in text.KINDS
}


@pytest.mark.parametrize("kind", text.KINDS)
@given(s=known_characters, special=st.sampled_from(["<pad>", "<begin>"]))
def test_special_tokens_are_never_encoded_and_decode_to_nothing(kind, s, special):
    tokenizer = WITH_SPECIAL[kind]
    ids, token = tokenizer.encode(s + special), tokenizer.special_id(special)
    assert ids.max() < tokenizer.vocab_size - 2
    assert tokenizer.decode([token, *ids, token]) == tokenizer.decode(ids)
    assert tokenizer.token_text(token) == special
    assert tokenizer.stream_decoder().push(token) == ""
    assert tokenizer.stream_decoder().push_all([token, *ids.tolist(), token]) == tokenizer.decode(ids)
