"""`rnnkit train describe`: from records and their texts to a model that says others, beside its baselines."""

from __future__ import annotations

import functools

from rnnkit.cli.train_classify import SEEDS
from rnnkit.cli.train_options import (
    DROPOUT,
    DRY_RUN,
    LAYERS,
    PRECISION,
    TRAINING,
    Given,
    baselines,
    only,
    option,
    run_of,
    taking,
    train_and_show,
    without,
)


@taking(
    **run_of("describe", "Records with their texts (.jsonl, .json, .csv, .tsv)."),
    **DRY_RUN,
    valid_sources=option(list[str], "--valid", help="What the best weights are chosen by."),
    test_sources=option(list[str], "--test", help="What the table is made on."),
    held_out=option(float, help="Share of the records held out, without --test."),
    valid_share=option(float, help="Share to choose weights by, without --valid."),
    text_column=option(str, help="Which attribute is the text; default: text, ref, sentence … as it is there."),
    encoding=option(str, help="Of all files."),
    max_tokens=option(int, help="The most tokens of a record or text."),
    skip_bad=option(bool, "--skip-bad/--refuse-bad", help="Leave out rows that cannot be used, or refuse the first."),
    references=option(str, help="own, record (all texts of equal ones) or features (of those that read the same)."),
    lowercase=option(bool, "--lowercase/--cased", help="Read capital letters of texts as small ones."),
    min_count=option(int, help="Tokens seen less often are unknown."),
    split_punctuation=option(
        bool, "--split-punctuation/--no-split-punctuation", help="Marks apart; default: as texts have them."
    ),
    filled_share=option(float, help="Fill in slots whose values stand in so much of their texts."),
    **without(LAYERS, "proj_size", "trainable_state"),
    encoder=option(str, help="recurrent: attributes as a sequence; set: without an order."),
    encoder_size=option(int, help="Units of each direction of the encoder."),
    encoder_layers=option(int, help="Layers of a recurrent encoder."),
    bidirectional=option(bool, "--bidirectional/--forward", help="A recurrent encoder reads in both directions."),
    conditioning=option(str, help="The decoder knows the record by state, concat, both; or none, by attention alone."),
    attention=option(str, help="none, dot, general or additive."),
    attention_size=option(int, help="additive: numbers of a key."),
    input_feeding=option(
        bool, "--input-feeding/--no-input-feeding", help="Also read what the last token was decided by."
    ),
    coverage=option(float, help="additive: weight of looking twice at one attribute in the loss."),
    tied=option(bool, "--tied/--untied", help="Score with the embedding of the words."),
    **DROPOUT,
    label_smoothing=option(float, help="Share of the target spread over all tokens."),
    scheduled_sampling=option(float, help="Share of what the decoder reads that it predicted itself."),
    num_beams=option(int, help="Texts followed at a time, for the table; 1: greedy."),
    length_penalty=option(float, help="Above 0 favours longer texts."),
    rerank=option(bool, "--rerank/--no-rerank", help="Take the best text with the fewest slot errors."),
    tokenize=option(str, help="How BLEU cuts texts: 13a, intl, char, zh or none."),
    figure=option(str, help="What systems are compared by: bleu, exact, wer or cer."),
    uncounted_acts=option(list[str], "--uncounted-act", help="A dialogue act whose slots are not counted."),
    num_best=option(int, help="Also judge so many of the best texts together."),
    **PRECISION,
    **without(TRAINING, "batch_size"),
    batch_tokens=option(int, help="Tokens of an update, padding included."),
    **only(baselines("template-filler, nearest-record, transformer"), "kinds"),
    **SEEDS,
)
def describe(given: Given) -> None:
    """Train a model that says records in sentences and judge it beside its baselines.

    Every key of the configuration can be given as KEY=VALUE; the usual ones are also flags.
    """
    from rnnkit import api

    if given.how["dry_run"]:
        given.print_estimate(functools.partial(api.dry_run, task="describe"))
        return
    train_and_show(given, api.Describer, api.translation_table)
