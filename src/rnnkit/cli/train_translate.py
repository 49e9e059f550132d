"""`rnnkit train translate`: from pairs of texts to a trained encoder-decoder and a table beside its baselines."""

from __future__ import annotations

import functools

from rnnkit.cli.train_classify import SEEDS
from rnnkit.cli.train_options import (
    DROPOUT,
    DRY_RUN,
    HELD_OUT,
    LAYERS,
    PRECISION,
    TOKENIZER,
    TRAINING,
    Given,
    Options,
    baselines,
    only,
    option,
    run_of,
    taking,
    train_and_show,
    without,
)

_SOURCES = "Two parallel files, or tables of pairs (.csv, .tsv, .jsonl)."


READING: Options = {
    **DRY_RUN,
    "encoding": option(str, help="Of all files."),
    "max_tokens": option(int, help="The most tokens of a side."),
    "skip_bad": option(
        bool, "--skip-bad/--refuse-bad", help="Leave out rows that cannot be used, or refuse the first."
    ),
    **TOKENIZER
    | {"kind": option(str, "--tokenizer", help="byte, char, word or bpe; default: words, or char of single words.")},
    "joint": option(bool, "--joint/--separate", help="One vocabulary for both sides."),
    "lowercase": option(bool, "--lowercase/--cased", help="Read capital letters as small ones."),
}
WRITING: Options = {
    **without(LAYERS, "proj_size", "trainable_state"),
    "encoder_size": option(int, help="Units of each direction of the encoder."),
    "encoder_layers": option(int, help="Layers of the encoder."),
    "bidirectional": option(bool, "--bidirectional/--forward", help="The encoder reads in both directions."),
    "conditioning": option(
        str, help="The decoder knows the source by state, concat, both; or none, by attention alone."
    ),
    "attention": option(str, help="none, dot, general or additive."),
    "attention_size": option(int, help="additive: numbers of a key."),
    "input_feeding": option(
        bool, "--input-feeding/--no-input-feeding", help="Also read what the last token was decided by."
    ),
    "copying": option(bool, "--copying/--no-copying", help="Also write tokens of the source; with --joint."),
    "coverage": option(float, help="additive: weight of looking twice at one place in the loss."),
    "tied": option(bool, "--tied/--untied", help="Score with the embedding of the targets."),
    "shared_embedding": option(
        bool, "--shared-embedding/--two-embeddings", help="One embedding for both sides; with --joint."
    ),
    **DROPOUT,
    "label_smoothing": option(float, help="Share of the target spread over all tokens."),
    "scheduled_sampling": option(float, help="Share of what the decoder reads that it predicted itself."),
    "num_beams": option(int, help="Texts followed at a time, for the table; 1: greedy."),
    "length_penalty": option(float, help="Above 0 favours longer texts."),
    "tokenize": option(str, help="How BLEU cuts texts: 13a, intl, char, zh or none."),
    "figure": option(str, help="What systems are compared by: bleu, exact, wer or cer."),
    **PRECISION,
    **without(TRAINING, "batch_size"),
    "batch_tokens": option(int, help="Tokens of an update, padding included."),
}
"""Of every task that trains an encoder-decoder on texts: what is read, and how it is written."""


@taking(
    **run_of("translate", _SOURCES),
    valid_sources=option(list[str], "--valid", help="What the best weights are chosen by: a table, or twice a side."),
    test_sources=option(list[str], "--test", help="What the table is made on, alike."),
    held_out=option(float, help="Share of the sources held out, without --test."),
    valid_share=HELD_OUT["valid_share"],
    source_column=option(str, help="Of a table: a name, or a number from 1."),
    target_column=option(str, help="Alike."),
    has_header=option(bool, "--header/--no-header", help="Whether a table's first row names columns."),
    group_test=option(bool, "--group-test/--each-test", help="Equal test sources as one with several references."),
    **READING,
    source_kind=option(str, "--source-tokenizer", help="Of the sources, if another."),
    **WRITING,
    **only(baselines("copy-source, nearest-source, transformer"), "kinds"),
    **SEEDS,
)
def translate(given: Given) -> None:
    """Train an encoder-decoder on pairs of texts and judge it beside its baselines.

    Every key of the configuration can be given as KEY=VALUE; the usual ones are also flags.
    """
    from rnnkit import api

    if given.how["dry_run"]:
        given.print_estimate(functools.partial(api.dry_run, task="translate"))
        return
    train_and_show(given, api.Translator, api.translation_table)
