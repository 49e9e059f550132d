"""extract: the finite automaton that an acceptor behaves like, by L* with the network as oracle; without torch.

L* asks whether single texts belong, and whether an automaton is right; the former is what the network says, the latter
is tried on texts.

Source: Angluin 1987, "Learning regular sets from queries and counterexamples"; how counterexamples are taken in: Rivest
and Schapire 1993; with a network as oracle: Weiss, Goldberg and Yahav 2018, arXiv:1711.09576.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnkit.automata import Dfa, balanced
from rnnkit.automata.language import near_misses
from rnnkit.errors import ArgumentError, MissingExtraError

Judge = Callable[[Sequence[str]], np.ndarray]
"""Whether each of several texts belongs, bool [N]."""

CONFIDENCE = 0.99
_MOST_SHORT = 2000  # of the shortest texts, all of which are tried
_MOST_SHOWN = 20  # counterexamples
_AT_ONCE = 4096


@dataclass(frozen=True)
class Extraction:
    """What `extract` found.

    Attributes:
        dfa: the smallest automaton of its language.  rounds: automata that were tried.  num_queries: different texts
            that the network was asked about while learning.
        num_tested: fresh texts that the last automaton was tried on.  num_different: those on which it and the network
            disagree.  counterexamples: the shortest of them.
        error_bound: with 99 % confidence they disagree on a smaller share of texts drawn as those were.
        is_stopped: whether learning ended at `max_states`; then this is the automaton that disagreed least.
    """

    dfa: Dfa
    rounds: int
    num_queries: int
    num_tested: int
    num_different: int
    counterexamples: list[str]
    error_bound: float
    is_stopped: bool


def extract(
    judge: Judge,
    symbols: str,
    *,
    examples: Sequence[str] = (),
    longest: int = 40,
    num_tests: int = 10_000,
    tolerance: float = 0.0,
    max_states: int = 200,
    seed: int = 0,
) -> Extraction:
    """Learn the automaton that says what `judge` says.

    Each automaton is tried on all shortest texts, on `examples` and their near misses, and on `num_tests` texts of 0 to
    `longest` characters from a seed of its own: half of them random, of the rest half that it accepts, and half that it
    does not, near misses among them.

    Args:   symbols: what texts are made of.  examples: texts to try too; some that belong, where random ones never do.
            tolerance: the share of the tried texts on which the last automaton may disagree.  max_states: of an
            automaton; beyond it learning ends with the best one so far.
    Raises: MissingExtraError without aalpy; ArgumentError.
    Cost:   about states² · symbols questions of single texts; num_tests of many at once for each automaton.
    """
    if not symbols or len(set(symbols)) < len(symbols) or longest < 1 or num_tests < 1 or not 0 <= tolerance < 1:
        raise ArgumentError(
            f"symbols {symbols!r} must be different characters, longest {longest} and num_tests {num_tests} at least "
            f"1, tolerance {tolerance} at least 0 and below 1"
        )
    try:
        from aalpy.base import SUL, Oracle
        from aalpy.learning_algs import run_Lstar
    except ImportError as error:
        raise MissingExtraError("extracting an automaton needs aalpy", extra="automata") from error

    known = _Memory(judge)
    short = _shortest(symbols)
    tried: list[_Trial] = []

    class Network(SUL):
        """Answers from memory; what it does not know is asked of all prefixes at once."""

        def query(self, word: tuple[str, ...]) -> list[bool]:
            prefixes = [word[:end] for end in range(1, len(word) + 1)] or [()]
            return known(["".join(prefix) for prefix in prefixes]).tolist()

        def pre(self) -> None: ...

        def post(self) -> None: ...

        def step(self, letter: Any) -> Any: ...  # never called: `query` is all that L* uses

    class Trials(Oracle):
        def find_cex(self, hypothesis: Any) -> tuple[str, ...] | None:
            dfa = _dfa_of(hypothesis, symbols)
            texts = [*short, *examples, *_drawn(dfa, longest, num_tests, seed + len(tried), examples)]
            is_different = known.judge(texts) != dfa.accepts_all(texts)
            wrong = sorted({text for text, wrong in zip(texts, is_different, strict=True) if wrong}, key=_order)
            tried.append(_Trial(dfa, len(texts), int(is_different.sum()), wrong))
            if len(dfa.table) > max_states or is_different.mean() <= tolerance:
                return None
            return tuple(wrong[0])

    network = Network()
    run_Lstar(
        [*symbols],
        network,
        Trials([*symbols], network),
        automaton_type="dfa",
        cache_and_non_det_check=False,
        print_level=0,
    )
    is_stopped = len(tried[-1].dfa.table) > max_states
    best = min(tried, key=lambda trial: trial.num_different) if is_stopped else tried[-1]
    return Extraction(
        dfa=best.dfa.minimized(),
        rounds=len(tried),
        num_queries=len(known),
        num_tested=best.num_tested,
        num_different=best.num_different,
        counterexamples=best.wrong[:_MOST_SHOWN],
        error_bound=upper_bound(best.num_different, best.num_tested),
        is_stopped=is_stopped,
    )


def judge_of(model: Any, label: str) -> Judge:
    """What a classifier of the run half says, as a judge. Args: label: the one that says that a text belongs.

    Raises: ArgumentError for a label that it does not have.
    """
    if label not in model.labels:
        raise ArgumentError(f"label {label!r} is none of {', '.join(model.labels)}; name the one that means accepted")
    column = model.labels.index(label)

    def judge(texts: Sequence[str]) -> np.ndarray:
        parts = [texts[first : first + _AT_ONCE] for first in range(0, len(texts), _AT_ONCE)]
        return np.concatenate([np.zeros(0, bool), *(model.log_probs(part).argmax(1) == column for part in parts)])

    return judge


def upper_bound(num_different: int, num_tested: int) -> float:
    """The share at which no more differences than these have the probability 1 % (Clopper and Pearson 1934)."""
    if num_different >= num_tested:
        return 1.0
    low, high = num_different / num_tested, 1.0
    for _ in range(60):
        p = (low + high) / 2
        logs = [
            math.lgamma(num_tested + 1) - math.lgamma(k + 1) - math.lgamma(num_tested - k + 1)
            + k * math.log(p) + (num_tested - k) * math.log1p(-p)
            for k in range(num_different + 1)
        ]  # fmt: skip
        low, high = (p, high) if sum(map(math.exp, logs)) > 1 - CONFIDENCE else (low, p)
    return high


@dataclass(frozen=True)
class _Trial:
    dfa: Dfa
    num_tested: int
    num_different: int
    wrong: list[str]


class _Memory:
    """A judge that is asked about each text once."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self._known: dict[str, bool] = {}

    def __len__(self) -> int:
        return len(self._known)

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        if new := [text for text in dict.fromkeys(texts) if text not in self._known]:
            self._known.update(zip(new, self.judge(new).tolist(), strict=True))
        return np.array([self._known[text] for text in texts], bool)


def _drawn(dfa: Dfa, longest: int, count: int, seed: int, examples: Sequence[str]) -> list[str]:
    generator = np.random.Generator(np.random.Philox([seed, longest]))
    lengths = generator.integers(0, longest + 1, size=count - count // 2)
    columns = generator.integers(0, len(dfa.symbols), size=int(lengths.sum()))
    letters = np.array([*dfa.symbols])[columns]
    texts = ["".join(part) for part in np.split(letters, np.cumsum(lengths)[:-1])]
    try:
        texts += [text for text, _ in balanced(dfa, range(longest + 1), count=max(2, count // 2), seed=seed)]
    except ArgumentError:  # it accepts every text, or none
        return [*texts, *near_misses(dfa, examples, generator=generator)]
    return [*texts, *near_misses(dfa, examples, generator=generator)]


def _shortest(symbols: str) -> list[str]:
    texts: list[str] = []
    for length in itertools.count():
        if len(texts) + len(symbols) ** length > _MOST_SHORT or length > _MOST_SHORT:
            return texts
        texts += ["".join(letters) for letters in itertools.product(symbols, repeat=length)]
    raise AssertionError


def _order(text: str) -> tuple[int, str]:
    return len(text), text


def _dfa_of(hypothesis: Any, symbols: str) -> Dfa:
    numbers = {state.state_id: number for number, state in enumerate(hypothesis.states)}
    table = [[numbers[state.transitions[symbol].state_id] for symbol in symbols] for state in hypothesis.states]
    is_accepting = np.array([bool(state.is_accepting) for state in hypothesis.states])
    return Dfa(symbols, np.array(table), is_accepting, numbers[hypothesis.initial_state.state_id])
