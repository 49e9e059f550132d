"""`rnnkit chat`: talk to a model of dialogue, in the terminal or through a pipe."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from rnnkit.errors import UsageError

_BOLD, _COLOUR, _PLAIN = "\x1b[1m", "\x1b[36m", "\x1b[0m"
_VERBS = {
    "LanguageModel": "a language model, which goes on with a text: rnnkit sample runs it",
    "Translator": "a model that writes a text for another: rnnkit predict runs it",
}


def chat(
    run: Annotated[Path, typer.Argument(help="A run folder of rnnkit train dialogue.", metavar="RUN")],
    state: Annotated[
        Path | None, typer.Option(help="A file that keeps the conversation: gone on with, and saved after every turn.")
    ] = None,
    temperature: Annotated[
        float, typer.Option(help="Above 0 every reply is drawn; 0: the likeliest that is found.")
    ] = 0.0,
    top_k: Annotated[int | None, typer.Option(help="Of a temperature: draw from the k likeliest tokens only.")] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Of a temperature: from the fewest tokens that hold this probability.")
    ] = None,
    min_p: Annotated[
        float | None, typer.Option(help="Of a temperature: from tokens at least this share as likely as the likeliest.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of a temperature: the same seed, the same talk.")] = None,
    num_beams: Annotated[int | None, typer.Option(help="Replies followed at a time; else as for the table.")] = None,
    length_penalty: Annotated[float | None, typer.Option(help="Above 0 for longer replies.")] = None,
    no_repeat_ngram_size: Annotated[int | None, typer.Option(help="No run of so many tokens comes twice.")] = None,
    max_new_tokens: Annotated[int | None, typer.Option(help="Where a reply is cut off.")] = None,
    precision: Annotated[
        str | None, typer.Option(help="Of products: fp32, fp32_split, bf16, int8 or auto; else as it was trained.")
    ] = None,
    encoding: Annotated[str, typer.Option(help="Of what is said.")] = "utf-8",
    as_json: Annotated[bool, typer.Option("--json", help="An object for every turn.")] = False,
) -> None:
    """Say a line, read a reply; the model remembers the last turns. The end of the input ends it (Ctrl-D).

    Empty lines are passed over. Through a pipe every line of stdin is a turn, and every line of stdout its reply.
    """
    from rnnkit import api, durable
    from rnnkit.cli import lines, terminal

    drawing = {"top_k": top_k, "top_p": top_p, "min_p": min_p, "seed": seed}
    searching = {"num_beams": num_beams, "length_penalty": length_penalty}
    searching |= {"no_repeat_ngram_size": no_repeat_ngram_size}
    if temperature < 0:
        raise UsageError(f"--temperature is {temperature:g}; give 0, or a number above it")
    _refuse(searching, "with --temperature") if temperature else _refuse(drawing, "without --temperature")
    options: dict[str, Any] = {**drawing, **searching, "max_new_tokens": max_new_tokens}
    options = {name: value for name, value in options.items() if value is not None}
    options |= {"temperature": temperature} if temperature else {}
    model = api.load(run, precision=precision)
    if not isinstance(model, api.Responder):
        what = _VERBS.get(type(model).__name__, f"a {type(model).__name__}: rnnkit predict runs it")
        raise UsageError(f"{run} is no model of dialogue but {what}; rnnkit train dialogue makes one to talk to")
    conversation = model.begin()
    if state is not None and state.exists():
        conversation = model.resume(state.read_bytes())
    is_talk = sys.stdin.isatty() and not as_json
    has_colour = sys.stdout.isatty() and not as_json and "NO_COLOR" not in os.environ
    before, after = (_COLOUR, _PLAIN) if has_colour else ("", "")
    if is_talk:
        terminal.note("Ctrl-D ends the conversation.")
        for turn in conversation.turns:
            terminal.note(f"… {turn}")
        _ask(has_colour)
    for line in lines.text_lines(sys.stdin.buffer, encoding, name="stdin"):
        if line.strip():
            reply, conversation = model.reply(line, conversation, **options)
            if state is not None:
                durable.write_file(state, conversation.to_bytes())
            if as_json:
                shown = {"turn": line, "reply": reply, "count": conversation.count}
                print(json.dumps(shown, ensure_ascii=False), flush=True)
            else:
                print(f"{before}{reply}{after}", flush=True)
        if is_talk:
            _ask(has_colour)
    if is_talk:
        print()


def _ask(has_colour: bool) -> None:
    print(f"{_BOLD}> {_PLAIN}" if has_colour else "> ", end="", flush=True)


def _refuse(options: dict[str, Any], where: str) -> None:
    """Raises: UsageError for an option that was given and would be ignored."""
    for name, value in options.items():
        if value is not None:
            raise UsageError(f"--{name.replace('_', '-')} has no effect {where}; leave it out")
