"""Vocabularies, unknown text, and errors that name what is wrong."""

import math

import numpy as np
import pytest

from rnnkit import text
from rnnkit.errors import ArgumentError, DataError, DtypeError

SURROGATE = "ab\ud800c"
TOKENIZERS = {kind: text.build(kind, ["to be or not to be\n"]) for kind in text.KINDS}


@pytest.mark.parametrize("kind", text.KINDS)
def test_a_lone_surrogate_is_refused_with_its_place(kind):
    with pytest.raises(DataError, match=r"lone surrogate U\+D800 at character 2: .* replace it"):
        TOKENIZERS[kind].encode(SURROGATE)


@pytest.mark.parametrize("kind", ["char", "word", "bpe"])
def test_a_lone_surrogate_in_training_text_is_refused(kind):
    with pytest.raises(DataError, match=r"U\+D800"):
        text.build(kind, [SURROGATE])


@pytest.mark.parametrize("kind", ["char", "word", "bpe"])
def test_invalid_utf8_is_refused_with_its_offset(kind):
    with pytest.raises(DataError, match="byte 0xff at offset 3"):
        TOKENIZERS[kind].encode(b"abc\xff")


@pytest.mark.parametrize("kind", ["char", "word", "bpe"])
def test_pieces_of_bytes_are_refused_where_a_cut_could_fall_inside_a_character(kind):
    with pytest.raises(DtypeError, match="byte tokeniser"):
        list(TOKENIZERS[kind].encode_pieces([b"ab"]))


@pytest.mark.parametrize("kind", ["char", "word", "bpe"])
def test_empty_training_text_is_refused(kind):
    with pytest.raises(DataError, match="give text with at least one"):
        text.build(kind, ["", ""])


@pytest.mark.parametrize("kind", text.KINDS)
def test_ids_that_do_not_exist_are_refused_with_their_place(kind):
    tokenizer = TOKENIZERS[kind]
    for bad in (-1, tokenizer.vocab_size):
        with pytest.raises(ArgumentError, match=f"id {bad} at position 1 is outside 0 … {tokenizer.vocab_size - 1}"):
            tokenizer.decode([0, bad])
        with pytest.raises(ArgumentError, match="outside"):
            tokenizer.token_text(bad)
    with pytest.raises(DtypeError, match="float64"):
        tokenizer.decode(np.array([1.0]))


def test_text_that_is_no_text_is_refused():
    with pytest.raises(DtypeError, match="got int"):
        TOKENIZERS["char"].encode(3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "charr"}, "did you mean 'char'"),
        ({"kind": "xyz"}, "choose one of byte, char, word, bpe"),
        ({"kind": "char", "min_count": 0}, "min_count is 0"),
        ({"kind": "char", "vocab_size": 0}, "vocab_size is 0"),
        ({"kind": "char", "vocab_size": 1}, "no room for a character"),
        ({"kind": "word", "vocab_size": 2}, "no room for a word"),
        ({"kind": "bpe", "vocab_size": 256}, "too small for BPE"),
        ({"kind": "byte", "vocab_size": 300}, "always has its 256 bytes"),
        ({"kind": "byte", "min_count": 2}, "always has its 256 bytes"),
        ({"kind": "char", "split_punctuation": True}, "belongs to 'word'"),
        ({"kind": "char", "special_tokens": ["pad"]}, "must look like <name>"),
        ({"kind": "char", "special_tokens": ["<a>", "<a>"]}, "be there once"),
        ({"kind": "char", "special_tokens": ["<unk>"]}, "not be <unk>"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ArgumentError, match=message):
        text.build(options.pop("kind"), ["some text"], **options)


def test_a_special_token_that_does_not_exist_is_named():
    tokenizer = text.build("char", ["a"], special_tokens=["<pad>"])
    with pytest.raises(ArgumentError, match=r"no special token '<begin>'; this tokeniser has \['<pad>'\]"):
        tokenizer.special_id("<begin>")


def test_begin_ids_follow_the_convention():
    assert TOKENIZERS["byte"].begin_id == ord("\n")
    assert TOKENIZERS["char"].token_text(TOKENIZERS["char"].begin_id) == "\\n"
    assert text.build("char", ["no line end"]).begin_id == 0
    assert TOKENIZERS["word"].token_text(TOKENIZERS["word"].begin_id) == "<eos>"
    assert TOKENIZERS["bpe"].token_text(TOKENIZERS["bpe"].begin_id) == "<|endoftext|>"


def test_characters_are_in_code_point_order_and_then_the_unknown_entry():
    tokenizer = text.build("char", ["ba\n", "c"])
    assert [tokenizer.token_text(token) for token in range(5)] == ["\\n", "a", "b", "c", "<unk>"]
    assert tokenizer.encode("cab\U0001f600").tolist() == [3, 1, 2, 4]
    assert tokenizer.decode([3, 4]) == "c\ufffd"


def test_rare_characters_become_unknown():
    assert text.build("char", ["aaabbc"], min_count=2).characters == "ab"  # type: ignore[attr-defined]
    tokenizer = text.build("char", ["aaabbcde"], vocab_size=4)
    assert (tokenizer.characters, tokenizer.vocab_size) == ("abc", 4)  # type: ignore[attr-defined]


def test_an_unknown_character_costs_as_much_as_a_draw_among_all_that_are_unknown():
    tokenizer = text.build("char", ["abc"])
    assert tokenizer.unknown_nats == math.log(0x110000 - 0x800 - 3)
    assert TOKENIZERS["byte"].unknown_nats == TOKENIZERS["word"].unknown_nats == TOKENIZERS["bpe"].unknown_nats == 0


def test_without_an_unknown_entry_an_unknown_character_is_refused_with_its_place():
    tokenizer = text.CharTokenizer.build(["abc\n"], with_unknown=False)
    assert (tokenizer.vocab_size, tokenizer.unk_id) == (4, None)
    with pytest.raises(DataError, match=r"'é' \(U\+00E9\) at position 5, line 2, .* take the character out"):
        tokenizer.encode("abc\naé")


def test_words_are_in_order_of_frequency_with_case_kept():
    tokenizer = text.build("word", ["b A b a\nb a\n"])
    assert [tokenizer.token_text(token) for token in range(5)] == ["b", "<eos>", "a", "A", "<unk>"]


def test_unk_in_the_text_is_the_unknown_word():
    tokenizer = text.build("word", ["a <unk> <unk> b\n"])
    assert (tokenizer.vocab_size, tokenizer.unk_id) == (4, 0)
    assert tokenizer.encode("<unk> other").tolist() == [0, 0]


def test_rare_words_become_unknown_and_no_reserved_word_is_dropped():
    tokenizer = text.build("word", ["a a a b b c"], vocab_size=4)
    assert tokenizer.decode(tokenizer.encode("a b c\n")) == "a b <unk>\n"
    assert text.build("word", ["a a a b b c"], min_count=3).vocab_size == 3


def test_every_line_end_is_a_token_and_only_those():
    tokenizer = text.build("word", ["a b\n\nc"])
    shown = [tokenizer.token_text(token) for token in tokenizer.encode("\na b\n\nc")]
    assert shown == ["<eos>", "a", "b", "<eos>", "<eos>", "c"]


def test_raw_text_has_its_punctuation_split_off():
    tokenizer = text.build("word", ["x"], split_punctuation=True)
    sentence = "“Don't pay 1,234.50 (or 3.5%)!” e\u0301te\u0301, <unk>…"
    tokenizer = text.build("word", [sentence], split_punctuation=True)
    assert (
        tokenizer.decode(tokenizer.encode(sentence))
        == "“ Don't pay 1,234.50 ( or 3.5 % ) ! ” e\u0301te\u0301 , <unk> …"
    )


def test_a_word_that_looks_like_a_reserved_name_is_shown_differently():
    tokenizer = text.build("word", ["<eos> <pad>\n"], special_tokens=["<pad>"])
    assert {"<eos>", "\\<eos>", "<pad>", "\\<pad>"} <= {tokenizer.token_text(i) for i in range(tokenizer.vocab_size)}


def test_a_tokeniser_is_a_value():
    same, other = text.build("char", ["to be"]), text.build("char", ["or not"])
    assert same == text.build("char", ["o bet"])
    assert hash(same) == hash(text.build("char", ["o bet"]))
    assert same.digest() != other.digest()
    assert same != other
    assert same != "char"


def test_whole_words_keeps_the_text_and_cuts_no_word():
    pieces = list(text.whole_words(["one tw", "o", " three\u2028fo", "", "ur"]))
    assert pieces == ["one ", "two three\u2028", "four"]
