"""`rnnkit train`: from a text to a trained model, a table beside its baselines, and a sample.

The options stand here once as a signature. Each is named after its configuration key (`--hidden-size` sets
`model.hidden_size`) and has no default of its own: what is not given is left to the configuration.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(help="Train a model.", rich_markup_mode=None, no_args_is_help=False)

# What is no configuration key: it says where and how to run.
NOT_CONFIG = ("sources", "config", "run", "resume", "force", "dry_run", "tensorboard", "as_json")
_OVERRIDE = re.compile(r"[A-Za-z_]+(\.[A-Za-z_]+)+=.*", re.DOTALL)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|)")
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(text: str) -> float:
    """`90s`, `2m`, `1.5h` or plain seconds."""
    match = _DURATION.fullmatch(text.strip())
    if match is None or float(match[1]) == 0:
        raise typer.BadParameter(f"{text!r} is no time; write 90s, 2m or 1h")
    return float(match[1]) * _SECONDS[match[2]]


def numbers(text: str, flag: str, example: str, kind: Callable[[str], Any] = int) -> list[Any]:
    """`2000,10000` as a list."""
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"{flag} {text!r} is no number and no list of them; write {example}") from None


@app.callback()
def _tasks() -> None:
    """Train a model. The task comes first: `rnnkit train lm my.txt`."""


@app.command()
def lm(
    context: typer.Context,
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            help="Files, folders, .gz, or - for stdin; nothing: a text that ships inside Python. "
            "Dotted overrides may stand among them: training.lr=2e-3.",
            metavar="SOURCE",
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML; flags and overrides win over it.")] = None,
    run: Annotated[Path | None, typer.Option("--run", "--out", help="The run folder; default: runs/lm-N.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --run.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the run in --run.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Parameters, memory, time; trains nothing.")] = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Also write RUN/tensorboard.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="metrics.json to stdout, nothing else there.")] = False,
    # ---- text
    valid_sources: Annotated[
        list[str] | None, typer.Option("--valid", help="Text to choose the best weights by; alone also judged on.")
    ] = None,
    test_sources: Annotated[list[str] | None, typer.Option("--test", help="Text that the table is made on.")] = None,
    held_out: Annotated[float | None, typer.Option(help="Share held out at the end, without --test.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Of all sources.")] = None,
    as_bytes: Annotated[bool | None, typer.Option("--bytes", help="Read and model bytes, whatever they mean.")] = None,
    kind: Annotated[str | None, typer.Option("--tokenizer", help="byte, char, word or bpe.")] = None,
    vocab_size: Annotated[int | None, typer.Option(help="Most tokens.")] = None,
    min_count: Annotated[int | None, typer.Option(help="Tokens seen less often are unknown.")] = None,
    # ---- model
    cell: Annotated[
        str | None,
        typer.Option("--cell", "--model", help="lstm, gru_before, gru_after …: a wrong name lists them all."),
    ] = None,
    hidden_size: Annotated[
        str | None,
        typer.Option("--hidden-size", "--nhid", "--rnn-size", metavar="N|N,N", help="Units, of each layer if several."),
    ] = None,
    num_layers: Annotated[int | None, typer.Option("--num-layers", "--nlayers", help="Recurrent layers.")] = None,
    proj_size: Annotated[int | None, typer.Option(help="lstm: the width of its h; default: not projected.")] = None,
    embedding_size: Annotated[
        int | None, typer.Option("--embedding-size", "--emsize", help="Numbers per token; 0: one-hot.")
    ] = None,
    bias: Annotated[bool | None, typer.Option("--bias/--no-bias", help="Bias in the recurrent layers.")] = None,
    init: Annotated[str | None, typer.Option(help="Recurrent weights: uniform or orthogonal.")] = None,
    chrono: Annotated[int | None, typer.Option(help="Longest dependency, in tokens: sets gate biases.")] = None,
    residual: Annotated[
        bool | None, typer.Option("--residual/--no-residual", help="Add what a layer reads to its output.")
    ] = None,
    trainable_state: Annotated[
        bool | None, typer.Option("--trainable-state/--no-trainable-state", help="Learn the initial state.")
    ] = None,
    layer_norm: Annotated[
        bool | None, typer.Option("--layer-norm/--no-layer-norm", help="Normalise the products of every step.")
    ] = None,
    tied: Annotated[bool | None, typer.Option("--tied/--untied", help="Score with the embedding table.")] = None,
    softmax: Annotated[str | None, typer.Option(help="full, or adaptive for large vocabularies.")] = None,
    cutoffs: Annotated[
        str | None, typer.Option(metavar="N,N", help="Where the adaptive softmax's clusters end.")
    ] = None,
    dropout: Annotated[float | None, typer.Option(help="Between layers.")] = None,
    input_dropout: Annotated[
        float | None, typer.Option("--input-dropout", "--dropouti", help="On the embedded input.")
    ] = None,
    output_dropout: Annotated[float | None, typer.Option(help="On the last hidden state.")] = None,
    locked_dropout: Annotated[
        bool | None, typer.Option("--locked-dropout/--no-locked-dropout", help="One mask per window and row.")
    ] = None,
    embedding_dropout: Annotated[
        float | None, typer.Option("--embedding-dropout", "--dropoute", help="On rows of the embedding table.")
    ] = None,
    word_dropout: Annotated[float | None, typer.Option(help="On single input tokens.")] = None,
    weight_dropout: Annotated[
        float | None, typer.Option("--weight-dropout", "--wdrop", help="On recurrent weights.")
    ] = None,
    zoneout: Annotated[
        str | None, typer.Option(metavar="P|P,P", help="Units that keep their value; of h and c if two.")
    ] = None,
    recurrent_dropout: Annotated[
        float | None, typer.Option(help="On the h that enters the recurrent products.")
    ] = None,
    recompute: Annotated[
        bool | None, typer.Option("--recompute/--no-recompute", help="Less memory, a third more time.")
    ] = None,
    precision: Annotated[str | None, typer.Option(help="Of matrix products: fp32, fp32_split, bf16 or auto.")] = None,
    # ---- training
    seed: Annotated[int | None, typer.Option(help="First weights, dropout, samples.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Parallel streams.")] = None,
    window: Annotated[
        int | None, typer.Option("--window", "--bptt", "--seq-length", help="Steps the gradient flows back through.")
    ] = None,
    stride: Annotated[int | None, typer.Option(help="Tokens per row and update; default: the window.")] = None,
    time_limit_s: Annotated[
        float | None, typer.Option("--time-limit", parser=seconds, metavar="90s|2m|1h", help="Training time.")
    ] = None,
    max_steps: Annotated[int | None, typer.Option(help="Updates.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the text.")] = None,
    optimizer: Annotated[str | None, typer.Option(help="adamw, sgd or asgd.")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    schedule: Annotated[str | None, typer.Option(help="cosine, plateau or constant.")] = None,
    warmup_steps: Annotated[int | None, typer.Option(help="Updates up to the peak rate.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Of weight matrices.")] = None,
    momentum: Annotated[float | None, typer.Option(help="Of sgd and asgd.")] = None,
    clip_norm: Annotated[float | None, typer.Option("--clip-norm", "--clip", help="Longest gradient.")] = None,
    clip_value: Annotated[float | None, typer.Option(help="Largest gradient element.")] = None,
    ema: Annotated[float | None, typer.Option(help="Decay of averaged weights.")] = None,
    ar: Annotated[float | None, typer.Option("--ar", "--alpha", help="Activation regularisation.")] = None,
    tar: Annotated[float | None, typer.Option("--tar", "--beta", help="Temporal activation regularisation.")] = None,
    eval_every_steps: Annotated[int | None, typer.Option(help="Updates between evaluations.")] = None,
    patience: Annotated[int | None, typer.Option(help="Evaluations without gain that end the run.")] = None,
    checkpoint_every_s: Annotated[float | None, typer.Option(help="Seconds between checkpoints.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads; they change no bit.")] = None,
    # ---- baselines and samples
    kinds: Annotated[
        list[str] | None, typer.Option("--baseline", help="unigram, kneser-ney, window-mlp; default: all.")
    ] = None,
    ngram_order: Annotated[int | None, typer.Option(help="Longest n of the n-grams.")] = None,
    sample_tokens: Annotated[int | None, typer.Option(help="Length of samples during training; 0: none.")] = None,
    sample_prompt: Annotated[str | None, typer.Option(help="What they continue.")] = None,
    sample_temperature: Annotated[float | None, typer.Option(help="0 is greedy.")] = None,
) -> None:
    """Train a recurrent language model on every SOURCE, judge it beside its baselines, and let it write.

    Every key of the configuration can be given as KEY=VALUE; the usual ones are also flags.
    """
    from rnnkit import api
    from rnnkit.cli import terminal
    from rnnkit.cli.progress import Progress
    from rnnkit.errors import UsageError

    texts, overrides = split_words(sources or [])
    options = {name: value for name, value in context.params.items() if name not in NOT_CONFIG and is_given(value)}
    if "cutoffs" in options:
        options["cutoffs"] = numbers(options["cutoffs"], "--cutoffs", "2000,10000")
    if "zoneout" in options:
        shares = numbers(options["zoneout"], "--zoneout", "0.1, or 0.1,0.05 for h and c", float)
        options["zoneout"] = shares[0] if len(shares) == 1 else shares
    if "hidden_size" in options:
        widths = numbers(options["hidden_size"], "--hidden-size", "512, or 512,256 for two layers")
        options["hidden_size"] = widths[0] if len(widths) == 1 else widths
    if "as_bytes" in options:
        options.setdefault("kind", "byte")
    settings: dict[str, Any] = {"config": config, "overrides": overrides, **options}
    if dry_run:
        unused = {"--run": run is not None, "--resume": resume, "--force": force, "--tensorboard": tensorboard}
        if given := [name for name, is_given in unused.items() if is_given]:
            raise UsageError(f"{given[0]} has no effect with --dry-run, which writes no run: leave one of them out")
        estimate = api.dry_run(texts or None, **settings)
        if as_json:
            terminal.print_json(estimate)
        else:
            _print_estimate(estimate)
        return
    progress = Progress(terminal.LiveLine())
    try:
        model = api.LanguageModel.train(
            texts or None,
            run=run,
            resume=resume,
            force=force,
            observers=[progress],
            tensorboard=tensorboard,
            **settings,
        )
    finally:
        progress.line.close()
    metrics = model.metrics
    if as_json:
        terminal.print_json(metrics)
        return
    terminal.print_result_table(api.result_table(metrics))
    print(f"\nsample:\n{''.join(model.generate(max_new_tokens=300, temperature=0.8))}\n")
    print(f"run folder: {model.path}")


def split_words(words: list[str]) -> tuple[list[str], list[str]]:
    """Sources and overrides. A word that looks like `section.key=value` is an override unless such a file exists."""
    overrides = [word for word in words if _OVERRIDE.fullmatch(word) and not Path(word).exists()]
    return [word for word in words if word not in overrides], overrides


def is_given(value: Any) -> bool:
    return value is not None and value != [] and value != ()


def _print_estimate(estimate: dict[str, Any]) -> None:
    from rnnkit.cli import terminal

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
