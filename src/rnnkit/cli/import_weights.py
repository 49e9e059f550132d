"""`rnnkit import`: weights that torch or Keras trained become a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rnnkit.errors import UsageError


def import_weights(
    file: Annotated[
        Path,
        typer.Argument(
            help="A torch.nn state_dict (.pt, .safetensors), or a Keras model (.keras, .h5).", metavar="FILE"
        ),
    ],
    run: Annotated[Path, typer.Option("--run", help="The run folder to make.")],
    tokenizer: Annotated[
        Path, typer.Option("--tokenizer", help="A run folder or tokenizer.json with the ids that it was trained on.")
    ],
    cell: Annotated[
        str | None, typer.Option(help="lstm, gru_after or elman_tanh by the number of gates, if not given.")
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option("--name", help="Where a part has a name of its own: head=decoder, recurrent=, embedding=, …"),
    ] = None,
) -> None:
    """Make a run folder of a language model that torch or Keras trained: LSTM, GRU or RNN, embedding and head.

    All that runs models works on it; `eval` and `score` show it beside a uniform guess, as no baselines come with it.
    """
    from rnnkit.api.weights import import_keras, import_torch
    from rnnkit.export.keras_file import SUFFIXES

    names: dict[str, str] = {}
    for part in name or ():
        ours, _, theirs = part.partition("=")
        if not theirs:
            raise UsageError(f"--name {part}: our name, =, and theirs are wanted, as in head=decoder")
        names[ours] = theirs
    if file.suffix in SUFFIXES:
        if cell is not None or names:
            raise UsageError(f"{file} says itself what its layers are; leave out --cell and --name")
        model = import_keras(file, run, tokenizer=tokenizer)
    else:
        model = import_torch(file, run, tokenizer=tokenizer, cell=cell, names=names)
    sizes = model.config["model"]
    print(
        f"{sizes['cell']}: {sizes['num_layers']} x {sizes['hidden_size']}, embedding {sizes['embedding_size']},"
        f" vocabulary {sizes['vocab_size']}, {model.num_parameters:,} parameters\nrun folder: {run}"
    )
