"""`rnnkit explain`: what happens inside a model while it reads; the automaton it behaves like; a tiny one by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rnnkit.errors import UsageError


def explain(
    run: Annotated[Path | None, typer.Argument(help="A run folder; none with --worked.", metavar="RUN")] = None,
    text: Annotated[
        str | None,
        typer.Argument(help="What to read: a text, for a tagger words; default: held-out data of the run."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the report; default: RUN/explain, RUN/automaton or worked-WORD.")
    ] = None,
    unit: Annotated[str | None, typer.Option(help="Colour the text by this one, as l0.h.3.")] = None,
    weight: Annotated[
        str | None, typer.Option(help="Take this one's gradient apart; default: the last recurrent weight.")
    ] = None,
    automaton: Annotated[
        bool, typer.Option("--automaton", help="In place of a trace: the automaton that an acceptor behaves like.")
    ] = False,
    against: Annotated[
        str | None, typer.Option(metavar="SPEC", help="With --automaton: a grammar, regex or .json to compare with.")
    ] = None,
    label: Annotated[str | None, typer.Option(help="With --automaton: that of texts that belong.")] = None,
    longest: Annotated[int | None, typer.Option(help="With --automaton: characters of the texts tried.")] = None,
    num_tests: Annotated[int | None, typer.Option(help="With --automaton: texts that each is tried on.")] = None,
    num_checks: Annotated[int | None, typer.Option(help="With --automaton: texts of the comparison.")] = None,
    tolerance: Annotated[
        float | None, typer.Option(help="With --automaton: share of texts on which it may differ from the network.")
    ] = None,
    max_states: Annotated[int | None, typer.Option(help="With --automaton: beyond so many learning ends.")] = None,
    worked: Annotated[
        str | None, typer.Option(metavar="WORD", help="In place of RUN: a tiny network by hand, for example hello.")
    ] = None,
    cell: Annotated[str | None, typer.Option(help="With --worked; default: elman_tanh.")] = None,
    hidden_size: Annotated[int | None, typer.Option(help="With --worked; default: 3.")] = None,
    lr: Annotated[float | None, typer.Option(help="With --worked: of its updates; default: 0.1.")] = None,
    seed: Annotated[int | None, typer.Option(help="With --worked: of its first weights; default: 0.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="explain.json to stdout.")] = False,
) -> None:
    """Gates and states at every step, how far the gradient reaches, and which steps make it: report.html.

    With --automaton the finite automaton that an acceptor behaves like, tried and compared with a language. With
    --worked every number of a tiny network that learns to write WORD: forward, loss, backward, update, sampling.
    """
    from rnnkit import api
    from rnnkit.cli import terminal

    options: dict[str, dict[str, Any]] = {
        "a trace": {"text": text, "unit": unit, "weight": weight},
        "--automaton": {
            "against": against,
            "label": label,
            "longest": longest,
            "num_tests": num_tests,
            "num_checks": num_checks,
            "tolerance": tolerance,
            "max_states": max_states,
        },
        "--worked": {"cell": cell, "hidden_size": hidden_size, "lr": lr, "seed": seed},
    }
    asked = "--worked" if worked is not None else "--automaton" if automaton else "a trace"
    if worked is not None and (automaton or run is not None):
        raise UsageError("--worked has a network of its own: leave RUN and --automaton out")
    for kind, values in options.items():
        for name, value in values.items():
            if kind != asked and value is not None:
                flag = "TEXT" if name == "text" else f"--{name.replace('_', '-')}"
                raise UsageError(f"{flag} goes with {kind} and has no effect on {asked}: leave it out")
    given = {name: value for name, value in options[asked].items() if value is not None}
    if worked is not None:
        found = api.explain_worked(worked, out=out, **given)
        lines = found.pop("shown").splitlines()
    elif run is None:
        raise UsageError("name a RUN to look into, or a word to work through: rnnkit explain --worked hello")
    elif automaton:
        found = api.explain_automaton(run, out=out, **given)
        lines = _of_automaton(found)
    else:
        found = api.explain(run, given.pop("text", None), out=out, **given)
        at_least = "at least " if found["memory_length_is_cut"] else ""
        lines = [f"effective memory length: {at_least}{found['memory_length']} steps"]
        lines += [found["warning"]] if found["warning"] else []
    if as_json:
        terminal.print_json(found)
        return
    print("\n".join([*lines, f"report: {found['report']}"]))


def _of_automaton(found: dict[str, Any]) -> list[str]:
    lines = [
        f"{found['num_states']} states, from {found['num_queries']:,} questions",
        f"differs from the network on {found['num_different']:,} of {found['num_tested']:,} fresh texts: with 99 % "
        f"confidence on less than {found['error_bound']:.3%}",
    ]
    if found["is_stopped"]:
        lines.append("learning ended at --max-states; this is the automaton that differed least")
    lines += [f"  differs on {text!r}" for text in found["counterexamples"][:10]]
    if "is_equal" in found:
        shortest = found["shortest_difference"]
        same = "accepts exactly the texts of" if found["is_equal"] else f"differs on {shortest!r} from"
        lines.append(f"{same} {found['against']}")
    if "check" in found:
        check = found["check"]
        lines.append(
            f"of {check['count']:,} random, near-miss and other texts network and automaton disagree on "
            f"{check['num_different']:,}; wrong are the network about {check['network_wrong']:,}, the automaton about "
            f"{check['automaton_wrong']:,}"
        )
    return lines
