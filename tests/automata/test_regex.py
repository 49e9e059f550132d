"""Regular expressions against Python's `re`."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnkit.automata import compile_regex
from rnnkit.errors import ArgumentError

ALPHABET = "aAbcdxy019_ é@.o\n-]^mrgü€😀\x00"
PATTERNS = [
    "", "abc", "a*b|c{2,3}d?", ".", ".*\n?", r"[^a]\x41?", "(ab|a)(bc|c)?", r"\w+@\w+\.(?:com|org)", "é{2}|[à-ü]+",
    r"[^\W\d]", "(a|)b{,2}", "[]a-]+", "[^]a]", "(?:x{0}y){2,}", r"[\w.-]{3}", r"\u00e9\U0001f600?|\0", r"\D\S\W",
    r"[\n-a]", "(a*)*", "(a|ab|b)*c", r"\.\*\-\]",
]  # fmt: skip


def matches(automaton, text):
    return bool(automaton.is_accepting[automaton.run(text.encode())])


@pytest.mark.parametrize("pattern", PATTERNS)
@settings(max_examples=150)
@given(data=st.data())
def test_the_automaton_accepts_what_python_matches(pattern, data):
    ours, theirs = compile_regex(pattern), re.compile(pattern, re.ASCII)
    for text in (data.draw(st.text(ALPHABET, max_size=7)), data.draw(st.from_regex(theirs, fullmatch=True))):
        if not any(0xD800 <= ord(character) <= 0xDFFF for character in text):
            assert matches(ours, text) == bool(theirs.fullmatch(text)), (pattern, text)


TREES = st.recursive(
    st.sampled_from(["a", "b", "é", ".", "[ab]", "[^b]", r"\d", "[a-c€]"]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{,2}", "{2,}"])).map(
            lambda pair: f"({pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=6,
)


@settings(max_examples=300)
@given(pattern=TREES, texts=st.lists(st.text("abcé€1\n", max_size=6), max_size=8))
def test_any_expression_means_what_it_means_to_python(pattern, texts):
    ours = compile_regex(pattern)
    for text in texts:
        assert matches(ours, text) == bool(re.fullmatch(pattern, text, re.ASCII)), (pattern, text)


def test_every_length_of_a_character_counts_as_one_and_no_surrogate_does():
    anything = compile_regex(".")
    for code in (0, 9, 11, 0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x10FFFF):
        assert matches(anything, chr(code))
    assert not matches(anything, "\n")
    for data in (b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xff", b"\x80", b"\xe2\x82"):
        assert not anything.is_accepting[anything.run(data)]


@pytest.mark.parametrize(
    ("pattern", "place", "what"),
    [
        ("a(b", 1, "not closed"),
        ("a**", 2, "neither repeated nor lazy"),
        ("a+?", 2, "neither repeated nor lazy"),
        ("a{2}{3}", 4, "neither repeated nor lazy"),
        ("x[a", 1, "not closed"),
        ("^a", 0, "has to match anyway"),
        ("ab$", 2, "has to match anyway"),
        (r"a\1", 1, "escape"),
        (r"\bx", 0, "escape"),
        ("a\\", 1, "escape"),
        (r"a(?=b)", 1, r"only \(\?:…\)"),
        ("(?i)a", 0, r"only \(\?:…\)"),
        ("a{3,2}", 1, "cannot be"),
        ("a{2000}", 1, "too many"),
        ("x{", 1, "a repetition looks like"),
        ("x{,}", 1, "a repetition looks like"),
        ("a|*", 2, "nothing to repeat"),
        ("a)", 1, "no group is open"),
        ("[z-a]", 1, "a range goes"),
        (r"[\d-z]", 1, "a range goes"),
        (r"\xg1", 0, "hexadecimal"),
        (r"\ud800", 0, "hexadecimal"),
        (r"\01", 0, "octal"),
        ("a\ud800", 1, "surrogate"),
        ("(a{1000}){1000}", 1, "too large"),
        ("(.|a.{20})*b(a|b){14}", 15, "more than 4096 states"),
        ("(" * 60, 50, "deeper than 50"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_place(pattern, place, what):
    with pytest.raises(ArgumentError, match=rf"(?s)character {place}, .*{what}"):
        compile_regex(pattern)
