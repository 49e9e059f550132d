"""`rnnkit export-arpa`: an n-gram baseline of a run as a file for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export_arpa(
    run: Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The ARPA file to write.")],
    order: Annotated[int | None, typer.Option(help="Tokens in its longest n-gram; the highest if not given.")] = None,
) -> None:
    """Write the n-gram model that was counted beside the model of RUN as an ARPA file, as SRILM and KenLM read it."""
    from rnnkit import api

    api.export_arpa(run, out, order=order)
