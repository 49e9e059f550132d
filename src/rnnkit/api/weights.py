"""Weights out to a torch.nn `state_dict` and in from one, and in from Keras."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rnnkit import durable, runtime, text
from rnnkit.bundle import read_bundle
from rnnkit.errors import ArgumentError, DataError, MissingExtraError
from rnnkit.export.keras_file import read_keras
from rnnkit.export.state_dict import from_state_dict, to_state_dict, torch_modules


def export_torch(run: str | Path, path: str | Path | None = None) -> dict[str, str]:
    """Write the weights of a run as a torch.nn `state_dict`, for `torch.load(path, weights_only=True)`.

    Args:    path: the file; None: RUN/model.pt.
    Returns: the layers that the weights belong to: a torch.nn expression for each attribute of the module.
    Raises:  MissingExtraError without torch; ArgumentError for a cell that torch.nn has not; BundleError, SaveError.
    Cost:    memory for the weights twice.
    """
    torch = _torch()
    bundle = read_bundle(run)
    arrays = to_state_dict(bundle.config, bundle.tensors)
    buffer = io.BytesIO()
    copies = {id(array): torch.from_numpy(np.array(array)) for array in arrays.values()}  # a tied table stays one
    torch.save({name: copies[id(array)] for name, array in arrays.items()}, buffer)
    durable.write_file(Path(run) / "model.pt" if path is None else Path(path), buffer.getvalue())
    return torch_modules(bundle.config)


def import_torch(
    path: str | Path,
    run: str | Path,
    *,
    tokenizer: str | Path,
    cell: str | None = None,
    names: Mapping[str, str] | None = None,
) -> runtime.LanguageModel:
    """Make a run folder of the weights of torch.nn layers: an LSTM, GRU or RNN with its embedding and head.

    Args:
        path: what `torch.save(model.state_dict(), path)` wrote, or a .safetensors file. Nothing in it is executed.
        run: the folder; new or empty.
        tokenizer: the run folder or `tokenizer.json` whose ids the model was trained on.
        cell, names: as `rnnkit.export.state_dict.from_state_dict`.
    Returns: the model that the folder now holds. It has no metrics: `sample`, `complete`, `predict` and `export` work.
    Raises:  MissingExtraError without torch; DataError for a file that is no such `state_dict`; ArgumentError for a
        folder that holds something; BundleError for weights or a tokeniser that do not fit; SaveError.
    Cost:    memory for the weights three times.
    """
    _check_new(Path(run))
    arrays = _read(Path(path))
    try:
        config, tensors = from_state_dict(arrays, cell=cell, names=names)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    model = runtime.LanguageModel.from_parts(config, tensors, _tokenizer(Path(tokenizer)))
    model.save(run)
    return model


def import_keras(path: str | Path, run: str | Path, *, tokenizer: str | Path) -> runtime.LanguageModel:
    """Make a run folder of a language model that Keras trained: an Embedding or one-hot input, LSTM, GRU or SimpleRNN
    layers, and a Dense; needs h5py, and neither Keras nor torch.

    Args:    path: what `model.save` wrote, `.keras` or `.h5`. Nothing in it is executed.
             run, tokenizer: as `import_torch`.
    Returns: the model that the folder now holds.
    Raises:  MissingExtraError without h5py; DataError for a file that is no such model, naming the layer; otherwise as
        `import_torch`.
    Cost:    memory for the weights three times.
    """
    _check_new(Path(run))
    config, tensors = read_keras(path)
    model = runtime.LanguageModel.from_parts(config, tensors, _tokenizer(Path(tokenizer)))
    model.save(run)
    return model


def _check_new(run: Path) -> None:
    if run.exists() and (not run.is_dir() or any(run.iterdir())):
        raise ArgumentError(f"{run} holds something already; name a new folder")


def _read(path: Path) -> dict[str, np.ndarray]:
    torch = _torch()
    path.stat()  # a file that is not there is an OSError, which names it
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            values: Any = load_file(path)
        else:
            values = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # whatever damaged bytes make of a reader that is not ours
        raise DataError(
            f"{path} is no state_dict ({type(error).__name__}); write it by torch.save(model.state_dict(), path)"
        ) from error
    if not isinstance(values, Mapping) or not all(isinstance(value, torch.Tensor) for value in values.values()):
        inside = f"has the keys {[*values][:6]}" if isinstance(values, Mapping) else f"is a {type(values).__name__}"
        raise DataError(f"{path} {inside}, and is no state_dict of tensors alone; save model.state_dict() by itself")
    return {str(name): value.detach().to(torch.float32).contiguous().numpy() for name, value in values.items()}


def _tokenizer(path: Path) -> text.Tokenizer:
    if not path.is_dir():
        try:
            return text.from_json(path.read_text(encoding="utf-8"))
        except (DataError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: {error}") from None
    tokenizer = read_bundle(path).tokenizer
    if tokenizer is None:
        raise ArgumentError(f"{path} has no tokeniser; name a run folder or a tokenizer.json")
    return tokenizer


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("a state_dict needs torch", extra="train") from error
    return torch
