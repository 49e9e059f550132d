"""`rnnkit eval`: judge a trained model on a text or labelled sequences, beside the baselines of its run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rnnkit.errors import UsageError


def evaluate(
    run: Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")],
    files: Annotated[
        list[str],
        typer.Argument(
            help="What to judge on: a text as a file, a folder, a .gz, or - for stdin; for a classifier a table; "
            "for a tagger CoNLL, CoNLL-U or JSONL; for frames a table or .npz; for a forecaster a table of series; "
            "for a simulator records; "
            "for a policy an environment; "
            "for a model that writes a table of pairs, or parallel files; of records, records with texts.",
            metavar="FILE",
        ),
    ],
    reset_per_line: Annotated[
        bool, typer.Option("--reset-per-line", help="Also judge every line from a fresh state.")
    ] = False,
    label_column: Annotated[
        str | None, typer.Option(help="Of a classifier's table, or of frames; else as trained.")
    ] = None,
    text_column: Annotated[str | None, typer.Option(help="Of a classifier's table; else as it was trained.")] = None,
    label_separator: Annotated[
        str | None, typer.Option(help="Between several labels in a cell of a classifier's table; else as trained.")
    ] = None,
    word_column: Annotated[str | None, typer.Option(help="Of a tagger's file; else as it was trained.")] = None,
    tag_column: Annotated[str | None, typer.Option(help="Of a tagger's file; else as it was trained.")] = None,
    encoding: Annotated[str, typer.Option(help="The text's encoding.")] = "utf-8",
    as_bytes: Annotated[bool, typer.Option("--bytes", help="Read the text as bytes, whatever they mean.")] = False,
    arpa: Annotated[
        list[Path] | None, typer.Option("--arpa", help="Also an n-gram model of another tool, from its ARPA file.")
    ] = None,
    source_column: Annotated[str | None, typer.Option(help="Of a table of pairs; else as it was trained.")] = None,
    target_column: Annotated[str | None, typer.Option(help="Of a table of pairs; else as it was trained.")] = None,
    num_beams: Annotated[int | None, typer.Option(help="Of a model that writes; else as for its table.")] = None,
    length_penalty: Annotated[float | None, typer.Option(help="Of a model that writes; likewise.")] = None,
    precision: Annotated[
        str | None, typer.Option(help="Of products: fp32, fp32_split, bf16, int8 or auto; else as it was trained.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Score FILE with the model of RUN and with every baseline trained beside it. Needs no torch."""
    from rnnkit import api
    from rnnkit.cli import terminal

    model = api.load(run, precision=precision)
    columns = {"label": label_column, "text": text_column, "word": word_column, "tag": tag_column}
    columns |= {"source": source_column, "target": target_column}
    writing = {"num_beams": num_beams, "length_penalty": length_penalty}
    writing = {name: value for name, value in writing.items() if value is not None}
    of_text = {"--reset-per-line": reset_per_line, "--bytes": as_bytes, "--arpa": bool(arpa)}
    noun, readable = ("language model", ())
    if isinstance(model, api.BidirectionalLanguageModel) and arpa:
        raise UsageError("--arpa names n-grams of one side, a bidirectional model is judged on both: leave it out")
    if isinstance(model, api.Classifier):
        noun, readable = "classifier", ("label", "text")
    elif isinstance(model, api.Forecaster):
        noun = "forecaster"
    elif isinstance(model, api.Simulator):
        noun = "simulator"
    elif isinstance(model, api.Policy):
        noun = "policy"
    elif isinstance(model, api.FrameTagger):
        noun, readable = "labeller of frames", ("label",)
    elif isinstance(model, api.Tagger):
        noun, readable = "tagger", ("word", "tag")
    elif isinstance(model, api.Responder):
        noun = "model of dialogue"
    elif isinstance(model, api.Translator):
        noun, readable = "model that writes", ("source", "target")
    elif isinstance(model, api.Describer):
        noun, readable = "model of records", ("text",)
    given = of_text if noun != "language model" else {}
    given |= {f"--{name}-column": name not in readable and value is not None for name, value in columns.items()}
    given |= {"--label-separator": label_separator is not None and noun != "classifier"}
    writes = isinstance(model, api.Translator | api.Describer)
    given |= {f"--{name.replace('_', '-')}": not writes for name in writing}
    given |= {"--encoding": noun == "policy" and encoding != "utf-8"}
    for flag, is_given in given.items():
        if is_given:
            raise UsageError(f"{flag} has no effect on a {noun}; leave it out")
    file = " ".join(files)
    if isinstance(model, api.Translator | api.Describer):
        named: Any = {f"{name}_column": columns[name] for name in readable}
        metrics = model.evaluate(files, **named, **writing, encoding=encoding)
        if as_json:
            terminal.print_json(metrics)
            return
        count = metrics["model"]["num_outputs"]
        counted = "records" if isinstance(model, api.Describer) else "sources"
        terminal.print_result_table(api.translation_table(metrics), title=f"{file}: {count:,} {counted}")
        return
    if len(files) > 1:
        raise UsageError(f"{len(files)} files to judge a {noun} on; give one, or one after another")
    if isinstance(model, api.Forecaster):
        metrics = model.evaluate(file, encoding=encoding)
        if as_json:
            terminal.print_json(metrics)
            return
        title = f"{file}: {metrics['model']['num_windows']:,} windows"
        terminal.print_result_table(api.forecast_table(metrics), title=title)
        return
    if isinstance(model, api.Simulator):
        metrics = model.evaluate(file, encoding=encoding)
        if as_json:
            terminal.print_json(metrics)
            return
        title = f"{file}: {metrics['model']['num_values']:,} values"
        terminal.print_result_table(api.dynamics_table(metrics), title=title)
        return
    if isinstance(model, api.Policy):
        metrics = model.evaluate(file)
        if as_json:
            terminal.print_json(metrics)
            return
        title = f"{file}: {metrics['model']['num_episodes']:,} episodes"
        terminal.print_result_table(api.control_table(metrics), title=title)
        return
    if not isinstance(model, api.LanguageModel | api.BidirectionalLanguageModel):
        named = {f"{name}_column": columns[name] for name in readable}
        named |= {} if label_separator is None else {"label_separator": label_separator}
        metrics = model.evaluate(file, **named, encoding=encoding)
        if as_json:
            terminal.print_json(metrics)
            return
        counted = {"classifier": "sequences", "tagger": "sentences"}.get(noun, "frames")
        table = api.tagging_table(metrics) if isinstance(model, api.Tagger) else api.classification_table(metrics)
        terminal.print_result_table(table, title=f"{file}: {metrics['model'][f'num_{counted}']:,} {counted}")
        return
    more: dict[str, Any] = {"arpa": arpa} if arpa else {}
    metrics = model.evaluate(file, reset_per_line=reset_per_line, encoding=encoding, as_bytes=as_bytes, **more)
    if as_json:
        terminal.print_json(metrics)
        return
    title = f"{file}: {metrics['model']['num_tokens']:,} tokens"
    terminal.print_result_table(api.result_table(metrics), title=title)
    if reset_per_line:
        print()
        title = "reset per line: each line from a fresh state"
        terminal.print_result_table(api.result_table(metrics, reset_per_line=True), title=title)
