"""The options that the verbs of `rnnkit train` share, and how a verb of a few lines is made of them and its own.

An option is named after its configuration key (`hidden_size` sets `model.hidden_size`) and has no default of its own:
what is not given is left to the configuration. A verb takes what it needs, in the order of its help page:

    @taking(**run_of("tag", "CoNLL files."), **LAYERS, crf=option(bool, "--crf/--no-crf", help="…"), **TRAINING)
    def tag(given: Given) -> None:
        "The first lines of its help page."
        given.train(api.Tagger)
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar

import typer

from rnnkit.errors import UsageError

if TYPE_CHECKING:
    from rnnkit.api.trained import Trained

TrainedT = TypeVar("TrainedT", bound="Trained")
Options = dict[str, Any]

# What is no configuration key: it says where and how to run.
NOT_CONFIG = ("sources", "config", "run", "resume", "force", "dry_run", "tensorboard", "as_json")
_OVERRIDE = re.compile(r"[A-Za-z_]+(\.[A-Za-z_]+)+=.*", re.DOTALL)
_KEY_ALONE = re.compile(r"[A-Za-z_]+=.*", re.DOTALL)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|)")
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


class Given(NamedTuple):
    """What stands on the command line.

    Attributes:
        sources, overrides: the words. One that looks like `section.key=value` is an override unless such a file exists.
        how:     by name, those options of the verb that are no configuration keys.
        options: by name, those of the configuration that are given.
    """

    sources: list[str]
    overrides: list[str]
    how: Options
    options: Options

    def train(self, kind: type[TrainedT]) -> TrainedT:
        """Train one, with a line of progress on a terminal. Raises: as `kind.train`."""
        from rnnkit.cli import terminal
        from rnnkit.cli.progress import Progress

        progress = Progress(terminal.LiveLine())
        how = {name: value for name, value in self.how.items() if name not in ("dry_run", "as_json")}
        how |= {name: bool(how[name]) for name in ("resume", "force", "tensorboard") if name in how}
        try:
            return kind.train(
                self.sources or None, overrides=self.overrides, observers=[progress], **how, **self.options
            )
        finally:
            progress.line.close()

    def print_estimate(self, dry_run: Callable[..., Options]) -> None:
        """What training would take. Args: dry_run: of the api. Raises: UsageError for what would have no effect."""
        from rnnkit.cli import terminal

        for name in ("run", "resume", "force", "tensorboard"):
            if self.how[name]:
                raise UsageError(f"--{name} has no effect with --dry-run, which writes no run: leave one of them out")
        estimate = dry_run(self.sources or None, config=self.how["config"], overrides=self.overrides, **self.options)
        if self.how["as_json"]:
            terminal.print_json(estimate)
            return
        print(f"parameters        {estimate['parameters']:,} ({terminal.num_bytes(estimate['parameter_bytes'])})")
        training, peak = (terminal.num_bytes(estimate[key]) for key in ("training_bytes", "peak_bytes"))
        speed = f"{estimate['tokens_per_s']:,.0f} {estimate['unit']}s/s, {estimate['step_s'] * 1000:.0f} ms per step"
        total_s = terminal.duration(estimate["total_s"])
        print(f"training memory   {training} for weights, gradients, optimiser and average")
        print(f"memory in all     {peak}, with a window's activations, Python and torch")
        print(f"speed             {speed}")
        print(f"one epoch         {terminal.duration(estimate['epoch_s'])}")
        print(f"this run          {estimate['total_steps']:,} steps with their evaluations, {total_s}")
        for name, peer_s in estimate["peers_s"].items():
            print(f"{name:17} {terminal.duration(peer_s)} more; then the other baselines and the table")


def train_and_show(given: Given, kind: type[Trained], table: Callable[[dict[str, Any]], Any]) -> None:
    """Train, and print the table and where the run is, or with --json the metrics. Args: table: of the metrics."""
    from rnnkit.cli import terminal

    model = given.train(kind)
    if given.how["as_json"]:
        terminal.print_json(model.metrics)
        return
    terminal.print_result_table(table(model.metrics))
    print(f"\nrun folder: {model.path}")


def option(kind: Any, *names: str, **settings: Any) -> Any:
    """An option of a verb. Args: as `typer.Option`; without names it is called like its key."""
    return Annotated[kind | None, typer.Option(*names, **settings)]


def taking(**options: Any) -> Callable[[Callable[[Given], None]], Callable[..., None]]:
    """Make a verb of a function, with these options in this order: typer reads them from its signature."""

    def decorate(function: Callable[[Given], None]) -> Callable[..., None]:
        def verb(**values: Any) -> None:
            words: list[str] = values.pop("sources") or []
            how = {name: values.pop(name) for name in NOT_CONFIG if name in values}
            overrides = [word for word in words if _OVERRIDE.fullmatch(word) and not Path(word).exists()]
            sources = [word for word in words if word not in overrides]
            for word in sources:
                if _KEY_ALONE.fullmatch(word) and not Path(word).exists():
                    raise UsageError(f"{word} is no file; an override names its section too: model.hidden_size=128")
            given = {name: value for name, value in values.items() if value is not None and value not in ([], ())}
            function(Given(sources, overrides, how, given))

        def parameter(name: str) -> inspect.Parameter:
            return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=options[name])

        verb.__name__, verb.__doc__ = function.__name__, function.__doc__
        verb.__signature__ = inspect.Signature([parameter(name) for name in options])  # type: ignore[attr-defined]
        return verb

    return decorate


def only(group: Options, *names: str) -> Options:
    """These of a group."""
    return {name: group[name] for name in names}


def without(group: Options, *names: str) -> Options:
    """All of a group but these."""
    return only(group, *(name for name in group if name not in names))


# ---- values that stand in one word -----------------------------------------------------------------------------------


def seconds(text: str) -> float:
    """`90s`, `2m`, `1.5h` or plain seconds."""
    match = _DURATION.fullmatch(text.strip())
    if match is None or float(match[1]) == 0:
        raise typer.BadParameter(f"{text!r} is no time; write 90s, 2m or 1h")
    return float(match[1]) * _SECONDS[match[2]]


def listed(kind: Callable[[str], Any], example: str, *, is_alone: bool = True) -> Callable[[str], Any]:
    """A parser of `2000,10000`: a list, or where one may stand alone the one."""

    def parse(text: str) -> Any:
        try:
            values = [kind(part) for part in text.split(",")]
        except ValueError:
            raise typer.BadParameter(f"{text!r} is no number and no list of them; write {example}") from None
        return values[0] if is_alone and len(values) == 1 else values

    return parse


# ---- the groups ------------------------------------------------------------------------------------------------------


def run_of(task: str, sources: str, *, metavar: str = "FILE") -> Options:
    """Where and how to run. Args: sources: what its words are, for its help page."""
    overrides = " Dotted overrides may stand among them: training.lr=2e-3."
    return {
        "sources": Annotated[list[str] | None, typer.Argument(help=sources + overrides, metavar=metavar)],
        "config": option(Path, help="YAML; flags and overrides win over it."),
        "run": option(Path, "--run", "--out", help=f"The run folder; default: runs/{task}-N."),
        "resume": option(bool, "--resume", help="Go on with the run in --run."),
        "force": option(bool, "--force", help="Replace the run in --run."),
        "tensorboard": option(bool, "--tensorboard", help="Also write RUN/tensorboard."),
        "as_json": option(bool, "--json", help="metrics.json to stdout, nothing else there."),
    }


DRY_RUN: Options = {"dry_run": option(bool, "--dry-run", help="Parameters, memory, time; trains nothing.")}
HELD_OUT: Options = {
    "valid_sources": option(list[str], "--valid", help="What the best weights are chosen by."),
    "test_sources": option(list[str], "--test", help="What the table is made on."),
    "held_out": option(float, help="Share of every label held out, without --test."),
    "valid_share": option(float, help="Share to choose weights by, without --valid."),
}
TOKENIZER: Options = {
    "kind": option(str, "--tokenizer", help="byte, char, word or bpe."),
    "vocab_size": option(int, help="Most tokens."),
    "min_count": option(int, help="Tokens seen less often are unknown."),
    "split_punctuation": option(
        bool, "--split-punctuation/--no-split-punctuation", help="Words: punctuation by itself."
    ),
}
SPELLING: Options = {
    "character_embedding_size": option(int, help="Numbers per character."),
    "character_hidden_size": option(int, help="Units that read characters, per direction."),
}
LAYERS: Options = {
    "cell": option(str, "--cell", "--model", help="lstm, gru_before, gru_after …: a wrong name lists them all."),
    "hidden_size": option(
        str,
        "--hidden-size",
        "--nhid",
        "--rnn-size",
        parser=listed(int, "512, or 512,256 for two layers"),
        metavar="N|N,N",
        help="Units, of each layer if several.",
    ),
    "num_layers": option(int, "--num-layers", "--nlayers", help="Recurrent layers."),
    "proj_size": option(int, help="lstm: the width of its h; default: not projected."),
    "embedding_size": option(int, "--embedding-size", "--emsize", help="Numbers per token."),
    "bias": option(bool, "--bias/--no-bias", help="Bias in the recurrent layers."),
    "init": option(str, help="Recurrent weights: uniform or orthogonal."),
    "chrono": option(int, help="Longest dependency, in tokens: sets gate biases."),
    "residual": option(bool, "--residual/--no-residual", help="Add what a layer reads to its output."),
    "trainable_state": option(bool, "--trainable-state/--no-trainable-state", help="Learn the initial state."),
    "layer_norm": option(bool, "--layer-norm/--no-layer-norm", help="Normalise the products of every step."),
}
DROPOUT: Options = {
    "dropout": option(float, help="Between layers."),
    "input_dropout": option(float, "--input-dropout", "--dropouti", help="On what the first layer reads."),
    "output_dropout": option(float, help="On what the last layer gives."),
    "locked_dropout": option(bool, "--locked-dropout/--no-locked-dropout", help="One mask per sequence or window."),
    "embedding_dropout": option(float, "--embedding-dropout", "--dropoute", help="On rows of the embedding table."),
    "word_dropout": option(float, help="On single input tokens."),
    "weight_dropout": option(float, "--weight-dropout", "--wdrop", help="On recurrent weights."),
    "zoneout": option(
        str,
        parser=listed(float, "0.1, or 0.1,0.05 for h and c"),
        metavar="P|P,P",
        help="Units that keep their value; of h and c if two.",
    ),
    "recurrent_dropout": option(float, help="On the h that enters the recurrent products."),
}
PRECISION: Options = {"precision": option(str, help="Of matrix products: fp32, fp32_split, bf16 or auto.")}
START: Options = {
    "from_run": option(str, "--from", metavar="RUN", help="A language model to start from: layers, table, words."),
    "pretrain": option(list[str], help="Texts that a language model is trained on first, with yours."),
    "pretrain_epochs": option(float, help="Passes over them."),
    "pretrain_lr": option(float, help="The language model's peak learning rate."),
    "unfreeze_every": option(float, help="Epochs until the next lower layer learns too; 0: all at once."),
    "rate_decay": option(float, help="The rate is divided by this from layer to layer, downwards."),
}
TRAINING: Options = {
    "seed": option(int, help="First weights, dropout, order, samples."),
    "batch_size": option(int, help="Rows of an update: sequences, or streams."),
    "time_limit_s": option(float, "--time-limit", parser=seconds, metavar="90s|2m|1h", help="Training time."),
    "max_steps": option(int, help="Updates."),
    "epochs": option(float, help="Passes over what is trained on."),
    "optimizer": option(str, help="adamw, sgd or asgd."),
    "lr": option(float, help="Peak learning rate."),
    "schedule": option(str, help="cosine, plateau or constant."),
    "warmup_steps": option(int, help="Updates up to the peak rate."),
    "weight_decay": option(float, help="Of weight matrices."),
    "momentum": option(float, help="Of sgd and asgd."),
    "clip_norm": option(float, "--clip-norm", "--clip", help="Longest gradient."),
    "clip_value": option(float, help="Largest gradient element."),
    "ema": option(float, help="Decay of averaged weights."),
    "eval_every_steps": option(int, help="Updates between evaluations."),
    "patience": option(int, help="Evaluations without gain that end the run."),
    "checkpoint_every_s": option(float, help="Seconds between checkpoints."),
    "threads": option(int, help="Threads; they change no bit."),
}


def baselines(names: str) -> Options:
    """Which baselines the table shows. Args: names: of all that the task has, for its help page."""
    return {
        "kinds": option(list[str], "--baseline", help=f"{names}; default: all."),
        "ngram_order": option(int, help="Longest n of the baselines' n-grams."),
    }
