"""`rnnkit train lm`: from a text to a trained model, a table beside its baselines, and a sample."""

from __future__ import annotations

import typer

from rnnkit.cli.train_options import (
    DROPOUT,
    DRY_RUN,
    HELD_OUT,
    LAYERS,
    PRECISION,
    TOKENIZER,
    TRAINING,
    Given,
    baselines,
    listed,
    only,
    option,
    run_of,
    taking,
    without,
)

app = typer.Typer(help="Train a model.", rich_markup_mode=None, no_args_is_help=False)

_SOURCES = "Files, folders, .gz, or - for stdin; nothing: a text that ships inside Python."


@app.callback()
def _tasks() -> None:
    """Train a model. The task comes first: `rnnkit train lm my.txt`."""


@app.command()
@taking(
    **run_of("lm", _SOURCES, metavar="SOURCE"),
    **DRY_RUN,
    valid_sources=option(list[str], "--valid", help="What the best weights are chosen by; alone: also judged on."),
    **only(HELD_OUT, "test_sources"),
    held_out=option(float, help="Share held out at the end, without --test."),
    encoding=option(str, help="Of all sources."),
    as_bytes=option(bool, "--bytes", help="Read and model bytes, whatever they mean."),
    **without(TOKENIZER, "split_punctuation"),
    **LAYERS | {"embedding_size": option(int, "--embedding-size", "--emsize", help="Numbers per token; 0: one-hot.")},
    bidirectional=option(bool, "--bidirectional", help="Each token from both sides; it cannot write."),
    tied=option(bool, "--tied/--untied", help="Score with the embedding table."),
    softmax=option(str, help="full, or adaptive for large vocabularies."),
    cutoffs=option(
        str,
        parser=listed(int, "2000,10000", is_alone=False),
        metavar="N,N",
        help="Where the adaptive softmax's clusters end.",
    ),
    **DROPOUT,
    recompute=option(bool, "--recompute/--no-recompute", help="Less memory, a third more time."),
    **PRECISION,
    **TRAINING,
    window=option(int, "--window", "--bptt", "--seq-length", help="Steps the gradient flows back through."),
    stride=option(int, help="Tokens per row and update; default: the window."),
    ar=option(float, "--ar", "--alpha", help="Activation regularisation."),
    tar=option(float, "--tar", "--beta", help="Temporal activation regularisation."),
    **baselines("unigram, kneser-ney, window-mlp"),
    sample_tokens=option(int, help="Length of samples during training; 0: none."),
    sample_prompt=option(str, help="What they continue."),
    sample_temperature=option(float, help="0 is greedy."),
)
def lm(given: Given) -> None:
    """Train a recurrent language model on every SOURCE, judge it beside its baselines, and let it write.

    With --bidirectional each token is told from all others on both sides of it: judged by pseudo-perplexity, beside
    n-grams that see both sides too.

    Every key of the configuration can be given as KEY=VALUE; the usual ones are also flags.
    """
    from rnnkit import api
    from rnnkit.cli import terminal

    if "as_bytes" in given.options:
        given.options.setdefault("kind", "byte")
    if given.how["dry_run"]:
        given.print_estimate(api.dry_run)
        return
    is_of_both_sides = given.options.pop("bidirectional", False)
    model = given.train(api.BidirectionalLanguageModel if is_of_both_sides else api.LanguageModel)
    if given.how["as_json"]:
        terminal.print_json(model.metrics)
        return
    terminal.print_result_table(api.result_table(model.metrics))
    if isinstance(model, api.LanguageModel):
        print(f"\nsample:\n{''.join(model.generate(max_new_tokens=300, temperature=0.8))}")
    print(f"\nrun folder: {model.path}")
