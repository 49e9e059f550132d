"""`rnnkit train tag`: from tagged sentences to a trained tagger and a table beside its baselines."""

from __future__ import annotations

from rnnkit.cli.train_classify import SEEDS
from rnnkit.cli.train_options import (
    DROPOUT,
    HELD_OUT,
    LAYERS,
    PRECISION,
    SPELLING,
    START,
    TRAINING,
    Given,
    baselines,
    only,
    option,
    run_of,
    taking,
    train_and_show,
)

_SOURCES = "CoNLL, CoNLL-U (.conllu) or JSONL (.jsonl) files: a tag for every word."


@taking(
    **run_of("tag", _SOURCES),
    **HELD_OUT,
    word_column=option(str, help="The words': a name (CoNLL-U), a number (CoNLL) or a key (JSONL)."),
    tag_column=option(str, help="The tags', alike; default: upos, the last one, tags."),
    encoding=option(str, help="Of all files."),
    scheme=option(str, help="How tags mark spans: bio, iob1, bioes; none; default: told by them."),
    scheme_to=option(str, help="What they are converted to: bio or bioes."),
    repair=option(bool, "--repair/--refuse", help="Read faulty tags of spans as the CoNLL scorer does, or refuse."),
    min_count=option(int, help="Words seen less often are unknown."),
    lowercase=option(bool, "--lowercase/--cased", help="Words that differ in case are one."),
    characters=option(bool, "--characters/--no-characters", help="Also read how words are spelled."),
    max_characters=option(int, help="Of a longer word its ends are read."),
    features=option(
        str,
        parser=lambda text: tuple(text.split(",")),
        metavar="NAME,NAME",
        help="Also read: shape, prefix1 … prefix4, suffix1 … suffix4.",
    ),
    feature_embedding_size=option(int, help="Numbers per feature."),
    **LAYERS,
    bidirectional=option(bool, "--bidirectional/--forward", help="Read in both directions, or forward alone."),
    **SPELLING,
    crf=option(bool, "--crf/--no-crf", help="Score whole sequences of tags; default: where they mark spans."),
    outside=option(str, help="Of O's score: plain, or fitted on validation for the best F1."),
    **DROPOUT,
    **START,
    label_smoothing=option(float, help="Share of the target spread over all tags."),
    **PRECISION,
    **TRAINING,
    **only(baselines("most-frequent-tag, hmm, feature-crf"), "kinds"),
    **SEEDS,
)
def tag(given: Given) -> None:
    """Train a recurrent tagger on every FILE and judge it beside its baselines.

    Every key of the configuration can be given as KEY=VALUE; the usual ones are also flags.
    """
    from rnnkit import api

    train_and_show(given, api.Tagger, api.tagging_table)
