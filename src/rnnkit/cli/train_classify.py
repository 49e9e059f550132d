"""`rnnkit train classify`: from labelled sequences to a trained classifier and a table beside its baselines.

As for `train lm`, each option is named after its configuration key and has no default of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rnnkit.cli.train import NOT_CONFIG, is_given, numbers, seconds, split_words


def classify(
    context: typer.Context,
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            help="Tables (.csv, .tsv, .jsonl) with a label and a text column, or a folder with a .txt for each label. "
            "Dotted overrides may stand among them: training.lr=2e-3.",
            metavar="FILE",
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML; flags and overrides win over it.")] = None,
    run: Annotated[
        Path | None, typer.Option("--run", "--out", help="The run folder; default: runs/classify-N.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --run.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the run in --run.")] = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Also write RUN/tensorboard.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="metrics.json to stdout, nothing else there.")] = False,
    # ---- data
    valid_sources: Annotated[
        list[str] | None, typer.Option("--valid", help="What the best weights are chosen by.")
    ] = None,
    test_sources: Annotated[list[str] | None, typer.Option("--test", help="What the table is made on.")] = None,
    held_out: Annotated[float | None, typer.Option(help="Share of every label held out, without --test.")] = None,
    valid_share: Annotated[float | None, typer.Option(help="Share to choose weights by, without --valid.")] = None,
    label_column: Annotated[str | None, typer.Option(help="The label's column or key.")] = None,
    text_column: Annotated[str | None, typer.Option(help="The text's column or key.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Of all files.")] = None,
    kind: Annotated[str | None, typer.Option("--tokenizer", help="byte, char, word or bpe.")] = None,
    vocab_size: Annotated[int | None, typer.Option(help="Most tokens.")] = None,
    min_count: Annotated[int | None, typer.Option(help="Tokens seen less often are unknown.")] = None,
    split_punctuation: Annotated[
        bool | None, typer.Option("--split-punctuation/--no-split-punctuation", help="Words: punctuation by itself.")
    ] = None,
    # ---- model
    cell: Annotated[
        str | None, typer.Option(help="lstm, gru_after, elman_tanh …: a wrong name lists them all.")
    ] = None,
    hidden_size: Annotated[
        str | None, typer.Option(metavar="N|N,N", help="Units per direction, of each layer if several.")
    ] = None,
    num_layers: Annotated[int | None, typer.Option(help="Recurrent layers.")] = None,
    bidirectional: Annotated[
        bool | None, typer.Option("--bidirectional/--forward", help="Read in both directions, or forward alone.")
    ] = None,
    readout: Annotated[
        str | None, typer.Option(metavar="KIND,KIND", help="last, max, mean, attention: decided by these.")
    ] = None,
    embedding_size: Annotated[int | None, typer.Option(help="Numbers per token.")] = None,
    init: Annotated[str | None, typer.Option(help="Recurrent weights: uniform or orthogonal.")] = None,
    dropout: Annotated[float | None, typer.Option(help="Between layers.")] = None,
    input_dropout: Annotated[float | None, typer.Option(help="On what the first layer reads.")] = None,
    output_dropout: Annotated[float | None, typer.Option(help="On what is read out.")] = None,
    locked_dropout: Annotated[
        bool | None, typer.Option("--locked-dropout/--no-locked-dropout", help="One mask per sequence.")
    ] = None,
    embedding_dropout: Annotated[float | None, typer.Option(help="On rows of the embedding table.")] = None,
    word_dropout: Annotated[float | None, typer.Option(help="On single tokens.")] = None,
    weight_dropout: Annotated[float | None, typer.Option(help="On recurrent weights.")] = None,
    recurrent_dropout: Annotated[float | None, typer.Option(help="On the h that enters recurrent products.")] = None,
    label_smoothing: Annotated[float | None, typer.Option(help="Share of the target spread over all labels.")] = None,
    class_weights: Annotated[str | None, typer.Option(help="balanced: rare labels count for more; none.")] = None,
    precision: Annotated[str | None, typer.Option(help="Of matrix products: fp32, fp32_split, bf16 or auto.")] = None,
    # ---- training
    seed: Annotated[int | None, typer.Option(help="First weights, dropout, order of the sequences.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Sequences of an update.")] = None,
    time_limit_s: Annotated[
        float | None, typer.Option("--time-limit", parser=seconds, metavar="90s|2m|1h", help="Training time.")
    ] = None,
    max_steps: Annotated[int | None, typer.Option(help="Updates.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the sequences.")] = None,
    optimizer: Annotated[str | None, typer.Option(help="adamw, sgd or asgd.")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    schedule: Annotated[str | None, typer.Option(help="cosine, plateau or constant.")] = None,
    warmup_steps: Annotated[int | None, typer.Option(help="Updates up to the peak rate.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Of weight matrices.")] = None,
    clip_norm: Annotated[float | None, typer.Option(help="Longest gradient.")] = None,
    ema: Annotated[float | None, typer.Option(help="Decay of averaged weights.")] = None,
    eval_every_steps: Annotated[int | None, typer.Option(help="Updates between evaluations.")] = None,
    patience: Annotated[int | None, typer.Option(help="Evaluations without gain that end the run.")] = None,
    checkpoint_every_s: Annotated[float | None, typer.Option(help="Seconds between checkpoints.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads; they change no bit.")] = None,
    # ---- baselines
    kinds: Annotated[
        list[str] | None, typer.Option("--baseline", help="majority, naive-bayes, logistic-regression; default: all.")
    ] = None,
    ngram_order: Annotated[int | None, typer.Option(help="Longest n of the baselines' n-grams.")] = None,
) -> None:
    """Train a recurrent classifier on every FILE and judge it beside its baselines.

    Every key of the configuration can be given as KEY=VALUE; the usual ones are also flags.
    """
    from rnnkit import api
    from rnnkit.cli import terminal
    from rnnkit.cli.progress import Progress

    files, overrides = split_words(sources or [])
    options = {name: value for name, value in context.params.items() if name not in NOT_CONFIG and is_given(value)}
    if "hidden_size" in options:
        widths = numbers(options["hidden_size"], "--hidden-size", "128, or 128,64 for two layers")
        options["hidden_size"] = widths[0] if len(widths) == 1 else widths
    if "readout" in options:
        options["readout"] = options["readout"].split(",")
    progress = Progress(terminal.LiveLine())
    try:
        model = api.Classifier.train(
            files or None,
            run=run,
            config=config,
            overrides=overrides,
            resume=resume,
            force=force,
            observers=[progress],
            tensorboard=tensorboard,
            **options,
        )
    finally:
        progress.line.close()
    if as_json:
        terminal.print_json(model.metrics)
        return
    terminal.print_result_table(api.classification_table(model.metrics))
    print(f"\nrun folder: {model.path}")
