"""`rnnkit train lm`: from a text to a trained model, a table beside its baselines, and a sample."""

from __future__ import annotations

import typer

from rnnkit.cli.train_options import (
    DROPOUT,
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
    dry_run=option(bool, "--dry-run", help="Parameters, memory, time; trains nothing."),
    valid_sources=option(list[str], "--valid", help="What the best weights are chosen by; alone: also judged on."),
    **only(HELD_OUT, "test_sources"),
    held_out=option(float, help="Share held out at the end, without --test."),
    encoding=option(str, help="Of all sources."),
    as_bytes=option(bool, "--bytes", help="Read and model bytes, whatever they mean."),
    **without(TOKENIZER, "split_punctuation"),
    **LAYERS | {"embedding_size": option(int, "--embedding-size", "--emsize", help="Numbers per token; 0: one-hot.")},
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

    Every key of the configuration can be given as KEY=VALUE; the usual ones are also flags.
    """
    from rnnkit import api
    from rnnkit.cli import terminal

    if "as_bytes" in given.options:
        given.options.setdefault("kind", "byte")
    if given.how["dry_run"]:
        _print_estimate(given)
        return
    model = given.train(api.LanguageModel)
    if given.how["as_json"]:
        terminal.print_json(model.metrics)
        return
    terminal.print_result_table(api.result_table(model.metrics))
    print(f"\nsample:\n{''.join(model.generate(max_new_tokens=300, temperature=0.8))}\n")
    print(f"run folder: {model.path}")


def _print_estimate(given: Given) -> None:
    from rnnkit import api
    from rnnkit.cli import terminal
    from rnnkit.errors import UsageError

    for name in ("run", "resume", "force", "tensorboard"):
        if given.how[name]:
            raise UsageError(f"--{name} has no effect with --dry-run, which writes no run: leave one of them out")
    estimate = api.dry_run(
        given.sources or None, config=given.how["config"], overrides=given.overrides, **given.options
    )
    if given.how["as_json"]:
        terminal.print_json(estimate)
        return
    print(f"parameters        {estimate['parameters']:,} ({terminal.num_bytes(estimate['parameter_bytes'])})")
    training, peak = (terminal.num_bytes(estimate[key]) for key in ("training_bytes", "peak_bytes"))
    print(f"training memory   {training} for weights, gradients, optimiser and average")
    print(f"memory in all     {peak}, with a window's activations, Python and torch")
    print(f"speed             {estimate['tokens_per_s']:,.0f} tokens/s, {estimate['step_s'] * 1000:.0f} ms per step")
    print(f"one epoch         {terminal.duration(estimate['epoch_s'])}")
    print(
        f"this run          {estimate['total_steps']:,} steps with their evaluations, "
        f"{terminal.duration(estimate['total_s'])}"
    )
    for name, peer_s in estimate["peers_s"].items():
        print(f"{name:17} {terminal.duration(peer_s)} more; then the n-grams and the table")
