"""`rnnkit bench`: how fast a run's model is on this machine, and what each precision costs it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rnnkit.errors import UsageError


def bench(
    run: Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")],
    precision: Annotated[str, typer.Option(help="Of matrix products, with commas.")] = "fp32,bf16,int8",
    threads: Annotated[
        str | None, typer.Option(help="Numbers with commas; 1 and as many as would be used if not given.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="To measure each figure for.")] = 1.0,
    text: Annotated[
        list[str] | None, typer.Option(help="A text to judge on; the held-out tokens of the run if not given.")
    ] = None,
    encoding: Annotated[str, typer.Option(help="The text's encoding.")] = "utf-8",
    as_bytes: Annotated[bool, typer.Option("--bytes", help="Read the text as bytes, whatever they mean.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Measure the model of RUN on this machine: latency of a step, sampling, memory, and the loss in each precision.

    ONNX Runtime stands beside it where it is installed. Each case is a process of its own; leave the machine alone.
    """
    from rnnkit import api
    from rnnkit.cli import terminal

    if not text and (as_bytes or encoding != "utf-8"):
        raise UsageError("--encoding and --bytes say how a --text is read, and there is none; leave them out")
    counts = None
    if threads is not None:
        if not all(count.strip().isdecimal() for count in threads.split(",")):
            raise UsageError(f"--threads is {threads!r}; write numbers with commas, for example 1,2")
        counts = [int(count) for count in threads.split(",")]
    names = [name.strip() for name in precision.split(",")]
    line = terminal.LiveLine()
    found = api.bench(
        run, precisions=names, threads=counts, seconds=seconds, text=text, encoding=encoding, as_bytes=as_bytes,
        watch=line.show,
    )  # fmt: skip
    line.close()
    if as_json:
        terminal.print_json(found)
        return
    is_classifier = "accuracy" in found["rows"][0]
    metric = "F1" if "f1" in found["rows"][0] else "accuracy" if is_classifier else "nats per token"
    columns = ["", "threads", "step p50 µs", "step p99 µs", "tokens per s", "64 prompts tokens per s"]
    if is_classifier:
        columns[4:] = ["sequence p50 µs", "sequence p99 µs", "64 together sequences per s"]
    columns += ["model memory", "peak memory", metric, "relative loss"]
    machine, sample = found["machine"], found["sample"]
    title = f"{run} on {machine['processor']}, {machine['isa']}"
    terminal.print_table(columns, [_cells(row) for row in found["rows"]], title=title)
    if sample:
        (unit,) = sample.keys() - {"source"}
        print(f"judged on {sample[unit]:,} {unit.removeprefix('num_')}, {sample['source']}")
    for remark in found["notes"]:
        terminal.note(f"note: {remark}")


def _cells(row: dict[str, Any]) -> list[str]:
    from rnnkit.cli.terminal import figure, num_bytes

    loss = row["relative_loss"]
    if "accuracy" in row:
        rates = [
            *(figure(row["sequence_us"][share], 1) for share in ("p50", "p99")),
            figure(row["sequences_per_s_64"], 0),
        ]
        best = row.get("f1", row["accuracy"])
        metric = "–" if best is None else f"{best:.2%}"
    else:
        rates = [figure(row["tokens_per_s"], 0), figure(row["tokens_per_s_64"], 0)]
        metric = figure(row["nats_per_token"], 4)
    return [
        f"{row['runtime']}, {row['precision']}",
        str(row["threads"]),
        *(figure((row["step_us"] or {}).get(share), 1) for share in ("p50", "p99")),
        *rates,
        num_bytes(row["model_bytes"]),
        num_bytes(row["peak_bytes"]),
        metric,
        "–" if loss is None else f"{loss:+.3%}",
    ]
