"""`to_bundle`: what the runtime reads of a run as a folder of its own, in float32 or with matrices in eight bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rnnkit import runtime
from rnnkit.bundle import Bundle, read_bundle, write_bundle
from rnnkit.bundle.folder import TENSORS
from rnnkit.errors import ArgumentError
from rnnkit.export.cost import MAX_RELATIVE_LOSS, judged, relative_loss

_CLASSES = {
    kind.kind: kind
    for kind in (
        runtime.LanguageModel,
        runtime.BidirectionalLanguageModel,
        runtime.WindowMLP,
        runtime.Acceptor,
        runtime.Transducer,
        runtime.EncoderDecoder,
    )
}


def to_bundle(run: str | Path, path: str | Path, *, int8: bool = False) -> dict[str, Any]:
    """Write the bundle of a run into a new folder: without metrics, baselines, checkpoints.

    Args:   path: a folder that is not there yet.
            int8: store every matrix in eight bits, with a scale for each row. The new bundle computes in precision
            "int8", bit for bit what the run does when it is loaded in that precision.
    Returns: `digest`; `bytes` of the weights' file and `fp32_bytes` of the run's; with int8 also, in `fp32` and `int8`,
            `nats_per_token` on the held-out tokens that the bundle keeps, or `accuracy` and `nats_per_sequence` on a
            classifier's sequences (of a tagger and a labeller of frames `accuracy` and `nats_per_step`, of spans also
            `f1`); `relative_loss`, and `passes`: whether that is at most 1 % (None: nothing is kept).
    Raises:  ArgumentError for a folder that exists, or a run in eight bits already; BundleError for a damaged run;
            ConfigError for a cell that has no int8; SaveError.
    """
    run, path = Path(run), Path(path)
    if path.exists():
        raise ArgumentError(f"{path} exists; name a folder that does not")
    bundle = read_bundle(run)
    config = bundle.config
    report: dict[str, Any] = {"precision": "int8" if int8 else config["precision"]}
    if int8:
        if config["precision"] == "int8":
            raise ArgumentError(f"{run} is in eight bits already; leave --int8 out to copy it")
        config = {**config, "precision": "int8"}
        if config["kind"] not in _CLASSES:
            raise ArgumentError(
                f"{run} holds a {config['kind'].replace('_', ' ')}, of which nothing is kept to judge eight bits on; "
                "leave --int8 out"
            )
        report |= _measured(bundle)
    report["digest"] = write_bundle(path, config=config, tensors=bundle.tensors, files=bundle.files)
    return report | {"bytes": (path / TENSORS).stat().st_size, "fp32_bytes": (run / TENSORS).stat().st_size}


def _measured(bundle: Bundle) -> dict[str, Any]:
    """What eight bits cost on what the bundle keeps of held-out data. Raises: ConfigError for what has no int8."""
    kind = _CLASSES[bundle.config["kind"]]
    plain, rounded = (kind.from_bundle(bundle, precision=precision) for precision in ("fp32", "int8"))
    if (sample := plain.evaluation_sample()) is None:
        return {"relative_loss": None, "passes": None}
    before, after = judged(plain, sample), judged(rounded, sample)
    loss = relative_loss(before, after)
    figures = {name: {"fp32": value, "int8": after[name]} for name, value in before.items()}
    return figures | {"relative_loss": loss, "passes": loss <= MAX_RELATIVE_LOSS}
