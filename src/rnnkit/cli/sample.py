"""`rnnkit sample`: let a trained model write."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def sample(
    run: Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")],
    prompt: Annotated[str, typer.Option("--prompt", "--primetext", "-p", help="Text to go on from.")] = "",
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", "--length", "-n", help="Tokens to write.")] = 500,
    temperature: Annotated[float, typer.Option(help="0 is greedy, 1 the model's own probabilities.")] = 1.0,
    top_k: Annotated[int, typer.Option(help="Draw from the k likeliest tokens only; 0: from all.")] = 0,
    top_p: Annotated[float, typer.Option(help="Draw from the fewest tokens that hold this probability.")] = 1.0,
    repetition_penalty: Annotated[float, typer.Option(help="Above 1 makes tokens already written less likely.")] = 1.0,
    seed: Annotated[int, typer.Option(help="The same seed writes the same text on any number of threads.")] = 0,
    precision: Annotated[
        str | None, typer.Option(help="Of matrix products: fp32, bf16, int8 or auto; else as it was trained.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Write text with the model of RUN, to the terminal as it comes."""
    from rnnkit.api import LanguageModel
    from rnnkit.cli import terminal

    pieces = LanguageModel.load(run, precision=precision).generate(
        prompt,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        repetition_penalty=repetition_penalty,
        seed=seed,
    )
    if as_json:
        terminal.print_json({"prompt": prompt, "text": "".join(pieces), "seed": seed})
        return
    sys.stdout.write(prompt)
    for piece in pieces:
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")
