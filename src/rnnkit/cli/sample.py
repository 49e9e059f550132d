"""`rnnkit sample`: let a trained model write."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from rnnkit.errors import UsageError


def sample(
    run: Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")],
    prompt: Annotated[str, typer.Option("--prompt", "--primetext", "-p", help="Text to go on from.")] = "",
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", "--length", "-n", help="Tokens to write.")] = 500,
    temperature: Annotated[float, typer.Option(help="0 is greedy, 1 the model's own probabilities.")] = 1.0,
    top_k: Annotated[int, typer.Option(help="Draw from the k likeliest tokens only; 0: from all.")] = 0,
    top_p: Annotated[float, typer.Option(help="Draw from the fewest tokens that hold this probability.")] = 1.0,
    min_p: Annotated[
        float, typer.Option(help="Draw from tokens at least this share as likely as the likeliest.")
    ] = 0.0,
    repetition_penalty: Annotated[float, typer.Option(help="Above 1 makes tokens already written less likely.")] = 1.0,
    no_repeat_ngram_size: Annotated[int, typer.Option(help="No run of so many tokens comes twice; 0: any may.")] = 0,
    prefix: Annotated[str, typer.Option(help="What the new text begins with.")] = "",
    stop: Annotated[list[str] | None, typer.Option(help="A text to end before; can be given several times.")] = None,
    regex: Annotated[str | None, typer.Option(help="What all of the new text has to match.")] = None,
    num_beams: Annotated[int, typer.Option(help="Look for the likeliest text with so many beams; 0: draw one.")] = 0,
    num_return: Annotated[int, typer.Option(help="With --num-beams: how many texts, each with its score.")] = 1,
    length_penalty: Annotated[float, typer.Option(help="With --num-beams: above 0 favours longer texts.")] = 1.0,
    seed: Annotated[int, typer.Option(help="The same seed writes the same text on any number of threads.")] = 0,
    precision: Annotated[
        str | None, typer.Option(help="Of products: fp32, fp32_split, bf16, int8 or auto; else as it was trained.")
    ] = None,
    is_compared: Annotated[
        bool, typer.Option("--copied", help="Also say how much of it stands in the training text.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Write text with the model of RUN, to the terminal as it comes."""
    from rnnkit.api import LanguageModel
    from rnnkit.api.memorized import copied, said_of
    from rnnkit.cli import terminal

    drawing: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p}
    drawing |= {"repetition_penalty": repetition_penalty, "seed": seed}
    searching: dict[str, Any] = {"num_return": num_return, "length_penalty": length_penalty}
    shared: dict[str, Any] = {"max_new_tokens": max_new_tokens, "no_repeat_ngram_size": no_repeat_ngram_size}
    shared |= {"prefix": prefix, "stop": stop, "regex": regex}
    if num_beams:
        _refuse({"copied": is_compared}, {}, "with --num-beams")
        _refuse(drawing, {"temperature": 1.0, "top_p": 1.0, "repetition_penalty": 1.0}, "with --num-beams")
        found = LanguageModel.load(run, precision=precision).beam_search(
            prompt, num_beams=num_beams, **searching, **shared
        )
        if as_json:
            terminal.print_json({"prompt": prompt, "hypotheses": [asdict(one) for one in found]})
            return
        for one in found:
            score = f"{one.score:.4f}\t{one.log_prob:.4f}\t" if num_return > 1 else ""
            print(f"{score}{prompt}{one.text}")
        return
    _refuse(searching, {"num_return": 1, "length_penalty": 1.0}, "without --num-beams")
    model = LanguageModel.load(run, precision=precision)
    pieces = model.generate(prompt, **drawing, **shared)
    if as_json:
        text = "".join(pieces)
        found = {"copied": copied(run, text, model=model)} if is_compared else {}
        terminal.print_json({"prompt": prompt, "text": text, "seed": seed, **found})
        return
    sys.stdout.write(prompt)
    written = []
    for piece in pieces:
        written.append(piece)
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")
    if is_compared:
        terminal.note(f"copied: {said_of(copied(run, ''.join(written), model=model))}")


def _refuse(options: dict[str, Any], defaults: dict[str, Any], where: str) -> None:
    """Raises: UsageError for an option that was given and would be ignored."""
    for name, value in options.items():
        if value != defaults.get(name, 0):
            raise UsageError(f"--{name.replace('_', '-')} has no effect {where}; leave it out")
