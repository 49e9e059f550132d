"""`rnnkit train dialogue`: from turns to a model that answers, and a table beside its baselines."""

from __future__ import annotations

import functools

from rnnkit.cli.train_classify import SEEDS
from rnnkit.cli.train_options import HELD_OUT, Given, baselines, only, option, run_of, taking, train_and_show
from rnnkit.cli.train_translate import READING, WRITING

_SOURCES = "Dialogues: .jsonl with lists of turns, .csv or .tsv of turns."


@taking(
    **run_of("dialogue", _SOURCES),
    valid_sources=option(list[str], "--valid", help="What the best weights are chosen by."),
    test_sources=option(list[str], "--test", help="What the table is made on."),
    held_out=option(float, help="Share of the dialogues held out, without --test."),
    valid_share=HELD_OUT["valid_share"],
    context=option(int, help="How many turns the model reads before it answers."),
    speaker=option(str, help="Whose turns are answers to learn; default: everybody's."),
    **READING,
    **WRITING,
    **only(baselines("last-turn, most-frequent, nearest-source, transformer"), "kinds"),
    **SEEDS,
)
def dialogue(given: Given) -> None:
    """Train an encoder-decoder on the turns of dialogues and judge its answers beside its baselines.

    Every key of the configuration can be given as KEY=VALUE; the usual ones are also flags.
    """
    from rnnkit import api

    if given.how["dry_run"]:
        given.print_estimate(functools.partial(api.dry_run, task="dialogue"))
        return
    train_and_show(given, api.Responder, api.translation_table)
