"""`rnnkit export`: the model of a run as a file for other runtimes, and what it computes beside ours."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from rnnkit.errors import UsageError


class Target(StrEnum):
    """What a run is exported to."""

    ONNX = "onnx"
    BUNDLE = "bundle"
    TORCH = "torch"


def export(
    run: Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")],
    to: Annotated[Target, typer.Option("--to", help="The format.")],
    int8: Annotated[bool, typer.Option("--int8", help="Weights in eight bits: about a quarter of the bytes.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The file or folder; RUN/model.onnx, model.int8.onnx, model.pt, RUN-bundle if not given.",
        ),
    ] = None,
    sample: Annotated[
        str | None, typer.Option(help="A text to compare on; if not given, held-out tokens of the run.")
    ] = None,
    encoding: Annotated[str, typer.Option(help="The sample's encoding.")] = "utf-8",
    as_bytes: Annotated[bool, typer.Option("--bytes", help="Read the sample as bytes, whatever they mean.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Write the model of RUN for another runtime: as an ONNX file, or its weights as a torch.nn state_dict.

    Or, as a bundle, what this runtime reads of it in a folder of its own; with --int8 about a quarter of the bytes.

    Beside an ONNX file lies FILE.parity.json: how far it is from this runtime. The exit code is 1 when that is further
    than promised: in float32 1e-5 of the norm of a token's log-probabilities (single ones may differ by more), in int8
    1 % of the nats per token, or of a classifier's accuracy.
    """
    if sample is None and (as_bytes or encoding != "utf-8"):
        raise UsageError("--encoding and --bytes say how a --sample is read, and there is none; leave them out")
    if to is Target.TORCH:
        if int8 or sample is not None:
            raise UsageError(
                "--int8 and --sample go with --to onnx; a state_dict holds the float32 weights as they are"
            )
        _export_torch(run, out or run / "model.pt", as_json=as_json)
        return
    if to is Target.BUNDLE:
        if sample is not None:
            raise UsageError("--sample goes with --to onnx; a bundle is judged on the held-out tokens of the run")
        suffix = "-int8" if int8 else "-bundle"
        _export_bundle(run, out or run.with_name(run.resolve().name + suffix), int8=int8, as_json=as_json)
        return
    from rnnkit.cli import terminal
    from rnnkit.export import default_path, report_path, to_onnx

    path = out or default_path(run, int8=int8)
    report = to_onnx(run, path, int8=int8, sample=sample, encoding=encoding, as_bytes=as_bytes)
    if as_json:
        terminal.print_json(report)
    else:
        title = f"ONNX Runtime {report['onnxruntime']} beside this runtime"
        terminal.print_table(("", "measured", "limit"), _rows(report), title=title)
        (unit,) = report["sample"].keys() - {"source"}
        print(f"sample: {report['sample'][unit]:,} {unit.removeprefix('num_')}, {report['sample']['source']}")
        print(f"file: {path}\nreport: {report_path(path)}")
    if not report["passes"]:
        terminal.note(f"{path} does not compute what this runtime does to the limit above; do not use it unseen")
        raise typer.Exit(1)


def _export_torch(run: Path, out: Path, *, as_json: bool) -> None:
    from rnnkit.api.weights import export_torch
    from rnnkit.cli import terminal

    modules = export_torch(run, out)
    if as_json:
        terminal.print_json({"file": str(out), "modules": modules})
        return
    for name, expression in modules.items():
        print(f"self.{name} = {expression}")
    print(f"file: {out}")


def _export_bundle(run: Path, out: Path, *, int8: bool, as_json: bool) -> None:
    from rnnkit.cli import terminal
    from rnnkit.export import to_bundle

    report = to_bundle(run, out, int8=int8)
    if as_json:
        terminal.print_json({"folder": str(out), **report})
    else:
        for key in ("nats_per_token", "f1", "accuracy", "nats_per_sequence", "nats_per_step"):
            if figures := report.get(key):
                print(f"{key.replace('_', ' ')}: {figures['int8']:.6f} in int8, {figures['fp32']:.6f} in fp32")
        if report.get("relative_loss") is not None:
            print(f"relative loss: {report['relative_loss']:+.4%}, at most 1.0% is promised")
        share = report["bytes"] / report["fp32_bytes"]
        print(f"weights: {report['bytes']:,} bytes, {share:.1%} of the run's\nfolder: {out}")
    if report.get("passes") is False:
        terminal.note(f"{out} loses more than the limit above; do not use it unseen")
        raise typer.Exit(1)


def _rows(report: dict[str, Any]) -> list[tuple[str, str, str]]:
    relative = f"{report['limit']['max_relative']:.0e}" if "max_relative" in report["limit"] else ""
    rows = []
    for key, name in (("log_probs", "log-probabilities"), ("scores", "scores"), ("state", "final state")):
        if key not in report:  # of a classifier that also reads from the end
            continue
        rows.append((f"{name}, largest difference", f"{report[key]['max_abs']:.1e}", ""))
        rows.append((f"{name}, relative to their norm", f"{report[key]['max_relative']:.1e}", relative))
    figures = {"nats_per_token": "nats per token", "nats_per_sequence": "nats per sequence", "f1": "F1",
               "accuracy": "accuracy", "nats_per_step": "nats per step"}  # fmt: skip
    for key in (key for key in figures if key in report):
        for system, title in (("runtime", "this runtime"), ("onnx", "ONNX")):
            rows.append((f"{figures[key]}, {title}", f"{report[key][system]:.6f}", ""))
    if "agreement" in report:
        rows.append(("sequences with the same label", f"{report['agreement']:.2%}", ""))
    loss = f"{report['limit']['relative_loss']:.1%}" if "relative_loss" in report["limit"] else ""
    rows.append(("relative loss", f"{report['relative_loss']:+.4%}", loss))
    rows.append(("bytes", f"{report['bytes']:,}", ""))
    if "fp32_bytes" in report:
        rows.append(("share of the bytes in float32", f"{report['bytes'] / report['fp32_bytes']:.1%}", ""))
    return rows
