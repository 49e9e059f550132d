"""`rnnkit train classify`: from labelled sequences to a trained classifier and a table beside its baselines."""

from __future__ import annotations

import functools

from rnnkit.cli.train_options import (
    DROPOUT,
    DRY_RUN,
    HELD_OUT,
    LAYERS,
    PRECISION,
    SPELLING,
    START,
    TOKENIZER,
    TRAINING,
    Given,
    baselines,
    option,
    run_of,
    taking,
    train_and_show,
)

_SOURCES = (
    "Tables (.csv, .tsv, .jsonl, .parquet) with a label and a text column, or a folder with a .txt for each label."
)

READING = {
    "bidirectional": option(bool, "--bidirectional/--forward", help="Read in both directions, or forward alone."),
    "readout": option(
        str,
        parser=lambda text: text.split(","),
        metavar="KIND,KIND",
        help="last, max, mean, attention, states: decided by these.",
    ),
}
"""How whole sequences are read."""
SEEDS = {"seeds": option(int, help="Trainings, from --seed on: the table has their mean and its interval.")}


@taking(
    **run_of("classify", _SOURCES),
    **DRY_RUN,
    **HELD_OUT,
    label_column=option(str, help="The label's column or key."),
    text_column=option(str, help="The text's column or key."),
    multi_label=option(bool, "--multi-label", help="Texts may have several labels: what stands for one is cut."),
    label_separator=option(str, metavar="SEP", help="Where it is cut; default: at commas."),
    encoding=option(str, help="Of all files."),
    **TOKENIZER
    | {"kind": option(str, "--tokenizer", help="byte, char, word or bpe; default: words, or char of single words.")},
    characters=option(bool, "--characters/--no-characters", help="Of words, also read how each is spelled."),
    max_characters=option(int, help="Of a longer word its ends are read."),
    **LAYERS,
    **SPELLING,
    **READING,
    ngrams=option(int, help="Longest n-gram of a linear model that decides with the layers; 0: none."),
    **DROPOUT,
    **START,
    label_smoothing=option(float, help="Share of the target spread over all labels."),
    class_weights=option(str, help="balanced: rare labels count for more; none."),
    thresholds=option(str, help="Of several labels, where one is there: half, shared or per_label."),
    calibrate=option(bool, "--calibrate/--no-calibrate", help="Fit a temperature to the validation part."),
    **PRECISION,
    **TRAINING,
    **baselines("majority, naive-bayes, logistic-regression, 1nn-dtw"),
    **SEEDS,
)
def classify(given: Given) -> None:
    """Train a recurrent classifier on every FILE and judge it beside its baselines.

    Every key of the configuration can be given as KEY=VALUE; the usual ones are also flags.
    """
    from rnnkit import api

    if given.how["dry_run"]:
        given.print_estimate(functools.partial(api.dry_run, task="classify"))
        return
    train_and_show(given, api.Classifier, api.classification_table)
