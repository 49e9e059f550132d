"""Named languages against what their definitions say of every short text, and balanced draws from them."""

import itertools
import re

import numpy as np
import pytest

from rnnkit.automata import NAMES, Dfa, balanced, named
from rnnkit.errors import ArgumentError


def _tomita_3(text):
    """Run by run: no odd run of 0s right behind an odd run of 1s."""
    runs = [(symbol, len(list(run))) for symbol, run in itertools.groupby(text)]
    return not any(a == "1" and m % 2 and n % 2 for (a, m), (_, n) in itertools.pairwise(runs))


def _is_balanced(text):
    while (shorter := re.sub(r"\(\)|\[\]|\{\}|<>", "", text)) != text:
        text = shorter
    return not text


DEFINITIONS = {
    "tomita-1": lambda text: "0" not in text,
    "tomita-2": lambda text: text == "10" * (len(text) // 2),
    "tomita-3": _tomita_3,
    "tomita-4": lambda text: "000" not in text,
    "tomita-5": lambda text: text.count("0") % 2 == text.count("1") % 2 == 0,
    "tomita-6": lambda text: (text.count("0") - text.count("1")) % 3 == 0,
    "tomita-7": lambda text: re.fullmatch("0*1*0*1*", text) is not None,
    "parity": lambda text: text.count("1") % 2 == 0,
    "anbn": lambda text: re.fullmatch("a*b*", text) is not None and text.count("a") == text.count("b"),
    **{f"dyck-{kinds}": _is_balanced for kinds in (1, 2, 3, 4)},
}


@pytest.mark.parametrize("name", NAMES)
def test_a_named_language_is_what_its_definition_says(name):
    language = named(name)
    longest = {2: 11, 4: 6, 6: 5, 8: 4}[len(language.symbols)]
    for length in range(longest + 1):
        texts = ["".join(letters) for letters in itertools.product(language.symbols, repeat=length)]
        want = [text for text in texts if DEFINITIONS[name](text)]
        assert [text for text in texts if language.accepts(text)] == want
        drawn = language.draw(length, count=40 * len(want) or 1, generator=np.random.default_rng(length))
        assert set(drawn) == set(want)  # all of them are met among forty times as many draws
    assert not language.accepts("x")


def test_tomitas_automata_have_as_many_states_as_published():
    automata = [language for number in range(1, 8) if isinstance(language := named(f"tomita-{number}"), Dfa)]
    sizes = [len(automaton.minimized().table) for automaton in automata]
    assert sizes == [2, 3, 5, 4, 4, 3, 5]


def test_every_balanced_text_is_equally_likely():
    dyck = named("dyck-2")
    drawn = dyck.draw(4, count=16_000, generator=np.random.default_rng(0))
    counts = np.array([drawn.count(text) for text in sorted(set(drawn))])
    assert len(counts) == 8  # two shapes of two pairs, each of two kinds
    assert ((counts - 2000) ** 2 / 2000).sum() < 24


@pytest.mark.parametrize("name", NAMES)
def test_half_of_a_balanced_sample_belongs_and_its_lengths_are_those_asked_for(name):
    language = named(name)
    rows = balanced(language, range(5, 15), count=200, seed=1)
    assert len(rows) == 200
    assert sum(belongs for _, belongs in rows) == 100
    assert all(language.accepts(text) == belongs == DEFINITIONS[name](text) for text, belongs in rows)
    assert {len(text) for text, belongs in rows if belongs} <= set(range(5, 15))
    assert {len(text) for text, belongs in rows if not belongs} <= set(range(2, 18))
    assert rows == balanced(language, range(5, 15), count=200, seed=1)
    assert rows != balanced(language, range(5, 15), count=200, seed=2)


def test_near_misses_are_a_few_edits_from_the_language():
    language = named("tomita-2")
    near = [text for text, belongs in balanced(language, [20], count=100, seed=0, near_share=1.0) if not belongs]
    far = [text for text, belongs in balanced(language, [20], count=100, seed=0, near_share=0.0) if not belongs]

    def misses(texts):
        return [sum(a == b for a, b in itertools.pairwise(text)) for text in texts]  # 1010… never repeats a character

    assert max(misses(near)) <= 6 < np.mean(misses(far))
    assert {len(text) for text in far} == {20} < {len(text) for text in near}


def test_a_sample_of_what_is_not_there_is_refused():
    with pytest.raises(
        ArgumentError, match="no text of 1 to 1 characters belongs to the language; ask for longer ones"
    ):
        balanced(named("anbn"), [1], count=10, seed=0)
    with pytest.raises(ArgumentError, match="every text of 0 to 4 characters belongs"):
        balanced(Dfa.from_regex("[ab]*"), range(5), count=10, seed=0)
    with pytest.raises(ArgumentError, match="at least 2 texts"):
        balanced(named("anbn"), [], count=10, seed=0)
    with pytest.raises(ArgumentError, match=r"no grammar 'tomita-8'; choose one of tomita-1, "):
        named("tomita-8")
