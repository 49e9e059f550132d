"""explain_automaton: the automaton that a run's acceptor behaves like: drawn, tried, compared; no torch."""

from __future__ import annotations

import html
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from rnnkit import durable
from rnnkit.api.automaton_drawing import dfa_svg
from rnnkit.api.classifier import Classifier
from rnnkit.api.comparison import read_metrics
from rnnkit.api.explanation_page import Section, write_report
from rnnkit.api.html_page import table
from rnnkit.api.loading import load
from rnnkit.automata import Dfa, Language, balanced
from rnnkit.errors import BundleError, UsageError
from rnnkit.tasks.grammar_language import LABELS, language_of

_MOST_EXAMPLES = 300
_MOST_SHOWN = 10
_TIMED = 1000  # texts


def explain_automaton(
    run: str | Path,
    *,
    against: str | None = None,
    label: str = LABELS[0],
    longest: int | None = None,
    num_tests: int = 10_000,
    num_checks: int = 100_000,
    tolerance: float = 0.0,
    max_states: int = 200,
    out: str | Path | None = None,
) -> dict[str, Any]:
    """Extract the automaton that a run's acceptor of characters behaves like, by L* with the network as oracle.

    Args:   against: a language to compare with, as `rnnkit train grammar` takes it; None: what the run was trained on.
            label: the one that means that a text belongs.
            longest: characters of the texts that automata are tried on; None: twice what the run was trained on, or 40.
            num_tests: of these texts for each automaton.  num_checks: of fresh texts, half of the language compared
            with and half near misses and others outside it, on which network, automaton and language are then compared.
            tolerance, max_states: as of `rnnkit.explain.extract`.
            out: the folder for `report.html`, `explain.json`, `automaton.json` and `automaton.svg`; None:
            `RUN/automaton`.
    Returns: the content of `explain.json`; `report`: where the page is.
    Raises: UsageError for a run that is no such acceptor; MissingExtraError without aalpy; BundleError, ArgumentError.
    """
    model = load(run)
    tokenizer = getattr(model, "tokenizer", None)
    if not isinstance(model, Classifier) or tokenizer is None or tokenizer.kind != "char" or model.is_multi_label:
        raise UsageError(
            f"{run} is no classifier of texts by character with one label each, and so no acceptor; name a run of "
            "rnnkit train grammar, or of train classify --tokenizer char"
        )
    from rnnkit.explain.extraction import extract, judge_of

    data = _trained_on(run)
    spec = against or data.get("spec")
    given = data.get("symbols") if spec == data.get("spec") else None
    language = None if spec is None else language_of(spec, symbols=given)
    symbols = data["language"].symbols if data else _characters(tokenizer)
    judge = judge_of(model, label)
    kept = model.evaluation_sample()
    examples = [] if kept is None else [tokenizer.decode(ids.tolist()) for ids in kept[0][:_MOST_EXAMPLES]]
    examples = [text for text in examples if {*text} <= {*symbols}]
    started = time.perf_counter()
    found = extract(
        judge,
        symbols,
        examples=examples,
        longest=longest or 2 * data.get("longest", 20),
        num_tests=num_tests,
        tolerance=tolerance,
        max_states=max_states,
    )
    values: dict[str, Any] = {
        "run": str(run),
        "symbols": symbols,
        "num_states": len(found.dfa.table),
        "rounds": found.rounds,
        "num_queries": found.num_queries,
        "num_tested": found.num_tested,
        "num_different": found.num_different,
        "error_bound": found.error_bound,
        "is_stopped": found.is_stopped,
        "counterexamples": found.counterexamples,
        "seconds": time.perf_counter() - started,
    }
    section = _section(found)
    compared = _compared(found.dfa, judge, spec, language, num_checks, longest or 2 * data.get("longest", 20), values)
    folder = Path(out or Path(run) / "automaton")
    report = write_report(folder, f"The automaton inside {Path(run).resolve().name}", [section, compared], values, {})
    durable.write_file(folder / "automaton.json", json.dumps(found.dfa.to_dict(), ensure_ascii=False).encode())
    durable.write_file(folder / "automaton.svg", dfa_svg(found.dfa).encode())
    return report


def _trained_on(run: str | Path) -> dict[str, Any]:
    """The language of a grammar run, as far as its folder says; else nothing."""
    try:
        metrics = read_metrics(run)
        if metrics.get("task") != "grammar":
            return {}
        data = metrics["config"]["data"]
        spec, symbols = data["sources"][0], data["symbols"]
        return {
            "spec": spec,
            "symbols": symbols,
            "language": language_of(spec, symbols=symbols),
            "longest": data["longest"],
        }
    except (BundleError, KeyError, TypeError):
        return {}


def _characters(tokenizer: Any) -> str:
    texts = (tokenizer.decode([token]) for token in range(tokenizer.vocab_size))
    return "".join(dict.fromkeys(text for text in texts if len(text) == 1 and text != "\n"))


def _section(found: Any) -> Section:
    section = Section("What was extracted")
    states = len(found.dfa.table)
    section.say(
        f"{states} states after {found.rounds} automata and {found.num_queries:,} texts that the network was asked "
        f"about. Of {found.num_tested:,} fresh texts the network says otherwise of {found.num_different:,}. "
        f"With 99 % confidence they disagree on less than {found.error_bound:.3%} of texts drawn as those were."
    )
    if found.is_stopped:
        section.say("Learning ended before that: more states would have been too many. This automaton disagreed least.")
    if found.counterexamples:
        shown = ", ".join(repr(text) for text in found.counterexamples[:_MOST_SHOWN])
        section.say(f"The shortest texts on which they disagree: {shown}.")
    if states <= 60:
        section.parts.append(f'<div class="wide">{dfa_svg(found.dfa)}</div>')
        section.say("A double circle accepts. What has no edge leads to where nothing is accepted any more.")
    else:
        section.say("More than 60 states: they are drawn in automaton.svg alone.")
    return section


def _compared(
    dfa: Dfa, judge: Any, spec: str | None, language: Language | None, count: int, longest: int, values: dict[str, Any]
) -> Section:
    """Exact comparison where the language is regular; then network, automaton and language on fresh texts."""
    section = Section("Compared")
    if language is None:
        section.say("No language is known to compare with: name one by --against.")
        return section
    if isinstance(language, Dfa):
        shortest = dfa.counterexample(language)
        values |= {"against": spec, "is_equal": shortest is None, "shortest_difference": shortest}
        section.say(
            f"The automaton accepts exactly the texts of {spec}."
            if shortest is None
            else f"The shortest text on which it differs from {spec}: {shortest!r}."
        )
    texts = [text for text, _ in balanced(language, range(longest + 1), count=max(2, count // 2), seed=99)]
    generator = np.random.Generator(np.random.Philox(99))
    letters = np.array([*language.symbols])
    texts += ["".join(letters[generator.integers(0, len(letters), size=int(length))])
              for length in generator.integers(0, longest + 1, size=count - len(texts))]  # fmt: skip
    started = time.perf_counter()
    by_network = judge(texts)
    between = time.perf_counter()
    by_automaton = dfa.accepts_all(texts)
    seconds = {"network": between - started, "automaton": time.perf_counter() - between}
    is_right = language.accepts_all(texts) if isinstance(language, Dfa) else np.array([*map(language.accepts, texts)])
    differs = [text for text, one, other in zip(texts, by_network, by_automaton, strict=True) if one != other]
    differs = sorted(set(differs), key=lambda text: (len(text), text))
    rows = [
        [name, f"{int((said != is_right).sum()):,}", f"{1e3 * seconds[name] * _TIMED / len(texts):.2f} ms"]
        for name, said in (("network", by_network), ("automaton", by_automaton))
    ]
    section.say(
        f"{len(texts):,} texts of up to {longest} characters: a quarter of the language, a quarter near misses and "
        f"others outside it, half random. Network and automaton disagree on {int((by_network != by_automaton).sum()):,}"
        + (": " + ", ".join(repr(text) for text in differs[:_MOST_SHOWN]) + "." if differs else ".")
    )
    section.parts.append(table(["", "wrong about", f"for {_TIMED:,} texts"], rows))
    values["check"] = {
        "count": len(texts),
        "num_different": int((by_network != by_automaton).sum()),
        "different": differs[:1000],
        "network_wrong": int((by_network != is_right).sum()),
        "automaton_wrong": int((by_automaton != is_right).sum()),
        "seconds": seconds,
    }
    section.parts.append(f"<p>{html.escape('Both read the texts side by side, on this machine.')}</p>")
    return section
