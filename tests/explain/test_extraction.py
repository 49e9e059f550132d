"""L* finds the smallest automaton of what it is told, and says how sure it may be."""

import numpy as np
import pytest

from rnnkit.automata import Dfa, named
from rnnkit.errors import ArgumentError
from rnnkit.explain import extract
from rnnkit.explain.extraction import upper_bound

pytest.importorskip("aalpy")
MAIL = r"[a-z0-9]+([._+-][a-z0-9]+)*@([a-z0-9]+(-[a-z0-9]+)*\.)+[a-z]{2,6}"
SYMBOLS = "abcdefghijklmnopqrstuvwxyz0123456789._+-@ ,"


@pytest.mark.parametrize("name", [*(f"tomita-{number}" for number in range(1, 8)), "parity"])
def test_an_automaton_as_oracle_comes_back_in_its_smallest_form(name: str) -> None:
    language = named(name)
    assert isinstance(language, Dfa)
    found = extract(language.accepts_all, language.symbols, num_tests=1000)
    assert found.dfa.to_dict() == language.minimized().to_dict()
    assert (found.num_different, found.counterexamples, found.is_stopped) == (0, [], False)
    assert found.num_tested >= 1000


def test_a_language_that_random_texts_never_meet_needs_an_example() -> None:
    language = Dfa.from_regex(MAIL, SYMBOLS)
    assert len(extract(language.accepts_all, SYMBOLS, num_tests=1000).dfa.table) == 1
    found = extract(language.accepts_all, SYMBOLS, num_tests=1000, examples=["ada@example.org"])
    assert found.dfa.counterexample(language) is None


def test_everything_and_nothing_are_languages_too() -> None:
    for belongs in (True, False):
        found = extract(lambda texts, belongs=belongs: np.full(len(texts), belongs), "ab", num_tests=100)
        assert found.dfa.table.tolist() == [[0, 0]]
        assert found.dfa.is_accepting.tolist() == [belongs]


def test_each_text_is_asked_about_once_while_learning() -> None:
    asked: list[str] = []
    language = named("tomita-7")

    def judge(texts: list[str]) -> np.ndarray:
        if len(texts) < 500:  # the others are trials
            asked.extend(texts)
        return language.accepts_all(texts)  # type: ignore[attr-defined]

    found = extract(judge, "01", num_tests=1000)
    assert len(asked) == len({*asked}) == found.num_queries


def test_a_language_that_no_automaton_has_ends_at_the_most_states_and_lists_differences() -> None:
    language = named("anbn")
    found = extract(lambda texts: np.array([*map(language.accepts, texts)]), "ab", max_states=6, num_tests=2000,
                    examples=["a" * n + "b" * n for n in range(12)], longest=24)  # fmt: skip
    assert found.is_stopped
    assert found.num_different > 0
    for text in found.counterexamples:
        assert found.dfa.accepts(text) != language.accepts(text)
    assert [len(text) for text in found.counterexamples] == sorted(len(text) for text in found.counterexamples)


def test_a_tolerance_ends_learning_sooner() -> None:
    """Tomita 1 but for one text in a hundred or so, by a sum of its characters: no automaton has that."""

    def judge(texts: list[str]) -> np.ndarray:
        return np.array(["0" not in text or (len(text) > 4 and int(text, 2) % 101 == 0) for text in texts])

    found = extract(judge, "01", tolerance=0.05, num_tests=2000)
    assert not found.is_stopped
    assert 0 < found.num_different <= 0.05 * found.num_tested
    assert found.error_bound > found.num_different / found.num_tested


@pytest.mark.parametrize(("different", "tested"), [(0, 1000), (1, 1000), (7, 500), (500, 500)])
def test_the_bound_is_that_of_the_binomial_distribution(different: int, tested: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    wanted = 1.0 if different == tested else stats.beta.ppf(0.99, different + 1, tested - different)
    assert upper_bound(different, tested) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize(
    "options", [{"longest": 0}, {"num_tests": 0}, {"tolerance": 1.0}, {"symbols": "aa"}, {"symbols": ""}]
)
def test_bad_arguments_are_named(options: dict[str, object]) -> None:
    symbols = str(options.pop("symbols", "ab"))
    with pytest.raises(ArgumentError, match="must be different characters"):
        extract(lambda texts: np.zeros(len(texts), bool), symbols, **options)  # type: ignore[arg-type]


def test_importing_it_leaves_torch_out() -> None:
    import subprocess
    import sys

    code = "import sys, rnnkit.explain.extraction, rnnkit.api.automaton_report; print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert result.stdout.strip() == "False"
