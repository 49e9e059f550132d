"""The command line: each verb in a file of its own parses, calls `rnnkit.api`, and prints."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from rnnkit.cli import (
    bench,
    chat,
    compare,
    complete,
    doctor,
    embed,
    explain,
    export,
    export_arpa,
    import_weights,
    predict,
    sample,
    score,
    serve,
    train,
    train_classify,
    train_control,
    train_describe,
    train_dialogue,
    train_dynamics,
    train_forecast,
    train_frames,
    train_grammar,
    train_memory,
    train_tag,
    train_translate,
)
from rnnkit.cli import eval as eval_verb

app = typer.Typer(
    help="Recurrent networks on an ordinary machine: train, judge, sample.",
    rich_markup_mode=None,  # rich takes long to import, and `rnnkit --help` is to be quick (docs/decisions/0006)
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
train.app.command("classify", short_help="Labelled texts: a classifier.")(train_classify.classify)
train.app.command("dynamics", short_help="Records of a system: a simulator.")(train_dynamics.dynamics)
train.app.command("control", short_help="An environment: a policy.")(train_control.control)
train.app.command("dialogue", short_help="Turns of dialogues: a model that answers.")(train_dialogue.dialogue)
train.app.command("describe", short_help="Records: a model that says them.")(train_describe.describe)
train.app.command("forecast", short_help="Time series: a forecaster.")(train_forecast.forecast)
train.app.command("frames", short_help="Labelled frames of numbers: a labeller.")(train_frames.frames)
train.app.command("grammar", short_help="A formal language: a recogniser.")(train_grammar.grammar)
train.app.command("memory", short_help="How far back each cell remembers.")(train_memory.memory)
train.app.command("tag", short_help="Tagged words: a tagger.")(train_tag.tag)
train.app.command("translate", short_help="Pairs of texts: a model that writes.")(train_translate.translate)
app.add_typer(train.app, name="train", help="Train a model: rnnkit train lm my.txt")
app.command("sample", short_help="Let a trained model write.")(sample.sample)
app.command("chat", short_help="Talk to a model of dialogue.")(chat.chat)
app.command("complete", short_help="The likeliest next words after a text.")(complete.complete)
app.command("eval", short_help="Judge a model beside its baselines.")(eval_verb.evaluate)
app.command("predict", short_help="Label or score the lines of stdin.")(predict.predict)
app.command("embed", short_help="A vector for each line of stdin.")(embed.embed)
app.command("score", short_help="How likely each line of a text is.")(score.score)
app.command("serve", short_help="Models over HTTP, and a page to type into.")(serve.serve)
app.command("doctor", short_help="What a text will do to training.")(doctor.doctor)
app.command("compare", short_help="Several runs in a table and a picture.")(compare.compare)
app.command("explain", short_help="What happens inside a trained model.")(explain.explain)
app.command("bench", short_help="How fast a model is on this machine.")(bench.bench)
app.command("export", short_help="A run's model as a file for other runtimes.")(export.export)
app.command("import", short_help="What torch or Keras trained as a run.")(import_weights.import_weights)
app.command("export-arpa", short_help="A run's n-grams as a file for other tools.")(export_arpa.export_arpa)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    if version:
        import rnnkit

        print(rnnkit.__version__)
    elif context.invoked_subcommand is None:
        print(context.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code: 0 done, 1 failed, 2 wrong use, 130 interrupted."""
    from rnnkit.errors import RnnkitError

    wants_traceback = os.environ.get("RNNKIT_TRACEBACK") == "1"
    try:
        code = app(arguments, prog_name="rnnkit", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except (BrokenPipeError, SystemExit) as error:  # typer turns the former into the latter
        if isinstance(error, SystemExit) and not isinstance(error.__context__, BrokenPipeError):
            raise
        return _leave_quietly()
    except KeyboardInterrupt:
        return 130
    except (typer.TyperException, RnnkitError) as error:
        if wants_traceback:
            raise
        text = error.format_message() if isinstance(error, typer.TyperException) else str(error)
        return _fail(text, error.exit_code)
    except OSError as error:
        if wants_traceback:
            raise
        return _fail(f"{error.filename or 'system'}: {error.strerror or error}", 1)
    except Exception as error:
        if wants_traceback:
            raise
        return _fail(f"internal error, {type(error).__name__}: {error}; RNNKIT_TRACEBACK=1 shows where", 1)


def _leave_quietly() -> int:
    """The reader has seen enough, as in `rnnkit sample RUN | head`: drop what Python would still flush at its end."""
    if sys.__stdout__ is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())
    return 0


def _fail(message: str, code: int) -> int:
    print(f"rnnkit: {' '.join(message.split())}", file=sys.stderr)
    return code
