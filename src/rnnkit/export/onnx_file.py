"""`to_onnx`: a trained run as one ONNX file, and beside it the report of what the file computes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rnnkit import data, durable
from rnnkit.bundle import Bundle, read_bundle
from rnnkit.errors import ArgumentError
from rnnkit.export import parity
from rnnkit.export.cost import MAX_RELATIVE_LOSS
from rnnkit.runtime import Acceptor, LanguageModel, Transducer, WindowMLP
from rnnkit.runtime.model import NextTokenModel
from rnnkit.text import Tokenizer

_SAMPLE_TOKENS = 6144
_RANDOM_SEQUENCES = 200
_FORMAT = 1  # of the report

_Model = NextTokenModel | Acceptor | Transducer
_CLASSES: dict[str, type[LanguageModel] | type[WindowMLP] | type[Acceptor] | type[Transducer]] = {
    kind.kind: kind for kind in (LanguageModel, WindowMLP, Acceptor, Transducer)
}


def to_onnx(
    run: str | Path,
    path: str | Path | None = None,
    *,
    int8: bool = False,
    sample: str | Path | Sequence[str | Path] | None = None,
    encoding: str = "utf-8",
    as_bytes: bool = False,
) -> dict[str, Any]:
    """Write the model of a run (or of a window MLP's folder) as an ONNX file, and the parity report beside it.

    The graph takes `ids` int64 [T, B], `sequence_lens` int32 [B] and the state by name (`h_l0`, `c_l0`, …, float32
    [B, H]; `context` int64 [B, n-1] of a window MLP); it gives `log_probs` float32 [T, B, V], 0 behind a row's length,
    and the state as `next_h_l0`, …. B and T are free, from 1 on. It is written for opset 17, by standard operators.
    That of a classifier takes `ids` or `frames` float32 [T, B, I], and gives `log_probs` [B, C]; one that reads in both
    directions has no state, one that reads forwards also keeps what its readouts have seen (`steps`, …). That of a
    tagger gives `log_probs` [T, B, C], or under a CRF `scores`, and keeps in its metadata what is allowed between
    labels; with features it takes `ids` [T, B, 1 + N], and with characters there is none.

    Args:
        path: the file; None: `default_path(run, int8=int8)`. The report has its name with `.parity.json` behind it.
        int8: weights in eight bits, one scale for each output channel; the file is about a quarter as large.
        sample: a text to compare the file and the runtime on, of which the first 6,144 tokens count; None: the
            held-out tokens that the bundle keeps, or where it keeps none, tokens that the model draws itself. For a
            classifier labelled sequences, as `rnnkit.data.read_examples`, of which so many steps count; None: those
            that the bundle keeps, or random ones.
        encoding, as_bytes: of the sample, as `LanguageModel.evaluate`.
    Returns: the report; `passes` says whether float32 keeps within 1e-5 of the runtime (the norm of the difference of a
        token's log-probabilities, and of a row's state, to theirs), int8 within 1 % of its nats per token, or of a
        classifier's accuracy.
    Raises:  MissingExtraError without onnx or onnxruntime; BundleError for a damaged run; DataError for a sample that
        cannot be read; ArgumentError for a model above 2 GiB, or a tagger that reads characters; SaveError. Nothing is
        written before the report is made.
    Cost:    memory for the weights three times; two passes over the sample.
    """
    bundle = read_bundle(run)
    model = _model_of(bundle, run)
    from rnnkit.export.graph import OPSET

    sources = None if sample is None else [sample] if isinstance(sample, str | Path) else list(sample)
    contents = _serialized(bundle, model, int8=int8)
    if isinstance(model, Transducer):
        measured = _of_steps(model, contents, sources, as_bytes=as_bytes)
    elif isinstance(model, Acceptor):
        measured = _of_decisions(model, contents, sources, encoding=encoding, as_bytes=as_bytes)
    else:
        measured = _of_tokens(model, bundle, contents, sources, encoding=encoding, as_bytes=as_bytes)
    path = default_path(run, int8=int8) if path is None else Path(path)
    report = {
        "format": _FORMAT,
        "file": path.name,
        "sha256": hashlib.sha256(contents).hexdigest(),
        "bytes": len(contents),
        **({"fp32_bytes": len(_serialized(bundle, model, int8=False))} if int8 else {}),
        "bundle": bundle.digest,
        "precision": "int8" if int8 else "fp32",
        "opset": OPSET,
        "onnxruntime": _version_of_onnxruntime(),
        **measured,
        "limit": {"relative_loss": MAX_RELATIVE_LOSS} if int8 else {"max_relative": parity.TOLERANCE},
        "passes": _passes(measured, int8),
    }
    durable.write_file(path, contents)
    durable.write_file(report_path(path), json.dumps(report, indent=2, ensure_ascii=False).encode() + b"\n")
    return report


def start_session(run: str | Path, *, int8: bool = False, threads: int = 0) -> tuple[Any, _Model]:
    """The file that `to_onnx` would write as an ONNX Runtime session of so many threads, and the model beside it."""
    bundle = read_bundle(run)
    model = _model_of(bundle, run)
    return parity.start_session(_serialized(bundle, model, int8=int8), threads=threads), model


def default_path(run: str | Path, *, int8: bool = False) -> Path:
    """Where `to_onnx` writes: RUN/model.onnx, or RUN/model.int8.onnx."""
    return Path(run) / ("model.int8.onnx" if int8 else "model.onnx")


def report_path(path: str | Path) -> Path:
    """Where the parity report of a file lies."""
    path = Path(path)
    return path.with_name(f"{path.name}.parity.json")


def _model_of(bundle: Bundle, run: str | Path) -> _Model:
    """In what an ONNX file computes in: a run trained in bf16 is compared with its own float32 weights."""
    kind, shape = bundle.config["kind"], bundle.config["model"]
    several = shape.get("targets", "label") if kind == Transducer.kind else "label"
    if kind not in _CLASSES or shape.get("frame_shape") or several != "label":
        what = "a labeller of pictures" if shape.get("frame_shape") else f"a model of {several} for each frame"
        what = what if kind in _CLASSES else f"a {kind}"
        raise ArgumentError(f"{run} holds {what}, which has no ONNX file; --to bundle --int8 makes it small")
    if shape.get("num_characters") or (kind == Acceptor.kind and shape.get("num_features")):
        what = "tagger" if kind == Transducer.kind else "classifier"
        raise ArgumentError(
            f"{run} holds a {what} that reads words by their characters, which has no ONNX file; train it with "
            "--no-characters, or use --to bundle --int8, which makes it small"
        )
    if shape.get("ngram_order"):
        raise ArgumentError(
            f"{run} holds a classifier that also counts n-grams, which has no ONNX file; train it with --ngrams 0, or "
            "use --to bundle --int8, which makes it small"
        )
    return _CLASSES[kind].from_bundle(bundle, precision="fp32")


def _serialized(bundle: Bundle, model: _Model, *, int8: bool) -> bytes:
    from rnnkit.export import models

    known: dict[str, Any] = {"begin_id": model.begin_id} if isinstance(model, NextTokenModel) else {
        "labels": model.labels
    }  # fmt: skip
    if isinstance(model, Transducer):
        known["chain"] = model.chain
    return models.serialize(bundle.config, bundle.tensors, int8=int8, digest=bundle.digest, **known)


def _of_tokens(
    model: NextTokenModel,
    bundle: Bundle,
    contents: bytes,
    sources: list[str | Path] | None,
    *,
    encoding: str,
    as_bytes: bool,
) -> dict[str, Any]:
    """What `parity.measure` finds, and on which sample."""
    if sources is None:
        kept = model.evaluation_sample()
        source = "drawn from the model" if kept is None else "held-out text kept in the bundle"
        ids = parity.write_sample(model, _SAMPLE_TOKENS) if kept is None else kept[0]
    else:
        source = ", ".join(map(str, sources))
        ids = _read_sample(bundle.tokenizer, sources, encoding=encoding, as_bytes=as_bytes)
    measured = parity.measure(model, parity.start_session(contents), ids)
    return {"sample": {"source": source, "num_tokens": len(ids)}, **measured}


def _of_decisions(
    model: Acceptor, contents: bytes, sources: list[str | Path] | None, *, encoding: str, as_bytes: bool
) -> dict[str, Any]:
    """What `parity.measure_decisions` finds, and on which sample."""
    if as_bytes:
        raise ArgumentError("as_bytes is for a text; a classifier's sample is a table or a file of series")
    kept = model.evaluation_sample()
    if sources is not None:
        examples = data.read_examples(sources, encoding=encoding, multi_label=model.is_multi_label)
        source, targets = ", ".join(map(str, sources)), data.label_ids(examples, model.labels)
        sequences = [model.encode(sequence) for sequence in examples.inputs]
        count = max(1, int((np.cumsum([len(x) for x in sequences]) <= _SAMPLE_TOKENS).sum()))
        sequences, targets = sequences[:count], targets[:count]
    elif kept is not None:
        source, (sequences, targets) = "held-out sequences kept in the bundle", kept
    else:
        source, targets, sequences = "drawn at random", None, parity.random_sequences(model, _RANDOM_SEQUENCES)
    measured = parity.measure_decisions(model, parity.start_session(contents), sequences, targets)
    return {"sample": {"source": source, "num_sequences": len(sequences)}, **measured}


def _of_steps(
    model: Transducer, contents: bytes, sources: list[str | Path] | None, *, as_bytes: bool
) -> dict[str, Any]:
    """What `parity.measure_steps` finds, and on which sample."""
    if sources is not None or as_bytes:
        raise ArgumentError("a tagger's file is compared on the held-out sequences of its bundle; leave the sample out")
    kept = model.evaluation_sample()
    source = "drawn at random" if kept is None else "held-out sequences kept in the bundle"
    sequences, targets = (parity.random_sequences(model, _RANDOM_SEQUENCES), None) if kept is None else kept
    measured = parity.measure_steps(model, parity.start_session(contents), sequences, targets)
    return {"sample": {"source": source, "num_sequences": len(sequences)}, **measured}


def _read_sample(
    tokenizer: Tokenizer | None, sources: list[str | Path], *, encoding: str, as_bytes: bool
) -> np.ndarray:
    if tokenizer is None:
        raise ArgumentError("this folder has no tokeniser to read a sample with; leave the sample out")
    pieces: list[np.ndarray] = []
    for document in data.read_documents(sources, encoding=encoding, as_bytes=as_bytes):
        for piece in tokenizer.encode_pieces(document.pieces()):
            pieces.append(piece)
            if sum(map(len, pieces)) >= _SAMPLE_TOKENS:
                return np.concatenate(pieces)[:_SAMPLE_TOKENS]
    return np.concatenate([np.zeros(0, np.int64), *pieces])


def _passes(measured: dict[str, Any], int8: bool) -> bool:
    if int8:
        return bool(measured["relative_loss"] <= MAX_RELATIVE_LOSS)
    parts = [measured[name] for name in ("log_probs", "scores", "state") if name in measured]
    return max(part["max_relative"] for part in parts) <= parity.TOLERANCE


def _version_of_onnxruntime() -> str:
    import onnxruntime

    return onnxruntime.__version__
