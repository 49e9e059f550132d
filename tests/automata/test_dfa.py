"""Automata against brute force over all short texts: run, minimise, combine, compare, count, draw, read and write."""

import itertools
import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnkit.automata import Dfa, named
from rnnkit.errors import ArgumentError, DataError

SYMBOLS = "ab"
TEXTS = ["".join(letters) for length in range(7) for letters in itertools.product(SYMBOLS, repeat=length)]
REGEXES = st.recursive(
    st.sampled_from(["a", "b", "[ab]", "ab"]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}"])).map(lambda pair: f"({pair[0]}){pair[1]}"),
    ),
    max_leaves=6,
)
EVEN = {
    "format": 1,
    "symbols": "01",
    "start": "even",
    "accepting": ["even"],
    "transitions": {"even": {"0": "even", "1": "odd"}, "odd": {"0": "odd", "1": "even"}},
}


@st.composite
def tables(draw):
    """Any automaton of up to eight states, most of them not minimal, some not to be reached."""
    size = draw(st.integers(1, 8))
    state = st.integers(0, size - 1)
    rows = draw(st.lists(st.tuples(state, state), min_size=size, max_size=size))
    return Dfa(
        SYMBOLS, np.array(rows), np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size))), draw(state)
    )


def accepted(dfa):
    return [text for text in TEXTS if dfa.accepts(text)]


@settings(max_examples=150)
@given(regex=REGEXES)
def test_an_automaton_of_a_regex_accepts_what_python_matches(regex):
    assert accepted(Dfa.from_regex(regex, SYMBOLS)) == [text for text in TEXTS if re.fullmatch(regex, text)]


@settings(max_examples=200)
@given(dfa=tables())
def test_the_minimal_automaton_accepts_the_same_and_none_of_its_states_can_be_left_out(dfa):
    least = dfa.minimized()
    assert accepted(least) == accepted(dfa)
    size = len(least.table)
    tails = {tuple(least.is_accepting[least.run(text, state)] for text in TEXTS) for state in range(size)}
    assert len(tails) == size  # up to eight states differ on texts of at most six characters
    assert {least.run(text) for text in TEXTS} >= set(range(min(size, 6)))
    again = least.minimized()
    assert again.table.tolist() == least.table.tolist()


@settings(max_examples=200)
@given(left=tables(), right=tables())
def test_two_automata_differ_on_the_shortest_text_first_or_are_equal_once_minimal(left, right):
    want = next((text for text in TEXTS if left.accepts(text) != right.accepts(text)), None)
    found = left.counterexample(right)
    least = [one.minimized() for one in (left, right)]
    same = [one.table.tolist() for one in least], [one.is_accepting.tolist() for one in least]
    assert (found is None) == all(first == second for first, second in same)
    if want is not None:
        assert found == want
    elif found is not None:
        assert len(found) > 6
        assert left.accepts(found) != right.accepts(found)


@settings(max_examples=100)
@given(left=tables(), right=tables())
def test_complement_and_products_accept_what_their_parts_say(left, right):
    ours = {name: accepted(left.product(right, getattr(np, name))) for name in ("logical_and", "logical_or")}
    first, second = set(accepted(left)), set(accepted(right))
    assert set(ours["logical_and"]) == first & second
    assert set(ours["logical_or"]) == first | second
    assert set(accepted(left.complement())) == set(TEXTS) - first


def test_a_product_is_over_the_symbols_of_both():
    either = Dfa.from_regex("a*").product(Dfa.from_regex("(bc)*"), np.logical_or)
    assert either.symbols == "abc"
    assert [either.accepts(text) for text in ("aa", "bc", "abc", "")] == [True, True, False, True]


@settings(max_examples=100)
@given(dfa=tables(), length=st.integers(0, 6))
def test_paths_are_counted_and_only_texts_that_belong_are_drawn(dfa, length):
    want = [text for text in accepted(dfa) if len(text) == length]
    with np.errstate(divide="ignore"):
        assert dfa.log_counts(length)[length, dfa.start] == pytest.approx(np.log(len(want)))
    drawn = dfa.draw(length, count=20, generator=np.random.default_rng(length))
    assert len(drawn) == (20 if want else 0)
    assert set(drawn) <= set(want)
    outside = dfa.draw_rejected(length, count=20, generator=np.random.default_rng(length))
    assert set(outside) <= set(TEXTS) - set(want)


def test_every_text_of_a_length_is_drawn_equally_often():
    dfa = Dfa.from_regex("(a|bb|bab)*")  # from the start a and b do not lead to equally many
    want = [text for text in accepted(dfa) if len(text) == 6]
    drawn = dfa.draw(6, count=2000 * len(want), generator=np.random.default_rng(0))
    counts = np.array([drawn.count(text) for text in want])
    assert len(drawn) == counts.sum()
    assert ((counts - 2000) ** 2 / 2000).sum() < 3 * len(want)  # χ² has the mean len(want) - 1


def test_counts_beyond_any_float_are_still_drawn_from():
    dfa = Dfa.from_regex("[a-z0-9]*")
    assert dfa.log_counts(1000)[1000, dfa.start] == pytest.approx(1000 * np.log(36))
    (text,) = dfa.draw(1000, count=1, generator=np.random.default_rng(0))
    assert dfa.accepts(text)
    assert len(set(text)) == 36


def test_symbols_are_those_of_a_match_unless_they_are_named():
    assert Dfa.from_regex("(01)*é?").symbols == "01é"
    assert Dfa.from_regex("a|b{2}", "abc ").symbols == "abc "
    assert not Dfa.from_regex("a|b{2}", "abc ").accepts("c")
    assert len(Dfa.from_regex(".").symbols) == 95
    assert not Dfa.from_regex("ab").accepts("aé")
    with pytest.raises(ArgumentError, match=r"character 1, 'é', is none of the symbols 'ab'"):
        Dfa.from_regex("ab").run("aé")
    with pytest.raises(ArgumentError, match="matches no text of printable characters"):
        Dfa.from_regex(r"\x01")
    with pytest.raises(ArgumentError, match="matches the empty text alone"):
        Dfa.from_regex("")


@settings(max_examples=50)
@given(dfa=tables())
def test_a_file_gives_back_the_automaton(dfa):
    again = Dfa.from_dict(json.loads(json.dumps(dfa.to_dict())))
    assert again.table.tolist() == dfa.table.tolist()
    assert again.is_accepting.tolist() == dfa.is_accepting.tolist()
    assert (again.start, again.symbols) == (dfa.start, dfa.symbols)


def test_a_transition_that_is_not_there_leads_out():
    dfa = Dfa.from_dict({**EVEN, "transitions": {"even": {"0": "even"}}})
    assert accepted_binary(dfa) == ["", "0", "00"]
    assert accepted_binary(Dfa.from_dict(EVEN)) == ["", "0", "00", "11"]


def accepted_binary(dfa):
    return [text for text in ("", "0", "1", "00", "01", "10", "11") if dfa.accepts(text)]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ([], "an object with the keys"),
        ({"extra": 1}, "an object with the keys"),
        ({"format": 2}, "format 1"),
        ({"symbols": ""}, "key 'symbols'"),
        ({"symbols": "00"}, "key 'symbols'"),
        ({"symbols": ["0"]}, "key 'symbols'"),
        ({"start": "odd one"}, "key 'start': 'odd one'"),
        ({"start": 0}, "key 'start'"),
        ({"accepting": "even"}, "key 'accepting'"),
        ({"accepting": ["even", "eve"]}, "key 'accepting': 'eve'"),
        ({"accepting": [["even"]]}, "key 'accepting'"),
        ({"transitions": {}}, "key 'transitions'"),
        ({"transitions": [["even"]]}, "key 'transitions'"),
        ({"transitions": {"even": "even"}}, "state 'even'"),
        ({"transitions": {"even": {"2": "even"}}}, "state 'even': '2' is no character"),
        ({"transitions": {"even": {"01": "even"}}}, "state 'even': '01' is no character"),
        ({"transitions": {"even": {"1": "odd"}}}, "state 'even', character '1': 'odd'"),
        ({"transitions": {"even": {"1": 3}}}, "state 'even', character '1': 3"),
    ],
)
def test_a_file_that_says_anything_else_is_refused_by_its_key(change, what):
    value = {**EVEN, **change} if isinstance(change, dict) else change
    with pytest.raises(DataError, match=f"^my.json.*{what}"):
        Dfa.from_dict(value, what="my.json")


@pytest.mark.parametrize(
    ("parts", "what"),
    [
        (("", [[0]], [True]), "symbols"),
        (("aa", [[0, 0]], [True]), "symbols"),
        (("ab", [[0]], [True]), r"table \[1, 1\] must be \[1, 2\]"),
        (("a", [[1]], [True]), "states 0 to 0"),
        (("a", [[-1]], [True]), "states 0 to 0"),
        (("a", [[0]], [True], 1), "states 0 to 0"),
    ],
)
def test_parts_that_do_not_fit_are_refused(parts, what):
    symbols, table, is_accepting, *start = parts
    with pytest.raises(ArgumentError, match=what):
        Dfa(symbols, np.array(table), np.array(is_accepting), *start)


def test_many_texts_side_by_side_are_accepted_as_one_by_one() -> None:
    dfa = named("tomita-7")
    texts = ["", "0", "01", "010101", "x", "01x", *("0" * n + "1" * n for n in range(9)), "1" * 300]
    assert dfa.accepts_all(texts).tolist() == [dfa.accepts(text) for text in texts]
    assert dfa.accepts_all([]).tolist() == []
    assert dfa.accepts_all([""]).tolist() == [True]
