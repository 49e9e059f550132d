"""`to_bundle`: what the runtime reads of a run as a folder of its own, in float32 or with matrices in eight bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rnnkit import runtime
from rnnkit.bundle import evaluation, read_bundle, write_bundle
from rnnkit.bundle.folder import TENSORS
from rnnkit.errors import ArgumentError
from rnnkit.export.parity import MAX_RELATIVE_LOSS

_CLASSES = {
    kind.kind: kind for kind in (runtime.LanguageModel, runtime.WindowMLP, runtime.Acceptor, runtime.Transducer)
}


def to_bundle(run: str | Path, path: str | Path, *, int8: bool = False) -> dict[str, Any]:
    """Write the bundle of a run into a new folder: without metrics, baselines, checkpoints.

    Args:   path: a folder that is not there yet.
            int8: store every matrix in eight bits, with a scale for each row. The new bundle computes in precision
            "int8", bit for bit what the run does when it is loaded in that precision.
    Returns: `digest`; `bytes` of the weights' file and `fp32_bytes` of the run's; with int8 also `nats_per_token` in
            `fp32` and `int8` on the held-out tokens that the bundle keeps, `relative_loss`, and `passes`: whether that
            is at most 1 % (None where no tokens are kept).
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
        kind = _CLASSES[config["kind"]]
        sample = None
        if kind not in (runtime.Acceptor, runtime.Transducer):
            sample = evaluation.from_files(bundle.files, vocab_size=config["model"]["vocab_size"])
        nats = {}
        for precision in ("fp32", "int8"):  # also says what cannot be loaded in int8, before anything is written
            model = kind.from_bundle(bundle, precision=precision)
            if sample is not None and isinstance(model, runtime.LanguageModel | runtime.WindowMLP):
                nats[precision] = model.total_nll(*sample) / len(sample[0])
        loss = nats["int8"] / nats["fp32"] - 1 if nats.get("fp32") else None
        passes = None if loss is None else loss <= MAX_RELATIVE_LOSS
        report |= {"nats_per_token": nats or None, "relative_loss": loss, "passes": passes}
    report["digest"] = write_bundle(path, config=config, tensors=bundle.tensors, files=bundle.files)
    return report | {"bytes": (path / TENSORS).stat().st_size, "fp32_bytes": (run / TENSORS).stat().st_size}
