"""`rnnkit train grammar`: a network learns to recognise a formal language, and is judged far beyond its training."""

from __future__ import annotations

from rnnkit.cli.train_classify import READING, SEEDS
from rnnkit.cli.train_options import (
    DROPOUT,
    LAYERS,
    PRECISION,
    TRAINING,
    Given,
    baselines,
    option,
    run_of,
    taking,
)

_SOURCES = (
    "One grammar: tomita-1 to tomita-7, parity, dyck-1 to dyck-4, anbn; a regular expression; or a .json file of an "
    "automaton."
)


@taking(
    **run_of("grammar", _SOURCES, metavar="SPEC"),
    symbols=option(str, help="Of a regular expression: what texts are made of."),
    longest=option(int, help="Characters of the longest text trained on."),
    valid_longest=option(int, help="Of the longest one to choose weights by; default: four times that."),
    test_longest=option(int, help="Of the longest one in the table; default: ten times that."),
    num_train=option(int, help="Texts to train on."),
    num_valid=option(int, help="Texts to choose weights by."),
    num_test=option(int, help="Texts in the table."),
    near_share=option(float, help="Of those that do not belong: a few edits from one that does."),
    short_bias=option(float, help="How much more often short texts are trained on; 0: all lengths alike."),
    sample_seed=option(int, help="Of the texts."),
    **LAYERS,
    **READING,
    **DROPOUT,
    label_smoothing=option(float, help="Share of the target spread over both labels."),
    **PRECISION,
    **TRAINING,
    restarts=option(int, help="Starts from other weights, at most, while a text to choose by is wrong."),
    **SEEDS,
    **baselines("majority, naive-bayes, logistic-regression, automaton"),
)
def grammar(given: Given) -> None:
    """Train a recurrent network to recognise a language from examples, and judge it on texts up to ten times longer.

    Every key of the configuration can be given as KEY=VALUE; the usual ones are also flags.
    """
    from rnnkit import api
    from rnnkit.cli import terminal

    model = given.train(api.Recognizer)
    if given.how["as_json"]:
        terminal.print_json(model.metrics)
        return
    terminal.print_result_table(api.classification_table(model.metrics))
    print()
    name = model.metrics["model"]["name"]
    for row in model.metrics["lengths"]:
        print(f"{row['from']:5} to {row['to']:5} characters: {row['accuracy'][name]:.2%} of {row['count']:,} right")
    print(f"\nrun folder: {model.path}")
