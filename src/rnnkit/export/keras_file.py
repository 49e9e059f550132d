"""A language model out of a file that Keras saved, `.h5` or `.keras`: configuration and tensors; nothing is executed.

Keras itself is not used: both kinds of file are JSON and HDF5, and `h5py` reads the latter. So no code that a file
names is looked up, and links that lead out of the file are not followed.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from rnnkit.bundle.schema import FORMAT
from rnnkit.errors import DataError, MissingExtraError
from rnnkit.export import gate_order

SUFFIXES = (".keras", ".h5", ".hdf5")
_MAX_JSON_BYTES = 16 << 20
_MAX_RATIO = 100  # of an archive's content to its size
_CELLS = {"LSTM": 4, "GRU": 3, "SimpleRNN": 1}  # gates
_SNAKE = {"LSTM": "lstm", "GRU": "gru", "SimpleRNN": "simple_rnn", "Embedding": "embedding", "Dense": "dense",
          "TimeDistributed": "time_distributed"}  # fmt: skip
_SILENT = ("InputLayer", "Dropout", "SpatialDropout1D")  # they compute nothing once a model is trained
_KNOWN = ("Embedding", "LSTM", "GRU", "SimpleRNN", "Dense", "TimeDistributed(Dense)", "Dropout")


@dataclass(frozen=True)
class _Layer:
    """A layer with weights: its class, its configuration, and what reads its n-th weight."""

    kind: str
    config: Mapping[str, Any]
    read: Callable[[tuple[tuple[int, ...], ...]], list[np.ndarray]]

    @property
    def name(self) -> str:
        return str(self.config.get("name"))


def read_keras(path: str | Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A model of an Embedding (or one-hot input), LSTM, GRU or SimpleRNN layers, and a Dense that scores the tokens.

    Returns: configuration and tensors, as `LanguageModel.from_parts` checks and takes them.
    Raises:  MissingExtraError without h5py; DataError for a file that is no such model, naming the layer and what about
        it is not understood; OSError for a file that is not there.
    Cost:    memory for the weights twice.
    """
    path = Path(path)
    path.stat()  # a file that is not there is an OSError, which names it
    h5py = _h5py()
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                model = json.loads(_member(archive, "config.json", most=_MAX_JSON_BYTES))
                most = _MAX_RATIO * path.stat().st_size
                with h5py.File(io.BytesIO(_member(archive, "model.weights.h5", most=most)), "r") as file:
                    return _model(list(_layers(model, lambda number, layer: _of_archive(file, number, layer))))
        with h5py.File(path, "r") as file:
            model = json.loads(file.attrs["model_config"])
            return _model(list(_layers(model, lambda _, layer: _of_h5(file, layer))))
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except MemoryError:
        raise
    except Exception as error:  # whatever damaged bytes make of readers that are not ours
        raise DataError(
            f"{path} is no model that Keras saved ({type(error).__name__}: {error}); write it by model.save(path)"
        ) from error


def _h5py() -> Any:
    try:
        return import_module("h5py")
    except ImportError as error:
        raise MissingExtraError("a file of Keras needs `h5py`", extra="keras") from error


def _member(archive: zipfile.ZipFile, name: str, *, most: int) -> bytes:
    if (size := archive.getinfo(name).file_size) > most:
        raise DataError(f"{name} in it has {size} bytes, at most {most} are read")
    return archive.read(name)


# ---- layers and their weights ------------------------------------------------------------------------------------


def _layers(model: Any, reader: Callable[[int, Any], Any]) -> Iterator[_Layer]:
    """The layers that have weights, in order; the model is a chain."""
    if model["class_name"] not in ("Sequential", "Functional", "Model"):
        raise DataError(f"it is a {model['class_name']}; save a Sequential or functional model")
    before: str | None = None
    counts: dict[str, int] = {}
    for layer in model["config"]["layers"]:
        kind, config = layer["class_name"], layer["config"]
        name = config["name"]
        if model["class_name"] != "Sequential" and kind != "InputLayer":
            _check_chain(layer, name, before, [other["config"]["name"] for other in model["config"]["layers"]])
        before = name
        if kind == "Activation" and config["activation"] == "softmax":
            continue
        if kind in _SILENT:
            continue
        number = counts[kind] = counts.get(kind, 0) + 1
        read = reader(number - 1, layer)
        if kind == "TimeDistributed" and config["layer"]["class_name"] == "Dense":
            yield _Layer("Dense", {**config["layer"]["config"], "name": name}, read)
        elif kind == "Embedding" or kind == "Dense" or kind in _CELLS:
            yield _Layer(kind, config, read)
        else:
            raise DataError(f"layer {name!r} is a {kind}; known are {', '.join(_KNOWN)}")


def _check_chain(layer: Any, name: str, before: str | None, names: list[str]) -> None:
    nodes = layer["inbound_nodes"]
    sources = {text for text in _strings(nodes) if text in names}
    if len(nodes) != 1 or sources != {before}:
        raise DataError(
            f"layer {name!r} reads {sorted(sources)} and not only the one before, {before!r}; a chain is wanted"
        )


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple | dict):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)


def _of_archive(file: Any, number: int, layer: Any) -> Callable[[tuple[tuple[int, ...], ...]], list[np.ndarray]]:
    kind = layer["class_name"]
    folder = f"layers/{_SNAKE.get(kind, kind)}{f'_{number}' if number else ''}"
    folder += "/cell" if kind in _CELLS else "/layer" if kind == "TimeDistributed" else ""
    return lambda shapes: [_dataset(file, f"{folder}/vars/{place}", shape) for place, shape in enumerate(shapes)]


def _of_h5(file: Any, layer: Any) -> Callable[[tuple[tuple[int, ...], ...]], list[np.ndarray]]:
    folder = f"model_weights/{layer['config']['name']}"

    def read(shapes: tuple[tuple[int, ...], ...]) -> list[np.ndarray]:
        names = [name.decode() if isinstance(name, bytes) else name for name in file[folder].attrs["weight_names"]]
        if len(names) != len(shapes):
            raise DataError(f"{folder} has {len(names)} weights, {len(shapes)} are wanted")
        return [_dataset(file, f"{folder}/{name}", shape) for name, shape in zip(names, shapes, strict=True)]

    return read


def _dataset(file: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """An array of the file itself, once its shape is known to be the configuration's."""
    h5py, place = _h5py(), file
    for part in name.split("/"):
        if not isinstance(place.get(part, getlink=True), h5py.HardLink):
            raise DataError(f"{name} is not in it, or leads out of it; save the model again")
        place = place[part]
    if not isinstance(place, h5py.Dataset) or place.is_virtual or place.external:
        raise DataError(f"{name} is no array of its own; save the model again")
    if place.shape != shape or place.dtype.kind != "f":
        raise DataError(f"{name} is {place.dtype} {list(place.shape)}, floats {list(shape)} are wanted")
    return np.asarray(place[()], np.float32)


# ---- to a language model -----------------------------------------------------------------------------------------


def _model(layers: list[_Layer]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    table = layers.pop(0) if layers and layers[0].kind == "Embedding" else None
    head = layers.pop() if layers and layers[-1].kind == "Dense" else None
    if head is None or not layers or any(layer.kind not in _CELLS for layer in layers):
        found = [layer.kind for layer in ([table] if table else []) + layers + ([head] if head else [])]
        raise DataError(f"it is a chain of {found}; an Embedding (or none), recurrent layers, and a Dense are wanted")
    if head.config["activation"] not in ("softmax", "linear"):
        raise DataError(f"layer {head.name!r} ends with {head.config['activation']!r}; softmax or linear scores tokens")
    V = int(head.config["units"])
    tensors: dict[str, np.ndarray] = {}
    width = V
    if table is not None:
        if table.config.get("mask_zero"):
            raise DataError(f"layer {table.name!r} has mask_zero, which lets steps out; train without it")
        width = int(table.config["output_dim"])
        if table.config["input_dim"] != V:
            raise DataError(f"layer {table.name!r} has {table.config['input_dim']} tokens, the Dense scores {V}")
        (tensors["embedding.weight"],) = table.read(((V, width),))
    cells, widths, biases = set(), [], set()
    for index, layer in enumerate(layers):
        H = int(layer.config["units"])
        cells.add(_cell(layer, is_last=index == len(layers) - 1))
        biases.add(bool(layer.config["use_bias"]))
        tensors |= {f"recurrent.{name}_l{index}": array for name, array in _weights(layer, width).items()}
        widths.append(width := H)
    if len(cells) != 1 or len(biases) != 1:
        raise DataError(
            f"its layers are {sorted(cells)}, with bias {sorted(biases)}; one kind for all layers is wanted"
        )
    has_bias = bool(head.config["use_bias"])
    arrays = head.read(((width, V), (V,))[: 1 + has_bias])
    tensors["head.weight"] = np.ascontiguousarray(arrays[0].T)
    tensors["head.bias"] = arrays[1] if has_bias else np.zeros(V, np.float32)
    model = {
        "vocab_size": V,
        "embedding_size": 0 if table is None else int(table.config["output_dim"]),
        "cell": cells.pop(),
        "hidden_size": widths[0] if len(set(widths)) == 1 else widths,
        "num_layers": len(widths),
        "bias": biases.pop(),
        "tied": False,
        "softmax": "full",
        "cutoffs": [],
    }
    return {"format": FORMAT, "kind": "language_model", "model": model, "precision": "fp32"}, tensors


def _cell(layer: _Layer, *, is_last: bool) -> str:
    """What the cell is called here. Raises: DataError for an option that changes what it computes."""
    config = layer.config
    wanted = {"go_backwards": False, "time_major": False, "return_state": False, "recurrent_activation": "sigmoid"}
    if layer.kind != "SimpleRNN":
        wanted["activation"] = "tanh"
    for name, value in wanted.items():
        if config.get(name, value) != value:
            raise DataError(f"layer {layer.name!r} has {name}={config[name]!r}; only {value!r} is understood")
    if not is_last and not config["return_sequences"]:
        raise DataError(
            f"layer {layer.name!r} gives its last step only to the layer above; return_sequences=True is wanted"
        )
    if layer.kind == "GRU":
        return "gru_after" if config.get("reset_after", False) else "gru_before"
    if layer.kind == "LSTM":
        return "lstm"
    if config["activation"] not in ("tanh", "relu"):
        raise DataError(f"layer {layer.name!r} has activation={config['activation']!r}; tanh or relu is understood")
    return f"elman_{config['activation']}"


def _weights(layer: _Layer, width: int) -> dict[str, np.ndarray]:
    """Kernels [I, G*H] with Keras' gates as weights [G*H, I] with ours; one bias becomes two, of which one is zero."""
    H, gates = int(layer.config["units"]), _CELLS[layer.kind]
    has_two = layer.kind == "GRU" and layer.config.get("reset_after", False)
    shapes: list[tuple[int, ...]] = [(width, gates * H), (H, gates * H)]
    if layer.config["use_bias"]:
        shapes.append((2, gates * H) if has_two else (gates * H,))
    kernel, recurrent, *bias = layer.read(tuple(shapes))
    out = {"weight_ih": kernel.T, "weight_hh": recurrent.T}
    if bias:
        out["bias_ih"], out["bias_hh"] = bias[0] if has_two else (bias[0], np.zeros_like(bias[0]))
    return {name: gate_order.from_keras(layer.kind, array) for name, array in out.items()}
